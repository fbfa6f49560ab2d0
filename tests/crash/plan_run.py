"""A plan whose calls leave marks in a file, run by a whole engine that is killed in the middle."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from hocket.agents.base import Agent
from hocket.agents.function import FunctionAgent
from hocket.app.files import StoredFiles
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import Json
from hocket.engine.engine import Engine, Kind, Parts
from hocket.journal.base import Store
from hocket.journal.sqlite import SqliteJournal
from hocket.workflows.plan import VERSION, make_plan

RUN = "plan"
HOT = ("h0", "h1", "h2", "h3")
"""The steps with effects."""


def spec() -> RunSpec:
    """Pure steps and steps with effects, side by side and behind each other, and a fan-out."""

    def step(name: str, *needs: str, hot: bool = False) -> StepSpec:
        agent = "hot" if hot else "pure"
        return StepSpec(name=name, agent=agent, needs=needs, input={"name": name})

    items = StepSpec(
        name="items", agent="pure", each="p0.list", input={"name": "items{{index}}"}, needs=("p0",)
    )
    steps = (
        step("p0"),
        step("h0", hot=True),
        step("p1", "p0"),
        step("h1", "h0", "p1", hot=True),
        items,
        step("h2", "items", hot=True),
        step("p2", "h1", "h2"),
        step("h3", "p2", hot=True),
        step("p3", "h3"),
    )
    options: dict[str, Json] = {"ref": "marks:act"}
    agents = {
        "pure": AgentSpec(kind="function", options=options),
        "hot": AgentSpec(kind="function", options=options, effects=True),
    }
    return RunSpec(workflow=PlanSpec(name=RUN, steps=steps), agents=agents)


def engine(state: Path, journal: Store) -> Engine:
    """Put an engine together whose functions mark what they do in ``state/marks``."""

    async def act(name: str) -> Json:
        marks = os.open(state / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(marks, f"{name}\n".encode())
        os.close(marks)
        return {"name": name, "list": [1, 2, 3]}

    def hire(name: str, about: AgentSpec) -> Agent:
        return FunctionAgent(name, about, state=state, live={"marks:act": act})

    parts = Parts(
        journal=journal,
        files=StoredFiles(journal.blobs, state),
        hire=hire,
        capacity=lambda name, about: None,
        kinds={"plan": Kind(VERSION, make_plan)},
        wall=time.time_ns,
    )
    return Engine(parts)


async def begin(state: Path) -> None:
    """Run the plan from its beginning."""
    with SqliteJournal(state) as journal:
        await begin_in(state, journal)


async def begin_in(state: Path, journal: Store) -> None:
    """Run the plan from its beginning in any journal."""
    run = await engine(state, journal).start(spec(), {}, run=RUN, seed=1, wait=False)
    async with run:
        await run.settled()


async def go_on(state: Path, journal: Store, requests: Sequence[AnyRequest] = ()) -> RunMachine:
    """Take the run up, and give its machine once it has ended or waits for people."""
    shell = engine(state, journal)
    run = await shell.resume(RUN, requests=requests, stay=False, wait=False)
    async with run:
        return await run.settled()


def marks(state: Path) -> list[str]:
    """Give what calls have really done, in order."""
    path = state / "marks"
    return path.read_text().splitlines() if path.exists() else []
