"""The grid world: what agents do in it and see of it, and the model that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.errors import SpecError
from hocket.population.worlds.fields import claimed, nearby, standing
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld
from hocket.population.worlds.world import Across, Agents, WorldState, room_of

UP, DOWN, LEFT, RIGHT, STAY = range(5)


def agents_of(count: int, alive: Any = None) -> Agents:
    """Agents numbered from 0."""
    living = jnp.ones(count, bool) if alive is None else jnp.asarray(alive)
    return Agents(jnp.arange(count, dtype=jnp.uint32), living, jnp.zeros(count, int), Across())


def begun(world: GridWorld, count: int, seed: int = 0) -> Any:
    """What agents see at first, and the world's state."""
    return jax.jit(lambda key: world.reset(key, agents_of(count)))(jax.random.key(seed))


def stepped(world: GridWorld, cells: list[int], moves: list[int], **shared: int) -> Any:
    """One tick of agents that stand on some cells."""
    return ticker(world, len(cells), cells, shared)(jax.random.key(0), None, moves)


def ticker(
    world: GridWorld, count: int, cells: list[int] | None = None, shared: Any = None
) -> Callable[[Any, Any, Any], Any]:
    """A function that lets all agents of a world act, from its state, or from where they stand."""

    @jax.jit
    def tick(key: Any, state: Any, moves: Any) -> Any:
        agents = agents_of(count)
        if state is None:
            _, state = world.reset(jax.random.key(0), agents)
            state = WorldState(
                {**state.own, "cell": jnp.array(cells, jnp.int32)}, {**state.shared, **shared}
            )
        return world.step(key, state, moves[None], agents)

    return lambda key, state, moves: tick(key, state, jnp.asarray(moves, jnp.int32))


def test_moves_stop_at_walls_and_edges_and_cross_where_the_world_is_round() -> None:
    flat = GridWorld(height=3, width=3, walls=((1, 1),))
    _, state, _, _, info = stepped(flat, [0, 3, 8, 1], [UP, RIGHT, LEFT, STAY])
    assert state.own["cell"].tolist() == [0, 3, 7, 1]
    assert info["blocked"].tolist() == [True, True, False, False]
    round_ = GridWorld(height=3, width=3, walls=((1, 1),), wrap=True)
    _, state, _, _, _ = stepped(round_, [0, 3, 8, 0], [UP, RIGHT, RIGHT, LEFT])
    assert state.own["cell"].tolist() == [6, 3, 6, 2]


def test_moves_slip_as_often_as_the_world_says() -> None:
    world = GridWorld(height=1, width=3, slip=0.25)
    moved = stepped(world, [0] * 20_000, [RIGHT] * 20_000)
    share = float((moved[1].own["cell"] == 1).mean())
    assert share == pytest.approx(0.75, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)
    assert not moved[4]["blocked"].any()


def test_goals_hazards_and_resources_are_worth_what_the_world_says() -> None:
    world = GridWorld(
        height=1,
        width=4,
        goals=((0, 1),),
        hazards=((0, 2),),
        resources=((0, 3),),
        rewards=(5.0, -2.0, 3.0),
        senses=("ground", "ripe"),
        noise=0.0,
        regrow=2,
    )
    seen, state, reward, done, info = stepped(world, [0, 1, 3, 3], [RIGHT, RIGHT, STAY, STAY])
    assert reward.tolist() == [5, -2, 3, 0], "of two on a resource the older one takes it"
    assert info["reached"].tolist() == [True, False, False, False]
    assert info["hazard"].tolist() == [False, True, False, False]
    assert info["taken"].tolist() == [False, False, True, False]
    assert seen.tolist() == [[1, 2, 3, 3], [0, 0, 0, 0]], "what was taken is not ripe"
    assert not done.any()
    ripe = []
    tick = ticker(world, 4)
    for number in range(3):
        seen, state, _, _, info = tick(jax.random.key(number), state, [STAY] * 4)
        ripe.append((seen[1, 2].item(), info["taken"].any().item()))
    assert ripe == [(0, False), (1, False), (0, True)]


def test_who_reaches_a_goal_is_placed_anew_if_the_world_says_so() -> None:
    world = GridWorld(height=1, width=3, goals=((0, 2),), starts=((0, 0),), again=True)
    _, state, reward, done, info = stepped(world, [1, 0], [RIGHT, STAY])
    assert state.own["cell"].tolist() == [0, 0]
    assert done.tolist() == [True, False]
    assert (reward.tolist(), info["reached"].tolist()) == ([1, 0], [True, False])


