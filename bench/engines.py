"""How the benchmarks put Hocket together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contenders import LISTING, PARALLEL, REF
from shapes import needs

from hocket.agents.function import FunctionAgent
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import FileRef
from hocket.engine.engine import Engine, Kind, Parts
from hocket.journal.memory import MemoryJournal
from hocket.journal.sqlite import SqliteJournal
from hocket.workflows.plan import VERSION, make_plan


class NoFiles:
    """No step of a benchmark has files."""

    async def store(self, path: Path, name: str) -> FileRef:
        raise NotImplementedError

    async def fetch(self, ref: FileRef) -> Path:
        raise NotImplementedError


def engine_on(
    journal: MemoryJournal | SqliteJournal, functions: Mapping[str, Callable[..., Any]]
) -> Engine:
    """Give an engine on a journal, whose agents are these functions."""
    live = dict(functions)

    def hire(name: str, spec: AgentSpec) -> FunctionAgent:
        return FunctionAgent(name, spec, state=Path(), live=live)

    return Engine(
        Parts(
            journal=journal,
            files=NoFiles(),
            hire=hire,
            capacity=lambda name, spec: spec.concurrency,
            kinds={"plan": Kind(VERSION, make_plan)},
            wall=time.time_ns,
        )
    )


def plan_of(shape: str, count: int, effects: bool, parallel: int = PARALLEL) -> RunSpec:
    """Give the plan of a graph; ``each`` is one step over a list that another step gives."""
    steps: tuple[StepSpec, ...]
    if shape == "each":
        over = StepSpec(name="all", agent="step", each="listing", input=["{{item}}"])
        steps = (StepSpec(name="listing", agent="listing"), over)
    else:
        steps = tuple(
            StepSpec(name=f"s{number}", agent="step", needs=tuple(f"s{i}" for i in needed))
            for number, needed in enumerate(needs(shape, count))
        )
    agents = {
        "step": AgentSpec(kind="function", options={"ref": REF}, effects=effects),
        "listing": AgentSpec(kind="function", options={"ref": LISTING}),
    }
    plan = PlanSpec(name="bench", steps=steps)
    return RunSpec(workflow=plan, agents=agents, max_parallel=parallel)
