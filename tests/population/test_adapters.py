"""Environments with the signatures of gymnax and JaxMARL as worlds, and the other way round."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hocket.core.errors import SpecError
from hocket.population.worlds.adapters import GymnaxWorld, JaxMARLWorld, as_jaxmarl
from hocket.population.worlds.gridworld import GridWorld
from hocket.population.worlds.sampled import SampledWorld
from hocket.population.worlds.tasks import Episodes, cue_chain, t_maze
from hocket.population.worlds.world import Across, Agents, room_of


def agents_of(count: int, alive: Any = None, ids: Any = None) -> Agents:
    living = jnp.ones(count, bool) if alive is None else jnp.asarray(alive)
    numbers = jnp.arange(count, dtype=jnp.uint32) if ids is None else jnp.asarray(ids, jnp.uint32)
    return Agents(numbers, living, jnp.zeros(count, int), Across())


class Track(NamedTuple):
    """Where a walker is, and for how long it has walked."""

    place: jax.Array
    time: jax.Array


class Walk:
    """With gymnax's signature: a walk to the right end of a track, from anywhere on its left."""

    def reset(self, key: Any, params: dict[str, int]) -> tuple[jax.Array, Track]:
        state = Track(jax.random.randint(key, (), 0, 3), jnp.int32(0))
        return self.look(state, params), state

    def step(self, key: Any, state: Track, action: Any, params: dict[str, int]) -> Any:
        moved = Track(state.place + action - 1, state.time + 1)
        done = moved.place >= params["length"]
        seen, begun = self.reset(key, params)
        after = jax.tree.map(lambda new, now: jnp.where(done, new, now), begun, moved)
        seen = jnp.where(done, seen, self.look(moved, params))
        info = {"time": moved.time, "map": jnp.zeros(3)}
        return seen, after, jnp.where(done, 1.0, -0.1), done, info

    def look(self, state: Track, params: dict[str, int]) -> jax.Array:
        return state.place / params["length"]


def walk() -> GymnaxWorld:
    return GymnaxWorld(
        Walk(),
        {"length": 4},
        lambda seen: jnp.round(seen * 4).astype(jnp.int32)[None],
        observations=(5,),
        actions=(3,),
    )


def test_each_agent_has_its_copy_of_a_gymnax_environment() -> None:
    world, many = walk(), 6

    @jax.jit
    def life(count: jax.Array) -> Any:
        agents = agents_of(many)
        seen, state = world.reset(jax.random.key(0), agents)
        return seen, world.step(jax.random.key(1), state, jnp.full((1, many), 2), agents)

    seen, (after, state, reward, done, info) = life(jnp.int32(0))
    env = Walk()
    for number in range(many):
        first, inner = env.reset(jax.random.fold_in(jax.random.key(0), number), {"length": 4})
        assert round(float(first) * 4) == seen[0, number]
        view, inner, gets, over, _ = env.step(
            jax.random.fold_in(jax.random.key(1), number), inner, 2, {"length": 4}
        )
        assert round(float(view) * 4) == after[0, number]
        assert int(inner.place) == state.own["part_0"][number]
        assert (float(gets), bool(over)) == (reward[number], done[number])
    assert len(set(np.asarray(seen[0]).tolist())) > 1, "copies differ"
    assert list(info) == ["time"], "numbers are told, maps are not"


def test_agents_that_enter_get_a_new_copy_and_the_others_keep_theirs() -> None:
    world = walk()
    agents = agents_of(4)
    _, state = world.reset(jax.random.key(0), agents)
    _, state, *_ = world.step(jax.random.key(1), state, jnp.ones((1, 4), int), agents)
    seen, entered = world.enter(jax.random.key(2), state, agents, jnp.arange(4) == 1)
    assert entered.own["part_1"].tolist() == [1, 0, 1, 1]
    assert seen[0, [0, 2, 3]].tolist() == state.own["seen"][0, [0, 2, 3]].tolist()


class Rope:
    """With JaxMARL's signature: who pulls harder, the left or the right hand."""

    agents = ("left", "right")

    def reset(self, key: Any) -> Any:
        state = {"knot": jnp.int32(0)}
        return self.look(state), state

    def step(self, key: Any, state: Any, actions: dict[str, Any]) -> Any:
        knot = state["knot"] + actions["right"] - actions["left"]
        over = abs(knot) >= 3
        after = {"knot": jnp.where(over, 0, knot)}
        rewards = {"left": -knot, "right": knot}
        dones = {"left": over, "right": over, "__all__": over}
        infos = {name: {"pull": actions[name]} for name in self.agents}
        return self.look(after), after, rewards, dones, infos

    def look(self, state: Any) -> Any:
        return {"left": jnp.stack([-state["knot"]]), "right": jnp.stack([state["knot"]])}


