"""Planning: sparse transitions, agents' own preferences and tables, and what is shared by policies.

That the terms are pymdp's is what `test_agreement` says.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.population.shapes import agents_of, model_of, shape_of

from hocket.population.linear import LinearPlanner, is_linear
from hocket.population.model import Model
from hocket.population.planning import Planner, predict
from hocket.population.policies import every_policy
from hocket.population.tables import tables_of
from hocket.population.transitions import Dense, Grid

GRID = Grid(2, 3, moves=((-1, 0), (0, 1), (0, 0)), slip=0.2)


def grid_model(move: object, policies: np.ndarray | None = None) -> Model:
    """A place on a grid, a mood that depends on itself and the place, and what shows of them."""
    chance = np.random.default_rng(5)
    return Model.of(
        [
            chance.dirichlet(np.ones(3), size=6).T,
            chance.dirichlet(np.ones(2), size=(6, 2)).transpose(2, 0, 1),
        ],
        [move, chance.dirichlet(np.ones(2), size=(6, 2, 2)).transpose(3, 0, 1, 2)],
        [chance.normal(size=3), chance.normal(size=(2, 2))],
        A_dependencies=[[0], [0, 1]],
        B_dependencies=[[0], [0, 1]],
        policies=policies,
        policy_length=2,
    )


def beliefs_of(model: Model, agents: int) -> tuple[jax.Array, ...]:
    chance = np.random.default_rng(6)
    return tuple(
        jnp.asarray(chance.dirichlet(np.ones(many), size=agents).T, jnp.float32)
        for many in model.states
    )


@pytest.mark.parametrize("move", [GRID, GRID.lists()], ids=["grid", "lists"])
def test_sparse_transitions_are_worth_what_their_table_is(move: object) -> None:
    sparse, dense = grid_model(move), grid_model(Dense(GRID.dense()))
    beliefs = beliefs_of(dense, 4)
    found = jax.jit(Planner(sparse).neg_efe)(tables_of(sparse), beliefs)
    wanted = jax.jit(Planner(dense).neg_efe)(tables_of(dense), beliefs)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    action = jnp.asarray([[0, 1, 2, 0], [1, 0, 1, 0]])
    for one, other in zip(
        predict(sparse, tables_of(sparse), beliefs, action),
        predict(dense, tables_of(dense), beliefs, action),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_any_set_of_policies_is_worth_what_its_policies_are() -> None:
    """In any order, with one twice and some beginnings missing."""
    everything = grid_model(GRID)
    some = np.array([17, 3, 3, 30, 8, 0])
    few = grid_model(GRID, everything.policies[some])
    beliefs = beliefs_of(few, 3)
    found = jax.jit(Planner(few).terms)(tables_of(few), beliefs)
    wanted = jax.jit(Planner(everything).terms)(tables_of(everything), beliefs)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other[some], atol=1e-6)


def test_what_begins_alike_is_predicted_once() -> None:
    """Two factors of two and three actions, each for itself, three steps ahead."""
    model = Model.of(
        [np.full((2, 2), 0.5), np.full((2, 2), 0.5)],
        [np.full((2, 2, 2), 0.5), np.full((2, 2, 3), 0.5)],
        A_dependencies=[[0], [1]],
        policies=every_policy([2, 3], 3),
    )
    planner = Planner(model)
    assert [[len(b.sources[0]) for b in step] for step in planner.factors] == [
        [2, 3],
        [4, 9],
        [8, 27],
    ]
    assert [[len(b.sources[0]) for b in step] for step in planner.modalities] == [
        [2, 3],
        [4, 9],
        [8, 27],
    ]


@pytest.mark.parametrize("left_out", ["utility", "state_information", "parameter_information"])
def test_a_term_that_is_left_out_is_nothing_and_the_others_stay(left_out: str) -> None:
    whole = model_of(shape_of(1))
    part = replace(whole, **{left_out: False})
    beliefs = tuple(jnp.asarray(belief, jnp.float32) for belief in agents_of(shape_of(1))["prior"])
    terms = jax.jit(Planner(whole).terms)(tables_of(whole), beliefs)
    rest = jax.jit(Planner(part).terms)(tables_of(part), beliefs)
    for name, value in terms._asdict().items():
        assert np.abs(value).max() > 1e-3
        np.testing.assert_allclose(
            getattr(rest, name), np.zeros_like(value) if name == left_out else value, atol=1e-6
        )
    total = jax.jit(Planner(part).neg_efe)(tables_of(part), beliefs)
    np.testing.assert_allclose(total, sum(rest), atol=1e-6)


def test_agents_with_preferences_of_their_own() -> None:
    """Of a modality whose preferences are the same at each step, and of one whose differ."""
    model = grid_model(GRID)
    beliefs, chance = beliefs_of(model, 3), np.random.default_rng(9)
    own = [chance.normal(size=(*wanted.shape, 3)) for wanted in model.C]
    planner, tables = Planner(model), tables_of(model)
    score = jax.jit(planner.neg_efe)
    found = score(tables, beliefs, tuple(jnp.asarray(wanted, jnp.float32) for wanted in own))
    for n in range(3):
        wanted = score(tables, beliefs, tuple(jnp.asarray(one[..., n], jnp.float32) for one in own))
        np.testing.assert_allclose(found[:, n], wanted[:, n], atol=1e-6)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-2


def test_one_product_for_all_policies_is_worth_the_same() -> None:
    """Where preferences differ by step and agent too."""
    model = Model.of(
        [np.random.default_rng(1).dirichlet(np.ones(3), size=6).T],
        [GRID],
        [np.random.default_rng(2).normal(size=(3, 2))],
        policy_length=2,
    )
    assert is_linear(model)
    beliefs = beliefs_of(model, 4)
    own = (jnp.asarray(np.random.default_rng(3).normal(size=(3, 2, 4)), jnp.float32),)
    linear = LinearPlanner(model)
    tables = tables_of(model)
    ready = tables._replace(plan=linear.prepare(tables))
    for wanted in (tables.C, own):
        np.testing.assert_allclose(
            jax.jit(linear.neg_efe)(ready, beliefs, wanted),
            jax.jit(Planner(model).neg_efe)(tables, beliefs, wanted),
            atol=2e-6,
        )


def test_agents_with_tables_of_their_own() -> None:
    """Each agent's own A, B and counts give what a group of these gives."""
    shape = shape_of(1)
    models = [model_of(replace(shape, number=number)) for number in (1, 101)]
    models[1] = replace(models[1], policies=models[0].policies, gamma=models[0].gamma)
    model = models[0]
    each = [tables_of(one) for one in models]

    def both(name: str) -> tuple[jax.Array, ...]:
        pairs = zip(*(getattr(tables, name) for tables in each), strict=True)
        return tuple(jnp.stack(pair, axis=-1) for pair in pairs)

    own = each[0]._replace(
        A=both("A"),
        B=tuple(
            {"table": jnp.stack([moves["table"] for moves in pair], axis=-1)}
            for pair in zip(*(tables.B for tables in each), strict=True)
        ),
        C=each[0].C,
        pA=both("pA"),
        pB=both("pB"),
    )
    beliefs = tuple(jnp.asarray(b, jnp.float32)[:, :2] for b in agents_of(shape)["prior"])
    action = jnp.asarray(agents_of(shape)["action"][:, :2])
    plan = jax.jit(Planner(model).terms)
    found = plan(own, beliefs)
    expect = jax.jit(lambda tables, *given: predict(model, tables, *given))
    ahead = expect(own, beliefs, action)
    for n, tables in enumerate(each):
        alone = plan(tables._replace(C=each[0].C), beliefs)
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_allclose(one[:, n], other[:, n], rtol=1e-5, atol=1e-5)
        for one, other in zip(ahead, expect(tables, beliefs, action), strict=True):
            np.testing.assert_allclose(one[:, n], other[:, n], atol=1e-6)
