"""One job: all calls at one path until an output is there or there is nothing left to try.

    asked ──started──> running ──finished──────────────> done
      ^                  │  └──deadline──> stopping ──┐
      │                  └──failed───────────────────┤
      └── backing off <──another try or a fallback───┴──nothing left──> failed
    running ──owner died, effects──> held ──asked again by a person──> asked

`stopping` is a state of its own because begun work cannot be un-begun: a call that was told to stop
still ends with a fact, and may even finish.
"""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from hocket.core.errors import Fault
from hocket.core.machine import JobSpec
from hocket.core.retry import Again, decide
from hocket.core.values import Call, format_duration

JobState: TypeAlias = Literal["asked", "running", "stopping", "backing_off", "held"]


class Job:
    """The live state of one job. The run machine alone changes it."""

    __slots__ = (
        "agent",
        "asked",
        "attempt",
        "dropped",
        "path",
        "ready",
        "reason",
        "refusals",
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

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        for name in Job.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def failed(self, fault: Fault, at: int, seed: int) -> bool:
        """Take a failure in; tell whether there is another call to make, and set it up."""
        if fault.kind == "rate_limited":
            self.refusals += 1
        else:
            self.refusals = 0
            self.tries += 1
        decision = decide(self.spec.retry, fault, self.tries, self.refusals, seed, self.call)
        if isinstance(decision, Again):
            self._next(at, decision.delay)
            return True
        if self.agent + 1 < len(self.spec.agents):
            self.agent += 1
            self.tries = self.refusals = 0
            self._next(at, 0)
            return True
        return False

    def stop(self, reason: str) -> None:
        """The call in flight is told to stop; the first reason is the one that counts."""
        self.state = "stopping"
        self.reason = self.reason or reason

    def stopped(self, reason: str) -> Fault:
        """Say what it means for the job that its call was stopped."""
        if reason != "timeout":
            return Fault(kind="lost", message=f"stopped: {reason}")
        limit = format_duration(self.spec.timeout)
        return Fault(kind="timeout", message=f"took longer than its timeout of {limit}")

    def again(self, at: int) -> None:
        """Set up another call that costs no try: after a crash, or because a person says so."""
        self._next(at, 0)

    def _next(self, at: int, delay: int) -> None:
        self.attempt += 1
        self.asked = at
        self.ready = at + delay
        self.state = "backing_off" if delay else "asked"
        self.reason = ""
