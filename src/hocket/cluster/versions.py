"""What programs of a cluster say of their versions, and what happens where they differ."""

from __future__ import annotations

import os
import platform
import socket
from typing import Final

import msgspec

from hocket._version import __version__
from hocket.core.errors import Refused

FORMATS: Final = {"frames": 1}
"""What processes of a cluster say to each other, each with the number of its format."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is.

    Fields:
        hocket: The version of this program.
        python: The version of Python.
        ray: The version of Ray.
        host: The machine's name.
        pid: The process.
        node: Ray's name of its node.
        formats: The formats that it speaks.
    """

    hocket: str
    python: str
    ray: str
    host: str
    pid: int
    node: str = ""
    formats: dict[str, int] = {}


def hello(ray: str, node: str = "") -> Hello:
    """Say who this process is, which has imported Ray of this version and is on that node."""
    return Hello(
        hocket=__version__,
        python=platform.python_version(),
        ray=ray,
        host=socket.gethostname(),
        pid=os.getpid(),
        node=node,
        formats=FORMATS,
    )


def check(here: Hello, there: Hello) -> None:
    """See that two processes understand each other.

    Raises:
        Refused: They are of different versions; the message names the node and both versions.
    """
    for what, install, ours, theirs in (
        ("Hocket", f"pip install 'hocket[cluster]=={here.hocket}'", here.hocket, there.hocket),
        ("Ray", f"pip install 'ray=={here.ray}'", here.ray, there.ray),
        ("Python", f"run its Ray with Python {here.python}", here.python, there.python),
    ):
        if ours != theirs:
            raise Refused(
                f"node {there.host} has {what} {theirs}, and {here.host} has {ours}: "
                f"on {there.host}, {install}, and start its Ray again"
            )
    if here.formats != there.formats:
        raise Refused(
            f"node {there.host} speaks other formats ({_formats(there)}) than {here.host} "
            f"({_formats(here)}) though both are Hocket {here.hocket}: install the same build of "
            "it on both"
        )


def _formats(of: Hello) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(of.formats.items()))
