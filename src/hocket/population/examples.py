"""Ready populations: agents, their model and a world that fits it, by name.

from hocket.population import Population, scenario

ready = scenario("explorers", 1000)
population = Population(ready.groups, ready.world)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hocket.core.errors import NotFound, SpecError
from hocket.population.coalitions import Coalitions
from hocket.population.group import Group
from hocket.population.model import Model
from hocket.population.ready import (
    CORNERS,
    LANDMARKS,
    READY,
    Explorers,
    Foragers,
    Maze,
    Sharers,
    about,
    mistaken,
)
from hocket.population.sharing import Sharing
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import Cells, GridWorld, Sense
from hocket.population.worlds.sampled import SampledWorld
from hocket.population.worlds.tasks import Episodes, t_maze
from hocket.population.worlds.world import World


@dataclass(frozen=True, eq=False)
class Scenario:
    """Agents and a world, ready to be made a `Population` of.

    Fields:
        name: What it is called.
        groups: The agents.
        world: What they act in.
        about: What it shows, in a line.
    """

    name: str
    groups: tuple[Group, ...]
    world: World
    about: str


RANDOM = 1e-9
"""A precision of policies at which what an agent wants no longer moves it: it acts by chance."""


def explorers(agents: int, told: Explorers) -> Scenario:
    """Make what `Explorers` says."""
    world = GridWorld(
        height=10,
        width=10,
        goals=((1, 1), (2, 8), (7, 3), (8, 7)),
        hazards=((1, 3), (3, 2), (3, 6), (5, 5), (5, 8), (6, 1), (7, 5), (9, 9)),
        slip=told.slip,
        again=told.again,
    )
    return _alone("explorers", agents, world, _on_grid(world, told.length, told.gamma))


def foragers(agents: int, told: Foragers) -> Scenario:
    """Make what `Foragers` says."""
    world = GridWorld(
        height=12,
        width=12,
        walls=((2, 5), (3, 5), (4, 5), (7, 2), (7, 3), (7, 8), (8, 8), (9, 8)),
        goals=((0, 11), (11, 0)),
        hazards=((0, 8), (3, 11), (8, 0), (11, 3), (5, 6), (6, 5)),
        resources=_field(12, ((1, 1), (2, 9), (5, 2), (9, 4), (9, 10))),
        slip=0.1,
        senses=("landmark", "scent", "ground", "ripe", "crowd"),
        landmarks=LANDMARKS,
        collisions=told.collisions,
        again=True,
        regrow=told.regrow,
    )
    return _alone("foragers", agents, world, _on_grid(world, told.length, told.gamma))


def _field(side: int, corners: Cells) -> Cells:
    """Two cells beside each other at each corner."""
    return tuple((row, min(column + step, side - 1)) for row, column in corners for step in (0, 1))


def sharers(agents: int, told: Sharers) -> Scenario:
    """Make what `Sharers` says."""
    senses: tuple[Sense, ...] = ("landmark", "scent")
    world = GridWorld(
        height=10,
        width=10,
        goals=CORNERS,
        starts=((4, 4), (4, 5), (5, 4), (5, 5)),
        slip=0.1,
        noise=0.6,
        senses=(*senses, "message") if told.messages else senses,
        carry=8.0,
        landmarks=LANDMARKS,
        radius=5,
        hidden=True,
        rounds=told.rounds,
    )
    fours = Coalitions(abilities=(1, 2, 4, 8), needed=(15,) * max(1, agents // 4))
    ways = {
        "nobody": None,
        "neighbours": Sharing(weight=told.weight, reach=told.reach, every=told.every, factor=1),
        "coalition": Sharing(
            with_="coalition", weight=told.weight, every=told.every, factor=1, coalitions=fours
        ),
    }
    model = grid_model(
        world, gamma=told.gamma, selection="stochastic", inference="fpi", iterations=4
    )
    return _alone("sharers", agents, world, model, ways[told.share])


def maze(agents: int, told: Maze) -> Scenario:
    """Make what `Maze` says."""
    model = t_maze(
        validity=told.validity,
        reward=told.reward,
        shock=told.shock,
        gamma=told.gamma,
        selection="stochastic",
    )
    return _alone("t-maze", agents, Episodes(SampledWorld(model), told.ticks), model)


def _on_grid(world: GridWorld, length: int, gamma: float) -> Model:
    """The model of agents that only do not know where they are."""
    return grid_model(
        world, policy_length=length, gamma=gamma, selection="stochastic", inference="exact"
    )


def _alone(
    name: str,
    agents: int,
    world: World,
    model: Model,
    sharing: Sharing | None = None,
) -> Scenario:
    """A scenario of one group, which is called as it is."""
    sees = None
    if isinstance(world, GridWorld) and "crowd" in world.senses:
        sees = tuple(n for n, sense in enumerate(world.senses) if sense != "crowd")
    group = Group(name=name, model=model, agents=agents, sharing=sharing, sees=sees)
    return Scenario(name, (group,), world, about(name))


SCENARIOS: dict[str, Callable[..., Scenario]] = {
    "explorers": explorers,
    "foragers": foragers,
    "sharers": sharers,
    "t-maze": maze,
}
"""How each ready scenario is made: of the number of agents, and what `READY` says of it."""


def scenario(name: str, agents: int, **options: Any) -> Scenario:
    """Make a ready scenario.

    Args:
        name: One of `SCENARIOS`.
        agents: How many agents.
        options: What the example can be told; see `hocket population list`.

    Raises:
        NotFound: if there is none of that name.
        SpecError: if it has no such option, or the value makes no sense.
    """
    if name not in SCENARIOS:
        raise NotFound(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    problems = list(mistaken(name, options))
    if problems:
        raise SpecError(problems)
    return SCENARIOS[name](agents, READY[name](**options))
