"""Simulated agents and people, made from a recorded run, from what is assumed, or from both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hocket.agents.base import Estimate
from hocket.core.errors import Fault, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallFinished,
    InputAsked,
    InputGiven,
    Usage,
)
from hocket.core.specs import RunSpec
from hocket.core.values import DAY, MS, Json, step_of
from hocket.forecast.durations import Durations
from hocket.insight.trace import Trace
from hocket.simulator.agents import Act, Asked, Behaviour, People
from hocket.simulator.assume import EVERYBODY, LATENCY, TOKENS, Assumed, fault_of
from hocket.simulator.invent import Invented
from hocket.simulator.kinds import Kinds
from hocket.simulator.known import (
    Agents,
    Known,
    One,
    calls_of,
    judged,
    price_of,
    rewritten,
    spent,
    start_of,
    waits_of,
)
from hocket.simulator.observed import ALIKE, MODEST, Observed, Sample, fit, repeated
from hocket.simulator.provider import Provider, Refusing, tells, window_of
from hocket.simulator.recall import Recall

NEVER: Final = 100 * 365 * DAY
"""How long a call lasts, and a person is silent, that never comes to an end."""

_NOTHING: Final = Assumed()
_ROUND_TRIP: Final = 50 * MS
"""How long a refusal takes of which nothing is known."""
_MUCH: Final = 0.2
"""From what share on the engine's own time is told."""
_FAILED: Final = "it failed so in the record"
_REFUSED: Final = "the provider refuses it"
_CHARACTERS: Final = 4


class Simulated:
    """All agents of a simulation, by a record, by assumptions, or by both.

    An agent of which something is assumed follows that, and for the rest the record.

    Args:
        spec: What is simulated.
        assumed: What is assumed, by agent; under `EVERYBODY` for those that are not named.
        record: What a recorded run tells; None without one.
    """

    def __init__(
        self,
        spec: RunSpec,
        assumed: Mapping[str, Assumed] | None = None,
        record: Record | None = None,
    ) -> None:
        self._kinds = Kinds(spec)
        self._assumed = dict(assumed or {})
        self._record = record
        self._gives: dict[str, Behaviour] = {}
        self._prices: dict[str, tuple[int, int] | None] = {}
        self._providers: dict[str, Provider] = {}
        for how in [] if record is None else record.windows:
            self._providers.update(dict.fromkeys(how.agents, Provider(how)))

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out."""
        record = self._record
        if record is not None and asked.path in record.kept:
            return Act(0, record.recall.gives(asked))
        assumed = self._of(asked.agent)
        if self._providers and assumed.refusing is None and asked.agent in self._providers:
            refusal = self._providers[asked.agent].refuses(asked)
            if refusal is not None:
                return refusal
        known = None if record is None else record.of(asked)
        share = asked.draw("latency")
        lasts = self._lasts(asked, assumed, known, share)
        if record is not None and not asked.at:
            lasts += record.start
        if record is not None and asked.path in record.refuted:
            after = record.refuted[asked.path].at(share)
            return Act(after, Fault(kind="permanent", message=_FAILED))
        went = None if record is None else record.went(asked)
        trouble = _trouble(asked, assumed, known, lasts, went)
        if trouble is not None:
            return trouble
        heard = None if assumed.first is None else min(assumed.first, lasts)
        gives = self._output(asked, assumed)
        if isinstance(gives, Fault):
            return Act(lasts, gives, None, heard)
        return Act(lasts, gives, self._usage(asked, assumed, known, share), heard)

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take: what it then does take."""
        record, assumed = self._record, self._of(asked.agent)
        known = None if record is None else record.of(asked)
        usage = self._usage(asked, assumed, known, asked.draw("latency"))
        if usage is None:
            return Estimate()
        read, written = usage.tokens_in or 0, usage.tokens_out or 0
        return Estimate(
            tokens_in=read, tokens_out=written, most_tokens=read + written, most_cost=usage.cost
        )

    def notes(self) -> list[str]:
        """Say what has been assumed so far that the record does not tell, a sentence each."""
        if self._record is None:
            return []
        found = []
        for kind in self._record.recall.unlike:
            what = f"{kind.step}, {kind.what}" if kind.what else kind.step
            found.append(f"The record has no output that fits a call of {what}: one is made up.")
        return found

    def _of(self, agent: str) -> Assumed:
        assumed = self._assumed
        return assumed.get(agent) or assumed.get(EVERYBODY) or _NOTHING

    def _lasts(self, asked: Asked, assumed: Assumed, known: Known | None, share: float) -> int:
        if assumed.latencies:
            own = assumed.latencies.get(self._kinds.of(asked.path).task)
            if own is not None:
                return own.at(share)
        if assumed.latency is not None:
            return assumed.latency.at(share)
        if self._record is None or known is None:
            return LATENCY.at(share)
        return self._record.lasts(asked, known).at(share)

    def _usage(
        self, asked: Asked, assumed: Assumed, known: Known | None, share: float
    ) -> Usage | None:
        usage = None if known is None else spent(known, share)
        if known is None:
            usage = Usage(tokens_in=_length(asked.input), tokens_out=TOKENS)
            written = TOKENS if assumed.tokens_out is None else assumed.tokens_out
            return rewritten(usage, written, assumed.price)
        if usage is None or (assumed.tokens_out is None and assumed.price is None):
            return usage
        written = usage.tokens_out or 0
        written = written if assumed.tokens_out is None else assumed.tokens_out
        return rewritten(usage, written, assumed.price or self._price(asked.agent))

    def _price(self, agent: str) -> tuple[int, int] | None:
        if agent not in self._prices:
            usages = [] if self._record is None else self._record.usages(agent)
            self._prices[agent] = price_of(usages)
        return self._prices[agent]

    def _output(self, asked: Asked, assumed: Assumed) -> Json | Fault:
        behaves = (assumed.votes, assumed.revises, assumed.accuracy, assumed.faulty, assumed.turns)
        if self._record is not None and all(one is None for one in behaves):
            return self._record.recall.gives(asked)
        give = self._gives.get(asked.agent)
        if give is None:
            give = self._gives[asked.agent] = Invented(assumed, self._kinds)
        return give(asked)


