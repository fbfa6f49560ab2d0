"""Gives adapters their options, and refuses a step's settings that its agent cannot use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hocket.config import models as part
from hocket.core.errors import Problem
from hocket.core.specs import AgentKind
from hocket.core.values import SECOND, Json

_PROCESS: Final = ("cwd", "env", "env_pass", "files", "keep", "grace", "ok")
_ASKING: Final = ("system", "temperature", "max_tokens")

SETTINGS: Final[dict[AgentKind, tuple[str, ...]]] = {
    "model": (*_ASKING, "settings"),
    "command": _PROCESS,
    "function": (),
    "local": (*_ASKING, "seed", "threads"),
    "scripted": (),
}
"""The settings of each kind of agent."""

_OF_A_STEP: Final[dict[AgentKind, tuple[str, ...]]] = {
    **SETTINGS,
    "local": (*_ASKING, "seed"),
}
_ALL: Final = (*_PROCESS, *_ASKING, "seed", "settings")


def given(about: part.Strict, names: Iterable[str]) -> dict[str, Json]:
    """Give the settings that were set."""
    found: dict[str, Json] = {}
    for name in names:
        value = getattr(about, name, None)
        if value is not None and value != {}:
            # Adapters count in seconds.
            found[name] = value / SECOND if name == "grace" else value
    return found


def command_options(about: part.CommandSettings, command: list[str]) -> dict[str, Json]:
    """Give the options of a command agent."""
    return {"command": list(command), **given(about, _PROCESS)}


def model_options(about: part.ModelAgent, entry: part.ModelPart | None) -> dict[str, Json]:
    """Give the options of a model agent; the agent's own settings win over the model's."""
    if entry is None:
        return {"model": about.model, **given(about, SETTINGS["model"])}
    options: dict[str, Json] = {"model": entry.id, **given(entry, ("base_url", "key_env"))}
    if entry.price is not None:
        options["price"] = {"in": entry.price.in_, "out": entry.price.out}
    options.update(given(about, _ASKING))
    if settings := entry.settings | about.settings:
        options["settings"] = settings
    return options


def step_options(about: part.AgentStep, kind: AgentKind) -> tuple[dict[str, Json], list[Problem]]:
    """Give a step's own settings for its agent, and what is wrong with them."""
    options = given(about, _OF_A_STEP[kind])
    problems = [
        Problem(where=(name,), message=f"a {kind} agent has no setting {name!r}")
        for name in _ALL
        if name not in _OF_A_STEP[kind] and getattr(about, name, None) is not None
    ]
    return options, problems
