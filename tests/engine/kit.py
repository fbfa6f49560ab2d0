"""What tests of the engine share: agents that note when they were called, and a plan in a line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hocket.agents.base import Context, Reply, Request
from hocket.core.errors import AgentError, Fault, FaultKind
from hocket.core.events import AnyEvent, CallStarted, Recorded
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import SECOND, Call, FileRef, Json
from hocket.engine.desk import Desks
from hocket.engine.engine import Engine, Kind, Parts
from hocket.journal.base import Store
from hocket.journal.memory import MemoryJournal
from hocket.simulator.loop import pending_tasks, run_virtual, virtual_loop
from hocket.workflows.plan import VERSION, make_plan

T = TypeVar("T")
E = TypeVar("E", bound=AnyEvent)
Do = Callable[[Request, Context], Awaitable[Json]]

WALL = 1_000_000 * SECOND
"""The wall's time at the beginning of virtual time."""


def now() -> float:
    """Give the virtual time in seconds."""
    return asyncio.get_running_loop().time()


def wall() -> int:
    return WALL + round(now() * SECOND)


def seconds(at: int) -> float:
    """Give an instant as the virtual time in seconds."""
    return (at - WALL) / SECOND


class Doer:
    """An agent that does what a function says, and remembers when it was called."""

    def __init__(self, do: Do) -> None:
        self.do = do
        self.calls: list[tuple[float, str]] = []
        self.closed = 0

    async def call(self, request: Request, context: Context) -> Reply:
        self.calls.append((now(), str(request.call)))
        output = await self.do(request, context)
        return output if isinstance(output, Reply) else Reply(output=output)

    async def close(self) -> None:
        self.closed += 1


def sleeps(duration: float, output: Json = "done") -> Doer:
    """Make an agent that takes a while."""

    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(duration)
        return output

    return Doer(do)


def sleeps_by_step(**durations: float) -> Doer:
    """Make an agent that takes as long as is said for each step, and gives the step's name."""

    async def do(request: Request, context: Context) -> Json:
        name = request.call.path.split("/")[0]
        await asyncio.sleep(durations.get(name, 1.0))
        return name

    return Doer(do)


def says(*outcomes: Any) -> Doer:
    """Make an agent whose attempts give or raise these in turn; the last one stays."""

    async def do(request: Request, context: Context) -> Json:
        outcome = outcomes[min(request.call.attempt, len(outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return Doer(do)


def failure(kind: FaultKind = "failed", retry_after: int | None = None) -> AgentError:
    return AgentError(Fault(kind=kind, message=f"it {kind}", retry_after=retry_after))


class NoFiles:
    """Files for plans that have none."""

    async def store(self, path: Path, name: str) -> FileRef:
        raise AssertionError("no file was to be stored")

    async def fetch(self, ref: FileRef) -> Path:
        raise AssertionError("no file was to be fetched")


class Watcher:
    """An observer that remembers what it was shown and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Recorded]] = []
        self.said: list[tuple[str, str, str]] = []

    def recorded(self, events: Sequence[Recorded]) -> None:
        self.seen.extend((now(), recorded) for recorded in events)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        self.said.append((str(call), stream, text))


_OF_A_RUN = ("max_parallel", "limits", "claims", "priority", "weight", "deadline")


def plan(*steps: StepSpec, effects: Sequence[str] = (), **more: Any) -> RunSpec:
    """Make a run's spec: every agent that a step names is there.

    `claimed` names the limits that each agent's calls claim.
    """
    names = [name for step in steps for name in (step.agent, *step.fallback) if name]
    agents = {
        name: AgentSpec(kind="function", options={"ref": f"x:{name}"}, effects=name in effects)
        for name in dict.fromkeys(names)
    }
    claimed = more.pop("claimed", {})
    agents = {
        name: msgspec.structs.replace(agent, limits=tuple(claimed.get(name, ())))
        for name, agent in agents.items()
    }
    run = {key: more.pop(key) for key in _OF_A_RUN if key in more}
    return RunSpec(workflow=PlanSpec(name="p", steps=steps, **more), agents=agents, **run)


def step(name: str, *needs: str, agent: str = "a", **more: Any) -> StepSpec:
    return StepSpec(name=name, agent=agent, needs=needs, **more)


def engine(
    journal: Store,
    agents: Mapping[str, Doer | Exception],
    *,
    capacity: Mapping[str, int] | None = None,
    clock: Callable[[], int] = wall,
) -> Engine:
    """Put an engine together from these agents; an exception is raised instead of an agent."""

    def hire(name: str, spec: AgentSpec) -> Doer:
        agent = agents[name]
        if isinstance(agent, Exception):
            raise agent
        return agent

    parts = Parts(
        journal=journal,
        files=NoFiles(),
        hire=hire,
        capacity=lambda name, spec: (capacity or {}).get(name),
        kinds={"plan": Kind(VERSION, make_plan)},
        wall=clock,
        desks=Desks(clock, journal.ledger),
    )
    return Engine(parts)


def virtual(main: Callable[[], Awaitable[T]], seed: int | None = 0) -> T:
    """Run a test in virtual time; no task may be left over."""

    async def whole() -> T:
        result = await main()
        left = [
            task for task in pending_tasks(virtual_loop()) if task is not asyncio.current_task()
        ]
        assert left == []
        return result

    return run_virtual(whole, seed=seed)


def events(journal: MemoryJournal, run: str = "r") -> list[AnyEvent]:
    """Give what is on disk."""
    return [recorded.event for recorded in journal.read(run)]


def only(journal: MemoryJournal, kind: type[E], run: str = "r") -> list[E]:
    """Give the events of one kind."""
    return [event for event in events(journal, run) if isinstance(event, kind)]


def starts(journal: MemoryJournal) -> dict[str, float]:
    """Give when each call started, in seconds."""
    return {str(event.call): seconds(event.at) for event in only(journal, CallStarted)}


def waits(journal: MemoryJournal) -> dict[str, list[tuple[str, float, float]]]:
    """Give what each call waited for."""
    return {
        str(event.call): [(w.cause, seconds(w.since), seconds(w.until)) for w in event.waits]
        for event in only(journal, CallStarted)
    }
