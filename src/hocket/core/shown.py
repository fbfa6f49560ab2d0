"""What a person is shown before a step is done: exactly what will leave, in words and as data.

What a program is run with is written as a JSON list, so that blanks and newlines cannot hide where
one argument ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec, steps_of
from hocket.core.template import show
from hocket.core.values import Json

PROMPT: Final = "{prompt}"
"""The word of a command that a prompt takes the place of, as `hocket.agents.command` has it."""
_NAMED: Final = ("model", "id", "ref", "local", "name")


def shown_step(step: StepSpec, given: Json, agents: Mapping[str, AgentSpec]) -> str:
    """Write down what a step will do.

    Args:
        step: The step.
        given: What its agent, its team or its nested plan gets, rendered.
        agents: All agents of the run.
    """
    if step.plan is not None:
        names = ", ".join(inner.name for inner in step.plan.steps[:50])
        more = len(step.plan.steps) - 50
        rest = f" and {more:,} more" if more > 0 else ""
        lines = [f"runs plan {step.plan.name!r}: {names}{rest}"]
        return "\n".join([*lines, *_named("with", given)])
    if step.team is not None:
        members = ", ".join(member.agent for member in step.team.members)
        return "\n".join([f"{step.kind} of {members}", *_named("about", given)])
    lines = _call(step.agent, given, agents[step.agent], step.options)
    for name in step.fallback:
        lines += ["if that fails:", *_call(name, given, agents[name], {})]
    if step.review is not None:
        reviewers = ", ".join(member.agent for member in step.review.members)
        lines.append(f"what it gives is reviewed by {reviewers}")
    return "\n".join(lines)


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
    known = next((str(told[key]) for key in _NAMED if isinstance(told.get(key), str)), "")
    does = "calls" if agent.kind == "function" else "asks"
    lines = [f"{does} {name}: {agent.kind}{f' {known}' if known else ''}"]
    if agent.tools:
        lines.append(f"which may call {', '.join(agent.tools)}")
    if isinstance(told.get("system"), str):
        lines += _named("told before", told["system"])
    return [*lines, *_named("with" if agent.kind == "function" else "asked", given)]


def _named(word: str, value: Json) -> list[str]:
    if value is None:
        return []
    text = show(value)
    return [f"{word}:\n{text}" if "\n" in text or len(text) > 60 else f"{word}: {text}"]


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()


MOST_STEPS: Final = 1_000
"""The most steps of a plan that are written out; the digest names the others with them."""


def shown_plan(spec: RunSpec, digest: str, inputs: Mapping[str, Json]) -> str:
    """Write down what a run will do, with its texts as they stand.

    Args:
        spec: The run's spec.
        digest: `spec_digest` of it, which names also what is not written out.
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
    return "\n".join([*lines, f"spec {digest}"])


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
        lines += [indent + line for line in _does(step, agents).splitlines()]
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


def _does(step: StepSpec, agents: Mapping[str, AgentSpec]) -> str:
    if step.kind == "approve":
        return "\n".join(_named("asks a person to approve of", step.input))
    if step.kind == "input":
        return "\n".join(_named("asks a person", step.input))
    if step.kind == "gather":
        return "gathers what these have given"
    return shown_step(step, step.input, agents)
