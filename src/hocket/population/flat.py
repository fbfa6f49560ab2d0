"""Between blocks of agents, as minds want them, and rows of agents, as worlds do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hocket.population.group import Group
from hocket.population.mind import MindState
from hocket.population.worlds.world import Across, Agents, World, WorldState


class GroupState(NamedTuple):
    """One group; arrays begin with [blocks], which devices share, and end with [lanes].

    Fields:
        ids: The agents' numbers, [blocks, lanes].
        alive: Whether there is an agent, [blocks, lanes].
        fresh: Whether an agent begins an episode, [blocks, lanes].
        seen: What they see, [blocks, modalities, lanes].
        mind: What they carry, [blocks, ..., lanes].
        own: What the world remembers of them, [blocks, ..., lanes].
    """

    ids: jax.Array
    alive: jax.Array
    fresh: jax.Array
    seen: jax.Array
    mind: MindState
    own: dict[str, jax.Array]


class Flat:
    """What a device holds of all groups, one after the other.

    Args:
        groups: The groups.
        world: The world that asks.
        across: How it asks about all agents of all devices.
    """

    def __init__(self, groups: Sequence[Group], world: World, across: Across) -> None:
        self.modalities = tuple(group.modalities(world) for group in groups)
        self.across = across

    def agents(self, ids: Sequence[jax.Array], alive: Sequence[jax.Array]) -> Agents:
        """All agents of this device, flat, as worlds see them."""
        return Agents(
            ids=jnp.concatenate([numbers.reshape(-1) for numbers in ids]),
            alive=jnp.concatenate([flags.reshape(-1) for flags in alive]),
            group=jnp.concatenate(
                [jnp.full(numbers.size, g, jnp.int32) for g, numbers in enumerate(ids)]
            ),
            across=self.across,
        )

    def slice(self, g: int, ids: Sequence[jax.Array]) -> slice:
        """Where a group's agents are among all of this device."""
        begin = sum(numbers.size for numbers in ids[:g])
        return slice(begin, begin + ids[g].size)

    def seen(self, g: int, seen: jax.Array, ids: Sequence[jax.Array]) -> jax.Array:
        """What a group sees, [blocks, modalities, lanes]."""
        chosen = jnp.array(self.modalities[g], jnp.int32)
        mine = seen[chosen][:, self.slice(g, ids)]
        return _blocked(mine, ids[g].shape).astype(jnp.int32)

    def own(
        self, g: int, own: dict[str, jax.Array], ids: Sequence[jax.Array]
    ) -> dict[str, jax.Array]:
        """What the world remembers of a group's agents, [blocks, ..., lanes]."""
        here = self.slice(g, ids)
        return {name: _blocked(leaf[..., here], ids[g].shape) for name, leaf in own.items()}

    def remembered(self, groups: Sequence[GroupState], shared: dict[str, jax.Array]) -> WorldState:
        """The world's memory of all agents of this device, flat."""
        own = {
            name: jnp.concatenate(
                [
                    jnp.moveaxis(group.own[name], 0, -2).reshape(*group.own[name].shape[1:-1], -1)
                    for group in groups
                ],
                axis=-1,
            )
            for name in groups[0].own
        }
        return WorldState(own, shared)


def _blocked(flat: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """From [..., N] to [blocks, ..., lanes]."""
    return jnp.moveaxis(flat.reshape(*flat.shape[:-1], *shape), -2, 0)
