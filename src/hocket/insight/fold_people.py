"""What a run waited for people for: answers to its questions, and words on what had failed."""

from __future__ import annotations

from typing import NamedTuple

from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    InputAsked,
    InputGiven,
    RetryRequested,
    SpecReplaced,
    TimePassed,
)
from hocket.core.run import RunMachine
from hocket.core.specs import StepSpec
from hocket.insight.fold_before import Before
from hocket.insight.fold_trace import Facts
from hocket.insight.places import NOWHERE, Place
from hocket.insight.trace import Activity, Work


class Unsaid(NamedTuple):
    """A question that has come up.

    Fields:
        since: When.
        after: After what.
        needs: All that it is known to have waited for.
        among: If time has brought it up, all that was under way and being waited for.
    """

    since: int
    after: int
    needs: tuple[int, ...] = ()
    among: tuple[int, ...] = ()


class People:
    """Questions to people, and what stood until somebody said what to do.

    Args:
        facts: What was noted so far.
        before: What came before what.

    Attributes:
        open: Open questions by path: the activity, and when time alone answers it, if ever.
        unsaid: Questions that have come up and are not recorded yet, by path.
        held: Calls that somebody has to decide about, by path: the activity that is.
        failed: Steps that have failed: when, and by what.
    """

    def __init__(self, facts: Facts, before: Before) -> None:
        self.open: dict[str, tuple[int, int | None]] = {}
        self.unsaid: dict[str, Unsaid] = {}
        self.held: dict[str, int] = {}
        self.failed: dict[str, tuple[int, int]] = {}
        self._soonest: int | None = None
        """No question is answered by time alone before."""
        self._shut: dict[str, Work] = {}
        """Questions that were open when the run ended, and how they are answered."""
        self._facts = facts
        self._before = before

    def asked(self, event: ApprovalAsked | InputAsked, seq: int) -> None:
        """Somebody is asked."""
        unsaid = self.unsaid.pop(event.path, None) or Unsaid(event.at, self._before.latest)
        work: Work = "approval" if isinstance(event, ApprovalAsked) else "input"
        self._ask(event.path, work, unsaid, event.at, seq)

    def answered(self, event: ApprovalGiven | InputGiven, seq: int) -> int:
        """Somebody has answered, or has said what a held call gave."""
        path, at = event.path, event.at
        if path in self.held:
            return self._close(self.held.pop(path), at, "", seq)
        if path not in self.open:
            # Whatever made it be asked again, no question was recorded for it.
            work: Work = "approval" if isinstance(event, ApprovalGiven) else "input"
            self._ask(path, work, Unsaid(at, self._before.latest), at, seq)
        how = "rejected" if isinstance(event, ApprovalGiven) and not event.approved else ""
        return self._close(self.open.pop(path)[0], at, how, seq)

    def hold(self, path: str, at: int, after: int, seq: int) -> None:
        """Somebody has to decide about a call of which nobody knows how it ended."""
        place = self._before.places.find(path)
        index = self._facts.add(_person(path, place, at, None, after, seq), place)
        self._before.places.asked(index, path, place)
        self.held[path] = index

    def passed(self, event: TimePassed, seq: int) -> int | None:
        """Time has passed, which may be an answer; gives the question that it was one to."""
        closed = None
        if self._soonest is None or event.at < self._soonest:
            return None
        for path, (_, due) in list(self.open.items()):
            if due is not None and due <= event.at:
                closed = self._close(self.open.pop(path)[0], event.at, "timeout", seq)
        self._soonest = min([due for _, due in self.open.values() if due is not None], default=None)
        return closed

    def retried(self, event: RetryRequested, seq: int, machine: RunMachine) -> int:
        """Somebody wants something done again; until then the run stood, or the step did."""
        path, at = event.path, event.at
        if path in self.held:
            return self._close(self.held.pop(path), at, "", seq)
        if self._facts.ended is None:
            since, after = self.failed.get(path, (at, self._before.latest))
            return self._stood(path, since, at, after, seq)
        cause = self._stood(path, self._facts.ended, at, self._facts.finish, seq)
        self._go_on(machine, at, cause, seq)
        return cause

    def replaced(self, event: SpecReplaced, seq: int) -> int:
        """Somebody has changed what is to be done; what is still asked is asked anew."""
        self.shut(event.at)
        self._shut.clear()
        self.unsaid.clear()
        if self._facts.ended is None:
            return self._before.latest
        return self._stood("", self._facts.ended, event.at, self._facts.finish, seq)

    def shut(self, at: int) -> None:
        """Nobody waits for answers any more, unless the run goes on."""
        for path, (index, _) in self.open.items():
            self._shut[path] = self._facts.activities[index].work
            self._drop(index, at)
        for index in self.held.values():
            self._drop(index, at)
        self.open.clear()
        self.held.clear()

    # -- within -----------------------------------------------------------------------------

    def _go_on(self, machine: RunMachine, at: int, cause: int, seq: int) -> None:
        """The run goes on after its end, and with it the questions that were open."""
        for job in machine.calls.held():
            self.hold(job.path, at, cause, seq)
        shut, self._shut = self._shut, {}
        if not shut:
            return
        waiting = {view.path: None for view in machine.view() if view.status == "waiting"}
        for path, work in shut.items():
            if path in waiting or self._before.places.find(path).instance in waiting:
                self._ask(path, work, Unsaid(at, cause, (cause,)), at, seq)

    def _ask(self, path: str, work: Work, unsaid: Unsaid, at: int, seq: int) -> None:
        place = self._before.places.find(path)
        activity = Activity(
            path=path,
            step=place.step,
            work=work,
            asked=unsaid.since,
            began=at,
            after=unsaid.after,
            needs=unsaid.needs,
            team=place.team,
            events=(seq,),
        )
        index = self._facts.add(activity, place)
        if len(unsaid.among) > 1:
            self._facts.among[index] = unsaid.among
        self._before.places.asked(index, path, place)
        spec = place.spec
        due = None if spec is None else _due(spec, unsaid.since)
        if due is not None:
            self._soonest = due if self._soonest is None else min(self._soonest, due)
        self.open[path] = (index, due)

    def _close(self, index: int, at: int, how: str, seq: int) -> int:
        activity = self._facts.activities[index]
        activity.ended, activity.fate, activity.how = at, "useful", how
        if seq != activity.events[-1]:
            activity.events = (*activity.events, seq)
        self._before.over(index)
        return index

    def _drop(self, index: int, at: int) -> None:
        activity = self._facts.activities[index]
        activity.ended, activity.fate, activity.how = at, "cancelled", "stop"
        place = self._facts.where[index]
        self._before.places.ended(index, activity.path, place, counts=False)

    def _stood(self, path: str, since: int, until: int, after: int, seq: int) -> int:
        place = self._before.places.find(path) if path else NOWHERE
        index = self._facts.add(_person(path, place, since, until, after, seq), place)
        self._before.latest = index
        return index


def _due(spec: StepSpec, since: int) -> int | None:
    """Say when time alone answers a question, if ever."""
    if spec.approval is not None:
        timed = spec.approval.on_timeout != "pause"
        return since + spec.approval.timeout if timed else None
    timed = spec.kind in ("approve", "input") and spec.on_timeout != "pause"
    return since + spec.timeout if timed else None


def _person(
    path: str, place: Place, since: int, until: int | None, after: int, seq: int
) -> Activity:
    """Nobody was asked, but nothing went on until somebody said what to do."""
    return Activity(
        path=path,
        attempt=0,
        step=place.step,
        work="person",
        asked=since,
        began=since,
        ended=until,
        fate="" if until is None else "useful",
        after=after,
        needs=(after,) if after >= 0 else (),
        team=place.team,
        events=(seq,),
    )
