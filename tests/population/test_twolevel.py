"""Beliefs in two levels: nothing is lost but where within a tile something lies."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hocket.core.errors import SpecError
from hocket.population.group import Group
from hocket.population.learning import Learning
from hocket.population.mind import FullMind
from hocket.population.model import Model
from hocket.population.moving import move
from hocket.population.tables import moves_of
from hocket.population.tiles import ACROSS, TILE, split_of
from hocket.population.transitions import Grid
from hocket.population.twolevel import TwoLevelMind
from hocket.population.twolevel_accuracy import accuracy, landmarks

LANES = 16


def a_model(height: int = 31, width: int = 33, *, known: bool = True, **settings: Any) -> Model:
    """A grid with walls and two modalities whose sides are no multiples of a tile."""
    chance = np.random.default_rng(7)
    states = height * width
    walls = chance.random((height, width)) < 0.15
    free = np.flatnonzero(~walls.ravel())
    start = np.zeros(states)
    if known:
        start[free[len(free) // 2 : len(free) // 2 + 3]] = [0.5, 0.3, 0.2]
    else:
        start[free] = 1 / len(free)
    return Model.of(
        [chance.dirichlet(np.ones(4), states).T, chance.dirichlet(np.ones(3), states).T],
        [Grid(height, width, slip=0.2, walls=walls)],
        C=[chance.normal(size=4), chance.normal(size=3)],
        D=[start],
        gamma=4.0,
        selection="stochastic",
        **settings,
    )


def lived(model: Model, ticks: int) -> tuple[TwoLevelMind, Any, Any]:
    """Agents that have seen all sorts of things."""
    mind = TwoLevelMind(Group(name="them", model=model, agents=LANES))
    tables = mind.tables(jnp.float32)
    think = jax.jit(mind.think)
    state = mind.blank(tables, LANES)
    chance = np.random.default_rng(3)
    for _ in range(ticks):
        seen = jnp.asarray([chance.integers(0, many, LANES) for many in model.observations])
        luck = jnp.asarray(chance.random((1, LANES)), jnp.float32)
        state = think(tables, state, seen, luck, jnp.ones(LANES, bool)).state
    return mind, tables, state


@pytest.mark.parametrize("known", [True, False])
def test_probability_is_neither_lost_nor_made(known: bool) -> None:
    model = a_model(known=known)
    mind, tables, state = lived(model, 30)
    whole = np.asarray(mind.whole(tables, state))
    assert np.abs(whole.sum(0) - 1).max() < 1e-5
    assert (whole >= 0).all()
    grid = model.B[0]
    assert isinstance(grid, Grid) and grid.walls is not None
    assert not whole[grid.walls.ravel()].any()
    assert np.unique(np.asarray(state["corner"]), axis=1).shape[1] > 1


def test_one_who_sees_what_cannot_be_still_believes_something() -> None:
    chance = np.random.default_rng(2)
    seen = [np.eye(4)[chance.integers(0, 4, 21 * 22)].T for _ in range(4)]
    start = np.zeros(21 * 22)
    start[100] = 1
    model = Model.of(seen, [Grid(21, 22)], D=[start], gamma=4.0, selection="stochastic")
    mind, tables, state = lived(model, 8)
    whole = np.asarray(mind.whole(tables, state))
    assert np.abs(whole.sum(0) - 1).max() < 1e-5
    # Nothing fits all that is seen, and the floor lets it look for what fits most of it.
    assert (whole.max(0) > 0.01).all() and (whole[100] < 0.9).all()


def test_what_lies_in_the_window_is_exact() -> None:
    model = a_model(policy_length=2)
    group = Group(name="them", model=model, agents=LANES)
    full, two = FullMind(group), TwoLevelMind(group)
    exact, kept = full.tables(jnp.float32), two.tables(jnp.float32)
    chance = np.random.default_rng(5)
    seen = jnp.asarray([chance.integers(0, many, LANES) for many in model.observations])
    luck = jnp.asarray(chance.random((1, LANES)), jnp.float32)
    alive = jnp.ones(LANES, bool)
    begun = two.blank(kept, LANES)
    outside = float(np.asarray(begun["tiles"]).sum(0).max())
    first = jax.jit(full.think)(exact, full.blank(exact, LANES), seen, luck, alive)
    second = jax.jit(two.think)(kept, begun, seen, luck, alive)
    assert outside == 0
    assert np.array_equal(first.actions, second.actions)
    for name, values in first.info.items():
        assert np.abs(np.asarray(values) - np.asarray(second.info[name])).max() < 1e-5
    difference = first.state["belief"][0] - two.whole(kept, second.state)
    assert np.abs(np.asarray(difference)).max() < 1e-6


def test_tiles_move_as_their_cells_do_on_average() -> None:
    split = split_of(a_model())
    grid, lists = split.grid, split.between_tiles()
    row, column = np.divmod(np.arange(grid.states), grid.width)
    tile = row // TILE * split.columns + column // TILE
    chance = np.random.default_rng(1)
    mass = chance.dirichlet(np.ones(split.tiles), LANES).T
    mass[np.bincount(tile, ~(grid.walls.ravel()), split.tiles) == 0] = 0
    action = jnp.asarray(chance.integers(0, grid.actions, LANES))
    shares = split.shares()[: grid.height, : grid.width].ravel()
    cells = jnp.asarray(mass[tile] * shares[:, None], jnp.float32)
    moved = np.asarray(move(grid, moves_of(grid, jnp.float32), cells, action))
    expected = np.zeros((split.tiles, LANES))
    np.add.at(expected, tile, moved)
    found = move(lists, moves_of(lists, jnp.float32), jnp.asarray(mass, jnp.float32), action)
    assert np.abs(np.asarray(found) - expected).max() < 1e-6


def test_an_agent_keeps_a_few_kilobytes_of_a_big_world() -> None:
    mind = TwoLevelMind(Group(name="them", model=landmarks(100, share=0.1), agents=1))
    blank = mind.blank(mind.tables(jnp.float32), 1)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(blank)) < 4096


def test_agents_that_know_where_they_begin_hardly_notice() -> None:
    dim = accuracy(landmarks(40, share=0.05), agents=32, ticks=40)
    assert dim.divergence < 0.01 and dim.divergence_p99 < 0.1
    assert dim.same_action > 0.98 and dim.distance < 0.05


def test_agents_that_may_be_anywhere_find_landmarks_as_large_as_tiles() -> None:
    lost = accuracy(landmarks(40, share=0.3, patch=10, known=False), agents=32, ticks=60)
    assert lost.divergence < 4 and lost.same_action > 0.6
    assert lost.in_window > 0.2


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (a_model(12, 40), "smaller than the window"),
        (a_model(policy_length=3), "3 steps ahead"),
        (Model.of([np.eye(3)], [np.eye(3)[:, :, None]]), "a Grid"),
    ],
)
def test_what_cannot_be_kept_so_is_refused(model: Model, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        TwoLevelMind(Group(name="them", model=model, agents=1))


def test_learning_is_refused() -> None:
    group = Group(name="them", model=a_model(), agents=1, learning=Learning(A=True))
    with pytest.raises(SpecError, match="nothing is learned"):
        TwoLevelMind(group)


def test_a_window_is_whole_tiles() -> None:
    split = split_of(a_model())
    assert split.side == TILE * ACROSS
    assert split.rows * TILE >= 31 > (split.rows - 1) * TILE
