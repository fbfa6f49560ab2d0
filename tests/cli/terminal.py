"""A ``hocket`` on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

from tests.cli.kit import HOCKET, Home

# A process takes its terminal by itself: nothing may run between fork and exec where threads are.
_TAKES_IT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A ``hocket`` on a pseudo-terminal of its own."""

    def __init__(self, home: Home, *args: str, columns: int = 100, rows: int = 24) -> None:
        self._home = home
        self.text = ""
        self._file, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            (sys.executable, "-c", _TAKES_IT, *HOCKET, *args),
            cwd=home.folder,
            env={k: v for k, v in home.env.items() if k != "COLUMNS"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.reading = threading.Event()
        self.reading.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            self.reading.wait()
            try:
                data = os.read(self._file, 65536)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode("utf-8", "replace")

    @property
    def plain(self) -> str:
        """All that was shown, without escape sequences."""
        return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", self.text)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._file, keys.encode())

    def shows(self, words: str) -> None:
        """Wait until it has shown these words."""
        deadline = time.monotonic() + 20
        while words not in self.plain:
            assert time.monotonic() < deadline, (words, self.plain[-2000:])
            time.sleep(0.02)

    def ended(self) -> int:
        status = self.process.wait(timeout=20)
        self._thread.join(timeout=5)
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._file)
