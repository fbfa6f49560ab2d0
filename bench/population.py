"""Populations beside pymdp: time per agent-step, and what Hocket promises of its ticks.

A grid of 10 × 10 cells, five observations, five moves, policies of one step: see
`hocket.population.bench.task`.
Contenders are measured in turn, round after round, each in a process of its own; medians.
Peers are given their observations; Hocket's tick steps the world as well.
pymdp.legacy is one object, beside ten thousand of Hocket's, timed once its beliefs are settled.
Its A is the task's, in which cells differ ("repaired"), or that of FreeAgentics, all of whose
columns are equal ("flat"): beliefs then stay flat and it plans for every state.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import measure

HERE = Path(__file__).parent
PEERS = ("pymdp batch", "pymdp shared", "pymdp.legacy, repaired A", "pymdp.legacy, flat A")
CONTENDERS = (*PEERS, "Hocket")
COUNTS = (50, 1_000, 10_000, 100_000)
TOGETHER = 32
COPIES = {"pymdp batch": 203_000 * 2.5, "pymdp shared": 15_000.0}
"""About what a peer takes of memory for an agent, with its temporaries; who has not that leaves
the row out."""
BOUNDS = {
    ("pymdp batch", 50): 20,
    ("pymdp batch", 10_000): 300,
    ("pymdp shared", 50): 5,
    ("pymdp shared", 10_000): 50,
    ("pymdp.legacy, repaired A", 1): 10_000,
    ("pymdp.legacy, flat A", 1): 10_000,
}
"""By how many times less processor time Hocket promises to take for an agent-step."""

LATENCY = (
    # agents, side, horizon, beliefs, ticks a dispatch, which percentile, at most so many ms
    (50, 10, 1, "full", 1, 99, 0.5),
    (50, 10, 1, "full", TOGETHER, 99, 0.5),
    (50_000, 10, 1, "full", 1, 50, 10.0),
    (10_000, 10, 2, "full", 1, 50, 10.0),
    (2_500, 10, 3, "full", 1, 50, 10.0),
    (1_000, 50, 1, "full", 1, 50, 10.0),
    (1_000, 100, 1, "full", 1, 50, 50.0),
    (1_000, 100, 1, "two-level", 1, 50, 15.0),
)

Found = dict[tuple[str, int, int], list[dict[str, Any]]]


def child(script: str, *arguments: object, limit: float = 600) -> dict[str, Any]:
    load = os.getloadavg()[0]
    return {"load": load, **measure.in_child([str(HERE / script), *map(str, arguments)], limit)}


def compare(rounds: int, seconds: float, most: int) -> tuple[Found, list[str]]:
    """Measure every contender with every number of agents, one tick and many in a dispatch."""
    found: Found = {}
    missing = []
    todo = [
        (contender, agents, together)
        for agents in COUNTS
        for contender in ("pymdp batch", "pymdp shared", "Hocket")
        for together in ((1, TOGETHER) if agents <= 1_000 else (1,))
        if agents <= most
    ]
    todo += [("pymdp.legacy, repaired A", 1, 1), ("pymdp.legacy, flat A", 1, 1)]
    for turn in range(rounds):
        for case in todo:
            contender, agents, together = case
            wanted = COPIES.get(contender, 0) * agents
            if wanted > free():
                if not turn:
                    told = f"{wanted / 1e9:.0f} GB, {free() / 1e9:.0f} GB are free"
                    missing.append(f"{contender}, {agents:,} agents: it takes about {told}")
                continue
            one = child(
                "population_peers.py",
                contender,
                agents,
                "--together",
                together,
                "--seconds",
                seconds,
            )
            if "walls" in one:
                found.setdefault(case, []).append(one)
            else:
                missing.append(f"{contender}, {agents:,} agents: {one}")
    return found, missing


def free() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def processor(found: Found, case: tuple[str, int, int]) -> float | None:
    """Microseconds of processor time for an agent-step, the median of the rounds."""
    if case not in found:
        return None
    return statistics.median(one["processor"] for one in found[case]) / case[1] * 1e6


def wall(found: Found, case: tuple[str, int, int]) -> float | None:
    """Milliseconds of a tick, the median of the rounds' medians."""
    if case not in found:
        return None
    return statistics.median(statistics.median(one["walls"]) for one in found[case]) * 1e3


def ours(agents: int, together: int) -> tuple[str, int, int]:
    """Hocket's case to compare with; one object of pymdp.legacy stands beside ten thousand."""
    return ("Hocket", 10_000 if agents == 1 else agents, together)


def loads(runs: list[dict[str, Any]]) -> str:
    """The load of the machine before each round: the least and the most."""
    told = [f"{run['load']:.1f}" for run in sorted(runs, key=lambda run: float(run["load"]))]
    return told[0] if told[0] == told[-1] else f"{told[0]} – {told[-1]}"


