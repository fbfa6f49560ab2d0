"""Agents of one kind: how many, with which model, and what each has of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from hocket.core.errors import Problem, SpecError
from hocket.population.judging import is_whole
from hocket.population.learning import Learning
from hocket.population.model import Model
from hocket.population.sharing import MOST, Placed, Sharing
from hocket.population.worlds.world import World, room_of

Beliefs: TypeAlias = Literal["full", "two-level"]


NUMBERS: Final = 2**32
"""How many agents can be numbered, over all the life of a population."""

ROOM: Final = 2**31 - 1
"""The most that may live at once: as many as XLA counts in 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Agents that share a model.

    Fields:
        name: What the group is called.
        model: What its agents take the world to be; kept once for all of them.
        agents: How many live at the beginning.
        capacity: The most that may live at once before memory is taken anew; `agents`, if None.
        own_preferences: Whether each agent has preferences of its own.
        own_precision: Whether each agent has a precision (gamma) of its own.
        learning: What is learned of A, B and D, if anything.
        sharing: With whom beliefs are shared, if with anybody.
        beliefs: In full, or, for large grids, in two levels: as good where agents know the cell
            that they begin in; far off where they may begin anywhere and few cells tell them where.
        sees: The world's modalities that the model's are, in the model's order; all, if None.
    """

    name: str
    model: Model
    agents: int
    capacity: int | None = None
    own_preferences: bool = False
    own_precision: bool = False
    learning: Learning | None = None
    sharing: Sharing | None = None
    beliefs: Beliefs = "full"
    sees: tuple[int, ...] | None = None

    @property
    def room(self) -> int:
        """The most that may live at once."""
        return max(self.agents, self.capacity or 0)

    def modalities(self, world: World) -> tuple[int, ...]:
        """The world's modalities that this group sees."""
        return tuple(range(len(world.observations))) if self.sees is None else self.sees


def check_groups(groups: Sequence[Group], world: World) -> None:
    """See that groups fit each other and the world.

    Raises:
        SpecError: naming each that does not.
    """
    if problems := _of_kinds(groups):
        raise SpecError(problems)
    names = [group.name for group in groups]
    for number, group in enumerate(groups):
        where = ("groups", group.name)
        if names.index(group.name) != number:
            message = f"two groups are called {group.name!r}"
            hint = "give each a name of its own"
            problems.append(Problem(where=where, message=message, hint=hint))
        if group.room < 1:
            problems.append(
                Problem(
                    where=where,
                    message="there is no agent, and no room for one",
                    hint="give it agents, or a capacity to be joined later",
                )
            )
        problems += _fits(group, world, where)
    space, wanted = room_of(world), sum(group.room for group in groups)
    if wanted > ROOM:
        message = f"{wanted:,} agents, and at most {ROOM:,} may live at once"
        hint = "take fewer, or several populations"
        problems.append(Problem(where=("groups",), message=message, hint=hint))
    if space is not None and wanted > space:
        problems.append(
            Problem(
                where=("groups",),
                message=f"{wanted} agents, and the world has room for {space}",
                hint="take fewer agents or a larger world",
            )
        )
    if problems:
        raise SpecError(problems)


def _of_kinds(groups: Any) -> list[Problem]:
    """What is not of the kind that it should be; nothing else can be looked at then."""
    if isinstance(groups, Group) or not isinstance(groups, Sequence):
        message = f"is a {type(groups).__name__}"
        return [Problem(where=("groups",), message=message, hint="give a list of groups")]
    if not groups:
        hint = "give at least one"
        return [Problem(where=("groups",), message="there is no group", hint=hint)]
    problems: list[Problem] = []
    for number, group in enumerate(groups):
        if isinstance(group, Group):
            problems += _of_kind(group, ("groups", str(group.name) or number))
        else:
            message = f"is a {type(group).__name__}, and no group"
            hint = "write Group(name=..., model=..., agents=...)"
            problems.append(Problem(where=("groups", number), message=message, hint=hint))
    return problems


