"""Makes groups and a world of what a run was told."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.values import Json
from hocket.population.examples import SCENARIOS, scenario
from hocket.population.gmn import parse_gmn
from hocket.population.group import Group
from hocket.population.model import Model
from hocket.population.model_files import load_model
from hocket.population.settings import (
    MAIN,
    GroupSettings,
    Preferences,
    Settings,
    bare,
    read_preferences,
)
from hocket.population.worlds.sampled import SampledWorld
from hocket.population.worlds.world import World


class Stage(NamedTuple):
    """Who lives where.

    Fields:
        title: What it is called.
        groups: The agents.
        world: What they act in.
    """

    title: str
    groups: tuple[Group, ...]
    world: World


def staged(settings: Settings) -> Stage:
    """Make groups and a world.

    Raises:
        SpecError: A model, an option or preferences make no sense.
        NotFound: There is no such example, or no such file.
    """
    stage = _base(settings)
    groups = {group.name: group for group in stage.groups}
    for name, told in settings.groups.items():
        groups[name] = _told(name, told, groups)
    return stage._replace(groups=tuple(groups.values()))


def examples() -> list[dict[str, Json]]:
    """Give the examples: each its ``name``, what it is ``about``, and its ``options``."""
    return [
        {
            "name": name,
            "about": inspect.cleandoc(made.__doc__ or "").partition("\n")[0],
            "options": {
                option: about.default
                for option, about in inspect.signature(made).parameters.items()
                if about.kind is inspect.Parameter.KEYWORD_ONLY
            },
        }
        for name, made in SCENARIOS.items()
    ]


def _base(settings: Settings) -> Stage:
    if settings.example is not None:
        if settings.example not in SCENARIOS:
            hint = suggest(settings.example, SCENARIOS) or f"there are {', '.join(SCENARIOS)}"
            message = f"there is no example {settings.example!r}"
            raise SpecError([Problem(where=("example",), message=message, hint=hint)])
        ready = scenario(settings.example, settings.agents, **settings.set)
        return Stage(ready.name.capitalize(), ready.groups, ready.world)
    model = _model(settings.model, settings.gmn, "gmn")
    title = "A model as its own world" if settings.model is None else Path(settings.model).stem
    return Stage(
        title, (Group(name=MAIN, model=model, agents=settings.agents),), SampledWorld(model)
    )


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
    rows = read_preferences(where, given)
    wanted = [len(row) for row in rows]
    if wanted != list(model.observations):
        message = f"there are preferences for {wanted} observations, and the model has "
        message += f"{list(model.observations)}"
        raise SpecError([Problem(where=where, message=message)])
    return replace(model, C=tuple(np.asarray(row, np.float64) for row in rows))
