"""The calls of a run: which jobs are live, in which state, and what must start or stop.

The run machine hands call events in and is told which jobs have ended.
"""

from __future__ import annotations

from typing import Self

import msgspec

from hocket.core.commands import CancelCall, StartCall
from hocket.core.deadlines import Deadlines
from hocket.core.errors import EngineBug, Fault
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, CallStarted
from hocket.core.jobs import Job
from hocket.core.machine import JobSpec
from hocket.core.values import Call, Json

_TIDY_AT = 4_096
_ASKED = frozenset({"asked"})
_IN_FLIGHT = frozenset({"running", "stopping"})
_ASKED_OR_IN_FLIGHT = _ASKED | _IN_FLIGHT


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A job is over: it has an output, or a fault if there is nothing left to try."""

    path: str
    output: Json
    fault: Fault | None


class Calls:
    """The live jobs of a run and their calls."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.running = 0
        """How many calls are in flight."""
        self.seed = 0
        self.ignored = 0
        """How many events no longer matched."""
        self._highest = 0
        self._base = 0
        self._attempts: dict[str, int] = {}
        self._deadlines: Deadlines[Call] = Deadlines()
        self._starts: dict[str, StartCall] = {}
        self._cancels: dict[Call, CancelCall] = {}

    def do(self, path: str, spec: JobSpec, at: int) -> None:
        """Add a job; its first call is to start as soon as it is admitted."""
        if path in self.jobs:
            raise EngineBug(f"two jobs at {path!r}")
        attempt = self._attempts.pop(path, self._base) + 1
        job = Job(path, spec, attempt, at)
        self.jobs[path] = job
        self._starts[path] = StartCall(job.call, job.agent_name, job.effects, at, at)

    # -- events -----------------------------------------------------------------------------

    def started(self, event: CallStarted) -> None:
        """A call has left."""
        job = self._match(event.call, _ASKED)
        if job is None:
            return
        self._starts.pop(job.path, None)
        job.state = "running"
        self.running += 1
        self._highest = max(self._highest, job.attempt)
        if len(self._deadlines) > _TIDY_AT and len(self._deadlines) > 2 * self.running:
            self._deadlines.tidy(self._holds)
        self._deadlines.add(event.at + job.spec.timeout, event.call)

    def finished(self, event: CallFinished) -> Ended | None:
        """A call has given an output."""
        job = self._match(event.call, _IN_FLIGHT)
        if job is None:
            return None
        self._landed(job)
        return self._over(job, event.output, None)

    def failed(self, event: CallFailed) -> Ended | None:
        """A call has failed, or could not even be asked."""
        job = self._match(event.call, _ASKED_OR_IN_FLIGHT)
        if job is None:
            return None
        if job.state == "asked":
            self._starts.pop(job.path, None)
        else:
            self._landed(job)
        return self._fault(job, event.fault, event.at)

    def cancelled(self, event: CallCancelled) -> Ended | None:
        """A call was stopped before its end."""
        job = self._match(event.call, _IN_FLIGHT)
        if job is None:
            return None
        self._landed(job)
        limit = f"{job.spec.timeout / 1e9:g} s"
        fault = Fault(kind="timeout", message=f"took longer than its timeout of {limit}")
        if event.reason != "timeout":
            fault = Fault(kind="lost", message=f"stopped: {event.reason}")
        return self._fault(job, fault, event.at)

    def lost(self, event: CallLost) -> None:
        """The owner died with the call in flight: do it again, or hold it and ask."""
        job = self._match(event.call, _IN_FLIGHT)
        if job is None:
            return
        self._landed(job)
        if job.dropped:
            self._remove(job)
        elif job.effects:
            job.state = "held"
        else:
            job.again(event.at)
            self._ask(job)

    def again(self, path: str, at: int) -> bool:
        """Do a held call again because a person says so; tells whether one was held there."""
        job = self.jobs.get(path)
        if job is None or job.state != "held":
            return False
        job.again(at)
        self._ask(job)
        return True

    def settle(self, path: str, output: Json) -> Ended | None:
        """Take a person's word for what a held call gave; None if none is held there."""
        job = self.jobs.get(path)
        if job is None or job.state != "held":
            return None
        return self._over(job, output, None)

    # -- time and ends ----------------------------------------------------------------------

    def deadline(self) -> int | None:
        """Give the instant of the next time-out or end of a back-off."""
        return self._deadlines.next(self._holds)

    def wake(self, at: int) -> None:
        """Handle every time-out and back-off that is due."""
        for call in self._deadlines.due(at, self._holds):
            job = self.jobs[call.path]
            if job.state == "backing_off":
                job.state = "asked"
                self._ask(job)
            else:
                self._stop(job, "timeout", hard=False)

    def drop(self, path: str, reason: str, *, hard: bool = False) -> None:
        """Stop or forget all jobs at `path` and below; "" means all."""
        below = (path + "/", path + "~")
        for job in list(self.jobs.values()):
            if path and job.path != path and not job.path.startswith(below):
                continue
            job.dropped = True
            if job.state in _IN_FLIGHT:
                self._stop(job, reason, hard)
                continue
            if job.state == "asked" and job.path not in self._starts:
                # The shell has it in its queue already.
                self._cancels[job.call] = CancelCall(job.call, reason)
            self._remove(job)

    def restart_names(self) -> None:
        """Let every later call have a number that no call had before."""
        self._base = self._highest
        self._attempts.clear()

    # -- reading ----------------------------------------------------------------------------

    def drain(self) -> tuple[list[CancelCall], list[StartCall]]:
        """Give what must stop and what must start since the last time."""
        drained = list(self._cancels.values()), list(self._starts.values())
        self._cancels.clear()
        self._starts.clear()
        return drained

    def in_flight(self) -> list[Call]:
        """Give the calls that have started and not ended, in the order of their jobs."""
        return [job.call for job in self.jobs.values() if job.state in _IN_FLIGHT]

    def held(self) -> list[Job]:
        """Give the jobs whose call was lost and must not be repeated unasked."""
        return [job for job in self.jobs.values() if job.state == "held"]

    def fork(self) -> Self:
        """Copy what is live."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.jobs = {path: job.fork() for path, job in self.jobs.items()}
        other._attempts = self._attempts.copy()
        other._deadlines = self._deadlines.fork()
        other._starts = self._starts.copy()
        other._cancels = self._cancels.copy()
        return other

    def broken(self) -> list[str]:
        """Name every invariant that does not hold."""
        jobs = self.jobs
        rules = {
            "running counts the calls in flight": self.running == len(self.in_flight()),
            "jobs stand at their paths": all(path == job.path for path, job in jobs.items()),
            "only asked jobs have a start": all(
                path in jobs and jobs[path].state == "asked" for path in self._starts
            ),
            "attempts count from 1": all(job.attempt >= 1 for job in jobs.values()),
            "a dropped job is in flight": all(
                job.state in _IN_FLIGHT for job in jobs.values() if job.dropped
            ),
            "a back-off has a deadline": all(
                self._deadlines.next(self._holds) is not None
                for job in jobs.values()
                if job.state == "backing_off"
            ),
        }
        return [rule for rule, holds in rules.items() if not holds]

    # -- within -----------------------------------------------------------------------------

    def _match(self, call: Call, states: frozenset[str]) -> Job | None:
        job = self.jobs.get(call.path)
        if job is None or job.attempt != call.attempt or job.state not in states:
            self.ignored += 1
            return None
        return job

    def _landed(self, job: Job) -> None:
        self.running -= 1
        if self._cancels:
            self._cancels.pop(job.call, None)

    def _fault(self, job: Job, fault: Fault, at: int) -> Ended | None:
        if not job.dropped and job.failed(fault, at, self.seed):
            self._ask(job)
            return None
        self._attempts[job.path] = job.attempt
        return self._over(job, None, fault)

    def _over(self, job: Job, output: Json, fault: Fault | None) -> Ended | None:
        del self.jobs[job.path]
        return None if job.dropped else Ended(job.path, output, fault)

    def _remove(self, job: Job) -> None:
        """Forget a job that nobody wants, but not the numbers that its calls have used."""
        del self.jobs[job.path]
        self._starts.pop(job.path, None)
        self._attempts[job.path] = job.attempt

    def _ask(self, job: Job) -> None:
        if job.state == "backing_off":
            self._deadlines.add(job.ready, job.call)
            return
        call = StartCall(job.call, job.agent_name, job.effects, job.ready, job.asked)
        self._starts[job.path] = call

    def _stop(self, job: Job, reason: str, hard: bool) -> None:
        job.state = "stopping"
        job.reason = job.reason or reason
        self._cancels[job.call] = CancelCall(job.call, job.reason, hard)

    def _holds(self, call: Call) -> bool:
        job = self.jobs.get(call.path)
        return (
            job is not None
            and job.attempt == call.attempt
            and job.state in ("running", "backing_off")
        )
