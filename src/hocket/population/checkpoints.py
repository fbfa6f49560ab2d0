"""A population in a file: every array as it is, so that it goes on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import NotFound, Refused
from hocket.population.devices import fetch
from hocket.population.distributed import led
from hocket.population.files import whole
from hocket.population.program import State

VERSION = 1
"""Of the file's format."""


class Unusable(Refused):
    """What was saved is of something else, or broken, and will be so whenever it is read."""


class Kept(NamedTuple):
    """What a checkpoint holds.

    Fields:
        leaves: Every array by its name.
        slots: How many agents each group has room for.
        next_id: The number of the next agent.
    """

    leaves: dict[str, NDArray[Any]]
    slots: tuple[int, ...]
    next_id: int


def named_leaves(state: State) -> dict[str, jax.Array]:
    """All arrays of a population.

    What the planner has made of the others is among them: made anew it may differ in the last bit.
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def write_checkpoint(path: Path, state: State, fingerprint: dict[str, str], next_id: int) -> None:
    """Write a population to a file, which is there whole or not at all.

    Of several processes the leading one writes, and the others wait for it.

    Args:
        path: The file.
        state: The population.
        fingerprint: What made it, by part; see `read_checkpoint`.
        next_id: The number of the next agent.

    Raises:
        OSError: if it cannot be written.
    """
    arrays = {name: fetch(leaf) for name, leaf in named_leaves(state).items()}
    head = {
        "version": VERSION,
        "made of": fingerprint,
        "slots": [arrays[f"groups/{g}/ids"].size for g in range(len(state.groups))],
        "next id": next_id,
    }
    led(lambda: _write(path, head, arrays))


def _write(path: Path, head: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    with whole(path) as file:
        np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)  # type: ignore[arg-type]


def read_checkpoint(path: Path, fingerprint: dict[str, str]) -> Kept:
    """Read a population from a file.

    Args:
        path: The file.
        fingerprint: What it must have been made of, by part: groups, world, seed, dtype.

    Raises:
        NotFound: if there is no such file.
        Unusable: if it is broken, of another version, or made of something else.
        Refused: if it cannot be read now.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            head = json.loads(bytes(file["head"]))
            leaves = {name: file[name] for name in file.files if name != "head"}
    except FileNotFoundError:
        raise NotFound(f"there is no checkpoint {path}") from None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise Unusable(f"{path} is no whole checkpoint of a population: {error}") from error
    if head.get("version") != VERSION:
        raise Unusable(f"{path} is a checkpoint of version {head.get('version')}, not {VERSION}")
    made = head["made of"]
    other = [part for part in fingerprint if made.get(part) != fingerprint[part]]
    if other:
        raise Unusable(
            f"{path} was made with another {', '.join(other)}: "
            "resume with what it was made with, or begin anew without it"
        )
    return Kept(leaves, tuple(head["slots"]), head["next id"])


def fingerprint_of(value: Any) -> str:
    """A short hash of a value of dataclasses, tuples, numbers and arrays."""
    mark = hashlib.sha256()
    _feed(mark, value)
    return mark.hexdigest()[:16]


def _feed(mark: Any, value: Any) -> None:
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        mark.update(f"{array.dtype}{array.shape}".encode())
        mark.update(np.ascontiguousarray(array).tobytes())
    elif isinstance(value, tuple | list):
        mark.update(f"({len(value)}".encode())
        for item in value:
            _feed(mark, item)
    elif hasattr(value, "__dataclass_fields__"):
        mark.update(type(value).__name__.encode())
        for name in value.__dataclass_fields__:
            mark.update(name.encode())
            _feed(mark, getattr(value, name))
    elif isinstance(value, dict):
        for name in sorted(value):
            mark.update(repr(name).encode())
            _feed(mark, value[name])
    else:
        mark.update(f"{type(value).__name__}:{value}".encode())


def digest(state: State) -> str:
    """A hash of every living agent, of what is shared, and of the tick."""
    mark = hashlib.sha256()
    for group in state.groups:
        alive = fetch(group.alive)
        blocks, lanes = np.nonzero(alive)
        order = np.argsort(fetch(group.ids)[blocks, lanes])
        places = blocks[order], lanes[order]
        for leaf in jax.tree.leaves((group.ids, group.fresh, group.seen, group.mind, group.own)):
            _hash_agents(mark, np.moveaxis(fetch(leaf), -1, 1), places)
    shared: Sequence[Any] = jax.tree.leaves(
        (
            [table._replace(plan={}) for table in state.tables],
            state.lessons,
            state.shared,
            state.tick,
        )
    )
    for leaf in shared:
        mark.update(fetch(leaf).tobytes())
    return mark.hexdigest()


def _hash_agents(
    mark: Any, rows: NDArray[Any], places: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> None:
    """Hash what agents have, agent by agent; some at a time, as it may be most of the memory."""
    blocks, lanes = places
    for begin in range(0, len(blocks), 16_384):
        some = slice(begin, begin + 16_384)
        mark.update(rows[blocks[some], lanes[some]].tobytes())
