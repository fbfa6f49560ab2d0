"""What a population does, as programs for its devices: begin, go on for some ticks, let agents in.

Each device holds a share of every group's blocks and runs the same program on it.
They meet only where a world counts something, agents learn together, or beliefs are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from hocket.population.devices import AXIS
from hocket.population.draws import Purpose, tick_key, uniforms
from hocket.population.flat import Flat, GroupState
from hocket.population.group import Group
from hocket.population.layout import Layout
from hocket.population.learning import Counts
from hocket.population.mind import Mind, Thought
from hocket.population.tables import Tables
from hocket.population.together import coalitions_of, learn_together, share_beliefs
from hocket.population.worlds.world import AcrossDevices, World

STRIDE = 32
"""The most ticks in one dispatch; their means come back together."""


class State(NamedTuple):
    """A whole population.

    Fields:
        groups: In order.
        tables: Each group's model as it is now; the same on every device.
        lessons: What each group has counted and not yet taken in, [parts, ...].
        shared: What the world remembers of itself; the same on every device.
        seed: What chance depends on, a scalar; no constant, so that all seeds share programs.
        tick: How many ticks have been done, a scalar.
    """

    groups: tuple[GroupState, ...]
    tables: tuple[Tables, ...]
    lessons: tuple[Counts, ...]
    shared: dict[str, jax.Array]
    seed: jax.Array
    tick: jax.Array


Sums = dict[str, jax.Array]
"""What is reported: for each number of each group, sums over living agents, [ticks, parts]."""


class Program:
    """The programs of a population.

    Args:
        groups: Its groups.
        minds: How each thinks.
        layouts: How each is kept.
        world: What they act in.
        mesh: The devices.
        dtype: Of all numbers.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        minds: Sequence[Mind],
        layouts: Sequence[Layout],
        world: World,
        mesh: Mesh,
        dtype: DTypeLike,
    ) -> None:
        self.groups = tuple(groups)
        self.minds = tuple(minds)
        self.layouts = tuple(layouts)
        self.world = world
        self.mesh = mesh
        self.dtype = dtype
        self.across = AcrossDevices(AXIS)
        self.flat = Flat(groups, world, self.across)
        split, whole = PartitionSpec(AXIS), PartitionSpec()
        self.specs = State(
            groups=tuple(GroupState(split, split, split, split, split, split) for _ in groups),  # type: ignore[arg-type]
            tables=whole,  # type: ignore[arg-type]
            lessons=split,  # type: ignore[arg-type]
            shared=whole,  # type: ignore[arg-type]
            seed=whole,  # type: ignore[arg-type]
            tick=whole,  # type: ignore[arg-type]
        )
        each = tuple(split for _ in groups)
        self.begin: Callable[..., State] = jax.jit(
            self._spread(self._begin, (each, each, whole, whole), self.specs)
        )
        self.advance: Callable[[State, Any], tuple[State, Sums]] = jax.jit(
            self._spread(
                self._advance, (self.specs, whole), (self.specs, PartitionSpec(None, AXIS))
            ),
            donate_argnums=0,
        )
        self.admit: Callable[..., State] = jax.jit(
            self._spread(self._admit, (self.specs, each, each, each), self.specs),
            donate_argnums=0,
        )

    def _spread(self, work: Callable[..., Any], takes: Any, gives: Any) -> Callable[..., Any]:
        """Work that each device does on its share."""
        shared: Callable[..., Any] = jax.shard_map(
            work, mesh=self.mesh, in_specs=takes, out_specs=gives, check_vma=False
        )
        return shared

    @property
    def split(self) -> NamedSharding:
        """How arrays that begin with blocks lie on the devices."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    def _begin(
        self,
        ids: tuple[jax.Array, ...],
        alive: tuple[jax.Array, ...],
        tables: tuple[Tables, ...],
        seed: jax.Array,
    ) -> State:
        """Place all agents; they have seen nothing yet but what the world shows first."""
        key = tick_key(seed, jnp.int32(0), Purpose.ENTRY)
        agents = self.flat.agents(ids, alive)
        seen, remembered = self.world.reset(key, agents)
        groups = []
        for g, layout in enumerate(self.layouts):
            blank = self.minds[g].blank(tables[g], layout.lanes)
            blocks = ids[g].shape[0]
            groups.append(
                GroupState(
                    ids[g],
                    alive[g],
                    alive[g],
                    self.flat.seen(g, seen, ids),
                    {
                        **jax.tree.map(
                            lambda leaf, many=blocks: jnp.broadcast_to(leaf, (many, *leaf.shape)),
                            blank,
                        ),
                        **coalitions_of(self.groups[g].sharing, ids[g], alive[g]),
                    },
                    self.flat.own(g, remembered.own, ids),
                )
            )
        lessons = tuple(
            self._nothing_learned(g, tables[g], group, key) for g, group in enumerate(groups)
        )
        return State(tuple(groups), tables, lessons, remembered.shared, seed, jnp.int32(0))

    def _nothing_learned(self, g: int, tables: Tables, group: GroupState, key: jax.Array) -> Counts:
        """Counts of nothing, [parts, ...]."""
        shape = jax.eval_shape(partial(self._block, g), tables, group, key, 0).lessons
        parts = self._parts(g, group.ids)
        nothing: Counts = jax.tree.map(
            lambda leaf: jnp.zeros((parts, *leaf.shape), leaf.dtype), shape
        )
        return nothing

    def _admit(
        self,
        state: State,
        ids: tuple[jax.Array, ...],
        alive: tuple[jax.Array, ...],
        new: tuple[jax.Array, ...],
    ) -> State:
        """Let agents in, and others go, between two ticks."""
        key = tick_key(state.seed, state.tick, Purpose.ENTRY)
        agents = self.flat.agents(ids, alive)
        fresh = jnp.concatenate([flags.reshape(-1) for flags in new])
        seen, remembered = self.world.enter(
            key, self.flat.remembered(state.groups, state.shared), agents, fresh
        )
        groups = []
        for g, before in enumerate(state.groups):
            blank = self.minds[g].blank(state.tables[g], self.layouts[g].lanes)
            carried = {name: before.mind[name] for name in blank}
            groups.append(
                GroupState(
                    ids[g],
                    alive[g],
                    before.fresh | new[g],
                    jnp.where(new[g][:, None], self.flat.seen(g, seen, ids), before.seen),
                    {
                        **jax.tree.map(
                            lambda leaf, empty, flags=new[g]: jnp.where(
                                _over(flags, leaf), empty, leaf
                            ),
                            carried,
                            blank,
                        ),
                        **coalitions_of(self.groups[g].sharing, ids[g], alive[g]),
                    },
                    self.flat.own(g, remembered.own, ids),
                )
            )
        return state._replace(groups=tuple(groups), shared=remembered.shared)

    def _advance(self, state: State, ticks: jax.Array) -> tuple[State, Sums]:
        """Go on for some ticks, at most `STRIDE`."""
        shapes = jax.eval_shape(self._tick, state)[1]
        empty = jax.tree.map(lambda leaf: jnp.zeros((STRIDE, *leaf.shape), leaf.dtype), shapes)

        def once(number: jax.Array, carried: tuple[State, Sums]) -> tuple[State, Sums]:
            before, sums = carried
            after, news = self._tick(before)
            return after, jax.tree.map(lambda all_, one: all_.at[number].set(one), sums, news)

        done: tuple[State, Sums] = jax.lax.fori_loop(0, ticks, once, (state, empty))
        return done

    def _tick(self, state: State) -> tuple[State, Sums]:
        """One tick: all agents think, then the world moves, then they learn and share."""
        sums: Sums = {}
        groups, acted, lessons = [], [], []
        for g in range(len(self.groups)):
            group, actions, info, counted = self._think(g, state)
            groups.append(group)
            acted.append(actions)
            lessons.append(counted)
            for name, values in info.items():
                sums[f"{self.groups[g].name}/{name}"] = values
        key = tick_key(state.seed, state.tick, Purpose.WORLD)
        ids = tuple(group.ids for group in groups)
        agents = self.flat.agents(ids, tuple(group.alive for group in groups))
        flat = jnp.concatenate(
            [jnp.moveaxis(actions, 1, 0).reshape(actions.shape[1], -1) for actions in acted], axis=1
        )
        remembered = self.flat.remembered(state.groups, state.shared)
        seen, remembered, reward, done, further = self.world.step(key, remembered, flat, agents)
        for g, group in enumerate(groups):
            here = self.flat.slice(g, ids)
            groups[g] = group._replace(
                seen=self.flat.seen(g, seen, ids),
                own=self.flat.own(g, remembered.own, ids),
                fresh=done[here].reshape(group.ids.shape),
            )
            for name, values in {"reward": reward, **further}.items():
                sums[f"{self.groups[g].name}/{name}"] = self._by_part(
                    g, jnp.where(group.alive, values[here].reshape(group.ids.shape), 0)
                )
            sums[f"{self.groups[g].name}/alive"] = self._by_part(g, group.alive)
        tick, tables = state.tick + 1, list(state.tables)
        for g, made in enumerate(self.groups):
            if made.learning is not None and made.learning.per == "group":
                tables[g], lessons[g] = learn_together(
                    made.learning, self.minds[g].planned, tick, tables[g], lessons[g]
                )
            if made.sharing is not None:
                here = self.flat.slice(g, ids)
                groups[g] = share_beliefs(
                    made.sharing, groups[g], self.world, remembered, here, tick, self.across
                )
        after = state._replace(
            groups=tuple(groups),
            tables=tuple(tables),
            lessons=tuple(lessons),
            shared=remembered.shared,
            tick=tick,
        )
        return after, sums

    def _block(
        self, g: int, tables: Tables, group: GroupState, key: jax.Array, number: Any
    ) -> Thought:
        """One block of a group thinks."""
        mind = self.minds[g]
        state = jax.tree.map(lambda leaf: leaf[number], group.mind)
        return mind.think(
            tables,
            mind.renew(tables, state, group.fresh[number]),
            group.seen[number],
            uniforms(key, group.ids[number], mind.draws),
            group.alive[number],
        )

    def _think(self, g: int, state: State) -> tuple[GroupState, jax.Array, Sums, Counts]:
        """All agents of a group think, block by block; a device's last blocks may be empty."""
        group, tables = state.groups[g], state.tables[g]
        key = tick_key(state.seed, state.tick, Purpose.ACTION)
        blocks = group.ids.shape[0]
        parts = self._parts(g, group.ids)
        shape = jax.eval_shape(partial(self._block, g), tables, group, key, 0)
        actions = jnp.zeros((blocks, *shape.actions.shape), shape.actions.dtype)
        info = {name: jnp.zeros(parts, jnp.float32) for name in shape.info}

        def once(number: Any, carried: Any) -> Any:
            minds, actions, info, lessons = carried
            thought = self._block(g, tables, group._replace(mind=minds), key, number)
            part = number * parts // blocks
            return (
                {
                    **minds,
                    **{
                        name: jax.tree.map(
                            lambda all_, one: all_.at[number].set(one), minds[name], leaf
                        )
                        for name, leaf in thought.state.items()
                    },
                },
                actions.at[number].set(thought.actions),
                {
                    name: total.at[part].add(
                        jnp.where(group.alive[number], thought.info[name], 0)
                        .sum()
                        .astype(jnp.float32)
                    )
                    for name, total in info.items()
                },
                jax.tree.map(lambda all_, one: all_.at[part].add(one), lessons, thought.lessons),
            )

        # Slots are filled from the front: what lies behind the last living agent is skipped.
        busy = jnp.where(group.alive.any(1), jnp.arange(1, blocks + 1), 0).max()
        minds, actions, info, lessons = jax.lax.fori_loop(
            0, busy, once, (group.mind, actions, info, state.lessons[g])
        )
        return group._replace(mind=minds), actions, info, lessons

    def _parts(self, g: int, ids: jax.Array) -> int:
        """How many parts of a group this device has."""
        layout = self.layouts[g]
        return ids.shape[0] * layout.parts // layout.blocks

    def _by_part(self, g: int, values: jax.Array) -> jax.Array:
        """Sums over the agents of each part, [parts]; each is added up in the same way."""
        rows = values.reshape(self._parts(g, values), -1).astype(jnp.float32)
        sums: jax.Array = jax.lax.map(jnp.sum, rows)
        return sums


def _over(flags: jax.Array, leaf: jax.Array) -> jax.Array:
    """Flags [blocks, lanes], to be used with [blocks, ..., lanes]."""
    return flags.reshape(flags.shape[0], *(1,) * (leaf.ndim - 2), flags.shape[1])
