"""Finds what is wrong with the arrays of a model; it knows arrays, and no model.

Every finding says where, what, and what to do; nothing is raised here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from hocket.core.errors import Problem
from hocket.population.judging import is_real, is_whole
from hocket.population.transitions import MOST_BYTES, Dense, Grid, Lists, Transition

Where = tuple[str | int, ...]

TOLERANCE: Final = 1e-5
"""How far from 1 a sum of probabilities may be; 32-bit floats come this close."""
SHOWN: Final = 3
"""How many places of one kind of mistake are named; the others are counted."""


def numbers(value: Any, where: Where, found: list[Problem]) -> np.ndarray[Any, Any] | None:
    """Take anything as an array of 64-bit floats, or say why it is none."""
    try:
        array = np.asarray(value)
        if array.dtype == object:
            array = np.asarray(array.tolist())
        if array.dtype.kind not in "fiub":
            raise TypeError
        if array.dtype != np.float64 and array.size * 8 > MOST_BYTES:
            found.append(_too_large(where, array.shape))
            return None
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        found.append(
            Problem(
                where=where,
                message=f"is no array of numbers but {_short(value)}",
                hint="give numbers only, and rows of equal length",
            )
        )
        return None


def _short(value: Any) -> str:
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, list | tuple) else f"a {kind}"


def _too_large(where: Where, shape: tuple[int, ...]) -> Problem:
    size = np.prod(shape, dtype=float) * 8
    return Problem(
        where=where,
        message=f"a table of shape {shape} takes {size / 1e9:,.1f} GB, and at most 1 GB is allowed",
        hint="keep B as `Grid` or `Lists`, or split the factor into several",
    )


def finite(array: np.ndarray[Any, Any], where: Where) -> Iterator[Problem]:
    """Name every NaN and infinity."""
    bad = np.argwhere(~np.isfinite(array))
    for place in bad[:SHOWN]:
        value = array[tuple(place)]
        name = "NaN" if np.isnan(value) else "infinite"
        yield Problem(
            where=(*where, _cell(place)),
            message=f"is {name}",
            hint="give a finite number; look where it was divided by zero",
        )
    yield from _more(where, len(bad), "numbers that are not finite")


def probabilities(array: np.ndarray[Any, Any], where: Where) -> Iterator[Problem]:
    """Name what is not finite, is negative, or does not sum to 1 along the first axis."""
    if array.size == 0:
        yield Problem(where=where, message=f"is empty: its shape is {array.shape}", hint=_FILL)
        return
    if not np.isfinite(array).all():
        yield from finite(array, where)
        return
    negative = np.argwhere(array < 0)
    for place in negative[:SHOWN]:
        yield Problem(
            where=(*where, _cell(place)),
            message=f"is {array[tuple(place)]:g}, and no probability is negative",
            hint="give a number from 0 to 1",
        )
    yield from _more(where, len(negative), "negative probabilities")
    if not len(negative):
        yield from _sums(array, where)


def _sums(array: np.ndarray[Any, Any], where: Where) -> Iterator[Problem]:
    sums = array.sum(axis=0)
    bad = np.argwhere(np.abs(sums - 1) > TOLERANCE)
    if not len(bad):
        return
    hint = "divide each column by its sum; a column runs along the first axis"
    for axis in range(1, array.ndim):
        if np.all(np.abs(array.sum(axis=axis) - 1) <= TOLERANCE):
            hint = f"it sums to 1 along axis {axis}: that axis belongs first"
            break
    for place in bad[:SHOWN]:
        column = (f"column {_indices(place)}",) if array.ndim > 1 else ()
        yield Problem(
            where=(*where, *column),
            message=f"sums to {sums[tuple(place)]:g}, not to 1",
            hint=hint,
        )
    yield from _more(where, len(bad), "columns that do not sum to 1")


def counts(array: np.ndarray[Any, Any], where: Where) -> Iterator[Problem]:
    """Name Dirichlet parameters that are not finite, negative, or nothing in a whole column."""
    if not np.isfinite(array).all():
        yield from finite(array, where)
        return
    negative = np.argwhere(array < 0)
    for place in negative[:SHOWN]:
        yield Problem(
            where=(*where, _cell(place)),
            message=f"is {array[tuple(place)]:g}, and no Dirichlet parameter is negative",
            hint="0 says that it can never be",
        )
    yield from _more(where, len(negative), "negative Dirichlet parameters")
    if len(negative):
        return
    empty = np.argwhere(np.atleast_1d(array.max(axis=0, initial=0)) <= 0)
    for place in empty[:SHOWN]:
        column = (f"column {_indices(place)}",) if array.ndim > 1 else ()
        yield Problem(
            where=(*where, *column),
            message="has no positive Dirichlet parameter",
            hint="give every column at least one that is greater than 0",
        )
    yield from _more(where, len(empty), "columns without a positive Dirichlet parameter")


def grid(move: Grid, where: Where) -> Iterator[Problem]:
    """Find what is wrong with moves on a grid."""
    found = [*_sides(move, where), *_moves(move.moves, where)]
    yield from found
    if not found and move.nbytes > MOST_BYTES:
        message = f"has {move.states:,} cells, whose moves take {move.nbytes / 1e9:,.1f} GB"
        yield Problem(where=where, message=message, hint="make the grid smaller")
    if not (is_real(move.slip) and 0 <= move.slip <= 1):
        yield Problem(
            where=(*where, "slip"),
            message=f"is {move.slip!r}, and no probability",
            hint="give a number from 0 to 1",
        )
    if move.walls is None:
        return
    unread: list[Problem] = []
    if numbers(move.walls, (*where, "walls"), unread) is None:
        yield from unread
        return
    shape, wanted = np.shape(move.walls), (move.height, move.width)
    if shape != wanted:
        yield Problem(
            where=(*where, "walls"),
            message=f"has shape {shape}, and the grid {wanted}",
            hint="give one truth value for each cell, [height, width]",
        )
    elif np.all(move.walls):
        yield Problem(
            where=(*where, "walls"), message="fill the whole grid", hint="leave a cell free"
        )


def _sides(move: Grid, where: Where) -> Iterator[Problem]:
    for side in ("height", "width"):
        size = getattr(move, side)
        if not is_whole(size, 1):
            message = f"is {size!r}, and a grid has at least one row and one column"
            yield Problem(where=(*where, side), message=message, hint="give a whole number")


def _moves(moves: Any, where: Where) -> Iterator[Problem]:
    hint = "write (rows down, columns right), as (-1, 0) for up"
    if not _is_list(moves):
        message = f"is a {type(moves).__name__}, and no list of moves"
        yield Problem(where=(*where, "moves"), message=message, hint=hint)
        return
    if not len(moves):
        yield Problem(where=(*where, "moves"), message="is empty", hint="name at least one move")
    for number, step in enumerate(moves):
        if not (_is_list(step) and len(step) == 2 and all(map(is_whole, step))):
            message = f"is {step!r}, and no move"
            yield Problem(where=(*where, "moves", number), message=message, hint=hint)


def lists(move: Lists, where: Where) -> Iterator[Problem]:
    """Find what is wrong with lists of next states."""
    following, weight = np.asarray(move.next), np.asarray(move.weight)
    if following.ndim != 3 or 0 in following.shape:
        yield Problem(
            where=(*where, "next"),
            message=f"has shape {following.shape}",
            hint="give next states for each action and state, [actions, states, k]",
        )
        return
    if weight.shape != following.shape:
        yield Problem(
            where=(*where, "weight"),
            message=f"has shape {weight.shape}, and next {following.shape}",
            hint="give a probability for each next state",
        )
        return
    if following.dtype.kind not in "iu":
        message = f"holds {following.dtype}, and next states are whole numbers"
        yield Problem(where=(*where, "next"), message=message, hint="give the numbers of states")
        return
    states = following.shape[1]
    bad = np.argwhere((following < 0) | (following >= states))
    for place in bad[:SHOWN]:
        yield Problem(
            where=(*where, "next", _cell(place)),
            message=f"is {following[tuple(place)]}, and there are {states} states",
            hint=f"give a number from 0 to {states - 1}",
        )
    yield from _more((*where, "next"), len(bad), "next states out of range")
    for found in probabilities(np.moveaxis(weight, -1, 0), (*where, "weight")):
        # Seen from here a column is an action and a state.
        place = tuple(
            part.replace("column", "action and state") if isinstance(part, str) else part
            for part in found.where
        )
        yield Problem(where=place, message=found.message, hint="make its weights sum to 1")


def transition(move: Transition, where: Where) -> Iterator[Problem]:
    """Find what is wrong with a transition alone, whatever it depends on."""
    match move:
        case Grid():
            yield from grid(move, where)
        case Lists():
            yield from lists(move, where)
        case Dense():
            if move.table.size * 8 > MOST_BYTES:
                yield _too_large(where, move.table.shape)
            else:
                yield from probabilities(move.table, where)


def shaped(
    array: np.ndarray[Any, Any], wanted: Sequence[int | None], where: Where, axes: str
) -> Iterator[Problem]:
    """Compare a shape with the one that is wanted; None stands for any size."""
    fits = array.ndim == len(wanted) and all(
        want is None or have == want for have, want in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        said = ", ".join("any" if want is None else str(want) for want in wanted)
        message = f"has shape {array.shape}, and ({said}) is wanted: [{axes}]"
        hint = _SHAPE if "factor" in axes else "give a number for each"
        yield Problem(where=where, message=message, hint=hint)


def dependencies(
    given: Sequence[Sequence[int]], factors: int, count: int, name: str
) -> Iterator[Problem]:
    """Find what is wrong with the lists of factors that tables depend on."""
    if len(given) != count:
        yield Problem(
            where=(name,),
            message=f"has {len(given)} lists, and {count} are wanted",
            hint="give a list of factors for each "
            + ("modality" if name == "A_dependencies" else "factor"),
        )
        return
    for number, row in enumerate(given):
        where = (name, number)
        if name == "A_dependencies" and not row:
            hint = "name at least one factor that it depends on"
            yield Problem(where=where, message="is empty", hint=hint)
        odd = [factor for factor in row if not is_whole(factor, 0) or factor >= factors]
        for factor in odd:
            yield Problem(
                where=where,
                message=f"names factor {factor!r}, and there are {factors}",
                hint=f"give numbers from 0 to {factors - 1}",
            )
        if not odd and len(set(row)) < len(row):
            hint = "name each factor once"
            yield Problem(where=where, message=f"names a factor twice: {list(row)}", hint=hint)
        if name == "B_dependencies" and number not in row:
            yield Problem(
                where=where,
                message=f"lacks factor {number} itself: {list(row)}",
                hint="a factor's next state depends on its present one; put it into the list",
            )


def policies(
    array: np.ndarray[Any, Any], actions: Sequence[int | None], where: Where = ("policies",)
) -> Iterator[Problem]:
    """Find what is wrong with sequences of actions."""
    if array.ndim != 3 or array.shape[2] != len(actions) or 0 in array.shape:
        message = f"has shape {array.shape}, and (any, any, {len(actions)}) is wanted"
        hint = "give actions for each policy, step and factor; at least one policy and one step"
        yield Problem(where=where, message=message, hint=hint)
        return
    if array.dtype.kind not in "iu" and not np.all(array == np.floor(array)):
        hint = "give the numbers of actions"
        yield Problem(where=where, message="holds actions that are no whole numbers", hint=hint)
        return
    for factor, count in enumerate(actions):
        if count is None:
            continue
        bad = np.argwhere((array[:, :, factor] < 0) | (array[:, :, factor] >= count))
        for policy, step in bad[:SHOWN]:
            yield Problem(
                where=(*where, int(policy), f"step {step}", f"factor {factor}"),
                message=f"takes action {array[policy, step, factor]:g} of {count}",
                hint=f"give a number from 0 to {count - 1}",
            )
        yield from _more(where, len(bad), f"actions of factor {factor} out of range")


def named(given: Any, where: Where, size: int) -> Iterator[Problem]:
    """Look at names: one for each, all different; or none."""
    if not _is_list(given):
        message = f"is {given!r}, and no list of names"
        yield Problem(where=where, message=message, hint="give texts in a tuple")
    elif given and len(given) != size:
        hint = "give one for each, or none at all"
        yield Problem(where=where, message=f"there are {len(given)} names for {size}", hint=hint)
    elif odd := [name for name in given if not isinstance(name, str) or not name]:
        yield Problem(where=where, message=f"{odd[0]!r} is no name", hint="give texts")
    elif len(set(given)) < len(given):
        twice = next(name for name in given if list(given).count(name) > 1)
        hint = "give each a name of its own"
        yield Problem(where=where, message=f"{twice!r} is there twice", hint=hint)


def named_parts(given: Any, name: str, sizes: Sequence[int | None]) -> Iterator[Problem]:
    """Look at the names of what each factor or modality has."""
    if not _is_list(given):
        message = f"is {given!r}, and no list of lists of names"
        hint = "give a list of names for each"
        yield Problem(where=("names", name), message=message, hint=hint)
        return
    if given and len(given) != len(sizes):
        hint = "give a list of names for each, which may be empty, or none at all"
        message = f"there are {len(given)} lists for {len(sizes)}"
        yield Problem(where=("names", name), message=message, hint=hint)
        return
    for number, (row, size) in enumerate(zip(given, sizes, strict=False)):
        if size is not None:
            yield from named(row, ("names", name, number), size)


def _more(where: Where, count: int, what: str) -> Iterator[Problem]:
    if count > SHOWN:
        yield Problem(where=where, message=f"and {count - SHOWN:,} more {what}")


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple | list | np.ndarray)


def _indices(place: Any) -> str:
    return ",".join(str(int(index)) for index in place)


def _cell(place: Any) -> str:
    return f"[{_indices(place)}]"


_FILL = "give at least one number along each axis"
_SHAPE = "see which factors it depends on, and their order"
