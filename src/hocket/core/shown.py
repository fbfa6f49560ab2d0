"""What a person is shown before a step is done: exactly what will leave, in words and as data.

What a program is run with is written as a JSON list, so that blanks and newlines cannot hide where
one argument ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hocket.core.specs import (
    AgentSpec,
    PlanSpec,
    RunSpec,
    StepSpec,
    agents_of,
    steps_of,
    unlearned_step,
)
from hocket.core.teams import ToolSpec
from hocket.core.template import show
from hocket.core.values import Json, canonical, digest

PROMPT: Final = "{prompt}"
"""The word of a command that a prompt takes the place of, as `hocket.agents.command` has it."""
MOST_STEPS: Final = 1_000
"""The most steps of a plan that are written out; the digest names the others with them."""
_NAMED: Final = ("model", "id", "ref", "local", "name")


def shown_step(step: StepSpec, given: Json, agents: Mapping[str, AgentSpec]) -> str:
    """Write down what a step will do; its last line names all that is not written out.

    Args:
        step: The step.
        given: What its agent, its team or its nested plan gets, rendered.
        agents: All agents of the run.
    """
    lines = _doings(step, given, agents)
    if step.plan is not None:
        size = steps_of(step.plan)
        _steps(step.plan, agents, "", lines, [0])
        if size > MOST_STEPS:
            lines.append(f"… and {size - MOST_STEPS:,} more steps")
    return "\n".join([*lines, f"settings {settings_digest(step, agents)}"])


def settings_digest(step: StepSpec, agents: Mapping[str, AgentSpec]) -> str:
    """Name all that decides what a step does, by content: its own settings and its agents'.

    What only decides when a call is made does not count.
    """
    names: dict[str, None] = {}
    _involved(step, agents, names)
    bare = {name: _bare(agents[name]) for name in names if name in agents}
    own = msgspec.structs.replace(unlearned_step(step), uses={}, takes=None, hedge=None, learned={})
    return digest(canonical([own, bare]))


def tool_digest(tool: ToolSpec, agent: AgentSpec) -> str:
    """Name all that decides what a tool does, by content."""
    return digest(canonical([tool, _bare(agent)]))


def _bare(agent: AgentSpec) -> AgentSpec:
    return msgspec.structs.replace(agent, limits=(), concurrency=None)


def _involved(step: StepSpec, agents: Mapping[str, AgentSpec], names: dict[str, None]) -> None:
    names.update(dict.fromkeys(sorted(agents_of(step, agents))))
    for inner in () if step.plan is None else step.plan.steps:
        _involved(inner, agents, names)


def _doings(step: StepSpec, given: Json, agents: Mapping[str, AgentSpec]) -> list[str]:
    """Say what a step does; the steps of a nested plan are not in it."""
    if step.plan is not None:
        size = steps_of(step.plan)
        steps = f"{size:,} step{'s' if size > 1 else ''}"
        return [f"runs plan {step.plan.name!r}: {steps}", *_named("with", given)]
    if step.team is not None:
        members = ", ".join(member.agent for member in step.team.members)
        lines = [f"{step.kind} of {members}", *_named("about", given)]
        return [*lines, *_seats(step, agents)]
    lines = _call(step.agent, given, agents[step.agent], step.options)
    for name in step.fallback:
        lines += ["if that fails:", *_call(name, given, agents[name], {})]
    if step.review is not None:
        reviewers = ", ".join(member.agent for member in step.review.members)
        lines += [f"what it gives is reviewed by {reviewers}", *_seats(step, agents)]
    return lines


def _seats(step: StepSpec, agents: Mapping[str, AgentSpec]) -> list[str]:
    """Say who they are that work together, beside who does the step's own call."""
    names = agents_of(step, agents) - {step.agent, *step.fallback}
    lines = []
    for name in sorted(names):
        told = agents[name].options
        lines += [_who(name, agents[name], told), *("   " + one for one in _settings(told))]
    return lines


def shown_command(agent: AgentSpec, given: Json, options: Mapping[str, Json]) -> list[str]:
    """Write down how a program is run: its arguments, its folder, and what it reads."""
    told = {**agent.options, **options}
    argv, stdin = command_line(told, given)
    lines = [f"runs {_json(argv)}"]
    if told.get("cwd"):
        lines.append(f"in {told['cwd']}")
    if told.get("env"):
        lines.append(f"with {_json(told['env'])} in its environment")
    if stdin is not None:
        lines.append(f"which reads {_json(stdin)}")
    return lines


