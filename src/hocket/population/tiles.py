"""How a big grid is divided for beliefs in two levels: cells near the agent, tiles for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Problem, SpecError
from hocket.population.linear import is_linear
from hocket.population.model import Model
from hocket.population.transitions import Floats, Grid, Lists

TILE = 5
"""Cells along the side of a tile."""

ACROSS = 4
"""Tiles along the side of the window."""


@dataclass(frozen=True)
class Split:
    """How a grid is divided.

    Fields:
        grid: The grid.
        margin: How many cells an agent may get while it looks ahead.
    """

    grid: Grid
    margin: int

    @property
    def rows(self) -> int:
        """Tiles from top to bottom; the last may be partly outside."""
        return -(-self.grid.height // TILE)

    @property
    def columns(self) -> int:
        """Tiles from left to right; the last may be partly outside."""
        return -(-self.grid.width // TILE)

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return self.rows * self.columns

    @property
    def side(self) -> int:
        """Cells along the side of the window."""
        return TILE * ACROSS

    @property
    def reach(self) -> int:
        """Cells along the side of the window with its margins."""
        return self.side + 2 * self.margin

    def map(self, rows: jax.Array) -> jax.Array:
        """Rows over cells, [n, cells], as maps with tiles filled up and a margin around."""
        grid, margin = self.grid, self.margin
        maps = rows.reshape(-1, grid.height, grid.width)
        below, right = self.rows * TILE - grid.height, self.columns * TILE - grid.width
        return jnp.pad(maps, ((0, 0), (margin, margin + below), (margin, margin + right)))

    def free(self) -> NDArray[np.bool_]:
        """The cells of all tiles that an agent may be in, [rows × TILE, columns × TILE]."""
        free = np.zeros((self.rows * TILE, self.columns * TILE), bool)
        walls = self.grid.walls
        free[: self.grid.height, : self.grid.width] = True if walls is None else ~walls
        return free

    def free_cells(self) -> NDArray[np.int64]:
        """How many cells of each tile an agent may be in, [rows, columns]."""
        cells = self.free().reshape(self.rows, TILE, self.columns, TILE)
        count: NDArray[np.int64] = cells.sum((1, 3))
        return count

    def shares(self) -> Floats:
        """Which share of its tile's probability each cell has, [rows × TILE, columns × TILE]."""
        count = np.maximum(self.free_cells(), 1)
        shares: Floats = self.free() / count.repeat(TILE, 0).repeat(TILE, 1)
        return shares

    def average(self, maps: jax.Array, shares: jax.Array) -> jax.Array:
        """What a tile's cells are on average, [n, tiles], of maps with margins."""
        inner = maps[:, self.margin :, self.margin :][:, : shares.shape[0], : shares.shape[1]]
        tiles = (inner * shares).reshape(-1, self.rows, TILE, self.columns, TILE)
        return tiles.sum((2, 4)).reshape(-1, self.tiles)

    def between_tiles(self) -> Lists:
        """How probability moves from tile to tile if it lies evenly within them."""
        grid, shares = self.grid, self.shares()[: self.grid.height, : self.grid.width].ravel()
        row, column = np.divmod(np.arange(grid.states), grid.width)
        tile = row // TILE * self.columns + column // TILE
        targets = grid.targets()
        flows = [self._flow(tile, tile[target], shares) for target in targets]
        widest = max(int(np.bincount(start, minlength=1).max()) for start, _, _ in flows)
        following = np.zeros((len(flows), self.tiles, widest + 1), np.int32)
        weight = np.zeros(following.shape)
        following[..., widest] = np.arange(self.tiles)
        weight[..., widest] = grid.slip
        for action, (start, end, share) in enumerate(flows):
            first = np.flatnonzero(np.diff(start, prepend=-1))
            place = np.arange(len(start)) - np.repeat(first, np.diff(first, append=len(start)))
            following[action, start, place] = end
            weight[action, start, place] = (1 - grid.slip) * share
        return Lists(following, weight)

    def _flow(
        self, start: NDArray[np.int64], end: NDArray[np.int64], share: Floats
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """From which tile to which one cells lead, and which share of it; sorted."""
        pair, place = np.unique(start * self.tiles + end, return_inverse=True)
        total = np.bincount(place, share).astype(np.float64)
        return (pair // self.tiles).astype(np.int64), (pair % self.tiles).astype(np.int64), total


def split_of(model: Model) -> Split:
    """How a model's grid is divided.

    Raises:
        SpecError: if its beliefs cannot be kept in two levels.
    """
    problems = []
    if len(model.B) != 1 or not isinstance(model.B[0], Grid) or not is_linear(model):
        problems.append("the model must have one state factor, a Grid, and plan without learning")
        raise SpecError([refusal(each) for each in problems])
    grid = model.B[0]
    longest = max((max(abs(down), abs(right)) for down, right in grid.moves), default=0)
    margin = longest * model.horizon
    if model.horizon > 2:
        problems.append(f"policies look {model.horizon} steps ahead; at most 2 can be")
    if margin > TILE:
        problems.append(f"moves of {longest} cells leave a tile of {TILE} while planning")
    if min(grid.height, grid.width) < TILE * ACROSS:
        problems.append(
            f"a grid of {grid.height} × {grid.width} cells is smaller than the window of "
            f"{TILE * ACROSS} × {TILE * ACROSS}"
        )
    if problems:
        raise SpecError([refusal(each) for each in problems])
    return Split(grid, max(margin, 1))


def refusal(message: str) -> Problem:
    """Why beliefs cannot be kept in two levels."""
    return Problem(
        where=("beliefs",),
        message=f"beliefs in two levels: {message}",
        hint='keep the beliefs "full"',
    )


def windows(maps: jax.Array, corner: jax.Array, side: int) -> jax.Array:
    """A square out of maps for each agent.

    Args:
        maps: [n, rows, columns].
        corner: Of each agent the upper left cell, [2, N].
        side: Cells along its side.

    Returns:
        [n, side², N].
    """
    steps = np.arange(side)
    offsets = (steps[:, None] * maps.shape[2] + steps).reshape(-1, 1)
    cells = corner[0] * maps.shape[2] + corner[1] + offsets

    def cut(cells_of_map: jax.Array) -> jax.Array:
        return cells_of_map.at[cells].get(mode="promise_in_bounds")

    # One map after the other: XLA would lay out a gather from all of them side by side.
    result: jax.Array = jax.lax.map(cut, maps.reshape(maps.shape[0], -1))
    return result
