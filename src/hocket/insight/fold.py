"""A run's trace, folded from its events: what was done, and what made each thing possible.

The run's own machine says what follows from each event, so nothing is guessed: a call that is to
start once an event was applied has come up by that very event.
Where time alone has brought something up, as a limit on how long to wait, what was being waited for
and was still under way counts as what came before; if nothing was, the timer itself does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import EngineBug
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    InputAsked,
    InputGiven,
    LimitChanged,
    PauseRequested,
    Recorded,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    TimePassed,
    Wait,
)
from hocket.core.machine import Workflow
from hocket.core.people import asking_call
from hocket.core.reports import Fate
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.insight.fold_before import Before
from hocket.insight.fold_people import People, Unsaid
from hocket.insight.fold_trace import LAST, Facts, Until, awaited, trace_from, waited_untold
from hocket.insight.places import Place
from hocket.insight.roster import Roster
from hocket.insight.trace import START, Activity, Change, Stop, Trace

_MOST_ASKED: Final = 20_000
"""Of so many calls it is worked out what they were asked; of more it would take too long."""
_ENDS: Final = frozenset({CallFinished, CallFailed, CallCancelled, CallLost})
_NO_FATES: Final[Mapping[str, Fate]] = {}


class Folding:
    """Folds a run's events into a trace; a trace can be had at any time.

    Args:
        machine: A new machine, to which each event is applied.
    """

    def __init__(self, machine: RunMachine) -> None:
        self.machine = machine
        self._facts = Facts()
        self._activities = self._facts.activities
        self._before = Before(self._facts, machine)
        self._places = self._before.places
        self._people = People(self._facts, self._before)
        self._calls: dict[Call, int] = {}
        self._fell: int | None = None
        """The last instant before a process took the run up again."""

    def add(self, recorded: Recorded) -> None:
        """Take the next event in."""
        seq, event = recorded.seq, recorded.event
        machine, kind = self.machine, type(recorded.event)
        before, phase = machine.at, machine.phase
        counts = False
        if isinstance(event, CallStarted):
            self._leaves(event, seq)
        elif kind in _ENDS:
            counts = _decides(machine, event.call)  # type: ignore[union-attr]
        machine.apply(event)
        cause: int | None = None
        if kind in _ENDS:
            cause = self._ends(event, seq, counts)
        elif kind in _TAKES:
            cause = _TAKES[kind](self, event, seq, before, phase)
        if machine.phase == "ending" and phase != "ending":
            oldest = awaited(self._activities, self._before.latest) if cause is None else cause
            self._facts.finish = oldest
            self._facts.decided, self._facts.landed = event.at, START
        commands = machine.drain()
        if commands:
            self._before.event(event)
            self._follow(commands, event, seq, cause)
        if (machine.phase == "pausing") != (phase == "pausing"):
            purse = _purse(event, machine) if isinstance(event, PauseRequested) else ""
            self._facts.pause(event.at, seq, purse)

    def trace(self, fates: Mapping[str, Fate] = _NO_FATES, until: Until = LAST) -> Trace:
        """Give what the run has done so far.

        Calls that have not left by then are there as well: they have waited for their back-off,
        then for a slot if none is free, and else nothing is known yet of what they wait for.
        Of a run under way the finish is what has begun first and has not ended.

        Args:
            fates: What became of calls of teams, by the calls' names; see
                `hocket.workflows.plan.fates_of`.
            until: Up to when, if the run has not ended: what is open is open until then.

        Raises:
            EngineBug: Nothing has happened yet.
        """
        if self.machine.phase == "new":
            raise EngineBug("a run without events has no trace: fold its run_started first")
        return trace_from(self._facts, self.machine, fates, self._before.latest, until)

    # -- what has happened --------------------------------------------------------------------

    def _leaves(self, event: CallStarted, seq: int) -> None:
        index = self._calls.get(event.call)
        if index is None:
            # Nobody has asked for it: a fact that the machine will ignore, but it left.
            since = event.waits[0].since if event.waits else event.at
            index = self._open(event.call, event.agent, since, START, ())
        activity = self._activities[index]
        if activity.left:
            return
        self._facts.gone.pop(index, None)
        activity.left, activity.began, activity.ended = True, event.at, None
        # Its back-off is known though it may not say so.
        waits = _named(event.waits, self.machine.run)
        activity.waits, activity.hedge = waits or activity.waits, event.hedge
        activity.fate, activity.how = "", ""
        activity.events = (seq,)
        if len(self._calls) <= _MOST_ASKED:
            activity.asks = self._roster.name_of(self.machine, event.call, event.agent)

    def _ends(self, event: Any, seq: int, counts: bool) -> int | None:
        """A call has ended; `counts` says whether anything may follow from that."""
        index, lost = self._calls.get(event.call), type(event) is CallLost
        if index is None:
            if lost or event.usage is None:
                return None
            index = self._open(event.call, "", event.at, START, ())
        activity, at = self._activities[index], event.at
        if activity.ended is not None:
            return None
        if lost and self._fell is not None and activity.began <= self._fell:
            # Whatever it was doing, it did until its process died.
            at = self._fell
        if not activity.left:
            activity.began = at
            waited_untold(activity, at)
        activity.ended = at
        activity.fate, activity.how = _fate_of(event, counts)
        activity.events = (*activity.events, seq)
        held = False
        if lost:
            job = self.machine.calls.jobs.get(activity.path)
            held = counts and job is not None and job.state == "held"
        else:
            activity.usage = event.usage
            activity.cached = type(event) is CallFinished and event.saved is not None
        self._before.over(index, counts)
        if held:
            self._people.hold(activity.path, event.at, index, seq)
        return index

    def _begun(self, event: RunStarted, seq: int, before: int, phase: str) -> int:
        self._roster = Roster(event.spec)
        self._places.read(event.spec)
        return START

    def _replaced(self, event: SpecReplaced, seq: int, before: int, phase: str) -> int:
        cause = self._people.replaced(event, seq)
        self._facts.ended = None
        self._roster = Roster(event.spec)
        self._places.read(event.spec)
        return cause

    def _resumed(self, event: RunResumed, seq: int, before: int, phase: str) -> None:
        self._fell = before
        if phase in ("running", "ending") and before < event.at:
            self._facts.stops.append(Stop("down", before, event.at, (seq - 1, seq)))

    def _retried(self, event: RetryRequested, seq: int, before: int, phase: str) -> int:
        cause = self._people.retried(event, seq, self.machine)
        self._facts.ended = None
        return cause

    def _asked(self, event: ApprovalAsked | InputAsked, seq: int, before: int, phase: str) -> None:
        # What a call asks is a part of the call.
        if asking_call(event.path) is None:
            self._people.asked(event, seq)

    def _answered(
        self, event: ApprovalGiven | InputGiven, seq: int, before: int, phase: str
    ) -> int | None:
        return None if asking_call(event.path) else self._people.answered(event, seq)

    def _passed(self, event: TimePassed, seq: int, before: int, phase: str) -> int | None:
        return self._people.passed(event, seq) if self._people.open else None

    def _changed(self, event: LimitChanged, seq: int, before: int, phase: str) -> None:
        limit = event.limit.removesuffix(_own(self.machine.run))
        change = Change(event.at, limit, event.what, event.until, seq)
        self._facts.changes.append(change)

    def _finished(self, event: RunEnded, seq: int, before: int, phase: str) -> None:
        self._facts.ended = event.at
        self._people.shut(event.at)

    # -- what follows -------------------------------------------------------------------------

    def _follow(self, commands: list[Any], event: AnyEvent, seq: int, cause: int | None) -> None:
        """Note what has come up by an event."""
        for command in commands:
            if type(command) is StartCall:
                self._start(command, event, seq, cause)
            elif isinstance(command, Record):
                self._say(command, event, seq, cause)
        for command in commands:
            # Only now, since what came up may have been waiting for what is taken back.
            if isinstance(command, CancelCall):
                self._take_back(command, event.at)

    def _start(self, start: StartCall, event: AnyEvent, seq: int, cause: int | None) -> None:
        """A call has come up."""
        path = start.call.path
        place = self._places.find(path)
        last = self._places.last.get(path, START)
        needs: tuple[int, ...] | None = None
        among: tuple[int, ...] = ()
        if start.hedge:
            after = last
            needs = self._activities[last].needs if last >= 0 else ()
        elif start.asked < event.at:
            # Its back-off is over; what came before is the call that had failed.
            after = last
        elif cause is None:
            after = self._before.of(place, event, seq)
            among = self._before.among
        else:
            after = cause
        if needs is None:
            before = self._activities[after] if after >= 0 else None
            again = before is not None and (
                before.work == "person" or (before.path == path and before.work != "timer")
            )
            needs = (after,) if again else self._before.needs(place, after, seq)
        index = self._open(start.call, start.agent, start.asked, after, needs, place)
        if start.asked < start.ready:
            self._activities[index].waits = (Wait("backoff", start.asked, start.ready),)
        if len(among) > 1:
            self._facts.among[index] = among

    def _say(self, record: Record, event: AnyEvent, seq: int, cause: int | None) -> None:
        """A fact for readers has come up."""
        said = record.event
        if isinstance(said, ApprovalAsked | InputAsked):
            place = self._places.find(said.path)
            after = cause
            among: tuple[int, ...] = ()
            if after is None:
                after = self._before.of(place, event, seq)
                among = self._before.among
            needs = self._before.needs(place, after, seq)
            self._people.unsaid[said.path] = Unsaid(event.at, after, needs, among)
        elif isinstance(said, StepFailed):
            after = self._before.latest if cause is None else cause
            self._people.failed[said.path] = (event.at, after)
        elif isinstance(said, RunEnded) and cause is not None and event.at > self._facts.decided:
            self._facts.landed = cause

    # -- activities ---------------------------------------------------------------------------

    def _open(
        self,
        call: Call,
        agent: str,
        asked: int,
        after: int,
        needs: tuple[int, ...],
        place: Place | None = None,
    ) -> int:
        """A call has been asked for."""
        path = call.path
        if place is None:
            place = self._places.find(path)
        doer = self._roster.doer(agent, place.spec)
        index = self._facts.add(
            Activity(
                path=path,
                attempt=call.attempt,
                step=place.step,
                agent=agent,
                model=doer.model,
                work=doer.work,
                asked=asked,
                began=asked,
                left=False,
                after=after,
                needs=needs,
                team=place.team,
                claims=doer.claims,
            ),
            place,
        )
        self._calls[call] = index
        self._places.asked(index, path, place)
        return index

    def _take_back(self, cancel: CancelCall, at: int) -> None:
        """A call is to stop; if it has not left, it never will."""
        index = self._calls.get(cancel.call)
        activity = None if index is None else self._activities[index]
        if index is None or activity is None or activity.left or activity.ended is not None:
            return
        activity.began = activity.ended = at
        activity.fate, activity.how = "cancelled", cancel.reason
        waited_untold(activity, at)
        self._facts.gone[index] = None
        place = self._facts.where[index]
        self._places.ended(index, activity.path, place, counts=False)


def trace_of(
    events: Iterable[Recorded],
    machine: RunMachine,
    fates_of: Callable[[Workflow], Mapping[str, Fate]] = lambda _: _NO_FATES,
    until: Until = LAST,
) -> Trace:
    """Fold a run's events into a trace.

    Args:
        events: All of them, from the first.
        machine: A new machine.
        fates_of: What became of calls of teams, as `hocket.workflows.plan.fates_of` says it.
        until: Up to when, if the run has not ended.

    Raises:
        EngineBug: There are none.
    """
    folding = Folding(machine)
    for recorded in events:
        folding.add(recorded)
    return folding.trace({} if machine.phase == "new" else fates_of(machine.workflow), until)


def _own(run: str) -> str:
    """Give what is added to the name of a limit that is this run's alone, where it is counted."""
    return f" of {run}"