def test_only_the_open_goal_of_a_hidden_world_counts_and_smells() -> None:
    world = GridWorld(height=1, width=5, goals=((0, 0), (0, 4)), hidden=True, noise=0.0)
    begin = jax.jit(lambda key: world.reset(key, agents_of(2))[1].shared["open"])
    assert {int(begin(jax.random.key(n))) for n in range(8)} == {0, 1}
    seen, _, reward, _, _ = stepped(world, [0, 4], [STAY, STAY], open=1)
    assert reward.tolist() == [0, 1]
    assert seen[0, 1] == 3
    assert seen[0, 0] != 3


def test_when_a_round_is_over_all_are_placed_anew_and_another_goal_may_be_open() -> None:
    world = GridWorld(
        height=1,
        width=5,
        goals=((0, 0), (0, 4)),
        starts=((0, 2),),
        hidden=True,
        rounds=3,
        senses=("scent", "message"),
    )
    _, state = begun(world, 2)
    tick = ticker(world, 2)
    ends, opened = [], set()
    for number in range(30):
        _, state, _, done, _ = tick(jax.random.key(number), state, [LEFT, RIGHT])
        opened.add(int(state.shared["open"]))
        if done.any():
            ends.append(number)
            assert done.all()
            assert state.own["cell"].tolist() == [2, 2]
    assert ends == list(range(2, 30, 3))
    assert opened == {0, 1}


def test_a_crowd_is_seen_within_the_radius_without_oneself() -> None:
    world = GridWorld(height=1, width=9, senses=("crowd",), radius=1, crowd=(1, 2, 3))
    seen, *_ = stepped(world, [0, 1, 1, 2, 4, 6], [STAY] * 6)
    assert seen[0].tolist() == [2, 3, 3, 2, 0, 0]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "radius"), [(5, 7, 2), (3, 4, 1), (4, 3, 5), (1, 6, 0)]
)
def test_sums_around_cells_are_those_of_a_loop(
    height: int, width: int, radius: int, wrap: bool
) -> None:
    field = np.random.default_rng(0).integers(0, 9, (2, height, width))
    expected = np.zeros_like(field)
    for row, column in np.ndindex(height, width):
        around = {
            (r % height, c % width) if wrap else (r, c)
            for r in range(row - radius, row + radius + 1)
            for c in range(column - radius, column + radius + 1)
            if wrap or (0 <= r < height and 0 <= c < width)
        }
        expected[:, row, column] = sum(field[:, r, c] for r, c in around)
    summed = nearby(jnp.asarray(field.reshape(2, -1)), height, width, radius, wrap=wrap)
    assert np.array_equal(summed, expected.reshape(2, -1))


CROWDED = GridWorld(
    height=4,
    width=5,
    walls=((1, 1),),
    goals=((0, 4),),
    slip=0.1,
    collisions=True,
    again=True,
    senses=("scent", "crowd"),
)


@jax.jit
def crowded_tick(key: jax.Array, state: WorldState, moves: jax.Array, alive: jax.Array) -> Any:
    return CROWDED.step(key, state, moves, agents_of(18, alive))


@jax.jit
def crowded_start(key: jax.Array, alive: jax.Array) -> Any:
    return CROWDED.reset(key, agents_of(18, alive))


@jax.jit
def crowded_entry(key: jax.Array, state: WorldState, alive: jax.Array, new: jax.Array) -> Any:
    return CROWDED.enter(key, state, agents_of(18, alive), new)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), living=st.integers(1, 18))
def test_no_two_agents_are_ever_on_one_cell(seed: int, living: int) -> None:
    chance = np.random.default_rng(seed)
    alive = jnp.asarray(np.arange(18) < living)
    _, state = crowded_start(jax.random.key(seed), alive)
    for tick in range(12):
        where = np.asarray(state.own["cell"])[np.asarray(alive)]
        assert len(set(where.tolist())) == len(where)
        assert 6 not in where, "inside the wall"
        if tick == 6:
            before, alive = alive, jnp.ones(18, bool)
            _, state = crowded_entry(jax.random.key(tick), state, alive, ~before)
            continue
        moves = jnp.asarray(chance.integers(0, 5, (1, 18)), jnp.int32)
        _, state, *_ = crowded_tick(jax.random.key(seed + tick), state, moves, alive)


def test_of_two_who_want_a_cell_the_older_gets_it_and_nobody_enters_where_one_stands() -> None:
    world = GridWorld(height=1, width=5, collisions=True)
    _, state, _, _, info = stepped(world, [2, 0, 4, 3], [LEFT, RIGHT, LEFT, RIGHT])
    # Agents 0 and 1 both want cell 1; agents 2 and 3 would change places.
    assert state.own["cell"].tolist() == [1, 0, 4, 3]
    assert info["blocked"].tolist() == [False, True, True, True]
    assert room_of(world) == 5
    assert room_of(GridWorld(height=1, width=5)) is None


def test_the_dead_stand_in_nobodys_way() -> None:
    cell, alive = jnp.array([1, 1, 2]), jnp.array([False, True, True])
    ids = jnp.arange(3, dtype=jnp.uint32)
    assert standing(cell, alive, 4, Across()).tolist() == [0, 1, 1, 0]
    assert claimed(cell, alive, ids, 4, Across()).tolist() == [False, True, True]


