"""Settings about agents: ``agents.NAME.KEY``, of their specs and of how they are simulated."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.config.change_budget import change_budget
from hocket.config.change_text import Setting
from hocket.config.file import Loaded
from hocket.config.limit_names import endpoint_name, is_endpoint
from hocket.config.models import ModelAgent, ToolUser
from hocket.config.overrides import read_part
from hocket.config.simulate import EVERYBODY
from hocket.config.simulate_parts import ActorPart
from hocket.config.staff import cache_of
from hocket.core.errors import NotFound, suggest
from hocket.core.specs import AgentSpec, LimitSpec, RunSpec
from hocket.core.values import Json

_OF_SPEC: Final = ("concurrency", "effects", "max_turns", "cache")
_MODEL: Final[tuple[str, ...]] = ("model", "base_url", "key_env", "price")
"""The options of an agent that say which model it asks."""


def change_agent(
    spec: RunSpec, setting: Setting, loaded: Loaded | None
) -> tuple[RunSpec, ActorPart | None]:
    """Change an agent's spec, or say how it is simulated.

    Raises:
        Refused: There is no such key, or the value means nothing there.
        NotFound: There is no such agent.
    """
    name, key = setting.names[1], setting.names[2]
    if name not in spec.agents and name != EVERYBODY:
        hint = suggest(name, spec.agents) or f"there are {', '.join([*spec.agents][:10])}"
        raise NotFound(f"{setting.told}: there is no agent {name!r}; {hint}")
    if key in ActorPart.model_fields:
        tree = _nested(setting.names[2:], setting.value)
        return spec, read_part(setting.told, ActorPart, tree)
    known = [*_OF_SPEC, "model", "budget", *ActorPart.model_fields]
    if key not in known:
        hint = suggest(key, known) or f"there are {', '.join(known)}"
        raise setting.refused(f"of an agent there is nothing called {key!r} to set; {hint}")
    if name not in spec.agents:
        raise setting.refused(f"{key} is of one agent: name it")
    agent = spec.agents[name]
    if key == "model":
        return _with_model(spec, name, setting, loaded), None
    if key == "budget":
        return change_budget(spec, setting, loaded), None
    tree = _nested(setting.names[2:], setting.value)
    value = getattr(read_part(setting.told, ToolUser, tree), key)
    if key == "cache":
        value = cache_of(value)
    elif value is None:
        value = getattr(AgentSpec(kind=agent.kind), key)
    return _put(spec, name, msgspec.structs.replace(agent, **{key: value})), None


def _nested(names: tuple[str, ...], value: Json) -> dict[str, Json]:
    """Give ``{a: {b: value}}`` for ``a.b``."""
    tree = value
    for name in reversed(names):
        tree = {name: tree}
    return dict(tree)


def _put(spec: RunSpec, name: str, agent: AgentSpec) -> RunSpec:
    return msgspec.structs.replace(spec, agents={**spec.agents, name: agent})


# ---- another model ----


def _with_model(spec: RunSpec, name: str, setting: Setting, loaded: Loaded | None) -> RunSpec:
    """Let an agent ask another model, and claim that one's limits."""
    agent = spec.agents[name]
    if agent.kind != "model":
        raise setting.refused(f"agent {name!r} is a {agent.kind}, which asks no model")
    if len(setting.names) > 3:
        raise setting.refused("write agents.NAME.model=NAME")
    model = read_part(setting.told, ModelAgent, {"model": setting.value}).model
    made = None if loaded is None else _of_file(spec, name, model, loaded)
    if made is not None:
        return made
    other = next((a for a in spec.agents.values() if _asks(a) == model), None)
    if other is None and ":" not in model:
        models = [name for name in map(_asks, spec.agents.values()) if name]
        models += [] if loaded is None else loaded.file.models
        hint = suggest(model, models) or "name one of the run, or write provider:model"
        raise NotFound(f"{setting.told}: unknown model {model!r}; {hint}")
    asked: dict[str, Any] = {"model": model}
    if other is not None:
        asked = {key: other.options[key] for key in _MODEL if key in other.options}
    endpoint = endpoint_name(model, asked.get("base_url"))
    limits = (endpoint, *(limit for limit in agent.limits if not is_endpoint(limit)))
    return _asking(spec, name, asked, limits, {endpoint: LimitSpec()})


def _of_file(spec: RunSpec, name: str, model: str, loaded: Loaded) -> RunSpec | None:
    """Let the file say what an agent is that asks another of its models; None if it cannot."""
    about = loaded.file.agents.get(name)
    if not isinstance(about, ModelAgent) or (":" not in model and model not in loaded.file.models):
        return None
    if spec.name not in loaded.file.plans:
        return None
    agents = {**loaded.file.agents, name: about.model_copy(update={"model": model})}
    file = loaded.file.model_copy(update={"agents": agents})
    made = loaded._replace(file=file).spec(spec.name)
    if name not in made.agents:
        return None
    agent = made.agents[name]
    asked = {key: agent.options[key] for key in _MODEL if key in agent.options}
    return _asking(spec, name, asked, agent.limits, made.limits)


def _asking(
    spec: RunSpec,
    name: str,
    asked: dict[str, Json],
    limits: tuple[str, ...],
    known: dict[str, LimitSpec],
) -> RunSpec:
    agent = spec.agents[name]
    options = {key: value for key, value in agent.options.items() if key not in _MODEL}
    changed = msgspec.structs.replace(agent, options={**options, **asked}, limits=limits)
    bounds = {limit: known[limit] for limit in limits if limit not in spec.limits}
    spec = msgspec.structs.replace(spec, limits=dict(sorted({**spec.limits, **bounds}.items())))
    return _put(spec, name, changed)


def _asks(agent: AgentSpec) -> str | None:
    return agent.options.get("model") if agent.kind == "model" else None
