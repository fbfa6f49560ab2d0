"""What is wrong with tools and caches is found in a spec, whoever made it."""

from typing import Any

import pytest

from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec, Member, ReviewSpec, ToolSpec
from hocket.workflows.check import problems

SH = AgentSpec(kind="command", effects=True)
TAKES = {"type": "object", "properties": {"x": {}, "y": {}}, "required": ["x"]}


def told(tool: ToolSpec | None = None, name: str = "t", **fields: Any) -> list[str]:
    tools = {} if tool is None else {name: tool}
    agents = {
        "a": AgentSpec(**{"kind": "scripted", "tools": tools, **fields}),
        "sh": SH,
        "m": AgentSpec(kind="model"),
    }
    plan = PlanSpec(name="p", steps=(StepSpec(name="s", agent="a"),))
    found = problems(RunSpec(workflow=plan, agents=agents))
    return [".".join(map(str, one.where)) + ": " + one.message for one in found]


def test_a_tool_that_can_be_done_is_right() -> None:
    assert told(ToolSpec(agent="sh", schema=TAKES, input={"args": ["{{args.x}}"]})) == []
    assert told(ToolSpec(agent="sh")) == []


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ({"agent": "hs"}, "agents.a.tools.t: unknown agent 'hs'"),
        (
            {"agent": "m"},
            "agents.a.tools.t: a tool is a command, a function or a server's, and 'm' is",
        ),
        ({"tries": 0}, "agents.a.tools.t.tries: tries lies between 1 and 1,000, not 0"),
        ({"timeout": 0}, "agents.a.tools.t.timeout: timeout is longer than 0, 10 years at most"),
        ({"schema": []}, "agents.a.tools.t.schema: a tool's schema is a JSON Schema: an object"),
        ({"input": "{{run.id}}"}, "agents.a.tools.t.input: unknown name 'run'"),
        ({"input": {"a": ["{{args.y}}"]}}, "agents.a.tools.t.input.a.0: the argument 'y' may be"),
        ({"input": "{{args."}, "agents.a.tools.t.input: expected a field's name"),
    ],
)
def test_a_tool_that_cannot_be_done_is_told(tool: dict[str, Any], said: str) -> None:
    (found,) = told(ToolSpec(**{"agent": "sh", "schema": TAKES, **tool}))
    assert found.startswith(said) or said.split(": ", maxsplit=1)[0] in found


@pytest.mark.parametrize("name", ["turn", "a/b", "a~2", "x" * 65, "1x"])
def test_a_tools_name_is_a_part_of_a_path(name: str) -> None:
    (found,) = told(ToolSpec(agent="sh"), name)
    assert found.startswith(f"agents.a.tools.{name}: ")


def test_an_agent_that_is_a_tool_is_told_once_of_its_mistakes() -> None:
    tool = ToolSpec(agent="hs")
    agents = {name: AgentSpec(kind="scripted", tools={"t": tool}) for name in "abc"}
    plan = PlanSpec(name="p", steps=(StepSpec(name="s", agent="a"),))
    assert len(problems(RunSpec(workflow=plan, agents=agents))) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "command", "tools": {"t": ToolSpec(agent="sh")}}, "agents.a.tools: a command"),
        ({"max_turns": 0}, "agents.a.max_turns: max_turns lies between 1 and 1,000, not 0"),
        ({"cache": CacheSpec(), "effects": True}, "agents.a.cache: an answer that is given again"),
        ({"cache": CacheSpec(ttl=0)}, "agents.a.cache.ttl: ttl is longer than 0"),
        ({"cache": CacheSpec(threshold=0)}, "agents.a.cache.threshold: threshold lies above 0"),
        ({"cache": CacheSpec(mode="similar")}, "agents.a.cache: to tell what is similar"),
        ({"cache": CacheSpec(embed={"model": "m"})}, "agents.a.cache.embed: embed is about mode"),
    ],
)
def test_an_agent_that_cannot_work_so_is_told(fields: dict[str, Any], said: str) -> None:
    (found,) = told(**fields)
    assert found.startswith(said)


def test_only_what_an_agent_gives_is_reviewed() -> None:
    review = ReviewSpec(members=(Member(name="m", agent="m"),))
    plan = PlanSpec(name="p", steps=(StepSpec(name="s", kind="approve", review=review),))
    found = problems(RunSpec(workflow=plan, agents={"m": AgentSpec(kind="model")}))
    assert [one.message for one in found] == ["a step of kind 'approve' has no output to review"]
