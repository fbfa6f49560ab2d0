"""The reference agent: the same numbers as pymdp, and the same life as the arrays' agents."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from tests.population import oracles
from tests.population.shapes import AGENTS, model_of, shape_of
from tests.population.test_agreement import case, error, found

from hocket.population.choice import choose, draws_needed
from hocket.population.reference import ReferenceAgent
from hocket.population.tables import tables_of


@pytest.mark.parametrize("number", [3, 5])
def test_a_tick_is_that_of_the_arrays(number: int) -> None:
    """Which is pymdp's, as `test_agreement` says."""
    model, given = case(number)
    mine = found(number, "float64")
    for n in range(AGENTS):
        agent = ReferenceAgent(model)
        agent.expected = [belief[:, n] for belief in given["prior"]]
        # What it believed and did a step before.
        agent.beliefs = [belief[:, n] for belief in given["before"]]
        agent.action = [int(one) for one in given["action"][:, n]]
        obs = [int(one) for one in given["obs"][:, n]]

        def same(name: str, value: Any, n: int = n) -> None:
            wanted = mine[name]
            wanted = [one[..., n] for one in wanted] if isinstance(wanted, list) else wanted[..., n]
            assert error(value, wanted) < 1e-9, name

        same("posterior", agent.infer_states(obs))
        same("free energy", np.float64(agent.free_energy))
        same("policies", agent.infer_policies()[0])
        terms = np.array([agent.terms(policy) for policy in model.policies])
        same("utility", terms[:, 0])
        same("state information", terms[:, 1])
        same("parameter information", terms[:, 2])
        same("prediction", agent.predict(agent.beliefs, agent.action))
        agent.update(obs, A=True, B=True, D=True, rate=oracles.RATE)
        same("pA", agent.pA)
        same("A", agent.A)
        same("pB", agent.pB)
        same("B", agent.B)
        for counts, old, belief in zip(agent.pD, model.pD, agent.beliefs, strict=True):
            np.testing.assert_allclose(counts, old + oracles.RATE * belief * (old > 0))


@pytest.mark.parametrize("sampling", ["full", "marginal"])
def test_it_draws_what_the_arrays_draw(sampling: str) -> None:

    model = model_of(shape_of(2), selection="stochastic", sampling=sampling)
    chance = np.random.default_rng(4)
    many = 40
    q_pi = chance.dirichlet(np.ones(len(model.policies)), size=many).T
    # Of 24 bits, as `draws.uniforms` are.
    uniforms = np.floor(chance.random((draws_needed(model), many)) * 2**24) / 2**24
    together = np.asarray(
        choose(
            model,
            tables_of(model),
            jnp.asarray(q_pi, jnp.float32),
            jnp.asarray(uniforms, jnp.float32),
        )
    )
    for n in range(many):
        agent = ReferenceAgent(model)
        agent.beliefs, agent.q_pi = agent.expected, q_pi[:, n]
        assert agent.sample_action([float(u) for u in uniforms[:, n]]) == list(together[:, n])


def test_its_life_depends_on_its_seed_alone() -> None:
    model, _ = case(2)
    lives = []
    for seed in (1, 1, 2):
        agent = ReferenceAgent(replace(model, selection="stochastic", gamma=0.1), seed=seed)
        lives.append([tuple(agent.step([0] * len(model.A))) for _ in range(12)])
        agent.begin()
        assert agent.beliefs == []
        np.testing.assert_array_equal(agent.expected[0], model.D[0])
    assert lives[0] == lives[1] != lives[2]


def test_it_needs_no_jax() -> None:
    code = "import sys, hocket.population.reference; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
