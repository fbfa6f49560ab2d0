"""What this machine could do at best: the roof that a tick is measured against.

A tick must at least read and write each agent's state once, and multiply W with each belief.
The roof is serial: the time for the bytes, and then the time for the arithmetic; both rates are
measured with all devices at work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spread

from hocket.population.bench.task import task
from hocket.population.bench.timing import timed
from hocket.population.devices import AXIS
from hocket.population.linear import LinearPlanner

FLAT_BYTES: Final = 4 * 6 + 1
"""Beside its belief, of each agent: cell and observation read and written, number and action
read, 32 bits each, and whether it is alive."""

COLUMNS: Final = (128, 1024, 16384)
"""How many agents are multiplied at once where the rate of W·Q is sought; the best counts."""


class Roof(NamedTuple):
    """The best that this machine could do for a model.

    Fields:
        devices: How many devices were at work.
        bytes_a_second: Of memory, read and written.
        flops_a_second: Of W·Q, its own shape.
        columns: With how many agents at once that rate was reached.
        bytes_a_step: What a step of an agent must move.
        flops_a_step: What it must compute.
        steps_a_second: Agent-steps, the bytes first and then the arithmetic.
    """

    devices: int
    bytes_a_second: float
    flops_a_second: float
    columns: int
    bytes_a_step: int
    flops_a_step: int
    steps_a_second: float


def roof(horizon: int = 1, *, dtype: Any = jnp.float32, seconds: float = 2.0) -> Roof:
    """Measure the roof for the measured task.

    Args:
        horizon: How many steps policies look ahead.
        dtype: Of the beliefs.
        seconds: How long each of the rates is measured.
    """
    model = task(horizon=horizon)
    rows, states = LinearPlanner(model).rows, model.states[0]
    moved = 2 * states * jnp.dtype(dtype).itemsize + FLAT_BYTES
    work = 2 * rows * states
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    bandwidth = copy_rate(mesh, dtype, seconds)
    rates = {n: product_rate(mesh, rows, states, n, dtype, seconds) for n in COLUMNS}
    best = max(rates, key=lambda columns: rates[columns])
    return Roof(
        devices=mesh.size,
        bytes_a_second=bandwidth,
        flops_a_second=rates[best],
        columns=best,
        bytes_a_step=moved,
        flops_a_step=work,
        steps_a_second=1 / (moved / bandwidth + work / rates[best]),
    )


def copy_rate(mesh: Mesh, dtype: Any, seconds: float, numbers: int = 1 << 25) -> float:
    """Bytes a second that all devices together read and write, in place, of large arrays."""
    each = jax.device_put(jnp.zeros((mesh.size, numbers), dtype), NamedSharding(mesh, Spread(AXIS)))
    step = _on_all(mesh, lambda values: values + jnp.asarray(1, values.dtype))
    held = [each]

    def once() -> None:
        held[0] = jax.block_until_ready(step(held[0]))

    took = float(np.percentile(timed(once, iterations=100, seconds=seconds).walls, 10))
    return float(2 * mesh.size * numbers * jnp.dtype(dtype).itemsize / took)


def product_rate(
    mesh: Mesh, rows: int, states: int, columns: int, dtype: Any, seconds: float
) -> float:
    """Floating-point operations a second of W·Q with so many agents at once, on all devices.

    The beliefs are few enough to stay near: this is what arithmetic allows, not memory.
    """
    # At least two blocks, or the compiler would multiply once for all turns.
    blocks = max(2, 4096 // columns)
    repeats = max(1, (1 << 30) // (2 * rows * states * columns * blocks))
    weights = jnp.full((rows, states), 1 / states, dtype)
    beliefs = jnp.full((mesh.size, blocks, states, columns), 1 / states, dtype)
    placed = jax.device_put(beliefs, NamedSharding(mesh, Spread(AXIS)))

    def work(mine: jax.Array) -> jax.Array:
        def body(turn: jax.Array, total: jax.Array) -> jax.Array:
            highest = jax.lax.Precision.HIGHEST
            return total + jnp.dot(weights, mine[0, turn % blocks], precision=highest)

        start = jax.lax.pcast(jnp.zeros((rows, columns), dtype), AXIS, to="varying")
        found: jax.Array = jax.lax.fori_loop(0, blocks * repeats, body, start)
        return found[None]

    step = _on_all(mesh, work, keep=True)
    found = timed(lambda: jax.block_until_ready(step(placed)), iterations=100, seconds=seconds)
    took = float(np.percentile(found.walls, 10))
    return float(2 * rows * states * columns * blocks * repeats * mesh.size / took)


def _on_all(
    mesh: Mesh, work: Callable[[jax.Array], jax.Array], *, keep: bool = False
) -> Callable[[jax.Array], jax.Array]:
    """Compile something that every device does with its share."""
    spread = jax.shard_map(work, mesh=mesh, in_specs=Spread(AXIS), out_specs=Spread(AXIS))
    compiled: Callable[[jax.Array], jax.Array] = jax.jit(
        spread, donate_argnums=() if keep else (0,)
    )
    return compiled
