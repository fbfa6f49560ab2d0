"""What Hocket adds to waiting: 1,000 steps of 50 ms, 100 at once, whose ideal is half a second.

Measurements are taken in turn, each in a process of its own, and the medians printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

COUNT = 1_000
SECONDS = 0.05
AT_ONCE = 100
IDEAL = COUNT * SECONDS / AT_ONCE

NAMES = {
    "asyncio": "asyncio, a semaphore",
    "hocket-memory": "Hocket, in memory",
    "hocket": "Hocket, SQLite",
    "hocket-wait": "Hocket, SQLite, each waits",
}


async def sleep() -> dict[str, int]:
    await asyncio.sleep(SECONDS)
    return {"x": 1}


async def by_asyncio(count: int) -> float:
    free = asyncio.Semaphore(AT_ONCE)

    async def step() -> dict[str, int]:
        async with free:
            return await sleep()

    begin = time.perf_counter()
    results = await asyncio.gather(*(step() for _ in range(count)))
    assert len(results) == count
    return time.perf_counter() - begin


async def by_hocket(who: str, count: int, folder: Path) -> float:
    from engines import plan_of, time_run

    waits = who == "hocket-wait"
    plan = plan_of("wide", count, sleep, effects=waits, parallel=AT_ONCE)
    return await time_run(plan, None if who == "hocket-memory" else folder)


def one(who: str, count: int, folder: Path) -> float:
    """Measure in this process."""
    if who == "asyncio":
        return asyncio.run(by_asyncio(count))
    return asyncio.run(by_hocket(who, count, folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument(
        "--calm", type=float, default=2.0, help="wait so many seconds for a calm machine each time"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        who, folder = given.one[0], Path(given.one[1])
        # What happens once in a process, as the first opening of a journal, is not a step's.
        one(who, 10, folder / "warm")
        print(json.dumps({"s": one(who, COUNT, folder / "run")}))
        return
    given.state.mkdir(parents=True, exist_ok=True)
    head = measure.machine(["hocket", "msgspec"])
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    rounds = given.rounds or (3 if given.quick else 7)
    taken: dict[str, list[float]] = {who: [] for who in NAMES}
    for _ in range(rounds):
        for who, found in taken.items():
            measure.wait_for_calm(given.state, given.calm)
            folder = Path(tempfile.mkdtemp(prefix="overlap-", dir=given.state))
            try:
                got = measure.in_child([str(Path(__file__)), "--one", who, str(folder)], 60)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if "s" not in got:
                raise SystemExit(f"{NAMES[who]}: {got}")
            found.append(got["s"])
    after = measure.mood(given.state)
    print(f"After:  {after}\n{measure.NOISE}\n")
    sums = {who: measure.median(found) for who, found in taken.items()}
    columns = ["1,000 × 50 ms, 100 at once", "s", "to 0.5 s", "to asyncio", "bounds"]
    print(measure.table(columns, [_row(who, s, sums["asyncio"]) for who, s in sums.items()], 1))
    print(f"\nMedians of {rounds} rounds. Bounds: 1.15 times 0.5 s, and 1.1 times plain asyncio.")
    if given.json:
        whole: dict[str, Any] = {"machine": head, "before": before, "after": after, "s": taken}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def _row(who: str, seconds: float, plain: float) -> list[str]:
    good = seconds <= 1.15 * IDEAL and seconds <= 1.1 * plain
    verdict = "" if who == "asyncio" else "hold" if good else "DO NOT HOLD"
    ratios = [f"{seconds / IDEAL:.2f}", f"{seconds / plain:.2f}"]
    return [NAMES[who], f"{seconds:.3f}", *ratios, verdict]


if __name__ == "__main__":
    main()
