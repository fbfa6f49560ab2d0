"""The bell of an owner: a socket in the state folder that wakes it when a request was posted.

Ringing is a courtesy: whoever misses it finds the request by looking every half second.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"bell-\d+-[0-9a-f]{8}")

# The kernel's limit on the path of a unix socket, less the closing zero.
_LONGEST_PATH: Final = 103


class Bell:
    """Calls `on_ring`, in a thread of its own, whenever somebody rings.

    Attributes:
        name: What `ring` needs, or "" where there can be no bell.
    """

    def __init__(self, state: Path, on_ring: Callable[[], None]) -> None:
        self.name = ""
        self._on_ring = on_ring
        self._closing = False
        self._path = state / f"bell-{os.getpid()}-{secrets.token_hex(4)}"
        self._thread: threading.Thread | None = None
        if not hasattr(socket, "AF_UNIX") or len(os.fsencode(self._path)) > _LONGEST_PATH:
            return
        sweep(state)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(str(self._path))
        except OSError:
            # Some file systems have no sockets; looking every half second works on all.
            self._socket.close()
            return
        self.name = self._path.name
        self._thread = threading.Thread(target=self._listen, name="hocket-bell", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                self._socket.recv(16)
            except OSError:
                return
            if self._closing:
                return
            self._on_ring()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._thread is None:
            return
        self._closing = True
        ring(self._path.parent, self.name)
        self._thread.join(timeout=5)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        self._thread = None


def ring(state: Path, name: str) -> None:
    """Wake the owner of that bell, if it is there to be woken."""
    if not _NAME.fullmatch(name):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(b"!", str(state / name))
        except OSError:
            # The owner died, or has rings enough waiting: either way it will look by itself.
            return


def sweep(state: Path) -> None:
    """Remove the sockets that killed processes left behind."""
    for path in state.glob("bell-*"):
        if not _NAME.fullmatch(path.name):
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue
