"""What admission costs: plain runs, 100,000 waiting calls over 50 limits, and copies for forecasts.

Each row is measured in a process of its own, round after round, and the medians are printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import SECOND, Call
from hocket.limits.admission import Admission
from hocket.limits.claim import Claim, Ending, Spent

DONE = Ending("done", Spent(900, 300, 0))
LIMITS = 50


def slots(count: int, *, shared: bool = False) -> LimitSpec:
    return LimitSpec(concurrency=count, shared=shared, adaptive=False)


def plain(calls: int, width: int) -> dict[str, float]:
    """One run, one slot limit and an agent's own: `width` calls offered at a time."""
    admission = Admission()
    admission.open("run", {"run": slots(16), "agent:f": slots(16)}, 0)
    claim = Claim(units=(("agent:f", 1), ("run", 1)))
    names = [Call(f"step{number}", 1) for number in range(calls)]
    flying: list[str] = []
    begin = time.perf_counter()
    for first in range(0, calls, width):
        for name in names[first : first + width]:
            admission.offer("run", name, claim, first)
        flying += [item.key for item in admission.admit(first)]
        while flying:
            admission.sent(flying[-1], first)
            admission.settle(flying.pop(), DONE, first)
            flying += [item.key for item in admission.admit(first)]
    return {"µs": (time.perf_counter() - begin) / calls * 1e6}


