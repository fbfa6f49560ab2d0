"""Choosing: what is drawn is distributed as in pymdp; the first of equals is taken."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymdp import control

from hocket.population.choice import choose, draws_needed
from hocket.population.model import Model
from hocket.population.tables import tables_of


def model_of(**settings: Any) -> Model:
    """Three factors, the second of which is not controlled."""
    return Model.of(
        [np.full((2, 2, 2, 2), 0.5)],
        [np.full((2, 2, acts), 0.5) for acts in (2, 1, 3)],
        policy_length=2,
        **settings,
    )


def grid_of_uniforms(count: int, draws: int) -> np.ndarray:
    """Numbers spread evenly over [0, 1) in each of the draws, [draws, count ** draws]."""
    even = (np.arange(count) + 0.5) / count
    return np.stack(np.meshgrid(*[even] * draws, indexing="ij")).reshape(draws, -1)


@pytest.mark.parametrize(("sampling", "draws"), [("full", 1), ("marginal", 2)])
@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_actions_are_drawn_as_often_as_pymdp_draws_them(
    sampling: str, draws: int, alpha: float
) -> None:
    model = model_of(selection="stochastic", sampling=sampling, alpha=alpha)
    assert draws_needed(model) == draws
    q_pi = np.random.default_rng(1).dirichlet(np.full(len(model.policies), 0.3))
    uniforms = grid_of_uniforms(120 if draws > 1 else 20_000, draws)
    many = uniforms.shape[1]
    q = jnp.asarray(q_pi, jnp.float32)[:, None]
    found = np.asarray(
        choose(model, tables_of(model), jnp.tile(q, many), jnp.asarray(uniforms, jnp.float32))
    )
    assert found.dtype == np.int32
    for factor, count in enumerate(model.actions):
        share = np.bincount(found[factor], minlength=count) / many
        wanted = pymdp_share(model, q_pi, sampling, alpha, factor)
        np.testing.assert_allclose(share, wanted, atol=1 / 120)


def pymdp_share(
    model: Model, q_pi: np.ndarray, sampling: str, alpha: float, factor: int
) -> np.ndarray:
    """The distribution that pymdp's `sample_action` or `sample_policy` hands to its generator."""
    policies = jnp.asarray(model.policies)
    if sampling == "full":
        weights = jax.nn.softmax(alpha * control.log_stable(jnp.asarray(q_pi)))
        return np.asarray(control.get_marginals(weights, policies, model.actions)[factor])
    marginal = control.get_marginals(jnp.asarray(q_pi), policies, model.actions)[factor]
    return np.asarray(jax.nn.softmax(alpha * control.log_stable(marginal)))


@pytest.mark.parametrize("sampling", ["full", "marginal"])
def test_the_likeliest_is_what_pymdp_takes_and_the_first_of_equals(sampling: str) -> None:
    model = model_of(sampling=sampling)
    assert draws_needed(model) == 0
    count = len(model.policies)
    chance = np.random.default_rng(2)
    # Multiples of 1/64 are exact, so that equals are equal.
    drawn = np.floor(chance.dirichlet(np.full(count, 0.3), size=30).T * 64) / 64
    q_pi = jnp.asarray(np.concatenate([drawn, np.full((count, 1), 2.0**-6)], axis=1), jnp.float32)
    found = choose(model, tables_of(model), q_pi, jnp.zeros((0, q_pi.shape[1])))
    policies = jnp.asarray(model.policies)
    if sampling == "full":
        theirs = jax.vmap(lambda q: control.sample_policy(policies, q), in_axes=1, out_axes=1)
    else:
        theirs = jax.vmap(
            lambda q: control.sample_action(policies, model.actions, q), in_axes=1, out_axes=1
        )
    np.testing.assert_array_equal(found, theirs(q_pi))
    assert list(np.asarray(found)[:, -1]) == [0, 0, 0]


def test_the_ends_of_the_uniform_numbers_choose_what_is_there() -> None:
    model = model_of(selection="stochastic")
    q_pi = np.zeros((len(model.policies), 2))
    q_pi[7] = 1
    ends = jnp.asarray([[0.0, 1 - 2.0**-24]], jnp.float32)
    q = jnp.asarray(q_pi, jnp.float32)
    found = np.asarray(choose(model, tables_of(model), q, ends))
    # The last number falls to an action all but impossible only if that has a share at all.
    assert list(found[:, 1]) == list(model.policies[7, 0])
