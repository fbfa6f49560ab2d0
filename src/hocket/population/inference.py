"""What agents believe about the present, given what they expected and what they see.

The numbers are pymdp 1.0.4's: `run_factorized_fpi` of its `algos` for "exact" and "fpi", and
`calc_vfe` of its `maths` for the free energy.
As there, no probability below `FLOOR` enters a logarithm; so an observation that the model calls
impossible leaves a belief, and a free energy, that are finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from hocket.population.model import FLOOR, Model
from hocket.population.tables import Tables

Beliefs: TypeAlias = tuple[jax.Array, ...]
"""What agents believe: of each factor [states, N]."""

FEW = 16
"""Up to how many observations a chain of selections is quicker than looking rows up."""


def infer(
    model: Model, tables: Tables, prior: Beliefs, obs: jax.Array
) -> tuple[Beliefs, jax.Array]:
    """Take in an observation.

    With one factor this is Bayes' rule; with several, the factors are taken to be independent and
    each is fitted to the others in turn, `model.iterations` times.

    Args:
        model: The model.
        tables: Its arrays; those of A may be each agent's own, the agents last.
        prior: What was expected, of each factor [states, N].
        obs: What each agent sees, [modalities, N], each from 0 to the modality's last.

    Returns:
        The beliefs, of each factor [states, N], and the variational free energy in nats, [N].
    """
    if len(prior) == 1:
        posterior, free_energy = _exactly(tables, prior[0], obs)
        return (posterior,), free_energy
    return _by_rounds(model, tables, prior, obs)


def _exactly(tables: Tables, prior: jax.Array, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bayes' rule; the free energy is then the surprise, -ln p(obs).

    Each weight is a product of probabilities of at least `FLOOR`; where that could leave the range
    of the numbers it is kept in the middle of it, or reckoned in logarithms.
    """
    parts = len(tables.A) + 1
    decades = -math.log10(float(jnp.finfo(prior.dtype).tiny)) - 1
    shift = 0 if parts * -math.log10(FLOOR) < decades else 26
    if shift and parts * -math.log10(FLOOR) / 2 > decades:
        return _exactly_in_logarithms(tables, prior, obs)
    scale = 2.0**shift
    weight = at_least(prior) * scale
    for table, seen in zip(tables.A, obs, strict=True):
        weight = weight * chosen(at_least(table) * scale, seen, prior.ndim)
    total = weight.sum(axis=0)
    surprise = -jnp.log(total)
    if shift:
        # Scaled back before the logarithm where that is possible: the sum of logarithms is rounder.
        back = total * 2.0 ** (-shift * parts)
        surprise = jnp.where(
            back > 100 * float(jnp.finfo(prior.dtype).tiny),
            -jnp.log(jnp.maximum(back, jnp.finfo(prior.dtype).tiny)),
            surprise + shift * parts * math.log(2),
        )
    return weight * (1 / total), surprise


def _exactly_in_logarithms(
    tables: Tables, prior: jax.Array, obs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The same where there are so many modalities that a product of them would vanish."""
    weight = ln(prior)
    for table, seen in zip(tables.A, obs, strict=True):
        weight = weight + chosen(ln(table), seen, prior.ndim)
    return jax.nn.softmax(weight, axis=0), -jax.nn.logsumexp(weight, axis=0)


def _by_rounds(
    model: Model, tables: Tables, prior: Beliefs, obs: jax.Array
) -> tuple[Beliefs, jax.Array]:
    """Fixed-point iteration: in each round, every factor given what the others were."""
    likelihoods = log_likelihoods(model, tables, obs)
    expected = tuple(ln(belief) for belief in prior)

    def one_round(_: jax.Array, logs: Beliefs) -> Beliefs:
        beliefs = tuple(jax.nn.softmax(log, axis=0) for log in logs)
        messages = likelihood_messages(model, likelihoods, beliefs)
        return tuple(log + message for log, message in zip(expected, messages, strict=True))

    start = tuple(jnp.zeros_like(log) for log in expected)
    logs = jax.lax.fori_loop(0, model.iterations, one_round, start)
    posterior = tuple(jax.nn.softmax(log, axis=0) for log in logs)
    free_energy = -accuracy(model, likelihoods, posterior)
    for belief, log in zip(posterior, expected, strict=True):
        free_energy = free_energy + (belief * (ln(belief) - log)).sum(axis=0)
    return posterior, free_energy


def log_likelihoods(model: Model, tables: Tables, obs: jax.Array) -> tuple[jax.Array, ...]:
    """Ln p(obs | states) of each modality, [states of its factors..., N]."""
    return tuple(
        chosen(ln(table), seen, len(factors) + 1)
        for table, seen, factors in zip(tables.A, obs, model.A_dependencies, strict=True)
    )


def likelihood_messages(
    model: Model, likelihoods: Sequence[jax.Array], beliefs: Beliefs
) -> list[jax.Array]:
    """What all modalities say of each factor, the other factors being as believed, [states, N]."""
    messages = [jnp.zeros_like(belief) for belief in beliefs]
    for likelihood, factors in zip(likelihoods, model.A_dependencies, strict=True):
        parents = [beliefs[factor] for factor in factors]
        for place, factor in enumerate(factors):
            messages[factor] = messages[factor] + mean(likelihood, parents, keep=place)
    return messages


def accuracy(model: Model, likelihoods: Sequence[jax.Array], beliefs: Beliefs) -> jax.Array:
    """The expected ln p(obs | states), [N]."""
    total = jnp.zeros(beliefs[0].shape[1:], beliefs[0].dtype)
    for likelihood, factors in zip(likelihoods, model.A_dependencies, strict=True):
        total = total + mean(likelihood, [beliefs[factor] for factor in factors])
    return total


def chosen(table: jax.Array, index: jax.Array, ndim: int) -> jax.Array:
    """The row of a table that each agent has come upon.

    Args:
        table: [rows, ...], or [rows, ..., N] where each agent has its own.
        index: Which row, [N].
        ndim: How many axes the answer has.

    Returns:
        [..., N].
    """
    own = table.ndim > ndim
    if table.shape[0] > FEW:
        if own:
            place = index.reshape((1,) * ndim + (-1,))
            return jnp.take_along_axis(table, place, axis=0)[0]
        return jnp.moveaxis(jnp.take(table, index, axis=0), 0, -1)
    rows = table if own else table[..., None]
    picked = jnp.broadcast_to(rows[-1], (*rows.shape[1:-1], index.shape[0]))
    for row in range(table.shape[0] - 1):
        picked = jnp.where(index == row, rows[row], picked)
    return picked


def mean(values: jax.Array, beliefs: Sequence[jax.Array], keep: int | None = None) -> jax.Array:
    """The expectation of values over independent factors, all or all but one.

    Args:
        values: [states..., N], an axis for each factor.
        beliefs: Of each factor, [states, N].
        keep: The factor over which no mean is taken.

    Returns:
        [N], or [states, N] of the factor that was kept.
    """
    for axis in reversed(range(len(beliefs))):
        if axis != keep:
            belief = beliefs[axis]
            after = (1,) * (values.ndim - axis - 2)
            shape = (1,) * axis + belief.shape[:1] + after + belief.shape[1:]
            values = (values * belief.reshape(shape)).sum(axis=axis)
    return values


def at_least(values: jax.Array) -> jax.Array:
    """Probabilities, none below `FLOOR`."""
    return jnp.maximum(values, FLOOR)


def ln(values: jax.Array) -> jax.Array:
    """The natural logarithm of probabilities, none below `FLOOR`."""
    return jnp.log(at_least(values))
