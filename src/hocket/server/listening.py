"""What listens on a port, and the memory of a process that drives many runs."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import uvicorn

from hocket.core.errors import Refused
from hocket.server.settings import Settings

_THRESHOLDS: Final = (5_000, 20, 100)
"""After how many new objects, and looks at younger ones, garbage is looked for."""


class Listener(uvicorn.Server):
    """A server that leaves signals to us, and says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[socket.socket, Settings]]:
    """Bind the port; gives the settings with the port that it is.

    Raises:
        Refused: It is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
            # Only listening tells whether another one does.
            sock.listen(128)
        except OSError as error:
            raise Refused(
                f"cannot listen on port {settings.port} of {settings.host}: {error.strerror}; "
                "end what does, or choose another one: --port 0 takes any that is free"
            ) from error
        sock.setblocking(False)
        yield sock, msgspec.structs.replace(settings, port=sock.getsockname()[1])


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage in all of memory seldom, and never in what was there at the start.

    Such a look holds every run, and takes 0.1 s and more where many are driven; what runs leave
    behind is freed without it, but for rings of objects, which are few.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
