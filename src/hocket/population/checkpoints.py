"""A population in a file: every array as it is, so that it goes on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import NotFound, Refused
from hocket.population.devices import fetch
from hocket.population.distributed import led
from hocket.population.files import whole
from hocket.population.group import Group
from hocket.population.program import State
from hocket.population.rows import Rows, places_of, shares_of, stretches
from hocket.population.worlds.world import World

VERSION = 2
"""Of the file's format."""

_WORLD, _GROUPS = "world", "list of groups"
_WHOLE = {_WORLD: "world.", _GROUPS: "groups."}
"""Parts that stand for others, by what the names of these begin with."""

_NAMED = 4
"""How many of the parts that differ a message names."""


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
    leaves = named_leaves(state)
    shares = {name: shares_of(leaf) for name, leaf in leaves.items()}
    head = {
        "version": VERSION,
        "made of": fingerprint,
        "slots": [group.ids.size for group in state.groups],
        "next id": next_id,
    }

    def write() -> None:
        with whole(path) as file, zipfile.ZipFile(file, "w") as entries:
            _write_entry(entries, "head", np.frombuffer(json.dumps(head).encode(), np.uint8))
            for name, leaf in leaves.items():
                _write_entry(entries, name, leaf, shares[name])

    led(write)


def _write_entry(
    entries: zipfile.ZipFile,
    name: str,
    array: jax.Array | NDArray[Any],
    shares: Sequence[tuple[int, Any]] | None = None,
) -> None:
    """Write an array as numpy does, each device's share after the other."""
    told = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(array.dtype)),
        "fortran_order": False,
        "shape": tuple(array.shape),
    }
    with entries.open(f"{name}.npy", "w", force_zip64=True) as entry:
        np.lib.format.write_array_header_1_0(entry, told)
        for _, share in [(0, array)] if shares is None else shares:
            entry.write(np.ascontiguousarray(share).reshape(-1).data)


def read_checkpoint(path: Path, fingerprint: dict[str, str]) -> Kept:
    """Read a population from a file.

    Args:
        path: The file.
        fingerprint: What it must have been made of, by part; see `parts_of`.

    Raises:
        NotFound: if there is no such file.
        Unusable: if it was made of something else, which is named, or is broken.
        Refused: if it cannot be read.
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
    if other := _differences(head["made of"], fingerprint):
        said = " and ".join(other[:_NAMED])
        more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        raise Unusable(
            f"{path} was made with another {said}{more}: "
            "resume with what it was made with, or begin anew without it"
        )
    return Kept(leaves, tuple(head["slots"]), head["next id"])


def parts_of(groups: Sequence[Group], world: World, seed: int, dtype: str) -> dict[str, str]:
    """What a population is made of: a hash, or the value itself, of each part by its name."""
    parts = {"seed": str(seed), "dtype": dtype, _WORLD: type(world).__name__}
    parts[_GROUPS] = fingerprint_of([group.name for group in groups])
    for group in groups:
        parts |= _parts(f"groups.{group.name}", group)
    return parts | _parts("world", world)


def _parts(name: str, value: Any) -> dict[str, str]:
    """A hash of each field, of a model's fields too; of the whole where there are none."""
    if not is_dataclass(value):
        return {name: fingerprint_of(value)}
    parts: dict[str, str] = {}
    for field in fields(value):
        here, held = f"{name}.{field.name}", getattr(value, field.name)
        parts |= _parts(here, held) if field.name == "model" else {here: fingerprint_of(held)}
    return parts


def _differences(made: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The names of parts that are not the same; nothing within what is another altogether."""
    other = [name for name in {**wanted, **made} if made.get(name) != wanted.get(name)]
    within = tuple(beginning for name, beginning in _WHOLE.items() if name in other)
    return [name for name in other if not name.startswith(within)]


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
    elif isinstance(value, np.generic):
        _feed(mark, value.item())
    elif isinstance(value, dict):
        for name in sorted(value):
            mark.update(repr(name).encode())
            _feed(mark, value[name])
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        mark.update(f"{type(value).__name__}:{value!r}".encode())
    else:
        # Of another library's object, such as an environment, its kind is what can be compared.
        mark.update(f"{type(value).__module__}.{type(value).__qualname__}".encode())


def digest(state: State) -> str:
    """A hash of every living agent, of what is shared, and of the tick.

    Agents are read some at a time, as what they have may be most of the memory.
    """
    mark = hashlib.sha256()
    for group in state.groups:
        places = places_of(group.ids, group.alive)
        for leaf in jax.tree.leaves((group.ids, group.fresh, group.seen, group.mind, group.own)):
            rows = Rows(leaf)
            for some in stretches(places, rows.size):
                mark.update(rows.of(some).tobytes())
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
