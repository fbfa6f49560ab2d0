"""Moves give what the whole table gives, however they are kept."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.population.moving import move
from hocket.population.predecessors import predecessors_of
from hocket.population.tables import moves_of
from hocket.population.transitions import Dense, Grid, Lists, Transition

AGENTS = 16


def moved(kind: Transition, belief: Any, action: Any) -> np.ndarray:
    """What `move` makes of it, compiled."""
    static = isinstance(action, int)
    run = partial(move, kind, action=action) if static else partial(move, kind)
    arguments = (jnp.asarray(belief, jnp.float32), *(() if static else (jnp.asarray(action),)))
    return np.asarray(jax.jit(run)(moves_of(kind, jnp.float32), *arguments))


def expected(kind: Transition, belief: np.ndarray, action: Any) -> np.ndarray:
    """The same by the table, in 64 bits, agent by agent."""
    table = kind.dense()
    actions = np.broadcast_to(action, belief.shape[1:])
    columns = [table[:, :, u] @ q for u, q in zip(actions, belief.T, strict=True)]
    return np.stack(columns, axis=1)


def beliefs(states: int, seed: int) -> np.ndarray:
    """Beliefs of which some are certain and some states are impossible."""
    chance = np.random.default_rng(seed)
    raw = chance.dirichlet(np.full(states, 0.3), size=AGENTS).T
    raw[:, 0] = np.eye(states)[chance.integers(states)]
    return raw


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    steps = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
    walls = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return Grid(
        height,
        width,
        moves=tuple(draw(st.lists(steps, min_size=1, max_size=4))),
        slip=draw(st.sampled_from([0.0, 0.25, 1.0])),
        walls=draw(st.sampled_from([None, np.array(walls).reshape(height, width)])),
    )


@st.composite
def lists(draw: st.DrawFn) -> Lists:
    """Lists in which states may follow twice, weigh nothing, or be where nearly all lead."""
    actions, states, many = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 3)),
    )
    chance = np.random.default_rng(draw(st.integers(0, 2**16)))
    following = chance.integers(0, states, (actions, states, many))
    popular = chance.random(following.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    following = np.where(popular, draw(st.integers(0, states - 1)), following)
    weight = chance.random(following.shape) * (chance.random(following.shape) < 0.8)
    weight[..., 0] += 0.1
    return Lists(following.astype(np.int32), weight / weight.sum(-1, keepdims=True))


@settings(max_examples=12, deadline=None)
@given(grids(), st.integers(0, 2**16))
def test_a_grid_moves_as_its_table_does(grid: Grid, seed: int) -> None:
    belief = beliefs(grid.states, seed)
    action = np.random.default_rng(seed).integers(0, grid.actions, AGENTS)
    for each in (action, np.int32(grid.actions - 1), grid.actions - 1):
        result = moved(grid, belief, each)
        assert np.abs(result - expected(grid, belief, each)).max() < 1e-6
        assert np.abs(result.sum(0) - 1).max() < 1e-6


@settings(max_examples=12, deadline=None)
@given(lists(), st.integers(0, 2**16))
def test_lists_move_as_their_table_does(kind: Lists, seed: int) -> None:
    belief = beliefs(kind.states, seed)
    action = np.random.default_rng(seed).integers(0, kind.actions, AGENTS)
    for each in (action, kind.actions - 1):
        result = moved(kind, belief, each)
        assert np.abs(result - expected(kind, belief, each)).max() < 1e-6


def test_a_table_moves_each_agent_by_its_own_action() -> None:
    chance = np.random.default_rng(3)
    kind = Dense(chance.dirichlet(np.ones(7), size=(7, 3)).transpose(2, 0, 1))
    belief, action = beliefs(7, 3), chance.integers(0, 3, AGENTS)
    for each in (action, np.int32(2), 2):
        assert np.abs(moved(kind, belief, each) - expected(kind, belief, each)).max() < 1e-6


def test_a_big_world_takes_less_than_a_megabyte_as_lists() -> None:
    grid = Grid(100, 100, slip=0.1)
    kept = moves_of(grid.lists(), jnp.float32)
    assert sum(array.nbytes for array in kept.values()) < 1_000_000
    belief = beliefs(grid.states, 5)
    action = np.random.default_rng(5).integers(0, 5, AGENTS)
    difference = moved(grid, belief, action) - moved(grid.lists(), belief, action)
    assert np.abs(difference).max() < 1e-6


@pytest.mark.parametrize("states", [9, 70, 5000])
def test_where_all_lead_to_one_state_nothing_grows_with_the_square(states: int) -> None:
    kind = Lists(np.zeros((2, states, 1), np.int32), np.ones((2, states, 1)))
    before = predecessors_of(kind)
    entries = before.few.source.size + sum(stage.source.size for stage in before.many)
    assert entries < 2 * states * 3 + 100
    result = moved(kind, beliefs(states, 1), np.zeros(AGENTS, int))
    assert np.abs(result[0] - 1).max() < 1e-6
    assert not result[1:].any()


def test_what_is_said_of_a_transitions_size_is_what_it_takes() -> None:
    grid = Grid(6, 7, slip=0.1)
    for kind in (grid, grid.lists(), Dense(grid.dense())):
        assert kind.nbytes == sum(leaf.nbytes for leaf in moves_of(kind, "float32").values())
