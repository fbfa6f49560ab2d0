"""A grid world at one tick, as pictures show it, and those of a whole run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Refused
from hocket.population.population import Population
from hocket.population.worlds.gridworld import GridWorld

FRAMES: Final = 60
"""The most pictures of an animation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A grid world at one tick.

    Fields:
        title: What it is.
        tick: The tick.
        agents: How many agents live.
        kinds: What stands on each cell, as `hocket.population.worlds.senses` numbers it,
            [height, width].
        shut: Goals that do not count now, [height, width].
        standing: How many agents stand on each cell, [height, width].
        belief: The mean of what agents believe of where they are, [height, width]; None if no
            group's model has the cells as its states.
    """

    title: str
    tick: int
    agents: int
    kinds: NDArray[np.int32]
    shut: NDArray[np.bool_]
    standing: NDArray[np.int64]
    belief: NDArray[np.float64] | None


def scene_of(population: Population, title: str) -> Scene:
    """Look at a population.

    Raises:
        Refused: Its world has no map.
    """
    world = population.world
    need_map(world)
    assert isinstance(world, GridWorld)
    shape = (world.height, world.width)
    state = population.world_state()
    cells = np.asarray(state.own["cell"])
    kinds = np.asarray(world.plan.kinds).reshape(shape)
    shut = np.zeros(world.cells, bool)
    if world.hidden:
        shut[world.plan.goals] = True
        shut[world.plan.goals[int(np.asarray(state.shared["open"]))]] = False
    return Scene(
        title=title,
        tick=population.tick,
        agents=len(cells),
        kinds=kinds,
        shut=shut.reshape(shape),
        standing=np.bincount(cells, minlength=world.cells).reshape(shape),
        belief=_belief(population, shape),
    )


def need_map(world: object) -> None:
    """See that there is something to draw, before a long run.

    Raises:
        Refused: The world has no map.
    """
    if not isinstance(world, GridWorld):
        raise Refused(
            f"a {type(world).__name__} has no map to draw: leave out the picture, or take an "
            "example with a grid"
        )


def _belief(population: Population, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    total = np.zeros(shape[0] * shape[1])
    count = 0
    for group in population.groups:
        factors = [f for f, many in enumerate(group.model.states) if many == total.size]
        if group.beliefs != "full" or not factors:
            continue
        belief = population.slots(group.name).beliefs()[factors[0]]
        total += belief.sum(0, dtype=np.float64)
        count += len(belief)
    return (total / count).reshape(shape) if count else None


class Film:
    """Keeps some scenes of a run, evenly spread, however long it becomes.

    Args:
        most: How many are kept at most.
    """

    def __init__(self, most: int = FRAMES) -> None:
        self._most = most
        self._step = 1
        self._seen = 0
        self.scenes: list[Scene] = []

    @property
    def wants(self) -> bool:
        """Whether the next scene will be kept."""
        return self._seen % self._step == 0

    def add(self, look: Callable[[], Scene]) -> None:
        """Look, if the scene will be kept."""
        if self.wants:
            self.scenes.append(look())
        self._seen += 1
        if len(self.scenes) > self._most:
            self.scenes = self.scenes[::2]
            self._step *= 2
