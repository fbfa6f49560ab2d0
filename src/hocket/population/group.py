"""Agents of one kind: how many, with which model, and what each has of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from hocket.core.errors import Problem, SpecError
from hocket.population.learning import Learning
from hocket.population.model import Model
from hocket.population.sharing import Placed, Sharing
from hocket.population.worlds.world import World, room_of

Beliefs: TypeAlias = Literal["full", "two-level"]


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
        beliefs: In full, or, for large grids, in two levels: as good where agents know the cell that
            they begin in; far off where they may begin anywhere and few cells tell them where.
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
    problems = [] if groups else [Problem(where=("groups",), message="there is no group")]
    names = [group.name for group in groups]
    for number, group in enumerate(groups):
        where = ("groups", group.name or number)
        if names.index(group.name) != number:
            problems.append(Problem(where=where, message=f"two groups are called {group.name!r}"))
        if group.agents < 0 or (group.capacity is not None and group.capacity < 0):
            problems.append(Problem(where=where, message="the number of agents is negative"))
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
