"""The least shell that drives the real machines: what forecasts are held to."""

from __future__ import annotations

from heapq import heappop, heappush

import msgspec
from tests.forecast.plans import START

from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFinished,
    CallStarted,
    TimePassed,
)
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.forecast.paths import rank_of
from hocket.forecast.terms import Terms
from hocket.limits.admission import Admission
from hocket.limits.claim import Ending, Entry, key_of


class Shell:
    """Drives a run by ranks; each call takes what its step says, and gives null."""

    def __init__(self, machine: RunMachine, terms: Terms, ranks: dict[str, int]) -> None:
        self.machine = machine
        self.terms = terms
        self.ranks = ranks
        self.now = START
        self.begun: dict[str, int] = {}
        self.admission = Admission()
        self.admission.open("r", terms.limits, START)
        self.takes = takes_of(machine)
        self.heap: list[tuple[int, int, Call]] = []
        self.number = 0

    def run(self, until: int | None = None) -> int:
        """Go on until the end of the run, or until an instant at which something may happen."""
        while True:
            self.follow()
            if self.machine.phase == "ended":
                return self.now
            while self.heap and self.heap[0][2].path not in self.begun:
                heappop(self.heap)
            wakes = [self.heap[0][0] if self.heap else None, self.machine.deadline()]
            wakes.append(self.admission.next())
            soonest = min(wake for wake in wakes if wake is not None)
            if until is not None and soonest >= until:
                self.now = until
                return until
            self.now = max(self.now, soonest)
            while self.heap and self.heap[0][0] == self.now:
                call = heappop(self.heap)[2]
                if self.begun.pop(call.path, None) is not None:
                    self.admission.settle(key_of("r", call), Ending("done"), self.now)
                    self.machine.apply(CallFinished(at=self.now, call=call))
            due = self.machine.deadline()
            if due is not None and due <= self.now:
                self.machine.apply(TimePassed(at=self.now))

    def follow(self) -> None:
        while True:
            commands = self.machine.drain()
            for command in commands:
                self.carry_out(command)
            admitted = [] if commands else self.admission.admit(self.now)
            for item in admitted:
                self.admission.sent(item.key, self.now)
                self.machine.apply(CallStarted(at=self.now, call=item.call, agent="a"))
                self.begun[item.call.path] = self.now
                self.number += 1
                ends = self.now + self.takes(item.call.path)
                heappush(self.heap, (ends, self.number, item.call))
            if not commands and not admitted:
                return

    def carry_out(self, command: object) -> None:
        if isinstance(command, StartCall):
            job = self.machine.calls.jobs.get(command.call.path)
            if job is None:
                return
            self.admission.offer(
                "r",
                command.call,
                self.terms.claim(command.agent, job.spec.uses),
                command.ready,
                rank=rank_of(self.ranks, command.call.path),
                lasts=self.takes(command.call.path),
            )
        elif isinstance(command, CancelCall):
            if self.admission.withdraw("r", command.call):
                return
            if self.begun.pop(command.call.path, None) is not None:
                self.admission.settle(key_of("r", command.call), Ending("other"), self.now)
                reason = command.reason
                self.machine.apply(CallCancelled(at=self.now, call=command.call, reason=reason))
        elif isinstance(command, Record):
            event = msgspec.structs.replace(command.event, at=self.now)
            self.machine.apply(event)
            if isinstance(event, ApprovalAsked) and self.machine.phase == "running":
                given = ApprovalGiven(
                    at=self.now, path=event.path, approved=True, digest=event.digest, by="me"
                )
                self.machine.apply(given)

    def held(self) -> list[Entry]:
        """Give what the limits hold besides the calls in flight."""
        names = self.terms.limits
        entries = [e for name in names for e in self.admission.limit(name, "r").entries(self.now)]
        return [entry for entry in entries if entry.over]


def takes_of(machine: RunMachine):  # type: ignore[no-untyped-def]
    """Give how long calls take by path, as the steps say."""
    found: dict[str, int] = {}

    def add(steps, prefix: str) -> None:  # type: ignore[no-untyped-def]
        for step in steps:
            found[prefix + step.name] = step.takes
            if step.plan is not None:
                add(step.plan.steps, f"{prefix}{step.name}/")

    add(machine.spec.workflow.steps, "")
    return lambda path: rank_of(found, path)
