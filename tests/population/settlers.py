"""A small grid world with agents, for tests of what is done with populations."""

from __future__ import annotations

from hocket.population.group import Group
from hocket.population.population import Population
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld

WORLD = GridWorld(
    height=4,
    width=5,
    walls=((1, 2),),
    goals=((0, 4), (3, 0)),
    hazards=((2, 2),),
    resources=((3, 4),),
    slip=0.1,
    again=True,
)
MODEL = grid_model(WORLD, selection="stochastic")
GROUPS = (Group(name="settlers", model=MODEL, agents=40),)


def settled(seed: int = 5) -> Population:
    """Forty agents in the small world."""
    return Population(GROUPS, WORLD, seed=seed)
