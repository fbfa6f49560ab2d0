"""What came before each call of a run, and all that a call is known to have waited for."""

from __future__ import annotations

from hocket.core.events import AnyEvent, RunStarted, TimePassed, Wait
from hocket.core.run import RunMachine
from hocket.insight.fold_trace import Facts
from hocket.insight.places import Place, Places
from hocket.insight.trace import START, Activity


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


class Before:
    """Says what came before what.

    Args:
        facts: What was noted so far.
        machine: The run's machine.

    Attributes:
        places: The steps of the plan, and what was last done for each.
        latest: What has ended last.
        among: Of what was last asked about: all that was under way and being waited for.
    """

    def __init__(self, facts: Facts, machine: RunMachine) -> None:
        self.places = Places(facts.activities)
        self.latest = START
        self.among: tuple[int, ...] = ()
        self._facts = facts
        self._machine = machine
        self._activities = facts.activities
        self._teams: dict[str, _Team] = {}
        self._same: tuple[str, int, int, tuple[int, ...]] | None = None
        """What the calls of one step that come up together have waited for."""
        self._began = 0
        self._mark = 0
        self._timed: dict[str, int] = {}
        """What has come before what time has brought up by the present event, by what waited."""

    def event(self, event: AnyEvent) -> None:
        """What is asked about from now on has come up by this event."""
        if type(event) is RunStarted:
            self._began = event.at
        self._timed.clear()
        self._mark = len(self._activities)

    def over(self, index: int, counts: bool = True) -> None:
        """Note that something has ended; `counts` says whether anything may follow from it."""
        place = self._facts.where[index]
        self.places.ended(index, self._activities[index].path, place, counts=counts)
        if place.team:
            team = self._team(place.team)
            team.recent.append(index)
            team.last = index
        self.latest = index

    def needs(self, place: Place, after: int, seq: int) -> tuple[int, ...]:
        """Give all that a call or a question of a step is known to have waited for.

        For a plain step that is what its spec says; for the calls of a team what has ended there
        since the last ones were asked for.
        """
        if place.team:
            team = self._team(place.team)
            if team.seq != seq:
                needs = team.recent if team.seq else self.places.needs(place)[0]
                team.seq, team.recent = seq, []
                team.needs = self._with(needs, after)
            return team.needs
        if self._same is not None and self._same[:3] == (place.instance, seq, after):
            return self._same[3]
        needs, alike = self.places.needs(place)
        full = self._with(needs, after)
        if alike:
            self._same = (place.instance, seq, after, full)
        return full

    def of(self, place: Place, event: AnyEvent, seq: int) -> int:
        """Say what came before something at a place that no activity's end has brought up."""
        team = self._teams.get(place.team) if place.team else None
        scopes = self.places.waits_for(place) if team is None else [place.team]
        if type(event) is TimePassed and self._under_way(scopes):
            return self.among[0]
        last = self._last_of(place) if team is None else team.last
        if type(event) is not TimePassed:
            self.among = ()
            return self.latest if last == START else last
        since = self._began if last == START else self._activities[last].ended
        if since is None or since >= event.at:
            return last
        key = "\n".join(scopes)
        if key not in self._timed:
            self._timed[key] = self._timer(place, scopes, last, since, event.at, seq)
        return self._timed[key]

    # -- within -----------------------------------------------------------------------------

    def _team(self, path: str) -> _Team:
        team = self._teams.get(path)
        if team is None:
            team = self._teams[path] = _Team()
        return team

    def _with(self, needs: list[int], after: int) -> tuple[int, ...]:
        if after >= 0 and self._activities[after].ended is not None and after not in needs:
            needs = [*needs, after]
        return tuple(needs)

    def _under_way(self, scopes: list[str]) -> bool:
        """Note what was being waited for when time came, and was under way."""
        flying = [i for scope in scopes for i in self.places.under_way(scope)]
        self.among = tuple(sorted([i for i in flying if i < self._mark]))
        return bool(self.among)

    def _last_of(self, place: Place) -> int:
        needs = self.places.needs(place)[0]
        return max(needs, key=lambda i: (self._activities[i].ended or 0, i), default=START)

    def _timer(
        self, place: Place, scopes: list[str], last: int, since: int, until: int, seq: int
    ) -> int:
        """Nothing but a time limit was waited for, or the end of a back-off that was too long."""
        waits: tuple[Wait, ...] = ()
        if self._backs_off(scopes):
            waits = (Wait("backoff", since, until),)
        timer = Activity(
            path=place.team or place.instance,
            attempt=0,
            step=place.step,
            work="timer",
            asked=since,
            began=until if waits else since,
            ended=until,
            waits=waits,
            fate="useful",
            after=last,
            needs=(last,) if last >= 0 else (),
            team=place.team,
            events=(seq,),
        )
        return self._facts.add(timer, place)

    def _backs_off(self, scopes: list[str]) -> bool:
        """Tell whether a call that is waited for is to be tried again after a back-off."""
        heads = tuple([f"{scope}{mark}" for scope in scopes for mark in "/~"])
        return any(
            job.state == "backing_off" and (path in scopes or path.startswith(heads))
            for path, job in self._machine.calls.jobs.items()
        )
