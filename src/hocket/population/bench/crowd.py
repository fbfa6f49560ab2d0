"""Populations of the measured task, and the time of their ticks."""

from __future__ import annotations

from hocket.population.arrays import DType
from hocket.population.bench.task import SETTLED, SIDE, task
from hocket.population.bench.timing import Timings, timed
from hocket.population.group import Beliefs, Group
from hocket.population.population import Population
from hocket.population.transitions import Transition
from hocket.population.worlds.sampled import SampledWorld

TOGETHER = 32
"""How many ticks are done in one dispatch where nobody looks in between."""


def crowd(
    agents: int,
    *,
    side: int = SIDE,
    horizon: int = 1,
    capacity: int | None = None,
    dtype: DType = "float32",
    beliefs: Beliefs = "full",
    move: Transition | None = None,
    devices: int | None = None,
) -> Population:
    """Agents of the task in its world.

    Args:
        agents: How many.
        side: Rows and columns of the grid.
        horizon: How many steps policies look ahead.
        capacity: The most that may live at once.
        dtype: Of beliefs and tables.
        beliefs: In full or in two levels.
        move: Another transition than the grid's own.
        devices: How many devices share the work.
    """
    model = task(side, horizon, move)
    group = Group(
        name="walkers",
        model=model,
        agents=agents,
        capacity=capacity,
        beliefs=beliefs,
    )
    return Population([group], SampledWorld(model), dtype=dtype, devices=devices)


def tick_times(
    population: Population,
    *,
    iterations: int = 100,
    seconds: float = 20.0,
    together: int = 1,
    least: int = 5,
) -> Timings:
    """The seconds of a tick, as often as asked, once beliefs are settled.

    Args:
        population: Whose.
        iterations: How many dispatches.
        seconds: The time after which no further one begins.
        together: How many ticks in one dispatch; the time is shared among them.
        least: How many dispatches there are even if they take longer than that.
    """
    population.run(max(0, SETTLED - population.tick))
    found = timed(
        lambda: population.run(together, at_once=together),
        iterations=iterations,
        seconds=seconds,
        least=least,
    )
    return Timings(found.walls / together, found.processor / together)
