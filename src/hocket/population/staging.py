"""Makes groups and a world of what a run was told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from hocket.config.population import MAIN
from hocket.core.errors import Problem, Refused, SpecError, suggest
from hocket.population.examples import scenario
from hocket.population.gmn import parse_gmn
from hocket.population.group import Group
from hocket.population.model import Model
from hocket.population.model_files import load_model
from hocket.population.ready import READY, unknown
from hocket.population.settings import (
    Continued,
    GroupSettings,
    Preferences,
    Settings,
    bare,
    read_preferences,
)
from hocket.population.wishes import Wishes, rows_of
from hocket.population.worlds.sampled import SampledWorld
from hocket.population.worlds.world import World


class Stage(NamedTuple):
    """Who lives where.

    Fields:
        title: What it is called.
        groups: The agents.
        world: What they act in.
        told: What makes it, all of it.
        saved: The file of the population that goes on, if one does.
        wishes: What groups of that prefer from now on.
    """

    title: str
    groups: tuple[Group, ...]
    world: World
    told: Settings
    saved: Path | None = None
    wishes: dict[str, Wishes] = {}  # noqa: RUF012


def staged(settings: Settings) -> Stage:
    """Make groups and a world.

    Raises:
        SpecError: A model, an option or preferences make no sense.
        NotFound: There is no such example, or no such file.
        Refused: What goes on was not kept by a step.
    """
    if settings.continues is not None:
        return _continued(settings, settings.continues)
    stage = _base(settings)
    groups = {group.name: group for group in stage.groups}
    for name, told in settings.groups.items():
        groups[name] = _told(name, told, groups)
    return stage._replace(groups=tuple(groups.values()))


def _base(settings: Settings) -> Stage:
    if settings.example is not None:
        if settings.example not in READY:
            raise SpecError([unknown(settings.example)])
        ready = scenario(settings.example, settings.agents, **settings.set)
        return Stage(ready.name.capitalize(), ready.groups, ready.world, settings)
    model = _model(settings.model, settings.gmn, "gmn")
    title = "A model as its own world" if settings.model is None else Path(settings.model).stem
    group = Group(name=MAIN, model=model, agents=settings.agents)
    return Stage(title, (group,), SampledWorld(model), settings)


def _continued(settings: Settings, before: Continued) -> Stage:
    """Make what a population was made with that goes on, and what it prefers from now on."""
    try:
        told = msgspec.json.decode(Path(before.settings).read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"{before.settings} is not what a population was told: {error}") from error
    stage = staged(told)
    groups = {group.name: group for group in stage.groups}
    wishes: dict[str, Wishes] = {}
    for name, group in settings.groups.items():
        if name not in groups:
            hint = suggest(name, groups) or f"there is {', '.join(groups)}"
            message = f"there is no group {name!r}"
            raise SpecError([Problem(where=("groups", name), message=message, hint=hint)])
        if group.preferences is not None:
            where = ("groups", name, "preferences")
            rows = read_preferences(where, group.preferences)
            wishes[name] = rows_of(groups[name].model, rows, where)
    told = msgspec.structs.replace(told, ticks=told.ticks + settings.ticks)
    return stage._replace(told=told, saved=Path(before.population), wishes=wishes)


def _model(file: str | None, gmn: str | None, name: str) -> Model:
    """Read a model; `name` is what GMN text is called in messages."""
    if file is not None:
        return load_model(file)
    assert gmn is not None
    return parse_gmn(bare(gmn), name)


def _told(name: str, told: GroupSettings, groups: dict[str, Group]) -> Group:
    """Give a group as it was told, which may be a further one."""
    group = groups.get(name)
    own = told.model is not None or told.gmn is not None
    if group is None and not own:
        message = f"there is no group {name!r}, and a further one needs a model's file or GMN text"
        hint = suggest(name, groups) or f"there is {', '.join(groups)}"
        raise SpecError([Problem(where=("groups", name), message=message, hint=hint)])
    called = f"groups.{name}.gmn"
    model = _model(told.model, told.gmn, called) if own or group is None else group.model
    if group is None:
        group = Group(name=name, model=model, agents=1)
    if told.agents is not None:
        group = replace(group, agents=told.agents, capacity=None)
    if told.preferences is not None:
        where = ("groups", name, "preferences")
        model = wishing(model, told.preferences, where)
    return replace(group, model=model)


def wishing(model: Model, given: Preferences, where: tuple[str, ...]) -> Model:
    """Give a model with other preferences.

    Raises:
        SpecError: They do not fit its observations.
    """
    return replace(model, C=tuple(rows_of(model, read_preferences(where, given), where)))
