"""What a call under a shared limit costs, and up to which rate processes fill one limit.

Calls do nothing, and no server is asked: they note the instant at which they leave.
Cost: each process has so many calls, under a limit that is never met, and under none.
Rates: three processes have calls waiting all the time under one limit of so many a second; the
windows are judged by the instants, as `shared_limits.py` judges them at a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import measure

import hocket
from hocket.journal import ledger

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.limits.crowd import Asked, cancel_at_end, judge  # noqa: E402
from tests.limits.server import Counted  # noqa: E402

SECOND = 1_000_000_000
NEVER_MET = 1_000_000
PROCESSES = (1, 2, 4, 8)
RATES = (10, 100, 300, 1_000, 2_000)
WINDOWS = 10
SPARE = 3
"""So many windows longer than those that count are asked for: somebody always waits."""


# ---- in the child ----


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what is asked of PostgreSQL: each statement is a way there and back.

    `held` is for how many nanoseconds this process held the one row of ticks, for which all others
    wait, and `waited` for how many it waited for it.
    """
    counts: Counter[str] = Counter()
    try:
        from hocket.journal.postgres_connection import PostgresConnection as Connection
    except ModuleNotFoundError:
        yield counts
        return
    since = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, what: Any, *rest: Any) -> Any:
            nonlocal since
            begun = time.monotonic_ns()
            found = real(self, what, *rest)
            now = time.monotonic_ns()
            counts["trips"] += 1
            counts["commits"] += what == "COMMIT"
            if what in (ledger.ADVANCE, ledger.LOCK) and not since:
                counts["waited"] += now - begun
                since = now
            elif what in ("COMMIT", "ROLLBACK") and since:
                counts["held"] += now - since
                since = 0
            return found

        return call

    real = Connection.execute, Connection.insert_events
    Connection.execute, Connection.insert_events = map(counted, real)  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        Connection.execute, Connection.insert_events = real  # type: ignore[method-assign]


async def work(given: argparse.Namespace, seen: list[int]) -> dict[str, Any]:
    """Run a plan of calls once told to, until it is over or the input ends."""

    async def leave(item: int, context: hocket.Context) -> int:
        context.sent()
        seen.append(time.monotonic_ns())
        return item

    where: dict[str, Any] = {"journal": given.journal} if given.journal else {}
    bound = {"limits": hocket.Limit("shared", requests=f"{given.rate}/s")} if given.rate else {}
    agent = hocket.Agent("leaves", function=leave, effects=True, **bound)  # type: ignore[arg-type]
    plan = hocket.Plan("leave", max_parallel=given.parallel, closures=True)
    plan.map("leave", agent, plan.input("items"))
    async with hocket.Engine(given.state, look_ahead=0, **where) as engine:
        # The connections are there before the clock runs.
        await engine.run(plan, items=[0])
        seen.clear()
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        cancel_at_end(asyncio.current_task())
        with counting() as counts:
            begun, cpu = time.monotonic_ns(), time.process_time()
            with suppress(asyncio.CancelledError):
                await engine.run(plan, items=list(range(given.calls)))
            took = time.monotonic_ns() - begun
            return {"begun": begun, "took": took, "cpu": time.process_time() - cpu, **counts}


def one(given: argparse.Namespace) -> None:
    """Be a process that has calls."""
    seen: list[int] = []
    found = asyncio.run(work(given, seen))
    print(json.dumps({**found, "seen": seen}), flush=True)


# ---- in the parent ----


