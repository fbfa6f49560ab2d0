"""Makes tables of what a node of a GMN says: identity, cases, classes of cells, moves on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hocket.population.gmn_graph import Node
from hocket.population.gmn_parts import Things, number, numbers, pair, shown
from hocket.population.gmn_values import Faults, Stop, Value, near
from hocket.population.transitions import Floats
from hocket.population.validation import TOLERANCE

MOST_ENTRIES: Final = 20_000_000
"""Entries of all tables together."""
MOST_WORK: Final = 100_000_000
"""Columns that all cases together look at."""

WALL: Final = "#"


class Room:
    """Counts what tables take, so that a short text cannot ask for a large one.

    Args:
        faults: Where problems go.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._left = MOST_ENTRIES
        self._work = MOST_WORK

    def take(self, entries: int, at: int) -> None:
        """Ask for a table.

        Raises:
            Stop: if there is no room for it.
        """
        self._left -= entries
        if self._left < 0:
            message = f"the tables have more than {MOST_ENTRIES:,} entries"
            hint = "use {values: grid} or next for transitions, or fewer dependencies"
            self._faults.say(at, message, hint)
            raise Stop

    def work(self, columns: int, at: int) -> None:
        """Ask to look at so many columns.

        Raises:
            Stop: if it would take too long.
        """
        self._work -= columns
        if self._work < 0:
            self._faults.say(at, "there are too many cases for tables of this size")
            raise Stop


@dataclass(slots=True)
class Table:
    """A table that is to be made.

    Fields:
        node: Its node.
        gives: What its columns are probabilities of.
        axes: The names of what it depends on, and these; the action is last.
        own: Which of them is what it gives, for a transition; None for a likelihood.
        faults: Where problems go.
        room: What tables may take.
    """

    node: Node
    gives: Things
    axes: Sequence[tuple[str, Things]]
    own: int | None
    faults: Faults
    room: Room

    @property
    def shape(self) -> tuple[int, ...]:
        """The table's shape."""
        return (self.gives.size, *(about.size for _, about in self.axes))

    def say(self, at: int, message: str, hint: str = "") -> None:
        """Note a problem of this node."""
        self.faults.say(at, f"{self.node.id!r}: {message}", hint, ("nodes", self.node.id))

    def get(self, key: str) -> Value | None:
        """One of the node's properties."""
        found: Value | None = self.node.about.data.get(key)
        return found

    def empty(self) -> Floats:
        """A table of zeros, if there is room for it."""
        # Beside the table, the coordinates of all its columns are made.
        self.room.take((self.gives.size + len(self.axes)) * prod(self.shape[1:]), self.node.at)
        return np.zeros(self.shape)


def table_of(about: Table, words: Sequence[str]) -> Floats | None:
    """Make a table of a node's values or cases; None if it cannot be made.

    Args:
        about: What to make.
        words: What values may be other than a table.
    """
    ways = [key for key in ("values", "cases", "classes") if about.get(key) is not None]
    if len(ways) != 1:
        known = "one of values, cases, classes" if about.own is None else "one of values, cases"
        about.say(about.node.at, f"needs {known}", f"write {{values: {words[0]}}}")
        return None
    value = about.node.about.data[ways[0]]
    sure = certainty(about)
    if ways == ["cases"]:
        return _cases(about, value, sure)
    if ways == ["classes"]:
        return _classes(about, value, sure)
    if isinstance(value.data, list):
        return _given(about, value)
    if value.data == "uniform":
        return np.full_like(about.empty(), 1 / about.gives.size)
    if value.data == "identity":
        return _identity(about, value, sure)
    if value.data == "choose" and about.own is not None:
        return _choose(about, value, sure)
    hint = near(str(value.data), words) or f"use a table, or {' or '.join(words)}"
    about.say(value.at, f"{shown(value)} is no table", hint)
    return None


def certainty(about: Table) -> float:
    """How sure the table is of what its cases say."""
    given = about.get("certainty")
    if given is None:
        return 1.0
    sure = number(given, about.faults)
    if not 0 <= sure <= 1:
        about.say(given.at, f"certainty is {sure:g}", "give a number from 0 to 1")
        return 1.0
    return sure