class Record:
    """What a recorded run tells of agents and people.

    Args:
        trace: The run.
        outputs: What calls, approvals and inputs gave, by path (`outputs_of`).

    Attributes:
        start: How long the run itself needed to begin: calls that begin with it end so much later.
        windows: The windows of providers, where one explains whom they refused.
        kept: The paths whose answers were kept from earlier calls: they are kept again.
        refuted: The paths where all was in vain, and repeating would not have helped, and after
            how long that was said.
        recall: The outputs.
        people: How long people took, and what they decided.
        past: How long the calls took, for what is learned from earlier runs.
        assumed: What was assumed because the record does not tell it, a sentence each.

    Raises:
        Refused: The run is another program's.
    """

    def __init__(self, trace: Trace, outputs: Mapping[str, Json]) -> None:
        spec = trace.spec
        if spec is None:
            raise Refused(
                f"{trace.run} is a log of {trace.source}, which does not say what was to be done; "
                "only runs of Hocket can be simulated"
            )
        self._kinds = Kinds(spec)
        calls = calls_of(trace, self._kinds)
        self.start = start_of(trace)
        self.windows = _windows(calls)
        explained = frozenset(agent for how in self.windows for agent in how.agents)
        calls = [one for one in calls if not (one.refused and one.activity.agent in explained)]
        self._agents = Agents(calls, waits_of(trace))
        self._found: dict[tuple[str, str], Known | None] = {}
        self._lasts: dict[tuple[str, str], Observed] = {}
        cut = {one.activity.path for one in calls if one.cut}
        self._took = {
            (one.activity.agent, one.activity.path): (one.activity.attempt, one.took)
            for one in calls
            if not one.failed and one.activity.path not in cut
        }
        last = {one.path: one for one in trace.activities}
        self.kept = frozenset(p for p, one in last.items() if one.cached and p in outputs)
        self.refuted = {
            one.activity.path: fit({"": [Sample(one.took)]}).all
            for one in calls
            if one.activity.how == "permanent"
            and last[one.activity.path].how == "permanent"
            and one.activity.path not in outputs
        }
        self._went = {
            (one.activity.agent, one.activity.path, one.activity.attempt): one.activity.how
            for one in calls
            if not one.cut and not one.refused
        }
        called = {one.path: one.agent for one in trace.activities if one.work in ("model", "tool")}
        given = {path: value for path, value in outputs.items() if path in called}
        invented = Invented(_NOTHING, self._kinds)
        self.recall = Recall(
            self._kinds, given, called, trace.reports, invented, judged(trace, self._kinds)
        )
        self.people = _people(trace, outputs)
        past: dict[tuple[str, str, str], list[int]] = {}
        for one in calls:
            if not one.cut and not one.failed:
                key = (spec.workflow.name, step_of(one.activity.path), one.activity.agent)
                past.setdefault(key, []).append(one.took)
        self.past = Durations(past)
        self.assumed = tuple(self._notes(trace, calls))

    def of(self, asked: Asked) -> Known | None:
        """Give what is known of calls like this one."""
        key = (asked.agent, asked.path)
        if key not in self._found:
            self._found[key] = self._agents.of(asked.agent, self._kinds.of(asked.path))
        return self._found[key]

    def lasts(self, asked: Asked, known: Known) -> Observed:
        """Give how long a call lasts: nearly as long as the same one did, if it was seen.

        A second call beside a slow one, or after it, is as any of its kind.
        """
        key = (asked.agent, asked.path)
        attempt, took = self._took.get(key, (0, 0))
        if asked.attempt > attempt:
            return known.lasts
        lasts = self._lasts.get(key)
        if lasts is None:
            lasts = self._lasts[key] = repeated(known.lasts, took)
        return lasts

    def went(self, asked: Asked) -> str | None:
        """Say how the very same call failed; "" if it did not, None if nobody has seen it."""
        return self._went.get((asked.agent, asked.path, asked.attempt))

    def usages(self, agent: str) -> list[Usage]:
        """Give what an agent's calls spent."""
        some = [one.activity.usage for one in self._agents.calls(agent)]
        return [usage for usage in some if usage is not None]

    def _notes(self, trace: Trace, calls: Sequence[One]) -> Iterable[str]:
        agents = self._agents
        took, own = sum(one.took for one in calls), sum(one.own for one in calls)
        if own > _MUCH * took:
            yield (
                f"{own / took:.0%} of the time of calls was Hocket's own, and is taken to be as "
                "long however many there are at once."
            )
        lonely = [name for name, count in agents.sure.items() if count == 1]
        if lonely:
            yield (
                f"One call alone is known of {_several(lonely)}: two thirds of the simulated ones "
                f"lie within {MODEST:.0%} of it, unless other agents' calls vary more."
            )
        for name, count in agents.sure.items():
            if not count:
                yield f"No call of {name} came to its end: how long one takes is not known."
        for name, count in agents.hung.items():
            if count:
                of = len(agents.calls(name))
                yield f"{count} of {of} calls of {name} lasted so long that they seem to have hung."
        explained: list[str] = []
        for how in self.windows:
            explained += how.agents
            yield (
                f"What was refused of {_several(how.agents)} is explained by a window of "
                f"{how.window} at the provider; whoever stays within it is not refused."
            )
        refused: dict[str, int] = {}
        for one in trace.activities:
            if one.how == "rate_limited" and one.agent not in explained:
                refused[one.agent] = refused.get(one.agent, 0) + 1
        for name, count in refused.items():
            of = len(agents.calls(name))
            yield (
                f"{count} of {of} calls of {name} were refused, and so are as many of the "
                "simulated ones, whatever its limits are."
            )
        if self.kept:
            yield (
                f"{len(self.kept)} answers were kept from earlier calls; they are kept again where "
                "the same path is asked, and limits count them."
            )
        if trace.status in ("running", "paused"):
            yield "The run has not ended: what would have come is told by what is there."


