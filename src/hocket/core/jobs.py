"""One job: all calls at one path until an output is there or there is nothing left to try.

    asked ──started──> running ──finished──────────────> done
      ^                  │  └──deadline──> stopping ──┐
      │                  └──failed───────────────────┤
      └── backing off <──another try or a fallback───┴──nothing left──> failed
    running ──owner died, effects──> held ──asked again by a person──> asked

`stopping` is a state of its own because begun work cannot be un-begun: a call that was told to stop
still ends with a fact, and may even finish.

A running call that is late may get a rival, a second call of the same agent that goes through the
same first states beside it:

    running ──late──> rival asked ──started──> rival running ──deadline──> rival stopping
                           └──refused, recalled──> none

The first output is the job's; the other call is then no longer of the job, though it still has to
land.
If one of the two fails, the job goes on with the other as its only call; if that one has not
started it is recalled, and what becomes of the job follows from the failure alone.
"""

from __future__ import annotations

from typing import Final, Literal, Self, TypeAlias

import msgspec

from hocket.core.commands import CancelCall, StartCall
from hocket.core.errors import Fault
from hocket.core.machine import JobSpec
from hocket.core.retry import Again, decide
from hocket.core.values import Call, format_duration

JobState: TypeAlias = Literal["asked", "running", "stopping", "backing_off", "held"]
IN_FLIGHT: Final[frozenset[JobState]] = frozenset({"running", "stopping"})


class Rival(msgspec.Struct, frozen=True, gc=False):
    """The other call of a job that has two.

    Fields:
        attempt: Its number.
        state: ``asked``, ``running`` or ``stopping``.
        reason: Why it is stopping.
    """

    attempt: int
    state: JobState
    reason: str = ""


class Job:
    """The live state of one job. The run machine alone changes it."""

    __slots__ = (
        "agent",
        "asked",
        "attempt",
        "begun",
        "dropped",
        "last",
        "path",
        "ready",
        "reason",
        "refusals",
        "rival",
        "spec",
        "state",
        "tries",
    )

    def __init__(self, path: str, spec: JobSpec, attempt: int, at: int) -> None:
        self.path = path
        self.spec = spec
        self.state: JobState = "asked"
        self.attempt = attempt
        """The attempt that is under way or comes next."""
        self.last = attempt
        """The highest number that a call of it was given."""
        self.begun = False
        """Whether any call of it has ever left."""
        self.rival: Rival | None = None
        """The call beside the present one, while that is in flight."""
        self.agent = 0
        """Index into the spec's agents."""
        self.tries = 0
        """Tries that the present agent has used."""
        self.refusals = 0
        """Refusals in a row."""
        self.asked = at
        """Since when the next call waits in all."""
        self.ready = at
        """Since when it could run; what lies before it was back-off."""
        self.reason = ""
        """Why it is stopping."""
        self.dropped = False
        """Whether the workflow no longer wants to hear of it."""

    @property
    def call(self) -> Call:
        """The name of the present attempt."""
        return Call(self.path, self.attempt)

    @property
    def agent_name(self) -> str:
        """Who does the present attempt."""
        return self.spec.agents[self.agent]

    @property
    def effects(self) -> bool:
        """Whether repeating the present attempt could do harm."""
        return self.spec.effects[self.agent]

    @property
    def in_flight(self) -> list[Call]:
        """Its calls that have started and not ended."""
        calls = [self.call] if self.state in IN_FLIGHT else []
        if self.rival is not None and self.rival.state in IN_FLIGHT:
            calls.append(Call(self.path, self.rival.attempt))
        return calls

    def state_of(self, attempt: int) -> JobState | None:
        """Give the state of one of its calls, or None if it has no such call now."""
        if attempt == self.attempt:
            return self.state
        if self.rival is not None and attempt == self.rival.attempt:
            return self.rival.state
        return None

    def awaits(self, call: Call) -> bool:
        """Tell whether a call at its path is still to start."""
        return self.state_of(call.attempt) == "asked"

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        for name in Job.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    # -- one call -------------------------------------------------------------------------------

    def ask(self) -> StartCall:
        """Ask for the present call."""
        spec, agent = self.spec, self.agent
        call = Call(self.path, self.attempt)
        return StartCall(call, spec.agents[agent], spec.effects[agent], self.ready, self.asked)

    def started(self, attempt: int) -> None:
        """A call of it has left."""
        self.begun = True
        if attempt == self.attempt:
            self.state = "running"
        else:
            self.rival = Rival(attempt, "running")

    def stop(self, attempt: int, reason: str, *, hard: bool = False) -> CancelCall:
        """Tell a call in flight to stop; the first reason is the one that counts."""
        if attempt == self.attempt:
            self.state = "stopping"
            self.reason = reason = self.reason or reason
        else:
            assert self.rival is not None
            reason = self.rival.reason or reason
            self.rival = Rival(attempt, "stopping", reason)
        return CancelCall(Call(self.path, attempt), reason, hard)

    def stopped(self, reason: str) -> Fault:
        """Say what it means for the job that its call was stopped."""
        if reason != "timeout":
            return Fault(kind="lost", message=f"stopped: {reason}")
        limit = format_duration(self.spec.timeout)
        return Fault(kind="timeout", message=f"took longer than its timeout of {limit}")

    # -- two calls ------------------------------------------------------------------------------

    def hedge(self, at: int) -> StartCall:
        """Ask for a second call beside the present one."""
        self.last += 1
        self.rival = Rival(self.last, "asked")
        return StartCall(
            Call(self.path, self.last), self.agent_name, False, ready=at, asked=at, hedge=True
        )

    def recall(self) -> Call | None:
        """Want no second call that has not started; give its name if there is one."""
        if self.rival is None or self.rival.state != "asked":
            return None
        call = Call(self.path, self.rival.attempt)
        self.rival = None
        return call

    def part(self, attempt: int) -> Rival | None:
        """Make one of its calls the present one; give the other, which it has no more."""
        other, self.rival = self.rival, None
        if other is not None and attempt == other.attempt:
            mine, other = other, Rival(self.attempt, self.state, self.reason)
            self.go_on(mine)
        return other

    def go_on(self, call: Rival) -> None:
        """Take what was the other call for the present one."""
        self.attempt, self.state, self.reason = call.attempt, call.state, call.reason

    # -- what comes next ------------------------------------------------------------------------

    def failed(self, fault: Fault, at: int, seed: int) -> bool:
        """Take a failure in; tell whether there is another call to make, and set it up."""
        if fault.kind == "rate_limited":
            self.refusals += 1
        else:
            self.refusals = 0
            self.tries += 1
        spec = self.spec
        limited = bool(spec.limited) and spec.limited[self.agent]
        decision = decide(
            spec.retry, fault, self.tries, self.refusals, seed, self.call, limited=limited
        )
        if isinstance(decision, Again):
            self._next(at, decision.delay)
            return True
        if self.agent + 1 < len(spec.agents) and not fault.final:
            self.agent += 1
            self.tries = self.refusals = 0
            self._next(at, 0)
            return True
        return False

    def again(self, at: int) -> None:
        """Set up another call that costs no try: after a crash, or because a person says so."""
        self._next(at, 0)

    def _next(self, at: int, delay: int) -> None:
        self.last += 1
        self.attempt = self.last
        self.asked = at
        self.ready = at + delay
        self.state = "backing_off" if delay else "asked"
        self.reason = ""
