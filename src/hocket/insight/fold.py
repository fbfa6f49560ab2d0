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
from hocket.core.reports import Fate
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.insight.fold_trace import UNTOLD, Facts, trace_from
from hocket.insight.places import Place, Places
from hocket.insight.roster import Roster
from hocket.insight.trace import START, Activity, Change, Stop, Trace

_MOST_ASKED: Final = 20_000
"""Of so many calls it is worked out what they were asked; of more it would take too long."""
_ENDS: Final = frozenset({CallFinished, CallFailed, CallCancelled, CallLost})
_NO_FATES: Final[Mapping[str, Fate]] = {}


class _Team:
    """The calls of one team: which were asked for together, and what they have waited for."""

    __slots__ = ("last", "needs", "recent", "seq")

    def __init__(self) -> None:
        self.seq = 0
        """The event that made the last ones come up."""
        self.needs: tuple[int, ...] = ()
        """What those have waited for."""
        self.recent: list[int] = []
        """What has ended since."""
        self.last = START
        """What has ended last."""


class Folding:
    """Folds a run's events into a trace; a trace can be had at any time.

    Args:
        machine: A new machine, to which each event is applied.
    """

    def __init__(self, machine: RunMachine) -> None:
        self.machine = machine
        self._facts = Facts()
        self._activities = self._facts.activities
        self._places = Places(self._activities)
        self._where: list[Place] = []
        """Where each activity stands."""
        self._calls: dict[Call, int] = {}
        self._teams: dict[str, _Team] = {}
        self._questions: dict[str, tuple[int, int | None]] = {}
        """Open questions by path: the activity, and when time alone answers it, if ever."""
        self._unsaid: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        """Questions not yet recorded: since when, after what, and all they have waited for."""
        self._held: dict[str, tuple[int, int]] = {}
        """Calls that a person has to decide about, by path: since when, and which."""
        self._failed: dict[str, tuple[int, int]] = {}
        """Steps that have failed: when, and by what."""
        self._afresh = (0, START)
        """When the run last began, or went on after its end, and after what."""
        self._latest = START
        """What has ended last."""
        self._fell: int | None = None
        """The last instant before a process took the run up again."""
        self._paused: tuple[int, int] | None = None
        """Since when the run is paused, and by which event."""
        self._same: tuple[str, int, int, tuple[int, ...]] | None = None
        """What the calls of one step that come up together have waited for."""
        self._timed: dict[str, int] = {}
        """What has come before what time has brought up in the present event, by what waited."""

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
            cause = _TAKES[kind](self, event, seq, before if phase != "new" else event.at, phase)
        commands = machine.drain()
        if commands:
            self._follow(commands, event, seq, cause)
        paused = machine.phase == "pausing"
        if paused != (self._paused is not None):
            self._pause(event.at, seq)

    def trace(self, fates: Mapping[str, Fate] = _NO_FATES) -> Trace:
        """Give what the run has done so far.

        Args:
            fates: What became of calls of teams, by the calls' names; see
                `hocket.workflows.plan.fates_of`.
        """
        return trace_from(self._facts, self.machine, fates, self._paused, self._latest)

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
        activity.waits, activity.hedge = event.waits, event.hedge
        activity.fate, activity.how = "", ""
        activity.events = (seq,)
        if len(self._calls) <= _MOST_ASKED:
            activity.asks = self._roster.name_of(self.machine, event.call, event.agent)

    def _ends(self, event: Any, seq: int, counts: bool) -> int | None:
        """A call has ended; `counts` says whether anything may follow from that."""
        index = self._calls.get(event.call)
        if index is None:
            if getattr(event, "usage", None) is None:
                return None
            index = self._open(event.call, "", event.at, START, ())
        activity, at = self._activities[index], event.at
        if activity.ended is not None:
            return None
        if type(event) is CallLost and self._fell is not None and activity.began <= self._fell:
            # Whatever it was doing, it did until its process died.
            at = self._fell
        if not activity.left:
            activity.began = at
            _waited_in_vain(activity, at)
        activity.ended = at
        activity.fate, activity.how = _fate_of(event, counts)
        activity.events = (*activity.events, seq)
        if type(event) is not CallLost:
            activity.usage = event.usage
            activity.cached = type(event) is CallFinished and event.saved is not None
        elif counts:
            job = self.machine.calls.jobs.get(activity.path)
            if job is not None and job.state == "held":
                self._held[activity.path] = (event.at, index)
        self._over(index, counts)
        return index

    def _over(self, index: int, counts: bool = True) -> None:
        place = self._where[index]
        self._places.ended(index, self._activities[index].path, place, counts=counts)
        if place.team:
            team = self._teams.setdefault(place.team, _Team())
            team.recent.append(index)
            team.last = index
        self._latest = index

    def _begun(self, event: RunStarted, seq: int, before: int, phase: str) -> int:
        self._roster = Roster(event.spec)
        self._places.read(event.spec)
        self._afresh = (event.at, START)
        return START

    def _replaced(self, event: SpecReplaced, seq: int, before: int, phase: str) -> int | None:
        self._close(event.at, "stop")
        self._unsaid.clear()
        self._held.clear()
        cause = self._latest
        if phase == "ended":
            cause = self._person("", before, event.at, self._facts.finish, seq)
        self._roster = Roster(event.spec)
        self._places.read(event.spec)
        self._afresh = (event.at, cause)
        return cause

    def _resumed(self, event: RunResumed, seq: int, before: int, phase: str) -> None:
        self._fell = before
        if phase in ("running", "ending") and before < event.at:
            self._facts.stops.append(Stop("down", before, event.at, (seq,)))

    def _retried(self, event: RetryRequested, seq: int, before: int, phase: str) -> int:
        """A person wants something done again: until then the run stood, or the step did."""
        if event.path in self._held:
            since, after = self._held.pop(event.path)
        elif phase == "ended":
            end = self._facts.ended
            since, after = before if end is None else end, self._facts.finish
        else:
            since, after = self._failed.get(event.path, (event.at, self._latest))
        cause = self._person(event.path, since, event.at, after, seq)
        if phase == "ended":
            self._afresh = (event.at, cause)
        return cause

    def _answered(
        self, event: ApprovalGiven | InputGiven, seq: int, before: int, phase: str
    ) -> int:
        if event.path in self._held:
            since, after = self._held.pop(event.path)
            return self._person(event.path, since, event.at, after, seq)
        known = self._questions.pop(event.path, None)
        if known is None:
            # It was asked before the run ended and went on.
            since, after = self._afresh
            index = self._ask_people(event, since, since, after, ())
        else:
            index = known[0]
        activity = self._activities[index]
        activity.ended, activity.fate = event.at, "useful"
        if isinstance(event, ApprovalGiven) and not event.approved:
            activity.how = "rejected"
        activity.events = (*activity.events, seq)
        self._over(index)
        return index

    def _asked_people(
        self, event: ApprovalAsked | InputAsked, seq: int, before: int, phase: str
    ) -> None:
        since, after, needs = self._unsaid.pop(event.path, (event.at, self._latest, ()))
        index = self._ask_people(event, since, event.at, after, needs)
        self._activities[index].events = (seq,)
        spec = self._where[index].spec
        timed = spec is not None and spec.kind in ("approve", "input")
        due = since + spec.timeout if timed and spec and spec.on_timeout != "pause" else None
        self._questions[event.path] = (index, due)

    def _passed(self, event: TimePassed, seq: int, before: int, phase: str) -> int | None:
        """Time has passed: questions that nobody has answered may have been answered by it."""
        cause = None
        for path, (index, due) in list(self._questions.items()) if self._questions else ():
            if due is not None and due <= event.at and phase in ("running", "pausing"):
                del self._questions[path]
                activity = self._activities[index]
                activity.ended, activity.fate, activity.how = event.at, "useful", "timeout"
                activity.events = (*activity.events, seq)
                self._over(index)
                cause = index
        return cause

    def _changed(self, event: LimitChanged, seq: int, before: int, phase: str) -> None:
        change = Change(event.at, event.limit, event.what, event.until, seq)
        self._facts.changes.append(change)

    def _finished(self, event: RunEnded, seq: int, before: int, phase: str) -> None:
        self._facts.ended = event.at
        self._close(event.at, "stop")

    # -- what follows -------------------------------------------------------------------------

    def _follow(self, commands: list[Any], event: AnyEvent, seq: int, cause: int | None) -> None:
        """Note what has come up by an event."""
        self._timed.clear()
        self._mark = len(self._activities)
        at, over = event.at, False
        stopped: list[int] = []
        for command in commands:
            if type(command) is StartCall:
                self._start(command, event, seq, cause)
            elif isinstance(command, Record):
                said = command.event
                if isinstance(said, ApprovalAsked | InputAsked):
                    place = self._places.find(said.path)
                    after = self._before(place, event, seq) if cause is None else cause
                    self._unsaid[said.path] = (at, after, self._needs(place, after, seq))
                elif isinstance(said, StepFailed):
                    self._failed[said.path] = (at, self._latest if cause is None else cause)
                over = over or isinstance(said, RunEnded)
        for command in commands:
            # Only now, since what came up may have been waiting for what is taken back.
            if isinstance(command, CancelCall) and self._take_back(command, at):
                stopped.append(self._calls[command.call])
        if over:
            waited = [index for index, _ in self._questions.values()] + stopped
            if cause is None:
                asked = self._activities
                cause = min(waited, key=lambda i: (asked[i].asked, i), default=self._latest)
                self._facts.gone.pop(cause, None)
            self._facts.finish = cause

    def _start(self, start: StartCall, event: AnyEvent, seq: int, cause: int | None) -> None:
        """A call has come up."""
        path = start.call.path
        place = self._places.find(path)
        last = self._places.last.get(path, START)
        needs: tuple[int, ...] | None = None
        among: list[int] = []
        if start.hedge:
            after = last
            needs = self._activities[last].needs if last >= 0 else ()
        elif start.asked < event.at:
            # Its back-off is over; what came before is the call that had failed.
            after = last
        elif cause is None:
            after = self._before(place, event, seq)
            among = self._among if type(event) is TimePassed else []
        else:
            after = cause
        if needs is None:
            before = self._activities[after] if after >= 0 else None
            again = before is not None and (before.path == path or before.work == "person")
            needs = (after,) if again else self._needs(place, after, seq)
        index = self._open(start.call, start.agent, start.asked, after, needs, place)
        if start.asked < start.ready:
            self._activities[index].waits = (Wait("backoff", start.asked, start.ready),)
        if len(among) > 1:
            self._facts.among[index] = tuple(among)

    def _needs(self, place: Place, after: int, seq: int) -> tuple[int, ...]:
        """Give all that a call or a question of a step is known to have waited for."""
        if place.team:
            team = self._teams.get(place.team)
            if team is None:
                team = self._teams[place.team] = _Team()
            if team.seq == seq:
                return team.needs
            first = not team.seq
            needs = self._places.needs(place)[0] if first else team.recent
            team.seq, team.recent = seq, []
            team.needs = self._with(needs, after)
            return team.needs
        if self._same is not None and self._same[:3] == (place.instance, seq, after):
            return self._same[3]
        needs, alike = self._places.needs(place)
        full = self._with(needs, after)
        if alike:
            self._same = (place.instance, seq, after, full)
        return full

    def _with(self, needs: list[int], after: int) -> tuple[int, ...]:
        if after >= 0 and self._activities[after].ended is not None and after not in needs:
            needs = [*needs, after]
        return tuple(needs)

    def _before(self, place: Place, event: AnyEvent, seq: int) -> int:
        """Say what came before something that no activity's end has brought up."""
        team = self._teams.get(place.team) if place.team else None
        scopes = self._places.waits_for(place) if team is None else [place.team]
        key = "\n".join(scopes)
        self._among: list[int] = []
        if type(event) is TimePassed:
            # What was under way was being waited for, but not to its end.
            flying = [i for scope in scopes for i in self._places.under_way(scope)]
            self._among = [i for i in flying if i < self._mark]
            if self._among:
                return min(self._among)
            if key in self._timed:
                return self._timed[key]
        if team is None:
            needs = self._places.needs(place)[0]
            ends = [(self._activities[i].ended or 0, i) for i in needs]
            last = max(ends)[1] if ends else START
        else:
            last = team.last
        if type(event) is not TimePassed:
            return self._latest if last == START else last
        since = self.machine.started_at if last == START else self._activities[last].ended
        if since is None or since >= event.at:
            return last
        found = self._timed[key] = self._add(
            Activity(
                path=place.team or place.step,
                step=place.step,
                work="timer",
                asked=since,
                began=since,
                ended=event.at,
                fate="useful",
                after=last,
                needs=(last,) if last >= 0 else (),
                team=place.team,
                events=(seq,),
            ),
            place,
        )
        return found

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
        index = self._add(
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

    def _add(self, activity: Activity, place: Place) -> int:
        self._activities.append(activity)
        self._where.append(place)
        return len(self._activities) - 1

    def _ask_people(
        self, event: Any, asked: int, began: int, after: int, needs: tuple[int, ...]
    ) -> int:
        place = self._places.find(event.path)
        approval = isinstance(event, ApprovalAsked | ApprovalGiven)
        index = self._add(
            Activity(
                path=event.path,
                step=place.step,
                work="approval" if approval else "input",
                asked=min(asked, began),
                began=began,
                after=after,
                needs=needs,
                team=place.team,
            ),
            place,
        )
        self._places.asked(index, event.path, place)
        return index

    def _person(self, path: str, since: int, until: int, after: int, seq: int) -> int:
        """The run, or a step of it, stood until a person said what to do."""
        place = self._places.find(path) if path else Place("", None, "", "")
        index = self._add(
            Activity(
                path=path,
                step=place.step,
                work="person",
                asked=since,
                began=since,
                ended=until,
                fate="useful",
                after=after,
                needs=(after,) if after >= 0 else (),
                team=place.team,
                events=(seq,),
            ),
            place,
        )
        self._latest = index
        return index

    def _close(self, at: int, how: str) -> None:
        """Nobody waits for the answers to open questions any more."""
        for index, _ in self._questions.values():
            activity = self._activities[index]
            activity.ended, activity.fate, activity.how = at, "cancelled", how
            self._places.ended(index, activity.path, self._where[index], counts=False)
        self._questions.clear()

    def _take_back(self, cancel: CancelCall, at: int) -> bool:
        """A call is to stop; tells whether it never left."""
        index = self._calls.get(cancel.call)
        if index is None:
            return False
        activity = self._activities[index]
        if activity.left or activity.ended is not None:
            return False
        activity.began = activity.ended = at
        activity.fate, activity.how = "cancelled", cancel.reason
        _waited_in_vain(activity, at)
        self._facts.gone[index] = None
        self._places.ended(index, activity.path, self._where[index], counts=False)
        return True

    def _pause(self, at: int, seq: int) -> None:
        if self._paused is None:
            self._paused = (at, seq)
            return
        since, first = self._paused
        self._paused = None
        if since < at:
            self._facts.stops.append(Stop("pause", since, at, (first, seq)))


def trace_of(
    events: Iterable[Recorded],
    machine: RunMachine,
    fates_of: Callable[[Workflow], Mapping[str, Fate]] = lambda _: _NO_FATES,
) -> Trace:
    """Fold a run's events into a trace.

    Args:
        events: All of them, from the first.
        machine: A new machine.
        fates_of: What became of calls of teams, as `hocket.workflows.plan.fates_of` says it.
    """
    folding = Folding(machine)
    for recorded in events:
        folding.add(recorded)
    return folding.trace(fates_of(machine.workflow))


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


def _waited_in_vain(activity: Activity, until: int) -> None:
    """A call has never left: nothing says what it waited for, but for its back-off."""
    since = activity.waits[-1].until if activity.waits else activity.asked
    if since < until:
        activity.waits = (*activity.waits, Wait(UNTOLD, since, until))


_TAKES: Final[dict[type, Callable[[Folding, Any, int, int, str], int | None]]] = {
    RunStarted: Folding._begun,
    RunResumed: Folding._resumed,
    SpecReplaced: Folding._replaced,
    RetryRequested: Folding._retried,
    ApprovalAsked: Folding._asked_people,
    InputAsked: Folding._asked_people,
    ApprovalGiven: Folding._answered,
    InputGiven: Folding._answered,
    TimePassed: Folding._passed,
    LimitChanged: Folding._changed,
    RunEnded: Folding._finished,
}
