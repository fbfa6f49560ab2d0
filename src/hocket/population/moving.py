"""Where beliefs go when agents act: one state factor, for the action that each agent took.

A belief is [states, N], the agents last: every operation is one instruction over many agents.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hocket.population.tables import Moves
from hocket.population.transitions import Dense, Grid, Lists, Transition


def move(kind: Transition, moves: Moves, belief: jax.Array, action: jax.Array) -> jax.Array:
    """The belief about the next state, for a factor that depends on itself alone.

    Args:
        kind: The model's transition, for what is fixed: shape, moves, slip.
        moves: Its arrays.
        belief: [states, N].
        action: What each agent does, [N], or one action for all, a scalar.

    Returns:
        [states, N].
    """
    match kind:
        case Grid():
            return _move_on_grid(kind, moves["allowed"], belief, action)
        case Lists():
            return _move_by_lists(moves, belief, action)
        case Dense():
            return _move_by_table(moves["table"], belief, action)


def _move_on_grid(
    grid: Grid, allowed: jax.Array, belief: jax.Array, action: jax.Array
) -> jax.Array:
    """Shift by the move that was made; what is blocked, and what slips, stays."""
    height, width = grid.height, grid.width
    cells = belief.reshape(height, width, -1)
    reach = max((max(abs(down), abs(right)) for down, right in grid.moves), default=0)
    # A border of nothing lets every move read its source with one slice.
    padded = jnp.pad(cells, ((reach, reach), (reach, reach), (0, 0)))
    moved = jnp.zeros_like(cells)
    stays = jnp.full(cells.shape[-1:], grid.slip, belief.dtype)
    for number, (down, right) in enumerate(grid.moves):
        chosen = jnp.where(action == number, 1 - grid.slip, 0).astype(belief.dtype)
        if (down, right) == (0, 0):
            stays = stays + chosen
            continue
        may = jnp.pad(allowed[number], reach)[..., None]
        rows = slice(reach - down, reach - down + height)
        columns = slice(reach - right, reach - right + width)
        moved = moved + chosen * (padded * may)[rows, columns]
        moved = moved + chosen * (cells * (1 - allowed[number][..., None]))
    return (moved + stays * cells).reshape(belief.shape)


def _move_by_lists(moves: Moves, belief: jax.Array, action: jax.Array) -> jax.Array:
    """Send each state's share to the states that may come next."""
    following, weight = moves["next"], moves["weight"]
    result = jnp.zeros_like(belief)
    for number in range(following.shape[0]):
        share = jnp.where(action == number, belief, 0)
        for entry in range(following.shape[2]):
            result = result.at[following[number, :, entry]].add(
                weight[number, :, entry][:, None] * share
            )
    return result


def _move_by_table(table: jax.Array, belief: jax.Array, action: jax.Array) -> jax.Array:
    """Multiply by the table of each agent's action, all actions in one product."""
    states, _, actions = table.shape
    chosen = (action == jnp.arange(actions)[:, None]).astype(belief.dtype)
    parts = (chosen[:, None, :] * belief[None]).reshape(actions * states, -1)
    joined = jnp.moveaxis(table, 2, 1).reshape(states, actions * states)
    return jnp.dot(joined, parts, precision=jax.lax.Precision.HIGHEST)
