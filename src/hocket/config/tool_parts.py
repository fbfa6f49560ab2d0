"""The shape of tools and of kept answers in a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, Tag, WithJsonSchema

from hocket.config.basics import TAG, Count, Duration, Strict, Text, by_key
from hocket.config.limit_parts import LimitsOf
from hocket.config.place_parts import Places
from hocket.config.shorthand import read_arguments, read_cache
from hocket.config.step_parts import CommandSettings


class EmbedPart(Strict):
    """The model that says what a prompt means."""

    model: Annotated[Text, Field(description="The model's own name.")]
    base_url: Annotated[Text | None, Field(description="A server of OpenAI's protocol.")] = None
    key_env: Annotated[Text | None, Field(description="The variable that holds the key.")] = None


class CachePart(Strict):
    """How long, and for which questions, answers are given again."""

    mode: Literal["off", "exact", "similar"] = "exact"
    ttl: Annotated[Duration | None, Field(gt=0)] = None
    threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    embed: EmbedPart | None = None


Caches: TypeAlias = Annotated[
    CachePart | None,
    BeforeValidator(
        read_cache,
        json_schema_input_type=Literal["off", "exact", "similar"] | Duration | CachePart,
    ),
]

_ARGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Arguments with types, like {pattern: str, path?: str}, or a JSON Schema.",
}
_MCP_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The JSON Schema of its arguments, word for word as its server gives it.",
}
Arguments: TypeAlias = Annotated[
    dict[str, Any], PlainValidator(read_arguments), WithJsonSchema(_ARGS_SCHEMA)
]


class ToolPart(Strict):
    """What all tools have."""

    about: Annotated[str, Field(description="What it does, for the model.")] = ""
    approve: Annotated[bool, Field(description="Whether a person approves of each call.")] = False
    timeout: Duration | None = None
    tries: Annotated[int, Field(ge=1, le=1_000)] = 1
    concurrency: Annotated[Count | None, Field(description="The most calls at once.")] = None
    effects: Annotated[
        bool | None, Field(description="Whether repeating a call could do harm.")
    ] = None
    limits: LimitsOf | None = None
    cache: Caches = None
    place: Places = None


class CommandTool(ToolPart, CommandSettings):
    """Runs a program of the operator's; no shell reads its arguments."""

    command: Annotated[list[Text], Field(min_length=1)]
    args: Arguments = {}
    stdin: str | None = None


class FunctionTool(ToolPart):
    """Calls a Python function."""

    function: Annotated[Text, Field(description="module:qualname")]
    args: Arguments | None = None
    mode: Literal["auto", "thread", "process"] | None = None


def _schema(value: object) -> object:
    """Take an MCP tool's schema word for word: it is pinned."""
    if not isinstance(value, dict):
        raise ValueError("args of an MCP tool are the JSON Schema that its server gives")
    return value


class McpTool(ToolPart):
    """Calls a tool of an MCP server; its text stands here, and is pinned."""

    mcp: Annotated[Text, Field(description="A name under mcp.")]
    tool: Annotated[Text | None, Field(description="What the server calls it; else as here.")] = (
        None
    )
    pin: Annotated[
        Text | None, Field(description="Pins tool, about and args: hocket mcp FILE --pin.")
    ] = None
    args: Annotated[dict[str, Any], PlainValidator(_schema), WithJsonSchema(_MCP_SCHEMA)] = {}
    keep: Annotated[int | None, Field(ge=1, description="The most bytes of output kept.")] = None


TOOL_KINDS = ("command", "function", "mcp")

ToolUnion: TypeAlias = Annotated[
    Annotated[CommandTool, Tag(TAG + "command")]
    | Annotated[FunctionTool, Tag(TAG + "function")]
    | Annotated[McpTool, Tag(TAG + "mcp")],
    by_key(TOOL_KINDS, "a tool"),
]
