"""Drafts as specs: what people have made of a drafted plan, held to what a draft may state.

A draft names agents of the operator's file and gives them prompts.
It can state no program, no function and no model: those come from that file alone.
What a draft is approved by is its text and all that it would run, agents included.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hocket.app.load import checked, settle
from hocket.config.file import Loaded, read_text
from hocket.config.models import (
    CommandAgent,
    LocalAgent,
    ModelAgent,
    PlanPart,
    ScriptedAgent,
    SessionAgent,
)
from hocket.config.population_parts import PopulationStep
from hocket.config.step_parts import CommandSettings, CommandStep, FunctionStep, ShellStep
from hocket.core.errors import CallerError, Problem, SpecError
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Json, digest

DRAFT: Final = "(draft)"
"""Stands in place of a file's name where a draft's mistakes are told."""
_SETTINGS: Final = frozenset(CommandSettings.model_fields)
_ACTS: Final = frozenset({"command", "session"})
"""Agents that do what a prompt says, whatever their file says of repeating it."""


def spec_of(text: str, base: Loaded, *, approve: bool = False) -> RunSpec:
    """Give the spec of a draft's text, as it may have been edited.

    Args:
        text: The text.
        base: The operator's file.
        approve: Have the plan wait for a person's approval, whatever the text says.

    Raises:
        SpecError: It has mistakes, or states what only the operator's file may; lines say where.
        NotFound: It has several plans.
    """
    loaded = read_text(text, DRAFT, presets=base.presets, base=base)._replace(place=base.place)
    assert loaded.document is not None
    if foreign := [*_elsewhere(loaded, base), *_foreign(loaded)]:
        raise SpecError(
            foreign,
            [
                f"{DRAFT}:{mark.line + 1}:{mark.column + 1}: {problem.message}"
                for problem in foreign
                for mark in (loaded.document.find(problem.where),)
            ],
        )
    name = loaded.spec().name
    gate = loaded.file.plans[name].approve
    # A gate that opens by itself is none.
    if approve and (not gate or gate.on_timeout == "approve"):
        plans = {**loaded.file.plans, name: _gated(loaded.file.plans[name])}
        loaded = loaded._replace(file=loaded.file.model_copy(update={"plans": plans}))
    return settle(checked(loaded, name), base.source, loaded)


def _gated(plan: PlanPart) -> PlanPart:
    gate = PlanPart.model_validate({"approve": True, "steps": {"x": {"approve": "-"}}}).approve
    return plan.model_copy(update={"approve": gate})


def mistakes(text: str, base: Loaded) -> list[str]:
    """Give a line for each mistake in a draft's text."""
    try:
        spec_of(text, base)
    except SpecError as error:
        return list(error.lines)
    except CallerError as error:
        return [str(error)]
    return []


def _elsewhere(loaded: Loaded, base: Loaded) -> Iterator[Problem]:
    """Find that a draft extends another file than the one whose agents it gets."""
    name = Path(base.source).name
    if loaded.file.extends not in {None, name}:
        message = f"a draft extends {name}, whose agents it was drafted for, and no other file"
        yield Problem(where=("extends",), message=message)


def _foreign(loaded: Loaded) -> list[Problem]:
    """Find what a draft must not state."""
    found = []
    for name, plan in loaded.file.plans.items():
        for step, part in plan.steps.items():
            where = ("plans", name, "steps", step)
            if isinstance(part, CommandStep | ShellStep | FunctionStep):
                message = "a drafted step names an agent; programs stand in the operator's file"
                found.append(Problem(where=where, message=message))
            elif isinstance(part, PopulationStep) and _names_file(part):
                message = "a drafted population names no file: give an example, or GMN text"
                found.append(Problem(where=(*where, "population"), message=message))
            elif stated := sorted(_SETTINGS & part.model_fields_set):
                message = f"{stated[0]} stands in the operator's file, not in a drafted step"
                found.append(Problem(where=(*where, stated[0]), message=message))
    return found


def _names_file(step: PopulationStep) -> bool:
    told = step.population
    return told.model is not None or any(group.model for group in told.groups.values())


