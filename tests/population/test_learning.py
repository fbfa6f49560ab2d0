"""Learning: pymdp's agent learns the same of two steps; who is not there teaches nothing.

That the counts of one step are those of pymdp 1.0.4 and legacy is what `test_agreement` says.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymdp.agent import Agent
from tests.population import oracles
from tests.population.shapes import AGENTS, agents_of, model_of, shape_of

from hocket.core.errors import SpecError
from hocket.population.group import Group
from hocket.population.learning import (
    Counts,
    Learning,
    count_A,
    count_B,
    count_D,
    expected,
    learn,
)
from hocket.population.mind import FullMind, MindState, Thought
from hocket.population.model import FLOOR, Model
from hocket.population.reference import ReferenceAgent
from hocket.population.tables import Tables, tables_of
from hocket.population.transitions import Grid

NUMBER = 4


def test_an_agent_of_pymdp_learns_the_same_of_two_steps() -> None:
    """`infer_parameters` takes both steps' observations, and the action between them."""
    model, given = model_of(shape_of(NUMBER)), agents_of(shape_of(NUMBER))
    later = agents_of(replace(shape_of(NUMBER), number=NUMBER + 100))
    with jax.enable_x64(True):
        ready = oracles.arrays(model)
        agent = Agent(
            **{name: ready[name] for name in ("A", "B", "C", "pA", "pB")},
            A_dependencies=oracles.lists(model.A_dependencies),
            B_dependencies=oracles.lists(model.B_dependencies),
            policies=jnp.asarray(model.policies),
            batch_size=AGENTS,
            learn_A=True,
            learn_B=True,
        )
        history = [
            jnp.asarray(np.stack([before.T, after.T], axis=1))
            for before, after in zip(given["prior"], later["prior"], strict=True)
        ]
        obs = [
            jnp.asarray(np.stack([one, other], axis=1))
            for one, other in zip(given["obs"], later["obs"], strict=True)
        ]
        learned = eqx.filter_jit(
            lambda agent, *said: agent.infer_parameters(*said, lr_pA=0.5, lr_pB=0.5)
        )(agent, history, obs, jnp.asarray(given["action"].T[:, None]))

        @jax.jit
        def ours(tables: Tables) -> Counts:
            one = jnp.ones(AGENTS)
            before, after = tuple(given["prior"]), tuple(later["prior"])
            first = count_A(model, given["obs"], before, one, own=True)
            second = count_A(model, later["obs"], after, one, own=True)
            return Counts(
                tuple(a + b for a, b in zip(first, second, strict=True)),
                count_B(model, before, after, given["action"], one, own=True),
            )

        counts = ours(tables_of(model, "float64"))
        own = tables_of(model, "float64")
        own = own._replace(
            pA=tuple(p[..., None] for p in own.pA), pB=tuple(p[..., None] for p in own.pB)
        )
        mine = learn(Learning(A=True, B=True, rate=0.5, per="agent"), own, counts)
    pairs = [
        *zip(mine.pA, learned.pA, strict=True),
        *zip(mine.pB, learned.pB, strict=True),
        *zip(mine.A, learned.A, strict=True),
        *zip((moves["table"] for moves in mine.B), learned.B, strict=True),
    ]
    for one, other in pairs:
        np.testing.assert_allclose(np.moveaxis(one, -1, 0), other, rtol=1e-9, atol=1e-9)


def test_who_is_not_there_teaches_nothing() -> None:
    model, given = model_of(shape_of(NUMBER)), agents_of(shape_of(NUMBER))
    alive = np.array([True, False, True, False, False])
    some = jax.tree.map(lambda values: values[..., alive], given)

    def counted(these: dict, weight: np.ndarray) -> list:
        beliefs, before = (
            tuple(jnp.asarray(belief, jnp.float32) for belief in these[name])
            for name in ("prior", "before")
        )
        return [
            count_A(model, these["obs"], beliefs, jnp.asarray(weight)),
            count_B(model, before, beliefs, these["action"], jnp.asarray(weight)),
            count_D(beliefs, jnp.asarray(weight)),
        ]

    found, wanted = counted(given, alive), counted(some, np.ones(2, bool))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        # Two agents were there: each counts once.
    assert [round(float(counts.sum()), 4) for counts in jax.tree.leaves(found)] == [2] * (
        len(model.A) + 2 * len(model.B)
    )


def test_a_group_learns_what_its_agents_learn_together() -> None:
    model, given = model_of(shape_of(NUMBER)), agents_of(shape_of(NUMBER))
    after, before = (
        tuple(jnp.asarray(belief, jnp.float32) for belief in given[name])
        for name in ("prior", "before")
    )
    weight = jnp.asarray([1.0, 0.0, 1.0, 1.0, 0.0])

    @partial(jax.jit, static_argnames="own")
    def counts(own: bool) -> Counts:
        return Counts(
            count_A(model, given["obs"], after, weight, own=own),
            count_B(model, before, after, given["action"], weight, own=own),
            count_D(after, weight, own=own),
        )

    together, each = counts(own=False), counts(own=True)
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(each), strict=True):
        np.testing.assert_allclose(one, other.sum(axis=-1), rtol=1e-5, atol=1e-6)
    tables = tables_of(model)
    learned = learn(Learning(A=True, B=True, rate=0.5), tables, together)
    for new, old, many in zip(learned.pA, tables.pA, each.A, strict=True):
        np.testing.assert_allclose(new, old + many.sum(axis=-1) / 2, rtol=1e-5)
    for table, dirichlet in zip(learned.A, learned.pA, strict=True):
        np.testing.assert_allclose(table, expected(dirichlet))
    for moves, dirichlet in zip(learned.B, learned.pB, strict=True):
        np.testing.assert_allclose(moves["table"], expected(dirichlet))


