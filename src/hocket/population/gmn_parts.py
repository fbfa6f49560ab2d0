"""What the nodes of a GMN are, each by itself, and how edges join them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hocket.population.gmn_graph import Edge, Graph, Node
from hocket.population.gmn_values import Faults, Value, near, nearest

MOST_STATES: Final = 1_000_000
MOST_DEPENDENCIES: Final = 12

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "state": ("size", "names", "grid", "map", "label"),
    "observation": ("size", "names", "label"),
    "action": ("size", "names"),
    "likelihood": ("values", "cases", "classes", "certainty", "dirichlet"),
    "transition": (
        "values",
        "cases",
        "next",
        "weight",
        "certainty",
        "slip",
        "moves",
        "walls",
        "dirichlet",
    ),
    "preference": ("values",),
    "belief": ("values", "at", "dirichlet"),
    "policy": (
        "length",
        "policies",
        "sampled",
        "seed",
        "habits",
        "gamma",
        "alpha",
        "inference",
        "iterations",
        "window",
        "utility",
        "state_information",
        "parameter_information",
        "selection",
        "sampling",
    ),
}
_ALIASES: Final = {
    "num_states": "size",
    "num_observations": "size",
    "num_actions": "size",
    "states": "names",
    "observations": "names",
    "actions": "names",
    "policy_length": "length",
}
"""What others call it."""

_MEANT: Final[dict[tuple[str, str], dict[str, str]]] = {
    ("likelihood", "state"): {"depends_on": "from", "influences": "from"},
    ("state", "likelihood"): {"depends_on": "from", "influences": "from"},
    ("likelihood", "observation"): {"generates": "gives", "influences": "gives"},
    ("transition", "state"): {
        "updates": "gives",
        "generates": "gives",
        "influences": "gives",
        "depends_on": "from",
    },
    ("state", "transition"): {"depends_on": "from", "influences": "from"},
    ("transition", "action"): {"depends_on": "by"},
    ("action", "transition"): {"depends_on": "by", "influences": "by"},
    ("preference", "observation"): {"influences": "gives", "depends_on": "gives"},
    ("observation", "preference"): {"depends_on": "gives"},
    ("belief", "state"): {
        "influences": "gives",
        "depends_on": "gives",
        "updates": "gives",
        "generates": "gives",
    },
    ("state", "belief"): {"depends_on": "gives"},
    ("policy", "action"): {"generates": "", "influences": "", "depends_on": "", "updates": ""},
    ("action", "policy"): {"depends_on": "", "influences": ""},
}
"""What an edge says, by the types of its ends.

