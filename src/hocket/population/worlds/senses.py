"""What agents of a grid world can see, as probabilities of each observation on each cell.

The same tables make the world and the model that fits it: a world draws from them, and they are
the model's A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hocket.population.transitions import Floats, Ints

EMPTY, GOAL, HAZARD, RESOURCE, WALL = range(5)
"""What stands on a cell."""

NAMES = {
    "scent": ("nothing", "faint", "strong", "goal", "hazard"),
    "ground": ("empty", "goal", "hazard", "resource"),
    "ripe": ("no", "yes"),
}
"""What observations are called, where they have names."""


def scent_table(
    kinds: Ints, scented: NDArray[np.bool_], distance: Floats, carry: float, noise: float
) -> Floats:
    """Goals smell: nothing, faint, strong, with probabilities that fall off with the distance.

    The strength 2 · (1 - (d - 1) / carry) lies between two of nothing (0), faint (1) and
    strong (2); each is smelled with the probability of its nearness.
    So each step towards a goal smells better, if only a little.

    Args:
        kinds: What stands on each cell, [cells].
        scented: The cells of goals that smell, [cells].
        distance: Steps to the nearest of them, [cells].
        carry: How many steps a scent carries.
        noise: Probability that what is smelled is any of the five.

    Returns:
        [5, cells]: see `NAMES`.
    """
    strength = np.clip(2 * (1 - (distance - 1) / carry), 0, 2)
    table = np.zeros((5, kinds.size))
    for level in range(3):
        table[level] = np.clip(1 - np.abs(strength - level), 0, 1)
    for here, observation in ((scented, 3), (kinds == HAZARD, 4)):
        table[:, here] = 0
        table[observation, here] = 1
    return blurred(table, noise)


def ground_table(kinds: Ints, noise: float) -> Floats:
    """What stands on the agent's own cell, [4, cells]."""
    seen = np.where(kinds == WALL, EMPTY, kinds)
    return blurred(np.eye(4)[:, seen], noise)


def walls_table(blocked: NDArray[np.bool_], noise: float) -> Floats:
    """Which of the four ways are blocked: a bit for each, [16, cells].

    Args:
        blocked: Whether the way up, down, left and right is, [4, cells].
        noise: Probability that what is seen is any of the sixteen.
    """
    pattern = (blocked * np.array([1, 2, 4, 8])[:, None]).sum(0)
    return blurred(np.eye(16)[:, pattern], noise)


def landmark_table(cells: int, landmarks: int, noise: float) -> Floats:
    """Each cell has one of some landmarks, spread as if by chance, always alike.

    The spread is Knuth's multiplicative hash of the cell's number.

    Returns:
        [landmarks, cells].
    """
    mixed = (np.arange(1, cells + 1, dtype=np.uint64) * 2654435761 % 2**32) >> np.uint64(16)
    return blurred(np.eye(landmarks)[:, (mixed % np.uint64(landmarks)).astype(np.int64)], noise)


def blurred(table: Floats, noise: float) -> Floats:
    """With some probability any of the observations is seen, each as likely."""
    return (1 - noise) * table + noise / len(table)


def steps_to(targets: Ints, goals: Ints) -> Floats:
    """Steps to the nearest of some cells, around walls; the number of cells where none leads.

    Args:
        targets: The cell that each move leads to, [actions, cells].
        goals: The cells.

    Returns:
        [cells].
    """
    cells = targets.shape[1]
    steps = np.full(cells, float(cells))
    steps[goals] = 0
    while True:
        further = np.minimum(steps, steps[targets].min(0) + 1)
        if np.array_equal(further, steps):
            return steps
        steps = further