def test_an_agents_life_does_not_depend_on_who_lives_beside_it() -> None:
    world = GridWorld(height=6, width=6, goals=((0, 0),), slip=0.3, senses=("scent", "walls"))

    def life(count: int) -> tuple[list[int], list[int]]:
        seen, state = begun(world, count, seed=3)
        tick = ticker(world, count)
        cells = [int(state.own["cell"][2])]
        looks = [int(seen[0, 2])]
        for number in range(5):
            seen, state, *_ = tick(jax.random.key(number), state, [number % 5] * count)
            cells.append(int(state.own["cell"][2]))
            looks.append(int(seen[0, 2]))
        return cells, looks

    assert life(3) == life(7)


MAPPED = GridWorld(
    height=4,
    width=4,
    walls=((1, 1), (2, 3)),
    goals=((0, 3), (3, 0)),
    hazards=((2, 1),),
    slip=0.2,
    noise=0.2,
    hidden=True,
    senses=("scent", "ground", "walls", "landmark"),
)


def test_the_model_expects_what_the_world_shows_and_does() -> None:
    many, model, chance = 4_000, grid_model(MAPPED), np.random.default_rng(0)
    free = [cell for cell in range(16) if cell not in (5, 11)]
    start = np.repeat(free, many)
    moves = chance.integers(0, 5, start.size)
    state = WorldState({"cell": jnp.asarray(start, jnp.int32)}, {"open": jnp.int32(1)})
    seen, after, *_ = ticker(MAPPED, start.size)(jax.random.key(9), state, moves)
    cell, seen = np.asarray(after.own["cell"]), np.asarray(seen)
    for number, table in enumerate(model.A):
        expected = table[:, :, 1] if table.ndim == 3 else table
        shown = np.zeros(expected.shape)
        np.add.at(shown, (seen[number], cell), 1)
        visits = shown.sum(0)
        assert visits[free].min() > 1_000
        error = abs(shown[:, free] / visits[free] - expected[:, free])
        bound = np.sqrt(expected[:, free] * (1 - expected[:, free]) / visits[free])
        assert (error <= 5 * bound + 1e-9).all(), MAPPED.senses[number]
    went = np.zeros((16, 16, 5))
    np.add.at(went, (cell, start, moves), 1)
    visits = went.sum(0)[free]
    error = abs(went[:, free] / visits - model.table(0)[:, free])
    assert error.max() <= 5 * np.sqrt(0.2 * 0.8 / visits.min())


def test_columns_of_the_map_differ_and_scents_rise_towards_the_goal() -> None:
    world = GridWorld(height=10, width=10, goals=((7, 3),))
    (scent,) = grid_model(world).A
    assert len(np.unique(scent.round(12), axis=1).T) == 8, (
        "nothing from seven steps on, six steps, and the goal"
    )
    pleasure = np.array([0, 1, 2, 4, -4]) @ scent
    towards = [7 * 10 + column for column in (9, 8, 7, 6, 5, 4, 3)]
    assert (np.diff(pleasure[towards]) >= 0).all()
    assert pleasure[towards][-1] > pleasure[towards][-3] > pleasure[towards][0]


def test_a_hidden_world_gives_its_model_a_factor_that_is_common_to_all() -> None:
    model = grid_model(MAPPED, sees=("scent", "landmark"))
    assert model.states == (16, 2)
    assert model.A_dependencies == ((0, 1), (0,))
    assert model.names.factors == ("place", "open goal")
    assert model.D[0][[5, 11]].tolist() == [0, 0], "nobody is inside a wall"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 0}, "one row"),
        ({"goals": ((0, 9),)}, "outside"),
        ({"goals": ((0, 0),), "walls": ((0, 0),)}, "already"),
        ({"slip": 1.5}, "probability"),
        ({"senses": ("sonar",)}, "no sense"),
        ({"senses": ()}, "must see"),
        ({"senses": ("ripe",)}, "needs resources"),
        ({"senses": ("message",)}, "needs goals"),
        ({"hidden": True}, "no goal"),
        ({"radius": -1}, "less than 0"),
        ({"rounds": -1}, "less than 0"),
        ({"carry": 0.0}, "steps"),
        ({"starts": ((5, 5),)}, "nobody can stand"),
        ({"walls": tuple((r, c) for r in range(3) for c in range(3))}, "no cell is empty"),
    ],
)
def test_worlds_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        GridWorld(**{"height": 3, "width": 3, **wrong})


def test_a_model_cannot_see_what_the_world_does_not_show() -> None:
    with pytest.raises(SpecError, match="crowd"):
        grid_model(GridWorld(height=3, width=3, senses=("crowd", "landmark")), sees=("crowd",))
