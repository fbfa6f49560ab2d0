"""What it takes to explain runs of 100,000 events, and how large a page of 1,000 steps is.

The runs are played under virtual time with simulated agents and written to a journal; that is not
timed.
Timed is ``hocket explain RUN --no-simulate`` as a process of its own, from its start to its end:
the program's imports, reading the journal, folding it, everything that is worked out, the text.
Beside it stands what reading and folding, and working out, take by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure
import shapes

from hocket.app.rest import collector_rests
from hocket.app.traces import trace_of_run
from hocket.core.events import AnyEvent, RunStarted
from hocket.core.specs import AgentSpec, InputSpec, LimitSpec, PlanSpec, Rate, Retry, RunSpec
from hocket.core.specs import StepSpec as Step
from hocket.core.teams import ConsensusSpec, Member
from hocket.core.values import MINUTE, SECOND, Json
from hocket.insight.explain import explain
from hocket.journal.sqlite import SqliteJournal
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play
from hocket.simulator.teams import voter

LIMIT = 600
"""Seconds after which a process is killed."""
AGENTS = 10
TEAM = 7
HEAD = ["run", "events", "CPU s", "s", "fold s", "explain s", "MB"]


class Shape(NamedTuple):
    """A run to be played: what it does, with which inputs, by whom."""

    spec: RunSpec
    inputs: dict[str, Json]
    cast: Cast


def players(**fields: Any) -> Cast:
    return Cast({}, Player(latency=Latency(10 * SECOND, 0.5), **fields))


def run_of(steps: Sequence[Step], **fields: Any) -> RunSpec:
    claims = tuple(fields.get("limits", ()))
    agents = {f"g{n}": AgentSpec(kind="scripted", limits=claims) for n in range(AGENTS)}
    plan = PlanSpec(name="p", steps=tuple(steps), inputs=fields.pop("inputs", {}))
    return RunSpec(workflow=plan, agents=agents, **fields)


def graph(shape: str, calls: int) -> Shape:
    """Plain steps in one of the shapes of the other benchmarks."""
    steps = [
        Step(
            name=f"s{i}",
            agent=f"g{i % AGENTS}",
            input="".join([f"{{{{s{n}}}}} " for n in needs]) + "Go on.",
            needs=tuple([f"s{n}" for n in needs]),
        )
        for i, needs in enumerate(shapes.needs(shape, calls))
    ]
    return Shape(run_of(steps), {}, players(gives=lambda asked: "done"))


def needless(calls: int) -> Shape:
    """The layered steps, but none reads what it waits for, under a limit that is always full."""
    full = LimitSpec(requests=(Rate(60, MINUTE),))
    steps = [
        Step(
            name=f"s{i}", agent=f"g{i % AGENTS}", input="Go.", needs=tuple([f"s{n}" for n in needs])
        )
        for i, needs in enumerate(shapes.needs("layered", calls))
    ]
    return Shape(run_of(steps, limits={"api": full}), {}, players())


def each(calls: int) -> Shape:
    """One step for each item of a list."""
    steps = [Step(name="all", agent="g0", each="inputs.items", input="{{item}}")]
    spec = run_of(steps, inputs={"items": InputSpec()})
    return Shape(spec, {"items": list(range(calls))}, players())


def teams(calls: int) -> Shape:
    """Teams of seven side by side, whose members begin anew with each answer."""
    members = tuple([Member(name=f"m{n}", agent=f"g{n}") for n in range(TEAM)])
    team = ConsensusSpec(members=members, policy="restart_all")
    steps = [
        Step(name=f"q{n}", kind="consensus", team=team, input=f"Which, {n}?")
        for n in range(calls // 23)
    ]
    return Shape(run_of(steps, max_parallel=10_000), {}, players(gives=voter("random")))


def retries(calls: int) -> Shape:
    """Steps half of whose calls fail and are tried again."""
    retry = Retry(tries=100, first=SECOND)
    steps = [
        Step(name=f"s{n}", agent=f"g{n % AGENTS}", input=f"Do {n}.", retry=retry)
        for n in range(2 * calls // 5)
    ]
    return Shape(run_of(steps), {}, players(failing=0.5))


SHAPES: dict[str, Callable[[int], Shape]] = {
    "wide": lambda calls: graph("wide", calls),
    "chain": lambda calls: graph("chain", calls),
    "layered": lambda calls: graph("layered", calls),
    "layered, nothing read, a full window": needless,
    "each": each,
    "teams of seven": teams,
    "retries": retries,
}


async def write(home: Path, run: str, shape: Shape) -> int:
    """Play a run into a journal; gives how many events it has."""
    played = play(shape.spec, shape.inputs, shape.cast, 1)
    first, *rest = played.events
    assert isinstance(first, RunStarted)
    with SqliteJournal(home) as journal:
        log = await journal.start(first)
        seq = log.seq
        for part in _parts(rest, 1_000):
            seq = log.append(part)
        await log.durable(seq)
        await log.close()
    return seq


def _parts(events: list[AnyEvent], size: int) -> list[list[AnyEvent]]:
    return [events[i : i + size] for i in range(0, len(events), size)]


def command(home: Path, run: str, *options: str) -> dict[str, float]:
    """Run ``hocket explain`` as a process; gives its CPU seconds, seconds and peak memory in MB."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "hocket", "explain", run, "--no-simulate", *options],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOCKET_HOME": str(home)},
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"explain of {run} ended with status {child.returncode}")
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"cpu": used.ru_utime + used.ru_stime, "wall": took, "mb": peak / 1e6}


