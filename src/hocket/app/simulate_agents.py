"""Agents of a plan that nobody has recorded: as they are written, said or known to be.

A scripted agent does what is written.
Of others goes what is said in the file's ``simulate`` or in settings, then what a step declares by
``takes``, then what the duration book knows of earlier calls; the rest is assumed, and told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from hocket.agents.base import Estimate, Request
from hocket.agents.prices import stated
from hocket.agents.scripted import ScriptedAgent
from hocket.app.history import known_as
from hocket.app.simulate_population import invented
from hocket.config.change_steps import walk
from hocket.config.simulate import EVERYBODY
from hocket.config.simulate_parts import LatencyPart
from hocket.core.errors import AgentError, Fault
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec, RunSpec, StepSpec
from hocket.core.values import MS, Call, FileRef, Json, digest, step_of
from hocket.journal.base import Book, Sample
from hocket.simulator.agents import Act, Asked, Latency, SimulatedAgents
from hocket.simulator.assume import EVERYBODY as ALL
from hocket.simulator.assume import LATENCY, Assumed, Lasting, Quantiles
from hocket.simulator.calibrate import NEVER
from hocket.simulator.kinds import Kinds

_OF_TIME: Final = ("latency", "latencies")
_FREE: Final = frozenset({"function", "command", "population"})
"""The kinds of agents that read and write no tokens, unless somebody says so."""
_OF_TOKENS: Final = ("tokens_out", "price")

Said = Mapping[str, Mapping[str, Any]]
"""What is said of agents by name, as `hocket.config.simulate.actors` gives it."""
Samples = Mapping[tuple[str, str], Sequence[Sample]]
"""Earlier calls by step and agent."""


def assumptions(said: Said) -> dict[str, Assumed]:
    """Turn what is said of agents into what simulations assume of them."""
    return {
        ALL if name == EVERYBODY else name: _assumed(about) for name, about in said.items() if about
    }


def _assumed(about: Mapping[str, Any]) -> Assumed:
    fields = {key: value for key, value in about.items() if value is not None}
    if "latency" in fields:
        fields["latency"] = lasting(fields["latency"])
    if "latencies" in fields:
        fields["latencies"] = {k: lasting(one) for k, one in fields["latencies"].items()}
    if "price" in fields:
        fields["price"] = _price(fields["price"].in_, fields["price"].out)
    return Assumed(**fields)


def lasting(part: LatencyPart | list[int]) -> Lasting:
    """Turn what a file says of how long calls take into what is drawn from."""
    if isinstance(part, list):
        return Quantiles(tuple(part))
    return Latency(part.middle, part.spread, MS if part.least is None else part.least)


def _price(read: float, written: float) -> tuple[int, int]:
    # A dollar for a million tokens is a million pico-dollars for each.
    return round(read * 1_000_000), round(written * 1_000_000)


def list_price(agent: AgentSpec) -> tuple[int, int] | None:
    """Give what tokens of a model cost that are read and written, if anybody has a price for it."""
    if agent.kind != "model":
        return None
    price = agent.options.get("price")
    if isinstance(price, dict):
        return _price(price["in"], price["out"])
    tariff = stated(str(agent.options.get("model")), agent.options.get("base_url"), None)
    if tariff is None or not tariff.steps:
        return None
    _, read, written = tariff.steps[0]
    return read, written


def samples_of(book: Book, spec: RunSpec) -> dict[tuple[str, str], list[Sample]]:
    """Give the earlier calls of a plan that came to their end, by step and agent.

    Raises:
        JournalError: The book cannot be read.
    """
    names = {known: name for name, known in known_as(spec.agents).items()}
    found: dict[tuple[str, str], list[Sample]] = {}
    for past in book.read(spec.name):
        for sample in past.samples:
            if sample.agent in names and not sample.cut:
                found.setdefault((sample.step, names[sample.agent]), []).append(sample)
    return found


class _Known(NamedTuple):
    """Earlier calls of one kind: how long they took, and themselves in that order."""

    lasts: Quantiles
    calls: tuple[Sample, ...]


def _known(samples: Sequence[Sample]) -> _Known:
    calls = tuple(sorted(samples, key=lambda sample: sample.took))
    return _Known(Quantiles(tuple(one.took for one in calls)), calls)


class Unrecorded:
    """All agents of a plan that nobody has recorded.

    Args:
        spec: What is simulated.
        inner: What they do where nothing else is known.
        said: What is said of them.
        samples: Earlier calls.
    """

    def __init__(self, spec: RunSpec, inner: SimulatedAgents, said: Said, samples: Samples) -> None:
        self._inner = inner
        self._spec = spec
        general = said.get(EVERYBODY, {})
        self._said = {name: {*said.get(name, general)} for name in spec.agents}
        self._scripted = {
            name: ScriptedAgent(name, agent, state=Path(), live={})
            for name, agent in spec.agents.items()
            if agent.kind == "scripted" and not self._said[name]
        }
        self._free = {
            name
            for name, agent in spec.agents.items()
            if agent.kind in _FREE and not self._said[name].intersection(_OF_TOKENS)
        }
        self._fixed = {name for name in spec.agents if _steady(said.get(name, general))}
        self._kinds = Kinds(spec)
        self._takes = dict(declared(spec))
        self._known = {key: _known(some) for key, some in samples.items()}
        every: dict[str, list[Sample]] = {}
        for (_, agent), some in samples.items():
            every.setdefault(agent, []).extend(some)
        self._of_agent = {agent: _known(some) for agent, some in every.items()}

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out."""
        act = self._act(asked)
        # Only in a team does anybody hear of others' answers before his own is given.
        together = bool(self._kinds.of(asked.path).what) and not self._varies(asked)
        return _apart(act, asked) if together else act

    def _act(self, asked: Asked) -> Act:
        scripted = self._scripted.get(asked.agent)
        if scripted is not None:
            return _as_written(scripted, asked)
        act = self._inner.act(asked)
        if asked.agent in self._free:
            agent = self._spec.agents[asked.agent]
            gives = _with_files(act.gives, agent, asked)
            if agent.kind == "population" and isinstance(gives, str):
                gives = invented(asked.input)
            act = msgspec.structs.replace(act, usage=None, gives=gives)
        refused = isinstance(act.gives, Fault) and act.gives.kind == "rate_limited"
        if refused or act.lasts == NEVER:
            return act
        known, takes = self._of(asked), self._takes.get((step_of(asked.path), asked.agent))
        changes: dict[str, Any] = {}
        if not self._said[asked.agent].intersection(_OF_TIME):
            if takes is not None:
                changes["lasts"] = takes
            elif known is not None:
                changes["lasts"] = known.lasts.at(asked.draw("latency"))
        if known is not None and act.usage is not None:
            changes["usage"] = self._usage(asked, known)
        return msgspec.structs.replace(act, **changes) if changes else act

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take, for limits on tokens and money."""
        scripted = self._scripted.get(asked.agent)
        if scripted is not None:
            return scripted.estimate(_request(asked))
        if asked.agent in self._free:
            return Estimate()
        known = self._of(asked)
        usage = None if known is None else self._usage(asked, known)
        if usage is None:
            return self._inner.estimate(asked)
        read, written = usage.tokens_in or 0, usage.tokens_out or 0
        return Estimate(
            tokens_in=read, tokens_out=written, most_tokens=read + written, most_cost=usage.cost
        )

    def _varies(self, asked: Asked) -> bool:
        """Tell whether calls like this one are drawn from a spread."""
        if asked.agent in self._scripted:
            return False
        if self._said[asked.agent].intersection(_OF_TIME):
            return asked.agent not in self._fixed
        if (step_of(asked.path), asked.agent) in self._takes:
            return False
        known = self._of(asked)
        return known is None or len(known.calls) > 1

    def _of(self, asked: Asked) -> _Known | None:
        own = self._known.get((step_of(asked.path), asked.agent))
        return own or self._of_agent.get(asked.agent)

    def _usage(self, asked: Asked, known: _Known) -> Usage | None:
        """Give what the earlier call spent that took as long, or what is assumed."""
        calls = known.calls
        one = calls[min(int(asked.draw("latency") * len(calls)), len(calls) - 1)]
        told = self._said[asked.agent].intersection(_OF_TOKENS)
        if told or (one.tokens_in is None and one.tokens_out is None and one.cost is None):
            expected = self._inner.estimate(asked)
            return Usage(
                tokens_in=expected.tokens_in,
                tokens_out=expected.tokens_out,
                cost=expected.most_cost,
            )
        return Usage(tokens_in=one.tokens_in, tokens_out=one.tokens_out, cost=one.cost)


def declared(spec: RunSpec) -> Iterator[tuple[tuple[str, str], int]]:
    """Give how long calls of steps are said to take in the plan itself, by step and agent."""
    for path, step in walk(spec.workflow):
        if step.kind == "call" and step.takes is not None:
            yield (path, step.agent), step.takes


def notes_of(spec: RunSpec, said: Said, samples: Samples) -> Iterator[str]:
    """Say where what is known of a plan's agents comes from, and what is assumed."""
    known: dict[str, int] = {}
    for (_, name), some in samples.items():
        known[name] = known.get(name, 0) + len(some)
    guessed = []
    unsaid = {
        name
        for path, step in walk(spec.workflow)
        if step.takes is None or step.team is not None or step.review is not None
        for name in _agents_of(step)
    }
    for name, agent in spec.agents.items():
        about = said.get(name, said.get(EVERYBODY, {}))
        if any(about.get(key) for key in _OF_TIME) or (agent.kind == "scripted" and not about):
            continue
        if name not in unsaid and any(key[1] == name for key, _ in declared(spec)):
            continue
        if name in known:
            count = known[name]
            calls = "one earlier call" if count == 1 else f"{count:,} earlier calls"
            yield f"How long calls of {name} take is known from {calls}."
        else:
            guessed.append(name)
    if guessed:
        names = ", ".join(guessed)
        example = f"agents.{guessed[0]}.latency=3s"
        yield (
            f"Nobody knows how long calls of {names} take: {LATENCY.median / 1e9:g} s, two thirds "
            f"of them within {LATENCY.sigma:.0%}, is assumed. Settings say it, as {example}."
        )