def side_by_side(found: Found) -> list[list[str]]:
    rows = []
    for case in sorted(found, key=lambda case: (case[2], case[1], CONTENDERS.index(case[0]))):
        contender, agents, together = case
        mine, its = processor(found, ours(agents, together)), processor(found, case)
        ratio = bound = "–"
        if contender != "Hocket" and mine and its:
            ratio = f"{its / mine:,.1f}"
            wanted = BOUNDS.get((contender, agents))
            bound = f"≥ {wanted:,}" if wanted else "–"
        rows.append(
            [
                contender,
                f"{agents:,}",
                str(together),
                f"{wall(found, case):,.3f}",
                f"{its:,.3f}",
                ratio,
                bound,
                str(len(found[case])),
                loads(found[case]),
            ]
        )
    return rows


def promises(rounds: int, seconds: float, most: int) -> list[dict[str, Any]]:
    """Measure what Hocket promises of its own ticks."""
    rows = []
    for agents, side, horizon, beliefs, together, percentile, bound in LATENCY:
        if agents > most:
            continue
        runs = [
            child("population_tick.py", "tick", agents, side, horizon, beliefs, together, seconds)
            for _ in range(rounds)
        ]
        taken = [run[f"p{percentile}"] * 1e3 for run in runs if f"p{percentile}" in run]
        name = f"{agents:,} agents, {side} × {side}, T = {horizon}, {beliefs}"
        name += f", {together} a dispatch: p{percentile}, ms"
        rows.append(judged(name, taken, bound, runs))
    runs = [child("population_tick.py", "roof", min(most, 50_000), seconds) for _ in range(rounds)]
    share = [100 * run["share"] for run in runs if "share" in run]
    rows.append(judged("of the serial roof, %", share, 35, runs, at_most=False))
    for agents in (1_000_000,):
        if agents <= most:
            runs = [child("population_tick.py", "memory", agents)]
            for key, bound in (("state", 512), ("resident", 1024)):
                taken = [run[key] for run in runs if key in run]
                rows.append(judged(f"{key}, {agents:,} agents, bytes each", taken, bound, runs))
    runs = [child("population_tick.py", "changing", 10_000)]
    taken = [run["compilations"] for run in runs if "compilations" in run]
    name = "compilations while agents change between 1 and 10,000"
    rows.append(judged(name, taken, 0, runs))
    return rows


def judged(
    name: str, taken: list[float], bound: float, runs: list[dict[str, Any]], at_most: bool = True
) -> dict[str, Any]:
    value = statistics.median(taken) if taken else None
    holds = None
    if value is not None:
        holds = value <= bound if at_most else value >= bound
    sign = "≤" if at_most else "≥"
    return {
        "what": name,
        "value": value,
        "bound": f"{sign} {bound:g}",
        "holds": holds,
        "all": taken,
        "load": loads(runs),
        "errors": [run for run in runs if "error" in run or "late" in run],
    }


def shown(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    words = {True: "yes", False: "no", None: "not measured"}
    return [
        [
            row["what"],
            "–" if row["value"] is None else f"{row['value']:,.3g}",
            row["bound"],
            words[row["holds"]],
            str(len(row["all"])),
            row["load"],
        ]
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and at most 10,000 agents")
    parser.add_argument("--rounds", type=int, help="how many (3)")
    parser.add_argument("--seconds", type=float, help="for each measurement (3)")
    parser.add_argument("--most", type=int, help="the largest number of agents (1,000,000)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    rounds = given.rounds or (1 if given.quick else 3)
    seconds = given.seconds or (1 if given.quick else 3)
    most = given.most or (10_000 if given.quick else 1_000_000)
    print("\n".join(measure.machine(("jax", "numpy", "inferactively-pymdp"))))
    before = os.getloadavg()[0]
    found, missing = compare(rounds, seconds, most)
    head = ["contender", "agents", "ticks a dispatch", "tick, ms", "CPU µs an agent-step"]
    head += ["÷ Hocket, CPU", "promised", "rounds", "load"]
    print(
        "\nEach figure is the median of its row's rounds; load: of the last minute before each "
        f"round. {TOGETHER} ticks a dispatch are what Population.run does.\n"
    )
    print(measure.table(head, side_by_side(found), 1))
    for line in dict.fromkeys(missing):
        print(f"left out: {line}")
    kept = promises(rounds, seconds, most)
    print()
    print(
        measure.table(["Hocket", "measured", "promised", "holds", "rounds", "load"], shown(kept), 1)
    )
    for row in kept:
        for error in row["errors"]:
            print(f"{row['what']}: {error}", file=sys.stderr)
    print(f"\nload {before:.1f} before, {os.getloadavg()[0]:.1f} after; {measure.NOISE}")
    if given.json:
        flat = [
            {"contender": c, "agents": n, "together": k, "rounds": rows}
            for (c, n, k), rows in found.items()
        ]
        whole = {"compared": flat, "missing": missing, "promises": kept, "load": before}
        given.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
