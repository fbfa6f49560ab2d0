"""Beliefs that are pooled: the formula, who takes part, and that order does not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.errors import SpecError
from hocket.population.coalitions import Coalitions
from hocket.population.group import Group, check_groups
from hocket.population.sharing import MOST, Placed, Sharing, pool
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld
from hocket.population.worlds.sampled import SampledWorld
from hocket.population.worlds.tasks import t_maze
from hocket.population.worlds.world import Across, WorldState

BLOCKS, STATES, LANES, PLACES = 3, 4, 8, 5


@jax.jit
def pooled(beliefs: Any, membership: Any, alive: Any, weight: Any) -> Any:
    return pool(beliefs, membership, PLACES, alive, weight, Across())


def drawn(seed: int) -> tuple[Any, Any, Any]:
    """Beliefs, some of them certain; neighbourhoods, some of them nobody's; and who lives."""
    chance = np.random.default_rng(seed)
    beliefs = chance.dirichlet(np.full(STATES, 0.3), (BLOCKS, LANES)).astype(np.float32)
    beliefs[0, 0] = np.eye(STATES)[0]
    membership = chance.integers(-1, PLACES, (BLOCKS, LANES)).astype(np.int32)
    return np.moveaxis(beliefs, 2, 1), membership, chance.random((BLOCKS, LANES)) < 0.8


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), weight=st.sampled_from([0.1, 0.5, 1.0]))
def test_beliefs_are_pooled_as_the_formula_says(seed: int, weight: float) -> None:
    beliefs, membership, alive = drawn(seed)
    result = np.asarray(pooled(beliefs, membership, alive, weight))
    logs = np.log(np.maximum(beliefs.astype(np.float64), 1e-16))
    for block, lane in np.ndindex(BLOCKS, LANES):
        own = beliefs[block, :, lane]
        others = (membership == membership[block, lane]) & alive
        if membership[block, lane] < 0 or not alive[block, lane] or others.sum() < 2:
            assert np.array_equal(result[block, :, lane], own), "unchanged, to the bit"
            continue
        theirs = np.mean([logs[b, :, n] for b, n in np.argwhere(others)], axis=0)
        expected = np.exp((1 - weight) * logs[block, :, lane] + weight * theirs)
        assert result[block, :, lane] == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_the_result_is_the_same_to_the_bit_in_whatever_order_agents_stand() -> None:
    beliefs, membership, alive = drawn(1)
    order = np.random.default_rng(2).permutation(BLOCKS * LANES)

    def turned(array: Any) -> Any:
        flat = np.moveaxis(array, -1, 1).reshape(BLOCKS * LANES, *array.shape[1:-1])[order]
        return np.moveaxis(flat.reshape(BLOCKS, LANES, *array.shape[1:-1]), 1, -1)

    straight = np.asarray(pooled(beliefs, membership, alive, 0.5))
    other = np.asarray(pooled(turned(beliefs), turned(membership), turned(alive), 0.5))
    assert np.array_equal(turned(straight), other)
    assert not np.array_equal(straight, beliefs)


def test_who_goes_on_telling_the_same_does_not_grow_more_certain() -> None:
    believed = jnp.tile(jnp.array([0.7, 0.1, 0.1, 0.1])[:, None], (BLOCKS, 1, LANES))
    together = jnp.zeros((BLOCKS, LANES), jnp.int32)
    after = believed
    for _ in range(20):
        after = pooled(after, together, together == 0, 0.5)
    assert np.asarray(after) == pytest.approx(np.asarray(believed), abs=1e-4)


def test_one_who_is_certain_does_not_silence_the_others() -> None:
    beliefs = np.full((1, 2, 128), 0.5, np.float32)
    beliefs[0, :, 0] = [1, 0]
    beliefs[0, :, 1:] = np.array([0.1, 0.9])[:, None]
    everybody = jnp.zeros((1, 128), jnp.int32)
    after = pool(jnp.asarray(beliefs), everybody, 1, everybody == 0, 1.0, Across())
    assert (np.asarray(after)[0, 1] > 0.8).all()


def test_neighbourhoods_are_squares_of_the_world() -> None:
    world = GridWorld(height=5, width=7)
    assert isinstance(world, Placed)
    assert not isinstance(SampledWorld(t_maze()), Placed)
    state = WorldState({"cell": jnp.arange(35)}, {})
    squares = np.asarray(world.neighbourhood(state, 3)).reshape(5, 7)
    assert world.neighbourhoods(3) == 6
    assert squares[0].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert squares[:, 0].tolist() == [0, 0, 0, 3, 3]
    assert squares.max() == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"with_": "strangers"}, "strangers"),
        ({"weight": 0.0}, "weight"),
        ({"weight": 1.1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"reach": 0}, "reach"),
        ({"every": 0}, "every"),
        ({"factor": -1}, "factor"),
        ({"with_": "coalition"}, "coalitions"),
    ],
)
def test_sharing_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Sharing(**wrong)


def test_more_agents_than_can_be_added_up_do_not_share() -> None:
    world = GridWorld(height=5, width=7)
    crowd = Group(name="crowd", model=grid_model(world), agents=MOST + 1, sharing=Sharing())
    with pytest.raises(SpecError, match="at most 4,194,304 can"):
        check_groups([crowd], world)
    check_groups([replace(crowd, agents=MOST)], world)


def test_pooled_logarithms_are_as_exact_as_is_said() -> None:
    believed = np.random.default_rng(5).dirichlet(np.full(STATES, 0.3), LANES).T[None]
    believed[0, :, 0] = np.eye(STATES)[0]
    logs = np.log(np.maximum(believed, 1e-16))
    expected = 0.5 * logs + 0.5 * logs.mean(axis=2, keepdims=True)
    expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    together = jnp.zeros((1, LANES), jnp.int32)
    for dtype, most in (("float32", 5e-6), ("float64", 2 * 2.4e-7)):
        with jax.enable_x64(dtype == "float64"):
            given = jnp.asarray(believed, dtype)
            after = pool(given, together, 1, together == 0, 0.5, Across())
            assert np.abs(np.log(np.asarray(after, np.float64)) - expected).max() < most


def test_sharing_in_coalitions_says_how_they_are_formed() -> None:
    fours = Coalitions(abilities=(1, 2), needed=(3,))
    assert Sharing(with_="coalition", coalitions=fours).coalitions is fours
