"""Says what is odd about a model that is right as far as its numbers go.

An agent whose observations say nothing, or whose actions do nothing, runs as fast as any other, and
does nothing of use: such a model is an error.
What may be meant, such as a state that cannot be left, is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hocket.population.model import Model
from hocket.population.transitions import Dense, Grid, Lists, Transition

Kind: TypeAlias = Literal["error", "warning"]
Links: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Where from and where to it may go, whatever is done."""

_ALIKE: Final = 1e-9
"""Probabilities that differ by less are the same."""
_NAMED: Final = 5
"""How many states or policies a message names."""


@dataclass(frozen=True)
class Remark:
    """Something odd about a model.

    Fields:
        kind: "error" if the model is of no use, "warning" if it may be meant.
        where: The part of the model, as ("A", 0).
        message: What is odd.
        hint: What to do.
    """

    kind: Kind
    where: tuple[str | int, ...]
    message: str
    hint: str = ""


def inspect(model: Model) -> list[Remark]:
    """Find what is odd about a model: errors first.

    It takes time in proportion to what the model keeps: a large grid is never made a table.
    """
    remarks = [
        *_observations(model),
        *_dependencies(model),
        *_actions(model),
        *_states(model),
        *_wishes(model),
        *_choices(model),
    ]
    return sorted(remarks, key=lambda remark: remark.kind)


def name_of(model: Model, part: str, number: int, entry: int | None = None) -> str:
    """What something is called: by its name if it has one, else by its number.

    Args:
        model: The model.
        part: "factors", "modalities", "states", "observations" or "actions".
        number: Of the factor or modality.
        entry: Of the state, observation or action.
    """
    known: Sequence[Any] = getattr(model.names, part)
    if number < len(known):
        if entry is None:
            return repr(known[number])
        if entry < len(known[number]):
            return repr(known[number][entry])
    return str(number if entry is None else entry)


def _observations(model: Model) -> Iterator[Remark]:
    """Observations that say nothing, or never come."""
    for modality, table in enumerate(model.A):
        where = ("A", modality)
        name = name_of(model, "modalities", modality)
        if np.ptp(table.reshape(len(table), -1), axis=1).max() <= _ALIKE:
            yield Remark(
                "error" if model.pA is None else "warning",
                where,
                f"observations of modality {name} carry no information: "
                "they are as likely in every state",
                "let the probabilities of A differ from state to state",
            )
            continue
        never = np.flatnonzero(table.reshape(len(table), -1).max(axis=1) <= 0)
        if len(never):
            yield Remark(
                "warning",
                where,
                f"observations of modality {name} never occur: "
                + _some(name_of(model, "observations", modality, int(o)) for o in never),
                "leave them out, or give them a probability somewhere",
            )


def _dependencies(model: Model) -> Iterator[Remark]:
    """Tables that are said to depend on a factor, and do not; factors that matter to nothing."""
    for modality, (table, factors) in enumerate(zip(model.A, model.A_dependencies, strict=True)):
        for axis, factor in enumerate(factors, start=1):
            if len(factors) > 1 and np.ptp(table, axis=axis).max() <= _ALIKE < np.ptp(table):
                name, other = name_of(model, "modalities", modality), _factor(model, factor)
                yield Remark(
                    "warning",
                    ("A", modality),
                    f"modality {name} is the same in every state of factor {other}",
                    f"leave factor {other} out of what it depends on: that is faster",
                )
    for factor in range(len(model.B)):
        seen = any(factor in row for row in model.A_dependencies)
        others = (row for f, row in enumerate(model.B_dependencies) if f != factor)
        if not seen and not any(factor in row for row in others):
            yield Remark(
                "warning",
                ("B", factor),
                f"nothing depends on factor {_factor(model, factor)}",
                "leave it out, or let an observation or another factor depend on it",
            )


def _actions(model: Model) -> Iterator[Remark]:
    """Actions that do nothing, do what another does, or are never taken."""
    for factor, move in enumerate(model.B):
        if move.actions == 1:
            continue
        where, name = ("B", factor), _factor(model, factor)
        alike: dict[bytes, list[int]] = {}
        for action, effect in enumerate(_effects(move)):
            alike.setdefault(effect, []).append(action)
        if len(alike) == 1:
            yield Remark(
                "error" if model.pB is None else "warning",
                where,
                f"actions have no effect on factor {name}: all {move.actions} do the same",
                "let the probabilities of B differ from action to action, or give one action",
            )
        for same in alike.values() if len(alike) > 1 else ():
            if len(same) > 1:
                said = _some(name_of(model, "actions", factor, action) for action in same)
                message = f"actions of factor {name} do the same: {said}"
                yield Remark("warning", where, message, "leave out all but one")
        taken = np.unique(model.policies[:, :, factor])
        if len(taken) < move.actions:
            never = np.setdiff1d(np.arange(move.actions), taken)
            said = _some(name_of(model, "actions", factor, int(action)) for action in never)
            message = f"no policy takes these actions of factor {name}: {said}"
            yield Remark("warning", ("policies",), message, "add policies that do")


def _effects(move: Transition) -> Iterator[bytes]:
    """What each action does, as bytes that are equal if it is the same."""
    match move:
        case Dense():
            for action in range(move.actions):
                yield np.ascontiguousarray(move.table[..., action]).tobytes()
        case Grid():
            for row in move.targets()[:, _free(move)]:
                yield b"" if move.slip == 1 else row.tobytes()
        case Lists():
            for following, weights in zip(move.next, move.weight, strict=True):
                used = weights > 0
                going = np.nonzero(used)[0] * move.states + following[used]
                places, entry = np.unique(going, return_inverse=True)
                yield places.tobytes() + np.bincount(entry, weights[used]).tobytes()


