"""What a step keeps while it runs, where it is more than one plain job.

A *unit* is one doing of a step: the step itself, or one item of its ``each``.
A unit goes through rounds if the step has ``repeat``.
"""

from __future__ import annotations

import re
from typing import Final, Generic, NamedTuple, Self, TypeVar

import msgspec

from hocket.core.values import Json

_PLACE: Final = re.compile(r"([^/~]+)(?:/(\d+))?(?:~(\d+))?(?:/(.+))?", re.DOTALL)

C = TypeVar("C")


class Undone(msgspec.Struct, frozen=True):
    """Stands in a list of results where there is none yet."""


UNDONE: Final = Undone()
ALONE: Final = -1
"""The item number of a step without ``each``."""


class Place(NamedTuple):
    """Where a path points: the step, its item, its round, and a nested workflow's own path."""

    name: str
    item: int
    round: int
    rest: str


def read_place(path: str) -> Place | None:
    """Take a path apart: ``review/3~2/inner`` is step review, item 3, round 2, then ``inner``."""
    match = _PLACE.fullmatch(path)
    if match is None:
        return None
    name, item, round_, rest = match.groups()
    return Place(name, ALONE if item is None else int(item), int(round_ or 1), rest or "")


def unit_path(name: str, item: int, round_: int) -> str:
    """Write a unit's path."""
    path = name if item == ALONE else f"{name}/{item}"
    return path if round_ == 1 else f"{path}~{round_}"


class Asked(msgspec.Struct):
    """A question to a person.

    Fields:
        digest: What exactly was shown; "" for an input.
        expires: When it counts as unanswered, or None if it has done so and the run was paused.
    """

    digest: str
    expires: int | None

    def fork(self) -> Asked:
        """Copy it."""
        return Asked(self.digest, self.expires)


class Live(Generic[C]):
    """A running step. `C` is the type of nested machines, which fork as well.

    Args:
        items: The list of ``each``, or None without it.
        anew: Whether units of the same paths may have been done for another list before.

    Attributes:
        items: The list of ``each``, or None without it.
        results: An output or `UNDONE` for each item; one entry without ``each``.
        undone: How many results are `UNDONE`.
        rounds: The present round of each unit that is beyond its first.
        base: The round from which ``repeat.max`` counts, where that is not 0.
        previous: The last round's output of each unit that has had one.
        asked: The open question of each unit path.
        approved: What was approved of for each unit path, by its digest.
        bound: What the agent of each unit gets that a person was or is asked to approve of.
        children: The nested workflow of each unit path.
        given: What each nested workflow was given.
        watched: For each nested workflow under way, when it is to be woken.
    """

    __slots__ = (
        "anew",
        "approved",
        "asked",
        "base",
        "bound",
        "children",
        "given",
        "items",
        "previous",
        "results",
        "rounds",
        "undone",
        "watched",
    )

    def __init__(self, items: list[Json] | None, *, anew: bool = False) -> None:
        self.anew = anew
        self.items = items
        self.results: list[Json] = [UNDONE] * (1 if items is None else len(items))
        self.undone = len(self.results)
        self.rounds: dict[int, int] = {}
        self.base: dict[int, int] = {}
        self.previous: dict[int, Json] = {}
        self.asked: dict[str, Asked] = {}
        self.approved: dict[str, str] = {}
        self.bound: dict[str, Json] = {}
        self.children: dict[str, C] = {}
        self.given: dict[str, Json] = {}
        self.watched: dict[str, int] = {}

    def result(self, item: int) -> Json:
        """Give a unit's result."""
        return self.results[max(item, 0)]

    def finish(self, item: int, output: Json) -> None:
        """Note a unit's result."""
        self.results[max(item, 0)] = output
        self.undone -= 1

    def units(self) -> list[int]:
        """Give the item numbers of the units that are not done."""
        if self.items is None:
            return [ALONE] if self.undone else []
        return [i for i, result in enumerate(self.results) if result is UNDONE]

    def round(self, item: int) -> int:
        """Give a unit's present round."""
        return self.rounds.get(item, 1)

    def next_round(self, item: int, output: Json) -> None:
        """Put a unit into its next round."""
        self.previous[item] = output
        self.rounds[item] = self.round(item) + 1

    @property
    def output(self) -> Json:
        """The step's output, once nothing is undone."""
        return self.results[0] if self.items is None else self.results

    def fork(self, children: dict[str, C]) -> Self:
        """Copy it around forked children."""
        other = object.__new__(type(self))
        other.anew = self.anew
        other.items = self.items
        other.results = self.results.copy()
        other.undone = self.undone
        other.rounds = self.rounds.copy()
        other.base = self.base.copy()
        other.previous = self.previous.copy()
        other.asked = {path: asked.fork() for path, asked in self.asked.items()}
        other.approved = self.approved.copy()
        other.bound = self.bound.copy()
        other.children = children
        other.given = self.given.copy()
        other.watched = self.watched.copy()
        return other
