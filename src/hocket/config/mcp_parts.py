"""The shape of MCP servers in a file."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Tag

from hocket.config.basics import TAG, Names, Strict, Text, by_key

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError as error:
        raise ValueError(f"no address: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("an address begins with https://, or with http://127.0.0.1")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("without TLS only this machine is asked: write https://")
    if parts.username or parts.password:
        raise ValueError("a secret does not stand in a file: name its variable in headers_env")
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
