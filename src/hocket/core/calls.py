"""The calls of a run: which jobs are live, in which state, and what must start or stop.

The run machine hands call events in and is told which jobs have ended.
"""

from __future__ import annotations

import re
from typing import Final, Self

import msgspec

from hocket.core.commands import CancelCall
from hocket.core.errors import EngineBug, Fault
from hocket.core.events import (
    TAKEN_BACK,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    RunEnded,
)
from hocket.core.gate import Gate
from hocket.core.jobs import IN_FLIGHT, Job, JobState
from hocket.core.machine import JobSpec
from hocket.core.outbox import Outbox
from hocket.core.people import Questions
from hocket.core.timers import Timers
from hocket.core.values import Call, Json

_ASKED_OR_IN_FLIGHT: Final[frozenset[JobState]] = IN_FLIGHT | {"asked"}


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A job is over: it has an output, or a fault if there is nothing left to try.

    `late` says that the workflow had dropped it: its output can only be of use to a retry.
    """

    path: str
    output: Json
    fault: Fault | None
    late: bool = False


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
        self._unsure: dict[str, None] = {}
        """Paths of calls with effects that were lost and then dropped, before anybody decided."""
        self._late: dict[Call, None] = {}
        """Calls in flight that have lost to the call beside them; their jobs are over."""
        self.timers = Timers(self.jobs)
        """When something is to be done about them."""
        self.people = Questions(self.jobs, self.timers)
        """What calls in flight ask people."""
        self.out = Outbox()
        """What is to be said of them."""

    def do(self, path: str, spec: JobSpec, at: int, *, anew: bool = False) -> None:
        """Add a job; its first call is to start as soon as it is admitted.

        With `anew` the path may have been used by jobs that succeeded, whose numbers are forgotten.
        """
        if path in self.jobs:
            raise EngineBug(f"two jobs at {path!r}")
        used = self._attempts.pop(path, self._base) if self._attempts else self._base
        if anew:
            used = self._highest
        if self._unsure and path in self._unsure:
            # What it was dropped for may be over, but the question whether it was done is not.
            del self._unsure[path]
            self.jobs[path] = Job(path, spec, used, at)
            self.jobs[path].state = "held"
            return
        job = self.jobs[path] = Job(path, spec, used + 1, at)
        if used >= self._highest:
            self._highest = used + 1
        self.out.starts[path] = job.ask()

    # -- events -----------------------------------------------------------------------------

    def started(self, event: CallStarted) -> bool:
        """A call has left; tells whether anybody waits for it."""
        call = event.call
        job, attempt = self.jobs.get(call.path), call.attempt
        if job is None or job.state_of(attempt) != "asked":
            self.ignored += 1
            return False
        out = self.out
        if out.starts or out.cancels:
            out.settled(call)
        job.started(attempt)
        self.running += 1
        self.timers.started(job, event)
        return True

    def finished(self, event: CallFinished) -> Ended | None:
        """A call has given an output."""
        call = event.call
        path = call.path
        job = self.jobs.get(path)
        if (
            job is None
            or job.attempt != call.attempt
            or job.rival is not None
            or job.state != "running"
            or job.dropped
        ):
            job = self._land(call, IN_FLIGHT, won=True)
            return None if job is None else self._over(job, event.output, None)
        # As most calls end: the only one of its job, and nobody has told it to stop.
        if self.people.open:
            self.people.withdraw(call)
        out = self.out
        if out.starts or out.cancels:
            out.settled(call)
        self.running -= 1
        del self.jobs[path]
        return Ended(path, event.output, None)

    def failed(self, event: CallFailed | CallCancelled) -> Ended | None:
        """A call has failed, was stopped before its end, or could not even be asked."""
        failed = isinstance(event, CallFailed)
        job = self._land(event.call, _ASKED_OR_IN_FLIGHT if failed else IN_FLIGHT)
        if job is None:
            return None
        if isinstance(event, CallCancelled) and event.reason == TAKEN_BACK and not job.dropped:
            job.again(event.at)
            self._ask(job)
            return None
        fault = event.fault if isinstance(event, CallFailed) else job.stopped(event.reason)
        if not job.dropped and job.failed(fault, event.at, self.seed):
            self._ask(job)
            return None
        return self._over(job, None, fault)

    def lost(self, event: CallLost) -> None:
        """The owner died with the call in flight: do it again, or hold it and ask."""
        job = self._land(event.call, IN_FLIGHT)
        if job is None:
            return
        if job.effects:
            job.state = "held"
        if job.dropped:
            self._over(job, None, job.stopped("lost"))
        elif not job.effects:
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

    def deadline(self, *, admits: bool = True) -> int | None:
        """Give the instant of the next time-out, end of a back-off, or second call.

        There are no second calls but while the run `admits` calls.
        """
        due = self.timers.next(hedges=admits)
        if not self.people.open:
            return due
        asked = self.people.next()
        return asked if due is None or (asked is not None and asked < due) else due

    def wake(self, at: int, *, admits: bool = True) -> None:
        """Handle every time-out and back-off that is due, and every call that is late."""
        for call in self.timers.ends(at):
            job = self.jobs[call.path]
            if job.state == "backing_off":
                job.state = "asked"
                self._ask(job)
            else:
                _stop(self, job.stop(call.attempt, "timeout"))
        for call in self.timers.hedges(at) if admits else ():
            job = self.jobs[call.path]
            self.out.start(job.hedge(at))
            self._highest = max(self._highest, job.last)

    def pause(self, at: int) -> None:
        """Recall the second calls that have not started; they may be asked for again later."""
        for job in self.jobs.values():
            if (second := job.recall()) is not None:
                self.out.withdraw(second, "pause")
                self.timers.hedge(at, job.call)

    def drop(self, path: str, reason: str, *, hard: bool = False) -> None:
        """Stop or forget the job at `path` if there is one; "" means all jobs."""
        if path:
            jobs = [self.jobs[path]] if path in self.jobs else []
        else:
            jobs = list(self.jobs.values())
        for job in jobs:
            if job.state not in IN_FLIGHT:
                if job.state == "asked":
                    self.out.withdraw(job.call, reason)
                job.dropped = True
                self._over(job, None, job.stopped(reason))
            elif hard or not job.dropped:
                job.dropped = True
                if (second := job.recall()) is not None:
                    self.out.withdraw(second, reason)
                for call in job.in_flight:
                    _stop(self, job.stop(call.attempt, reason, hard=hard))
        if hard and not path:
            for call in self._late:
                self.out.stop(CancelCall(call, "hedge", hard=True))

    def restart_names(self) -> None:
        """Let every later call have a number that no call had before."""
        self._base = self._highest
        self._attempts.clear()

    # -- reading ----------------------------------------------------------------------------

    def in_flight(self) -> list[Call]:
        """Give the calls that have started and not ended, in the order of their jobs.

        Those whose jobs are over come last.
        """
        return [call for job in self.jobs.values() for call in job.in_flight] + list(self._late)

    def held(self) -> list[Job]:
        """Give the jobs whose call was lost and must not be repeated unasked."""
        return [job for job in self.jobs.values() if job.state == "held"]

    def stopping(self, path: str) -> str:
        """Name a job of a path's step that nobody wants any more and that has not ended, or ""."""
        step = re.split("[/~]", path, maxsplit=1)[0]
        within = (step + "/", step + "~")
        dropped = [job.path for job in self.jobs.values() if job.dropped]
        return next((one for one in dropped if one == step or one.startswith(within)), "")

    def fork(self) -> Self:
        """Copy what is live."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.jobs = {path: job.fork() for path, job in self.jobs.items()}
        other._attempts = self._attempts.copy()
        other._unsure = self._unsure.copy()
        other._late = self._late.copy()
        other.timers = self.timers.fork(other.jobs)
        other.people = self.people.fork(other.jobs, other.timers)
        other.out = self.out.fork()
        return other

    # -- within -----------------------------------------------------------------------------

    def _land(self, call: Call, states: frozenset[JobState], *, won: bool = False) -> Job | None:
        """Let a call end; give its job if that decides about it."""
        if self.people.open:
            self.people.withdraw(call)
        if self._late and call in self._late:
            del self._late[call]
            self.out.settled(call)
            self.running -= 1
            return None
        job = self.jobs.get(call.path)
        state = None if job is None else job.state_of(call.attempt)
        if job is None or state not in states:
            self.ignored += 1
            return None
        out = self.out
        if out.starts or out.cancels:
            out.settled(call)
        if state in IN_FLIGHT:
            self.running -= 1
        if job.rival is None:
            return job
        other = job.part(call.attempt)
        if other is None:
            return job
        name = Call(job.path, other.attempt)
        if other.state == "asked":
            self.out.withdraw(name, "hedge")
        elif not won:
            job.go_on(other)
            return None
        else:
            self._late[name] = None
            if other.state == "running":
                _stop(self, CancelCall(name, "hedge"))
        return job

    def _over(self, job: Job, output: Json, fault: Fault | None) -> Ended | None:
        del self.jobs[job.path]
        if fault is None and not job.dropped:
            return Ended(job.path, output, None)
        # The path may be used again, and its numbers must not: only success is final.
        self._attempts[job.path] = job.last
        if job.state == "held":
            self._unsure[job.path] = None
        if job.dropped:
            return Ended(job.path, output, None, late=True) if fault is None else None
        return Ended(job.path, None, fault)

    def _ask(self, job: Job) -> None:
        self._highest = max(self._highest, job.last)
        if job.state == "backing_off":
            self.timers.backs_off(job)
        else:
            self.out.start(job.ask())


def _stop(calls: Calls, cancel: CancelCall) -> None:
    """Tell a call in flight to stop; what it asks people is of no account any more."""
    if calls.people.open:
        calls.people.withdraw(cancel.call)
    calls.out.stop(cancel)


def broken_rules(calls: Calls) -> list[str]:
    """Name every invariant that does not hold."""
    jobs = calls.jobs
    starts = calls.out.starts
    deadline = calls.deadline()
    pairs = [job for job in jobs.values() if job.rival is not None]
    rules = {
        "running counts the calls in flight": calls.running == len(calls.in_flight()),
        "jobs stand at their paths": all(path == job.path for path, job in jobs.items()),
        "only asked calls have a start": all(
            path in jobs and jobs[path].awaits(start.call) for path, start in starts.items()
        ),
        "attempts count from 1": all(1 <= job.attempt <= job.last for job in jobs.values()),
        "a dropped job is being stopped": all(
            job.state == "stopping" and (job.rival is None or job.rival.state == "stopping")
            for job in jobs.values()
            if job.dropped
        ),
        "a second call is beside one in flight": all(job.state in IN_FLIGHT for job in pairs),
        "a second call does no harm": not any(job.effects for job in pairs),
        "a late call is of no job": all(
            call.path not in jobs or jobs[call.path].state_of(call.attempt) is None
            for call in calls._late
        ),
        "a back-off has a deadline": all(
            deadline is not None and deadline <= job.ready
            for job in jobs.values()
            if job.state == "backing_off"
        ),
        "a running call has a deadline": deadline is not None
        or all(
            job.state != "running" and (job.rival is None or job.rival.state != "running")
            for job in jobs.values()
        ),
    }
    return [rule for rule, holds in rules.items() if not holds] + calls.people.broken()


def broken_run(
    calls: Calls,
    phase: str,
    end: RunEnded | None,
    gate: Gate,
    wanted: list[str] | None,
    *,
    admits: bool,
) -> list[str]:
    """Name every invariant between a run and its calls that does not hold.

    Args:
        calls: The calls.
        phase: How far the run is.
        end: How it ended, or is about to.
        gate: Whether it may begin.
        wanted: The jobs that the workflow of an open run waits for.
        admits: Whether calls may start.
    """
    jobs = calls.jobs.values()
    rivals = [job.rival for job in jobs if job.rival is not None]
    rules = {
        "an ended run has no job": phase != "ended" or not calls.jobs,
        "a run that ends has a reason": phase not in ("ending", "ended") or end is not None,
        "an ending run only waits for calls in flight": phase != "ending"
        or all(job.in_flight for job in jobs),
        "no second call waits while none may start": admits
        or not any(rival.state == "asked" for rival in rivals),
        "nothing begins before it is approved of": gate.passed or not calls.jobs,
        "each job that the workflow waits for is there, and no other": wanted is None
        or wanted == sorted(job.path for job in jobs if not job.dropped),
    }
    return [rule for rule, holds in rules.items() if not holds]
