"""A shell that stays, as a reader's terminal does: folders, variables and jobs live on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120.0
_LOOK = 0.003
_OF_THE_SHELL = re.compile(r"^\S+\.sh: line \d+: +\d+ Killed .*\n", re.MULTILINE)
"""What the shell says of a job that was killed, whenever it notices."""


class Done(NamedTuple):
    """What a command gave."""

    status: int
    out: str
    err: str


class Shell:
    """One bash for all the commands of a page.

    A command is in a file, and what it prints goes to files: a job that was left in the background
    holds no pipe, so nobody waits for it.
    """

    def __init__(self, folder: Path, environment: dict[str, str], notes: Path) -> None:
        notes.mkdir()
        self._notes = notes
        self._count = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> Done:
        """Run a command, and wait for its end but not for what it leaves in the background."""
        assert self._bash.stdin is not None
        self._count += 1
        base = self._notes / str(self._count)
        base.with_suffix(".sh").write_text(f"{command}\n", encoding="utf-8")
        line = (
            f'. "{base}.sh" >"{base}.out" 2>"{base}.err" </dev/null; '
            f'echo $? >"{base}.new"; mv "{base}.new" "{base}.status"\n'
        )
        self._bash.stdin.write(line)
        self._bash.stdin.flush()
        ended = base.with_suffix(".status")
        until = time.monotonic() + PATIENCE
        while not ended.exists():
            assert self._bash.poll() is None, f"the shell ended at: {command}"
            assert time.monotonic() < until, f"no end after {PATIENCE:.0f} s: {command}"
            time.sleep(_LOOK)
        out, err = (base.with_suffix(end).read_text("utf-8", "replace") for end in (".out", ".err"))
        return Done(int(ended.read_text()), out, _OF_THE_SHELL.sub("", err))

    def close(self) -> None:
        """End the shell and all that it has left behind."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        with self._bash:
            pass
