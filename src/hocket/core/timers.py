"""When calls time out, when back-offs end, and when a late call gets a second one beside it."""

from __future__ import annotations

from typing import Self

from hocket.core.deadlines import Deadlines
from hocket.core.events import CallStarted
from hocket.core.jobs import Job
from hocket.core.values import Call


class Timers:
    """The instants at which something is to be done about a job.

    What no longer holds never does again: a call has one time-out, and one that has had another
    call beside it gets no further one.

    Args:
        jobs: The live jobs by path; whoever has them goes on changing them.
    """

    __slots__ = ("_ends", "_hedges", "_jobs", "standing")

    def __init__(self, jobs: dict[str, Job]) -> None:
        self._jobs = jobs
        self._ends: Deadlines[Call] = Deadlines()
        self._hedges: Deadlines[Call] = Deadlines()
        self.standing: dict[Call, int] = {}
        """Calls whose time stands still, and how much of it they have left."""

    def started(self, job: Job, event: CallStarted) -> None:
        """A call of a job has left, and has a time limit of its own."""
        call = event.call
        self._ends.add(event.at + job.spec.timeout, call, self._holds)
        # A second call has none beside itself, even if it is the only one by then.
        if event.hedge_after is not None and job.attempt == call.attempt and not job.effects:
            self.hedge(event.at + event.hedge_after, call)

    def backs_off(self, job: Job) -> None:
        """A job is to go on when it may."""
        self._ends.add(job.ready, job.call)

    def hedge(self, at: int, call: Call) -> None:
        """A call is to get another one beside it if it is still running at an instant."""
        self._hedges.add(at, call, self._is_alone)

    def stand(self, call: Call, at: int) -> None:
        """Let the time of a running call stand still; it gets no second call beside it, either."""
        if call not in self.standing:
            end = self._ends.take(call)
            self._hedges.take(call)
            self.standing[call] = 0 if end is None else max(end - at, 0)

    def go_on(self, call: Call, at: int) -> None:
        """Let the time of a call that stood still go on."""
        self._ends.add(at + self.standing.pop(call), call)

    def forget(self, call: Call) -> None:
        """A call has no time limit any more."""
        self.standing.pop(call, None)

    def next(self, *, hedges: bool) -> int | None:
        """Give the soonest instant; second calls only count with `hedges`."""
        end = self._ends.next(self._holds)
        if not hedges or not len(self._hedges):
            return end
        hedge = self._hedges.next(self._is_alone)
        return hedge if end is None or (hedge is not None and hedge < end) else end

    def soonest(self) -> int | None:
        """Give an instant before which there is nothing to do, stale or not, in O(1)."""
        ends, hedges = self._ends.heap, self._hedges.heap
        if ends and hedges:
            return min(ends[0][0], hedges[0][0])
        return ends[0][0] if ends else hedges[0][0] if hedges else None

    def ends(self, at: int) -> list[Call]:
        """Take out the calls that have timed out, and those whose back-off has ended."""
        return self._ends.due(at, self._holds)

    def hedges(self, at: int) -> list[Call]:
        """Take out the calls that are to get another one beside them."""
        return self._hedges.due(at, self._is_alone)

    def fork(self, jobs: dict[str, Job]) -> Self:
        """Copy it for copied jobs."""
        other = type(self)(jobs)
        other._ends = self._ends.fork()
        other._hedges = self._hedges.fork()
        other.standing = self.standing.copy()
        return other

    def _holds(self, call: Call) -> bool:
        job = self._jobs.get(call.path)
        return job is not None and job.state_of(call.attempt) in ("running", "backing_off")

    def _is_alone(self, call: Call) -> bool:
        # One that has another beside it was taken out for that.
        job = self._jobs.get(call.path)
        return job is not None and job.attempt == call.attempt and job.state == "running"