A table gives something, is read from something, or is moved by something.
"""


@dataclass(slots=True)
class Things:
    """A state factor, a modality, or what one factor is moved by.

    Fields:
        node: Its node.
        label: What people call it.
        size: How many states, observations or actions there are.
        names: What these are called; empty if they have only numbers.
        grid: Rows and columns, if states are cells.
        map: The character of each cell, row by row, if there is a map.
        index: The number of each name.
        cells: The cells of each character of the map.
        sound: Whether nothing is wrong with it; else its size may be another.
    """

    node: Node
    label: str
    size: int
    names: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None
    map: NDArray[np.str_] | None = None
    index: dict[str, int] = field(default_factory=dict)
    cells: dict[str, list[int]] = field(default_factory=dict)
    sound: bool = True


@dataclass(slots=True)
class Joined:
    """What the edges say of one table.

    Fields:
        gives: What it is a table of: a state or an observation.
        depends: The states that it depends on, in the order of the edges.
        by: The action that moves it.
    """

    gives: str = ""
    depends: list[str] = field(default_factory=list)
    by: str = ""


def clean(node: Node, faults: Faults) -> None:
    """Refuse properties that a node's type has not; names that others use become ours.

    What was probably meant by a wrong one is taken, so that nothing else is missed for it.
    """
    data, keys = node.about.data, node.about.keys
    known = KEYS[node.type]
    for key in list(data):
        name = _ALIASES.get(key, key)
        if name not in known:
            hint = near(key, known) or f"there are {', '.join(known)}"
            message = f"{key!r} is no property of a {node.type}"
            faults.say(keys.get(key, node.at), message, hint, ("nodes", node.id, key))
            value, meant = data.pop(key), nearest(key, known)
            if meant:
                data.setdefault(meant, value)
        elif name != key:
            data[name] = data.pop(key)


def things(node: Node, faults: Faults) -> Things:
    """Read a state, observation or action node."""
    before = faults.count
    made = _things(node, faults)
    made.sound = faults.count == before
    return made


def _things(node: Node, faults: Faults) -> Things:
    data = node.about.data
    label = data.get("label")
    made = Things(node, label.data if label and isinstance(label.data, str) else node.id, 1)
    ways = [key for key in ("size", "names", "grid", "map") if key in data]
    if len(ways) != 1 and set(ways) != {"size", "names"}:
        usual = {"state": ", grid or map", "observation": "", "action": ""}[node.type]
        message = f"{node.id!r} needs one of size or names{usual}"
        faults.say(node.at, message, "write {names: [left, right]} or {size: 2}", _at(node))
        return made
    if "names" in data:
        made.index = _names(node, data["names"], faults)
        made.names = tuple(made.index)
        made.size = max(1, len(made.names))
    if "grid" in data:
        made.grid = pair(data["grid"], faults, "rows and columns, as [10, 10]")
        made.size = made.grid[0] * made.grid[1]
    if "map" in data:
        _map(made, data["map"], faults)
    if "size" in data:
        size = whole(data["size"], faults, 1, MOST_STATES)
        if made.names and size != len(made.names):
            message = f"{node.id!r} has {len(made.names)} names, and size {size}"
            faults.say(data["size"].at, message, "leave size out", _at(node))
        made.size = len(made.names) or size
    if made.size > MOST_STATES:
        faults.say(node.at, f"{node.id!r} has more than {MOST_STATES:,} entries", "", _at(node))
        made.size, made.grid = 1, None
    return made


def _names(node: Node, value: Value, faults: Faults) -> dict[str, int]:
    """The names, and the number of each."""
    if not isinstance(value.data, list) or not value.data:
        faults.say(value.at, "names are no list", "write [left, right]", _at(node))
        return {}
    names: dict[str, int] = {}
    for item in value.data:
        name = str(item.data) if isinstance(item.data, str | int) else ""
        if not name:
            faults.say(item.at, "this is no name", 'write a word, or a text in "..."', _at(node))
        elif name in names:
            faults.say(item.at, f"{name!r} is there twice", "give each a name", _at(node))
        else:
            names[name] = len(names)
    return names


def _map(made: Things, value: Value, faults: Faults) -> None:
    rows = [row.data for row in value.data] if isinstance(value.data, list) else []
    widths = {len(row) if isinstance(row, str) else 0 for row in rows}
    if len(widths) != 1 or 0 in widths:
        hint = 'write [".#.", "..G"]: a text for each row, all as long'
        faults.say(value.at, "a map needs rows of equal length", hint, _at(made.node))
        return
    made.grid = (len(rows), widths.pop())
    made.map = np.array([list(row) for row in rows]).reshape(-1)
    made.size = len(made.map)
    for cell, mark in enumerate("".join(rows)):
        made.cells.setdefault(mark, []).append(cell)


def joined(graph: Graph, faults: Faults) -> dict[str, Joined]:
    """Read the edges: for each table node what it is of, and what it depends on."""
    tables = {
        name: Joined()
        for name, node in graph.nodes.items()
        if node.type not in ("state", "observation", "action", "policy")
    }
    for number, edge in enumerate(graph.edges):
        where = ("edges", number)
        found = [_end(name, edge, where, graph, faults) for name in (edge.source, edge.target)]
        if not all(found):
            graph.whole = False
            continue
        ends = (graph.nodes[found[0]], graph.nodes[found[1]])
        meant = _MEANT.get((ends[0].type, ends[1].type), {})
        role = meant.get(edge.type)
        if role is None:
            faults.say(edge.at, *_not_meant(edge, ends, meant), where)
            graph.whole = False
        elif role:
            _join(tables, edge, ends, role, faults)
    return tables


def _end(name: str, edge: Edge, where: tuple[str | int, ...], graph: Graph, faults: Faults) -> str:
    """The node at an end of an edge, or the one that was probably meant; "" if there is none."""
    if name in graph.nodes:
        return name
    meant = nearest(name, graph.nodes)
    if meant or graph.whole:
        hint = near(name, graph.nodes) or "name one of the nodes"
        faults.say(edge.at, f"there is no node {name!r}", hint, where)
    return meant


def _join(
    tables: dict[str, Joined], edge: Edge, ends: tuple[Node, Node], role: str, faults: Faults
) -> None:
    table, other = ends if ends[0].id in tables else ends[::-1]
    about = tables[table.id]
    if role == "from":
        if other.id in about.depends:
            faults.say(edge.at, f"{table.id!r} depends on {other.id!r} twice", "leave one out")
        elif len(about.depends) >= MOST_DEPENDENCIES:
            faults.say(edge.at, f"{table.id!r} depends on more than {MOST_DEPENDENCIES} states")
        else:
            about.depends.append(other.id)
        return
    name = "gives" if role == "gives" else "by"
    before = getattr(about, name)
    if before and before != other.id:
        message = f"{table.id!r} is joined to {before!r} already"
        faults.say(edge.at, message, f"make a {table.type} for each {other.type}")
    setattr(about, name, other.id)


def _not_meant(edge: Edge, ends: tuple[Node, Node], meant: dict[str, str]) -> tuple[str, str]:
    said = f"{edge.source!r} ({ends[0].type}) -> {edge.target!r} ({ends[1].type})"
    message = f"{said} cannot be {edge.type!r}"
    if meant:
        return message, f"use {' or '.join(meant)}"
    if {ends[0].type, ends[1].type} == {"state", "observation"}:
        return message, "put a likelihood between them"
    if {ends[0].type, ends[1].type} <= {"state", "action"}:
        return message, "put a transition between them"
    return message, "these are not joined; leave it out"


def number(value: Value, faults: Faults) -> float:
    """Take a number."""
    if isinstance(value.data, int | float) and not isinstance(value.data, bool):
        return float(value.data)
    faults.say(value.at, f"{shown(value)} is no number")
    return 0.0


def whole(value: Value, faults: Faults, least: int, most: int) -> int:
    """Take a whole number within bounds."""
    data = value.data
    if isinstance(data, int) and not isinstance(data, bool) and least <= data <= most:
        return data
    faults.say(value.at, f"{shown(value)} is no whole number from {least} to {most:,}")
    return least


def pair(value: Value, faults: Faults, what: str, least: int = 1) -> tuple[int, int]:
    """Take two whole numbers, as [10, 10] or 10x10."""
    data = value.data
    if isinstance(data, str) and "x" in data:
        parts = data.split("x")
        if len(parts) == 2 and all(part.isdecimal() and len(part) < 8 for part in parts):
            sizes = (int(parts[0]), int(parts[1]))
            if min(sizes) >= least:
                return sizes
    if isinstance(data, list) and len(data) == 2:
        return (
            whole(data[0], faults, least, MOST_STATES),
            whole(data[1], faults, least, MOST_STATES),
        )
    faults.say(value.at, f"{shown(value)} does not say {what}")
    return 1, 1


def shown(value: Value) -> str:
    """A value in a message."""
    match value.data:
        case list():
            return f"a list of {len(value.data)}"
        case dict():
            return "a map"
        case _:
            return repr(value.data)[:60]


def numbers(value: Value, faults: Faults, what: str) -> Any:
    """Take a nested list of numbers as it is; None if it is something else."""
    if not isinstance(value.data, list):
        faults.say(value.at, f"{shown(value)} is no {what}")
        return None
    plain = _plain(value)
    if plain is None:
        at = _odd(value)
        faults.say(at.at, f"{shown(at)} is no number")
        return None
    try:
        return np.asarray(plain, np.float64)
    except ValueError:
        hint = "give lists of equal length"
        faults.say(value.at, f"the rows of this {what} have different lengths", hint)
        return None


def _plain(value: Value) -> Any:
    if isinstance(value.data, list):
        rows = [_plain(item) for item in value.data]
        return None if any(row is None for row in rows) else rows
    kind = isinstance(value.data, int | float) and not isinstance(value.data, bool)
    return value.data if kind else None


def _odd(value: Value) -> Value:
    if isinstance(value.data, list):
        return next(_odd(item) for item in value.data if _plain(item) is None)
    return value


def _at(node: Node) -> tuple[str | int, ...]:
    return ("nodes", node.id)