def command_line(options: Mapping[str, Json], given: Json) -> tuple[list[Json], Json]:
    """Give a program's arguments, and what it reads or None."""
    command = options.get("command", [])
    fixed = ["/bin/sh", "-c", command, "sh"] if isinstance(command, str) else [*command]
    args: list[Json] = []
    stdin: Json = given
    if isinstance(given, dict) and given.keys() <= {"args", "stdin"}:
        args, stdin = given.get("args") or [], given.get("stdin")
    if PROMPT in fixed and not isinstance(command, str):
        prompt = "" if stdin is None else stdin
        return [prompt if word == PROMPT else word for word in fixed] + args, None
    return fixed + args, stdin


def _call(name: str, given: Json, agent: AgentSpec, options: Mapping[str, Json]) -> list[str]:
    if agent.kind == "command":
        return shown_command(agent, given, options)
    told = {**agent.options, **options}
    does = "calls" if agent.kind == "function" else "asks"
    lines = [f"{does} {_who(name, agent, told)}", *_settings(told)]
    if agent.tools:
        lines.append(f"which may call {', '.join(agent.tools)}")
    if isinstance(told.get("system"), str):
        lines += _named("told before", told["system"])
    return [*lines, *_named("with" if agent.kind == "function" else "asked", given)]


def _who(name: str, agent: AgentSpec, told: Mapping[str, Json]) -> str:
    known = next((str(told[key]) for key in _NAMED if isinstance(told.get(key), str)), "")
    return f"{name}: {agent.kind}{f' {known}' if known else ''}"


def _settings(told: Mapping[str, Json]) -> list[str]:
    """Write an agent's settings down, a line each, but what is said of it elsewhere."""
    first = next((key for key in _NAMED if isinstance(told.get(key), str)), "")
    return [f"{key}: {_json(told[key])}" for key in told if key not in (first, "system")]


def _named(word: str, value: Json) -> list[str]:
    if value is None:
        return []
    text = show(value)
    return [f"{word}:\n{text}" if "\n" in text or len(text) > 60 else f"{word}: {text}"]


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def shown_plan(spec: RunSpec, mark: str, inputs: Mapping[str, Json]) -> str:
    """Write down what a run will do, with its texts as they stand.

    Args:
        spec: The run's spec.
        mark: `spec_digest` of it, which names also what is not written out.
        inputs: The run's inputs.
    """
    plan, size = spec.workflow, steps_of(spec.workflow)
    lines = [f"plan {plan.name!r}: {size:,} step{'s' if size > 1 else ''}"]
    lines += [f"input {name}: {_json(value)}" for name, value in inputs.items()]
    lines.append(f"at most {spec.max_parallel:,} calls at once")
    lines += [f"limit {name}: {_json(limit)}" for name, limit in spec.limits.items()]
    _steps(plan, spec.agents, "", lines, [0])
    if size > MOST_STEPS:
        lines.append(f"… and {size - MOST_STEPS:,} more steps")
    return "\n".join([*lines, f"spec {mark}"])


def _steps(
    plan: PlanSpec,
    agents: Mapping[str, AgentSpec],
    before: str,
    lines: list[str],
    count: list[int],
) -> None:
    for number, step in enumerate(plan.steps, 1):
        count[0] += 1
        if count[0] > MOST_STEPS:
            return
        lines.append(f"{before}{number}. {step.name}{_when(step)}")
        indent = " " * (len(before) + 3)
        lines += [indent + line for line in _does(step, agents)]
        if step.plan is not None:
            _steps(step.plan, agents, f"{before}{number}.", lines, count)


def _when(step: StepSpec) -> str:
    told = []
    if step.needs or step.wants:
        told.append("after " + ", ".join((*step.needs, *step.wants)))
    if step.when is not None:
        told.append(f"if {step.when}")
    if step.each is not None:
        told.append(f"for each of {step.each}")
    if step.repeat is not None:
        told.append(f"until {step.repeat.until}, {step.repeat.max:,} times at most")
    if step.approval is not None:
        told.append("asking first")
    return "".join(f", {text}" for text in told)


def _does(step: StepSpec, agents: Mapping[str, AgentSpec]) -> list[str]:
    if step.kind == "approve":
        lines = _named("asks a person to approve of", step.input)
    elif step.kind == "input":
        lines = _named("asks a person", step.input)
    elif step.kind == "gather":
        return ["gathers what these have given"]
    else:
        lines = _doings(step, step.input, agents)
    # A text in it may have lines of its own.
    return "\n".join(lines).split("\n")
