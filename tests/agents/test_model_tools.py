"""The `model` agent in conversations with tools, with the real pydantic-ai on the loopback."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.agents import provider_server as wire
from tests.agents.context import request
from tests.agents.model_desk import Desk
from tests.agents.provider_server import Answer
from tests.agents.tool_streams import (
    FIRST,
    PATTERN,
    TOOLS,
    agent_said,
    anthropic_calls,
    asks,
    google_calls,
    openai_calls,
    openai_calls_whole,
    responses_calls,
    tool_gave,
)

from hocket.core.events import Usage
from hocket.core.teams import Tool
from hocket.core.values import Json

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
GREP = ("grep", '{"pattern": "x"}')
TURN = {
    "$": "turn",
    "text": "Let me see",
    "calls": [
        {"id": "c0", "name": "grep", "args": {"pattern": "x"}},
        {"id": "c1", "name": "now", "args": {}},
    ],
}


def names(body: Any) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


# ---- turns ----


def test_calls_are_read_from_a_stream_and_only_text_is_shown(desk: Desk) -> None:
    reply, context = desk.ask(openai_calls(GREP, ("now", ""), text="Let me see"), asks())
    assert reply.output == TURN
    assert context.shown == [("out", "Let me see")]
    assert reply.usage == Usage(tokens_in=11, tokens_out=7, cost=None)


def test_calls_are_read_from_an_answer_in_one_piece(desk: Desk) -> None:
    reply, _ = desk.ask(openai_calls_whole(*GREP), asks(), stream=False)
    assert reply.output == {"$": "turn", "text": "", "calls": TURN["calls"][:1]}


def test_an_answer_without_calls_is_a_turn_that_ends_the_conversation(desk: Desk) -> None:
    reply, context = desk.ask(wire.stream(["It ", "is x"]), asks())
    assert reply.output == {"$": "turn", "answer": "It is x"}
    assert context.text() == "It is x"


def test_the_tools_are_on_the_wire_with_their_schemas(desk: Desk) -> None:
    desk.ask(openai_calls(GREP), asks(), system="S")
    body = desk.body()
    assert names(body) == ["grep", "now"]
    grep, now = (tool["function"] for tool in body["tools"])
    assert grep["description"] == "Search the sources"
    assert grep["parameters"].items() >= PATTERN.items()
    assert now["parameters"]["properties"] == {}
    assert body["tool_choice"] == "auto"
    assert [m["role"] for m in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize("args", ['{"pattern": "x', "[1]", '"x"', "nonsense"])
def test_arguments_that_are_no_object_stay_what_they_are(desk: Desk, args: str) -> None:
    reply, _ = desk.ask(openai_calls(("grep", args)), asks())
    given = reply.output["calls"][0]["args"]
    assert given == {"[1]": [1], '"x"': "x"}.get(args, args)
    # And the conversation can go on with them.
    said = agent_said(reply.output)
    desk.ask(wire.stream(), asks(FIRST, said, tool_gave(reply.output, "no object", failed=True)))
    assert desk.body()["messages"][1]["tool_calls"][0]["function"]["name"] == "grep"


def test_a_tool_that_was_never_given_is_called_all_the_same(desk: Desk) -> None:
    reply, _ = desk.ask(openai_calls(("invented", "{}")), asks())
    assert reply.output["calls"] == [{"id": "c0", "name": "invented", "args": {}}]


def test_calls_that_were_cut_are_no_turn(desk: Desk) -> None:
    error = desk.refused(openai_calls(GREP, finish="length"), asks())
    assert error.fault.kind == "invalid_output"
    assert "a tool's call was cut at the token limit" in error.fault.message
    assert error.usage == Usage(tokens_in=11, tokens_out=7, cost=None)


def test_a_stream_that_breaks_off_in_a_call_is_no_turn(desk: Desk) -> None:
    answer = openai_calls(GREP)
    error = desk.refused(Answer(**(vars(answer) | {"cut": 700})), asks())
    assert error.fault.kind == "unavailable"


def test_an_empty_turn_is_no_answer(desk: Desk) -> None:
    assert desk.refused(wire.stream([""]), asks()).fault.kind == "invalid_output"


def test_tools_without_a_conversation_make_no_sense(desk: Desk) -> None:
    alone = msgspec.structs.replace(request("hi"), tools=TOOLS)
    error = desk.refused(wire.stream(), alone)
    assert error.fault.kind == "permanent"
    assert desk.server.seen == []


# ---- structured answers beside tools ----


def test_a_structured_answer_comes_as_a_tool_of_its_own(desk: Desk) -> None:
    reply, context = desk.ask(wire.tool_stream(['{"x"', ": 1}"]), asks(output=POINT))
    assert reply.output == {"$": "turn", "answer": {"x": 1}}
    assert context.text() == '{"x": 1}'
    body = desk.body()
    assert names(body) == ["grep", "now", "answer"]
    assert body["tool_choice"] == "required"
    assert "response_format" not in body, "not every provider has both"


def test_native_schemas_beside_tools_are_there_for_who_wants_them(desk: Desk) -> None:
    reply, _ = desk.ask(wire.stream(['{"x": 1}']), asks(output=POINT), structured="native")
    assert reply.output == {"$": "turn", "answer": {"x": 1}}
    assert names(desk.body()) == ["grep", "now"]
    assert desk.body()["response_format"]["type"] == "json_schema"


def test_a_scalar_answer_is_unwrapped(desk: Desk) -> None:
    schema = {"type": "integer"}
    reply, _ = desk.ask(wire.tool_stream(['{"value": 3}']), asks(output=schema))
    assert reply.output == {"$": "turn", "answer": 3}


def test_an_answer_that_does_not_fit_is_no_turn(desk: Desk) -> None:
    error = desk.refused(wire.tool_stream(['{"x": "one"}']), asks(output=POINT))
    assert error.fault.kind == "invalid_output"


def test_an_own_tool_may_be_called_answer(desk: Desk) -> None:
    own = (Tool("answer", "Look an answer up", PATTERN),)
    called = openai_calls(("answer", '{"pattern": "x"}'))
    reply, context = desk.ask(called, asks(output=POINT, tools=own))
    assert names(desk.body()) == ["answer", "final_answer"]
    assert reply.output["calls"] == [{"id": "c0", "name": "answer", "args": {"pattern": "x"}}]
    assert context.shown == []
    answer = openai_calls(("final_answer", '{"x": 1}'))
    reply, _ = desk.ask(answer, asks(output=POINT, tools=own))
    assert reply.output == {"$": "turn", "answer": {"x": 1}}


def test_calls_beside_an_answer_are_made_first_unless_it_is_the_last_turn(desk: Desk) -> None:
    both = openai_calls(GREP, ("answer", '{"x": 1}'))
    reply, _ = desk.ask(both, asks(output=POINT))
    assert [call["name"] for call in reply.output["calls"]] == ["grep"]
    reply, _ = desk.ask(both, asks(output=POINT, last=True))
    assert reply.output == {"$": "turn", "answer": {"x": 1}}


@pytest.mark.parametrize(
    ("output", "choice"),
    [(None, "none"), (POINT, {"type": "function", "function": {"name": "answer"}})],
)
def test_on_the_last_turn_no_tool_may_be_called_and_all_are_there(
    desk: Desk, output: Json, choice: Json
) -> None:
    answer = wire.stream(["so"]) if output is None else wire.tool_stream(['{"x": 1}'])
    desk.ask(answer, asks(output=output, last=True))
    assert desk.body()["tool_choice"] == choice
    assert names(desk.body())[:2] == ["grep", "now"]


def test_a_call_on_the_last_turn_is_told_as_it_is(desk: Desk) -> None:
    reply, _ = desk.ask(openai_calls(GREP), asks(last=True))
    assert reply.output["calls"][0]["name"] == "grep"


# ---- what was said ----


def test_a_conversation_is_on_the_wire_as_it_was(desk: Desk) -> None:
    said = [
        FIRST,
        agent_said(TURN),
        tool_gave(TURN, {"lines": [1, 2]}),
        tool_gave(TURN, "no clock", 1, failed=True),
        {"role": "user", "text": "B says y"},
    ]
    desk.ask(wire.stream(), asks(*said), system="S")
    messages = desk.body()["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert messages[2]["content"] == "Let me see"
    calls = [call["function"] for call in messages[2]["tool_calls"]]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("grep", {"pattern": "x"}),
        ("now", {}),
    ]
    assert [(m["tool_call_id"], m["content"]) for m in messages[3:5]] == [
        ("c0", '{"lines":[1,2]}'),
        ("c1", '{"error":"no clock"}'),
    ]
    assert messages[5]["content"] == "B says y"


@pytest.mark.parametrize("output", [None, "", [], {}, 0, False])
def test_a_tool_may_give_nothing(desk: Desk, output: Json) -> None:
    desk.ask(wire.stream(), asks(FIRST, agent_said(TURN), tool_gave(TURN, output)))
    assert desk.body()["messages"][2]["content"]


def test_a_prompt_begins_as_the_one_before_it_did(desk: Desk) -> None:
    said: list[Json] = [FIRST]
    bodies = []
    for number in range(3):
        reply, _ = desk.ask(openai_calls(GREP, ("now", ""), text=str(number)), asks(*said))
        bodies.append(desk.body())
        gave = [tool_gave(reply.output, "r", 0), tool_gave(reply.output, "s", 1)]
        said += [agent_said(reply.output), *gave, {"role": "user", "text": f"news {number}"}]
    desk.ask(wire.stream(), asks(*said, last=True))
    bodies.append(desk.body())
    for before, after in itertools.pairwise(bodies):
        assert after["tools"] == before["tools"]
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert len(after["messages"]) > len(before["messages"])


# ---- what providers want to see again ----

PROVIDERS: list[tuple[str, Callable[[], Answer], Callable[..., Answer], Callable[[Any], Json]]] = [
    (
        "anthropic:tiny",
        anthropic_calls,
        wire.anthropic_stream,
        lambda body: body["messages"][1]["content"][0]["signature"],
    ),
    (
        "openai-responses:gpt-5",
        responses_calls,
        wire.responses_stream,
        lambda body: body["input"][1]["encrypted_content"],
    ),
    (
        "google:gemini-3-pro",
        google_calls,
        wire.google_stream,
        lambda body: body["contents"][1]["parts"][0]["thoughtSignature"],
    ),
]


@pytest.mark.parametrize(
    ("name", "calls", "answers", "signature"), PROVIDERS, ids=[each[0] for each in PROVIDERS]
)
def test_signed_thoughts_go_back_to_their_provider(
    desk: Desk,
    name: str,
    calls: Callable[[], Answer],
    answers: Callable[..., Answer],
    signature: Callable[[Any], Json],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(
        {"anthropic": "anthropic", "google": "google.genai"}.get(name.partition(":")[0], "openai")
    )
    monkeypatch.setenv("ANY_KEY", "none")
    root = desk.server.url.removesuffix("/v1")
    at = {
        "model": name,
        "base_url": desk.server.url if name.startswith("openai") else root,
        "key_env": "ANY_KEY",
    }
    reply, context = desk.ask(calls(), asks(), **at)
    turn = reply.output
    assert [(c["name"], c["args"]) for c in turn["calls"]] == [("grep", {"pattern": "x"})]
    assert reply.usage is not None and reply.usage.tokens_in == 11
    assert context.shown == []
    # Everything in it has to survive the journal.
    turn = msgspec.json.decode(msgspec.json.encode(turn))
    said = [FIRST, agent_said(turn), tool_gave(turn, "no file", failed=True)]
    reply, _ = desk.ask(answers("so"), asks(*said, last=True), **at)
    assert reply.output == {"$": "turn", "answer": "so"}
    assert signature(desk.body()) in ("SIGNED", "U0lHTkVE")
    assert "no file" in json.dumps(desk.body())
    # Another provider, as a fallback, gets what was said and no more.
    reply, _ = desk.ask(wire.stream(["so"]), asks(*said, last=True))
    heard = json.dumps(desk.body())
    assert "SIGNED" not in heard and "Where?" not in heard
    assert desk.body()["messages"][1]["tool_calls"][0]["function"]["name"] == "grep"


def test_what_is_kept_by_another_version_is_written_anew(desk: Desk) -> None:
    turn = TURN | {"kept": {"provider_name": "openai", "parts": [{"part_kind": "unheard of"}]}}
    desk.ask(wire.stream(), asks(FIRST, agent_said(turn), tool_gave(turn, "r")))
    assert desk.body()["messages"][1]["content"] == "Let me see"


def test_a_plain_turn_keeps_nothing_twice(desk: Desk) -> None:
    reply, _ = desk.ask(openai_calls(GREP, text="so"), asks())
    assert "kept" not in reply.output
    reply, _ = desk.ask(openai_calls(GREP, thought="Where?"), asks())
    assert "Where?" in json.dumps(reply.output["kept"])