def calibrate(
    trace: Trace,
    outputs: Mapping[str, Json],
    *,
    spec: RunSpec | None = None,
    assumed: Mapping[str, Assumed] | None = None,
) -> Simulated:
    """Make simulated agents from a recorded run.

    Args:
        trace: The run.
        outputs: What it gave, by path (`outputs_of`).
        spec: What is simulated; by default what was recorded.
        assumed: What is assumed instead of what the record tells, by agent.

    Raises:
        Refused: The run is another program's.
    """
    record = Record(trace, outputs)
    assert trace.spec is not None
    return Simulated(spec or trace.spec, assumed, record)


def outputs_of(events: Iterable[AnyEvent]) -> dict[str, Json]:
    """Gather what the calls of a run, and the people in it, have given last, by path."""
    found: dict[str, Json] = {}
    for event in events:
        if isinstance(event, CallFinished):
            found[event.call.path] = event.output
        elif isinstance(event, InputGiven):
            found[event.path] = event.value
        elif isinstance(event, ApprovalGiven):
            found[event.path] = event.approved
    return found


class Persons(People, frozen=True):
    """People as they were in a recorded run.

    Fields:
        took: How long they took, by path; `NEVER` where they did not answer.
        usual: How long they take anywhere else.
        said: What they decided or wrote, by path.
    """

    took: Mapping[str, int] = {}
    usual: int = 0
    said: Mapping[str, Json] = {}

    def answer(
        self, asked: ApprovalAsked | InputAsked, at: int
    ) -> ApprovalGiven | InputGiven | None:
        """Give their answer; None if they gave none in the record."""
        path = asked.path
        if self.took.get(path, 0) >= NEVER:
            return None
        at += self.took.get(path, self.usual)
        if isinstance(asked, InputAsked):
            return InputGiven(
                at=at, path=path, value=self.said.get(path, self.value), by="somebody"
            )
        said = self.said.get(path, self.approve)
        return ApprovalGiven(
            at=at, path=path, approved=said is not False, digest=asked.digest, by="somebody"
        )


