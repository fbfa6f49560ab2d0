"""What a turn of a conversation with tools is expected to take, and the most that it can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents import provider_server as wire
from tests.agents.context import FakeContext
from tests.agents.model_desk import Desk
from tests.agents.tool_streams import TOOLS, agent_said, asks, openai_calls, tool_gave

from hocket.agents.base import Estimate, Request
from hocket.agents.model import ModelAgent
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.teams import Tool
from hocket.core.values import Json

PROVIDERS = [
    ("openai:gpt-5.2", "openai", wire.stream),
    ("anthropic:claude-opus-5", "anthropic", wire.anthropic_stream),
    ("google:gemini-2.5-flash", "google.genai", wire.google_stream),
]
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
OUTPUTS: list[Json] = [
    "x" * 3_000,
    "Grüße aus Köln: 東京は夜の七時 🎉🎉 " * 30,
    '\u0001\\ " \n\t' * 40,
    {"größe": [1.5, None, True], "text": "a\nb" * 90},
    "",
]
MANY = tuple(Tool(f"tool_{i}", f"Does größer things, {i}", POINT) for i in range(12))


def turn(*args: Json) -> Json:
    calls = [{"id": f"c{i}", "name": "grep", "args": given} for i, given in enumerate(args)]
    return {"$": "turn", "text": "Let me see – größer", "calls": calls}


def said(outputs: list[Json], failed: bool = False) -> list[Json]:
    """A conversation of many turns with these outputs of tools."""
    messages: list[Json] = [{"role": "user", "text": "Find it: 東京 " * 20}]
    for output in outputs:
        asked = turn({"pattern": '日本 "x"\n' * 9}, '{"broken', {})
        messages.append(agent_said(asked))
        messages += [tool_gave(asked, output, i, failed) for i in range(3)]
        messages.append({"role": "user", "text": "B says größer things"})
    return messages


def read_of(body: Any) -> int:
    """The bytes of all that a model reads of a request, and some around each message."""
    messages = body["messages" if "messages" in body else "contents"]
    held = json.dumps(body.get("tools", []), ensure_ascii=False, separators=(",", ":"))
    system = [body.get("system", ""), body.get("systemInstruction", "")]
    return len("".join([*_texts(messages), *_texts(system), held]).encode()) + 20 * len(messages)


def _texts(value: Any, key: str = "") -> list[str]:
    if key in ("type", "role") or value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict) and key not in ("input", "args", "response"):
        return [text for name, item in value.items() for text in _texts(item, name)]
    return [json.dumps(value, ensure_ascii=False)]


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize(("name", "package", "answer"), PROVIDERS)
def test_no_turn_is_larger_than_was_said_whatever_is_in_it(
    desk: Desk, name: str, package: str, answer: Any, failed: bool
) -> None:
    pytest.importorskip("pydantic_ai")
    pytest.importorskip(package)
    made = desk.agent(model=name, max_tokens=50, system="Sei knapp.", price={"in": 1, "out": 1})
    for tools in (TOOLS, MANY):
        for outputs in ([], OUTPUTS, *([output] for output in OUTPUTS)):
            asked = asks(*said(outputs, failed), tools=tools)
            expected = made.estimate(asked)
            desk.answers(answer("{}"))
            desk.run(made.call(asked, FakeContext()))
            read = read_of(desk.body())
            assert expected.most_tokens is not None
            assert read + 50 <= expected.most_tokens
            # A bound that is far too high would hold calls back for nothing.
            assert expected.most_tokens <= 3 * read + 3_000


def estimate(asked: Request, agent: ModelAgent | None = None) -> Estimate:
    spec = AgentSpec(kind="model", options={"model": "openai:gpt-5.2", "max_tokens": 50})
    return (agent or ModelAgent("m", spec, state=Path(), live={})).estimate(asked)


def test_all_that_was_said_and_all_tools_count() -> None:
    alone = estimate(asks(tools=TOOLS[:1]))
    assert estimate(asks(tools=TOOLS)).tokens_in > alone.tokens_in
    assert estimate(asks(*said(["r"]), tools=TOOLS[:1])).tokens_in > alone.tokens_in
    short, long = (estimate(asks(*said([output]))) for output in ("r", "r" * 4_000))
    # The tool's output stands there three times.
    assert long.tokens_in - short.tokens_in == pytest.approx(3_000, rel=0.1)
    kept = agent_said(turn({}) | {"kept": {"signature": "s" * 4_000}})
    thought = estimate(asks(asks().input["messages"][0], kept))
    assert thought.tokens_in - alone.tokens_in == pytest.approx(1_000, rel=0.1)


def test_turns_teach_what_the_next_ones_take(desk: Desk) -> None:
    pytest.importorskip("pydantic_ai")
    made = desk.agent()
    asked = asks(*said(["r" * 1_000]))
    before = made.estimate(asked).tokens_in
    used = wire.usage(2 * before, 30)
    desk.answers(openai_calls(("grep", "{}"), used=used))
    for _ in range(60):
        reply = desk.run(made.call(asked, FakeContext()))
    assert reply.usage == Usage(tokens_in=2 * before, tokens_out=30)
    after = made.estimate(asked)
    assert after.tokens_in == pytest.approx(2 * before, rel=0.1)
    assert after.tokens_out == 30
