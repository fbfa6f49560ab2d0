"""The task that is measured: a square grid, five observations, five moves, as in the seed's report.

The sizes are those of FreeAgentics' explorer on a 10 × 10 grid.
Its likelihood had a hundred equal columns, so that no observation said anything; here each cell
looks like what is on the map there, nine times in ten.
"""

from __future__ import annotations

import numpy as np

from hocket.population.model import Model
from hocket.population.transitions import Floats, Grid, Ints, Transition

SIDE = 10
OBSERVATIONS = 5
GAMMA = 8.0
SLIP = 0.1
CLEAR = 0.9
"""How often an agent sees what is really there."""

PREFERENCES = (0.0, -2.0, 3.0, 0.5, -1.0)
"""Nats for empty, obstacle, goal, agent, edge."""

SETTLED = 50
"""Ticks after which beliefs are as sharp as they get; nothing is timed before.

What an agent of pymdp.legacy costs falls with the number of states in which it may be: whoever is
timed from the beginning is timed the younger, the fewer ticks there are time for.
"""

SHARES = (0.7, 0.1, 0.05, 0.05, 0.1)
"""How much of the map each of these takes."""


def task(side: int = SIDE, horizon: int = 1, move: Transition | None = None) -> Model:
    """The model of a grid.

    Args:
        side: Rows and columns.
        horizon: How many steps policies look ahead.
        move: Another transition, of the same states and actions; `Grid` if left out.
    """
    return Model.of(
        A=[likelihood(side)],
        B=[Grid(side, side, slip=SLIP) if move is None else move],
        C=[PREFERENCES],
        policy_length=horizon,
        gamma=GAMMA,
        inference="exact",
        selection="stochastic",
    )


def likelihood(side: int) -> Floats:
    """What is seen in each cell, [observations, cells]; the same for the same side."""
    seen = np.full((OBSERVATIONS, side * side), (1 - CLEAR) / (OBSERVATIONS - 1))
    seen[kinds(side), np.arange(side * side)] = CLEAR
    return seen


def kinds(side: int) -> Ints:
    """What is on the map, cell by cell."""
    chance = np.random.default_rng(side)
    drawn: Ints = chance.choice(OBSERVATIONS, side * side, p=SHARES).astype(np.int32)
    return drawn
