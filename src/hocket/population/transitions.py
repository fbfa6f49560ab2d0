"""How one state factor moves: as a table, as lists of next states, or as moves on a grid.

All three say the same thing, the probabilities B[next, from..., action]; they differ in what they
cost.
A 100 × 100 grid with five actions is 2 GB as a table of 32-bit floats, 0.8 MB as lists of two next
states, and 50 kB as moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Dense:
    """A table of probabilities.

    Fields:
        table: B[next, from, other factors..., action], in the order of the factor's dependencies.
    """

    table: Floats

    @property
    def states(self) -> int:
        """How many states the factor has."""
        return int(self.table.shape[0])

    @property
    def actions(self) -> int:
        """How many actions the factor knows."""
        return int(self.table.shape[-1])

    @property
    def nbytes(self) -> int:
        """What it takes on a device, in bytes, as 32-bit floats."""
        return int(self.table.size) * 4

    def dense(self) -> Floats:
        """The table itself."""
        return self.table


@dataclass(frozen=True, eq=False)
class Lists:
    """For each action and state the few states that may come next; the factor depends on itself.

    Fields:
        next: The next states, [actions, states, k].
        weight: Their probabilities, the same shape; a state that is not used weighs 0.
    """

    next: Ints
    weight: Floats

    @property
    def states(self) -> int:
        """How many states the factor has."""
        return int(self.next.shape[1])

    @property
    def actions(self) -> int:
        """How many actions the factor knows."""
        return int(self.next.shape[0])

    @property
    def nbytes(self) -> int:
        """What it takes on a device, in bytes: a 32-bit integer and float for each entry."""
        return int(self.next.size) * 8

    def dense(self) -> Floats:
        """The same as a table B[next, from, action]; states² × actions × 8 bytes."""
        actions, states, many = self.next.shape
        table = np.zeros((states, states, actions))
        action, start, entry = np.indices((actions, states, many))
        np.add.at(
            table,
            (self.next[action, start, entry], start, action),
            self.weight[action, start, entry],
        )
        return table


@dataclass(frozen=True, eq=False)
class Grid:
    """Moves on a grid: states are cells, row by row; a move that is blocked stays where it is.

    With probability `slip` an agent stays where it is, whatever it does.

    Fields:
        height: Rows.
        width: Columns.
        moves: For each action (rows down, columns right); (0, 0) is to stay.
        slip: Probability that the move does not happen.
        walls: Cells that cannot be entered, [height, width]; None if there are none.
    """

    height: int
    width: int
    moves: tuple[tuple[int, int], ...] = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
    slip: float = 0.0
    walls: NDArray[np.bool_] | None = None

    @property
    def states(self) -> int:
        """How many cells there are."""
        return self.height * self.width

    @property
    def actions(self) -> int:
        """How many moves there are."""
        return len(self.moves)

    @property
    def nbytes(self) -> int:
        """What it takes on a device, in bytes: a byte for each move and cell."""
        return self.actions * self.states

    def allowed(self) -> NDArray[np.bool_]:
        """Whether a move is possible from a cell, [actions, height, width]."""
        walls = np.zeros((self.height, self.width), bool) if self.walls is None else self.walls
        rows, columns = np.indices((self.height, self.width))
        possible = np.empty((self.actions, self.height, self.width), bool)
        for action, (down, right) in enumerate(self.moves):
            row, column = rows + down, columns + right
            inside = (row >= 0) & (row < self.height) & (column >= 0) & (column < self.width)
            target = walls[row.clip(0, self.height - 1), column.clip(0, self.width - 1)]
            possible[action] = inside & ~target
        return possible

    def targets(self) -> Ints:
        """The cell that a move leads to if it does not slip, [actions, states]."""
        cells = np.arange(self.states, dtype=np.int32).reshape(self.height, self.width)
        offsets = np.array([down * self.width + right for down, right in self.moves], np.int32)
        moved = cells[None] + offsets[:, None, None]
        return np.where(self.allowed(), moved, cells[None]).reshape(self.actions, self.states)

    def lists(self) -> Lists:
        """The same as lists of two next states: the target, and the cell itself."""
        target = self.targets()
        stay = np.broadcast_to(np.arange(self.states, dtype=np.int32), target.shape)
        weight = np.broadcast_to(np.array([1 - self.slip, self.slip]), (*target.shape, 2))
        return Lists(np.stack([target, stay], axis=-1), weight)

    def dense(self) -> Floats:
        """The same as a table B[next, from, action]; states² × actions × 8 bytes."""
        return self.lists().dense()


Transition: TypeAlias = Dense | Lists | Grid
"""How one state factor moves."""


def as_transition(value: Any) -> Transition:
    """Take a transition as it is, and anything else as a table.

    Raises:
        ValueError: if it is not an array of numbers.
        TypeError: likewise.
    """
    if isinstance(value, Dense | Lists | Grid):
        return value
    return Dense(np.asarray(value, np.float64))
