"""Makes the parts of a model of what somebody gives, and finds all that is wrong with them.

It gives fields, and knows no `Model`, so that the model itself stays a plain description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from hocket.core.errors import Problem, SpecError, suggest
from hocket.population.judging import is_positive, is_whole
from hocket.population.policies import every_policy
from hocket.population.transitions import Dense, Floats, Grid, Lists, Transition
from hocket.population.validation import (
    counts,
    dependencies,
    finite,
    named,
    named_parts,
    numbers,
    policies,
    probabilities,
    shaped,
    transition,
)

Fields = dict[str, Any]

_CHOICES: Final = {
    "inference": ("exact", "fpi", "vmp"),
    "selection": ("deterministic", "stochastic"),
    "sampling": ("full", "marginal"),
}
_POSITIVE: Final = ("gamma", "alpha")
_COUNTED: Final = ("iterations", "window")
_SWITCHES: Final = ("utility", "state_information", "parameter_information")
_LEARNED: Final = ("pA", "pB", "pD")
_PARTS: Final = ("factors", "states", "modalities", "observations", "actions")
_KNOWN: Final = (*_CHOICES, *_POSITIVE, *_COUNTED, *_SWITCHES, *_LEARNED, "names")


def assembled(
    A: Sequence[Any],
    B: Sequence[Any],
    C: Sequence[Any] | None,
    D: Sequence[Any] | None,
    E: Any,
    *,
    A_dependencies: Sequence[Sequence[int]] | None,
    B_dependencies: Sequence[Sequence[int]] | None,
    policies: Any,
    policy_length: int,
    settings: dict[str, Any],
) -> Fields:
    """Make the fields of a model; the arguments are those of `Model.of`.

    Raises:
        SpecError: with every problem that was found.
    """
    making = _Making()
    making.transitions(B, B_dependencies)
    making.likelihoods(A, A_dependencies)
    making.policies(policies, policy_length)
    making.preferences(C)
    making.beginnings(D)
    making.habits(E)
    making.settings(settings)
    making.counts()
    making.together()
    if making.found:
        raise SpecError(making.found)
    return making.fields


class _Making:
    """A model while it is made: its fields so far, and what is wrong with them."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.fields: Fields = {}
        self.states: list[int | None] = []
        self.actions: list[int | None] = []
        self.moves: list[Transition | None] = []
        self.tables: list[Floats | None] = []

    def transitions(self, B: Any, given: Any) -> None:
        """Take B and what it depends on."""
        rows = self._listed(B, "B", "a transition for each state factor")
        self.moves = [self._move(move, factor) for factor, move in enumerate(rows)]
        self.states = [None if move is None else move.states for move in self.moves]
        self.actions = [None if move is None else move.actions for move in self.moves]
        factors = len(rows)
        depends = self._dependencies(given, [(f,) for f in range(factors)], "B_dependencies")
        for factor, move in enumerate(self.moves):
            if move is None:
                continue
            where = ("B", factor)
            if depends is not None:
                self._shape_of_move(move, factor, depends[factor])
            if isinstance(move, Dense):
                self.found += transition(move, where)
        self.fields |= {"B": tuple(self.moves), "B_dependencies": depends}

    def _move(self, given: Any, factor: int) -> Transition | None:
        where = ("B", factor)
        if isinstance(given, Lists):
            return self._lists(given, where)
        if isinstance(given, Grid):
            return self._judged(given, where)
        table = numbers(given.table if isinstance(given, Dense) else given, where, self.found)
        if table is None:
            return None
        if table.ndim < 3 or 0 in table.shape:
            self.found.append(
                Problem(
                    where=where,
                    message=f"has shape {table.shape}",
                    hint="B of a factor is [next, from, action], and every axis has an entry; "
                    "a factor that no action moves has one action",
                )
            )
            return None
        return Dense(table)

    def _lists(self, given: Lists, where: tuple[str | int, ...]) -> Transition | None:
        weight = numbers(given.weight, (*where, "weight"), self.found)
        if weight is None or numbers(given.next, (*where, "next"), self.found) is None:
            return None
        return self._judged(Lists(np.asarray(given.next), weight), where)

    def _judged(self, move: Transition, where: tuple[str | int, ...]) -> Transition | None:
        """A transition if it is one: nothing is made of a size that makes no sense."""
        found = list(transition(move, where))
        self.found += found
        return None if found else move

    def _shape_of_move(self, move: Transition, factor: int, depends: tuple[int, ...]) -> None:
        where = ("B", factor)
        if isinstance(move, Dense):
            wanted = [self.states[factor], *(self.states[f] for f in depends), None]
            axes = ", ".join(["next", *(f"factor {f}" for f in depends), "action"])
            self.found += shaped(move.table, wanted, where, axes)
        elif depends != (factor,):
            self.found.append(
                Problem(
                    where=where,
                    message=f"is a {type(move).__name__}, and depends on factors {list(depends)}",
                    hint=f"let it depend on factor {factor} alone, or give a table",
                )
            )

    def likelihoods(self, A: Any, given: Any) -> None:
        """Take A and what it depends on."""
        rows = self._listed(A, "A", "a table for each observation modality")
        self.tables = [self._table(table, modality) for modality, table in enumerate(rows)]
        every = tuple(range(len(self.states)))
        depends = self._dependencies(given, [every for _ in rows], "A_dependencies")
        for modality, table in enumerate(self.tables):
            if table is None:
                continue
            where = ("A", modality)
            if depends is not None:
                wanted = [None, *(self.states[f] for f in depends[modality])]
                axes = ", ".join(["observation", *(f"factor {f}" for f in depends[modality])])
                self.found += shaped(table, wanted, where, axes)
            self.found += probabilities(table, where)
        self.fields |= {"A": tuple(self.tables), "A_dependencies": depends}

    def _table(self, given: Any, modality: int) -> Floats | None:
        table = numbers(given, ("A", modality), self.found)
        if table is None or table.ndim:
            return table
        hint = "give a table [observation, states...]"
        self.found.append(Problem(where=("A", modality), message="is a lone number", hint=hint))
        return None

    def _dependencies(
        self, given: Any, usual: list[tuple[int, ...]], name: str
    ) -> tuple[tuple[int, ...], ...] | None:
        """Take lists of factors; None if they cannot be used."""
        if given is None:
            return tuple(usual)
        try:
            rows = [list(row) for row in given]
        except TypeError:
            hint = "give a list of lists of numbers of factors"
            self.found.append(Problem(where=(name,), message="is no list of lists", hint=hint))
            return None
        found = list(dependencies(rows, len(self.states), len(usual), name))
        self.found += found
        return None if found else tuple(tuple(map(int, row)) for row in rows)

    def policies(self, given: Any, length: int) -> None:
        """Take policies, or make every one of that length."""
        if given is None:
            self._every_policy(length)
            return
        array = numbers(given, ("policies",), self.found)
        if array is None:
            return
        found = list(policies(array, self.actions))
        self.found += found
        if not found:
            self.fields["policies"] = array.astype(np.int32)

    def _every_policy(self, length: Any) -> None:
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            message = f"is {length!r}, and policies look at least one step ahead"
            self._problem("policy_length", message, "give a whole number from 1")
            return
        known = [count for count in self.actions if count is not None]
        if not known or 0 in known or len(known) < len(self.actions):
            return
        try:
            self.fields["policies"] = every_policy(known, length)
        except SpecError as error:
            self.found += error.problems

    def preferences(self, given: Any) -> None:
        """Take C; nothing is preferred if it is left out."""
        if given is None:
            sizes = [int(table.shape[0]) for table in self.tables if table is not None]
            self.fields["C"] = tuple(np.zeros(size) for size in sizes)
            return
        rows = self._one_each(given, "C", len(self.tables), "modality")
        kept = []
        for modality, row in enumerate(rows):
            where = ("C", modality)
            array = numbers(row, where, self.found)
            if array is None:
                continue
            table = self.tables[modality]
            wanted: list[int | None] = [None if table is None else int(table.shape[0])]
            if array.ndim == 2:
                plans = self.fields.get("policies")
                wanted.append(None if plans is None else int(plans.shape[1]))
            axes = "observation" if array.ndim != 2 else "observation, step ahead"
            self.found += shaped(array, wanted, where, axes)
            self.found += finite(array, where)
            kept.append(array)
        self.fields["C"] = tuple(kept)

    def beginnings(self, given: Any) -> None:
        """Take D; all states are as likely if it is left out."""
        if given is None:
            sizes = [size for size in self.states if size]
            self.fields["D"] = tuple(np.full(size, 1 / size) for size in sizes)
            return
        rows = self._one_each(given, "D", len(self.states), "factor")
        kept = []
        for factor, row in enumerate(rows):
            array = numbers(row, ("D", factor), self.found)
            if array is None:
                continue
            self.found += shaped(array, [self.states[factor]], ("D", factor), "state")
            self.found += probabilities(np.atleast_1d(array), ("D", factor))
            kept.append(array)
        self.fields["D"] = tuple(kept)

    def habits(self, given: Any) -> None:
        """Take E; all policies are as likely if it is left out."""
        plans = self.fields.get("policies")
        if given is None:
            if plans is not None:
                self.fields["E"] = np.full(len(plans), 1 / len(plans))
            return
        array = numbers(given, ("E",), self.found)
        if array is None:
            return
        wanted = [None if plans is None else len(plans)]
        self.found += shaped(array, wanted, ("E",), "policy")
        self.found += probabilities(np.atleast_1d(array), ("E",))
        self.fields["E"] = array

    def settings(self, given: dict[str, Any]) -> None:
        """Take how to infer, plan and choose."""
        for name, value in given.items():
            if name not in _KNOWN:
                hint = suggest(name, _KNOWN) or f"there are {', '.join(_KNOWN)}"
                self._problem(name, "is no setting of a model", hint)
            elif name in _CHOICES and not (isinstance(value, str) and value in _CHOICES[name]):
                hint = suggest(str(value), _CHOICES[name]) or f"use {' or '.join(_CHOICES[name])}"
                self._problem(name, f"is {value!r}", hint)
            elif name in _POSITIVE and not is_positive(value):
                self._problem(name, f"is {value!r}", "give a finite number greater than 0")
            elif name in _COUNTED and not is_whole(value, 1):
                self._problem(name, f"is {value!r}", "give a whole number from 1")
            elif name in _SWITCHES and not isinstance(value, bool | np.bool_):
                self._problem(name, f"is {value!r}", "give True or False")
            elif name != "names" or value is not None:
                self.fields[name] = _plain(name, value)

    def counts(self) -> None:
        """Look at the Dirichlet parameters."""
        for name in _LEARNED:
            given = self.fields.get(name)
            if given is None:
                continue
            shapes = _shapes_learned(name, self)
            kind = "modality" if name == "pA" else "factor"
            rows = self._one_each(given, name, len(shapes), kind)
            kept = []
            for number, row in enumerate(rows):
                where = (name, number)
                array = numbers(row, where, self.found)
                wanted = shapes[number]
                if array is None or wanted is None:
                    continue
                found = list(shaped(array, wanted, where, f"as {name[1]}[{number}]"))
                self.found += found or counts(array, where)
                kept.append(array)
            self.fields[name] = tuple(kept)

    def together(self) -> None:
        """Look at what has to fit together."""
        fields = self.fields
        inference, factors = fields.get("inference", "fpi"), len(self.states)
        if inference == "exact" and factors > 1:
            hint = 'use "fpi" or "vmp", or join the factors into one'
            self._problem("inference", f"is exact for one factor, and there are {factors}", hint)
        if fields.get("window", 1) > 1 and inference != "vmp":
            hint = 'use inference="vmp", or window=1'
            self._problem("window", f'is {fields["window"]}, and "{inference}" has no past', hint)
        learned = any(fields.get(name) is not None for name in ("pA", "pB"))
        if fields.get("parameter_information") and not learned:
            hint = "give pA or pB, or leave it off"
            self._problem("parameter_information", "needs what is learned of A or B", hint)
        names = fields.get("names")
        if names is not None and not all(hasattr(names, part) for part in _PARTS):
            message = f"is a {type(names).__name__}"
            self._problem("names", message, f"give Names({'=..., '.join(_PARTS)}=...)")
        elif names is not None:
            self.found += named(names.factors, ("names", "factors"), factors)
            self.found += named(names.modalities, ("names", "modalities"), len(self.tables))
            sizes = [None if table is None else len(table) for table in self.tables]
            self.found += named_parts(names.states, "states", self.states)
            self.found += named_parts(names.observations, "observations", sizes)
            self.found += named_parts(names.actions, "actions", self.actions)

    def _listed(self, given: Any, name: str, what: str) -> list[Any]:
        """Take a list of tables; a lone table is a mistake that is easily made."""
        if isinstance(given, Dense | Lists | Grid) or not hasattr(given, "__iter__"):
            self._problem(name, f"is a {type(given).__name__}", f"give a list: {what}")
            return []
        if hasattr(given, "dtype") and given.dtype != object:
            message = f"is one array of shape {tuple(given.shape)}"
            self._problem(name, message, f"give a list: {what}; write [{name}] if there is one")
            return []
        rows = list(given)
        if not rows:
            self._problem(name, "is empty", f"give {what}")
        return rows

    def _one_each(self, given: Any, name: str, count: int, kind: str) -> list[Any]:
        rows = self._listed(given, name, f"one array for each {kind}")
        if rows and len(rows) != count:
            message = f"has {len(rows)} arrays, and there are {count} of {kind}"
            self._problem(name, message, f"give one for each {kind}")
            return []
        return rows

    def _problem(self, name: str, message: str, hint: str) -> None:
        self.found.append(Problem(where=(name,), message=message, hint=hint))


def _plain(name: str, value: Any) -> Any:
    """The value as Python has it, so that models can be compared and written."""
    if name in _SWITCHES:
        return bool(value)
    if name in _COUNTED:
        return int(value)
    return float(value) if name in _POSITIVE else value


def _shapes_learned(name: str, making: _Making) -> list[tuple[int, ...] | None]:
    """The shapes that Dirichlet parameters must have; None where they are not known."""
    match name:
        case "pA":
            return [None if table is None else table.shape for table in making.tables]
        case "pD":
            return [None if size is None else (size,) for size in making.states]
        case _:
            return [None if move is None else _table_shape(move) for move in making.moves]


def _table_shape(move: Transition) -> tuple[int, ...]:
    if isinstance(move, Dense):
        return move.table.shape
    return (move.states, move.states, move.actions)