def _agents_of(step: StepSpec) -> Iterator[str]:
    yield from filter(None, (step.agent, *step.fallback))
    for team in (step.team, step.review):
        for member in () if team is None else team.members:
            yield from (member.agent, *member.fallback)


def _steady(about: Mapping[str, Any]) -> bool:
    """Tell whether calls are said to last one and the same time."""
    parts = [about.get("latency"), *(about.get("latencies") or {}).values()]
    said = [lasting(part) for part in parts if part is not None]
    return bool(said) and all(
        len(one.values) == 1 if isinstance(one, Quantiles) else not one.sigma for one in said
    )


def _apart(act: Act, asked: Asked) -> Act:
    """Let calls that would end at one instant end one after the other, as they do in reality.

    Whoever hears of two answers at once acts on the first before it has heard of the second.
    """
    if act.lasts >= NEVER:
        return act
    return msgspec.structs.replace(act, lasts=act.lasts + MS + int(asked.draw("apart") * 2 * MS))


def _as_written(agent: ScriptedAgent, asked: Asked) -> Act:
    lasts, gives = agent.due(_request(asked))
    if not isinstance(gives, AgentError):
        return Act(lasts, gives.output, gives.usage)
    usage = gives.usage if isinstance(gives.usage, Usage) else None
    return Act(lasts, gives.fault, usage)


