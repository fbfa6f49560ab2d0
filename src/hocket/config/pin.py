"""What an MCP tool is pinned by: its name, its description and the schema of its arguments.

A description is text from outside that a model reads.
Whoever runs a server can change it at any time, so that only what was looked at is ever shown to a
model or called.
"""

from __future__ import annotations

from typing import Final

from hocket.core.values import Json, canonical, digest

PREFIX: Final = "sha256:"


def tool_pin(name: str, about: str, schema: Json) -> str:
    """Name an MCP tool by all that a model is told of it.

    Args:
        name: What its server calls it.
        about: Its description, or "".
        schema: The JSON Schema of its arguments.
    """
    return PREFIX + digest(canonical({"about": about, "name": name, "schema": schema}))
