"""The arrays of a population on its devices, and the programs that work on them."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from hocket.core.errors import NotFound
from hocket.population.checkpoints import Kept, named_leaves
from hocket.population.devices import fetch, kind_of, mesh_of, spread
from hocket.population.group import Group
from hocket.population.layout import Layout, layouts_of
from hocket.population.mind import FullMind, Mind, WindowMind
from hocket.population.program import Program, State
from hocket.population.sizes import check_memory, free_memory, wanted_bytes
from hocket.population.tables import Tables
from hocket.population.twolevel import TwoLevelMind
from hocket.population.worlds.world import World

DType: TypeAlias = Literal["float32", "float64"]


class Arrays:
    """What a population is made of; every change goes through here.

    Args:
        groups: The agents.
        world: What they act in.
        seed: What chance depends on.
        devices: How many devices share the work; all, if None.
        dtype: Of beliefs and tables.
        memory: How many bytes may be taken; what is free, if None.
        kept: What a checkpoint holds, to go on with; a beginning, if None.

    Fields:
        program: The programs for the present number of slots.
        state: The arrays.
        next_id: The number of the next agent.

    Raises:
        Refused: if there is not enough memory; nothing has been allocated then.
    """

    program: Program
    state: State

    def __init__(
        self,
        groups: Sequence[Group],
        world: World,
        seed: int,
        devices: int | None,
        dtype: DType,
        memory: int | None,
        kept: Kept | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self.world = world
        self.seed = seed
        self.dtype: DType = dtype
        self.next_id = 0
        self._devices = devices
        self._memory = memory
        with self.precision():
            if kept is None:
                rooms = [group.room for group in self.groups]
                self._build(rooms, sum(rooms))
                self._begin()
            else:
                living = sum(
                    int(kept.leaves[f"groups/{g}/alive"].sum()) for g in range(len(groups))
                )
                self._build(kept.slots, living)
                self._take(kept.leaves)
                self.next_id = kept.next_id

    def precision(self) -> AbstractContextManager[Any]:
        """What everything that computes happens within."""
        return jax.enable_x64(True) if self.dtype == "float64" else nullcontext()

    def index(self, group: str) -> int:
        """The number of a group.

        Raises:
            NotFound: if there is none of that name.
        """
        for g, one in enumerate(self.groups):
            if one.name == group:
                return g
        raise NotFound(
            f"no group {group!r}; there are {', '.join(one.name for one in self.groups)}"
        )

    def put(self, group: str, name: str, arrays: Sequence[NDArray[Any]]) -> None:
        """Give the agents of a group what they carry under a name, [blocks, ..., lanes] each."""
        g = self.index(group)
        mind = self.state.groups[g].mind
        with self.precision():
            leaves = [
                spread(array.astype(old.dtype), self.program.split)
                for array, old in zip(arrays, jax.tree.leaves(mind[name]), strict=True)
            ]
        kept = jax.tree.unflatten(jax.tree.structure(mind[name]), leaves)
        self._replace_group(g, mind={**mind, name: kept})

    def put_preferences(self, group: str, preferences: Sequence[NDArray[Any]]) -> None:
        """Give all agents of a group the preferences that they share."""
        C = tuple(jnp.asarray(row, self.dtype) for row in preferences)
        self._replace_tables(self.index(group), C=C)

    def put_gamma(self, group: str, gamma: float) -> None:
        """Give all agents of a group the precision that they share."""
        self._replace_tables(self.index(group), gamma=jnp.asarray(gamma, self.dtype))

    def _build(self, rooms: Sequence[int], asked: int) -> None:
        """Make the programs for that many slots of each group, if there is memory for them.

        Slots are rounded up to blocks; `asked` is how many agents somebody has asked for.
        """
        layouts = layouts_of(
            [group.model for group in self.groups],
            rooms,
            wide=kind_of(jax.devices()[0]) == "gpu",
        )
        mesh = mesh_of(self._devices, layouts[0].parts)
        minds = [mind_of(group) for group in self.groups]
        program = Program(self.groups, minds, layouts, self.world, mesh, jnp.dtype(self.dtype))
        check_memory(
            wanted_bytes(self._shapes(program), self.groups),
            free_memory(list(mesh.devices.flat)) if self._memory is None else self._memory,
            asked,
        )
        self.program = program

    def _shapes(self, program: Program) -> State:
        """What the arrays will be, without making them."""
        rows = [(layout.blocks, layout.lanes) for layout in program.layouts]
        shapes: State = jax.eval_shape(
            program.begin,
            tuple(jax.ShapeDtypeStruct(shape, np.uint32) for shape in rows),
            tuple(jax.ShapeDtypeStruct(shape, np.bool_) for shape in rows),
            jax.eval_shape(lambda: self._tables(program)),
            jax.ShapeDtypeStruct((), np.uint32),
        )
        return shapes

    def _tables(self, program: Program) -> tuple[Tables, ...]:
        return tuple(mind.tables(self.dtype) for mind in program.minds)

    def _begin(self) -> None:
        """Place everybody."""
        ids, alive = [], []
        for group, layout in zip(self.groups, self.program.layouts, strict=True):
            numbers = np.zeros(layout.slots, np.uint32)
            numbers[: group.agents] = np.arange(self.next_id, self.next_id + group.agents)
            self.next_id += group.agents
            ids.append(self._blocks(numbers, layout))
            alive.append(self._blocks(np.arange(layout.slots) < group.agents, layout))
        tables = jax.jit(lambda: self._tables(self.program), out_shardings=self._whole)()
        seed = spread(np.asarray(self.seed, np.uint32), self._whole)
        self.state = self.program.begin(tuple(ids), tuple(alive), tables, seed)

    @property
    def _whole(self) -> NamedSharding:
        """How arrays lie that every device has."""
        return NamedSharding(self.program.mesh, PartitionSpec())

    def _blocks(self, flat: NDArray[Any], layout: Layout) -> jax.Array:
        return spread(flat.reshape(layout.blocks, layout.lanes), self.program.split)

    def admit(self, g: int, ids: NDArray[Any], alive: NDArray[Any], new: NDArray[Any]) -> None:
        """Say who lives in a group from now on."""
        split = self.program.split
        groups = self.state.groups
        with self.precision():
            self.state = self.program.admit(
                self.state,
                tuple(
                    spread(ids if k == g else fetch(one.ids), split) for k, one in enumerate(groups)
                ),
                tuple(
                    spread(alive if k == g else fetch(one.alive), split)
                    for k, one in enumerate(groups)
                ),
                tuple(
                    spread(new if k == g else np.zeros(one.ids.shape, bool), split)
                    for k, one in enumerate(groups)
                ),
            )

    def grow(self, g: int, agents: int) -> None:
        """Take memory for twice as many agents of a group, or for `agents` if these are more."""
        rooms = [layout.slots for layout in self.program.layouts]
        others = sum(
            int(fetch(one.alive).sum()) for k, one in enumerate(self.state.groups) if k != g
        )
        rooms[g] = max(2 * rooms[g], agents)
        with self.precision():
            self._build(rooms, others + agents)
            kept = named_leaves(self.state)
            del self.state
            self._take(kept)

    def advance(self, ticks: int) -> dict[str, jax.Array]:
        """Go on for some ticks, at most `program.STRIDE`; sums by part, [STRIDE, parts]."""
        with self.precision():
            self.state, sums = self.program.advance(self.state, np.int32(ticks))
        return sums

    def _take(self, leaves: MutableMapping[str, Any]) -> None:
        """Put kept arrays on the devices; blocks that are missing at the end are empty.

        Each is taken out of `leaves`, so that it is not there twice for longer than it has to be.
        """
        shapes = self._shapes(self.program)
        taken = []
        for name, shape in named_leaves(shapes).items():
            array, split = fetch(leaves.pop(name)), True
            if name.startswith("groups/"):
                array = regrid(array, shape.shape)
            elif name.startswith("lessons/"):
                # In other parts than before, the first one has it all.
                together = np.zeros(shape.shape, array.dtype)
                together[0] = array.sum(0)
                array = array if array.shape == shape.shape else together
            else:
                split = False
            taken.append(spread(array, self.program.split if split else self._whole))
        self.state = jax.tree.unflatten(jax.tree.structure(shapes), taken)

    def _replace_group(self, g: int, **changes: Any) -> None:
        groups = list(self.state.groups)
        groups[g] = groups[g]._replace(**changes)
        self.state = self.state._replace(groups=tuple(groups))

    def _replace_tables(self, g: int, **changes: Any) -> None:
        tables = list(self.state.tables)
        with self.precision():
            placed = jax.device_put(changes, self._whole)
        tables[g] = tables[g]._replace(**placed)
        self.state = self.state._replace(tables=tuple(tables))


def mind_of(group: Group) -> Mind:
    """How the agents of a group think."""
    if group.beliefs == "two-level":
        return TwoLevelMind(group)
    return WindowMind(group) if group.model.inference == "vmp" else FullMind(group)


def regrid(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """The same agents in as many blocks and lanes as `shape` has, [blocks, ..., lanes].

    Slots keep their order; those that are new are empty.
    """
    if array.shape == tuple(shape):
        return array
    if array.shape[1:] == tuple(shape[1:]):
        longer = np.zeros(shape, array.dtype)
        longer[: len(array)] = array
        return longer
    rows = np.moveaxis(array, -1, 1).reshape(-1, *array.shape[1:-1])
    blocks, lanes = shape[0], shape[-1]
    result = np.zeros((blocks * lanes, *rows.shape[1:]), array.dtype)
    result[: len(rows)] = rows
    return np.moveaxis(result.reshape(blocks, lanes, *rows.shape[1:]), 1, -1)
