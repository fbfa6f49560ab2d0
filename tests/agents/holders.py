"""Processes that hold something until they are killed, also where their ids mean others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

ELSEWHERE: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
"""Runs what follows in a namespace of processes of its own, as a container does."""


def need_elsewhere() -> None:
    """Skip the test where there can be no such namespace."""
    try:
        subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespace of processes can be made here: {error}")


@contextmanager
def holder(
    code: str, *args: str, within: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Have a process run code that says a line and then waits; it is killed at the end.

    Yields:
        What was started, and the line.
    """
    with subprocess.Popen(
        [*within, sys.executable, "-c", code + "\nsys.stdin.read()\n", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as popen:
        try:
            assert popen.stdout is not None
            yield popen, popen.stdout.readline().strip()
        finally:
            popen.kill()
