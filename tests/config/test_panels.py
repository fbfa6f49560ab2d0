"""Functions that reply for a panel are told by name what there is."""

import asyncio
from typing import Any

import pytest
from tests.config.texts import load_text

from hocket import Agent, Engine, Plan
from hocket.config.panel import Contributor
from hocket.core.specs import StepSpec
from hocket.workflows.check import problems

BY_NAME = {
    "question": "{{inputs.question}}",
    "contributions": "{{gather.there}}",
    "missing": "{{gather.missing}}",
}


def reply(question: str, contributions: dict[str, Any], missing: dict[str, str]) -> str:
    return f"{question} {contributions} {missing}"


def broken(text: str) -> str:
    raise ValueError("no")


def within(step: StepSpec) -> dict[str, StepSpec]:
    assert step.plan is not None
    return {one.name: one for one in step.plan.steps}


def test_a_function_replies_from_arguments_by_name() -> None:
    plan = Plan("p")
    mood = Agent("mood", scripted={"replies": ["fine"]})
    replied = plan.panel(
        "r", "why?", agents={"mood": mood, "web": broken}, synthesis=Contributor(reply)
    )

    async def run() -> str:
        async with Engine(memory=True) as engine:
            return (await engine.run(plan))[replied].reply

    assert asyncio.run(run()) == "why? {'mood': 'fine'} {'web': 'failed: ValueError: no'}"


@pytest.mark.parametrize("who", ["{call: 'm:fn'}", "fn"])
def test_so_does_a_function_of_a_file(who: str) -> None:
    spec = load_text(f"""
version: 1
agents:
  a: {{scripted: {{}}}}
  fn: {{function: "m:fn"}}
plans:
  p: {{steps: {{r: {{panel: {{question: x, agents: {{m: a}}, synthesis: {who}, revise: true}}}}}}}}
""")
    inner = within(spec.workflow.steps[0])
    assert inner["synthesis"].input == BY_NAME
    later = {name: text.replace("gather", "later") for name, text in BY_NAME.items()}
    assert inner["revision"].input == later
    assert problems(spec) == []


def test_a_function_that_is_told_something_gets_that() -> None:
    plan = Plan("p")
    mood = Agent("mood", scripted={})
    plan.panel("r", "x", agents={"m": mood}, synthesis=Contributor(reply, {"question": "y"}))
    plan.panel("s", "x", agents={"m": mood}, synthesis=Contributor(reply, fallback=[mood]))
    first, second = plan.spec().workflow.steps
    assert within(first)["synthesis"].input == {"question": "y"}
    # Whoever stands in for it reads a text.
    assert str(within(second)["synthesis"].input).startswith("{{inputs.question}}")
