"""One question to a team, side by side with MassGen, against one scripted provider on the loopback.

Three and seven agents, without limits and with 9 and 2 calls a minute, voters who agree and voters
of whom every one is needed.
Every program is a process of its own; calls are counted by the provider.

MassGen is set up in ``.venv-bench-massgen`` (270 packages, 1.8 GB) unless ``--massgen`` says where
it is; without it its rows say so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
from consensus_runs import (
    LIMITS,
    MASSGEN,
    Ran,
    Row,
    by_hocket,
    by_massgen,
    hocket_python,
    massgen_command,
    massgen_version,
)

ROWS = tuple(
    Row(agents, limited, voters)
    for agents in (3, 7)
    for limited in (False, True)
    for voters in ("unanimous", "split")
)
WAYS: dict[str, dict[str, Any]] = {
    "Hocket": {"decide": "majority"},
    "Hocket, votes as needed": {"decide": "majority", "votes": "as_needed"},
    "Hocket, all votes": {"decide": "majority", "early": False},
    "Hocket, all votes, presented": {"decide": "majority", "early": False, "final": "present"},
}
PEER = f"MassGen {MASSGEN}"
HEAD = [
    "asked by",
    "served",
    "refused",
    "wasted",
    "cut off",
    "their tokens",
    "s to decision",
    "s to end",
    "CPU s",
    "peak MB",
    "KB sent",
    "targets",
]


def verdict(way: str, row: Row, ran: Ran) -> str:
    """Say whether what was promised of Hocket holds."""
    if way not in WAYS:
        return ""
    calls = 2 * row.agents + (WAYS[way].get("final") == "present")
    good = ran.served + ran.cancelled <= calls and not ran.wasted and not ran.refused
    if row.limited and row.voters == "unanimous" and way == "Hocket":
        good = good and ran.decided <= 20
    if row.limited:
        good = good and ran.decided <= 75
    return "hold" if good else "DO NOT HOLD"


def line(way: str, row: Row, runs: list[Ran]) -> list[str]:
    """Set the medians of some runs."""
    middle = Ran(*(measure.median(values) for values in zip(*runs, strict=True)))
    worst = Ran(*(max(values) for values in zip(*runs, strict=True)))
    counts = [
        f"{middle.served:g}",
        f"{middle.refused:g}",
        f"{middle.wasted:g}",
        f"{middle.cancelled:g}",
        f"{middle.tokens:,.0f}",
    ]
    seconds = [f"{middle.decided:.1f}", f"{middle.ended:.1f}", f"{middle.cpu:.1f}"]
    sizes = [f"{middle.rss:.0f}", f"{middle.sent:.0f}"]
    return [way, *counts, *seconds, *sizes, verdict(way, row, worst)]


def contenders(massgen: Path | str, python: Path | str) -> dict[str, Callable[[Row, Path], Ran]]:
    """Give who can be asked, by name; what cannot is said."""
    found: dict[str, Callable[[Row, Path], Ran]] = {}
    if isinstance(massgen, Path):
        print(f"MassGen {massgen_version(massgen)}", flush=True)
        found[PEER] = lambda row, folder: by_massgen(massgen, row, folder)
    else:
        print(f"Without MassGen: {massgen}", flush=True)
    if isinstance(python, Path):
        for way, fields in WAYS.items():
            found[way] = lambda row, folder, fields=fields: by_hocket(python, fields, row, folder)
    else:
        print(f"Without Hocket: {python}", flush=True)
    return found


def take(ask: Callable[[Row, Path], Ran], row: Row, state: Path) -> Ran | str:
    """Let one be asked in a folder of its own; gives what was counted, or what went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="consensus-", dir=state))
    try:
        ran = ask(row, folder)
    except RuntimeError as error:
        # What it left behind says why.
        return str(error)
    shutil.rmtree(folder, ignore_errors=True)
    return ran


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, without limits")
    parser.add_argument("--rounds", type=int, help="rounds of rows that take seconds (3)")
    parser.add_argument("--rows", help="only rows whose name contains this text")
    parser.add_argument("--by", nargs="+", help="only contenders whose names contain one of these")
    parser.add_argument("--massgen", type=Path, help="MassGen's command, or its environment")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    given = parser.parse_args()
    state = given.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    head = measure.machine(["hocket"])
    print("\n".join([*head, f"Before: {measure.mood(state)}"]), flush=True)
    found = contenders(massgen_command(given.massgen), hocket_python())
    found = {n: ask for n, ask in found.items() if not given.by or any(b in n for b in given.by)}
    whole: list[dict[str, Any]] = []
    for row in ROWS:
        if (given.rows and given.rows not in row.name) or (given.quick and row.limited):
            continue
        rounds = given.rounds or (1 if given.quick else 3)
        lines, failed = [], []
        for way, ask in found.items():
            # Under limits it takes minutes, and the windows make the time, not chance.
            times = 1 if row.limited else rounds
            runs = [take(ask, row, state) for _ in range(times)]
            good = [ran for ran in runs if isinstance(ran, Ran)]
            failed += [f"{way}: {ran}" for ran in runs if isinstance(ran, str)]
            if good:
                lines.append(line(way, row, good))
            whole.append({"row": row.name, "by": way, "runs": [ran._asdict() for ran in good]})
        print(f"\n{row.name}\n\n{measure.table(HEAD, lines, 1)}", flush=True)
        print("\n".join(failed), flush=True)
    print(f"After: {measure.mood(state)}\n{measure.NOISE}")
    print(f"Limits: {LIMITS}, in a minute. Medians; wasted is what counted for nothing.")
    if given.json:
        given.json.write_text(json.dumps({"machine": head, "runs": whole}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
