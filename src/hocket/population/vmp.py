"""What agents believe about the last few steps at once: variational message passing.

The numbers are pymdp 1.0.4's: `run_vmp` of its `algos`, and `calc_vfe` of its `maths`.
Every step of the window is fitted to what was seen then, to the step before and to the step after,
`model.iterations` times; all steps and factors are taken to be independent.

A history that is shorter than the window is what pymdp makes of a window that is filled up, with
`valid_steps` to say how much of it counts.
Given a history of one step and nothing else, pymdp leaves out the prior; here, one step is fitted
to what was expected of it, as every other beginning of a window is.
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
    logs = jax.vmap(lambda seen: log_likelihoods(model, tables, seen))(obs)
    evidence = _Evidence(
        prior=tuple(ln(belief) for belief in prior),
        likelihoods=tuple(
            jnp.where(valid.reshape(many, *(1,) * (log.ndim - 2), -1), log, 0) for log in logs
        ),
        transitions=tuple(
            ln(_table(model, tables, factor, prior[0].dtype)) for factor in range(len(prior))
        ),
        actions=actions,
        valid=valid,
        linked=valid[:-1] & valid[1:] & (actions >= 0).all(axis=1),
    )

    def one_round(_: jax.Array, path: Beliefs) -> Beliefs:
        seen = jax.vmap(lambda logs, now: likelihood_messages(model, logs, now))(
            evidence.likelihoods, path
        )
        before, after = _from_before(model, evidence, path), _from_after(model, evidence, path)
        return tuple(
            jax.nn.softmax(sum(messages), axis=1)
            for messages in zip(seen, before, after, strict=True)
        )

    flat = tuple(
        jnp.full((many, *belief.shape), 1 / belief.shape[0], belief.dtype) for belief in prior
    )
    path = jax.lax.fori_loop(0, model.iterations, one_round, flat)
    return Window(tuple(belief[-1] for belief in path), path, _free_energy(model, evidence, path))


class _Evidence(NamedTuple):
    """What beliefs about a window are fitted to, as logarithms.

    Fields:
        prior: Of each factor [states, N].
        likelihoods: Of each modality [steps, states of its factors..., N]; 0 where nothing is.
        transitions: As B, of each factor.
        actions: [steps - 1, factors, N].
        valid: Whether there is such a step, [steps, N].
        linked: Whether a step is known to follow from the one before, [steps - 1, N].
    """

    prior: Beliefs
    likelihoods: tuple[jax.Array, ...]
    transitions: tuple[jax.Array, ...]
    actions: jax.Array
    valid: jax.Array
    linked: jax.Array


def _table(model: Model, tables: Tables, factor: int, dtype: jnp.dtype) -> jax.Array:
    """B of a factor as a table, however it is kept."""
    moves = tables.B[factor]
    return moves["table"] if "table" in moves else jnp.asarray(model.table(factor), dtype)


def _from_before(model: Model, evidence: _Evidence, path: Beliefs) -> Beliefs:
    """What each step is told by the one before, or else by the prior, [steps, states, N]."""

    def said(before: Beliefs, acts: jax.Array) -> Beliefs:
        together = [belief[:, None] for belief in before]
        return tuple(
            by_table(table, joint(together, parents)[:, 0], done, actions)
            for table, parents, done, actions in zip(
                evidence.transitions, model.B_dependencies, acts, model.actions, strict=True
            )
        )

    messages = jax.vmap(said)(tuple(belief[:-1] for belief in path), evidence.actions)
    linked = evidence.linked[:, None]
    return tuple(
        jnp.concatenate([start[None], jnp.where(linked, message, start)])
        for start, message in zip(evidence.prior, messages, strict=True)
    )


def _from_after(model: Model, evidence: _Evidence, path: Beliefs) -> Beliefs:
    """What each step is told by the one after, if there is one, [steps, states, N]."""

    def said(before: Beliefs, after: Beliefs, acts: jax.Array) -> Beliefs:
        messages = [jnp.zeros_like(belief) for belief in before]
        for factor, parents in enumerate(model.B_dependencies):
            for place, parent in enumerate(parents):
                others = [before[other] for other in parents if other != parent]
                known = [belief[:, None] for belief in (after[factor], *others)]
                turned = jnp.moveaxis(evidence.transitions[factor], 1 + place, 0)
                states = joint(known, range(len(known)))[:, 0]
                messages[parent] += by_table(turned, states, acts[factor], model.actions[factor])
        return tuple(messages)

    messages = jax.vmap(said)(
        tuple(belief[:-1] for belief in path),
        tuple(belief[1:] for belief in path),
        evidence.actions,
    )
    linked = evidence.linked[:, None]
    return tuple(
        jnp.pad(jnp.where(linked, message, 0), ((0, 1), (0, 0), (0, 0))) for message in messages
    )


def _free_energy(model: Model, evidence: _Evidence, path: Beliefs) -> jax.Array:
    """The variational free energy over the window, [N]."""
    terms = -jax.vmap(lambda logs, now: accuracy(model, logs, now))(evidence.likelihoods, path)
    for belief, expected in zip(path, _from_before(model, evidence, path), strict=True):
        terms += (belief * (ln(belief) - expected)).sum(axis=1)
    return jnp.where(evidence.valid, terms, 0).sum(axis=0)
