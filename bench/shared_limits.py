"""Processes under shared limits, against a server that really refuses: how much is used, by whom.

Each process is an `hocket.Engine` with calls waiting all the time, for as many windows as asked.
The server counts in exact sliding windows, answers one too many with 429, and notes each arrival.
The journal is a SQLite folder that all share, or a PostgreSQL with a state folder for each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.limits.crowd import MARGIN, Asked, Asker, Judged, askers, judge, read_asked  # noqa: E402
from tests.limits.server import Counted, child, read_log  # noqa: E402

from hocket.core.values import parse_duration  # noqa: E402

SECOND = 1_000_000_000
JITTER, LATENCY = "30ms", "20ms"
LOST_LEASE = 3.0
"""Seconds of lease of processes on machines of their own, so that a kill is noticed in a run."""


def take(given: argparse.Namespace, asked: list[Asked], folder: Path) -> list[Counted]:
    """Let the processes ask until all windows have passed; gives what the server counted."""
    log = folder / "counted.jsonl"
    rates = [f"--rate={one.model}={one.amount}/{one.per // SECOND}s" for one in asked]
    ways = (f"--jitter={given.jitter}", f"--latency={given.latency}")
    longest = max(one.per for one in asked) / SECOND
    with (
        child(*rates, *ways, log=log) as server,
        askers(
            server.address, asked, journals(given, folder), given.windows, *options(given)
        ) as found,
    ):
        for asker in found:
            asker.go()
        begun = time.monotonic()
        ends = begun + longest * (given.windows + 0.5)
        if given.kill:
            # While a window is being filled.
            _wait(begun + longest * (given.windows // 2 + 0.005), found)
            *found, dead = found
            dead.kill()
            print(f"{dead.name} was killed after {time.monotonic() - begun:.1f} s", flush=True)
        _wait(ends, found)
        for asker in found:
            asker.end()
    return read_log(log)


def journals(given: argparse.Namespace, folder: Path) -> list[tuple[str, Path]]:
    """Give each process's journal and state folder."""
    numbers = range(given.processes)
    if "://" in given.journal:
        return [(given.journal, folder / f"state-{number}") for number in numbers]
    state = Path(given.journal) if given.journal else folder / "state"
    return [("", state) for _ in numbers]


def options(given: argparse.Namespace) -> list[list[str]]:
    """Give each process's own arguments: of how its clocks are wrong, and where it is."""
    found = []
    for number in range(given.processes):
        side = number - (given.processes - 1) / 2
        own = [f"--ahead={side * given.skew}", f"--drift={side * given.drift / 1e6}"]
        own += [f"--margin={given.margin}"] if given.margin else []
        if given.elsewhere:
            own += [f"--host=machine-{number}", f"--lease={LOST_LEASE}"]
        found.append(own)
    return found


def _wait(until: float, found: list[Asker]) -> None:
    while (left := until - time.monotonic()) > 0:
        for asker in found:
            asker.check()
        time.sleep(min(left, 0.5))


# ---- what came of it ----


def show(asked: Asked, judged: Judged, processes: int) -> bool:
    """Print the windows of one limit; tells whether its bounds hold."""
    names = [f"p{number}" for number in range(processes)]
    rows = [
        [
            str(number + 1),
            f"{part.used} of {asked.amount}",
            str(part.refused),
            *(str(part.by.get(name, 0)) for name in names),
        ]
        for number, part in enumerate(judged.parts)
    ]
    print(f"\n{asked.rate} ({asked.model})")
    print(measure.table(["window", "used", "refused", *names], rows, 1))
    kept = not judged.refused and judged.worst <= asked.amount
    good = (kept or judged.refused == judged.late) and judged.plain >= 0.95
    print(
        f"refused {judged.refused}, of which {judged.late} for others that came later than the "
        f"margin; worst stretch {judged.worst}; slowest request "
        f"{judged.slowest / 1e6:.0f} ms on its way; used by count "
        f"{judged.counted / asked.amount:.1%}, by pace {judged.plain:.1%}, of what the design "
        f"allows {judged.design:.1%}: {'HOLDS' if good else 'DOES NOT HOLD'}"
    )
    return good


def _said(judged: Judged) -> dict[str, Any]:
    return judged._asdict() | {"parts": [part._asdict() for part in judged.parts]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", default="", help="a SQLite folder, or postgresql://…")
    parser.add_argument(
        "--rate", type=read_asked, nargs="+", help="limits side by side (9/min 600/min)"
    )
    parser.add_argument("--windows", type=int, help="how many windows count (10)")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="kill -9 the last one in the middle")
    parser.add_argument(
        "--elsewhere", action="store_true", help="each takes itself to be on a machine of its own"
    )
    parser.add_argument(
        "--skew", type=float, default=0.0, help="seconds between the walls' times of the processes"
    )
    parser.add_argument(
        "--drift", type=float, default=0.0, help="by how many millionths clocks run apart"
    )
    parser.add_argument("--margin", help="the limits' own margin, instead of 250ms at first")
    parser.add_argument("--jitter", default=JITTER, help="the most that a request takes there")
    parser.add_argument("--latency", default=LATENCY, help="from there to its answer")
    parser.add_argument("--quick", action="store_true", help="three windows of some seconds")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    given = parser.parse_args()
    asked = given.rate or [
        read_asked(rate) for rate in (("9/6s", "60/6s") if given.quick else ("9/min", "600/min"))
    ]
    given.windows = given.windows or (3 if given.quick else 10)
    given.state.mkdir(parents=True, exist_ok=True)
    head = measure.machine(["hocket", "asyncpg"])
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="shared-limits-", dir=given.state))
    try:
        log = take(given, asked, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    after = measure.mood(given.state)
    margin = parse_duration(given.margin) if given.margin else MARGIN
    judged = {one.rate: judge(log, one, given.windows, margin) for one in asked}
    good = [show(one, judged[one.rate], given.processes) for one in asked]
    print(f"\nAfter:  {after}")
    if given.json:
        got = {rate: _said(found) for rate, found in judged.items()}
        whole = {"machine": head, "before": before, "after": after, "got": got}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    if not all(good):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
