"""Plans whose every step is reviewed, under virtual time: the second seed's ten steps, and more.

Ten steps of 30 s, of which five are independent, a swarm of six on each and 20 requests a minute
for all reviewers; three such plans at once, one of fifty steps, and reviewers who find faults.
The machines and the queue are the engine's own, so the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import measure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.simulator.policies import spread  # noqa: E402
from tests.simulator.reviewed import (  # noqa: E402
    OURS,
    THEIRS,
    Went,
    agents,
    least_seconds,
    several,
    spec_of,
)

HEAD = ["plans", "reviewed by", "reviews", "minutes", "95 %", "limit alone", "succeeded"]


class Case(NamedTuple):
    """One row.

    Fields:
        plans: What is done, in words.
        way: How it is reviewed, in words.
        count: How many plans at once.
        tens: How many times ten steps in each.
        how: The review's fields.
        serial: Whether each step waits for the one before.
        requests: How many requests a minute.
        faulty: The share of first artefacts with a fault.
        accuracy: The share of right verdicts.
    """

    plans: str
    way: str
    count: int
    tens: int
    how: dict[str, Any]
    serial: bool = False
    requests: int = 20
    faulty: float = 0.0
    accuracy: float = 1.0


WAVES, SWARM = "waves, one call each", "all six, three calls each"
CASES = (
    Case("ten steps, one after the other, 10/min", SWARM, 1, 1, THEIRS, True, 10),
    Case("ten steps, one after the other", SWARM, 1, 1, THEIRS, True),
    Case("ten steps, one after the other", WAVES, 1, 1, OURS, True),
    Case("ten steps, five independent", SWARM, 1, 1, THEIRS),
    Case("ten steps, five independent", WAVES, 1, 1, OURS),
    Case("the same, a fault in 2 of 10, 9 of 10 right", WAVES, 1, 1, OURS, False, 20, 0.2, 0.9),
    Case("three such plans at once", SWARM, 3, 1, THEIRS),
    Case("three such plans at once", WAVES, 3, 1, OURS),
    Case("one of fifty steps", SWARM, 1, 5, THEIRS),
    Case("one of fifty steps", WAVES, 1, 5, OURS),
)


def take(case: Case, seeds: int) -> list[Went]:
    rounds = 3 if case.faulty else 1
    spec = spec_of(case.tens, case.how, serial=case.serial, rounds=rounds, requests=case.requests)
    cast = agents(case.faulty, case.accuracy)
    return [several(case.count, spec, cast, seed) for seed in range(seeds)]


def row(case: Case, taken: list[Went]) -> list[str]:
    reviews = median(one.reviews for one in taken)
    minutes = spread([one.seconds / 60 for one in taken])
    done = sum(one.succeeded for one in taken)
    alone = least_seconds(round(reviews), case.requests) / 60
    return [
        case.plans,
        case.way,
        f"{reviews:g}",
        f"{minutes.median:.1f}",
        f"{minutes.low:.1f} to {minutes.high:.1f}",
        f"{alone:.1f}",
        f"{done} of {case.count * len(taken)}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten seeds")
    parser.add_argument("--seeds", type=int, help="how many (60)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    seeds = given.seeds or (10 if given.quick else 60)
    rows, whole, late = [], [], []
    for case in CASES:
        found = take(case, seeds)
        rows.append(row(case, found))
        whole.append({"case": case._asdict(), "went": [one._asdict() for one in found]})
        if case.plans == "ten steps, five independent" and case.how is OURS:
            late = [one.seconds for one in found if one.seconds > 300]
    print(measure.table(HEAD, rows, 2))
    print(
        f"\nMedians over {seeds} seeds, and where 95 % of them lie. A reviewer's call takes about "
        "5 s.\nThe limit alone: the first step, and then as long as so many requests take to begin."
    )
    if given.json:
        given.json.write_text(json.dumps(whole, indent=1) + "\n")
    if late:
        raise SystemExit(f"ten reviewed steps took longer than five minutes: {max(late):.0f} s")


if __name__ == "__main__":
    main()
