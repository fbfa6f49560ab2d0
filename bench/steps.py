"""What a step costs: Hocket beside a plain ready queue and LangGraph, on the same graphs.

Measurements are taken in turn, each in a process of its own, and the medians printed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import measure
from contenders import CONTENDERS, MODULES, PARALLEL

NAMES = {
    "asyncio": "asyncio ready queue",
    "hocket-memory": "Hocket, in memory",
    "hocket": "Hocket, SQLite",
    "hocket-wait": "Hocket, SQLite, each waits",
    "langgraph": "LangGraph, no checkpointer",
    "langgraph-sqlite": "LangGraph, SQLite saver, sync",
}
PEERS = ("langgraph", "langgraph-sqlite")
OURS = ("hocket-memory", "hocket", "hocket-wait")
BASE = "hocket"
PACKAGES = ("hocket", "msgspec", "langgraph", "langgraph-checkpoint-sqlite", "aiosqlite")


class Row(NamedTuple):
    """One graph run by one contender."""

    shape: str
    count: int
    who: str


def rows_for(quick: bool) -> list[Row]:
    """Give all rows: everybody where they can finish, and Hocket alone where it must grow."""
    everybody = [("wide", 1_000), ("each", 1_000), ("chain", 1_000), ("layered", 1_000)]
    growing = [] if quick else [("chain", 10_000), ("layered", 10_000)]
    if not quick:
        everybody += [("wide", 10_000), ("each", 10_000), ("wide", 100_000), ("each", 100_000)]
        growing += [("chain", 100_000), ("layered", 100_000)]
    rows = [Row(shape, count, who) for shape, count in everybody for who in NAMES]
    return rows + [Row(shape, count, who) for shape, count in growing for who in ("asyncio", *OURS)]


# ---- in the child ----


def one(row: Row, state: Path) -> dict[str, Any]:
    """Measure a row in this process."""
    for module in MODULES[row.who]:
        importlib.import_module(module)
    run = CONTENDERS[row.who]
    memory = measure.Memory()
    # What happens once in a process, as the first import of an encoding, is not a step's.
    asyncio.run(run(row.shape, 10, state / "warm"))
    before = time.process_time()
    took, size = asyncio.run(run(row.shape, row.count, state / "run"))
    spent = time.process_time() - before
    peak, above = memory.peak()
    found: dict[str, Any] = {"us": took / row.count * 1e6, "mb": peak}
    found["cpu"] = spent / row.count * 1e6
    found["kb"] = above * 1e3 / row.count
    found["bytes"] = None if size is None else size / row.count
    return found


# ---- in the parent ----


def take(
    rows: list[Row], rounds: int, limit: float, calm: float, state: Path
) -> tuple[dict[Row, list[Any]], str]:
    """Measure all rows in turn; one that fails or is late is not tried again.

    Gives with them how many measurements began on a calm machine.
    """
    taken: dict[Row, list[Any]] = {row: [] for row in rows}
    begun = found_calm = 0
    for turn in range(rounds):
        for row in rows:
            if turn >= (rounds if row.count <= 1_000 else (rounds + 1) // 2):
                continue
            if taken[row] and "us" not in taken[row][-1]:
                continue
            say(f"round {turn + 1} of {rounds}: {row.shape} {row.count:,} {NAMES[row.who]}")
            begun += 1
            found_calm += measure.wait_for_calm(state, calm)
            folder = Path(tempfile.mkdtemp(prefix="steps-", dir=state))
            try:
                given = [row.shape, str(row.count), row.who, str(folder)]
                script = [str(Path(__file__)), "--one", *given]
                taken[row].append(measure.in_child(script, limit))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    say("")
    return taken, f"{found_calm} of {begun} measurements began on a calm machine"


def say(text: str) -> None:
    """Show progress to a person."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def summary(found: list[Any]) -> dict[str, Any]:
    """Give the medians of a row's measurements, and the least time; or why there are none."""
    good = [one for one in found if "us" in one]
    if len(good) <= len(found) / 2:
        return dict(found[-1]) if found else {"error": "not measured"}
    return {"least": min(one["us"] for one in good)} | {
        key: None if good[0][key] is None else measure.median([one[key] for one in good])
        for key in ("us", "cpu", "mb", "kb", "bytes")
    }


def lines(sums: dict[Row, dict[str, Any]]) -> list[list[str]]:
    """Set the rows of the table."""
    set_: list[list[str]] = []
    for row, found in sums.items():
        name = [row.shape, f"{row.count:,}", NAMES[row.who]]
        if "us" not in found:
            late = f"did not finish in {found['late']:.0f} s" if "late" in found else ""
            set_.append([*name, late or found["error"][:60], "", "", "", "", "", ""])
            continue
        base = sums.get(Row(row.shape, row.count, BASE), {}).get("us")
        set_.append(
            [
                *name,
                f"{found['us']:,.1f}",
                f"{found['least']:,.1f}",
                f"{found['cpu']:,.1f}",
                f"{found['mb']:,.0f}",
                f"{found['kb']:,.2f}",
                "" if found["bytes"] is None else f"{found['bytes']:,.0f}",
                f"{found['us'] / base:.2f}" if base else "",
            ]
        )
    return set_


def growth(sums: dict[Row, dict[str, Any]]) -> list[str]:
    """Say how much dearer a step is in a plan of 100 times as many.

    In CPU time: a time from the wall swings with what else the machine does meanwhile.
    """
    said = []
    for who in OURS:
        for shape in ("wide", "each", "chain", "layered"):
            small, large = (sums.get(Row(shape, n, who), {}).get("cpu") for n in (1_000, 100_000))
            if small and large:
                said.append(
                    f"  {NAMES[who]:27} {shape:8} {large / small:.2f} times as much CPU a step "
                    "at 100,000 as at 1,000"
                )
    return said


