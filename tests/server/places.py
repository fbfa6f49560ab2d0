"""Every way into the server, so that a new one cannot be forgotten."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from hocket.server.app import MOUNTS, ROUTES, SOCKETS
from hocket.server.routing import Mount, Role, Route, Socket


class Place(NamedTuple):
    """One way in."""

    method: str
    path: str
    role: Role
    most: int
    what: Route | Socket | Mount

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def requests() -> list[Place]:
    """Every way in by HTTP."""
    found = [Place(r.method, filled(r.path), r.role, r.most, r) for r in ROUTES]
    for mount in MOUNTS:
        found += [Place(m, mount.path, mount.role, mount.most, mount) for m in mount.methods]
    return found


def sockets() -> list[Place]:
    """Every WebSocket."""
    return [Place("GET", socket.path, socket.role, 0, socket) for socket in SOCKETS]


def filled(path: str) -> str:
    """Give a path with something in place of its placeholders."""
    return re.sub(r"\{\w+\}", "nothing-here", path)


def fields(kind: Any) -> dict[str, Any]:
    """Give a body that fits a struct, as far as its required fields go."""
    if kind is None:
        return {}
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            given[field.encode_name] = "x"
    return given
