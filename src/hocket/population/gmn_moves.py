"""Makes transitions of what a node of a GMN says: moves on a grid, next states, or a table."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hocket.population.gmn_parts import MOST_STATES, Things, number, pair, shown
from hocket.population.gmn_tables import WALL, Table, places, table_of
from hocket.population.gmn_values import Value
from hocket.population.transitions import Dense, Grid, Lists, Transition

MOVES: Final[dict[str, tuple[int, int]]] = {
    "up": (-1, 0),
    "north": (-1, 0),
    "down": (1, 0),
    "south": (1, 0),
    "left": (0, -1),
    "west": (0, -1),
    "right": (0, 1),
    "east": (0, 1),
    "stay": (0, 0),
}
"""What the names of actions say about a grid."""


def transition_of(about: Table) -> Transition | None:
    """Make a transition of its node; None if it cannot be made."""
    value, following = about.get("values"), about.get("next")
    on_grid = value is not None and value.data == "grid"
    if not on_grid:
        for key in ("slip", "moves", "walls"):
            given = about.get(key)
            if given is not None:
                about.say(given.at, f"{key} is for a grid", "write values: grid")
    if (weight := about.get("weight")) is not None and following is None:
        about.say(weight.at, "weight is for next", "give next as well")
    alone = len(about.axes) == 2
    if (on_grid or following is not None) and not alone:
        about.say(about.node.at, "depends on other states, and a grid or next cannot", "use cases")
        return None
    if on_grid:
        return _grid(about)
    if following is not None:
        return _lists(about, following)
    table = table_of(about, ("identity", "uniform", "choose", "grid"))
    return None if table is None else Dense(table)


def _grid(about: Table) -> Grid | None:
    """Moves on a grid; what the map has as a wall is one."""
    shape = about.gives.grid
    if shape is None:
        hint = "give the state {grid: [10, 10]} or a map"
        about.say(about.node.at, f"{about.gives.label!r} is no grid", hint)
        return None
    action = about.axes[-1][1]
    about.room.take(action.size * about.gives.size, about.node.at)
    moves = _moves(about, action)
    slip = about.get("slip")
    walls = np.zeros(about.gives.size, bool)
    if about.gives.map is not None:
        walls = about.gives.map == WALL
    given = about.get("walls")
    if given is not None:
        walls[places(about.gives, given, about.faults)] = True
    if moves is None:
        return None
    return Grid(
        *shape,
        moves=moves,
        slip=0.0 if slip is None else number(slip, about.faults),
        walls=walls.reshape(shape) if walls.any() else None,
    )


def _moves(about: Table, action: Things) -> tuple[tuple[int, int], ...] | None:
    given = about.get("moves")
    if given is None:
        odd = [name for name in action.names if name not in MOVES]
        if action.names and not odd:
            return tuple(MOVES[name] for name in action.names)
        said = f"{odd[0]!r} is no move" if odd else "the actions have no names"
        hint = f"name actions {', '.join(MOVES)}, or give moves: [[-1, 0], ...]"
        about.say(about.node.at, said, hint)
        return None
    items = given.data if isinstance(given.data, list) else []
    if len(items) != action.size:
        about.say(given.at, f"moves are no list of {action.size}", "give one for each action")
        return None
    return tuple(
        MOVES[item.data]
        if isinstance(item.data, str) and item.data in MOVES
        else pair(item, about.faults, "a move, as [-1, 0] for up", -MOST_STATES)
        for item in items
    )


def _lists(about: Table, value: Value) -> Lists | None:
    """The states that come next, for each action and state."""
    action, state = about.axes[-1][1], about.gives
    rows = _by_action(about, value, action)
    if rows is None:
        return None
    weight = about.get("weight")
    shares = None if weight is None else _by_action(about, weight, action)
    lists = [[_several(item) for item in _row(about, row, state.size)] for row in rows]
    many = max((len(entry) for row in lists for entry in row), default=0)
    if not all(len(row) == state.size for row in lists) or not many:
        return None
    if state.cells:
        # A character of a map may stand for many cells, again and again.
        about.room.work(sum(len(row) for row in lists) * state.size, value.at)
    about.room.take(2 * action.size * state.size * many, value.at)
    following = np.zeros((action.size, state.size, many), np.int32)
    weights = np.zeros(following.shape)
    for u, row in enumerate(lists):
        given = _row(about, shares[u], state.size) if shares else []
        for s, entry in enumerate(row):
            found = [place for item in entry for place in places(state, item, about.faults)]
            if len(found) != len(entry):
                about.say(value.at, f"state {s} has not one next state for each entry")
                continue
            following[u, s, : len(found)] = found
            if s < len(given):
                share = _several(given[s])
                if len(share) != len(found):
                    about.say(given[s].at, f"{len(share)} weights for {len(found)} next states")
                    continue
                weights[u, s, : len(found)] = [number(item, about.faults) for item in share]
            else:
                weights[u, s, : len(found)] = 1 / len(found) if found else 0
    return Lists(following, weights)


def _by_action(about: Table, value: Value, action: Things) -> list[Value] | None:
    """One value for each action: as a list, or by the actions' names."""
    data: Any = value.data
    if isinstance(data, dict):
        rows: list[Value | None] = [None] * action.size
        for name, row in data.items():
            for place in places(action, Value(name, value.keys[name]), about.faults):
                rows[place] = row
        missing = [number for number, row in enumerate(rows) if row is None]
        if not missing:
            return [row for row in rows if row is not None]
        name = action.names[missing[0]] if action.names else missing[0]
        about.say(value.at, f"says nothing for action {name}", "give a list for each action")
        return None
    if isinstance(data, list) and len(data) == action.size:
        return data
    about.say(value.at, f"{shown(value)} is no list for each of {action.size} actions")
    return None


def _row(about: Table, value: Value, size: int) -> list[Value]:
    if isinstance(value.data, list) and len(value.data) == size:
        return value.data
    about.say(value.at, f"{shown(value)} is no list for each of {size} states")
    return []


def _several(value: Value) -> list[Value]:
    return value.data if isinstance(value.data, list) else [value]
