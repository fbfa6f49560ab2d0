"""What a run costs as there are more of them, over several processes on one PostgreSQL journal.

    python bench/supervisors.py [--runs 25,50,100,200,400] [--workers 4] [--rounds 3] [--json FILE]

A front begins runs, 16 at once, each a chain of ten steps that wait for 1 s, and drives none;
``hocket work`` processes drive them. The server of PostgreSQL is one of the bench's own.
CPU time is counted of all processes, each of its own; a line through the rounds' medians says what
a run costs, and how far they lie from it.
Beside it: what a step costs, wide and as a chain, on PostgreSQL and on SQLite.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import measure  # noqa: E402
import psutil  # noqa: E402
from contenders import PARALLEL, step  # noqa: E402
from engines import plan_of  # noqa: E402
from tests.postgres import Server, missing  # noqa: E402

from hocket import Engine  # noqa: E402
from hocket.app.host import Host  # noqa: E402

STEPS = 10
WAIT = 1.0
AT_ONCE = 16
"""How many runs are being begun at once."""
MODULE = f"""
import asyncio


async def wait(before: object = None) -> int:
    await asyncio.sleep({WAIT})
    return 1
"""
PACKAGES = ("hocket", "asyncpg")


class Round(NamedTuple):
    """What one number of runs took.

    Fields:
        runs: How many there were.
        wall: Seconds from the first that was begun to the last that ended.
        begin: Seconds until the last was begun.
        most: How many were driven at once, at most, as far as was seen.
        spread: How many each worker drove then.
        workers: CPU seconds of all workers.
        front: CPU seconds of the front.
        server: CPU seconds of PostgreSQL.
    """

    runs: int
    wall: float
    begin: float
    most: int
    spread: list[int]
    workers: float
    front: float
    server: float


# ---- runs over workers ----


def plan_text() -> str:
    lines = ["version: 1", "plans:", "  chain:", "    max_parallel: 16", "    steps:"]
    for number in range(STEPS):
        needs = f", needs: [s{number - 1}]" if number else ""
        lines.append(f"      s{number}: {{call: waits:wait{needs}}}")
    return "\n".join(lines) + "\n"


@contextmanager
def workers(count: int, url: str, folder: Path) -> Iterator[list[psutil.Process]]:
    """Start workers that drive whatever is begun, each with its own state folder."""
    started: list[subprocess.Popen[str]] = []
    try:
        for number in range(count):
            home = folder / f"worker{number}"
            environment = {**os.environ, "HOCKET_JOURNAL": url, "HOCKET_HOME": str(home)}
            command = [sys.executable, "-m", "hocket", "work", "--most", "500", "--json"]
            told = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
            child = subprocess.Popen(command, env=environment, **told)
            started.append(child)
        for child in started:
            assert child.stdout is not None and child.stdout.readline()
        yield [psutil.Process(child.pid) for child in started]
    finally:
        for child in started:
            child.terminate()
        for child in started:
            child.wait(30)


def spent(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            used = process.cpu_times()
        except psutil.Error:
            continue
        total += used.user + used.system
    return total


def backends(server: Server) -> list[psutil.Process]:
    parent = psutil.Process(server.pid)
    return [parent, *parent.children(recursive=True)]


async def drive(count: int, url: str, server: Server, folder: Path, crew: int) -> Round:
    file = folder / "plans.yaml"
    file.write_text(plan_text())
    (folder / "waits.py").write_text(MODULE)
    with workers(crew, url, folder) as processes:
        async with Engine(folder / "front", journal=url, look_ahead=0) as engine:
            front = Host(engine, [file], drive=0, most=count + 1)
            # Whatever happens once in a process is not a run's.
            for _ in range(2 * crew):
                await front.start("plans.yaml", "chain", {})
            await ended(engine)
            me = psutil.Process()
            before = spent(processes), spent([me]), spent(backends(server))
            began = time.perf_counter()
            runs = [await front.start("plans.yaml", "chain", {}) for _ in range(count)]
            begun = time.perf_counter() - began
            most, spread = await ended(engine)
            wall = time.perf_counter() - began
            after = spent(processes), spent([me]), spent(backends(server))
            for run in runs:
                row = engine.journal.find(run)
                assert row is not None and row.status == "succeeded", row
            used = [end - start for start, end in zip(before, after, strict=True)]
            return Round(count, wall, begun, most, spread, *used)


async def start(front: Host, gate: asyncio.Semaphore) -> str:
    async with gate:
        return await front.start("plans.yaml", "chain", {})


async def ended(engine: Engine) -> tuple[int, list[int]]:
    """Wait until nothing is under way; gives how many were at once, and who drove how many."""
    most, spread = 0, list[int]()
    while True:
        rows = [row for row in await asyncio.to_thread(engine.journal.runs)]
        under_way = [row for row in rows if row.status == "running"]
        if not under_way:
            return most, spread
        owned = [row.owner for row in under_way if row.owner]
        if len(owned) > most:
            most = len(owned)
            spread = sorted(owned.count(owner) for owner in set(owned))
        await asyncio.sleep(0.2)


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Give the start, the slope and R² of the line of least squares."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    across = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / across
    start = mean_y - slope * mean_x
    left = sum((y - start - slope * x) ** 2 for x, y in points)
    whole = sum((y - mean_y) ** 2 for _, y in points)
    return start, slope, 1 - left / whole


def runs_table(counts: Sequence[int], rounds: int, crew: int, server: Server) -> list[Round]:
    found: dict[int, list[Round]] = {count: [] for count in counts}
    for number in range(rounds):
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                url = server.url(server.create())
                told = asyncio.run(drive(count, url, server, Path(folder), crew))
            found[count].append(told)
            print(f"round {number + 1}: {told}", file=sys.stderr, flush=True)
    medians = []
    for count in counts:
        each = found[count]
        middle = sorted(each, key=lambda one: one.workers)[len(each) // 2]
        medians.append(middle)
    head = ["runs", "seconds", "begun in", "at once", "by worker", "ms of CPU a run", "of workers",
            "of the front", "of PostgreSQL"]  # fmt: skip
    rows = []
    for one in medians:
        per = [1e3 * part / one.runs for part in (one.workers, one.front, one.server)]
        spread = "/".join(map(str, one.spread))
        told = [str(one.runs), f"{one.wall:.1f}", f"{one.begin:.1f}", str(one.most), spread]
        rows.append([*told, f"{sum(per):.1f}", *(f"{part:.1f}" for part in per)])
    print(measure.table(head, rows, 0))
    whole = [(float(one.runs), one.workers + one.front + one.server) for one in medians]
    start, slope, fit = line_through(whole)
    print(
        f"\nCPU seconds = {start:.2f} + {1e3 * slope:.1f} ms x runs, R² = {fit:.4f}; "
        f"a step costs {1e5 * slope:.0f} µs of it"
    )
    return medians


# ---- what a step costs ----


async def time_steps(shape: str, count: int, where: str, folder: Path) -> float:
    plan = plan_of(shape, count, step, effects=False, parallel=PARALLEL)
    async with Engine(folder, journal=where) as engine:
        begin = time.perf_counter()
        result = await engine.run(plan)
        took = time.perf_counter() - begin
    assert result.status == "succeeded", result.reason
    return took


def one(shape: str, count: int, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(time_steps(shape, 10, url, Path(folder) / "warm"))
        before = time.process_time()
        took = asyncio.run(time_steps(shape, count, url, Path(folder) / "run"))
        cpu = time.process_time() - before
    print(json.dumps({"us": took / count * 1e6, "cpu": cpu / count * 1e6}))


def steps_table(count: int, rounds: int, server: Server) -> dict[str, Any]:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for shape in ("wide", "chain"):
            for name in ("PostgreSQL", "SQLite"):
                url = server.url(server.create()) if name == "PostgreSQL" else ""
                told = measure.in_child(
                    [__file__, "--one", shape, "--count", str(count), "--url", url], 300
                )
                if "us" not in told:
                    raise SystemExit(f"{shape} on {name}: {told}")
                found.setdefault((shape, name), []).append(told)
    rows = []
    medians: dict[str, Any] = {}
    for (shape, name), each in found.items():
        us = measure.median([one["us"] for one in each])
        cpu = measure.median([one["cpu"] for one in each])
        medians[f"{shape} {name}"] = {"us": us, "cpu": cpu, "all": [one["us"] for one in each]}
        rows.append([shape, name, f"{us:.0f}", f"{cpu:.0f}"])
    print(f"\n{count} steps, microseconds each, medians of {rounds}:\n")
    print(measure.table(["shape", "journal", "µs", "CPU µs of the process"], rows, 2))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="25,50,100,200,400")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["runs", "steps"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        one(told.one, told.count, told.url)
        return
    if reason := missing():
        raise SystemExit(reason)
    print("\n".join(measure.machine(PACKAGES)))
    server = Server().start()
    kept: dict[str, Any] = {}
    try:
        if told.only != "steps":
            print(f"\nRuns of {STEPS} steps of {1e3 * WAIT:.0f} ms over {told.workers} workers:\n")
            counts = [int(part) for part in told.runs.split(",")]
            rounds = runs_table(counts, told.rounds, told.workers, server)
            kept["runs"] = [one._asdict() for one in rounds]
        if told.only != "runs":
            kept["steps"] = steps_table(told.count, max(5, told.rounds), server)
    finally:
        server.remove()
    print(f"\n{measure.NOISE}")
    if told.json:
        told.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
