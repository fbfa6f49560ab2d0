"""A cluster of Ray that this process begins for itself, and that nobody else reaches.

Ray leaves processes behind where it is ended while it begins: so they are ended here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

_PATIENCE: Final = 10.0
"""Seconds in which processes that were killed are gone."""


class Embedded:
    """Begins a cluster on this machine, with a token and on the loopback alone.

    In the main thread SIGTERM ends it with the process, unless somebody else handles that signal.

    Args:
        told: What Ray is told, as it names it.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        import ray

        # Ray has set its place among the modules, and its own copy unless there is another.
        self._processes: Final = import_module("psutil")
        self._ray: Final = str(Path(ray.__file__).parent)
        self._before: Final = {one.pid for one in self._processes.Process().children()}
        handler = signal.getsignal(signal.SIGTERM) if _in_main() else None
        try:
            with _loopback():
                ray.init(address="local", **told)
            _handle(handler)
        except BaseException as error:
            self._sweep()
            _handle(handler)
            if isinstance(error, SystemExit):
                # Ray has made this of the signal.
                signal.raise_signal(signal.SIGTERM)
            raise
        self._guard()

    def end(self) -> None:
        """End the cluster; none of its processes is left."""
        import ray

        self._guard()
        left = self._family()
        ray.shutdown()
        self._end(left)
        if _in_main() and signal.getsignal(signal.SIGTERM) == self._asked:
            _handle(signal.SIG_DFL)

    def _guard(self) -> None:
        if _in_main() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            _handle(self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        """End the cluster, and then the process as if nobody had listened."""
        self._sweep()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def _sweep(self) -> None:
        """End all of its processes, also those that begin others meanwhile."""
        stopped: set[Any] = set()
        while fresh := self._family() - stopped:
            for one in fresh:
                with suppress(self._processes.Error):
                    one.suspend()
            stopped |= fresh
        self._end(stopped)

    def _end(self, processes: set[Any]) -> None:
        for one in processes:
            with suppress(self._processes.Error):
                one.kill()
        self._processes.wait_procs(processes, timeout=_PATIENCE)

    def _family(self) -> set[Any]:
        """Give its processes: what Ray has begun here, and all that those have."""
        found: set[Any] = set()
        for child in self._processes.Process().children():
            with suppress(self._processes.Error):
                if child.pid not in self._before and self._is_rays(child.cmdline()):
                    found |= {child, *child.children(recursive=True)}
        return found

    def _is_rays(self, words: list[str]) -> bool:
        return any(self._ray in word for word in words)


@contextmanager
def _loopback() -> Iterator[None]:
    """Have a cluster that begins meanwhile ask for a token, and be reached from here alone.

    Ray does the latter by itself where it knows of no clusters of several machines.
    """
    from ray._private import ray_constants
    from ray._raylet import Config  # type: ignore[attr-defined]

    os.environ["RAY_AUTH_MODE"] = "token"
    # It may have been imported, and have read it, before.
    Config.initialize("")
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _handle(handler: Any) -> None:
    """Set what SIGTERM does, where that can be."""
    if _in_main() and handler is not None:
        signal.signal(signal.SIGTERM, handler)
