"""Processes that a test starts, kills and measures, each with all that it has started itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join((str(ROOT), str(ROOT / "src")))
"""Where processes find the tests' modules, and Hocket as it is here."""

SECONDS = 60.0
"""How long something may take that takes a moment."""


def wait_for(what: str, check: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait until a check gives something."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.01)
    return found


def tree(pids: Iterable[int]) -> list[int]:
    """Give processes and all that they have started that are still there, parents first."""
    started: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = _fields(int(folder.name))
            if fields and fields[0] != "Z":
                started.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = [], list(pids)
    while left:
        pid = left.pop(0)
        if is_there(pid):
            found.append(pid)
        left += started.get(pid, [])
    return found


def is_there(pid: int) -> bool:
    return _fields(pid)[:1] not in ([], ["Z"])


def _fields(pid: int) -> list[str]:
    """Give state, parent and whatever else the system says of a process; nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def kill(pids: Iterable[int]) -> list[int]:
    """Kill -9 of processes and of all that they have started, at one moment; gives which."""
    everyone = tree(pids)
    for pid in everyone:
        # Stopped first, none of them sees another's death.
        _signal(pid, signal.SIGSTOP)
    born = {pid: _born(pid) for pid in {*everyone, *tree(everyone)}}
    for pid in born:
        _signal(pid, signal.SIGKILL)
    for pid, at in born.items():
        # Numbers are used again, and soon where there are few.
        wait_for(f"process {pid} ends", lambda pid=pid, at=at: not at or _born(pid) != at)
    return sorted(born)


def _born(pid: int) -> str:
    """Give when a process began, in the system's own count; "" if it is gone."""
    fields = _fields(pid)
    return fields[19] if fields and fields[0] != "Z" else ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def megabytes(pids: Iterable[int]) -> float:
    """Give what processes take with all that they have started; what is shared, by its share."""
    total = 0
    for pid in tree(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


class Process:
    """A process with a file that holds what it says.

    Args:
        command: What to start.
        said: The file for its output, both of it.
        env: Its environment beside this process's own.
        cwd: Where it starts.
    """

    def __init__(
        self,
        command: Sequence[str],
        said: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        # It goes with this process, also when that is killed.
        end = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._said = said
        self._name = " ".join(command)[-100:]
        self._begin = said.stat().st_size if said.exists() else 0
        with said.open("ab") as file:
            self._child = subprocess.Popen(
                [*end, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._child.pid

    @property
    def said(self) -> str:
        with self._said.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode("utf-8", "replace")

    @property
    def code(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._child.poll()

    def says(self, text: str, seconds: float = SECONDS) -> None:
        """Wait until it has said something."""

        def heard() -> bool:
            assert text in self.said or self.code is None, f"ended without {text!r}: {self.said}"
            return text in self.said

        wait_for(f"{self._name} says {text!r}, after {self.said[-500:]}", heard, seconds)

    def ends(self, seconds: float = SECONDS) -> int:
        """Wait until it has ended; gives its exit status."""
        wait_for(f"{self._name} ends", lambda: self.code is not None, seconds)
        return self._child.wait()

    def kill(self) -> list[int]:
        """Kill -9 of it and of all that it has started; gives which."""
        if self.code is not None:
            # Its number may be another process's by now.
            return []
        killed = kill([self.pid])
        self._child.wait()
        return killed
