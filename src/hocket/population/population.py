"""A population: groups of agents in a world, and what can be done with it between ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hocket.core.errors import NotFound, Refused
from hocket.population.arrays import Arrays, DType
from hocket.population.checkpoints import (
    Kept,
    digest,
    parts_of,
    read_checkpoint,
    write_checkpoint,
)
from hocket.population.devices import fetch
from hocket.population.group import NUMBERS, Group, check_groups
from hocket.population.judging import is_whole, numbers_of
from hocket.population.program import STRIDE
from hocket.population.rows import Rows, places_of
from hocket.population.sizes import bytes_of
from hocket.population.slots import Slots
from hocket.population.worlds.world import World, room_of


class Series(NamedTuple):
    """What happened, tick by tick.

    Fields:
        first: The number of the first tick.
        means: Of each number of each group ("explorers/reward"), the mean over its living agents,
            [ticks]; NaN where none lived. "explorers/alive" is their number.
    """

    first: int
    means: dict[str, NDArray[np.float64]]


class Snapshot(NamedTuple):
    """What a world remembers between two ticks.

    Fields:
        own: Of each living agent, in the order of their ids, [..., agents]; "id" among it.
        shared: Of the world itself.
    """

    own: dict[str, NDArray[Any]]
    shared: dict[str, NDArray[Any]]


class Population:
    """Agents in a world.

    The same seed gives the same life, to the last bit, on any number of devices.

    Args:
        groups: The agents.
        world: What they act in.
        seed: What chance depends on, 0 to 2**32 - 1.
        devices: How many devices share the work; all that JAX has, if left out.
        dtype: Of beliefs and tables.
        memory: How many bytes may be taken; what is free, if left out.
        kept: What a checkpoint holds; see `restore`.

    Raises:
        SpecError: if groups do not fit each other or the world.
        Refused: if seed, devices, dtype or memory are none, or it would take more memory than
            there is; nothing has been allocated then.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        world: World,
        *,
        seed: int = 0,
        devices: int | None = None,
        dtype: DType = "float32",
        memory: int | None = None,
        kept: Kept | None = None,
    ) -> None:
        check_groups(groups, world)
        if not (is_whole(seed, 0) and seed < 2**32):
            raise Refused(f"seed {seed!r}: give a whole number from 0 to 4294967295")
        if dtype not in get_args(DType):
            raise Refused(f"dtype {dtype!r}: give {' or '.join(get_args(DType))}")
        if memory is not None and not is_whole(memory, 0):
            raise Refused(f"memory {memory!r}: give a whole number of bytes")
        self.seed = seed
        self._arrays = Arrays(groups, world, seed, devices, dtype, memory, kept)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The agents, as the population was made with."""
        return self._arrays.groups

    @property
    def world(self) -> World:
        """What they act in."""
        return self._arrays.world

    @property
    def dtype(self) -> DType:
        """Of beliefs and tables."""
        return self._arrays.dtype

    @property
    def tick(self) -> int:
        """How many ticks have been done."""
        return int(fetch(self._arrays.state.tick))

    @property
    def devices(self) -> int:
        """How many devices share the work."""
        return int(self._arrays.program.mesh.size)

    def run(self, ticks: int, *, at_once: int = STRIDE) -> Series:
        """Go on for some ticks.

        Args:
            ticks: How many.
            at_once: How many in one dispatch, at most 32; 1 for the shortest wait at each.

        Raises:
            Refused: if that is no number of ticks.
        """
        if not (is_whole(ticks, 0) and is_whole(at_once, 1) and at_once <= STRIDE):
            raise Refused(
                f"{ticks!r} ticks, {at_once!r} at once: "
                f"give whole numbers, 0 or more ticks, and 1 to {STRIDE} at once"
            )
        first = self.tick
        pieces: list[dict[str, NDArray[Any]]] = []
        for begin in range(0, ticks, at_once):
            many = min(at_once, ticks - begin)
            sums = self._arrays.advance(many)
            pieces.append({name: fetch(rows)[:many] for name, rows in sums.items()})
        return Series(first, _means(pieces))

    def join(self, group: str, count: int) -> NDArray[np.uint32]:
        """Let agents in; they act from the next tick on.

        As long as there is room in the group's capacity nothing is compiled anew; beyond it the
        capacity doubles, which takes about a second.

        Args:
            group: The group's name.
            count: How many.

        Returns:
            Their numbers.

        Raises:
            NotFound: if there is no such group.
            Refused: if that is no number of agents, or there is not enough memory, or the world
                has no room for so many, or all numbers have been given.
        """
        g = self._arrays.index(group)
        if not is_whole(count, 0):
            raise Refused(f"{count!r} agents cannot join {group}: give a whole number, 0 or more")
        if self._arrays.next_id + count > NUMBERS:
            raise Refused(
                f"{count:,} agents cannot join {group}: {self._arrays.next_id:,} of {NUMBERS:,} "
                "numbers have been given, and none is given twice; begin another population"
            )
        space = room_of(self.world)
        living = sum(int(fetch(one.alive).sum()) for one in self._arrays.state.groups)
        if space is not None and living + count > space:
            raise Refused(
                f"{count} agents cannot join {group}: the world has room for {space}, "
                f"and {living} live in it; let some go first, or take a larger world"
            )
        alive = fetch(self._arrays.state.groups[g].alive)
        if (~alive).sum() < count:
            self._arrays.grow(g, int(alive.sum()) + count)
            alive = fetch(self._arrays.state.groups[g].alive)
        free = np.flatnonzero(~alive.reshape(-1))[:count]
        numbers = np.arange(self._arrays.next_id, self._arrays.next_id + count, dtype=np.uint32)
        ids = fetch(self._arrays.state.groups[g].ids).copy()
        new = np.zeros_like(alive)
        ids.reshape(-1)[free] = numbers
        new.reshape(-1)[free] = True
        self._arrays.next_id += count
        self._arrays.admit(g, ids, alive | new, new)
        return numbers

    def remove(self, group: str, ids: ArrayLike) -> None:
        """Let agents go; their room is free for others at once.

        Args:
            group: The group's name.
            ids: Their numbers.

        Raises:
            NotFound: if there is no such group, or no living agent of such a number in it.
            Refused: if these are no numbers of agents.
        """
        g = self._arrays.index(group)
        gone = numbers_of(ids, group)
        numbers, alive = (
            fetch(self._arrays.state.groups[g].ids),
            fetch(self._arrays.state.groups[g].alive),
        )
        unknown = np.setdiff1d(gone, numbers[alive])
        if len(unknown):
            raise NotFound(f"no living agent {unknown[0]} in {group}")
        stay = alive & ~np.isin(numbers, gone)
        self._arrays.admit(g, numbers, stay, np.zeros_like(stay))

    def slots(self, group: str) -> Slots:
        """The living agents of a group, to read and to set something of.

        Raises:
            NotFound: if there is no such group.
        """
        return Slots(self._arrays, self.groups[self._arrays.index(group)])

    def world_state(self) -> Snapshot:
        """What the world remembers."""
        state = self._arrays.state
        places = [places_of(group.ids, group.alive) for group in state.groups]

        def rows_of(leaves: Iterable[jax.Array]) -> list[NDArray[Any]]:
            return [Rows(leaf).of(here) for leaf, here in zip(leaves, places, strict=True)]

        ids = np.concatenate(rows_of(group.ids for group in state.groups))
        order = np.argsort(ids)
        own: dict[str, NDArray[Any]] = {"id": ids[order]}
        for name in state.groups[0].own:
            rows = rows_of(group.own[name] for group in state.groups)
            own[name] = np.moveaxis(np.concatenate(rows)[order], 0, -1)
        return Snapshot(own, {name: fetch(leaf) for name, leaf in state.shared.items()})

    def checksum(self) -> str:
        """A hash of everything: equal only if every bit of every living agent is."""
        return digest(self._arrays.state)

    def memory(self) -> dict[str, int]:
        """Bytes by component; agents' own for all slots, and the models and the world once."""
        state = self._arrays.state
        result = {
            "ids and flags": bytes_of([(g.ids, g.alive, g.fresh) for g in state.groups]),
            "observations": bytes_of([group.seen for group in state.groups]),
            "world, of agents": bytes_of([group.own for group in state.groups]),
            "world, shared": bytes_of(state.shared),
            "models, shared": bytes_of([table._replace(plan={}) for table in state.tables]),
            "plans, shared": bytes_of([table.plan for table in state.tables]),
        }
        for group in state.groups:
            for name, leaf in group.mind.items():
                result[name] = result.get(name, 0) + bytes_of(leaf)
        return result

    def save(self, path: str | Path) -> None:
        """Write everything to a file, all of it or nothing.

        Raises:
            OSError: if it cannot be written.
        """
        made_of = parts_of(self.groups, self.world, self.seed, self.dtype)
        write_checkpoint(Path(path), self._arrays.state, made_of, self._arrays.next_id)

    @classmethod
    def restore(
        cls, path: str | Path, groups: Sequence[Group], world: World, **options: Any
    ) -> Population:
        """Take up a population where it was saved; it goes on as if it had never stopped.

        Args:
            path: The file.
            groups: As it was made with.
            world: Likewise.
            options: Likewise; the number of devices may be another.

        Raises:
            NotFound: if there is no such file.
            Unusable: if it was made with something else, which is named, or is broken.
            Refused: if it cannot be read.
        """
        made_of = parts_of(groups, world, options.get("seed", 0), options.get("dtype", "float32"))
        return cls(groups, world, kept=read_checkpoint(Path(path), made_of), **options)


def _means(pieces: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[np.float64]]:
    """Means over living agents of sums by part, tick by tick."""
    if not pieces:
        return {}
    sums = {
        name: np.concatenate([piece[name] for piece in pieces]).astype(np.float64).sum(1)
        for name in pieces[0]
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: total if name.endswith("/alive") else total / sums[f"{name.split('/')[0]}/alive"]
            for name, total in sums.items()
        }
