"""How soon a panel replies: beside one agent after the other, from its quorum on, without phases.

The rows of the first table are real processes and calls of a loopback server, with a journal on
disk; the last table is virtual time through the real machines.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure
import panel_server
from consensus_runs import hocket_python

import hocket
from hocket.app.history import known_as
from hocket.app.learned import resolve
from hocket.core.specs import AgentSpec, Learned, PlanSpec, RunSpec, StepSpec
from hocket.core.values import MS, SECOND
from hocket.journal.base import Sample
from hocket.journal.book import MemoryBook
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play
from hocket.workflows.panel import Panel, panel_plan

MODELS = importlib.util.find_spec("pydantic_ai") is not None
QUESTION = {"question": "I am overwhelmed: where do I begin?"}


class Row(NamedTuple):
    """A row of the seed's table; times in milliseconds.

    Fields:
        name: What it shows.
        contributors: How long each takes.
        reporter: How long the reply takes.
        alone: How long one after the other takes.
        ideal: How long side by side takes at best.
        hangs: Who hangs longer than the limit.
        fails: Who fails when done.
    """

    name: str
    contributors: dict[str, int]
    reporter: int
    alone: int
    ideal: int
    hangs: str = ""
    fails: str = ""


THREE = {"memory": 500, "mcp": 300, "personal": 400}
ROWS = (
    Row("three independent", THREE, 0, 1200, 500),
    Row("three and one that needs them", THREE, 1000, 2200, 1500),
    Row("one hangs 5 s, limit 1 s", {**THREE, "memory": 5000}, 0, 5000, 1000, hangs="memory"),
    Row("one fails", THREE, 0, 1200, 500, fails="mcp"),
)
LIMIT = SECOND

By = Callable[[int, bool], AgentSpec]
"""Makes an agent that takes so many milliseconds, and then fails if that is wanted."""


def process(takes: int, fails: bool) -> AgentSpec:
    """A real process that sleeps."""
    if fails:
        options = {"command": f"sleep {takes / 1000}; false", "shell": True}
    else:
        options = {"command": ["sleep", f"{takes / 1000}"]}
    return AgentSpec(kind="command", options=options)


def call_of(address: str) -> By:
    """A call of the loopback server."""

    def call(takes: int, fails: bool) -> AgentSpec:
        name = f"{'fails' if fails else 'after'}-{takes}"
        return model(address, name if takes else "talks-5")

    return call


def model(address: str, name: str) -> AgentSpec:
    options = {"model": f"openai:{name}", "base_url": f"{address}/v1"}
    return AgentSpec(kind="model", options=options)


def step(name: str, **more: Any) -> StepSpec:
    return StepSpec(name=name, agent=name, **more)


def spec_of(row: Row, by: By) -> RunSpec:
    agents = {name: by(takes, name == row.fails) for name, takes in row.contributors.items()} | {
        "reporter": by(row.reporter, False)
    }
    panel = Panel(
        question="{{inputs.question}}",
        contributors=tuple(step(name, timeout=LIMIT) for name in row.contributors),
        synthesis=step("reporter"),
    )
    return RunSpec(workflow=panel_plan(panel), agents=agents)


async def timed(folder: Path, specs: Sequence[RunSpec], rounds: int) -> list[list[float]]:
    """Run each of these in turn, round after round; gives milliseconds, without the first round."""
    found: list[list[float]] = [[] for _ in specs]
    async with hocket.Engine(folder, look_ahead=0) as engine:
        for number in range(rounds + 1):
            for spec, times in zip(specs, found, strict=True):
                begin = time.perf_counter()
                result = await engine.run(spec, **inputs_of(spec))
                took = (time.perf_counter() - begin) * 1e3
                assert result.status == "succeeded", result.reason
                if number:
                    times.append(took)
    return found


def inputs_of(spec: RunSpec) -> dict[str, str]:
    return {name: QUESTION["question"] for name in spec.workflow.inputs}


def speed_ups(folder: Path, rounds: int, address: str | None) -> list[dict[str, Any]]:
    """Measure the four rows, by processes and by calls."""
    manners: dict[str, By] = {"processes": process}
    if address is not None:
        manners["calls"] = call_of(address)
    found = []
    for manner, by in manners.items():
        times = asyncio.run(timed(folder, [spec_of(row, by) for row in ROWS], rounds))
        for row, values in zip(ROWS, times, strict=True):
            took = statistics.median(values)
            ideal = row.alone / row.ideal
            found.append(
                {
                    "row": row.name,
                    "by": manner,
                    "ms": took,
                    "speed-up": row.alone / took,
                    "ideal": ideal,
                    "share": row.alone / took / ideal,
                }
            )
    return found


# ---- from the quorum to the first word ----


def quick_panel(address: str) -> RunSpec:
    models = {"a": "after-100", "b": "after-200", "c": "after-2000", "reporter": "talks-40"}
    agents = {name: model(address, about) for name, about in models.items()}
    panel = Panel(
        question="{{inputs.question}}",
        contributors=(step("a"), step("b"), step("c")),
        synthesis=step("reporter"),
        quorum=2,
    )
    return RunSpec(workflow=panel_plan(panel), agents=agents)


async def first_words(folder: Path, address: str, rounds: int) -> dict[str, list[float]]:
    """Measure from the end of the answer that makes the quorum, as the server sees it.

    A run's first call of each model opens a connection; that of the synthesis is on the way too.
    """
    found: dict[str, list[float]] = {"asked": [], "first": []}
    async with hocket.Engine(folder, look_ahead=0) as engine:
        for number in range(rounds + 1):
            first = 0
            async for item in engine.stream(quick_panel(address), **QUESTION):
                if isinstance(item, hocket.Piece) and not first:
                    first = time.monotonic_ns()
            log = await asyncio.to_thread(panel_server.read_log, address)
            quorum = log["after-200"]["left"]
            if number:
                found["asked"].append((log["talks-40"]["arrived"] - quorum) / MS)
                found["first"].append((first - quorum) / MS)
    return found


# ---- phases ----

GRAPH = {"a1": (100, ()), "a2": (700, ("a1",)), "b1": (700, ()), "b2": (100, ("b1",))}
PHASES = {"a1": (100, ()), "b1": (700, ()), "a2": (700, ("a1", "b1")), "b2": (100, ("a1", "b1"))}


def graph(nodes: dict[str, tuple[int, tuple[str, ...]]]) -> RunSpec:
    agents = {name: process(takes, False) for name, (takes, _) in nodes.items()}
    agents["reporter"] = process(0, False)
    panel = Panel(
        question="{{inputs.question}}",
        contributors=tuple(step(name, needs=needs) for name, (_, needs) in nodes.items()),
        synthesis=step("reporter"),
    )
    return RunSpec(workflow=panel_plan(panel), agents=agents)


# ---- a voice panel, simulated ----

SPEAKERS = {
    "router": Latency(250 * MS, 0.4),
    "memory": Latency(400 * MS, 0.5),
    "mcp": Latency(350 * MS, 0.6),
    "personal": Latency(500 * MS, 0.5),
    "reporter": Latency(900 * MS, 0.35),
}
FAILING = 0.01
CONTRIBUTORS = ("memory", "mcp", "personal")


def voice(within: int | Learned | None, quorum: int | None = None) -> RunSpec:
    panel = Panel(
        question="{{inputs.question}}",
        contributors=tuple(step(name) for name in CONTRIBUTORS),
        synthesis=step("reporter"),
        select=step("router", timeout=SECOND),
        within=within,
        quorum=quorum,
    )
    return RunSpec(workflow=panel_plan(panel), agents=AGENTS)


AGENTS = {name: AgentSpec(kind="function", options={"ref": f"x:{name}"}) for name in SPEAKERS}


def one_by_one() -> RunSpec:
    steps = [step("router")]
    for name in (*CONTRIBUTORS, "reporter"):
        steps.append(step(name, wants=(steps[-1].name,)))
    return RunSpec(workflow=PlanSpec(name="panel", steps=tuple(steps)), agents=AGENTS)


def learned_from(seeds: int) -> RunSpec:
    """Give the panel as it begins when its duration book knows this many earlier calls."""
    spec = voice(Learned(cap=4 * SECOND, floor=200 * MS))
    book = MemoryBook()
    for name in CONTRIBUTORS:
        book.record(
            [
                Sample(
                    plan=spec.name,
                    step=name,
                    agent=known_as(spec.agents)[name],
                    took=SPEAKERS[name].at((n + 0.5) / seeds),
                )
                for n in range(seeds)
            ]
        )
    return resolve(spec, book)


def cast() -> Cast:
    """Models that take what is stated; a contributor fails now and then."""
    players = {
        name: Player(
            latency=latency,
            gives=(lambda asked: list(CONTRIBUTORS)) if name == "router" else (lambda asked: "so"),
            failing=FAILING if name in CONTRIBUTORS else 0.0,
        )
        for name, latency in SPEAKERS.items()
    }
    return Cast(players)


def simulated(seeds: int) -> list[dict[str, Any]]:
    """Play each way for all seeds: seconds from the question to the whole reply."""
    ways = {
        "one after the other": one_by_one(),
        "side by side, all waited for": voice(None),
        "quorum of two": voice(None, quorum=2),
        "within 1 s": voice(SECOND),
        "within a learned p95 (cap 4 s)": learned_from(60),
    }
    players, found = cast(), []
    for name, spec in ways.items():
        ends, there = [], 0
        for seed in range(seeds):
            played = play(spec, QUESTION if spec.workflow.inputs else {}, players, seed)
            assert played.status == "succeeded", played
            ends.append((played.end - played.began) / SECOND)
            there += len(contributed(played))
        ends.sort()
        found.append(
            {
                "way": name,
                "p50": ends[seeds // 2],
                "p95": ends[round(0.95 * (seeds - 1))],
                "worst": ends[-1],
                "contributions": there / seeds,
            }
        )
    return found


def contributed(played: Any) -> Sequence[str]:
    output = played.machine.end.output
    if isinstance(output, dict):
        return list(output["contributions"])
    return [made.call.path for made in played.calls if made.call.path in CONTRIBUTORS]


# ---- all of it ----


def report(found: dict[str, Any]) -> None:
    rows = [
        [
            each["row"],
            each["by"],
            f"{each['ms']:,.0f}",
            f"{each['speed-up']:.2f}",
            f"{each['ideal']:.2f}",
            f"{100 * each['share']:.1f}%",
        ]
        for each in found["rows"]
    ]
    print(measure.table(("panel", "by", "ms", "speed-up", "ideal", "of ideal"), rows, 2))
    if "first" in found:
        print("\nfrom the quorum, in ms, as the server saw it left")
        names = {"asked": "the synthesis is asked for", "first": "its first word is there"}
        rows = [
            [names[key], *(f"{value:.1f}" for value in spread(values))]
            for key, values in found["first"].items()
        ]
        print(measure.table(("", "median", "p95", "worst"), rows, 1))
    at_once, phases = found["graph"]
    print(f"\nfour agents, each at once {at_once:,.0f} ms, in phases {phases:,.0f} ms: ", end="")
    print(f"{phases / at_once:.2f} times as long (ideal 1.75)")
    print("\na voice panel under virtual time: seconds to the whole reply")
    keys = ("p50", "p95", "worst", "contributions")
    rows = [[each["way"], *(f"{each[key]:.2f}" for key in keys)] for each in found["voice"]]
    print(measure.table(("way", *keys), rows, 1))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return (
        statistics.median(ordered),
        ordered[round(0.95 * (len(ordered) - 1))],
        ordered[-1],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and seeds")
    parser.add_argument("--json", type=Path, help="keep all figures there")
    parser.add_argument("--state", type=Path, help="where journals are put")
    parser.add_argument("--calm", type=float, default=30, help="seconds to wait for a quiet moment")
    given = parser.parse_args()
    rounds, words, seeds = (3, 10, 200) if given.quick else (7, 40, 1000)
    if not MODELS:
        python = hocket_python()
        if isinstance(python, Path):
            os.execv(python, [str(python), __file__, *sys.argv[1:]])
        print(f"calls are left out: {python}")
    for line in measure.machine(("pydantic-ai-slim", "openai")):
        print(line)
    folder = Path(tempfile.mkdtemp(dir=given.state))
    found: dict[str, Any] = {}
    try:
        calm = measure.wait_for_calm(folder, given.calm)
        print(f"{measure.mood(folder)}{'' if calm else '; a quiet moment did not come'}\n")
        with panel_server.server() as address:
            found["rows"] = speed_ups(folder, rounds, address if MODELS else None)
            if MODELS:
                found["first"] = asyncio.run(first_words(folder, address, words))
        times = asyncio.run(timed(folder, [graph(GRAPH), graph(PHASES)], rounds))
        found["graph"] = [statistics.median(values) for values in times]
        found["voice"] = simulated(seeds)
        report(found)
        print(f"\n{measure.mood(folder)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