def _purse(event: PauseRequested, machine: RunMachine) -> str:
    """Name the budget of which a pause says that it is spent, or ""."""
    if event.by or not event.reason.startswith("over budget"):
        return ""
    named = [name for name in machine.spec.limits if f" of {name}" in event.reason]
    return max(named, key=len, default="")


def _named(waits: tuple[Wait, ...], run: str) -> tuple[Wait, ...]:
    """Call limits in waits what the run's spec calls them."""
    own = _own(run)
    if not any([wait.cause.endswith(own) for wait in waits]):
        return waits
    return tuple([Wait(wait.cause.removesuffix(own), wait.since, wait.until) for wait in waits])


def _decides(machine: RunMachine, call: Call) -> bool:
    """Tell whether a call is still of a job that somebody waits for."""
    job = machine.calls.jobs.get(call.path)
    return job is not None and not job.dropped and job.state_of(call.attempt) is not None


def _fate_of(event: Any, counts: bool) -> tuple[Fate, str]:
    """Say what became of a call that has ended, and how it ended."""
    if type(event) is CallFinished:
        return "useful" if counts else "discarded", ""
    if type(event) is CallFailed:
        kind = event.fault.kind
        return "refused" if kind == "rate_limited" else "failed", kind
    if type(event) is CallLost:
        return "failed", "lost"
    return "cancelled", event.reason


_TAKES: Final[dict[type, Callable[[Folding, Any, int, int, str], int | None]]] = {
    RunStarted: Folding._begun,
    RunResumed: Folding._resumed,
    SpecReplaced: Folding._replaced,
    RetryRequested: Folding._retried,
    ApprovalAsked: Folding._asked,
    InputAsked: Folding._asked,
    ApprovalGiven: Folding._answered,
    InputGiven: Folding._answered,
    TimePassed: Folding._passed,
    LimitChanged: Folding._changed,
    RunEnded: Folding._finished,
}