def staff(loaded: Loaded) -> dict[str, str]:
    """Say of each agent that a draft may name what it is."""
    found = {}
    for name, agent in loaded.file.agents.items():
        if isinstance(agent, ModelAgent):
            found[name] = f"asks {agent.model}. {(agent.system or '')[:200]}".strip()
        elif isinstance(agent, CommandAgent):
            found[name] = f"runs {agent.command[0]} with the prompt on its standard input"
        elif isinstance(agent, SessionAgent):
            found[name] = f"a coding agent: {agent.session}. {(agent.system or '')[:200]}".strip()
        elif isinstance(agent, LocalAgent):
            found[name] = "the small embedded demo model: short texts only"
        elif isinstance(agent, ScriptedAgent):
            found[name] = "answers from a script"
        else:
            found[name] = "an agent of the file"
    return found


# ---- what is approved ----


def binding(text: str, spec: RunSpec) -> str:
    """Name a draft's text and all that it would run, for who approves of it.

    Args:
        text: The text.
        spec: What `spec_of` makes of it; whether that waits for an approval does not count.
    """
    return digest(f"{text}\n{spec_digest(ungated(spec))}".encode())


def ungated(spec: RunSpec) -> RunSpec:
    """Give a spec that waits for no approval of the whole plan."""
    workflow = msgspec.structs.replace(spec.workflow, approval=None)
    return msgspec.structs.replace(spec, workflow=workflow)


def harms(spec: RunSpec) -> list[str]:
    """Say which steps may change things, and by whom: a line for each step and agent."""
    return list(_harms(spec.workflow, "", spec.agents))


def _harms(plan: PlanSpec, within: str, agents: dict[str, AgentSpec]) -> Iterator[str]:
    for step in plan.steps:
        path = f"{within}{step.name}"
        if step.plan is not None:
            yield from _harms(step.plan, f"{path}/", agents)
        for name in dict.fromkeys(_done_by(step)):
            about = agents[name]
            if about.kind in _ACTS or about.effects or step.effects:
                yield f"step {path} {_does(name, about)}, which may change things"
            for tool, told in about.tools.items():
                if agents[told.agent].effects:
                    yield f"step {path} may use tool {tool} of {name}, which may change things"


def _done_by(step: StepSpec) -> Iterator[str]:
    """Name the agents that may be called for a step."""
    if step.agent:
        yield step.agent
    yield from step.fallback
    for team in (step.team, step.review):
        for member in () if team is None else team.members:
            yield member.agent
            yield from member.fallback
        # Whoever mends what reviewers have found.
        if fixer := getattr(team, "fixer", ""):
            yield fixer


def _does(name: str, about: AgentSpec) -> str:
    if about.kind == "command":
        command = about.options["command"]
        return f"runs {command if isinstance(command, str) else command[0]}"
    if about.kind == "session":
        return f"lets {about.options['session']} work"
    return f"calls {name}"


def crew(spec: RunSpec) -> list[str]:
    """Say what each agent that a plan uses is: a line each."""
    return [f"{name} {_is(about)}{_with(about)}" for name, about in spec.agents.items()]


def _is(about: AgentSpec) -> str:
    told = about.options
    place = f" in {told['cwd']}" if told.get("cwd") else ""
    match about.kind:
        case "command":
            return f"runs {_json(told['command'])}{place}"
        case "session":
            model = f", model {told['model']}" if told.get("model") else ""
            runs = f", runs {_json(told['command'])}" if told.get("command") else ""
            may = f", may act: {told.get('permissions', 'ask')}"
            return f"is a warm session of {told['session']}{model}{runs}{place}{may}"
        case "mcp":
            there = told.get("url") or _json(told.get("command"))
            return f"is tool {told['tool']} of MCP server {told['server']}: {there}"
        case "population":
            return "runs populations of active-inference agents"
        case "function":
            return f"calls {told['ref']}"
        case "model":
            at = f" at {told['base_url']}" if told.get("base_url") else ""
            return f"asks {told['model']}{at}"
        case "local":
            return f"asks the embedded model {told['model']}"
        case _:
            return "answers from a script"


def _with(about: AgentSpec) -> str:
    return f", with tools {', '.join(about.tools)}" if about.tools else ""


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()