def _people(trace: Trace, outputs: Mapping[str, Json]) -> Persons:
    took: dict[str, int] = {}
    for one in trace.activities:
        if one.work in ("approval", "input"):
            answered = one.ended is not None and one.path in outputs
            took[one.path] = one.ended - one.began if answered and one.ended is not None else NEVER
    known = sorted(value for value in took.values() if value < NEVER)
    usual = known[len(known) // 2] if known else 0
    return Persons(took=took, usual=usual, said={p: outputs[p] for p in took if p in outputs})


def _windows(calls: Sequence[One]) -> list[Refusing]:
    """Find the providers whose refusals a window explains; a provider is known by its model."""
    begun = {(one.activity.path, one.activity.attempt): one.activity.began for one in calls}
    models: dict[str, list[One]] = {}
    for one in calls:
        models.setdefault(one.activity.model or one.activity.agent, []).append(one)
    found = []
    for ones in models.values():
        refused = [one for one in ones if one.refused]
        through = sorted(one.activity.began for one in ones if not one.refused)
        window = window_of(through, [one.activity.began for one in refused])
        if window is not None:
            agents = list(dict.fromkeys(one.activity.agent for one in ones))
            lasts = fit({"": [Sample(one.took) for one in refused]}).all
            tries = [
                (one.activity.began, begun[key])
                for one in refused
                if (key := (one.activity.path, one.activity.attempt + 1)) in begun
            ]
            found.append(Refusing(agents, window, tells(window, through, tries), lasts))
    return found


def _trouble(
    asked: Asked, assumed: Assumed, known: Known | None, lasts: int, went: str | None
) -> Act | None:
    """Say how a call comes to nothing, if it does: all ways by one draw, so none hides another."""
    hanging = assumed.hanging
    if hanging is None:
        hanging = 0.0 if known is None else known.hangs
    ways = _ways(asked, assumed, known, lasts, went)
    if not hanging and not ways:
        return None
    left = asked.draw("fails") - hanging
    if left < 0:
        return Act(NEVER)
    for share, after, fault in ways:
        left -= share
        if left < 0:
            return Act(after, fault)
    return None


def _ways(
    asked: Asked, assumed: Assumed, known: Known | None, lasts: int, went: str | None
) -> list[tuple[float, int, Fault]]:
    """Give in which ways a call may fail: how often, after how long, and with which fault."""
    found = []
    if assumed.refusing:
        refusal = Fault(kind="rate_limited", message=_REFUSED, retry_after=assumed.retry_after)
        found.append((assumed.refusing, min(_ROUND_TRIP, lasts), refusal))
    if assumed.failing:
        found.append((assumed.failing, lasts, fault_of(assumed)))
    for trouble in () if known is None else known.troubles:
        refuses = trouble.kind == "rate_limited"
        if (assumed.refusing if refuses else assumed.failing) is not None:
            continue
        wait = trouble.wait if assumed.retry_after is None else assumed.retry_after
        message = _REFUSED if refuses else _FAILED
        fault = Fault(kind=trouble.kind, message=message, retry_after=wait if refuses else None)
        share = trouble.share
        if went is not None and not refuses:
            # It mostly goes as it went: the same was asked, of the same one.
            share += ALIKE * ((went == trouble.kind) - share)
        found.append((share, trouble.lasts.at(asked.draw("latency")), fault))
    return found


def _length(given: Json) -> int:
    text = given if isinstance(given, str) else msgspec.json.encode(given)
    return max(1, len(text) // _CHARACTERS)


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
