"""The ``hocket`` command as a stranger uses it: real processes on a folder and a state folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import psutil

from hocket.journal.sqlite import SqliteJournal

T = TypeVar("T")

HOCKET = (sys.executable, "-m", "hocket")
PATIENCE = 20.0


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


class Home:
    """A working folder with plans, and a state folder, of one test.

    Every process that it starts is ended when it is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.state = folder / "state"
        self.folder.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "HOCKET_HOME": str(self.state),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "USER": "tester",
            "COLUMNS": "100",
        }
        self.started: list[subprocess.Popen[str]] = []

    def write(
        self, steps: str, *, name: str = "hocket.yaml", head: str = "", plan: str = ""
    ) -> Path:
        """Write a file with one plan ``p``, of these steps."""
        lines = [f"      {line}" for line in steps.strip("\n").splitlines()]
        above = [f"    {line}" for line in plan.strip("\n").splitlines()]
        text = "\n".join(["version: 1", head.strip("\n"), "plans:", "  p:", *above, "    steps:"])
        return self.put(name, "\n".join([text, *lines]) + "\n")

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def hocket(
        self, *args: str, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> Done:
        """Run a command to its end."""
        child = self.start(*args, stdin=None if stdin is None else subprocess.PIPE, env=env)
        out, err = child.communicate(stdin, timeout=60)
        return Done(child.returncode, out, err)

    def start(
        self, *args: str, stdin: int | None = None, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in a session of its own."""
        child = subprocess.Popen(
            (*HOCKET, *args),
            cwd=self.folder,
            env=self.env | (env or {}),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(child)
        return child

    def ok(self, *args: str, stdin: str | None = None) -> Done:
        """Run a command that must succeed."""
        done = self.hocket(*args, stdin=stdin)
        assert done.status == 0, done
        return done

    def running(self, *args: str, run: str = "r") -> subprocess.Popen[str]:
        """Start a run with the id `run`, and wait until its first event is on disk."""
        child = self.start("run", "--id", run, "--plain", *args)
        self.until(lambda: self.status(run), child)
        return child

    def status(self, run: str = "r") -> str:
        """Give a run's status as its journal has it, "" if there is none."""
        with SqliteJournal(self.state) as journal:
            return next((row.status for row in journal.runs() if row.id == run), "")

    def events(self, run: str = "r") -> list[dict[str, Any]]:
        """Give a run's events as its journal has them."""
        with SqliteJournal(self.state) as journal:
            return [json.loads(msgspec.json.encode(one.event)) for one in journal.read(run)]

    def kinds(self, run: str = "r") -> list[str]:
        """Give the kinds of a run's events."""
        return [event["type"] for event in self.events(run)]

    def until(
        self,
        condition: Callable[[], T],
        child: subprocess.Popen[str] | None = None,
        seconds: float = PATIENCE,
    ) -> T:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"it never came to hold: {condition}"
            if child is not None and child.poll() is not None:
                out, err = child.communicate()
                raise AssertionError(f"it ended too soon: {child.returncode}\n{out}\n{err}")
            time.sleep(0.02)
        return value

    def file(self, name: str) -> Path:
        return self.folder / name

    def lines(self, name: str) -> list[str]:
        """Give the lines of a file in the working folder, none if it is not there."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def kill(self, child: subprocess.Popen[str]) -> None:
        """Kill a process with -9."""
        child.kill()
        child.communicate(timeout=10)

    def end(self) -> None:
        """End every process that is left."""
        for child in self.started:
            if child.poll() is None:
                os.kill(child.pid, signal.SIGCONT)
                child.kill()
            child.communicate(timeout=10)


def ended(child: subprocess.Popen[str], seconds: float = PATIENCE) -> Done:
    """Wait for a process's end."""
    out, err = child.communicate(timeout=seconds)
    return Done(child.returncode, out, err)


def masked(text: str) -> str:
    """Put fixed texts in place of times, durations and ids."""
    text = re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
    text = re.sub(r"\b\d+ h \d\d m|\b\d+ m \d\d s|\b\d+(\.\d+)? (ms|s)\b", "TOOK", text)
    return re.sub(r"\bp-[a-z2-9]{6}\b", "RUN", text)


def processes_with(mark: str) -> list[psutil.Process]:
    """Give the live processes whose command line or environment bears a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            words: Sequence[str] = process.cmdline()
            if any(mark in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
