"""How one state factor moves: as a table, as lists of next states, or as moves on a grid.

All three say the same thing, the probabilities B[next, from..., action]; they differ in what they
cost.
A 100 × 100 grid with five actions is 2 GB as a table of 32-bit floats, 0.8 MB as lists of two next
states, and 0.2 MB as moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Problem, SpecError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int32]

MOST_BYTES: Final = 10**9
"""What a table may take in memory at most: 1 GB."""


def ask(size: int, where: tuple[str | int, ...], what: str, hint: str) -> None:
    """Ask whether there is room for a table before it is made.

    Args:
        size: Bytes.
        where: Which part of a model it is.
        what: What it is, for the message.
        hint: What to do instead.

    Raises:
        SpecError: if it is more than `MOST_BYTES`.
    """
    if size > MOST_BYTES:
        message = f"{what} would take {size / 1e9:,.1f} GB, and at most 1 GB is allowed"
        raise SpecError([Problem(where=where, message=message, hint=hint)])


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

    @classmethod
    def of_table(cls, table: Any) -> Lists:
        """Lists of what a table B[next, from, action] allows: smaller where it is sparse.

        Raises:
            SpecError: if it has not three axes.
        """
        dense = np.asarray(table, np.float64)
        if dense.ndim != 3:
            message = f"lists are made of a table [next, from, action], not of shape {dense.shape}"
            raise SpecError([Problem(where=("B",), message=message, hint="use the table itself")])
        states, actions = dense.shape[0], dense.shape[2]
        action, start, following = np.nonzero(dense.transpose(2, 1, 0))
        group = action * states + start
        counts = np.bincount(group, minlength=actions * states)
        # Entries are in order of their group: its first one's place tells each one's number in it.
        entry = np.arange(len(group)) - (np.cumsum(counts) - counts)[group]
        shape = (actions, states, max(1, int(counts.max(initial=0))))
        nexts, weights = np.zeros(shape, np.int32), np.zeros(shape)
        nexts[action, start, entry] = following
        weights[action, start, entry] = dense[following, start, action]
        return cls(nexts, weights)

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
        """The same as a table B[next, from, action]; states² × actions × 8 bytes.

        Raises:
            SpecError: if that is more than `MOST_BYTES`.
        """
        actions, states, many = self.next.shape
        _ask_for_table(states, actions)
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
        """What it takes on a device, in bytes: a 32-bit float for each move and cell."""
        return self.actions * self.states * 4

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
        """The same as a table B[next, from, action]; states² × actions × 8 bytes.

        Raises:
            SpecError: if that is more than `MOST_BYTES`.
        """
        return self.lists().dense()


def _ask_for_table(states: int, actions: int) -> None:
    ask(
        states * states * actions * 8,
        ("B",),
        f"B as a table of {states:,} × {states:,} states and {actions} actions",
        "keep it as `Grid` or `Lists`",
    )


Transition: TypeAlias = Dense | Lists | Grid
"""How one state factor moves."""