def limits_of(kind: str) -> dict[str, LimitSpec]:
    specs: dict[str, LimitSpec] = {}
    for number in range(LIMITS):
        spec = slots(8, shared=True)
        if kind == "mixed" and number % 5 == 1:
            spec = LimitSpec(requests=(Rate(60, SECOND), Rate(20_000, 600 * SECOND)), margin=0)
        elif kind == "mixed" and number % 5 == 2:
            spec = LimitSpec(tokens=(Rate(100_000, SECOND),), concurrency=20, margin=0)
        elif kind == "mixed" and number % 5 == 3:
            spec = LimitSpec(requests=(Rate(100, SECOND),), spacing=SECOND // 200, margin=0)
        specs[f"limit{number:02d}"] = spec
    return specs


def claims_of(kind: str, count: int, draw: random.Random) -> list[Claim]:
    """What calls claim: a limit each; or what 150 agents would, each some units of its limits;
    or tokens besides, which makes about 1,200 classes.
    """
    if kind == "one each":
        ones = [Claim(units=((f"limit{number:02d}", 1),)) for number in range(LIMITS)]
        return [draw.choice(ones) for _ in range(count)]
    agents = []
    for _ in range(150):
        names = sorted(draw.sample(range(LIMITS), draw.randint(1, 3)))
        agents.append(tuple((f"limit{name:02d}", draw.choice((1, 1, 1, 2, 4))) for name in names))
    if kind == "units":
        return [Claim(units=draw.choice(agents)) for _ in range(count)]
    return [
        Claim(
            units=draw.choice(agents),
            tokens_in=draw.randint(500, 1_500),
            tokens_out=draw.randint(50, 400),
        )
        for _ in range(count)
    ]


def many(kind: str, waiting: int, runs: int, admissions: int) -> dict[str, float]:
    """Many calls wait for 50 limits; each time one ends, whoever fits goes through."""
    draw = random.Random(1)
    admission = Admission()
    for run in range(runs):
        admission.open(f"run{run}", limits_of(kind), 0, weight=1 + run % 3)
    claims = claims_of(kind, waiting, draw)
    names = [Call(f"step{number}", 1) for number in range(waiting)]
    gc.collect()
    before = measure.Memory()
    begin = time.perf_counter()
    for number, name in enumerate(names):
        admission.offer(f"run{number % runs}", name, claims[number], 0, rank=number % 7)
    offer = (time.perf_counter() - begin) / waiting * 1e6
    gc.collect()
    memory = (measure.status("VmRSS") - before.before) / waiting
    at, flying, count = 0, [item.key for item in admission.admit(0)], 0
    for key in flying:
        admission.sent(key, 0)
    assert len(admission) > waiting * 0.9
    begin = time.perf_counter()
    while count < admissions:
        at += SECOND // 2_000
        if flying:
            admission.settle(flying.pop(draw.randrange(len(flying))), DONE, at)
        for item in admission.admit(at):
            admission.sent(item.key, at)
            flying.append(item.key)
            count += 1
    taken = (time.perf_counter() - begin) / count * 1e6
    begin = time.perf_counter()
    for _ in range(10):
        admission.fork()
    fork = (time.perf_counter() - begin) / 10 * 1e3
    return {"offer µs": offer, "µs": taken, "bytes": memory, "fork ms": fork}


def copies(waiting: int) -> dict[str, float]:
    """Copy what a forecast begins with: one run, ten limits, some calls in flight."""
    draw = random.Random(2)
    admission = Admission()
    specs = {f"limit{number:02d}": slots(4, shared=True) for number in range(10)}
    admission.open("run", specs, 0)
    claims = [Claim(units=((f"limit{draw.randrange(10):02d}", 1),)) for _ in range(waiting)]
    for number, claim in enumerate(claims):
        admission.offer("run", Call(f"step{number}", 1), claim, 0)
    admission.admit(0)
    begin = time.perf_counter()
    for _ in range(200):
        admission.fork()
    return {"fork ms": (time.perf_counter() - begin) / 200 * 1e3}


def rows(quick: bool) -> dict[str, Callable[[], dict[str, float]]]:
    calls = 20_000 if quick else 100_000
    waiting = 10_000 if quick else 100_000
    admissions = 2_000 if quick else 10_000
    return {
        "plain, one call at a time": lambda: plain(calls, 1),
        "plain, 16 at a time": lambda: plain(calls, 16),
        f"plain, {calls:,} at once": lambda: plain(calls, calls),
        f"{waiting:,} waiting, one limit each": lambda: many("one each", waiting, 1, admissions),
        f"{waiting:,} waiting, one limit each, 40 runs": lambda: many(
            "one each", waiting, 40, admissions
        ),
        f"{waiting:,} waiting, 1-3 limits, units": lambda: many("units", waiting, 1, admissions),
        f"{waiting:,} waiting, the same, 10 runs": lambda: many("units", waiting, 10, admissions),
        f"{waiting:,} waiting, 1-3 limits, windows, tokens": lambda: many(
            "mixed", waiting, 1, admissions
        ),
        "copy of 100 waiting": lambda: copies(100),
        "copy of 2,000 waiting": lambda: copies(2_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    parser.add_argument("--rounds", type=int, help="how often each row is measured")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    what = rows(options.quick)
    if options.one:
        print(json.dumps(what[options.one]()))
        return
    rounds = options.rounds or (2 if options.quick else 5)
    quick = ["--quick"] if options.quick else []
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in what}
    for _ in range(rounds):
        for name in what:
            found[name].append(measure.in_child([__file__, "--one", name, *quick], 300))
    if options.json:
        options.json.write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")
    head = ("µs", "offer µs", "bytes", "fork ms")
    lines = [[name, *(cell(found[name], field) for field in head)] for name in what]
    titles = ("", "µs an admission", "µs an offer", "bytes a waiting call", "ms a copy")
    print(measure.table(titles, lines, 1))
    print(f"\nOffer, admission, sending and end together in the plain rows. {measure.NOISE}")


def cell(results: list[dict[str, Any]], field: str) -> str:
    bad = next((item for item in results if "error" in item or "late" in item), None)
    if bad is not None:
        return str(bad.get("error") or f"> {bad['late']} s")
    values = sorted(item[field] for item in results if field in item)
    if not values:
        return "–"
    middle = values[len(values) // 2]
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


if __name__ == "__main__":
    main()
