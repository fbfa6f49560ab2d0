"""What agents believe, expect, choose and learn agrees with pymdp 1.0.4 and with pymdp.legacy.

`make test` looks at a few shapes of models, `make test-all` at HOCKET_SHAPES of them; each has
several agents with random beliefs, observations and actions, and half of them have zeros
everywhere.
pymdp runs in 64-bit floats, so that what is measured in 32-bit floats is our own rounding.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.population import oracles
from tests.population.shapes import SHAPES, agents_of, model_of, shape_of

from hocket.population.choice import policy_posterior
from hocket.population.inference import infer
from hocket.population.learning import Counts, Learning, count_A, count_B, expected, learn
from hocket.population.model import Model
from hocket.population.planning import Planner, predict
from hocket.population.tables import Tables, tables_of

BOUNDS = {"float32": 1e-5, "float64": 1e-9}


def ours(model: Model, agents: dict[str, Any], dtype: str) -> dict[str, Any]:
    """One tick of the same agents, with what each learns of it."""
    planner = Planner(model)

    def tick(tables: Tables, prior: Any, before: Any, obs: Any, action: Any) -> dict[str, Any]:
        posterior, free_energy = infer(model, tables, prior, obs)
        tables = tables._replace(plan=planner.prepare(tables))
        terms = planner.terms(tables, posterior)
        one = jnp.ones(obs.shape[1], obs.dtype)
        counts_A = count_A(model, obs, posterior, one, own=True)
        counts_B = count_B(model, before, posterior, action, one, own=True)
        pA = [p[..., None] + oracles.RATE * new for p, new in zip(tables.pA, counts_A, strict=True)]
        pB = [p[..., None] + oracles.RATE * new for p, new in zip(tables.pB, counts_B, strict=True)]
        neg_efe = planner.neg_efe(tables, posterior)
        return {
            "posterior": list(posterior),
            "free energy": free_energy,
            "utility": terms.utility,
            "state information": terms.state_information,
            "parameter information": terms.parameter_information,
            "policies": policy_posterior(neg_efe, tables.gamma, tables.habit),
            "prediction": list(predict(model, tables, posterior, action)),
            "pA": pA,
            "A": [expected(counts) for counts in pA],
            "pB": pB,
            "B": [expected(counts) for counts in pB],
        }

    with jax.enable_x64(dtype == "float64"):
        found = jax.jit(tick, compiler_options=oracles.SOON if dtype == "float64" else {})(
            tables_of(model, dtype),
            tuple(jnp.asarray(belief, dtype) for belief in agents["prior"]),
            tuple(jnp.asarray(belief, dtype) for belief in agents["before"]),
            jnp.asarray(agents["obs"]),
            jnp.asarray(agents["action"]),
        )
        assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {dtype}
        return jax.tree.map(np.asarray, found)


@cache
def case(number: int) -> tuple[Model, dict[str, Any]]:
    shape = shape_of(number)
    return model_of(shape), agents_of(shape)


@cache
def found(number: int, dtype: str) -> dict[str, Any]:
    return ours(*case(number), dtype)


def error(mine: Any, theirs: Any) -> float:
    """The greatest error of all numbers, as a share of those that are above 1."""
    pairs = zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
    worst = 0.0
    for one, other in pairs:
        assert one.shape == other.shape
        worst = max(worst, float(np.max(np.abs(one - other) / np.maximum(1, np.abs(other)))))
    return worst


@pytest.mark.parametrize("number", range(SHAPES))
def test_a_tick_agrees_with_pymdp(number: int) -> None:
    model, agents = case(number)
    theirs = oracles.pymdp(model, agents)
    errors = {
        dtype: {name: error(found(number, dtype)[name], theirs[name]) for name in theirs}
        for dtype in BOUNDS
    }
    note(number, errors)
    for dtype, bound in BOUNDS.items():
        assert {name: worst for name, worst in errors[dtype].items() if not worst < bound} == {}


@pytest.mark.parametrize("number", range(SHAPES))
def test_a_tick_agrees_with_legacy(number: int) -> None:
    """Legacy adds 1e-16 before a logarithm where 1.0.4 and we cut off at 2.2e-16.

    That is the same where nothing is 0, and something else where an impossible thing is seen; so
    posteriors are compared without zeros, and all else from the same posterior.
    Its utility takes ln softmax(C), a constant less for each modality and step; its information
    gain adds e^-16 before the logarithm, and so does its policy posterior by way of it.
    Its parameter information is another formula (1/sum - 1/count), and is not compared.
    """
    model, agents = case(number)
    mine, zeros = found(number, "float64"), shape_of(number).zeros
    prior = [belief[:, 0] for belief in agents["prior"]]
    before = [belief[:, 0] for belief in agents["before"]]
    obs, action = agents["obs"][:, 0], agents["action"][:, 0]
    posterior = [belief[:, 0] for belief in mine["posterior"]]
    if not zeros:
        theirs, energy = oracles.legacy_states(model, prior, obs)
        assert error(posterior, list(theirs)) < 1e-9
        assert error([mine["free energy"][0]], [np.array(energy)]) < 1e-9
    some = slice(0, 6)
    old = oracles.legacy_policies(model, posterior, model.policies[some])
    utility, states = (mine[name][some, 0] for name in ("utility", "state information"))
    assert error([centred(utility)], [centred(old["utility"])]) < 1e-9
    assert error([states], [old["state information"]]) < 1e-5
    neg_efe = jnp.asarray((utility + states)[:, None])
    q_pi = policy_posterior(neg_efe, jnp.float32(model.gamma), jnp.zeros(len(utility)))
    assert error([np.asarray(q_pi)[:, 0]], [old["policies"]]) < 1e-5 * max(1, model.gamma)
    learned = oracles.legacy_learning(model, posterior, before, obs, action)
    # Legacy does not count what it takes to be impossible; 1.0.4 and we do.
    for name, tables in (("pA", model.A), ("pB", [model.table(f) for f in range(len(model.B))])):
        for counts, other, table in zip(mine[name], learned[name], tables, strict=True):
            possible = table > 0
            assert error([counts[..., 0][possible]], [other[possible]]) < 1e-9
    with jax.enable_x64(True):
        tables = learn(
            Learning(D=True, rate=oracles.RATE),
            tables_of(model, "float64"),
            Counts(D=tuple(jnp.asarray(belief) for belief in posterior)),
        )
        assert error([np.asarray(new) for new in tables.pD], learned["pD"]) < 1e-9


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def note(number: int, errors: dict[str, dict[str, float]]) -> None:
    """Keep the errors, where HOCKET_ERRORS names a file for them."""
    path = os.environ.get("HOCKET_ERRORS")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"shape": number, **errors}) + "\n")
