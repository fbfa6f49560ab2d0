"""How agents choose: from what policies are worth to what is done.

The distributions are pymdp 1.0.4's (`sample_action` and `sample_policy` of its `control`); they are
drawn from by inverse CDF, with uniform numbers that are given.
Where actions are drawn for several factors at once ("marginal", "stochastic"), each factor has its
own number, as in pymdp.legacy; pymdp 1.0.4 uses one key for all, so that its factors' draws are
correlated.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.inference import ln
from hocket.population.model import Model
from hocket.population.tables import Tables
from hocket.population.transitions import Ints


def policy_posterior(neg_efe: jax.Array, gamma: jax.Array, habit: jax.Array) -> jax.Array:
    """How probable each policy is, [policies, N].

    Args:
        neg_efe: The negative expected free energy, [policies, N].
        gamma: Precision, one for all or [N].
        habit: ln E, [policies].
    """
    return jax.nn.softmax(gamma * neg_efe + habit[:, None], axis=0)


def draws_needed(model: Model) -> int:
    """How many uniform numbers an agent's choice takes."""
    if model.selection == "deterministic":
        return 0
    return len(model.controlled) if model.sampling == "marginal" else 1


def choose(model: Model, tables: Tables, q_pi: jax.Array, uniforms: jax.Array) -> jax.Array:
    """What each agent does, [factors, N]; the first of equals, where the likeliest is taken.

    Args:
        model: The model.
        tables: Its arrays.
        q_pi: How probable each policy is, [policies, N].
        uniforms: Numbers in [0, 1), [draws_needed(model), N].
    """
    first = model.policies[:, 0]
    if model.sampling == "full":
        if model.selection == "deterministic":
            return jnp.asarray(first)[jnp.argmax(q_pi, axis=0)].T
        # Policies that begin alike are drawn as one: what follows their beginning is not kept.
        acts, number = np.unique(first, axis=0, return_inverse=True)
        weights = _gathered(
            _sharpened(q_pi, tables.alpha), number.reshape(-1).astype(np.int32), len(acts)
        )
        return jnp.asarray(acts)[_drawn(weights, uniforms[0])].T
    actions = []
    draws = iter(range(draws_needed(model)))
    for factor, count in enumerate(model.actions):
        marginal = _gathered(q_pi, first[:, factor], count)
        if model.selection == "deterministic" or count == 1:
            actions.append(jnp.argmax(marginal, axis=0).astype(jnp.int32))
        else:
            weights = _sharpened(marginal, tables.alpha)
            actions.append(_drawn(weights, uniforms[next(draws)]))
    return jnp.stack(actions)


def _gathered(weights: jax.Array, number: Ints, count: int) -> jax.Array:
    """The sum of the weights of each number, [count, N]."""
    if np.array_equal(number, np.arange(count)):
        return weights
    return jnp.stack([weights[np.flatnonzero(number == one)].sum(axis=0) for one in range(count)])


def _sharpened(probabilities: jax.Array, alpha: jax.Array) -> jax.Array:
    """Weights in proportion to a power of probabilities, the greatest 1."""
    logs = alpha * ln(probabilities)
    return jnp.exp(logs - logs.max(axis=0))


def _drawn(weights: jax.Array, uniform: jax.Array) -> jax.Array:
    """Draw by inverse CDF: the first whose cumulative weight exceeds the uniform share, [N]."""
    cumulative = jnp.cumsum(weights, axis=0)
    below = (cumulative <= uniform.astype(weights.dtype) * cumulative[-1]).sum(axis=0)
    return jnp.minimum(below, len(weights) - 1).astype(jnp.int32)
