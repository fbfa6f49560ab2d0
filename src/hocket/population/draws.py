"""Chance that depends on nothing but the seed, the tick, what it is for, and the agent's number.

So an agent's life is the same whoever lives beside it, and however many devices share the work.
The generator is Threefry-2x32 (Salmon et al. 2011), as JAX has it.
"""

from __future__ import annotations

from enum import IntEnum

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p


class Purpose(IntEnum):
    """What is drawn for; two purposes never share a draw."""

    ACTION = 1
    WORLD = 2
    ENTRY = 3
    SHARING = 4


def tick_key(seed: jax.Array, tick: jax.Array, purpose: Purpose) -> jax.Array:
    """The key of one purpose at one tick.

    Args:
        seed: The population's seed, a scalar of 32 bits.
        tick: The tick's number.
        purpose: What will be drawn.

    Returns:
        A typed JAX key.
    """
    key = jax.random.fold_in(jax.random.key(seed), tick)
    return jax.random.fold_in(key, int(purpose))


def uniforms(key: jax.Array, ids: jax.Array, count: int = 1) -> jax.Array:
    """Numbers in [0, 1), for each agent its own.

    Args:
        key: From `tick_key`.
        ids: The agents' numbers, unsigned 32-bit, [...].
        count: How many numbers each agent gets.

    Returns:
        32-bit floats with 24 random bits, [count, ...].
    """
    if count == 0:
        return jnp.zeros((0, *ids.shape), jnp.float32)
    first, second = jax.random.key_data(key)
    words: list[jax.Array] = []
    for pair in range((count + 1) // 2):
        words += threefry2x32_p.bind(
            jnp.broadcast_to(first, ids.shape),
            jnp.broadcast_to(second, ids.shape),
            ids,
            jnp.full_like(ids, pair),
        )
    return jnp.stack([(word >> 8).astype(jnp.float32) * 2.0**-24 for word in words[:count]])
