"""Environments of gymnax and JaxMARL as worlds, and worlds as environments of JaxMARL.

Neither package is needed: what counts is the signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp

from hocket.population.worlds.fields import settled, standing
from hocket.population.worlds.world import Across, Agents, Info, World, WorldState

Encode = Callable[[Any], jax.Array]
"""Makes the numbers of observations, [modalities], of what an environment lets one agent see."""

SEEN: Final = "seen"
SEAT: Final = "seat"


class GymnaxWorld:
    """An environment for one agent; each agent has a copy of its own.

    The environment must start anew by itself when an episode is over, as gymnax's do.

    Args:
        env: Has ``reset(key, params) -> (obs, state)`` and
            ``step(key, state, action, params) -> (obs, state, reward, done, info)``.
        params: Its parameters.
        encode: Makes numbers of what it lets an agent see.
        observations: How many observations each modality has.
        actions: How many actions each control has; with one control an action is a number,
            with several an array.
    """

    def __init__(
        self,
        env: Any,
        params: Any,
        encode: Encode,
        *,
        observations: Sequence[int],
        actions: Sequence[int],
    ) -> None:
        self._env = env
        self._params = params
        self._encode = encode
        self.observations = tuple(observations)
        self.actions = tuple(actions)
        _, shape = jax.eval_shape(lambda key: env.reset(key, params), jax.random.key(0))
        self._tree: Any = jax.tree.structure(shape)

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Begin a copy for each agent."""

        def one(number: jax.Array) -> tuple[jax.Array, Any]:
            seen, state = self._env.reset(jax.random.fold_in(key, number), self._params)
            return self._encode(seen), state

        seen, state = jax.vmap(one, out_axes=-1)(agents.ids)
        return self._kept(seen, state)

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Begin a copy for those that are new; the others see what they saw last."""
        _, begun = self.reset(key, agents)
        own = jax.tree.map(lambda start, now: jnp.where(new, start, now), begun.own, state.own)
        return own[SEEN], WorldState(own, {})

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Let each agent act in its copy."""
        leaves = [state.own[_leaf(number)] for number in range(self._tree.num_leaves)]

        def one(number: jax.Array, leaves: list[Any], action: jax.Array) -> Any:
            inner = jax.tree.unflatten(self._tree, leaves)
            does = action[0] if len(self.actions) == 1 else action
            seen, after, reward, done, info = self._env.step(
                jax.random.fold_in(key, number), inner, does, self._params
            )
            return self._encode(seen), after, reward, done, info

        seen, inner, reward, done, info = jax.vmap(one, in_axes=-1, out_axes=-1)(
            agents.ids, leaves, actions
        )
        seen, state = self._kept(seen, inner)
        return seen, state, reward.astype(jnp.float32), done.astype(bool), _numbers(info)

    def _kept(self, seen: jax.Array, state: Any) -> tuple[jax.Array, WorldState]:
        """What agents see, and what is remembered of them."""
        seen = seen.astype(jnp.int32)
        own = {_leaf(number): leaf for number, leaf in enumerate(jax.tree.leaves(state))}
        return seen, WorldState({**own, SEEN: seen}, {})


