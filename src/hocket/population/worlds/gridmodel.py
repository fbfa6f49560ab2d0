"""The model that fits a grid world: what an agent must take it for, to do well in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hocket.core.errors import Problem, SpecError
from hocket.population.model import Model, Names
from hocket.population.transitions import Dense, Floats, Grid, Lists, Transition
from hocket.population.worlds import senses
from hocket.population.worlds.gridworld import Cells, GridWorld, Sense

LIKES: dict[str, tuple[float, ...]] = {
    "scent": (0.0, 1.0, 2.0, 4.0, -4.0),
    "ground": (0.0, 3.0, -3.0, 1.0),
    "ripe": (0.0, 2.0),
}
"""What agents prefer to see, in nats, if nobody says otherwise; the rest they do not mind."""


def grid_model(
    world: GridWorld,
    *,
    sees: Sequence[Sense] | None = None,
    likes: Mapping[str, Sequence[float]] | None = None,
    starts: Cells | None = None,
    ripe: float = 0.5,
    heard: float = 0.5,
    trust: float = 0.7,
    **settings: Any,
) -> Model:
    """The model of an agent that knows the map of a world, but not where on it it stands.

    Its first factor is the place.
    In a hidden world a second one is the goal that is open; it is the same for all agents, so that
    they can share what they believe about it.
    The senses that depend on the place are exactly those of the world.
    What others do is not in the model: it expects a resource to be ripe, and a message to be
    heard and right, with probabilities that are the same everywhere and always, and does not know
    that others may be in its way.

    Args:
        world: The world.
        sees: The senses that the model has; all but "crowd", which tells nothing about the place.
        likes: Preferences for the observations of a sense, in nats; see `LIKES`.
        starts: Where the agent knows that it begins; anywhere that the world may place it, if None.
        ripe: How often a resource is expected to be ripe.
        heard: How often a message is expected.
        trust: How often it is expected to be right.
        settings: Further settings of `Model.of`.

    Raises:
        SpecError: if the model cannot have one of the senses.
    """
    chosen = _chosen(world, sees)
    seen = [_likelihood(world, sense, ripe, heard, trust) for sense in chosen]
    wishes: dict[str, Sequence[float]] = {**LIKES, **(likes or {})}
    places = np.array([row * world.width + column for row, column in starts or ()], np.int64)
    begin = np.zeros(world.cells)
    begin[places if starts else world.plan.entrances] = 1
    moves: list[Transition] = [_movement(world)]
    first = [begin / begin.sum()]
    if world.hidden:
        moves.append(Dense(np.eye(len(world.goals))[:, :, None]))
        first.append(np.full(len(world.goals), 1 / len(world.goals)))
    return Model.of(
        A=[table for table, _ in seen],
        B=moves,
        C=[
            np.asarray(wishes.get(sense, np.zeros(len(table))), np.float64)
            for sense, (table, _) in zip(chosen, seen, strict=True)
        ],
        D=first,
        A_dependencies=[on for _, on in seen],
        names=_names(world, chosen),
        **settings,
    )


def _chosen(world: GridWorld, sees: Sequence[Sense] | None) -> tuple[Sense, ...]:
    """The senses that a model has; see `grid_model`."""
    if sees is None:
        return tuple(sense for sense in world.senses if sense != "crowd")
    wrong = [sense for sense in sees if sense not in world.senses or sense == "crowd"]
    if wrong:
        raise SpecError(
            [
                Problem(
                    where=("sees", sense),
                    message=f"a model of this world cannot see {sense!r}",
                    hint=f"the world has {', '.join(world.senses)}; no model has crowd",
                )
                for sense in wrong
            ]
        )
    return tuple(sees)


def _movement(world: GridWorld) -> Transition:
    """How the place changes."""
    walls = (world.plan.kinds == senses.WALL).reshape(world.height, world.width)
    if not world.wrap:
        has_walls = walls if walls.any() else None
        return Grid(world.height, world.width, world.moves, slip=world.slip, walls=has_walls)
    targets = world.plan.targets
    stay = np.broadcast_to(np.arange(world.cells, dtype=np.int32), targets.shape)
    weight = np.broadcast_to([1 - world.slip, world.slip], (*targets.shape, 2))
    return Lists(np.stack([targets, stay], axis=-1), weight.astype(np.float64))


def _likelihood(
    world: GridWorld, sense: Sense, ripe: float, heard: float, trust: float
) -> tuple[Floats, tuple[int, ...]]:
    """A of one sense, and the factors that it depends on."""
    if sense == "ripe":
        chance = np.where(world.plan.kinds == senses.RESOURCE, ripe, 0.0)
        return np.stack([1 - chance, chance]), (0,)
    if sense == "message":
        goals = len(world.goals)
        table = np.empty((1 + 2 * goals, goals))
        table[0] = 1 - heard
        right = np.eye(goals) * trust + (1 - np.eye(goals)) * (1 - trust)
        table[2::2] = right * heard / goals
        table[1::2] = (1 - right) * heard / goals
        return table, (1,)
    table = world.plan.tables[sense]
    return table, (0, 1) if table.ndim == 3 else (0,)


def _names(world: GridWorld, chosen: Sequence[Sense]) -> Names:
    """What things are called."""
    ways = {(-1, 0): "up", (1, 0): "down", (0, -1): "left", (0, 1): "right", (0, 0): "stay"}
    cells = tuple(f"{row},{column}" for row, column in np.ndindex(world.height, world.width))
    goals = tuple(f"{row},{column}" for row, column in world.goals)
    words = ("nothing", *(f"{goal} {how}" for goal in goals for how in ("shut", "open")))
    named: dict[str, tuple[str, ...]] = {**senses.NAMES, "message": words}
    moves = tuple(ways.get(move, f"{move[0]},{move[1]}") for move in world.moves)
    many = dict(zip(world.senses, world.observations, strict=True))
    return Names(
        factors=("place", "open goal") if world.hidden else ("place",),
        states=(cells, goals) if world.hidden else (cells,),
        modalities=tuple(chosen),
        observations=tuple(
            named.get(sense, tuple(str(number) for number in range(many[sense])))
            for sense in chosen
        ),
        actions=(moves, ("none",)) if world.hidden else (moves,),
    )