def _of_kind(group: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    """What of a group is not of the kind that it should be."""
    if not isinstance(group.name, str) or not group.name or "/" in group.name:
        message = f"is {group.name!r}"
        yield Problem(where=(*where, "name"), message=message, hint="give a text without /")
    if not isinstance(group.model, Model):
        message = f"is a {type(group.model).__name__}"
        hint = "make one with Model.of, or read one with load_model"
        yield Problem(where=(*where, "model"), message=message, hint=hint)
    for name in ("agents", "capacity"):
        value = getattr(group, name)
        if name == "capacity" and value is None:
            continue
        if not is_whole(value):
            message, hint = f"is {value!r}", "give a whole number"
            yield Problem(where=(*where, name), message=message, hint=hint)
        elif value < 0:
            hint = "give 0 or more"
            yield Problem(where=(*where, name), message=f"is {value}, which is negative", hint=hint)
    if group.beliefs not in get_args(Beliefs):
        message, hint = f"is {group.beliefs!r}", f"give {' or '.join(get_args(Beliefs))}"
        yield Problem(where=(*where, "beliefs"), message=message, hint=hint)
    sees = group.sees
    if sees is not None and not (isinstance(sees, tuple | list) and all(map(is_whole, sees))):
        message, hint = f"is {sees!r}", "give the numbers of the world's modalities"
        yield Problem(where=(*where, "sees"), message=message, hint=hint)


def _fits(group: Group, world: World, where: tuple[str | int, ...]) -> list[Problem]:
    """What of a group does not fit the world."""
    problems = []
    seen = group.modalities(world)
    if any(not 0 <= m < len(world.observations) for m in seen):
        return [
            Problem(
                where=(*where, "sees"),
                message=f"the world has modalities 0 to {len(world.observations) - 1}",
            )
        ]
    offered = tuple(world.observations[m] for m in seen)
    if offered != group.model.observations:
        problems.append(
            Problem(
                where=(*where, "model", "A"),
                message=f"the model expects {list(group.model.observations)} observations, "
                f"the world {type(world).__name__} gives {list(offered)}",
                hint="make the model for this world, or say with `sees` which modalities it has",
            )
        )
    controls = tuple(group.model.actions[f] for f in group.model.controlled)
    if controls != tuple(world.actions):
        problems.append(
            Problem(
                where=(*where, "model", "B"),
                message=f"the model has {list(controls)} actions, "
                f"the world {type(world).__name__} takes {list(world.actions)}",
            )
        )
    return problems + _shares(group, world, where) + _learns(group, where)


def _learns(group: Group, where: tuple[str | int, ...]) -> list[Problem]:
    """What of a group's learning does not fit its model."""
    if group.learning is None:
        return []
    try:
        group.learning.check(group.model)
    except SpecError as error:
        return [
            Problem(where=(*where, *problem.where), message=problem.message, hint=problem.hint)
            for problem in error.problems
        ]
    if group.beliefs != "full":
        return [
            Problem(
                where=(*where, "learning"),
                message="nothing is learned from beliefs of two levels",
                hint='keep the beliefs "full"',
            )
        ]
    return []


def _shares(group: Group, world: World, where: tuple[str | int, ...]) -> list[Problem]:
    """What of a group's sharing does not fit its model or the world."""
    sharing = group.sharing
    if sharing is None:
        return []
    problems = []
    if sharing.factor >= len(group.model.B):
        problems.append(
            Problem(
                where=(*where, "sharing", "factor"),
                message=f"there is no factor {sharing.factor}; the model has {len(group.model.B)}",
            )
        )
    if group.room > MOST:
        problems.append(
            Problem(
                where=(*where, "sharing"),
                message=f"{group.room:,} agents would share, and at most {MOST:,} can",
                hint="make several groups of them; each shares by itself",
            )
        )
    if sharing.with_ == "neighbours" and not isinstance(world, Placed):
        problems.append(
            Problem(
                where=(*where, "sharing", "with_"),
                message=f"agents of the world {type(world).__name__} have no neighbours",
                hint='share with a "coalition", or give the world neighbourhoods',
            )
        )
    if group.beliefs != "full":
        problems.append(
            Problem(
                where=(*where, "sharing"),
                message="beliefs of two levels are not shared",
                hint='keep the beliefs "full"',
            )
        )
    return problems