def _states(model: Model) -> Iterator[Remark]:
    """States that are never reached, and states that are never left."""
    for factor, move in enumerate(model.B):
        where, name = ("B", factor), _factor(model, factor)
        start, following = links(move, model.B_dependencies[factor].index(factor))
        free, begin = _free(move), model.D[factor] > 0
        if np.any(begin & ~free):
            count = int((begin & ~free).sum())
            message = f"agents may begin inside a wall of factor {name}: {count} cells"
            yield Remark("warning", ("D", factor), message, "give D 0 where walls are")
        lost = np.flatnonzero(free & ~reached(start, following, begin))
        if len(lost):
            yield Remark(
                "warning",
                where,
                f"{len(lost):,} of {move.states:,} states of factor {name} can never be reached "
                f"from where agents begin: {_states_of(model, factor, lost)}",
                "leave them out, or let D or an action lead there",
            )
        left = np.zeros(move.states, bool)
        left[start[start != following]] = True
        stuck = np.flatnonzero(free & ~left)
        if move.actions > 1 and len(stuck) and left[free].any():
            yield Remark(
                "warning",
                where,
                f"{len(stuck):,} of {move.states:,} states of factor {name} can never be left, "
                f"whatever is done: {_states_of(model, factor, stuck)}",
                "let an action lead out, unless the end of an episode is meant",
            )


def _free(move: Transition) -> NDArray[np.bool_]:
    """Which states can be at all: those that are no walls."""
    walls = move.walls if isinstance(move, Grid) else None
    if walls is None:
        return np.ones(move.states, bool)
    free: NDArray[np.bool_] = ~np.asarray(walls, bool).reshape(-1)
    return free


def links(move: Transition, own: int) -> Links:
    """Which states may follow which, whatever is done and whatever the other factors are.

    Args:
        move: The transition of a factor.
        own: The factor's place among its dependencies.

    Returns:
        Where from, and where to; each pair may be there several times.
    """
    match move:
        case Dense():
            axes = tuple(axis for axis in range(1, move.table.ndim) if axis != own + 1)
            following, start = np.nonzero((move.table > 0).any(axis=axes))
            return start.astype(np.int64), following.astype(np.int64)
        case Grid():
            target = move.targets() if move.slip < 1 else _stay(move)
            both = np.concatenate([target, _stay(move)]) if move.slip > 0 else target
            start = np.broadcast_to(np.arange(move.states), both.shape)
            return start.reshape(-1), both.reshape(-1).astype(np.int64)
        case Lists():
            _, start, _ = used = np.nonzero(move.weight > 0)
            return start.astype(np.int64), move.next[used].astype(np.int64)


def _stay(move: Grid) -> NDArray[Any]:
    return np.arange(move.states)[None]


def reached(
    start: NDArray[np.int64], following: NDArray[np.int64], begin: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which states can be reached from where it begins; takes time in proportion to the links."""
    order = np.argsort(start, kind="stable")
    following = following[order]
    first = np.searchsorted(start[order], np.arange(len(begin) + 1))
    seen = begin.copy()
    front = np.flatnonzero(begin)
    while len(front):
        counts = first[front + 1] - first[front]
        # The places of all links that start at the front, one run behind the other.
        shift = np.repeat(first[front] - (np.cumsum(counts) - counts), counts)
        found = np.unique(following[shift + np.arange(counts.sum())])
        front = found[~seen[found]]
        seen[front] = True
    return seen


def _wishes(model: Model) -> Iterator[Remark]:
    """Preferences that prefer nothing, or count for nothing."""
    wants = any(np.ptp(row, axis=0).max() > 0 for row in model.C)
    if model.utility and not wants:
        yield Remark(
            "warning",
            ("C",),
            "nothing is wanted: all observations are preferred alike",
            "give C more nats for what agents shall see, or switch utility off",
        )
    if wants and not model.utility:
        message = "preferences count for nothing, since utility is off"
        yield Remark("warning", ("C",), message, "switch utility on, or leave C out")
    if not (model.utility or model.state_information or model.parameter_information):
        message = "nothing tells policies apart but habits: utility and information are off"
        yield Remark("warning", ("policies",), message, "switch one of them on")


def _choices(model: Model) -> Iterator[Remark]:
    """Policies that are never chosen, or there twice."""
    never = np.flatnonzero(model.E <= 0)
    if len(never):
        message = f"habits rule {len(never):,} of {len(model.E):,} policies out: {_some(never)}"
        yield Remark("warning", ("E",), message, "leave these policies out: that is faster")
    flat = model.policies.reshape(len(model.policies), -1)
    kinds, first = np.unique(flat, axis=0, return_index=True)
    if len(kinds) < len(flat):
        again = np.setdiff1d(np.arange(len(flat)), first)
        message = f"{len(again):,} policies are there twice: {_some(again)}"
        yield Remark("warning", ("policies",), message, "leave them out, and use habits instead")


def _factor(model: Model, factor: int) -> str:
    return name_of(model, "factors", factor)


def _states_of(model: Model, factor: int, states: NDArray[np.int64]) -> str:
    return _some(name_of(model, "states", factor, int(state)) for state in states)


def _some(names: Any) -> str:
    """The first few, and how many more there are."""
    every = [str(name) for name in names]
    more = f" and {len(every) - _NAMED:,} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
