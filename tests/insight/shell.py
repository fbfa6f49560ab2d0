"""A shell in a few lines: drives the real run machine through what a simulated world has not.

A pause, a crash, a person who asks for a retry, and a coordinator that takes its time.
There are no limits here; calls leave as soon as the machine asks for them.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from hocket.core.commands import CancelCall, StartCall
from hocket.core.errors import Fault
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    ContinueRequested,
    PauseRequested,
    RetryRequested,
    RunResumed,
    RunStarted,
    TimePassed,
)
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import Call, Json
from hocket.simulator.agents import Act, Asked, SimulatedAgents
from hocket.workflows.plan import make_plan


class Upset(NamedTuple):
    """What happens to a run.

    Fields:
        lag: How long the coordinator takes from knowing that a call is to start to its start.
        pause: When somebody pauses the run, and for how long.
        crash: When the process dies, and for how long nobody takes its run up.
        retry: How long after a failure somebody asks for a retry.
    """

    lag: int = 0
    pause: tuple[int, int] | None = None
    crash: tuple[int, int] | None = None
    retry: int | None = None


class Shell:
    """One run, driven to its end."""

    def __init__(
        self, spec: RunSpec, inputs: dict[str, Json], agents: SimulatedAgents, seed: int
    ) -> None:
        self.machine = RunMachine({"plan": make_plan})
        self.events: list[AnyEvent] = []
        self.now = 0
        self._agents = agents
        self._seed = seed
        self._heap: list[tuple[int, int, AnyEvent | StartCall | Act]] = []
        self._number = 0
        self._lag = 0
        self._waiting: list[StartCall] = []
        self._flying: dict[Call, Act] = {}
        self._take(
            RunStarted(
                at=0,
                run="run",
                spec=spec,
                digest=spec_digest(spec),
                inputs=inputs,
                seed=seed,
                versions={"plan": 1},
                program="a test",
            )
        )

    def drive(self, upset: Upset) -> list[AnyEvent]:
        """Go on until the run has ended and nobody asks for more."""
        self._lag = upset.lag
        if upset.pause is not None:
            at, lasts = upset.pause
            self._later(PauseRequested(at=at, by="ann"))
            self._later(ContinueRequested(at=at + lasts, by="ann"))
        if upset.crash is not None:
            at, lasts = upset.crash
            self._later(RunResumed(at=at, epoch=lasts))
        retry = upset.retry
        while True:
            self._follow()
            if self.machine.phase == "ended":
                if retry is None or self.machine.said != "failed":
                    return self.events
                self.now += retry
                self._take(RetryRequested(at=self.now, path="", by="ann"))
                retry = None
                continue
            self._advance()

    def _follow(self) -> None:
        if self.machine.admits:
            waiting, self._waiting = self._waiting, []
            for start in waiting:
                self._start(start)
        while commands := self.machine.drain():
            for command in commands:
                if isinstance(command, StartCall):
                    if self._lag:
                        self._put(self.now + self._lag, command)
                    else:
                        self._start(command)
                elif isinstance(command, CancelCall):
                    if self._flying.pop(command.call, None) is not None:
                        reason = command.reason
                        self._take(CallCancelled(at=self.now, call=command.call, reason=reason))
                else:
                    self._take(msgspec.structs.replace(command.event, at=self.now))

    def _advance(self) -> None:
        due = self.machine.deadline()
        if due is not None and (not self._heap or due < self._heap[0][0]):
            self.now = max(self.now, due)
            self._take(TimePassed(at=self.now))
            return
        at, _, what = heappop(self._heap)
        self.now = max(self.now, at)
        if isinstance(what, StartCall):
            self._start(what)
        elif isinstance(what, RunResumed):
            self._crash(what)
        elif isinstance(what, CallFinished | CallFailed):
            if self._flying.pop(what.call, None) is not None:
                self._take(msgspec.structs.replace(what, at=self.now))
        elif self.machine.phase in ("running", "pausing"):
            assert isinstance(what, PauseRequested | ContinueRequested)
            self._take(msgspec.structs.replace(what, at=self.now))

    def _start(self, start: StartCall) -> None:
        job = self.machine.calls.jobs.get(start.call.path)
        if job is None or not job.awaits(start.call):
            return
        if not self.machine.admits:
            self._waiting.append(start)
            return
        spec, given = self.machine.request(start.call)
        path, attempt = start.call.path, start.call.attempt
        asked = Asked("run", start.agent, path, attempt, given, spec, self._seed, self.now)
        act = self._agents.act(asked)
        self._take(CallStarted(at=self.now, call=start.call, agent=start.agent))
        self._flying[start.call] = act
        end = self.now + act.lasts
        if isinstance(act.gives, Fault):
            fault = act.gives
            self._put(end, CallFailed(at=end, call=start.call, fault=fault, usage=act.usage))
        else:
            gives = act.gives
            self._put(end, CallFinished(at=end, call=start.call, output=gives, usage=act.usage))

    def _crash(self, event: RunResumed) -> None:
        """The process dies now; the next one comes up later, and knows only the events."""
        machine = RunMachine({"plan": make_plan})
        for known in self.events:
            machine.apply(known)
        lost = machine.calls.in_flight()
        self.machine = machine
        self._heap.clear()
        self._flying.clear()
        self._waiting.clear()
        self.now += event.epoch
        self._take(RunResumed(at=self.now, epoch=2))
        for call in lost:
            self._take(CallLost(at=self.now, call=call))

    def _later(self, event: AnyEvent) -> None:
        self._put(event.at, event)

    def _put(self, at: int, what: AnyEvent | StartCall) -> None:
        self._number += 1
        heappush(self._heap, (at, self._number, what))

    def _take(self, event: AnyEvent) -> None:
        self.machine.apply(event)
        self.events.append(event)
