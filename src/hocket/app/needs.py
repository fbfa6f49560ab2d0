"""What a plan's agents need of the machine, and what of it is not there."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

from hocket.agents.providers import unknown_provider
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec

KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "google-gla": "GOOGLE_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}
"""The environment variable of each provider's key, as pydantic-ai reads it."""
_ALSO = {"GOOGLE_API_KEY": "GEMINI_API_KEY", "OPENAI_API_KEY": "OPENAI_BASE_URL"}
"""What is enough instead of a key: its old name, or an address that may need none."""


def missing(spec: RunSpec) -> list[str]:
    """Say in a line each what is missing: programs, extras, keys; keys are only named."""
    lines: dict[str, None] = {}
    for name, agent in spec.agents.items():
        lack = _lack(agent)
        if lack:
            lines[f"agent {name}: {lack}"] = None
    return list(lines)


def keyless(spec: RunSpec) -> list[str]:
    """Say which keys are missing without which the plan must fail: nobody else does their steps."""
    lines: dict[str, None] = {}
    for name in _bound_to_speak(spec.workflow):
        agent = spec.agents[name]
        if agent.kind == "model" and agent.cache is None and (lack := _lack_of_key(agent)):
            lines[f"agent {name}: {lack}"] = None
    return list(lines)


def _bound_to_speak(plan: PlanSpec) -> Iterator[str]:
    """Name the agents that are called whatever happens, if nothing fails before."""
    wanted = {name for step in plan.steps for name in step.wants}
    after: dict[str, list[str]] = {}
    for step in plan.steps:
        for name in step.needs:
            after.setdefault(name, []).append(step.name)
    # Steps that may be left out, and what needs them.
    spared = [
        step.name
        for step in plan.steps
        if step.when or step.each or step.on_failure != "stop" or step.name in wanted
    ]
    perhaps = set(spared)
    while spared:
        more = [name for name in after.get(spared.pop(), ()) if name not in perhaps]
        perhaps.update(more)
        spared += more
    for step in plan.steps:
        if step.name in perhaps or step.fallback:
            continue
        if step.plan is not None:
            yield from _bound_to_speak(step.plan)
        elif step.kind == "call":
            yield step.agent


def _lack(agent: AgentSpec) -> str:
    options = agent.options
    if agent.kind == "command" and not options.get("shell"):
        program = str((options.get("command") or [""])[0])
        if "{" not in program and "/" not in program and shutil.which(program) is None:
            return f"there is no program {program!r} on the PATH"
    if agent.kind == "mcp":
        return _lack_of_server(agent)
    if agent.kind == "population" and not has_extra("jax"):
        return "needs the extra: pip install 'hocket[population]'"
    if agent.kind == "local" and not has_extra("xllamacpp"):
        return "needs the extra: pip install 'hocket[local]'"
    if agent.kind == "model":
        if not has_extra("pydantic_ai"):
            return "needs the extra: pip install 'hocket[models]'"
        if not options.get("base_url") and (
            said := unknown_provider(str(options.get("model", "")))
        ):
            return said
        return _lack_of_key(agent)
    return ""


def _lack_of_key(agent: AgentSpec) -> str:
    key = key_name(agent)
    named = (key, _ALSO.get(key, key))
    if key and not any(os.environ.get(one, "").strip() for one in named):
        return f"the variable {key} is not set"
    return ""


def _lack_of_server(agent: AgentSpec) -> str:
    options = agent.options
    if not has_extra("mcp"):
        return "needs the extra: pip install 'hocket[mcp]'"
    for variable in (options.get("headers_env") or {}).values():
        if variable not in os.environ:
            return f"the variable {variable} is not set"
    program = str((options.get("command") or [""])[0])
    if program and "/" not in program and shutil.which(program) is None:
        return f"there is no program {program!r} on the PATH"
    return ""


def key_name(agent: AgentSpec) -> str:
    """Name the environment variable that a model's key is read from, or ""."""
    named = agent.options.get("key_env")
    if named:
        return str(named)
    if agent.options.get("base_url"):
        return ""
    return KEYS.get(str(agent.options.get("model", "")).partition(":")[0], "")


def has_extra(module: str) -> bool:
    """Tell whether an extra's module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None
