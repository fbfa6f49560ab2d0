"""Ready populations: agents, their model and a world that fits it, by name.

from hocket.population import Population, scenario

ready = scenario("explorers", 1000)
population = Population(ready.groups, ready.world)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hocket.core.errors import NotFound, Problem, SpecError
from hocket.population.coalitions import Coalitions
from hocket.population.group import Group
from hocket.population.model import Model
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


def explorers(
    agents: int, *, length: int = 1, gamma: float = 8.0, again: bool = True, slip: float = 0.1
) -> Scenario:
    """Lost on a 10 × 10 grid, they find goals by their scent, and keep off hazards.

    Args:
        agents: How many.
        length: How far they plan ahead, in ticks.
        gamma: How decided they are.
        again: Whether one who reaches a goal is placed anew, and is lost again.
        slip: Probability that a move does not happen.
    """
    world = GridWorld(
        height=10,
        width=10,
        goals=((1, 1), (2, 8), (7, 3), (8, 7)),
        hazards=((1, 3), (3, 2), (3, 6), (5, 5), (5, 8), (6, 1), (7, 5), (9, 9)),
        slip=slip,
        again=again,
    )
    return _alone("explorers", agents, world, _on_grid(world, length, gamma), explorers)


def foragers(
    agents: int,
    *,
    length: int = 2,
    gamma: float = 8.0,
    collisions: bool = False,
    regrow: int = 10,
) -> Scenario:
    """On a 12 × 12 grid with walls, landmarks to find one's way by, and resources that regrow.

    Args:
        agents: How many.
        length: How far they plan ahead, in ticks.
        gamma: How decided they are.
        collisions: Whether two cannot be on one cell; at most 118 agents then.
        regrow: Ticks until a resource that was taken is ripe again.
    """
    world = GridWorld(
        height=12,
        width=12,
        walls=((2, 5), (3, 5), (4, 5), (7, 2), (7, 3), (7, 8), (8, 8), (9, 8)),
        goals=((0, 11), (11, 0)),
        hazards=((0, 8), (3, 11), (8, 0), (11, 3), (5, 6), (6, 5)),
        resources=_field(12, ((1, 1), (2, 9), (5, 2), (9, 4), (9, 10))),
        slip=0.1,
        senses=("landmark", "scent", "ground", "ripe", "crowd"),
        landmarks=8,
        collisions=collisions,
        again=True,
        regrow=regrow,
    )
    return _alone("foragers", agents, world, _on_grid(world, length, gamma), foragers)


def _field(side: int, corners: Cells) -> Cells:
    """Two cells beside each other at each corner."""
    return tuple((row, min(column + step, side - 1)) for row, column in corners for step in (0, 1))


def sharers(
    agents: int,
    *,
    share: str = "neighbours",
    weight: float = 0.5,
    reach: int = 5,
    every: int = 1,
    messages: bool = False,
    rounds: int = 100,
    gamma: float = 8.0,
) -> Scenario:
    """One of four goals is open, and smells faintly; they tell each other which they believe it is.

    Args:
        agents: How many.
        share: With whom: "neighbours", "coalition" (of four, each with another ability), "nobody".
        weight: How much the others count.
        reach: How large neighbourhoods are, in cells.
        every: Ticks from one sharing to the next.
        messages: Whether they also leave word of what they smell near goals.
        rounds: Ticks after which another goal may be open, and all begin anew; 0 for never.
        gamma: How decided they are.
    """
    senses: tuple[Sense, ...] = ("landmark", "scent")
    world = GridWorld(
        height=10,
        width=10,
        goals=((0, 0), (0, 9), (9, 0), (9, 9)),
        starts=((4, 4), (4, 5), (5, 4), (5, 5)),
        slip=0.1,
        noise=0.6,
        senses=(*senses, "message") if messages else senses,
        carry=8.0,
        landmarks=8,
        radius=5,
        hidden=True,
        rounds=rounds,
    )
    fours = Coalitions(abilities=(1, 2, 4, 8), needed=(15,) * max(1, agents // 4))
    ways = {
        "nobody": None,
        "neighbours": Sharing(weight=weight, reach=reach, every=every, factor=1),
        "coalition": Sharing(
            with_="coalition", weight=weight, every=every, factor=1, coalitions=fours
        ),
    }
    if share not in ways:
        raise SpecError(
            [
                Problem(
                    where=("sharers", "share"),
                    message=f"{share!r} is nobody to share with",
                    hint=f"write one of {', '.join(ways)}",
                )
            ]
        )
    model = grid_model(world, gamma=gamma, selection="stochastic", inference="fpi", iterations=4)
    return _alone("sharers", agents, world, model, sharers, ways[share])


def maze(
    agents: int,
    *,
    validity: float = 0.98,
    reward: float = 3.0,
    shock: float = 6.0,
    gamma: float = 8.0,
    ticks: int = 3,
) -> Scenario:
    """The T-maze: first they look at the cue, then they go where it points, again and again.

    Args:
        agents: How many.
        validity: How often the cue, and the arm, say the truth.
        reward: How much the reward is liked, in nats.
        shock: How much the shock is not.
        gamma: How decided they are.
        ticks: How many ticks an episode has.
    """
    model = t_maze(
        validity=validity, reward=reward, shock=shock, gamma=gamma, selection="stochastic"
    )
    return _alone("t-maze", agents, Episodes(SampledWorld(model), ticks), model, maze)


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
    made: Callable[..., Scenario],
    sharing: Sharing | None = None,
) -> Scenario:
    """A scenario of one group; it is about what the first line of its function says."""
    sees = None
    if isinstance(world, GridWorld) and "crowd" in world.senses:
        sees = tuple(n for n, sense in enumerate(world.senses) if sense != "crowd")
    group = Group(name=name, model=model, agents=agents, sharing=sharing, sees=sees)
    return Scenario(name, (group,), world, (made.__doc__ or "").splitlines()[0])


SCENARIOS: dict[str, Callable[..., Scenario]] = {
    "explorers": explorers,
    "foragers": foragers,
    "sharers": sharers,
    "t-maze": maze,
}
"""How each ready scenario is made: of the number of agents, and options."""


def scenario(name: str, agents: int, **options: Any) -> Scenario:
    """Make a ready scenario.

    Args:
        name: One of `SCENARIOS`.
        agents: How many agents.
        options: What the scenario's function takes.

    Raises:
        NotFound: if there is none of that name.
        SpecError: if it has no such option, or the value makes no sense.
    """
    if name not in SCENARIOS:
        raise NotFound(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    known = {
        option: about.default
        for option, about in inspect.signature(SCENARIOS[name]).parameters.items()
        if about.kind is inspect.Parameter.KEYWORD_ONLY
    }
    problems = []
    for option, given in options.items():
        if option not in known:
            message = f"{name} have no such option"
            hint = f"there are {', '.join(known)}"
        elif not _is_like(given, known[option]):
            message = f"{given!r} is not what is wanted"
            hint = f"give something like {known[option]!r}"
        else:
            continue
        problems.append(Problem(where=("options", option), message=message, hint=hint))
    if problems:
        raise SpecError(problems)
    return SCENARIOS[name](agents, **options)


def _is_like(given: Any, default: Any) -> bool:
    """Whether a value is of the kind of the default; a whole number will do for any number."""
    if isinstance(default, float):
        return isinstance(given, int | float) and not isinstance(given, bool)
    return type(given) is type(default)
