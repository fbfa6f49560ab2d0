"""A grid world at one tick, as pictures show it, and those of a whole run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
            f"this world ({type(world).__name__}) has no map to draw: leave out the picture, or "
            "take an example with a grid"
        )


def _belief(population: Population, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    total = np.zeros(shape[0] * shape[1])
    count = 0
    for group in population.groups:
        factors = [f for f, many in enumerate(group.model.states) if many == total.size]
        if group.beliefs != "full" or not factors:
            continue
        slots = population.slots(group.name)
        living = len(slots.ids)
        total += slots.mean_belief(factors[0]) * living
        count += living
    return (total / count).reshape(shape) if count else None


class Film:
    """Scenes of a run, at ticks that are chosen beforehand and evenly spread.

    So they don't depend on how fast it runs, on checkpoints, or on where it was resumed.

    Args:
        title: What they show.
        first: The tick that it begins with.
        last: The tick that it ends with.
        before: Scenes that were seen before the run was taken up, in their order.
        most: How many there are at most.
    """

    def __init__(
        self,
        title: str,
        first: int,
        last: int,
        before: Sequence[Scene] = (),
        most: int = FRAMES,
    ) -> None:
        self._title = title
        many = min(most, last - first + 1)
        self._wanted = [first + round(n * (last - first) / max(many - 1, 1)) for n in range(many)]
        # A run that goes on for longer than it was told at first was filmed at other ticks.
        self._seen = {
            scene.tick: scene
            for tick in self._wanted
            if before and tick <= before[-1].tick
            for scene in [min(before, key=lambda one: abs(one.tick - tick))]
        }

    @property
    def scenes(self) -> list[Scene]:
        """What was seen so far, in its order."""
        return list(self._seen.values())

    def until(self, tick: int) -> int:
        """How many ticks there are until the next scene; as many as you like if none is left."""
        return next((wanted - tick for wanted in self._wanted if wanted > tick), sys.maxsize)

    def look(self, population: Population) -> None:
        """Look at a population, if it is time."""
        tick = population.tick
        if tick in self._wanted and tick not in self._seen:
            self._seen[tick] = scene_of(population, self._title)


def packed(scenes: Sequence[Scene]) -> dict[str, NDArray[Any]]:
    """Give scenes of one run as arrays, to be saved."""
    if not scenes:
        return {}
    shape = scenes[0].kinds.shape
    return {
        "tick": np.array([scene.tick for scene in scenes]),
        "agents": np.array([scene.agents for scene in scenes]),
        "kinds": scenes[0].kinds,
        "shut": np.stack([scene.shut for scene in scenes]),
        "standing": np.stack([scene.standing for scene in scenes]),
        "believed": np.array([scene.belief is not None for scene in scenes]),
        "belief": np.stack(
            [np.zeros(shape) if scene.belief is None else scene.belief for scene in scenes]
        ),
    }


def unpacked(arrays: Mapping[str, NDArray[Any]], title: str) -> list[Scene]:
    """Make scenes of what `packed` gave."""
    return [
        Scene(
            title=title,
            tick=int(tick),
            agents=int(arrays["agents"][n]),
            kinds=arrays["kinds"],
            shut=arrays["shut"][n],
            standing=arrays["standing"][n],
            belief=arrays["belief"][n] if arrays["believed"][n] else None,
        )
        for n, tick in enumerate(arrays.get("tick", ()))
    ]