class JaxMARLWorld:
    """One environment for several agents, who take its seats; an empty seat does action 0.

    The environment must start anew by itself when all are done, as JaxMARL's do.
    Every device runs it, with the same numbers.

    Args:
        env: Has the names of its ``agents``, ``reset(key) -> (obs, state)`` and
            ``step(key, state, actions) -> (obs, state, rewards, dones, infos)``, all but the state
            by name.
        encode: Makes numbers of what it lets one agent see; all see arrays of one shape.
        observations: How many observations each modality has.
        actions: How many actions each control has.
    """

    def __init__(
        self, env: Any, encode: Encode, *, observations: Sequence[int], actions: Sequence[int]
    ) -> None:
        self._env = env
        self._encode = encode
        self._names: tuple[str, ...] = tuple(env.agents)
        self.observations = tuple(observations)
        self.actions = tuple(actions)
        _, shape = jax.eval_shape(env.reset, jax.random.key(0))
        self._tree: Any = jax.tree.structure(shape)

    @property
    def room(self) -> int | None:
        """The most agents that can be alive at once: as many as there are seats."""
        return len(self._names)

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Begin, and give each agent a seat."""
        seen, inner = self._env.reset(key)
        shared = {_leaf(number): leaf for number, leaf in enumerate(jax.tree.leaves(inner))}
        shared[SEEN] = self._by_seat(seen)
        nowhere = {SEAT: jnp.zeros(agents.ids.shape, jnp.int32)}
        return self.enter(key, WorldState(nowhere, shared), agents, agents.alive)

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Give the new agents seats; all see what is to be seen from theirs."""
        seats = len(self._names)
        stay = agents.alive & ~new
        taken = standing(state.own[SEAT], stay, seats, agents.across)
        first = (agents.ids % jnp.uint32(seats)).astype(jnp.int32)
        place, gets = settled(first, new & agents.alive, taken, agents.ids, agents.across)
        seat = jnp.where(gets, place, state.own[SEAT])
        return state.shared[SEEN][:, seat], WorldState({SEAT: seat}, state.shared)

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Let all agents act at once."""
        seat = state.own[SEAT]
        place = jnp.where(agents.alive, seat, len(self._names))
        empty = jnp.zeros((len(self.actions), len(self._names)), jnp.int32)
        # One agent at most sits on each seat, so that adding up is to gather from all devices.
        acts = agents.across.sum(empty.at[:, place].add(actions, mode="drop"))
        one = len(self.actions) == 1
        does = {
            name: acts[0, number] if one else acts[:, number]
            for number, name in enumerate(self._names)
        }
        leaves = [state.shared[_leaf(number)] for number in range(self._tree.num_leaves)]
        inner = jax.tree.unflatten(self._tree, leaves)
        seen, inner, rewards, dones, infos = self._env.step(key, inner, does)
        shared = {_leaf(number): leaf for number, leaf in enumerate(jax.tree.leaves(inner))}
        shared[SEEN] = self._by_seat(seen)
        reward = jnp.stack([jnp.asarray(rewards[name], jnp.float32) for name in self._names])
        over = jnp.broadcast_to(jnp.asarray(dones["__all__"], bool), seat.shape)
        named = all(name in infos for name in self._names)
        info = (
            {
                told: jnp.stack([jnp.asarray(infos[name][told]) for name in self._names])[seat]
                for told in infos[self._names[0]]
            }
            if named
            else {}
        )
        return shared[SEEN][:, seat], WorldState({SEAT: seat}, shared), reward[seat], over, info

    def _by_seat(self, seen: Any) -> jax.Array:
        """What is to be seen from each seat, [modalities, seats]."""
        views = jax.tree.map(lambda *rows: jnp.stack(rows), *(seen[name] for name in self._names))
        encoded: jax.Array = jax.vmap(self._encode, out_axes=-1)(views)
        return encoded.astype(jnp.int32)


def as_jaxmarl(world: World, agents: int) -> JaxMARLView:
    """Show a world as an environment of JaxMARL, with so many agents."""
    return JaxMARLView(world, agents)


class JaxMARLView:
    """A world as an environment of JaxMARL; make it with `as_jaxmarl`.

    Observations are numbers, [modalities]; an action is a number, or, with several controls, an
    array; "__all__" is done when every agent is.

    Args:
        world: The world.
        agents: How many.
    """

    def __init__(self, world: World, agents: int) -> None:
        self.world = world
        self.num_agents = agents
        self.agents = [f"agent_{number}" for number in range(agents)]
        self._all = Agents(
            ids=jnp.arange(agents, dtype=jnp.uint32),
            alive=jnp.ones(agents, bool),
            group=jnp.zeros(agents, jnp.int32),
            across=Across(),
        )

    def reset(self, key: jax.Array) -> tuple[dict[str, jax.Array], WorldState]:
        """Begin."""
        seen, state = self.world.reset(key, self._all)
        return self._by_name(seen), state

    def step(
        self, key: jax.Array, state: WorldState, actions: dict[str, jax.Array]
    ) -> tuple[
        dict[str, jax.Array],
        WorldState,
        dict[str, jax.Array],
        dict[str, jax.Array],
        dict[str, Info],
    ]:
        """Let all agents act at once."""
        controls = len(self.world.actions)
        acts = jnp.stack(
            [jnp.asarray(actions[name], jnp.int32).reshape(controls) for name in self.agents],
            axis=-1,
        )
        seen, state, reward, done, info = self.world.step(key, state, acts, self._all)
        infos = {
            name: {told: values[number] for told, values in info.items()}
            for number, name in enumerate(self.agents)
        }
        dones = {**self._by_name(done), "__all__": done.all()}
        return self._by_name(seen), state, self._by_name(reward), dones, infos

    def _by_name(self, values: jax.Array) -> dict[str, jax.Array]:
        """Each agent's part of an array whose last axis is the agents."""
        return {name: values[..., number] for number, name in enumerate(self.agents)}


def _leaf(number: int) -> str:
    """What a part of an environment's state is called in a world's."""
    return f"part_{number}"


def _numbers(info: Any) -> Info:
    """Of further results, those that are one number for each agent."""
    if not isinstance(info, dict):
        return {}
    return {name: values for name, values in info.items() if getattr(values, "ndim", 0) == 1}
