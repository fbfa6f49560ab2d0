"""What a file says of one MCP server."""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """How a server is reached.

    Fields:
        name: What the file calls it.
        command: Its program and arguments; empty if it has an address.
        cwd: The program's working folder.
        env: Variables to set for it.
        env_pass: Variables to hand on to it.
        url: Its address.
        headers_env: Headers, by the variables that hold them.
    """

    name: str
    command: tuple[str, ...] = ()
    cwd: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    env_pass: tuple[str, ...] = ()
    url: str = ""
    headers_env: tuple[tuple[str, str], ...] = ()
