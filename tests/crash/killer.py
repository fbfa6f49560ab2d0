"""Kills a worker at a boundary of its journal: at the Nth write or sync of the file.

It is done from inside by a small preloaded library where there is a C compiler, which can also
leave a write torn; else from outside by strace, which kills before the call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODES = ("before", "after", "torn")
CALLS = "write,pwrite64,fsync,fdatasync,ftruncate"


class Killer(Protocol):
    """Has a worker run up to a boundary and die there."""

    modes: tuple[str, ...]

    def run(self, what: str, at: int, how: str, state: Path) -> int:
        """Do a job and die at the boundary `at`, or never if that is 0; gives the exit status."""

    def boundaries(self, what: str = "write") -> int:
        """Count the boundaries of a job that nobody kills."""

    def close(self) -> None:
        """End the worker."""


class Preloaded:
    """Kills from inside; one worker forks a child for each job, so a job costs no start."""

    modes = MODES

    def __init__(self, folder: Path, library: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"LD_PRELOAD": str(library)},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, what: str, at: int, how: str, state: Path) -> int:
        """Do a job and die at a boundary."""
        assert self._process.stdin is not None
        print(what, at, how, state, file=self._process.stdin, flush=True)
        return int(self._line())

    def boundaries(self, what: str = "write") -> int:
        """Count the boundaries of a job that nobody kills."""
        state = self._folder / "count"
        shutil.rmtree(state, ignore_errors=True)
        assert self.run(what, 0, "before", state) == 0
        return int((state / "count").read_text())

    def close(self) -> None:
        """End the worker."""
        with self._process:
            self._process.kill()


class Traced:
    """Kills from outside, before a write or sync; each job is a process of its own."""

    modes = ("before",)

    def __init__(self, folder: Path, strace: str) -> None:
        self._folder = folder
        self._strace = strace

    def run(self, what: str, at: int, how: str, state: Path) -> int:
        """Do a job and die at a boundary."""
        return self._trace(what, state, [f"inject={CALLS}:signal=SIGKILL:when={at}"] if at else [])

    def boundaries(self, what: str = "write") -> int:
        """Count the boundaries of a job that nobody kills."""
        state = self._folder / "count"
        shutil.rmtree(state, ignore_errors=True)
        assert self._trace(what, state, []) == 0
        return len((self._folder / "trace").read_text().splitlines())

    def _trace(self, what: str, state: Path, more: list[str]) -> int:
        state.mkdir(parents=True, exist_ok=True)
        files = [state / name for name in ("journal.sqlite", "journal.sqlite-wal")]
        options = ["-f", "-qq", "-o", str(self._folder / "trace"), "-e", f"trace={CALLS}"]
        for path in files:
            options += ["-P", str(path)]
        for expression in more:
            options += ["-e", expression]
        worker = [sys.executable, "-m", "tests.crash.worker", what, str(state)]
        done = subprocess.run([self._strace, *options, *worker], cwd=ROOT, check=False)
        return done.returncode

    def close(self) -> None:
        """There is nothing to end."""


def make_killer(folder: Path) -> Killer | str:
    """Make a killer, or say why there can be none."""
    if not sys.platform.startswith("linux"):
        return "it takes Linux to kill at a boundary"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    strace = shutil.which("strace")
    if compiler is not None and "HOCKET_TEST_STRACE" not in os.environ:
        library = folder / "boundaries.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library)]
        done = subprocess.run(
            [*command, str(HERE / "boundaries.c"), "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Preloaded(folder, library)
    if strace is not None:
        return Traced(folder, strace)
    return "it takes a C compiler or strace to kill at a boundary"
