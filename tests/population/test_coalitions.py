"""Coalitions by ability: what they can do, who is in them, and how near the best they come."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.errors import SpecError
from hocket.population.coalitions import Coalitions, coverage, form, value

AGENTS, TASKS = 6, 2


@partial(jax.jit, static_argnames=("size", "cost"))
def formed(able: Any, needed: Any, alive: Any, size: int = 32, cost: float = 0.0) -> Any:
    ids = jnp.arange(able.shape[0], dtype=jnp.uint32)
    return form(able, needed, ids, alive, size=size, cost=cost)


def bits(*values: int) -> jax.Array:
    return jnp.array(values, jnp.uint32)


@settings(max_examples=60, deadline=None)
@given(
    able=st.lists(st.integers(0, 31), min_size=AGENTS, max_size=AGENTS),
    needed=st.lists(st.integers(1, 31), min_size=TASKS, max_size=TASKS),
    living=st.lists(st.booleans(), min_size=AGENTS, max_size=AGENTS),
    size=st.sampled_from([1, 2, 32]),
)
def test_members_are_alive_few_enough_and_each_adds_something(
    able: list[int], needed: list[int], living: list[bool], size: int
) -> None:
    membership = np.asarray(formed(bits(*able), bits(*needed), jnp.array(living), size=size))
    assert ((membership >= -1) & (membership < TASKS)).all()
    assert (membership[~np.array(living)] == -1).all()
    for task in range(TASKS):
        members = np.flatnonzero(membership == task)
        assert len(members) <= size
        for agent in members:
            assert able[agent] & needed[task]
        others = [able[a] for a in range(AGENTS) if membership[a] < 0 and living[a]]
        if len(members) < size:
            lacking = needed[task] & ~int(np.bitwise_or.reduce([0, *(able[a] for a in members)]))
            assert not any(other & lacking for other in others), "one who could help stays out"


def best(able: list[int], needed: list[int]) -> float:
    """The most that coalitions of these agents can be worth."""
    worth = 0.0
    for chosen in product(range(-1, TASKS), repeat=AGENTS):
        total = 0.0
        for task, wanted in enumerate(needed):
            can = 0
            for agent, where in enumerate(chosen):
                can |= able[agent] if where == task else 0
            total += (can & wanted).bit_count() / wanted.bit_count()
        worth = max(worth, total)
    return worth


def test_greedy_coalitions_come_near_the_best_there_are() -> None:
    chance = np.random.default_rng(0)
    shares = []
    for _ in range(20):
        able = [int(a) for a in chance.integers(1, 32, AGENTS)]
        needed = [int(n) for n in chance.integers(1, 32, TASKS)]
        found = formed(bits(*able), bits(*needed), jnp.ones(AGENTS, bool))
        worth = float(value(bits(*able), bits(*needed), found).sum())
        shares.append(worth / best(able, needed))
    assert min(shares) >= 0.75
    assert float(np.mean(shares)) >= 0.95


def test_the_rare_ability_is_not_spent_where_others_will_do() -> None:
    # Only agent 2 can do the second thing; it is put where that is needed.
    found = formed(bits(1, 1, 3), bits(1, 2), jnp.ones(3, bool))
    assert found.tolist() == [0, -1, 1]


def test_coverage_and_cost_make_the_value() -> None:
    able, needed = bits(1, 2, 4, 8), bits(3, 12)
    membership = jnp.array([0, -1, 1, 1])
    assert coverage(able, needed, membership).tolist() == [0.5, 1.0]
    assert value(able, needed, membership, 0.1).tolist() == pytest.approx([0.4, 0.8])
    dear = formed(able, needed, jnp.ones(4, bool), cost=0.6)
    assert dear.tolist() == [-1] * 4, "nobody joins who costs more than it adds"


def test_all_of_a_population_join_when_there_is_room_for_all() -> None:
    fours = Coalitions(abilities=(1, 2, 4, 8), needed=(15,) * 50)
    ids = jnp.arange(1000, 1200, dtype=jnp.uint32)
    membership = np.asarray(jax.jit(fours.membership)(ids, jnp.ones(200, bool)))
    assert np.bincount(membership).tolist() == [4] * 50
    assert membership[:4].tolist() == [0] * 4, "the oldest come first"
    gone = np.asarray(jax.jit(fours.membership)(ids, jnp.arange(200) >= 4))
    assert (gone[:4] == -1).all()
    assert gone[4:8].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"abilities": ()}, "abilities"),
        ({"needed": ()}, "needed"),
        ({"abilities": (2**32,)}, "32 bits"),
        ({"needed": (0,)}, "needs nothing"),
        ({"size": 0}, "0 members"),
        ({"cost": -1.0}, "below 0"),
    ],
)
def test_coalitions_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Coalitions(**{"abilities": (1,), "needed": (1,), **wrong})
