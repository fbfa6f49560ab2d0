"""What agents make known by standing somewhere: one number for each cell of the world.

An agent reads such a field where it stands, instead of asking all others: O(agents + cells).
All are whole numbers, so that they are the same however agents are spread over devices.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hocket.population.worlds.world import Across

NOBODY = 2**32 - 1
"""The number that stands in a field of claims where nobody has claimed."""


def standing(
    cell: jax.Array, counted: jax.Array, cells: int, across: Across, *, kinds: int | None = None
) -> jax.Array:
    """How many agents stand on each cell.

    Args:
        cell: Where each agent is, [N]; with `kinds` it is kind · cells + cell.
        counted: Which agents count, [N].
        cells: How many cells there are.
        across: How to add up over all devices.
        kinds: How many kinds are counted apart, or None.

    Returns:
        [cells], or [kinds, cells].
    """
    size = cells * (kinds or 1)
    place = jnp.where(counted, cell, size)
    counts = across.sum(jnp.zeros(size, jnp.int32).at[place].add(1, mode="drop"))
    return counts if kinds is None else counts.reshape(kinds, cells)


def claimed(
    cell: jax.Array, wants: jax.Array, ids: jax.Array, cells: int, across: Across
) -> jax.Array:
    """Who gets the cell that they want: of several the oldest, whose number is lowest.

    Args:
        cell: The cell that each agent wants, [N].
        wants: Whether it wants one, [N].
        ids: The agents' numbers, unsigned, [N].
        cells: How many cells there are.
        across: How to compare over all devices.

    Returns:
        Whether each agent gets it, [N].
    """
    place = jnp.where(wants, cell, cells)
    nobody = jnp.full(cells, NOBODY, jnp.uint32)
    first = across.least(nobody.at[place].min(ids.astype(jnp.uint32), mode="drop"))
    return wants & (first[cell] == ids)


def nearby(field: jax.Array, height: int, width: int, radius: int, *, wrap: bool) -> jax.Array:
    """Sums of a field over the square around each cell, its corners and the cell included.

    Args:
        field: Whole numbers, [..., cells].
        height: Rows of the world.
        width: Columns.
        radius: How far the square reaches in each direction.
        wrap: Whether the world's edges meet; a square counts no cell twice even so.

    Returns:
        [..., cells].
    """
    grid = field.reshape(*field.shape[:-1], height, width)
    for axis, length in ((-2, height), (-1, width)):
        grid = _along(grid, axis, length, radius, wrap)
    return grid.reshape(field.shape)


def _along(grid: jax.Array, axis: int, length: int, radius: int, wrap: bool) -> jax.Array:
    """Sums over the neighbours along one axis, as differences of running totals."""
    if 2 * radius + 1 >= length and wrap:
        return jnp.broadcast_to(grid.sum(axis, keepdims=True, dtype=grid.dtype), grid.shape)
    edge = [(0, 0)] * grid.ndim
    edge[axis] = (radius, radius)
    padded = jnp.pad(grid, edge, mode="wrap" if wrap else "constant")
    totals = jnp.cumsum(padded, axis=axis, dtype=grid.dtype)
    edge[axis] = (1, 0)
    totals = jnp.pad(totals, edge)
    first = jax.lax.slice_in_dim(totals, 0, length, axis=axis)
    last = jax.lax.slice_in_dim(totals, 2 * radius + 1, 2 * radius + 1 + length, axis=axis)
    return last - first


def settled(
    first: jax.Array, wants: jax.Array, taken: jax.Array, ids: jax.Array, across: Across
) -> tuple[jax.Array, jax.Array]:
    """Give each who wants one a place of its own: the first that is free from a place on.

    Of several who come to a place at once the oldest gets it; the others go on to the next.
    Nobody who wants a place remains without as long as one is free.

    Args:
        first: The place where each begins to look, [N].
        wants: Who wants a place, [N].
        taken: How many are at each place already, [places].
        ids: The agents' numbers, unsigned, [N].
        across: How to meet the agents of all devices.

    Returns:
        Each one's place, and whether it got one, [N] both.
    """
    many = taken.shape[0]

    def go_on(held: Any) -> Any:
        return (held[0] < many) & (held[4] > 0)

    def one(held: Any) -> Any:
        step, place, waits, taken, _ = held
        aim = (first + step) % many
        gets = claimed(aim, waits & (taken[aim] == 0), ids, many, across)
        taken = taken + standing(aim, gets, many, across)
        waits = waits & ~gets
        left = across.sum(waits.sum(dtype=jnp.int32))
        return step + 1, jnp.where(gets, aim, place), waits, taken, left

    left = across.sum(wants.sum(dtype=jnp.int32))
    _, place, waits, _, _ = jax.lax.while_loop(
        go_on, one, (jnp.int32(0), first, wants, taken, left)
    )
    return place, wants & ~waits
