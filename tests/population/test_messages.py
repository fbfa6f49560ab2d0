"""Messages by cell: who hears what, and when."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld
from hocket.population.worlds.messages import leave, overheard
from hocket.population.worlds.world import Across, Agents, WorldState


@partial(jax.jit, static_argnames=("radius", "wrap"))
def _heard(cell: Any, word: Any, alive: Any, radius: int, wrap: bool) -> Any:
    board = leave(cell, word, alive, words=3, cells=8, across=Across())
    word = jnp.where(alive, word, 0)
    return overheard(board, 1, 8, radius, wrap=wrap, cell=cell, word=word, said=cell)


def heard(cells: list[int], words: list[int], *, radius: int = 1, **how: Any) -> list[int]:
    """What agents on a row of eight cells, four at most, hear of what they have said."""
    more = 4 - len(cells)
    alive = jnp.array([*how.get("alive", [True] * len(cells)), *[False] * more])
    cell, word = jnp.array([*cells, *[0] * more]), jnp.array([*words, *[0] * more])
    said: list[int] = _heard(cell, word, alive, radius, how.get("wrap", False)).tolist()
    return said[: len(cells)]


def test_words_are_heard_within_the_radius_and_not_by_who_said_them() -> None:
    assert heard([0, 1, 3, 7], [2, 0, 0, 0], radius=1) == [0, 2, 0, 0]
    assert heard([0, 1, 3, 7], [2, 0, 0, 0], radius=1, wrap=True) == [0, 2, 0, 2]
    assert heard([0, 1, 3, 7], [2, 0, 0, 0], radius=3) == [0, 2, 2, 0]


def test_what_most_say_is_heard_and_of_equals_the_lower() -> None:
    assert heard([0, 0, 0, 0], [3, 3, 1, 0], radius=1) == [1, 1, 3, 3]
    assert heard([0, 0, 0], [2, 1, 0])[2] == 1


def test_the_dead_say_nothing() -> None:
    assert heard([0, 0], [2, 0], radius=1, alive=[False, True]) == [0, 0]


def test_agents_near_a_goal_leave_word_of_it_which_is_heard_a_tick_later() -> None:
    world = GridWorld(
        height=1,
        width=9,
        goals=((0, 0), (0, 8)),
        senses=("scent", "message"),
        noise=0.0,
        carry=4.0,
        radius=3,
        hidden=True,
    )
    agents = Agents(jnp.arange(4, dtype=jnp.uint32), jnp.ones(4, bool), jnp.zeros(4), Across())

    @jax.jit
    def tick(state: Any) -> Any:
        return world.step(jax.random.key(0), state, jnp.full((1, 4), 4), agents)[:2]

    _, state = jax.jit(lambda: world.reset(jax.random.key(0), agents))()
    state = WorldState(
        {**state.own, "cell": jnp.array([1, 3, 8, 4])}, {**state.shared, "open": jnp.int32(1)}
    )
    seen, state = tick(state)
    assert seen[1].tolist() == [0, 0, 0, 0], "nothing has been said yet"
    assert state.own["word"].tolist() == [1, 0, 4, 0], "the first is shut, the second open"
    seen, state = tick(state)
    assert seen[1].tolist() == [0, 1, 0, 1], "not by those who said it, nor too far off"


def test_the_model_expects_messages_to_be_right_more_often_than_not() -> None:
    world = GridWorld(
        height=2, width=2, goals=((0, 0), (1, 1)), senses=("scent", "message"), hidden=True
    )
    model = grid_model(world, heard=0.4, trust=0.75)
    table = model.A[1]
    assert model.A_dependencies[1] == (1,)
    assert model.names.observations[1] == (
        "nothing",
        "0,0 shut",
        "0,0 open",
        "1,1 shut",
        "1,1 open",
    )
    assert np.allclose(table.sum(0), 1)
    assert np.allclose(table[:, 0], [0.6, 0.05, 0.15, 0.15, 0.05])