def _with_files(gives: Json | Fault, agent: AgentSpec, asked: Asked) -> Json | Fault:
    """Put empty files into an invented output, of the names that are to be kept."""
    wanted = asked.job.options.get("files") or agent.options.get("files")
    if not (isinstance(gives, dict) and gives.get("files") == {} and isinstance(wanted, list)):
        return gives
    names = [name for name in wanted if not any(character in name for character in "*?[")]
    files = [FileRef(name=name, digest=digest(b""), size=0) for name in names]
    return {**gives, "files": {one.name: msgspec.to_builtins(one) for one in files}}


def _request(asked: Asked) -> Request:
    return Request(
        run=asked.run,
        call=Call(asked.path, asked.attempt),
        agent=asked.agent,
        input=asked.input,
        output=asked.job.output,
        options=asked.job.options,
        tools=asked.job.tools,
    )


class Standing:
    """Agents of a record of which some ask another model now, and are as those that asked it.

    Args:
        inner: The agents of the record.
        others: For whom in the record they stand.
    """

    def __init__(self, inner: SimulatedAgents, others: Mapping[str, str]) -> None:
        self._inner = inner
        self._others = dict(others)

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out."""
        return self._inner.act(self._as(asked))

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take, for limits on tokens and money."""
        return self._inner.estimate(self._as(asked))

    def _as(self, asked: Asked) -> Asked:
        return asked._replace(agent=self._others.get(asked.agent, asked.agent))
