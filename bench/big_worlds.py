"""Big worlds: beliefs about every cell, and in two levels: how long a tick takes, how exact it is.

    python bench/big_worlds.py [--agents 1000] [--ticks 40] [--episodes 64]

Times are medians over dispatches of four ticks, and the processor time beside them, which a busy
machine disturbs less; accuracy is over episodes of 100 ticks.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Literal

import numpy as np

from hocket.population import Group, Population, prepare
from hocket.population.twolevel_accuracy import accuracy, landmarks
from hocket.population.worlds.sampled import SampledWorld

AT_ONCE = 4


def timed(side: int, beliefs: Literal["full", "two-level"], agents: int, ticks: int) -> list[Any]:
    """A row of the table of times."""
    model = landmarks(side, share=0.3)
    group = Group(name="walkers", model=model, agents=agents, beliefs=beliefs)
    population = Population([group], SampledWorld(model))
    population.run(AT_ONCE, at_once=AT_ONCE)
    walls, cpus = [], []
    for _ in range(max(ticks // AT_ONCE, 5)):
        wall, cpu = time.perf_counter(), time.process_time()
        population.run(AT_ONCE, at_once=AT_ONCE)
        walls.append((time.perf_counter() - wall) / AT_ONCE * 1e3)
        cpus.append((time.process_time() - cpu) / AT_ONCE * 1e3)
    own = sum(
        size
        for name, size in population.memory().items()
        if name in ("belief", "window", "tiles", "corner")
    )
    return [
        f"{side} × {side}",
        beliefs,
        f"{np.median(walls):.2f}",
        f"{np.median(cpus):.2f}",
        f"{own / agents:,.0f}",
    ]


def measured(episodes: int) -> list[list[Any]]:
    """The rows of the table of accuracy."""
    rows = []
    for name, share, patch, known in (
        ("every cell has a landmark", 1.0, 1, True),
        ("one cell in twenty has", 0.05, 1, True),
        ("patches of ten cells", 0.3, 10, True),
        ("every cell, begun anywhere", 1.0, 1, False),
        ("one in twenty, begun anywhere", 0.05, 1, False),
        ("patches, begun anywhere", 0.3, 10, False),
    ):
        model = landmarks(100, share=share, patch=patch, known=known)
        found = accuracy(model, agents=episodes, ticks=100)
        rows.append([name, *(f"{value:.3g}" for value in found)])
    return rows


def show(head: list[str], rows: list[list[Any]]) -> None:
    """Print a table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--ticks", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=64)
    given = parser.parse_args()
    prepare()
    kinds: tuple[Literal["full", "two-level"], ...] = ("full", "two-level")
    rows = [
        timed(side, kind, given.agents, given.ticks) for side in (50, 100, 200) for kind in kinds
    ]
    print(f"{given.agents:,} agents\n")
    show(["world", "beliefs", "tick, ms (p50)", "processor time, ms", "bytes per agent"], rows)
    show(
        ["world", "KL, nats", "KL p99", "same action", "distance", "distance p99", "in window"],
        measured(given.episodes),
    )


if __name__ == "__main__":
    main()