def _given(about: Table, value: Value) -> Floats | None:
    table: Floats | None = numbers(value, about.faults, "table")
    wanted = about.shape
    if table is not None and about.own is not None and table.shape == wanted[:-1]:
        # Without an action the last axis may be left out.
        table = table[..., None] if wanted[-1] == 1 else table
    if table is not None and table.shape != wanted:
        axes = ", ".join([about.gives.label, *(name for name, _ in about.axes)])
        message = f"the table has shape {table.shape}, and {wanted} is wanted: [{axes}]"
        about.say(value.at, message, "see the edges, and their order")
        return None
    return table


def _identity(about: Table, value: Value, sure: float) -> Floats | None:
    """What is seen, or comes next, is what is."""
    own = about.own or 0
    sizes = {about.gives.size, about.axes[own][1].size} if about.axes else set()
    if about.own is None and (len(about.axes) != 1 or len(sizes) != 1):
        message = "identity is for one state with as many states as there are observations"
        about.say(value.at, message, "use cases")
        return None
    table = about.empty()
    coordinates = np.indices(about.shape[1:]).reshape(len(about.axes), -1)
    table[:] = _rest(about.gives.size, sure)
    table[(coordinates[own], *coordinates)] = sure if about.gives.size > 1 else 1.0
    return table


def _choose(about: Table, value: Value, sure: float) -> Floats | None:
    """The action says which state comes next."""
    size = about.gives.size
    if about.axes[-1][1].size != size:
        message = f"choose needs an action for each state: {about.axes[-1][1].size} for {size}"
        about.say(value.at, message, "use cases")
        return None
    table = about.empty()
    table[:] = _rest(size, sure)
    for state in range(size):
        table[state, ..., state] = sure if size > 1 else 1.0
    return table


def _rest(size: int, sure: float) -> float:
    return (1 - sure) / (size - 1) if size > 1 else 0.0


def _classes(about: Table, value: Value, sure: float) -> Floats | None:
    """What is seen, by the character of the cell."""
    cells = about.axes[0][1].map if len(about.axes) == 1 else None
    if cells is None or not isinstance(value.data, dict):
        message = "classes say what is seen in the cells of one state with a map"
        about.say(value.at, message, 'write {classes: {".": nothing, "*": something}}')
        return None
    there = about.axes[0][1].cells
    for mark, at in value.keys.items():
        if mark not in there and mark != "*":
            about.say(at, f"the map has no {mark!r}", f"it has {' '.join(there)}")
    table = about.empty()
    for mark in there:
        given = value.data.get(mark, value.data.get("*"))
        about.room.work(len(cells), value.at)
        if given is None and mark != WALL:
            about.say(value.at, f"no class for {mark!r}", 'name it, or "*" for all others')
        vector = None if given is None else spread(about.gives, given, sure, about.faults)
        # Nobody is ever inside a wall: what would be seen there says nothing.
        column = np.full(about.gives.size, 1 / about.gives.size) if vector is None else vector
        table[:, cells == mark] = column[:, None]
    return table


def _cases(about: Table, value: Value, sure: float) -> Floats | None:
    """The first case that fits a column says what is in it."""
    if not isinstance(value.data, list):
        hint = "write [{when: {place: left}, then: food}, {then: nothing}]"
        about.say(value.at, "cases are no list", hint)
        return None
    table = about.empty()
    still = np.ones(about.shape[1:], bool)
    for case in value.data:
        about.room.work(still.size + about.gives.size, case.at)
        if not isinstance(case.data, dict) or "then" not in case.data:
            about.say(case.at, "a case needs then", "write {when: {place: left}, then: food}")
            continue
        for key, at in case.keys.items():
            if key not in ("when", "then"):
                about.say(at, f"{key!r} is no key of a case", "there are when, then")
        here = np.zeros_like(still)
        here[np.ix_(*_when(about, case.data.get("when")))] = True
        here &= still
        still &= ~here
        _fill(about, table, here, case.data["then"], sure)
    if still.any():
        first = np.argwhere(still)[0]
        said = ", ".join(
            f"{name} {thing.names[place] if thing.names else place}"
            for (name, thing), place in zip(about.axes, first, strict=True)
        )
        about.say(value.at, f"no case fits {said}", "add {then: ...} as the last one")
    return table