class Crowd:
    """Processes that have calls.

    Args:
        given: What was asked for.
        processes: How many of them.
        rate: How many calls a second they may make in all, or 0.
        calls: How many each has.
        parallel: How many of them wait or run at once.
    """

    def __init__(
        self, given: argparse.Namespace, processes: int, rate: int, calls: int, parallel: int
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shared-limits-cost-", dir=given.state))
        elsewhere = "://" in given.journal
        self.children = [
            subprocess.Popen(
                [
                    *(sys.executable, __file__, "--one", f"--journal={given.journal}"),
                    f"--state={self.folder / (str(number) if elsewhere else 'state')}",
                    *(f"--rate={rate}", f"--calls={calls}", f"--parallel={parallel}"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]

    def take(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Let them begin, and end after so many seconds; gives what each has found."""
        try:
            for child in self.children:
                assert child.stdin is not None and child.stdout is not None
                if child.stdout.readline() != "ready\n":
                    raise RuntimeError("a process did not start")
            for child in self.children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            if seconds:
                time.sleep(seconds)
                for child in self.children:
                    assert child.stdin is not None
                    child.stdin.close()
            return [self._found(child) for child in self.children]
        finally:
            for child in self.children:
                child.kill()
                child.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        assert child.stdout is not None
        found: dict[str, Any] = json.loads(child.stdout.readline())
        return found


def cost(given: argparse.Namespace, processes: int, rate: int) -> dict[str, float]:
    """Measure what a call costs."""
    got = Crowd(given, processes, rate, given.calls, 64).take()
    calls = processes * given.calls
    begun = min(one["begun"] for one in got)
    whole = max(one["begun"] + one["took"] for one in got) - begun
    return {
        "each": whole / 1e3 / given.calls,
        "rate": calls / whole * SECOND,
        "cpu": sum(one["cpu"] for one in got) * 1e6 / calls,
        "trips": sum(one.get("trips", 0) for one in got) / calls,
        "commits": sum(one.get("commits", 0) for one in got) / calls,
        "held": sum(one.get("held", 0) for one in got) / 1e3 / calls,
        "waited": sum(one.get("waited", 0) for one in got) / 1e3 / calls,
    }


def fill(given: argparse.Namespace, rate: int) -> dict[str, float]:
    """Measure how much of a limit three processes use."""
    processes = 3
    calls = rate * (WINDOWS + SPARE)
    got = Crowd(given, processes, rate, calls, min(2 * rate, 4_000)).take(WINDOWS + SPARE - 1)
    log = [
        Counted(at, "m", 200, 0, f"p{number}")
        for number, one in enumerate(got)
        for at in one["seen"]
    ]
    judged = judge(log, Asked("m", rate, SECOND), WINDOWS)
    shares = Counter(one.who for one in log)
    cpu = sum(one["cpu"] for one in got) * 1e6 / len(log)
    return {
        "plain": judged.plain,
        "design": judged.design,
        "worst": judged.worst,
        "least": min(shares[f"p{n}"] for n in range(processes)) / len(log),
        "cpu": cpu,
        "trips": sum(one.get("trips", 0) for one in got) / len(log),
    }


def costs(given: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    for processes in given.processes:
        for rate in (0, NEVER_MET):
            measure.wait_for_calm(given.state, given.calm)
            got = cost(given, processes, rate)
            found.append({"processes": processes, "limited": bool(rate), **got})
    columns = ["processes", "limit", "µs a call, each", "calls/s, all", "CPU µs a call"]
    columns += ["round trips", "commits", "ticks held, µs", "waited for, µs"]
    rows = [
        [
            str(one["processes"]),
            "shared" if one["limited"] else "none",
            f"{one['each']:,.0f}",
            f"{one['rate']:,.0f}",
            f"{one['cpu']:,.0f}",
            f"{one['trips']:.2f}",
            f"{one['commits']:.2f}",
            f"{one['held']:,.0f}",
            f"{one['waited']:,.0f}",
        ]
        for one in found
    ]
    print("\n" + measure.table(columns, rows, 2), flush=True)
    return found


def rates(given: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    for rate in given.rates:
        measure.wait_for_calm(given.state, given.calm)
        found.append({"rate": rate, **fill(given, rate)})
    columns = ["limit", "used", "of the design", "worst second", "least of three", "CPU µs a call"]
    rows = [
        [
            f"{one['rate']:,}/s",
            f"{one['plain']:.1%}",
            f"{one['design']:.1%}",
            f"{one['worst']:,}",
            f"{one['least']:.0%}",
            f"{one['cpu']:,.0f}",
        ]
        for one in found
    ]
    print("\n" + measure.table(columns, rows, 1), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", default="", help="postgresql://…; else a SQLite folder")
    parser.add_argument("--processes", type=int, nargs="*", default=PROCESSES)
    parser.add_argument("--rates", type=int, nargs="*", default=RATES)
    parser.add_argument("--calls", type=int, default=2_000, help="of each process")
    parser.add_argument("--quick", action="store_true", help="500 calls, and less of each")
    parser.add_argument("--calm", type=float, default=1.0, help="wait so long for a calm machine")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parallel", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given)
        return
    if given.quick:
        given.calls, given.processes, given.rates = 500, (1, 2), (10, 300)
    given.state.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTHONHASHSEED", "0")
    head = measure.machine(["hocket", "asyncpg"])
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    got = {"cost": costs(given), "rates": rates(given)}
    after = measure.mood(given.state)
    print(f"\nAfter:  {after}")
    if given.json:
        whole = {"machine": head, "before": before, "after": after, **got}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
