"""Rate limiters in one process: how far over the bound, how idle below it, and at what cost.

50 a second and 250 acquisitions; each contender in a process of its own, in turn; medians printed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
from limiter_peers import PEERS, Acquire

AMOUNT = 50
COUNT = 250
SECOND = 1_000_000_000
FREE = 2_000
"""Acquisitions of a limiter that nobody else uses, in a repetition."""
REPEATED = 5
WIDE = 1_000_000
"""A bound that is never met."""
PATTERNS = ("burst", "boundary", "trickle")
LIMIT = 120.0


# ---- in the child ----


async def pattern(name: str, acquire: Acquire) -> tuple[list[int], list[int]]:
    """Let calls come; gives the instants at which they got through and their places in the line.

    burst: all at once, on a fresh limiter. boundary: the same, 0.8 s into a second of the clock.
    trickle: a single call, and 150 more 0.93 s later.
    """
    instants: list[int] = []
    places: list[int] = []

    async def one(place: int) -> None:
        def through() -> None:
            instants.append(time.monotonic_ns())
            places.append(place)

        await acquire(through)

    if name == "boundary":
        await asyncio.sleep((0.8 - time.time()) % 1)
    count = COUNT
    if name == "trickle":
        await one(0)
        await asyncio.sleep(0.93)
        count = 150
    came = time.monotonic_ns()
    await asyncio.gather(*(one(place) for place in range(1, count + 1)))
    return [came, *instants], places


def judge(found: tuple[list[int], list[int]]) -> dict[str, Any]:
    """Give the worst count in any second, the idle times and how often the order was broken."""
    (came, *instants), places = found
    window: deque[int] = deque()
    worst = 0
    idle: list[float] = []
    for i, at in enumerate(instants):
        window.append(at)
        while window[0] <= at - SECOND:
            window.popleft()
        worst = max(worst, len(window))
        free = instants[i - AMOUNT] + SECOND if i >= AMOUNT else 0
        before = instants[i - 1] if i else 0
        if at > came:
            idle.append(max(0, at - max(came, before, free)) / 1e6)
    inversions = sum(late < early for early, late in itertools.pairwise(places))
    return {"worst": worst, "idle": idle, "inversions": inversions}


async def uncontended(acquire: Acquire) -> float:
    """Give the microseconds of an acquisition, the best of several repetitions.

    Each has to forget what the one before it has left in the window.
    """
    best = float("inf")
    for _ in range(FREE):
        await acquire(_nothing)
    for _ in range(REPEATED):
        await asyncio.sleep(1)
        gc.collect()
        begin = time.perf_counter()
        for _ in range(FREE):
            await acquire(_nothing)
        best = min(best, (time.perf_counter() - begin) / FREE * 1e6)
    return best


async def contended(acquire: Acquire, waiting: int) -> float:
    """Give the CPU microseconds of an acquisition while so many wait at first."""

    async def one() -> None:
        await acquire(_nothing)

    tasks = [asyncio.ensure_future(one()) for _ in range(waiting)]
    begin = time.process_time()
    await asyncio.gather(*tasks)
    return (time.process_time() - begin) / waiting * 1e6


def _nothing() -> None:
    pass


def one(who: str, part: str, waiting: int, folder: Path) -> dict[str, Any]:
    """Measure in this process."""
    make: Callable[[int, Path], Acquire] = PEERS[who].make

    async def live() -> dict[str, Any]:
        if part == "free":
            return {"us": await uncontended(make(WIDE, folder))}
        if part == "crowd":
            # A quarter gets through at once, the others wait for up to three windows.
            return {"cpu": await contended(make(waiting // 4, folder), waiting)}
        return judge(await pattern(part, make(AMOUNT, folder)))

    return asyncio.run(live())


# ---- in the parent ----


def take(who: str, part: str, given: argparse.Namespace) -> dict[str, Any]:
    measure.wait_for_calm(given.state, given.calm)
    folder = Path(tempfile.mkdtemp(prefix="limiters-", dir=given.state))
    command = [str(Path(__file__)), "--one", who, part, str(given.waiting), str(folder)]
    try:
        return measure.in_child(command, LIMIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(who: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    peer = PEERS[who]
    worst = [str(max(_each(found[part], "worst"), default="–")) for part in PATTERNS]
    idle = sorted(ms for part in PATTERNS for got in found[part] for ms in got.get("idle", ()))
    inversions = [sum(_each(found[part], "inversions")) for part in PATTERNS]
    rounds = max(1, len(found[PATTERNS[0]]))
    return [
        peer.name,
        peer.across,
        *worst,
        _quantile(idle, 0.5),
        _quantile(idle, 0.99),
        f"{sum(inversions) / rounds:.0f}",
        _median(found["free"], "us"),
        _median(found["crowd"], "cpu"),
    ]


def _each(found: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return [got[key] for got in found if key in got]


def _median(found: Sequence[dict[str, Any]], key: str) -> str:
    values = _each(found, key)
    if values:
        middle = measure.median(values)
        return f"{middle:.1f}" if middle < 100 else f"{middle:,.0f}"
    return f"> {LIMIT:.0f} s" if _each(found, "late") else "–"


def _quantile(values: Sequence[float], share: float) -> str:
    return f"{values[int(share * (len(values) - 1))]:.2f}" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and 2,000 that wait")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--waiting", type=int, help="how many wait at once (10,000)")
    parser.add_argument("--only", nargs="+", choices=PEERS, help="these alone")
    parser.add_argument(
        "--calm", type=float, default=1.0, help="wait so many seconds for a calm machine each time"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where databases stand")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        who, part, waiting, folder = given.one
        print(json.dumps(one(who, part, int(waiting), Path(folder))))
        return
    given.state.mkdir(parents=True, exist_ok=True)
    given.waiting = given.waiting or (2_000 if given.quick else 10_000)
    rounds = given.rounds or (1 if given.quick else 3)
    packages = list(dict.fromkeys(peer.package for peer in PEERS.values()))
    head = measure.machine(packages)
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    missing = [name for name in packages if measure.version_of(name) is None]
    asked = [who for who in PEERS if not given.only or who in given.only]
    present = [who for who in asked if PEERS[who].package not in missing]
    parts = (*PATTERNS, "free", "crowd")
    taken: dict[str, dict[str, list[dict[str, Any]]]] = {
        who: {part: [] for part in parts} for who in present
    }
    for _ in range(rounds):
        for part in parts:
            for who in present:
                got = take(who, part, given)
                if "error" in got:
                    print(f"{PEERS[who].name}, {part}: {got['error']}")
                taken[who][part].append(got)
            if given.json:
                whole = {"machine": head, "before": before, "got": taken}
                given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    after = measure.mood(given.state)
    print(f"After:  {after}\n{measure.NOISE}\n")
    columns = [f"{AMOUNT} in 1 s", "across processes", *PATTERNS, "idle ms p50", "p99"]
    columns += ["inversions", "µs free", f"CPU µs, {given.waiting:,} wait"]
    print(measure.table(columns, [row(who, found) for who, found in taken.items()], 2))
    print("".join(f"\n{name} is not installed: its rows are missing" for name in missing))
    print(
        f"Medians of {rounds} rounds; the worst count in any second and the idle times are those of"
        f" all rounds.\nBounds for Hocket: {AMOUNT} in any second, 5 ms idle at p99, 5 µs free, "
        "20 µs of CPU while 10,000 wait."
    )


if __name__ == "__main__":
    main()