def _when(about: Table, value: Value | None) -> list[NDArray[np.int64]]:
    chosen = [np.arange(thing.size) for _, thing in about.axes]
    if value is None:
        return chosen
    if not isinstance(value.data, dict):
        about.say(value.at, "when is no map", "write {when: {place: left}}")
        return chosen
    names = [name for name, _ in about.axes]
    for name, given in value.data.items():
        if name not in names:
            hint = near(name, names) or f"it depends on {', '.join(names) or 'nothing'}"
            about.say(value.keys[name], f"does not depend on {name!r}", hint)
            continue
        axis = names.index(name)
        chosen[axis] = np.array(places(about.axes[axis][1], given, about.faults), np.int64)
    return chosen


def _fill(about: Table, table: Floats, here: NDArray[np.bool_], value: Value, sure: float) -> None:
    if value.data == "stays" and about.own is not None and "stays" not in about.gives.index:
        coordinates = np.nonzero(here)
        table[:, here] = _rest(about.gives.size, sure)
        table[(coordinates[about.own], *coordinates)] = sure if about.gives.size > 1 else 1.0
        return
    vector = spread(about.gives, value, sure, about.faults)
    table[:, here] = vector[:, None]


def spread(about: Things, value: Value, sure: float, faults: Faults) -> Floats:
    """Make probabilities of a name, names, numbers, or names with probabilities."""
    data = value.data
    if data == "uniform" and "uniform" not in about.index:
        return np.full(about.size, 1 / about.size)
    made = np.zeros(about.size)
    if isinstance(data, dict):
        for name, share in data.items():
            for place in places(about, Value(name, value.keys[name]), faults):
                made[place] += number(share, faults)
        return _summed(made, value, faults)
    if isinstance(data, list) and data and all(_is_number(item) for item in data):
        given = numbers(value, faults, "list of probabilities")
        if given is not None and given.shape != made.shape:
            faults.say(value.at, f"there are {len(data)} numbers for {about.size} of {about.label}")
            return made
        return made if given is None else _summed(given, value, faults)
    chosen = places(about, value, faults)
    if not chosen:
        return made
    made[chosen] = 1
    others = about.size - made.sum()
    if not others:
        return made / about.size
    result: Floats = made * (sure / made.sum()) + (1 - made) * ((1 - sure) / others)
    return result


def _summed(made: Floats, value: Value, faults: Faults) -> Floats:
    total = float(made.sum())
    if not abs(total - 1) <= TOLERANCE:
        faults.say(value.at, f"these probabilities sum to {total:g}, not to 1")
    return made


def _is_number(value: Value) -> bool:
    return isinstance(value.data, int | float) and not isinstance(value.data, bool)


def places(about: Things, value: Value, faults: Faults) -> list[int]:
    """Which states, observations or actions are meant: by name, number, cell or map character."""
    data = value.data
    if isinstance(data, list):
        chosen: dict[int, None] = {}
        for item in data:
            chosen.update(dict.fromkeys(_place_in_list(about, item, faults)))
        return list(chosen)
    if isinstance(data, int) and not isinstance(data, bool):
        if 0 <= data < about.size:
            return [data]
        faults.say(value.at, f"{about.label!r} has no number {data}", f"use 0 to {about.size - 1}")
        return []
    if isinstance(data, str):
        if data in about.index:
            return [about.index[data]]
        if data in about.cells:
            return about.cells[data]
        known = about.names or tuple(about.cells)
        hint = near(data, known) or (f"there are {', '.join(known[:12])}" if known else "")
        faults.say(value.at, f"{about.label!r} has no {data!r}", hint or "use its number")
        return []
    faults.say(value.at, f"{shown(value)} names nothing of {about.label!r}")
    return []


def _place_in_list(about: Things, value: Value, faults: Faults) -> list[int]:
    """One of several; here a list of two numbers is a cell."""
    if isinstance(value.data, list) and about.grid is not None:
        row, column = pair(value, faults, "a cell, as [row, column]", 0)
        if row < about.grid[0] and column < about.grid[1]:
            return [row * about.grid[1] + column]
        rows, columns = about.grid
        faults.say(value.at, f"{about.label!r} has {rows} rows and {columns} columns")
        return []
    if isinstance(value.data, list):
        faults.say(value.at, f"{shown(value)} names nothing of {about.label!r}")
        return []
    return places(about, value, faults)
