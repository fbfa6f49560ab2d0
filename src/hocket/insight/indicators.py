"""How well runs go in general: a few figures of each run, and the indicators over many of them.

A run's figures are folded from its events in O(1) each, without its machine, so that the whole of a
state folder can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    ContinueRequested,
    InputAsked,
    InputGiven,
    LimitChanged,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    StepSkipped,
    Usage,
)
from hocket.core.timeouts import plan_timed_out
from hocket.core.values import SECOND, Call
from hocket.insight.standing import Standing

Better: TypeAlias = Literal["below", "above", "none"]
Unit: TypeAlias = Literal["seconds", "share", "count", "times", "bytes", "dollars"]

_MARK: Final = re.compile(r": over (\d+) %")
"""How `hocket.limits` words that a budget has passed a mark."""


class Spent(msgspec.Struct):
    """What one agent has done and spent.

    Fields:
        calls: Calls that were really made and have ended.
        failed: Those of them that failed.
        refused: Those that the provider would not have.
        cost: Pico-dollars, as far as priced.
        unpriced: Calls with tokens whose price nobody knows.
        tokens: Tokens read and written, as far as known.
        busy: For how many nanoseconds calls were in flight, all added up.
    """

    calls: int = 0
    failed: int = 0
    refused: int = 0
    cost: int = 0
    unpriced: int = 0
    tokens: int = 0
    busy: int = 0


class _Open(msgspec.Struct):
    """A step with calls in flight."""

    since: int
    flying: int = 0


class Figures:
    """What a run tells about how well runs go; costs O(1) for each event.

    Attributes:
        run: Its id.
        name: The plan's name.
        status: How it ended, or ``running``.
        began: When it began.
        at: When its last event happened.
        agents: What each agent has done.
        calls: Calls that were really made and have ended.
        failed: Calls that failed, refused ones among them.
        refused: Calls that the provider would not have.
        timed_out: Calls that took longer than they may.
        plan_timed_out: Whether the plan took longer than it may.
        steps: Steps that had calls and have come to rest; each time counts that they did.
        step_time: How many nanoseconds these took, all added up.
        longest: The one that took longest: how long, and which.
        busy: For how many nanoseconds calls were in flight, all added up.
        active: For how many of them any was.
        peak: How many were in flight at once at most.
        warned: The highest mark that each budget was told to have passed, in per cent.
        open: Since when the steps with calls in flight have been at work.
    """

    def __init__(self) -> None:
        self.run = self.name = ""
        self.status = "running"
        self.began = self.at = 0
        self.agents: dict[str, Spent] = {}
        self.calls = self.failed = self.refused = self.timed_out = 0
        self.plan_timed_out = False
        self.steps = self.step_time = 0
        self.longest: tuple[int, str] = (0, "")
        self.busy = self.active = self.peak = 0
        self.warned: dict[str, int] = {}
        self._flying: dict[Call, tuple[str, int]] = {}
        self._open: dict[str, _Open] = {}
        self._active_since = 0
        self._idle = 0
        """For how long it has rested, until it last went on."""
        self._rests: int | None = None
        """Since when it rests; None while it goes on."""
        self._pausing = False
        self._fell = 0
        """When the process that drove it before was last heard of."""
        self._people = Standing()

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        before, self.at = self.at, event.at
        if isinstance(event, CallStarted):
            self._started(event)
        elif isinstance(event, CallFinished):
            self._landed(event.call, event.at, event.usage, kept=event.saved is not None)
        elif isinstance(event, CallFailed):
            self._failed(event)
        elif isinstance(event, CallCancelled):
            self.timed_out += event.reason == "timeout"
            self._landed(event.call, event.at, event.usage)
        elif isinstance(event, CallLost):
            # Whatever it was doing, it did until its process died.
            since = self._flying.get(event.call, ("", event.at))[1]
            at = self._fell if since <= self._fell else event.at
            self._landed(event.call, at, None)
        elif isinstance(event, RunEnded):
            self._rest(event.at)
            self.status = event.status
            self.plan_timed_out = event.status == "failed" and plan_timed_out(event.reason)
        elif isinstance(event, RunStarted):
            self.run, self.name, self.began = event.run, event.spec.name, event.at
        elif isinstance(event, LimitChanged) and event.what == "warned":
            self._warned(event)
        else:
            self._other(event, before)

    @property
    def worked(self) -> int:
        """For how many nanoseconds it was under way: not paused, not ended, and driven."""
        return (self.at if self._rests is None else self._rests) - self.began - self._idle

    @property
    def stood(self) -> int:
        """For how many nanoseconds of those it waited for people and for nothing else."""
        return self._people.took(self.at)

    @property
    def busy_alone(self) -> int:
        """For how many nanoseconds calls in flight waited for no person, all added up."""
        return self.busy - self._people.held

    @property
    def open(self) -> dict[str, int]:
        """Since when the steps with calls in flight have been at work, by name."""
        # It is read while another thread may take events in: a list is made in one go.
        return {step: one.since for step, one in list(self._open.items())}

    @property
    def cost(self) -> int:
        """Pico-dollars that its calls have cost, as far as priced."""
        return sum(spent.cost for spent in list(self.agents.values()))

    @property
    def unpriced(self) -> int:
        """How many of its calls have a price that nobody knows."""
        return sum(spent.unpriced for spent in list(self.agents.values()))

    @property
    def flying(self) -> int:
        """How many calls are in flight."""
        return len(self._flying)

    def _other(self, event: AnyEvent, before: int) -> None:
        """Take in what says that the run rests, or goes on."""
        if isinstance(event, PauseRequested):
            self._pausing = True
            if not self._flying and self._rests is None:
                self._rest(event.at)
        elif isinstance(event, RetryRequested | SpecReplaced):
            # A run that had ended goes on.
            self.status = "running"
            if isinstance(event, SpecReplaced):
                self._people.anew(event.at)
            if self._rests is not None:
                self._goes_on(event.at, before)
        elif isinstance(event, RunResumed):
            self._fell = before
            self._goes_on(event.at, before)
        elif isinstance(event, ContinueRequested):
            self._goes_on(event.at, before)
        elif isinstance(event, ApprovalAsked | InputAsked):
            self._people.asked(event.path, event.at)
            self._only_people(event.at)
        elif isinstance(event, ApprovalGiven | InputGiven | StepFailed | StepSkipped):
            self._people.answered(event.path, event.at)
            self._only_people(event.at)

    def _only_people(self, at: int) -> None:
        """If nothing is under way now but what waits for people, it stands."""
        if self._rests is None and len(self._flying) == len(self._people.asking):
            self._people.begins(at)

    def _rest(self, at: int) -> None:
        self._rests = at
        self._people.stops(at)

    def _goes_on(self, at: int, before: int) -> None:
        """It goes on; if nothing has said since when it rested, it did since its last event."""
        since = before if self._rests is None else self._rests
        self._people.stops(since)
        self._idle += at - since
        self._rests = None
        self._pausing = False
        self._only_people(at)

    def _warned(self, event: LimitChanged) -> None:
        match = _MARK.search(event.message)
        if match is not None:
            self.warned[event.limit] = max(self.warned.get(event.limit, 0), int(match[1]))

    def _started(self, event: CallStarted) -> None:
        step = step_name(event.call.path)
        # It may have waited for a limit before, and a person was not alone waited for then.
        self._people.stops(min([event.at, *[wait.since for wait in event.waits]]))
        if not self._flying:
            self._active_since = event.at
        self._flying[event.call] = event.agent, event.at
        self.peak = max(self.peak, len(self._flying))
        self._open.setdefault(step, _Open(event.at)).flying += 1
        self.agents.setdefault(event.agent, Spent())

    def _failed(self, event: CallFailed) -> None:
        self.failed += 1
        refused = event.fault.kind == "rate_limited"
        self.refused += refused
        self.timed_out += event.fault.kind == "timeout"
        known = self._flying.get(event.call)
        if known is not None:
            spent = self.agents[known[0]]
            spent.failed += 1
            spent.refused += refused
        self._landed(event.call, event.at, event.usage)

    def _landed(self, call: Call, at: int, usage: Usage | None, *, kept: bool = False) -> None:
        known = self._flying.pop(call, None)
        if known is None:
            return
        agent, since = known
        self._people.landed(call, at)
        spent = self.agents[agent]
        if not kept:
            self.calls += 1
            spent.calls += 1
        spent.busy += at - since
        self.busy += at - since
        if not self._flying:
            self.active += at - self._active_since
            if self._pausing and self._rests is None:
                self._rest(at)
        self._only_people(self.at)
        if usage is not None and not kept:
            spent.cost += usage.cost or 0
            tokens = (usage.tokens_in or 0) + (usage.tokens_out or 0)
            spent.tokens += tokens
            spent.unpriced += usage.cost is None and tokens > 0
        step = step_name(call.path)
        one = self._open[step]
        one.flying -= 1
        if not one.flying:
            del self._open[step]
            took = at - one.since
            self.steps += 1
            self.step_time += took
            self.longest = max(self.longest, (took, step))


def step_name(path: str) -> str:
    """Give the step of a run's own plan that a call's path is of."""
    return path.partition("/")[0].partition("~")[0]


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, with what it should be.

    Fields:
        name: What it is called in documents.
        label: What people call it.
        value: It; None where nothing is known of it yet.
        unit: What it is counted in.
        target: What it should be, or None.
        better: On which side of the target it should be; ``none`` exactly there, or without one.
        about: What it means.
    """

    name: str
    label: str
    value: float | None
    unit: Unit
    about: str
    target: float | None = None
    better: Better = "none"

    @property
    def good(self) -> bool | None:
        """Whether it is as it should be; None where nobody knows or says."""
        if self.value is None or self.target is None:
            return None
        if self.better == "below":
            return self.value < self.target
        if self.better == "above":
            return self.value > self.target
        return self.value == self.target


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Indicators over many runs.

    Fields:
        since: From when on runs count, by when they began.
        until: Until when.
        indicators: The figures, those with targets first.
        agents: What each agent has done and spent.
    """

    since: int
    until: int
    indicators: tuple[Indicator, ...]
    agents: dict[str, Spent]


def stats(
    figures: Iterable[Figures],
    since: int,
    until: int,
    *,
    frame: int | None = None,
    exhausted: int | None = None,
    memory: int | None = None,
) -> Stats:
    """Sum runs up.

    Args:
        figures: Of each run.
        since: From when on runs count.
        until: The present instant.
        frame: The bytes of the largest frame that a server has pushed, if one asks.
        exhausted: How often a pool of sessions had no worker free, if a server asks.
        memory: The bytes of memory that the server has, if one asks.
    """
    runs = [one for one in figures if one.began >= since]
    ended = [one for one in runs if one.status != "running"]
    agents: dict[str, Spent] = {}
    for one in runs:
        for name, spent in list(one.agents.items()):
            _join(agents.setdefault(name, Spent()), spent)
    found = (*_targeted(runs, ended, frame), *_plain(runs, ended, agents, exhausted, memory))
    return Stats(since=since, until=until, indicators=found, agents=dict(sorted(agents.items())))


def _targeted(
    runs: Sequence[Figures], ended: Sequence[Figures], frame: int | None
) -> list[Indicator]:
    steps = sum(one.steps for one in runs)
    succeeded = sum(one.status == "succeeded" for one in ended)
    width = sum(one.active * one.peak for one in runs)
    return [
        Indicator(
            name="step_time",
            label="mean step time",
            value=_ratio(sum(one.step_time for one in runs) / SECOND, steps),
            unit="seconds",
            target=30,
            better="below",
            about="from a step's first call to its last one's end",
        ),
        Indicator(
            name="completion",
            label="plan completion",
            value=_ratio(succeeded, len(ended)),
            unit="share",
            target=0.9,
            better="above",
            about="runs that succeeded, of those that have ended",
        ),
        Indicator(
            name="refused",
            label="rate-limit errors",
            value=sum(one.refused for one in runs),
            unit="count",
            target=0,
            about="calls that a provider would not have",
        ),
        Indicator(
            name="efficiency",
            label="parallel efficiency",
            value=_ratio(sum(one.busy for one in runs), width),
            unit="share",
            target=0.7,
            better="above",
            about="calls in flight in the mean while any was, of the most at once in each run",
        ),
        Indicator(
            name="frame",
            label="largest frame",
            value=frame,
            unit="bytes",
            target=50_000,
            better="below",
            about="the largest message that this server has pushed to a page",
        ),
    ]


def _plain(
    runs: Sequence[Figures],
    ended: Sequence[Figures],
    agents: dict[str, Spent],
    exhausted: int | None,
    memory: int | None,
) -> list[Indicator]:
    calls = sum(one.calls for one in runs)
    wall = sum(one.worked - one.stood for one in ended)

    def figure(name: str, label: str, value: float | None, unit: Unit, about: str) -> Indicator:
        return Indicator(name=name, label=label, value=value, unit=unit, about=about)

    return [
        figure("runs", "runs", len(runs), "count", "runs that have begun"),
        figure("calls", "calls", calls, "count", "calls that were really made"),
        figure(
            "speed_up",
            "speed-up over sequential",
            _ratio(sum(one.busy_alone for one in ended), wall),
            "times",
            "time of all calls of ended runs, over their time without waits for people alone",
        ),
        figure(
            "timeouts",
            "call time-outs",
            _ratio(sum(one.timed_out for one in runs), calls),
            "share",
            "calls that took longer than they may",
        ),
        figure(
            "plan_timeouts",
            "plan time-outs",
            _ratio(sum(one.plan_timed_out for one in ended), len(ended)),
            "share",
            "runs whose plan took longer than it may, of those that have ended",
        ),
        figure(
            "errors",
            "errors",
            _ratio(sum(one.failed - one.refused for one in runs), calls),
            "share",
            "calls that failed, refused ones left out",
        ),
        figure(
            "cost",
            "cost",
            sum(one.cost for one in agents.values()) / 1e12,
            "dollars",
            "what calls have cost, as far as priced",
        ),
        figure(
            "exhausted",
            "pool exhaustion",
            exhausted,
            "count",
            "how often a call found every warm session of its agent at work, on this server",
        ),
        figure("memory", "memory", memory, "bytes", "what this server's process holds"),
    ]


def _ratio(over: float, under: float) -> float | None:
    return over / under if under else None


def _join(whole: Spent, part: Spent) -> None:
    for name in whole.__struct_fields__:
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
