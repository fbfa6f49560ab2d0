"""A spec made ready to be played any number of times: all that depends on the spec alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hocket.core.errors import SpecError
from hocket.core.machine import Workflow
from hocket.core.retry import patient
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, spec_digest
from hocket.core.values import Json
from hocket.engine.claims import Claims
from hocket.engine.outlook import Prospect
from hocket.forecast.durations import Durations
from hocket.workflows.check import problems
from hocket.workflows.plan import VERSION, PlanMachine, make_plan
from hocket.workflows.shape import Shape
from hocket.workflows.teams import versions_of

_MOST_NAMES: Final = 64
"""Of how many runs by different names it keeps what they claim."""


class Stage:
    """A spec made ready to be played.

    Its plays share what depends on the spec alone, and nothing else: each gives the same events as
    if it had been played by itself.

    Args:
        spec: What is to be played.

    Raises:
        SpecError: The spec cannot be run.

    Attributes:
        spec: What is played.
        digest: Its digest.
        versions: The versions of the rules that it goes by.
    """

    def __init__(self, spec: RunSpec) -> None:
        wrong = problems(spec)
        if wrong:
            raise SpecError(wrong)
        self.spec = spec
        self.digest = spec_digest(spec)
        self.versions = {"plan": VERSION, **versions_of(spec)}
        self._shape = Shape(spec.workflow, patient(spec))
        self._claims: dict[str, Claims] = {}
        self._prospect: Prospect | None = None

    def machine(self) -> RunMachine:
        """Make a machine that nothing has happened to yet."""
        return RunMachine({"plan": self._make})

    def claims(self, run: str) -> Claims:
        """Say what the calls of a run of that name claim."""
        claims = self._claims.get(run)
        if claims is None:
            if len(self._claims) >= _MOST_NAMES:
                self._claims.clear()
            claims = self._claims[run] = Claims(run, self.spec, _capacity)
        return claims

    def prospect(self, machine: RunMachine, past: Durations) -> Prospect:
        """Give the outlook of a run of this spec, by what is known of how long calls take."""
        prospect = self._prospect
        if prospect is None or prospect.durations is not past:
            prospect = self._prospect = Prospect(machine, past)
        return prospect

    def _make(
        self,
        spec: PlanSpec,
        agents: Mapping[str, AgentSpec],
        inputs: Mapping[str, Json],
        facts: Mapping[str, Json],
    ) -> Workflow:
        if spec is self.spec.workflow:
            return PlanMachine(self._shape, inputs, facts)
        return make_plan(spec, agents, inputs, facts)


def prepare(spec: RunSpec | Stage) -> Stage:
    """Make a spec ready to be played any number of times.

    Raises:
        SpecError: The spec cannot be run.
    """
    return spec if isinstance(spec, Stage) else Stage(spec)


def _capacity(name: str, spec: AgentSpec) -> int | None:
    """A simulated agent takes as many calls as it is said to: it needs no processor."""
    return spec.concurrency
