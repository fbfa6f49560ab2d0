"""The shape of MCP servers in a file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, Tag

from hocket.config.basics import TAG, Names, Strict, Text, by_key
from hocket.config.mcp import address_problem


def _address(value: str) -> str:
    if said := address_problem(value):
        raise ValueError(said)
    return value


class McpProgram(Strict):
    """A server that is a program: it is started when it is first asked."""

    command: Annotated[list[Text], Field(min_length=1, description="No shell reads it.")]
    cwd: Annotated[Text | None, Field(description="The working folder.")] = None
    env: Annotated[dict[str, str] | None, Field(description="Variables to set.")] = None
    env_pass: Annotated[Names | None, Field(description="Variables to hand on.")] = None


class McpAddress(Strict):
    """A server that is reached over HTTP."""

    url: Annotated[Text, AfterValidator(_address)]
    headers_env: Annotated[
        dict[Text, Text], Field(description="Headers, by the variables that hold them.")
    ] = {}


McpUnion: TypeAlias = Annotated[
    Annotated[McpProgram, Tag(TAG + "command")] | Annotated[McpAddress, Tag(TAG + "url")],
    by_key(("command", "url"), "an MCP server"),
]
