"""All policies in one product give what following each of them gives."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hocket.population import Grid, Model
from hocket.population.linear import LinearPlanner, is_linear
from hocket.population.planning import Planner
from hocket.population.policies import every_policy, sampled_policies
from hocket.population.tables import tables_of


def one_factor(length: int, kind: str) -> Model:
    chance = np.random.default_rng(length)
    grid = Grid(3, 3, slip=0.2)
    move = {"grid": grid, "lists": grid.lists(), "table": grid.dense()}[kind]
    return Model.of(
        [chance.dirichlet(np.ones(4), size=9).T, chance.dirichlet(np.ones(2), size=9).T],
        [move],
        [chance.normal(size=4), chance.normal(size=2)],
        policy_length=length,
    )


def two_factors() -> Model:
    chance = np.random.default_rng(7)
    return Model.of(
        [chance.dirichlet(np.ones(4), size=6).T, chance.dirichlet(np.ones(3), size=4).T],
        [
            chance.dirichlet(np.ones(6), size=(6, 3)).transpose(2, 0, 1),
            chance.dirichlet(np.ones(4), size=(4, 2)).transpose(2, 0, 1),
        ],
        [chance.normal(size=(4, 2)), chance.normal(size=3)],
        A_dependencies=[[0], [1]],
        policy_length=2,
    )


def sampled() -> Model:
    whole = one_factor(1, "grid")
    return Model.of(whole.A, whole.B, whole.C, policies=sampled_policies([5], 5, 40, seed=2))


@pytest.mark.parametrize(
    "model",
    [
        one_factor(1, "grid"),
        one_factor(2, "lists"),
        one_factor(2, "table"),
        one_factor(3, "grid"),
        two_factors(),
        sampled(),
    ],
)
def test_the_product_equals_following_each_policy(model: Model) -> None:
    assert is_linear(model)
    chance = np.random.default_rng(1)
    beliefs = [chance.dirichlet(np.ones(states) * 0.3, size=8).T for states in model.states]
    with jax.enable_x64(True):
        bare = tables_of(model, "float64")
        results = []
        for planner in (LinearPlanner(model), Planner(model)):
            tables = bare._replace(plan=jax.jit(planner.prepare)(bare))
            posterior = tuple(jax.numpy.asarray(belief) for belief in beliefs)
            results.append(np.asarray(jax.jit(planner.neg_efe)(tables, posterior, bare.C)))
    assert results[0].shape == (len(model.policies), 8)
    assert np.abs(results[0] - results[1]).max() < 1e-11


def test_rows_are_those_of_the_sequences_and_no_more() -> None:
    assert LinearPlanner(one_factor(3, "grid")).rows == 155 * (5 + 3)


def test_models_that_are_not_linear_are_told_apart() -> None:
    joint = Model.of([np.full((2, 3, 4), 0.5)], [np.eye(3)[..., None], np.eye(4)[..., None]])
    assert not is_linear(joint)


def test_policies_are_those_of_the_grid_of_actions() -> None:
    policies = every_policy([2, 1, 3], 2)
    assert policies.shape == (36, 2, 3)
    assert policies[1].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert len({row.tobytes() for row in policies}) == 36


def test_sampled_policies_are_different_and_hold_each_action_throughout() -> None:
    some = sampled_policies([4], 6, 50, seed=1)
    assert some.shape == (50, 6, 1)
    assert len({row.tobytes() for row in some}) == 50
    for action in range(4):
        assert [action] * 6 in some[:, :, 0].tolist()
    assert sampled_policies([4], 6, 50, seed=1).tolist() == some.tolist()
    assert sampled_policies([4], 6, 50, seed=2).tolist() != some.tolist()
    assert sampled_policies([2], 2, 50).tolist() == every_policy([2], 2).tolist()
