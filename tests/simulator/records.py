"""Recorded runs for calibration: played ones, and plans of one agent to play."""

from __future__ import annotations

from typing import Any

from hocket.core.events import Recorded
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.values import MINUTE, SECOND, Json
from hocket.insight.fold import trace_of
from hocket.insight.trace import Trace
from hocket.simulator.agents import Asked, Behaviour, Cast, Latency, Player
from hocket.simulator.calibrate import Record, Simulated, outputs_of
from hocket.simulator.parts import Played
from hocket.simulator.play import play
from hocket.workflows.plan import fates_of, make_plan

PER_MINUTE = MINUTE


def trace(played: Played) -> Trace:
    """Fold a played run's trace, as that of a real one is."""
    events = [Recorded(i, event) for i, event in enumerate(played.events, 1)]
    return trace_of(events, RunMachine({"plan": make_plan}), fates_of)


def record(played: Played) -> Record:
    """Learn from a played run."""
    return Record(trace(played), outputs_of(played.events))


def again(played: Played, spec: RunSpec | None = None) -> Simulated:
    """Make agents of a played run, for the same spec or another one."""
    return Simulated(spec or played.machine.spec, None, record(played))


def wide(items: int, *, name: str = "work", **step: Any) -> RunSpec:
    """Make a plan that does so many things at once."""
    steps = (
        StepSpec(name="list", agent="lister"),
        StepSpec(name=name, agent="worker", each="list", needs=("list",), **step),
    )
    agents = {"lister": AgentSpec(kind="function"), "worker": AgentSpec(kind="scripted")}
    return RunSpec(workflow=PlanSpec(name="wide", steps=steps), agents=agents, max_parallel=items)


def lister(items: int) -> Player:
    """Make the agent that names the items."""
    return Player(latency=Latency(SECOND), gives=lambda _: list(range(items)))


def workers(items: int, median: float, sigma: float, **fields: Any) -> Cast:
    """Make the agents of such a plan."""
    worker = Player(latency=Latency(round(median * SECOND), sigma), **fields)
    return Cast({"lister": lister(items), "worker": worker})


def played(spec: RunSpec, agents: Any, seed: int = 1, **fields: Any) -> Played:
    """Play a run."""
    return play(spec, {}, agents, seed, **fields)


def gives(path: str, agents: Any, job: Any, agent: str = "worker", given: Json = None) -> Json:
    """Ask for one output."""
    return agents.act(Asked("run", agent, path, 1, given, job, 7)).gives


def constant(value: Json) -> Behaviour:
    """Always give the same."""
    return lambda _: value


def rate(amount: int) -> tuple[Rate, ...]:
    """Give a window of a minute."""
    return (Rate(amount, MINUTE),)
