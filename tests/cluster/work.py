"""What workers do in the tests: functions that are found by their names, on any machine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from hocket import Context, File


def where(number: int) -> dict[str, int]:
    return {"pid": os.getpid(), "number": number}


async def nap(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


def hold_up(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


async def block(seconds: float) -> int:
    """Hold up all else that its process does."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for
    return os.getpid()


def fails() -> None:
    raise ValueError("no luck")


def big(size: int) -> str:
    return "x" * size


async def talks(count: int, context: Context) -> str:
    """Say numbers, now and then with a while between."""
    for number in range(count):
        context.emit(f"{number}\n", "err" if number % 7 == 3 else "out")
        if number % 10 == 0:
            await asyncio.sleep(0.01)
    return "done"


async def report(text: str) -> File:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"hocket-report-{os.getpid()}"
    path.write_text(text)
    return File(path, "report.txt")


def read(path: Path) -> dict[str, object]:
    return {"name": path.name, "text": path.read_text(), "pid": os.getpid()}


async def asks(context: Context) -> list[object]:
    consent = await context.ask("may I?")
    return [bool(consent), consent.why]


def note(path: str, seconds: float) -> str:
    """Write down that it has begun, and by whom; then take a while."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return "done"


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
