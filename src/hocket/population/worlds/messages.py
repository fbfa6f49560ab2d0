"""Messages by cell: agents leave a word where they stand, and others near it read it a tick later.

A word is a small number; 0 is to say nothing.
What is kept is how often each word was left on each cell, so that nobody asks anybody.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hocket.population.worlds.fields import nearby, standing
from hocket.population.worlds.world import Across


def leave(
    cell: jax.Array, word: jax.Array, alive: jax.Array, *, words: int, cells: int, across: Across
) -> jax.Array:
    """The words that agents leave where they stand; those of the tick before are gone.

    Args:
        cell: Where each agent is, [N].
        word: What it says, 0 for nothing, [N].
        alive: Whether there is an agent, [N].
        words: How many words there are, without 0.
        cells: How many cells there are.
        across: How to add up over all devices.

    Returns:
        How often each word was left on each cell, [words, cells].
    """
    place = (word - 1) * cells + cell
    return standing(place, alive & (word > 0), cells, across, kinds=words)


def overheard(
    board: jax.Array,
    height: int,
    width: int,
    radius: int,
    *,
    wrap: bool = False,
    cell: jax.Array,
    word: jax.Array,
    said: jax.Array,
) -> jax.Array:
    """The word that others have left most often around each agent; of several the lowest.

    Args:
        board: From `leave`, [words, cells].
        height: Rows of the world.
        width: Columns.
        radius: How far off words are understood, in cells, along rows and columns.
        wrap: Whether the world's edges meet.
        cell: Where each agent is now, [N].
        word: What it left itself, 0 for nothing, [N]; it does not take that for news.
        said: Where it left that, [N].

    Returns:
        [N]; 0 where there is none.
    """
    counts = nearby(board, height, width, radius, wrap=wrap)[:, cell]
    down = abs(cell // width - said // width)
    right = abs(cell % width - said % width)
    if wrap:
        down, right = jnp.minimum(down, height - down), jnp.minimum(right, width - right)
    hears_itself = (word > 0) & (jnp.maximum(down, right) <= radius)
    its_own = jnp.arange(1, board.shape[0] + 1)[:, None] == word
    counts = counts - (its_own & hears_itself)
    loudest: jax.Array = jnp.argmax(counts, axis=0).astype(jnp.int32) + 1
    return jnp.where((counts > 0).any(0), loudest, 0)
