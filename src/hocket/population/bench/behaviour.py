"""Does a population do something? Its agents beside others that act by chance, or tell nobody.

Those who are compared live in the same world at the same time, as groups of one population.
Intervals are two-sided, of 95 %, by Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hocket.population.bench.statistics import quantile
from hocket.population.examples import RANDOM, scenario
from hocket.population.group import Group
from hocket.population.population import Population


class Figure(NamedTuple):
    """A mean, and how far off it may be.

    Fields:
        mean: The mean.
        within: Half the width of its interval.
        values: Of how many independent values.
    """

    mean: float
    within: float
    values: int

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.within

    @property
    def high(self) -> float:
        """Its upper end."""
        return self.mean + self.within


def figure(values: Sequence[float] | NDArray[np.float64]) -> Figure:
    """The mean of at least two independent values, with its interval."""
    rows = np.asarray(values, np.float64)
    error = float(rows.std(ddof=1)) / len(rows) ** 0.5
    return Figure(float(rows.mean()), error * quantile(len(rows) - 1), len(rows))


def against_chance(
    name: str, agents: int, *, batches: int = 10, ticks: int = 40, seed: int = 0
) -> dict[str, dict[str, Figure]]:
    """Agents of a ready scenario beside as many who act by chance.

    A value is the mean over all agents and some ticks on end.
    These are long beside an agent's way to a goal, so that one hardly depends on the other
    (the method of batch means); the first batch, in which all are still lost, is left out.

    Args:
        name: The scenario.
        agents: How many of each.
        batches: How many values.
        ticks: How many ticks a value is made of.
        seed: What chance depends on.

    Returns:
        For "agents" and "chance" what happens to an agent in a tick: how often it is on a goal
        ("reached") or a hazard, takes a resource ("taken"), and its reward.
    """
    ready = scenario(name, agents)
    (group,) = ready.groups
    chance = replace(group, name="chance", model=replace(group.model, gamma=RANDOM))
    population = Population((replace(group, name="agents"), chance), ready.world, seed=seed)
    means = population.run(ticks * (batches + 1)).means
    return {
        who: {
            number: figure(means[f"{who}/{number}"][ticks:].reshape(batches, ticks).mean(1))
            for number in ("reached", "hazard", "taken", "reward")
            if f"{who}/{number}" in means
        }
        for who in ("agents", "chance")
    }


TELLING: dict[str, dict[str, Any]] = {
    "nobody": {"share": "nobody"},
    "neighbours": {"share": "neighbours"},
    "coalition": {"share": "coalition"},
    "messages": {"share": "nobody", "messages": True},
}
"""Whom the groups tell what they believe, or what they smell."""


class Told(NamedTuple):
    """What came of telling.

    Fields:
        right: The share of agents that hold the open goal for the likeliest, after some ticks.
        there: The share of its time, from the beginning, that an agent was at the open goal.
        more_right: How much more of them were right than of those who tell nobody, round by round.
        more_there: How much more of their time they were there, likewise.
    """

    right: Figure
    there: Figure
    more_right: Figure
    more_there: Figure


def telling(
    agents: int,
    *,
    ways: Sequence[str] = tuple(TELLING),
    rounds: int = 10,
    early: int = 15,
    ticks: int = 60,
    seed: int = 0,
) -> dict[str, Told]:
    """Agents that tell each other which goal is open, in several ways, beside those who do not.

    All leave word near goals, but only those of "messages" hear it.
    After each round all forget everything, and another goal may be open.

    Args:
        agents: How many of each.
        ways: The ways of telling, of `TELLING`, "nobody" among them.
        rounds: How many rounds; each gives one independent value.
        early: When agents are asked what they believe, in ticks.
        ticks: How many ticks a round has.
        seed: What chance depends on.

    Returns:
        What came of it for each way of telling.
    """
    groups: list[Group] = []
    world = scenario("sharers", agents, messages=True, rounds=ticks).world
    for way in ways:
        (group,) = scenario("sharers", agents, **TELLING[way]).groups
        groups.append(replace(group, name=way, sees=None if way == "messages" else (0, 1)))
    right: dict[str, list[float]] = {way: [] for way in ways}
    there: dict[str, list[float]] = {way: [] for way in ways}
    population = Population(groups, world, seed=seed)
    for _ in range(rounds):
        begun = population.run(early).means
        is_open = int(population.world_state()[1]["open"])
        for way in ways:
            believed = population.slots(way).beliefs()[1].argmax(1)
            right[way].append(float((believed == is_open).mean()))
        ended = population.run(ticks - early).means
        for way in ways:
            reached = [*begun[f"{way}/reached"], *ended[f"{way}/reached"]]
            there[way].append(float(np.mean(reached)))
    return {
        way: Told(
            right=figure(right[way]),
            there=figure(there[way]),
            more_right=figure(np.subtract(right[way], right["nobody"])),
            more_there=figure(np.subtract(there[way], there["nobody"])),
        )
        for way in ways
    }
