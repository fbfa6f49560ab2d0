"""How far beliefs in two levels are from beliefs about every cell, measured.

Two minds see the same and expect the same moves: one keeps every cell, the other two levels.
The actions are those of the first; what the second would have done is only counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.draws import Purpose, tick_key, uniforms
from hocket.population.group import Group
from hocket.population.inference import at_least
from hocket.population.mind import FullMind
from hocket.population.model import Model
from hocket.population.transitions import Grid
from hocket.population.twolevel import TwoLevelMind


class Accuracy(NamedTuple):
    """What keeping two levels has cost, over all ticks and agents.

    Fields:
        divergence: KL(every cell ‖ two levels) of what is expected next, in nats: the mean.
        divergence_p99: Its 99th percentile.
        same_action: How often both chose the same action, by the same chance.
        distance: How far apart the two mean positions are, in cells: the mean.
        distance_p99: Its 99th percentile.
        in_window: The probability within the window: the mean.
    """

    divergence: float
    divergence_p99: float
    same_action: float
    distance: float
    distance_p99: float
    in_window: float


def accuracy(model: Model, *, agents: int = 64, ticks: int = 50, seed: int = 0) -> Accuracy:
    """Compare both minds over episodes that begin as the model says.

    Args:
        model: A model that beliefs in two levels can be kept of.
        agents: How many episodes.
        ticks: How long each is.
        seed: What chance depends on.
    """
    grid = model.B[0]
    assert isinstance(grid, Grid)
    group = Group(name="compared", model=model, agents=agents)
    flat, two = FullMind(group), TwoLevelMind(group)
    flat_tables, two_tables = flat.tables(jnp.float32), two.tables(jnp.float32)
    row, column = (
        jnp.asarray(each, jnp.float32) for each in np.divmod(np.arange(grid.states), grid.width)
    )
    targets = jnp.asarray(grid.targets())
    seen_up_to = [jnp.cumsum(table, axis=0) for table in flat_tables.A]
    ids = jnp.arange(agents, dtype=jnp.uint32)

    def tick(carried: tuple, number: jax.Array) -> tuple:  # type: ignore[type-arg]
        cell, full, levels = carried
        chance = uniforms(
            tick_key(jnp.uint32(seed), number, Purpose.WORLD), ids, 1 + len(seen_up_to)
        )
        seen = _seen(seen_up_to, cell, chance[1:])
        luck = uniforms(tick_key(jnp.uint32(seed), number, Purpose.ACTION), ids, max(flat.draws, 1))
        alive = jnp.ones(agents, bool)
        thought = flat.think(flat_tables, full, seen, luck, alive)
        decided = two.decide(two_tables, levels, seen, luck)
        levels = two.follow(two_tables, levels, decided, thought.actions[0])
        exact, kept = thought.state["belief"][0], two.whole(two_tables, levels)
        divergence = (exact * (jnp.log(at_least(exact)) - jnp.log(at_least(kept)))).sum(0)
        apart = jnp.hypot(row @ (exact - kept), column @ (exact - kept))
        same = thought.actions[0] == decided.actions[0]
        measured = (divergence, apart, same, levels["window"].sum(0))
        moved = jnp.where(chance[0] < grid.slip, cell, targets[thought.actions[0], cell])
        return (moved, thought.state, levels), measured

    begin = np.random.default_rng(seed).choice(grid.states, size=agents, p=model.D[0])
    carried = (
        jnp.asarray(begin, jnp.int32),
        flat.blank(flat_tables, agents),
        two.blank(two_tables, agents),
    )
    _, measured = jax.jit(lambda start: jax.lax.scan(tick, start, jnp.arange(ticks)))(carried)
    divergence, apart, same, covered = (np.asarray(each) for each in measured)
    return Accuracy(
        divergence=float(divergence.mean()),
        divergence_p99=float(np.percentile(divergence, 99)),
        same_action=float(same.mean()),
        distance=float(apart.mean()),
        distance_p99=float(np.percentile(apart, 99)),
        in_window=float(covered.mean()),
    )


def _seen(seen_up_to: Sequence[jax.Array], cell: jax.Array, chance: jax.Array) -> jax.Array:
    """Draw what agents see at their cells, [modalities, agents]."""
    return jnp.stack(
        [
            (sums[:-1, cell] <= chance[m]).sum(0).astype(jnp.int32)
            for m, sums in enumerate(seen_up_to)
        ]
    )


def landmarks(
    side: int, *, share: float, patch: int = 1, known: bool = True, seed: int = 0
) -> Model:
    """A world of landmarks of four kinds, for measuring; one kind is wanted, another is not.

    Args:
        side: Cells along its side.
        share: Which share of all cells has a landmark: 1 tells much, 0.05 hardly anything.
        patch: How many cells a landmark is wide and high.
        known: Whether agents know the cell they begin in; else it may be any.
        seed: What the world depends on.
    """
    chance = np.random.default_rng(seed)
    many = -(-side // patch)
    kinds = np.where(chance.random((many, many)) < share, chance.integers(1, 5, (many, many)), 0)
    kind = kinds.repeat(patch, 0).repeat(patch, 1)[:side, :side].ravel()
    A = np.full((5, side**2), 0.1 / 4)
    A[kind, np.arange(side**2)] = 0.9
    start = np.zeros(side**2)
    start[side // 2 * side + side // 2] = 1
    return Model.of(
        [A],
        [Grid(side, side, slip=0.1)],
        C=[np.array([0.0, 2.0, -2.0, 0.0, 0.0])],
        D=[start] if known else None,
        gamma=8.0,
        selection="stochastic",
    )
