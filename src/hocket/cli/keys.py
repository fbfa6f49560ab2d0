"""The keys by which whoever sits at the terminal decides about the approval that is shown first."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import time
import tty
from typing import Any

from hocket.app.run import Run
from hocket.cli.live import TOO_SOON, LiveDisplay
from hocket.cli.user import user
from hocket.core.errors import Refused


class Keys:
    """Reads single keys: y approves, n rejects, v shows all of what is asked.

    Ctrl-C stays what it is. A key that comes sooner than a person can have read what is asked
    counts for nothing: it was meant for something else.
    """

    def __init__(self, run: Run, display: LiveDisplay) -> None:
        self._run = run
        self._display = display
        self._viewed: set[str] = set()
        self._before: list[Any] | None = None
        self._file = -1

    def listen(self) -> None:
        """Read keys from now on, if there is a terminal and we are in its foreground."""
        if sys.stdin is None or not sys.stdin.isatty():
            return
        self._file = sys.stdin.fileno()
        try:
            if os.tcgetpgrp(self._file) != os.getpgrp():
                return
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
        except (OSError, termios.error):
            # It can still be answered from another terminal.
            return
        asyncio.get_running_loop().add_reader(self._file, self._pressed)
        self._display.keys = True

    def forget(self) -> None:
        """Give the terminal back as it was."""
        if self._before is None:
            return
        asyncio.get_running_loop().remove_reader(self._file)
        self._display.keys = False
        try:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        except termios.error:
            # The terminal is gone, and with it what there was to give back.
            return

    def _pressed(self) -> None:
        try:
            data = os.read(self._file, 64)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._file)
            return
        for key in data.decode("ascii", "replace").lower():
            self._take(key)

    def _take(self, key: str) -> None:
        asked, since = next(iter(self._display.asked.values()), (None, 0.0))
        if asked is None or key not in {"y", "n", "v"} or time.monotonic() - since < TOO_SOON:
            return
        if key == "v" or (key == "y" and self._display.cut(asked) and not self._seen(asked.digest)):
            self._display.show_asked(asked, whole=True)
            self._viewed.add(asked.digest)
            if key == "y":
                self._display.say(f"that is all of {asked.path}: y approves it now")
            return
        # Until it is on disk the key would count twice.
        del self._display.asked[asked.path]
        try:
            self._run.approve(asked.path, key == "y", by=user())
        except Refused as error:
            self._display.say(str(error))

    def _seen(self, digest: str) -> bool:
        return digest in self._viewed