def held(sums: dict[Row, dict[str, Any]]) -> list[str]:
    """Say which of the project's own bounds hold in these figures."""
    said = []

    def say_whether(what: str, value: float | None, bound: float, unit: str) -> None:
        if value is not None:
            verdict = "holds" if value <= bound else "DOES NOT HOLD"
            said.append(f"  {verdict:13} {what}: {value:,.2f} of at most {bound:g} {unit}")

    for who in ("hocket", "hocket-wait"):
        for shape, bound in (("wide", 100), ("chain", 300)):
            us = sums.get(Row(shape, 1_000, who), {}).get("us")
            say_whether(f"{NAMES[who]}, {shape} 1,000", us, bound, "µs a step")
        for shape in ("wide", "each"):
            found = sums.get(Row(shape, 100_000, who), {})
            seconds = found["us"] / 10 if "us" in found else None
            say_whether(f"{NAMES[who]}, {shape} 100,000", seconds, 10, "s")
            say_whether(f"{NAMES[who]}, {shape} 100,000", found.get("kb"), 2, "KB a step")
        for row, found in sums.items():
            peer = sums.get(Row(row.shape, row.count, "langgraph-sqlite"), {}).get("us")
            if row.who == who and peer and "us" in found:
                name = f"{NAMES[who]}, {row.shape} {row.count:,}, as a share of LangGraph's"
                say_whether(name, found["us"] / peer, 0.2, "")
    return said


def settings(state: Path) -> list[str]:
    """Say how each journal is set up, as its own connection tells."""
    from hocket.journal import schema

    folder = Path(tempfile.mkdtemp(prefix="settings-", dir=state))
    try:
        ours = schema.open_for_writing(folder)
        told = [f"Hocket: {_pragmas(ours.execute)}; at most {PARALLEL} calls at once"]
        ours.close()
        if measure.version_of("langgraph-checkpoint-sqlite"):
            told.append(asyncio.run(_peer_settings(folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return told


def _pragmas(execute: Any) -> str:
    mode = execute("PRAGMA journal_mode").fetchone()[0]
    level = execute("PRAGMA synchronous").fetchone()[0]
    return f"journal_mode={mode}, synchronous={LEVELS[level]}"


LEVELS = ("OFF", "NORMAL", "FULL", "EXTRA")


async def _peer_settings(folder: Path) -> str:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(str(folder / "peer.sqlite")) as saver:
        await saver.setup()
        told = []
        for name in ("journal_mode", "synchronous"):
            async with saver.conn.execute(f"PRAGMA {name}") as cursor:
                row = await cursor.fetchone()
                assert row is not None
                told.append(f"{name}={LEVELS[row[0]] if name == 'synchronous' else row[0]}")
    return (
        f"LangGraph: AsyncSqliteSaver as it sets itself up ({', '.join(told)}), "
        "durability='sync', no bound of calls at once; wide, chain, layered are nodes and edges, "
        "each is Send"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only 1,000 steps, two rounds")
    parser.add_argument("--rounds", type=int, help="rounds at 1,000 steps; larger ones get half")
    parser.add_argument("--rows", default="", help="only rows with this in them, as 'chain 1,000'")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a measurement")
    parser.add_argument(
        "--calm", type=float, default=2.0, help="wait so many seconds for a calm machine each time"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        shape, count, who, folder = given.one
        print(json.dumps(one(Row(shape, int(count), who), Path(folder))))
        return
    given.state.mkdir(parents=True, exist_ok=True)
    rows = rows_for(given.quick)
    rows = [r for r in rows if given.rows in f"{r.shape} {r.count:,} {NAMES[r.who]}"]
    missing = measure.version_of("langgraph") is None
    measured = [row for row in rows if not (missing and row.who in PEERS)]
    head = measure.machine(PACKAGES) + settings(given.state)
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    rounds = given.rounds or (2 if given.quick else 5)
    taken, calm = take(measured, rounds, given.limit, given.calm, given.state)
    after = measure.mood(given.state)
    none = {"error": "not installed: make bench sets it up"}
    sums = {row: summary(taken[row]) if row in taken else none for row in rows}
    columns = ["shape", "steps", "who", "µs a step", "least", "CPU µs", "peak MB"]
    columns += ["KB a step", "journal B", "ratio"]
    print(f"After:  {after}\n{calm}\n{measure.NOISE}\n")
    print(measure.table(columns, lines(sums), 3))
    print(
        f"\nMedians of {rounds} rounds in turn ({(rounds + 1) // 2} above 1,000 steps), each in a "
        f"process of its own, killed after {given.limit:.0f} s with all that it does there.\n"
        "Least: the quickest round. CPU: of all threads, with making the plan. "
        "Peak: of the process; KB: of the peak above what there was after importing, by steps.\n"
        "Journal: bytes on disk at the end, by steps. Ratio: of the time to Hocket, SQLite.\n"
        "each waits: every call waits for its own commit before it leaves, as with effects."
    )
    for title, said in (("Growth", growth(sums)), ("Bounds", held(sums))):
        if said:
            print("\n".join(["", title, *said]))
    if given.json:
        figures = [{**row._asdict(), **found} for row, found in sums.items()]
        whole = {"machine": head, "before": before, "after": after, "calm": calm, "rows": figures}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
