"""MCP servers as a Python program states them, and what their addresses may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from hocket.config.environment import environment_problems
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.values import Json

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_KEYS: Final = ("name", "command", "cwd", "env", "env_pass", "url", "headers_env")


def address_problem(url: str) -> str:
    """Say why an address cannot be a server's, or ""."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return f"no address: {error}"
    if parts.scheme not in {"http", "https"} or not host:
        return "an address begins with https://, or with http://127.0.0.1"
    if parts.scheme == "http" and host not in _LOOPBACK:
        return "without TLS only this machine is asked: write https://"
    if parts.username or parts.password:
        return "a secret does not stand in a file: name its variable in headers_env"
    return ""


def server_options(where: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Json]:
    """Give the options of an MCP server: ``command`` or ``url`` and their other keys, as in a file.

    Args:
        where: The tool, for messages.
        given: What the program has stated.

    Raises:
        SpecError: It makes no sense.
    """
    place = (*where, "mcp")
    for key in given:
        if key not in _KEYS:
            raise _mistake(place, f"unknown key {key!r}", suggest(key, _KEYS))
    command, url = given.get("command"), given.get("url")
    if (command is None) == (url is None):
        raise _mistake(place, "an MCP server has either a command or a url")
    if url is not None and (said := address_problem(str(url))):
        raise _mistake(place, said)
    if command is not None and (isinstance(command, str) or not command):
        raise _mistake(place, "a command is a list of texts")
    env, env_pass = dict(given.get("env") or {}), list(given.get("env_pass") or ())
    if found := environment_problems(place, env, env_pass):
        raise SpecError(found)
    first = str(url) if command is None else str(command[0])
    options: dict[str, Json] = {"server": given.get("name") or first}
    for key in _KEYS[1:]:
        value = given.get(key)
        if value is not None:
            options[key] = dict(value) if isinstance(value, Mapping) else _plain(value)
    return options


def _plain(value: Any) -> Json:
    return value if isinstance(value, str) else list(value)


def _mistake(where: tuple[str, ...], message: str, hint: str = "") -> SpecError:
    return SpecError([Problem(where=where, message=message, hint=hint)])