def within(home: Path, run: str) -> dict[str, float]:
    """Measure the parts in this process, by its CPU time."""
    with SqliteJournal(home) as journal, collector_rests():
        began = time.process_time()
        trace = trace_of_run(journal, run)
        folded = time.process_time()
        explain(trace)
        return {"fold": folded - began, "explain": time.process_time() - folded}


def measured(home: Path, name: str, calls: int, rounds: int) -> dict[str, Any]:
    """Measure one shape round after round; gives the medians."""
    folder = home / name.replace(" ", "-").replace(",", "")
    # In a process of its own: a process begins with the peak of the one that started it.
    made = measure.in_child([__file__, "--write", name, str(calls), str(folder)], LIMIT)
    if "events" not in made:
        raise SystemExit(f"{name}: {made}")
    events = made["events"]
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        parts = measure.in_child([__file__, "--within", str(folder)], LIMIT)
        if "fold" not in parts:
            raise SystemExit(f"{name}: {parts}")
        found.append({**command(folder, "last"), **parts})
    medians = {key: measure.median([one[key] for one in found]) for key in found[0]}
    return {"run": name, "events": events, **medians}


def page(home: Path, steps: int) -> tuple[int, float]:
    """Give the size of the page of a run of so many steps, and the CPU seconds it takes."""
    folder, path = home / "page", home / "page.html"
    asyncio.run(write(folder, "run", graph("layered", steps)))
    took = command(folder, "last", "--html", str(path))
    return path.stat().st_size, took["cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, help="how many (3)")
    parser.add_argument("--rows", choices=SHAPES, action="append", help="this shape alone")
    parser.add_argument("--calls", type=int, default=50_000, help="calls of a run (50,000)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        name, calls, folder = given.write
        events = asyncio.run(write(Path(folder), "run", SHAPES[name](int(calls))))
        print(json.dumps({"events": events}))
        return
    if given.within:
        print(json.dumps(within(given.within, "run")))
        return
    rounds = given.rounds or (1 if given.quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = given.rows or list(SHAPES)
        rows = [measured(home, name, given.calls, rounds) for name in names]
        size, took = page(home, 1_000)
    print("\n".join(measure.machine()), "\n")
    print(measure.table(HEAD, [_row(row) for row in rows], 1))
    print(
        f"\nMedians of {rounds} rounds. CPU s, s and MB are the whole process's; fold and explain "
        "are CPU time of these parts alone, and reading the journal is within fold.\n"
        f"The page of 1,000 steps: {size / 1e6:.2f} MB, {took:.2f} s CPU for the whole process.\n"
        f"{measure.NOISE}"
    )
    if given.json:
        whole = {"rows": rows, "page": {"bytes": size, "cpu": took}}
        given.json.write_text(json.dumps(whole, indent=1) + "\n")


def _row(row: dict[str, Any]) -> list[str]:
    return [
        row["run"],
        f"{row['events']:,}",
        f"{row['cpu']:.2f}",
        f"{row['wall']:.2f}",
        f"{row['fold']:.2f}",
        f"{row['explain']:.2f}",
        f"{row['mb']:,.0f}",
    ]


if __name__ == "__main__":
    main()
