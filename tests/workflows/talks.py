"""What tests of conversations share: an agent with tools, and what a model says in a word."""

from __future__ import annotations

from typing import Any

from tests.machines import Drive, step

from hocket.core.specs import AgentSpec
from hocket.core.teams import ToolSpec
from hocket.core.values import SECOND, Json

PATTERN = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string"},
        "limit": {"type": "integer", "default": 9},
        "how": {"enum": ["plain", "regex"]},
        "paths": {"type": "array", "items": {"type": "string"}},
        "where": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["pattern"],
    "additionalProperties": False,
}

TOOLS = {
    "grep": ToolSpec(
        agent="shell",
        about="Search the sources",
        schema=PATTERN,
        input={"args": ["{{args.pattern}}", "{{args.limit}}"]},
        timeout=5 * SECOND,
        tries=2,
    ),
    "read": ToolSpec(agent="f", about="Read a file", schema={"type": "object"}),
    "write": ToolSpec(
        agent="shell",
        approve=True,
        input={"args": ["{{args.file}}"], "stdin": "{{args.text}}"},
        schema={"type": "object"},
    ),
}


def agents(max_turns: int = 4, effects: bool = False) -> dict[str, AgentSpec]:
    return {
        "m": AgentSpec(kind="model", options={"model": "x:y"}, tools=TOOLS, max_turns=max_turns),
        "other": AgentSpec(kind="model", options={"model": "x:z"}),
        "f": AgentSpec(kind="function"),
        "shell": AgentSpec(
            kind="command",
            options={"command": ["grep", "-rn"]},
            effects=effects,
        ),
    }


def talk(max_turns: int = 4, effects: bool = False, **fields: Any) -> Drive:
    """A step whose agent has tools, and one that needs it."""
    return Drive(
        step("s", agent="m", input="Find it", **fields),
        step("end", input="{{s}}"),
        agents=agents(max_turns, effects),
    )


def turn(*calls: tuple[str, Json], text: str = "", **more: Any) -> Json:
    """A turn that calls tools."""
    named = [{"id": f"c{i}", "name": name, "args": args} for i, (name, args) in enumerate(calls)]
    return {"$": "turn", "text": text, "calls": named, **more}


def answer(value: Json) -> Json:
    """A turn that is an answer."""
    return {"$": "turn", "answer": value}


GREP = ("grep", {"pattern": "x"})
READ = ("read", {"file": "a"})
WRITE = ("write", {"file": "a", "text": "b"})


def result(number: int, name: str, output: Json, failed: bool = False) -> Json:
    """What the model is told of a call."""
    return {"role": "tool", "id": f"c{number}", "name": name, "output": output, "failed": failed}


def messages(drive: Drive, path: str) -> list[Json]:
    given = drive.given(path)
    assert given["$"] == "talk"
    return given["messages"]
