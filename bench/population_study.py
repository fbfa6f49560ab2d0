"""What populations do: agents beside others who act by chance, and tellers beside who tell nobody.

Nothing here is a time: how busy the machine is does not matter.
Intervals are of 95 %, by Student's t.
It ends with an error if agents do not do significantly better than chance, or sharing than none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import measure

from hocket.population.bench.behaviour import Figure, against_chance, telling

NUMBERS = {
    "reached": "on a goal",
    "hazard": "on a hazard",
    "taken": "takes a resource",
    "reward": "reward",
}


def shown(found: Figure) -> str:
    """A figure and its interval, times a hundred."""
    return f"{found.mean * 100:.2f} ± {found.within * 100:.2f}"


def chances(agents: int, batches: int, seed: int) -> tuple[list[list[str]], dict[str, Any], bool]:
    """The table of what agents reach and avoid; all figures; and whether they beat chance."""
    rows, whole, better = [], {}, True
    for name, many in (("explorers", agents), ("foragers", max(10, agents // 50))):
        found = against_chance(name, many, batches=batches, seed=seed)
        whole[name] = {
            who: {key: one._asdict() for key, one in numbers.items()}
            for who, numbers in found.items()
        }
        ours, theirs = found["agents"], found["chance"]
        for number, words in NUMBERS.items():
            if ours[number].mean == theirs[number].mean == 0:
                continue
            rows.append([name, words, shown(ours[number]), shown(theirs[number])])
        wanted = "reached" if name == "explorers" else "taken"
        better &= ours[wanted].low > theirs[wanted].high
        better &= ours["hazard"].high < theirs["hazard"].low
    return rows, whole, better


def told(agents: int, rounds: int, seed: int) -> tuple[list[list[str]], dict[str, Any], bool]:
    """The table of what telling is good for; all figures; and whether sharing beats none."""
    found = telling(agents, rounds=rounds, seed=seed)
    rows = [
        [way, shown(one.right), shown(one.more_right), shown(one.there), shown(one.more_there)]
        for way, one in found.items()
    ]
    better = all(
        min(found[way].more_right.low, found[way].more_there.low) > 0
        for way in ("neighbours", "coalition")
    )
    whole = {
        way: {key: figure._asdict() for key, figure in one._asdict().items()}
        for way, one in found.items()
    }
    return rows, whole, better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer agents and rounds")
    parser.add_argument("--agents", type=int, help="how many of each kind (1000)")
    parser.add_argument("--rounds", type=int, help="how many independent values (40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    agents = given.agents or (200 if given.quick else 1_000)
    rounds = given.rounds or (10 if given.quick else 40)
    rows, chance, beats_chance = chances(agents, rounds, given.seed)
    head = ["agents", "in 100 ticks", "who plan", "by chance"]
    print(measure.table(head, rows, 2))
    rows, sharing, beats_none = told(min(agents, 256), rounds, given.seed)
    head = ["who tell", "know the goal, %", "more", "time at it, %", "more"]
    print("\n" + measure.table(head, rows, 1))
    print(
        f"\n{agents} explorers, {max(10, agents // 50)} foragers, {min(agents, 256)} of each who "
        f"tell; {rounds} values, seed {given.seed}.\nKnow the goal: hold the open one of four for "
        "the likeliest after 15 ticks.\nTime at it: of the first 60 ticks of a round. More: than "
        "those who tell nobody in the same round."
    )
    if given.json:
        figures = {"agents": agents, "rounds": rounds, "seed": given.seed}
        whole = {**figures, "chance": chance, "sharing": sharing}
        given.json.write_text(json.dumps(whole, indent=1) + "\n")
    if not beats_chance:
        raise SystemExit("agents did not do significantly better than chance")
    if not beats_none:
        raise SystemExit("sharing was not significantly better than none")


if __name__ == "__main__":
    main()
