"""What a world is: two pure functions, with the signature of gymnax and JaxMARL.

    obs, state = world.reset(key, agents)
    obs, state, reward, done, info = world.step(key, state, actions, agents)

Arrays hold all agents, the agents last: observations [modalities, N], actions [controls, N],
rewards [N].
Under several devices each one calls these with the agents that it holds; what a world must know of
all agents goes through `Agents.across`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp


class Across:
    """What is summed or compared over all agents, wherever they are; here: all are here.

    Only integers: then the result does not depend on how agents are spread over devices.
    """

    def sum(self, counts: jax.Array) -> jax.Array:
        """Add up what each device has counted."""
        return whole(counts)

    def least(self, values: jax.Array) -> jax.Array:
        """The smallest of what each device has found, element by element."""
        return whole(values)

    def most(self, values: jax.Array) -> jax.Array:
        """The greatest of what each device has found, element by element."""
        return whole(values)


class AcrossDevices(Across):
    """The same where agents are spread over the devices of a mesh.

    Args:
        axis: The name of the mesh's axis.
    """

    def __init__(self, axis: str) -> None:
        self.axis = axis

    def sum(self, counts: jax.Array) -> jax.Array:
        """Add up what each device has counted."""
        combined: jax.Array = jax.lax.psum(whole(counts), self.axis)
        return combined

    def least(self, values: jax.Array) -> jax.Array:
        """The smallest of what each device has found, element by element."""
        combined: jax.Array = jax.lax.pmin(whole(values), self.axis)
        return combined

    def most(self, values: jax.Array) -> jax.Array:
        """The greatest of what each device has found, element by element."""
        combined: jax.Array = jax.lax.pmax(whole(values), self.axis)
        return combined


def whole(values: jax.Array) -> jax.Array:
    """Refuse what is not of whole numbers.

    Raises:
        TypeError: if these are floats, whose sum depends on its order.
    """
    if not jnp.issubdtype(values.dtype, jnp.integer):
        raise TypeError(f"only integers are combined over devices, not {values.dtype}")
    return values


class Agents(NamedTuple):
    """The agents that a world is asked about.

    Fields:
        ids: Their numbers, unsigned, never used twice, [N].
        alive: Whether there is an agent in this place, [N]; the others move nothing.
        group: The number of their group, [N].
        across: How to ask about all agents of all devices.
    """

    ids: jax.Array
    alive: jax.Array
    group: jax.Array
    across: Across


class WorldState(NamedTuple):
    """What a world remembers.

    Fields:
        own: Of each agent; the last axis is the agents.
        shared: Of the world itself, the same on every device.
    """

    own: dict[str, jax.Array]
    shared: dict[str, jax.Array]


Info: TypeAlias = dict[str, jax.Array]
"""Further numbers of a step, each [N], reported as means over living agents."""


class World(Protocol):
    """A world; see the module for the meaning of its arrays.

    Fields:
        observations: How many observations each modality has.
        actions: How many actions each control has.
    """

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        ...

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each control has."""
        ...

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Begin: place all agents, and let them see, [modalities, N]."""
        ...

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Place the agents that are new, [N]; all living agents see, [modalities, N]."""
        ...

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Let all agents act at once, actions [controls, N].

        Returns:
            Observations [modalities, N], the new state, rewards [N] (32-bit floats), whether an
            agent's episode is over [N], and further numbers.
        """
        ...


def describe(world: World) -> dict[str, Any]:
    """What a world looks like from outside, for messages and reports."""
    return {
        "kind": type(world).__name__,
        "observations": list(world.observations),
        "actions": list(world.actions),
    }


@runtime_checkable
class Limited(Protocol):
    """A world that has room for so many living agents, and no more."""

    @property
    def room(self) -> int | None:
        """The most agents that can be alive at once; None if there is no bound."""
        ...


def room_of(world: World) -> int | None:
    """The most agents that can be alive at once in a world; None if there is no bound."""
    return world.room if isinstance(world, Limited) else None
