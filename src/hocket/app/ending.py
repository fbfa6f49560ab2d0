"""How a process that drives runs is asked to end: once, and then at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

DRAIN: Final = 30.0
"""Seconds that calls in flight have to end, when a process is asked to end gracefully."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HARD: Final = 130


@contextmanager
def asked_to_end(
    heard: Callable[[bool], None], hard: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Have somebody told when a signal asks the process to end; a second one ends it at once.

    Args:
        heard: Told whether calls in flight may end first: SIGTERM lets them, a person who waits at
            a terminal does not.
        hard: Called before the process ends at once.
    """
    ending = False

    def hear(number: int) -> None:
        nonlocal ending
        if ending:
            with suppress(OSError):
                hard()
            # What runs in other processes dies with this one; runs are taken up by others.
            os._exit(_HARD)
        ending = True
        heard(number == signal.SIGTERM)

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
