"""The step of the fault tests: it says in a file when it begins and when it ends.

All processes of a machine append to one file, whole lines at a time, and read one clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import NamedTuple

TAKES = 0.05
"""Seconds that a step takes."""


def say(log: str, number: int, what: str) -> None:
    line = f"{number} {what} {time.monotonic_ns()} {os.getpid()}\n"
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def nap(number: int, log: str) -> int:
    say(log, number, "begins")
    time.sleep(TAKES)
    say(log, number, "ends")
    return number


async def doze(number: int, log: str) -> int:
    """The same, for those who do many at once in one thread."""
    say(log, number, "begins")
    await asyncio.sleep(TAKES)
    say(log, number, "ends")
    return number


class Said(NamedTuple):
    """A line of the file.

    Fields:
        number: The step's.
        ends: Whether it ended; else it began.
        at: When, in nanoseconds of the machine's monotonic clock.
        pid: Which process did it.
    """

    number: int
    ends: bool
    at: int
    pid: int


def read(log: Path) -> list[Said]:
    """Give what was said so far, in order."""
    if not log.exists():
        return []
    lines = log.read_text().split("\n")[:-1]
    words = [line.split() for line in lines]
    return [Said(int(number), what == "ends", int(at), int(pid)) for number, what, at, pid in words]
