"""Where beliefs go when agents act: one state factor, for the action that each agent took.

A belief is [states, N], the agents last: every operation is one instruction over many agents.
Moves on grids and lists fetch, for each next state, the rows of the states before it: the sums
come in the same order everywhere, and nothing is scattered.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hocket.population.tables import Moves
from hocket.population.transitions import Dense, Grid, Lists, Transition

Indices: TypeAlias = NDArray[np.int64]


def move(kind: Transition, moves: Moves, belief: jax.Array, action: jax.Array | int) -> jax.Array:
    """The belief about the next state, for a factor that depends on itself alone.

    Args:
        kind: The model's transition, for what is fixed: shape, moves, slip.
        moves: Its arrays.
        belief: [states, N].
        action: What each agent does, [N], or one action for all, a scalar; with a Python integer
            only that action is computed.

    Returns:
        [states, N].
    """
    match kind:
        case Grid():
            return _move_on_grid(kind, moves["allowed"], belief, action)
        case Lists():
            return _move_by_lists(kind, moves, belief, action)
        case Dense():
            return _move_by_table(moves["table"], belief, action)


def _move_on_grid(
    grid: Grid, allowed: jax.Array, belief: jax.Array, action: jax.Array | int
) -> jax.Array:
    """What may come from one move away comes; what is blocked, and what slips, stays."""
    may = allowed.reshape(grid.actions, grid.states)
    rows, columns = np.divmod(np.arange(grid.states), grid.width)
    moved = belief
    for number, (down, right) in enumerate(grid.moves):
        if (down, right) == (0, 0) or not _possible(action, number):
            continue
        row, column = rows - down, columns - right
        inside = (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)
        before = np.where(inside, row * grid.width + column, 0)
        comes = _fetch(may[number], before) * jnp.asarray(inside, belief.dtype)
        stays = 1 - may[number]
        result = _fetch(belief, before) * comes[:, None] + belief * stays[:, None]
        moved = jnp.where(action == number, result, moved)
    return grid.slip * belief + (1 - grid.slip) * moved


def _move_by_lists(
    lists: Lists, moves: Moves, belief: jax.Array, action: jax.Array | int
) -> jax.Array:
    """Add up what leads to each state."""
    result = jnp.zeros_like(belief)
    popular = _popular(moves, belief) if "popular" in moves else None
    for number in range(lists.actions):
        if not _possible(action, number):
            continue
        moved = _add_up(belief, moves["source"][number], moves["weight"][number])
        if popular is not None:
            moved = moved + _fetch(popular, moves["popular"][number])
        result = jnp.where(action == number, moved, result)
    return result


def _popular(moves: Moves, belief: jax.Array) -> jax.Array:
    """The states that many others lead to, for all actions, in stages; the last row is nothing."""
    rows = belief
    stage = 0
    while f"source{stage}" in moves:
        rows = _add_up(rows, moves[f"source{stage}"], moves[f"weight{stage}"])
        stage += 1
    return jnp.pad(rows, ((0, 1), (0, 0)))


def _add_up(rows: jax.Array, source: jax.Array, weight: jax.Array) -> jax.Array:
    """The weighted sum of a few rows, one after the other, [width, rows of the result]."""
    total = _fetch(rows, source[0]) * weight[0][:, None]
    for entry in range(1, source.shape[0]):
        total = total + _fetch(rows, source[entry]) * weight[entry][:, None]
    return total


def _move_by_table(table: jax.Array, belief: jax.Array, action: jax.Array | int) -> jax.Array:
    """Multiply by the table of each agent's action, all actions in one product."""
    if isinstance(action, int):
        return jnp.dot(table[:, :, action], belief, precision=jax.lax.Precision.HIGHEST)
    states, _, actions = table.shape
    chosen = (action == jnp.arange(actions)[:, None]).astype(belief.dtype)
    parts = (chosen[:, None, :] * belief[None]).reshape(actions * states, -1)
    joined = jnp.moveaxis(table, 2, 1).reshape(states, actions * states)
    return jnp.dot(joined, parts, precision=jax.lax.Precision.HIGHEST)


def _possible(action: jax.Array | int, number: int) -> bool:
    """Whether anybody may do this: only with a Python integer it is known that nobody does."""
    return not isinstance(action, int) or action == number


def _fetch(rows: jax.Array, which: jax.Array | Indices) -> jax.Array:
    """Rows by number; the numbers are known to be right, and XLA need not check them."""
    return rows.at[which].get(mode="promise_in_bounds")