def test_agents_take_the_seats_of_one_jaxmarl_environment() -> None:
    world = JaxMARLWorld(Rope(), lambda seen: seen + 2, observations=(5,), actions=(3,))
    assert room_of(world) == 2
    # Agent 7 sits in the middle of three places, agent 4 at their end; the first is empty.
    agents = agents_of(3, [False, True, True], [0, 7, 4])
    seen, state = world.reset(jax.random.key(0), agents)
    assert sorted(state.own["seat"][1:].tolist()) == [0, 1]
    assert seen[0, 1:].tolist() == [2, 2]
    left, right = (1, 2) if state.own["seat"][1] == 0 else (2, 1)
    acts = jnp.zeros((1, 3), jnp.int32).at[0, right].set(2).at[0, 0].set(2)
    seen, state, reward, done, info = world.step(jax.random.key(1), state, acts, agents)
    assert (seen[0, left], seen[0, right]) == (0, 4)
    assert (reward[left], reward[right]) == (-2, 2), "who is not there does not pull"
    assert (info["pull"][left], info["pull"][right]) == (0, 2)
    assert not done.any()
    _, state, _, done, _ = world.step(jax.random.key(2), state, acts, agents)
    assert done.all()
    one = agents_of(3, [False, True, False], [0, 7, 4])
    both = agents_of(3, [True, True, False], [8, 7, 4])
    new = jnp.array([True, False, False])
    _, entered = world.enter(jax.random.key(3), state, both, new)
    assert sorted(entered.own["seat"][:2].tolist()) == [0, 1], "the seat that was left is taken"
    assert world.step(jax.random.key(4), state, acts, one)[2].shape == (3,)


def test_a_world_shown_as_a_jaxmarl_environment_does_what_the_world_does() -> None:
    world = GridWorld(height=4, width=4, goals=((0, 0),), slip=0.2, senses=("scent", "crowd"))
    env = as_jaxmarl(world, 3)
    seen, state = jax.jit(env.reset)(jax.random.key(0))
    assert list(seen) == env.agents == ["agent_0", "agent_1", "agent_2"]
    actions = {name: jnp.int32(number) for number, name in enumerate(env.agents)}
    views, after, rewards, dones, infos = jax.jit(env.step)(jax.random.key(1), state, actions)
    expected = jax.jit(partial(_direct, world))(state)
    assert [views[name].tolist() for name in env.agents] == expected[0].T.tolist()
    assert after.own["cell"].tolist() == expected[1].own["cell"].tolist()
    assert [rewards[name] for name in env.agents] == expected[2].tolist()
    assert set(dones) == {*env.agents, "__all__"}
    assert set(infos["agent_0"]) == {"reached", "hazard", "blocked", "taken"}
    again = JaxMARLWorld(env, lambda seen: seen, observations=(5, 3), actions=(5,))
    first, _ = again.reset(jax.random.key(0), agents_of(3))
    assert first.tolist() == np.stack([seen[name] for name in env.agents], axis=-1).tolist()


def _direct(world: GridWorld, state: Any) -> Any:
    return world.step(jax.random.key(1), state, jnp.arange(3)[None], agents_of(3))


def test_episodes_begin_anew_for_each_agent_when_its_time_is_over() -> None:
    world = Episodes(SampledWorld(t_maze()), 2)
    agents = agents_of(4)
    seen, state = world.reset(jax.random.key(0), agents)
    assert seen[0].tolist() == [0] * 4
    right = jnp.full((1, 4), 2)
    step = jax.jit(lambda key, state: world.step(key, state, right, agents))
    seen, state, _, done, _ = step(jax.random.key(1), state)
    assert (seen[0].tolist(), done.tolist()) == ([2] * 4, [False] * 4)
    late = jnp.arange(4) == 3
    _, state = world.enter(jax.random.key(2), state, agents, late)
    seen, state, reward, done, _ = step(jax.random.key(3), state)
    assert done.tolist() == [True] * 3 + [False]
    assert seen[0].tolist() == [0, 0, 0, 2], "those who begin see the middle again"
    assert set(np.abs(np.asarray(reward)).tolist()) <= {3.0, 6.0}
    with pytest.raises(SpecError, match="episode of 0"):
        Episodes(SampledWorld(t_maze()), 0)


def test_one_environment_for_all_has_no_episodes_for_each() -> None:
    rope = JaxMARLWorld(Rope(), lambda seen: seen + 2, observations=(5,), actions=(3,))
    with pytest.raises(SpecError, match="begins anew for all at once"):
        Episodes(rope, 3)


def test_cues_lead_to_cues_as_in_pymdps_environment() -> None:
    from pymdp.envs.cue_chaining import CueChainingEnv

    first, second, rewards = (1, 0), ((0, 1), (2, 2)), ((0, 3), (2, 3))
    ours = cue_chain(
        height=3, width=4, first=first, second=second, rewards=rewards, policy_length=1
    )
    theirs = CueChainingEnv((3, 4), (0, 0), first, second, rewards)
    for mine, other in zip(ours.A, theirs.A, strict=True):
        assert np.array_equal(mine, other)
    for factor, other in enumerate(theirs.B):
        assert np.array_equal(ours.table(factor), other)
    for mine, other in zip(ours.D, theirs.D, strict=True):
        assert np.array_equal(mine, other)
    assert ours.A_dependencies == tuple(map(tuple, theirs.A_dependencies))