def test_only_what_is_to_be_learned_changes() -> None:
    model = model_of(shape_of(NUMBER))
    tables = tables_of(model)
    ones = Counts(
        *(tuple(jnp.ones_like(p) for p in ps) for ps in (tables.pA, tables.pB, tables.pD))
    )
    learned = learn(Learning(D=True, rate=2), tables, ones)
    assert learned.A is tables.A and learned.B is tables.B
    for before, after, belief in zip(tables.pD, learned.pD, learned.D, strict=True):
        np.testing.assert_allclose(after, before + 2, rtol=1e-6)
        np.testing.assert_allclose(belief, after / after.sum(), rtol=1e-6)
    assert learned.plan == {}


def test_counts_of_nothing_are_not_impossible() -> None:
    """As in pymdp, no expected probability is below the floor."""
    found = expected(jnp.asarray([[0.0, 3.0], [0.0, 1.0]]))
    np.testing.assert_allclose(found, [[0.5, 0.75], [0.5, 0.25]])


def test_what_cannot_be_learned_is_said() -> None:
    model = Model.of([np.eye(4)], [Grid(2, 2)])
    Learning().check(model)
    with pytest.raises(SpecError) as refused:
        Learning(A=True, B=True, rate=0, every=0).check(model)
    assert [problem.where for problem in refused.value.problems] == [
        ("learning", "A"),
        ("learning", "B"),
        ("learning", "B"),
        ("learning", "rate"),
        ("learning", "every"),
    ]
    assert "no pA" in str(refused.value)
    assert "is no table" in str(refused.value)


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("float64", 1e-9)])
def test_what_is_hardly_possible_stays_so_in_narrow_numbers(dtype: str, close: float) -> None:
    """A count of 1e-46 makes an observation possible, and what is possible has a novelty."""
    chance = np.random.default_rng(2)

    def counts(*size: int) -> np.ndarray:
        values = np.where(chance.random(size) < 0.4, 0, chance.gamma(0.7, size=size))
        values[0] += values.sum(axis=0) == 0
        return values

    pA, pB = [counts(4, 5), counts(3, 5)], [counts(5, 5, 3)]
    model = Model.of(
        [expectations(p) for p in pA],
        [expectations(p) for p in pB],
        [chance.normal(size=4), chance.normal(size=3)],
        [np.array([0.5, 0, 0.5, 0, 0])],
        pA=pA,
        pB=pB,
        parameter_information=True,
        inference="exact",
        policy_length=2,
    )
    steps, both = 10, Learning(A=True, B=True, per="agent")
    seen = np.stack([chance.integers(0, many, steps) for many in (4, 3)], axis=1)
    with jax.enable_x64(dtype == "float64"):
        mind = FullMind(Group(name="one", model=model, agents=1, learning=both))
        tables = mind.tables(dtype)
        state = mind.blank(tables, 1)

        @jax.jit
        def think(state: MindState, seen: jax.Array) -> tuple[jax.Array, Thought]:
            own = tables._replace(**{name: state[name] for name in ("pA", "pB")})
            own = learn(both, own, jax.tree.map(jnp.zeros_like, Counts(own.pA, own.pB)))
            _, posterior, _ = mind.infer(own, state, seen)
            nothing = jnp.zeros((0, 1))
            thought = mind.think(tables, state, seen, nothing, jnp.ones(1, bool))
            return mind.planner.neg_efe(own, posterior), thought

        agent = ReferenceAgent(model)
        # Agents that learn alone have what their counts say from the beginning.
        agent.A = [expectations(np.maximum(p, FLOOR)) for p in pA]
        agent.B = [expectations(np.maximum(p, FLOOR)) for p in pB]
        for obs in seen.tolist():
            neg_efe, thought = think(state, jnp.array(obs)[:, None])
            state = thought.state
            agent.infer_states(obs)
            agent.infer_policies()
            np.testing.assert_allclose(neg_efe[:, 0], agent.neg_efe, rtol=close, atol=close)
            before = agent.action
            now = agent.sample_action()
            assert thought.actions[:, 0].tolist() == now
            agent.action = before
            agent.update(obs, A=True, B=True)
            agent.action = now
        learned = [*agent.pA, *agent.pB] if agent.pA and agent.pB else []
        for mine, other in zip([*state["pA"], *state["pB"]], learned, strict=True):
            np.testing.assert_allclose(mine[..., 0], other, rtol=close, atol=close)


def expectations(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=0)
