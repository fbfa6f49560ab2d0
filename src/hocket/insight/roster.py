"""Who does the calls of a run, as its spec says it: with which model, under which limits."""

from __future__ import annotations

from typing import Final, NamedTuple

from hocket.core.errors import ExprError, Refused
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, StepSpec
from hocket.core.values import Call, canonical, digest
from hocket.insight.trace import Work

_OF_KIND: Final[dict[str, Work]] = {
    "model": "model",
    "local": "model",
    "scripted": "model",
    "function": "tool",
    "command": "tool",
    "mcp": "tool",
    "session": "model",
    "population": "tool",
}


_MOST_READ: Final = 32_000_000
"""Once so many bytes of questions were read, no more are: that would take longer than all else."""


class Doer(NamedTuple):
    """Who does a call.

    Fields:
        work: What is at work; a scripted agent plays a model.
        model: Which model; "" if none is named.
        claims: The limits of which its calls take units.
    """

    work: Work
    model: str
    claims: tuple[str, ...]


class Roster:
    """The agents of a run.

    Args:
        spec: What the run does.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._doers: dict[tuple[str, tuple[str, ...]], Doer] = {}
        self._read = 0

    def doer(self, agent: str, step: StepSpec | None) -> Doer:
        """Say who does a call of a step."""
        uses = () if step is None or not step.uses else tuple(step.uses)
        known = self._doers.get((agent, uses))
        if known is None:
            known = self._doers[agent, uses] = self._doer(agent, uses)
        return known

    def name_of(self, machine: RunMachine, call: Call, agent: str) -> str:
        """Name what a call is asked, as it is about to leave: equal names for equal questions.

        Only models whose answers are not kept are told apart; "" for all others, for what cannot be
        rendered, and once very much was read.
        Those who are asked the same on purpose have different names: members of a team, and rounds.
        """
        spec = self._spec.agents.get(agent)
        if spec is None or spec.cache is not None or _OF_KIND[spec.kind] != "model":
            return ""
        if self._read > _MOST_READ:
            return ""
        try:
            job, given = machine.request(call)
        except (ExprError, Refused, KeyError):
            # Its agent could not be asked either, or it is of no job any more.
            return ""
        rounds = [part.partition("~")[2] for part in call.path.split("/")]
        marks = [mark for mark in rounds if mark]
        asked = [agent, job.options, job.output, job.sample, marks, given]
        text = canonical(asked)
        self._read += len(text)
        return digest(text)[:16]

    def _doer(self, agent: str, uses: tuple[str, ...]) -> Doer:
        spec = self._spec.agents.get(agent)
        if spec is None:
            return Doer("tool", "", ())
        model = spec.options.get("model")
        if not isinstance(model, str) or spec.kind not in ("model", "local"):
            model = ""
        claims = tuple(dict.fromkeys((*spec.limits, *self._spec.claims, *uses)))
        return Doer(_OF_KIND[spec.kind], model, claims)
