"""What agents believe about the last few steps at once: variational message passing.

The numbers are pymdp 1.0.4's: `run_vmp` of its `algos`, and `calc_vfe` of its `maths`.
Every step of the window is fitted to what was seen then, to the step before and to the step after,
`model.iterations` times; all steps and factors are taken to be independent.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hocket.population.inference import (
    Beliefs,
    accuracy,
    likelihood_messages,
    ln,
    log_likelihoods,
)
from hocket.population.model import Model
from hocket.population.planning import by_table, joint
from hocket.population.tables import Tables


class Window(NamedTuple):
    """What agents believe about a window of steps, the present one last.

    Fields:
        present: What they believe now, of each factor [states, N].
        path: What they believe about each step, of each factor [steps, states, N].
        free_energy: Variational free energy over the window, in nats, [N].
    """

    present: Beliefs
    path: Beliefs
    free_energy: jax.Array


def infer_window(
    model: Model,
    tables: Tables,
    prior: Beliefs,
    obs: jax.Array,
    actions: jax.Array,
    steps: jax.Array,
) -> Window:
    """Infer the states of the last few steps from what was seen and done.

    Args:
        model: The model.
        tables: Its arrays.
        prior: What was believed before the window's first valid step, of each factor [states, N].
        obs: What was seen, [steps, modalities, N].
        actions: What was done between, [steps - 1, factors, N]; below 0 where that is not known:
            what comes after it is then believed afresh, from the prior.
        steps: How many of the last steps there were for each agent, [N]; those before are no part
            of it.
    """
    many = obs.shape[0]
    valid = jnp.arange(many)[:, None] >= many - jnp.clip(steps, 1, many)
    linked = valid[:-1] & valid[1:] & (actions >= 0).all(axis=1)
    begins = jnp.concatenate([jnp.ones_like(valid[:1]), ~linked])
    transitions = tuple(
        ln(_table(model, tables, factor, prior[0].dtype)) for factor in range(len(prior))
    )
    likelihoods = tuple(
        jnp.where(valid.reshape(many, *(1,) * (log.ndim - 2), -1), log, 0)
        for log in jax.vmap(lambda seen: log_likelihoods(model, tables, seen))(obs)
    )
    expected = tuple(ln(belief) for belief in prior)

    def forward(path: Beliefs) -> Beliefs:
        return jax.vmap(lambda before, acts: _forward(model, transitions, before, acts))(
            tuple(belief[:-1] for belief in path), actions
        )

    def one_round(_: jax.Array, path: Beliefs) -> Beliefs:
        seen = jax.vmap(lambda logs, now: likelihood_messages(model, logs, now))(likelihoods, path)
        backward = jax.vmap(
            lambda before, after, acts: _backward(model, transitions, before, after, acts)
        )(
            tuple(belief[:-1] for belief in path),
            tuple(belief[1:] for belief in path),
            actions,
        )
        return tuple(
            jax.nn.softmax(
                log
                + jnp.where(begins[:, None], start, jnp.concatenate([start[None], ahead]))
                + jnp.pad(jnp.where(linked[:, None], back, 0), ((0, 1), (0, 0), (0, 0))),
                axis=1,
            )
            for log, start, ahead, back in zip(seen, expected, forward(path), backward, strict=True)
        )

    flat = tuple(
        jnp.broadcast_to(1 / log.shape[0], (many, *log.shape)).astype(log.dtype) for log in expected
    )
    path = jax.lax.fori_loop(0, model.iterations, one_round, flat)
    terms = -jax.vmap(lambda logs, now: accuracy(model, logs, now))(likelihoods, path)
    for belief, start, ahead in zip(path, expected, forward(path), strict=True):
        follows = jnp.concatenate([start[None], ahead])
        # As in pymdp, a step without a predecessor is held against the prior.
        terms += jnp.where(
            valid,
            (belief * (ln(belief) - jnp.where(begins[:, None], start, follows))).sum(axis=1),
            0,
        )
    return Window(tuple(belief[-1] for belief in path), path, terms.sum(axis=0))


def _table(model: Model, tables: Tables, factor: int, dtype: jnp.dtype) -> jax.Array:
    """B of a factor as a table, however it is kept."""
    moves = tables.B[factor]
    return moves["table"] if "table" in moves else jnp.asarray(model.table(factor), dtype)


def _forward(
    model: Model, transitions: tuple[jax.Array, ...], before: Beliefs, acts: jax.Array
) -> Beliefs:
    """What a step says of the next: the expected ln B, of each factor [states, N]."""
    together = [belief[:, None] for belief in before]
    return tuple(
        by_table(table, joint(together, parents)[:, 0], done, actions)
        for table, parents, done, actions in zip(
            transitions, model.B_dependencies, acts, model.actions, strict=True
        )
    )


def _backward(
    model: Model,
    transitions: tuple[jax.Array, ...],
    before: Beliefs,
    after: Beliefs,
    acts: jax.Array,
) -> Beliefs:
    """What a step says of the one before: the expected ln B, of each factor [states, N]."""
    messages = [jnp.zeros_like(belief) for belief in before]
    for factor, parents in enumerate(model.B_dependencies):
        for place, parent in enumerate(parents):
            others = [before[other] for other in parents if other != parent]
            known = [belief[:, None] for belief in (after[factor], *others)]
            turned = jnp.moveaxis(transitions[factor], 1 + place, 0)
            states = joint(known, range(len(known)))[:, 0]
            messages[parent] = messages[parent] + by_table(
                turned, states, acts[factor], model.actions[factor]
            )
    return tuple(messages)
