"""Writes conversations as pydantic-ai's messages, and reads turns from its responses.

What a provider wants to see again exactly as it was, such as signed thoughts, is kept whole in the
turn, and journalled with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hocket.core.teams import Tool
from hocket.core.template import show
from hocket.core.values import Json

_NOISE = ("usage", "timestamp", "provider_details", "provider_url", "run_id", "conversation_id")
"""What of a response is no use to its provider."""


def messages_of(messages: Sequence[Json], system: str, provider: str) -> list[Any]:
    """Write down what was said; what follows one another from one side is one message.

    Args:
        messages: As a talk has them.
        system: What the model is told before.
        provider: Who is asked: what another one wanted to see again is left out.
    """
    from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart

    found: list[Any] = []
    parts: list[Any] = []
    for message in messages:
        if message["role"] == "agent":
            found.append(ModelRequest(parts=parts, instructions=system or None))
            found.append(_response(message, provider))
            parts = []
        elif message["role"] == "tool":
            outcome: Any = "failed" if message["failed"] else "success"
            # Some providers take no empty result.
            content = show(message["output"]) or "(nothing)"
            parts.append(ToolReturnPart(message["name"], content, message["id"], outcome=outcome))
        else:
            parts.append(UserPromptPart(message["text"]))
    found.append(ModelRequest(parts=parts, instructions=system or None))
    return found


def tools_of(tools: Sequence[Tool]) -> list[Any]:
    """Write down the tools that a model may call."""
    from pydantic_ai.tools import ToolDefinition

    nothing = {"type": "object", "properties": {}}
    return [
        ToolDefinition(
            name=tool.name,
            description=tool.about or None,
            parameters_json_schema=tool.schema or nothing,
        )
        for tool in tools
    ]


def turn_of(response: Any, answer_tool: str) -> Json:
    """Read the turn of a response that calls tools; None if it calls none."""
    calls = calls_of(response, answer_tool)
    if not calls:
        return None
    turn: dict[str, Json] = {
        "$": "turn",
        "text": text_of(response),
        "calls": [
            {"id": part.tool_call_id, "name": part.tool_name, "args": _args(part.args)}
            for part in calls
        ],
    }
    parts = [part for part in response.parts if not _answers(part, answer_tool)]
    if not all(map(_plain, parts)):
        turn["kept"] = _kept(response, parts)
    return turn


def calls_of(response: Any, answer_tool: str) -> list[Any]:
    """Give the parts of a response that call tools, but the one that holds an answer."""
    parts = [part for part in response.parts if part.part_kind == "tool-call"]
    return [part for part in parts if not _answers(part, answer_tool)]


def text_of(response: Any) -> str:
    """Give a response's text."""
    return "".join(part.content for part in response.parts if part.part_kind == "text")


def _answers(part: Any, answer_tool: str) -> bool:
    return bool(part.part_kind == "tool-call" and part.tool_name == answer_tool)


def _args(args: Any) -> Json:
    """Read a call's arguments; what is no JSON stays a text, and fits no tool."""
    if not isinstance(args, str):
        return args or {}
    try:
        return msgspec.json.decode(args) if args.strip() else {}
    except (msgspec.DecodeError, ValueError):
        return args


def _plain(part: Any) -> bool:
    """Whether a part can be written anew from its text or its call alone."""
    if part.part_kind == "tool-call":
        return not (part.id or part.provider_details)
    return bool(part.part_kind == "text" and not part.provider_details)


def _kept(response: Any, parts: list[Any]) -> Json:
    from dataclasses import replace

    from pydantic_ai.messages import ModelMessagesTypeAdapter

    (written,) = ModelMessagesTypeAdapter.dump_python(
        [replace(response, parts=parts)], mode="json", exclude_none=True
    )
    return {key: value for key, value in written.items() if key not in _NOISE}


def _response(message: Json, provider: str) -> Any:
    """Write down an agent's turn: as its provider gave it, or anew."""
    from pydantic import ValidationError
    from pydantic_ai.messages import (
        ModelMessagesTypeAdapter,
        ModelResponse,
        TextPart,
        ToolCallPart,
    )

    kept = message.get("kept")
    if kept is not None and kept.get("provider_name") == provider:
        try:
            return ModelMessagesTypeAdapter.validate_python([kept])[0]
        except ValidationError:
            # Another version has written it: all that was said stands in the turn, too.
            kept = None
    parts: list[Any] = [TextPart(message["text"])] if message.get("text") else []
    for call in message["calls"]:
        args = call["args"]
        written = args if isinstance(args, dict | str) else msgspec.json.encode(args).decode()
        parts.append(ToolCallPart(call["name"], written, call["id"]))
    return ModelResponse(parts=parts)
