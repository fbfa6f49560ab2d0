"""State inference where random models do not lead: windows, extremes, and agents' own models."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymdp import inference
from tests.population import oracles
from tests.population.shapes import AGENTS, agents_of, model_of, shape_of

from hocket.population.inference import FEW, infer
from hocket.population.model import Model
from hocket.population.tables import tables_of
from hocket.population.vmp import infer_window

BOUNDS = {"float32": 1e-5, "float64": 1e-9}
WINDOW = 4


@pytest.mark.parametrize("number", [3, 4, 5])
def test_a_window_agrees_with_pymdp(number: int) -> None:
    """One factor with zeros, two without, three with; some of the steps are no part of it."""
    model = model_of(shape_of(number), inference="vmp", window=WINDOW)
    chance = np.random.default_rng(number)
    obs, action = (
        np.stack([chance.integers(0, many, (steps, AGENTS)) for many in counts], axis=1)
        for counts, steps in ((model.observations, WINDOW), (model.actions, WINDOW - 1))
    )
    steps = np.arange(AGENTS) % (WINDOW + 1)
    # What was done is not known of one step of one agent.
    action[1, :, -1] = -1
    prior = agents_of(shape_of(number))["prior"]
    theirs = _pymdp_window(model, prior, obs, action, steps)
    for dtype, bound in BOUNDS.items():
        with jax.enable_x64(dtype == "float64"):
            tables = tables_of(model, dtype)
            beliefs = tuple(jnp.asarray(belief, dtype) for belief in prior)
            found = jax.jit(lambda *given: infer_window(model, *given))(
                tables, beliefs, obs, action, steps
            )
        for mine, other in zip(found.path, theirs["path"], strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=bound)
        for mine, other in zip(found.present, theirs["path"], strict=True):
            np.testing.assert_allclose(mine, other[-1], rtol=0, atol=bound)
        np.testing.assert_allclose(found.free_energy, theirs["vfe"], rtol=bound, atol=bound)


def _pymdp_window(model: Model, prior: Any, obs: Any, action: Any, steps: Any) -> dict[str, Any]:
    def one(given: Any, prior: Any, obs: Any, action: Any, steps: Any) -> Any:
        path, info = inference.update_posterior_states(
            given["A"],
            given["B"],
            [jax.nn.one_hot(obs[:, m], many) for m, many in enumerate(model.observations)],
            action,
            prior=prior,
            A_dependencies=oracles.lists(model.A_dependencies),
            B_dependencies=oracles.lists(model.B_dependencies),
            num_iter=model.iterations,
            method="vmp",
            valid_steps=steps,
            return_info=True,
        )
        return {"path": path, "vfe": info["vfe"]}

    with jax.enable_x64(True):
        many = jax.vmap(one, in_axes=(None, -1, -1, -1, -1), out_axes=-1)
        beliefs = [jnp.asarray(belief) for belief in prior]
        return jax.jit(many, compiler_options=oracles.SOON)(
            oracles.arrays(model), beliefs, jnp.asarray(obs), jnp.asarray(action), steps
        )


@pytest.mark.parametrize("modalities", [1, 2, 4, 7])
def test_what_is_impossible_leaves_a_finite_belief(modalities: int) -> None:
    """Every modality contradicts the prior: products of floors leave 32-bit floats' range."""
    states = 3
    sure = np.eye(states)[:, :, None].repeat(modalities, axis=2)
    model = Model.of(
        [sure[..., m] for m in range(modalities)], [np.eye(states)[:, :, None]], D=[np.eye(3)[0]]
    )
    prior = jnp.asarray(np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]).T, jnp.float32)
    # The first agent sees state 1 throughout; the second sees state 0, and once state 1.
    obs = np.ones((modalities, 2), np.int32)
    obs[1:, 1] = 0
    (belief,), energy = infer(model, tables_of(model), (prior,), jnp.asarray(obs))
    logs = np.log(np.maximum(np.asarray(prior, np.float64), 2.0**-52))
    for seen in obs:
        logs = logs + np.log(np.maximum(np.eye(states)[seen].T, 2.0**-52))
    weights = np.exp(logs - logs.max(axis=0))
    np.testing.assert_allclose(belief, weights / weights.sum(axis=0), atol=1e-5)
    surprise = -(np.log(weights.sum(axis=0)) + logs.max(axis=0))
    np.testing.assert_allclose(energy, surprise, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("many", [3, FEW + 4])
def test_agents_with_likelihoods_of_their_own(many: int) -> None:
    """Each agent's own A gives what a group of that A gives."""
    chance = np.random.default_rng(many)
    own = chance.dirichlet(np.ones(many), size=(4, 2)).transpose(2, 0, 1)
    prior = jnp.asarray(chance.dirichlet(np.ones(4), size=2).T, jnp.float32)
    obs = jnp.asarray([[1, many - 1]])
    models = [Model.of([own[..., n]], [np.eye(4)[:, :, None]]) for n in (0, 1)]
    tables = tables_of(models[0])._replace(A=(jnp.asarray(own, jnp.float32),))
    (belief,), energy = infer(models[0], tables, (prior,), obs)
    for n, model in enumerate(models):
        (alone,), surprise = infer(
            model, tables_of(model), (prior[:, n:][:, :1],), obs[:, n:][:, :1]
        )
        np.testing.assert_allclose(belief[:, n], alone[:, 0], atol=1e-6)
        np.testing.assert_allclose(energy[n], surprise[0], atol=1e-6)
