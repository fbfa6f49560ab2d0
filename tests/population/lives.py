"""Populations of every kind, and what names each to the last bit after a few ticks.

As a program it prints them, as one of several processes or alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from hocket.population import Grid, Group, Learning, Model, Population, scenario
from hocket.population.distributed import connect, leads
from hocket.population.examples import Scenario
from hocket.population.place import my_place
from hocket.population.twolevel_accuracy import landmarks
from hocket.population.worlds.sampled import SampledWorld

AGENTS = 300
TICKS = 4


def _learners() -> Scenario:
    """Agents that learn together what they see where."""
    chance = np.random.default_rng(2)
    likelihood = chance.dirichlet(np.ones(3), size=12).T
    model = Model.of(
        [likelihood],
        [Grid(3, 4, slip=0.1)],
        [np.array([0.0, 1.0, -1.0])],
        gamma=4.0,
        selection="stochastic",
        pA=(10 * likelihood + 1,),
    )
    group = Group(name="learners", model=model, agents=AGENTS, learning=Learning(A=True, every=2))
    return Scenario("learners", (group,), SampledWorld(model), "")


def _wanderers() -> Scenario:
    """Agents that keep beliefs of two levels."""
    model = landmarks(40, share=0.3)
    group = Group(name="wanderers", model=model, agents=AGENTS, beliefs="two-level")
    return Scenario("wanderers", (group,), SampledWorld(model), "")


KINDS: dict[str, Callable[[], Scenario]] = {
    "exact": lambda: scenario("explorers", AGENTS),
    "learning": _learners,
    "several factors, shared": lambda: scenario("sharers", AGENTS, messages=True),
    "two levels": _wanderers,
}


def life(kind: str, devices: int | None = None) -> list[Any]:
    """What names a population to the last bit, and its means of the last tick."""
    ready = KINDS[kind]()
    population = Population(ready.groups, ready.world, seed=5, devices=devices)
    series = population.run(TICKS)
    last = {name: float(rows[-1]).hex() for name, rows in sorted(series.means.items())}
    return [population.checksum(), last]


def main() -> None:
    """Live all lives, and print what names them."""
    place = my_place()
    assert place is not None
    connect(place, devices=1, platform="cpu")
    lives = {kind: life(kind) for kind in KINDS}
    if leads():
        print(json.dumps(lives))


if __name__ == "__main__":
    main()
