"""Streamed answers that call tools, as each provider writes them, and what a talk is made of."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from tests.agents.context import request
from tests.agents.provider_server import Answer, begun_response, event, named, sse, usage

from hocket.agents.base import Request
from hocket.core.teams import Tool
from hocket.core.values import Json

PATTERN = {
    "type": "object",
    "properties": {"pattern": {"type": "string"}},
    "required": ["pattern"],
}
TOOLS = (Tool("grep", "Search the sources", PATTERN), Tool("now", "Tell the time", None))
FIRST = {"role": "user", "text": "Find it"}


def asks(
    *messages: Json, last: bool = False, tools: tuple[Tool, ...] = TOOLS, **fields: Any
) -> Request:
    """A request for the next turn of a conversation."""
    talk = {"$": "talk", "messages": list(messages or [FIRST])} | ({"last": True} if last else {})
    return msgspec.structs.replace(request(talk, **fields), tools=tools)


def agent_said(turn: Json) -> Json:
    """The message of a turn, as a conversation keeps it."""
    return {"role": "agent", **{key: value for key, value in turn.items() if key != "$"}}


def tool_gave(turn: Json, output: Json, number: int = 0, failed: bool = False) -> Json:
    call = turn["calls"][number]
    return {
        "role": "tool",
        "id": call["id"],
        "name": call["name"],
        "output": output,
        "failed": failed,
    }


def openai_calls(
    *calls: tuple[str, str],
    text: str = "",
    thought: str = "",
    finish: str = "tool_calls",
    used: dict[str, int] | None = None,
    **how: Any,
) -> Answer:
    """Names of tools and their arguments, in two pieces each."""
    body = event({"role": "assistant", "content": ""})
    body += event({"reasoning_content": thought}) if thought else b""
    body += event({"content": text}) if text else b""
    for index, (name, arguments) in enumerate(calls):
        head = {"index": index, "id": f"c{index}", "type": "function"}
        body += event({"tool_calls": [head | {"function": {"name": name, "arguments": ""}}]})
        half = len(arguments) // 2
        for piece in (arguments[:half], arguments[half:]):
            more = {"index": index, "function": {"arguments": piece}}
            body += event({"tool_calls": [more]})
    body += event({}, finish) + event({}, choices=[], usage=used or usage())
    return sse(body + b"data: [DONE]\n\n", **how)


def openai_calls_whole(name: str, arguments: str) -> Answer:
    """A tool's call in one piece."""
    function = {"name": name, "arguments": arguments}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c0", "type": "function", "function": function}],
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": usage(),
    }
    return Answer(body=json.dumps(body).encode())


def anthropic_calls() -> Answer:
    """A signed thought, then a call."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "tiny-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }

    def block(index: int, content: Json, *deltas: Json) -> list[Json]:
        return [
            {"type": "content_block_start", "index": index, "content_block": content},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index},
        ]

    events = [
        {"type": "message_start", "message": message},
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Where?"},
            {"type": "signature_delta", "signature": "SIGNED"},
        ),
        *block(
            1,
            {"type": "tool_use", "id": "toolu_1", "name": "grep", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"pattern": '},
            {"type": "input_json_delta", "partial_json": '"x"}'},
        ),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    return sse(b"".join(map(named, events)))


def google_calls() -> Answer:
    """A call with the signature of the thought before it."""
    call = {"name": "grep", "args": {"pattern": "x"}}
    parts = [{"functionCall": call, "thoughtSignature": "U0lHTkVE"}]
    body = {
        "candidates": [
            {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
        "modelVersion": "tiny-1",
    }
    return sse(b"data: " + json.dumps(body).encode() + b"\r\n\r\n")


def responses_calls() -> Answer:
    """An encrypted thought, then a call."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "SIGNED"}
    arguments = '{"pattern": "x"}'
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "grep",
        "arguments": arguments,
        "status": "completed",
    }
    response, used = begun_response()
    place = {"output_index": 1, "item_id": "fc_1"}
    begun = call | {"arguments": "", "status": "in_progress"}
    end = {"status": "completed", "output": [thought, call], "usage": used}
    events: list[Json] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": begun},
        {"type": "response.function_call_arguments.delta", **place, "delta": arguments},
        {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.completed", "response": response | end},
    ]
    return sse(b"".join(named(each | {"sequence_number": n}) for n, each in enumerate(events)))
