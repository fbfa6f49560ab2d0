"""Writes what a run shows from a thread of its own.

A terminal that was stopped with Ctrl-S, or a pipe that nobody reads, must hold no run up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MOST: Final = 100_000


class Background(Generic[T]):
    """Hands items to a function in another thread, in order and in batches.

    Once the function has raised OSError nobody is there to read, and the rest is dropped: a run
    goes on when its terminal is gone.

    Args:
        write: Writes a batch.
        most: How many items may wait; the oldest are dropped, and `dropped` counts them.
    """

    def __init__(self, write: Callable[[Sequence[T]], None], most: int = _MOST) -> None:
        self.dropped = 0
        self._write = write
        self._most = most
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._busy = False
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="hocket-screen", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether all has been written."""
        return not self._busy and not self._items

    def put(self, item: T) -> None:
        """Write an item soon."""
        with self._changed:
            if self._broken:
                return
            if len(self._items) >= self._most:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: bool(self._items) or self._ended)
                if not self._items:
                    return
                batch = list(self._items)
                self._items.clear()
                self._busy = True
            try:
                self._write(batch)
            except OSError:
                with self._changed:
                    self._broken = True
                    self._items.clear()
