"""Draws a trace from what a folding has noted so far; a folding can go on after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final, NamedTuple

from hocket.core.events import Wait
from hocket.core.reports import Fate
from hocket.core.run import RunMachine
from hocket.insight.places import Place
from hocket.insight.trace import START, Activity, Change, Stop, Trace

_UNTOLD: Final = "unknown"
"""The cause of a wait of which no event tells: only a call that has left says what held it up."""
_SAID: Final = {"pausing": "paused", "running": "running", "ending": "running"}


class Facts:
    """What a folding has noted.

    Attributes:
        activities: In the order in which they were asked for.
        where: Where each of them stands.
        gone: Calls that were taken back before they left.
        among: For what time has brought up: all that was under way and being waited for.
        stops: When the run stood still.
        changes: What happened to limits.
        finish: What let the run end, if it has or is about to.
        decided: When that was.
        landed: What had to land after that, if anything had to.
        ended: When it ended; None if it has not.
        paused: Since when it is paused, and by which event; None if it is not.
        purse: The budget that it is paused for, or "".
    """

    def __init__(self) -> None:
        self.activities: list[Activity] = []
        self.where: list[Place] = []
        self.gone: dict[int, None] = {}
        self.among: dict[int, tuple[int, ...]] = {}
        self.stops: list[Stop] = []
        self.changes: list[Change] = []
        self.finish = START
        self.decided = 0
        self.landed = START
        self.ended: int | None = None
        self.paused: tuple[int, int] | None = None
        self.purse = ""

    def add(self, activity: Activity, place: Place) -> int:
        """Note an activity; gives its index."""
        self.activities.append(activity)
        self.where.append(place)
        return len(self.activities) - 1

    def pause(self, at: int, seq: int, purse: str) -> None:
        """The run pauses, for a budget perhaps, or goes on."""
        if self.paused is None:
            self.paused, self.purse = (at, seq), purse
            return
        since, first = self.paused
        self.paused = None
        if since < at:
            self.stops.append(self._pause(since, at, (first, seq)))

    def stopped(self, until: int) -> list[Stop]:
        """Give when the run stood still, by an instant."""
        if self.paused is None or self.paused[0] >= until:
            return self.stops.copy()
        since, seq = self.paused
        return [*self.stops, self._pause(since, until, (seq,))]

    def _pause(self, since: int, until: int, events: tuple[int, ...]) -> Stop:
        return Stop("budget" if self.purse else "pause", since, until, events, self.purse)


class Until(NamedTuple):
    """Up to when a run that has not ended is told of.

    Fields:
        at: The instant; a run is told of up to its last fact at least.
        driven: Whether a process drives the run; if not, none has since its last fact.
    """

    at: int
    driven: bool = True


LAST: Final = Until(0)
"""Up to the last fact, whatever has come of the run since then."""


def trace_from(
    facts: Facts,
    machine: RunMachine,
    fates: Mapping[str, Fate],
    latest: int,
    until: Until,
) -> Trace:
    """Draw a trace.

    Args:
        facts: What was noted.
        machine: The run's machine.
        fates: What became of calls of teams, by the calls' names.
        latest: What has ended last.
        until: Up to when, if the run has not ended.
    """
    over, now = machine.phase == "ended", _end(facts, machine, until)
    after = _chosen(facts)
    place, kept = _kept(facts, after)
    activities = []
    for index in kept:
        activity = copy(facts.activities[index])
        activities.append(activity)
        if activity.team and activity.ended is not None and activity.left:
            activity.fate = fates.get(activity.name, activity.fate)
        if index in after:
            activity.after = after[index]
        if place is not None:
            _moved(activity, place)
    _queued(machine, facts.activities, activities, now)
    if not over:
        _backing_off(machine, activities, now)
    finish, landed, latest = [
        index if place is None or index < 0 else place[index]
        for index in (facts.finish, facts.landed, latest)
    ]
    if machine.phase not in ("ending", "ended"):
        finish, landed = awaited(activities, latest, paused=machine.paused), START
    status, stops = _SAID.get(machine.phase, machine.said), facts.stopped(now)
    if not (over or until.driven or machine.paused):
        status, stops = "stopped (resumable)", _fallen(facts, activities, machine.at, now)
    return Trace(
        run=machine.run,
        name=machine.spec.name,
        began=machine.started_at,
        ended=now,
        status=status,
        activities=activities,
        finish=finish,
        landed=landed,
        stops=stops,
        changes=facts.changes.copy(),
        limits=dict(machine.spec.limits),
        max_parallel=machine.spec.max_parallel,
        spec=machine.spec,
        reports=machine.workflow.reports(),
    )


def _queued(
    machine: RunMachine, noted: Sequence[Activity], activities: Sequence[Activity], now: int
) -> None:
    """Let what is still in line wait until now, for what seems to hold it up."""
    full = _Full(machine, noted)
    for activity in activities:
        if not activity.left and activity.ended is None:
            activity.began = now
            waited_untold(activity, now, full.cause(activity))


def _end(facts: Facts, machine: RunMachine, until: Until) -> int:
    if machine.phase != "ended":
        return max(machine.at, until.at)
    return machine.at if facts.ended is None else facts.ended


class _Full:
    """What has no room for another call, as far as the calls in flight tell.

    Args:
        machine: The run's machine.
        activities: What was done so far.
    """

    def __init__(self, machine: RunMachine, activities: Sequence[Activity]) -> None:
        spec = machine.spec
        calls = [one for one in activities if one.left and one.ended is None and one.agent]
        self._run = len(calls) >= spec.max_parallel
        flying = Counter(one.agent for one in calls)
        self._agents = {
            name: None
            for name, count in flying.items()
            if name in spec.agents and 0 < (spec.agents[name].concurrency or 0) <= count
        }
        claimed = Counter(name for one in calls for name in one.claims)
        self._limits = {
            name: None
            for name, count in claimed.items()
            if name in spec.limits and 0 < (spec.limits[name].concurrency or 0) <= count
        }

    def cause(self, activity: Activity) -> str:
        """Say what a call that has not left waits for."""
        if self._run:
            return "slot:run"
        if activity.agent in self._agents:
            return f"slot:agent:{activity.agent}"
        return next((f"slot:{name}" for name in activity.claims if name in self._limits), _UNTOLD)


def waited_untold(activity: Activity, until: int, cause: str = _UNTOLD) -> None:
    """Note what a call that has not left waited for, but for back-off; no event tells of it."""
    since = activity.waits[-1].until if activity.waits else activity.asked
    if since < until:
        activity.waits = (*activity.waits, Wait(cause, since, until))


def _fallen(facts: Facts, activities: list[Activity], at: int, until: int) -> list[Stop]:
    """What was in flight when its process died was over then; questions are open still."""
    for activity in activities:
        if activity.left and activity.ended is None and activity.work in ("model", "tool"):
            activity.ended, activity.fate, activity.how = at, "failed", "lost"
    stops = facts.stopped(at)
    if at < until:
        stops.append(Stop("down", at, until))
    return stops


def _chosen(facts: Facts) -> dict[int, int]:
    """Choose, of what was under way when time came, what was waited for longest.

    That is what ended last; if nothing has, what was asked for first.
    What was taken back counts only if there was nothing else.
    """
    activities, chosen = facts.activities, {}
    for index, among in facts.among.items():
        left = [i for i in among if i not in facts.gone] or among[:1]
        ended = [i for i in left if activities[i].ended is not None]
        chosen[index] = max(ended, key=lambda i: (activities[i].ended or 0, -i), default=left[0])
    return chosen


def _kept(facts: Facts, after: Mapping[int, int]) -> tuple[list[int] | None, list[int]]:
    """Leave out what was taken back, unless something came after it.

    Gives the new index of each activity, None if they stay, and the old ones of those that do.
    """
    count = len(facts.activities)
    if not facts.gone:
        return None, list(range(count))
    waited = {after.get(i, one.after): None for i, one in enumerate(facts.activities)}
    waited[facts.finish] = None
    place = [START] * count
    kept: list[int] = []
    for index in range(count):
        if index not in facts.gone or index in waited:
            place[index] = len(kept)
            kept.append(index)
    return place, kept


def _moved(activity: Activity, place: list[int]) -> None:
    if activity.after >= 0:
        activity.after = place[activity.after]
    if activity.needs:
        activity.needs = tuple([place[i] for i in activity.needs if place[i] >= 0])


def _backing_off(machine: RunMachine, activities: list[Activity], now: int) -> None:
    """Add the calls that will be tried again once their back-off is over."""
    waiting = [job for job in machine.calls.jobs.values() if job.state == "backing_off"]
    if not waiting:
        return
    last = {activity.path: index for index, activity in enumerate(activities) if activity.agent}
    for job in waiting:
        before = last.get(job.path, START)
        if before < 0:
            continue
        failed, over = activities[before], min(job.ready, now)
        again = Activity(
            path=job.path,
            attempt=job.attempt,
            step=failed.step,
            agent=job.agent_name,
            model=failed.model,
            work=failed.work,
            asked=job.asked,
            began=now,
            waits=(Wait("backoff", job.asked, over),) if job.asked < over else (),
            left=False,
            after=before,
            needs=(before,),
            team=failed.team,
            claims=failed.claims,
        )
        waited_untold(again, now)
        activities.append(again)


def awaited(activities: list[Activity], default: int, *, paused: bool = False) -> int:
    """Give what a run under way waits for: of what has begun and not ended, what began first.

    Only if nothing has begun, what waits to begin counts, by when it was asked for.
    In a run that is paused that does not: it waits for a word, and for what has ended last before.
    """
    best, key = default, (2, 0)
    for index, activity in enumerate(activities):
        if activity.ended is None and not (paused and default >= 0 and not activity.left):
            mine = (0, activity.began) if activity.left else (1, activity.asked)
            if best == default or mine < key:
                best, key = index, mine
    return best
