"""A real PostgreSQL server of a test's own, which it may kill; and databases in it.

A server listens on one address and nowhere else, and ends with the process that started it.
PostgreSQL refuses to run as root: there it runs as the system's user ``postgres``.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

GUARD: Final = """
cat > /dev/null
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
rm -rf "$1" "$2"
"""
"""Waits for the end of the process that started it, however that ends, and removes its server."""

USER: Final = "hocket"
SECONDS: Final = 30.0
"""How long a server may take to start or to end."""

MEMORY: Final = Path("/dev/shm")
ROOM: Final = 4 * 1024**3
"""How much of it must be free for servers to have their data there."""


@cache
def programs() -> Path | None:
    """The folder of PostgreSQL's programs, or None if it is not installed."""
    folders = [Path(found).parent for found in [shutil.which("postgres")] if found]
    config = shutil.which("pg_config")
    if config is not None:
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(said.stdout.strip()))
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(versions, key=lambda path: path.parent.name, reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    return None


def missing() -> str:
    """Why there can be no server here, or "" if there can."""
    if programs() is None:
        return "PostgreSQL is not installed (initdb, postgres and psql)"
    if os.geteuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    return ""


def as_postgres() -> dict[str, Any]:
    """How to start a program of PostgreSQL: not as root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def disk() -> Path | None:
    """Where servers have their data: in memory if there is much, else in a temporary folder.

    No test takes the power away, so what is synced and what is not makes no difference; but a sync
    in memory takes no turn at a disk at which other tests wait.
    """
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


def wait_for(what: str, check: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait until a check gives something."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.01)
    return found


def free_port(address: str) -> int:
    """A port of an address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _fields(int(folder.name))[1:2] == [str(pid)]:
            found.append(int(folder.name))
    return found


def _fields(pid: int) -> list[str]:
    """State, parent and whatever else the system says of a process; nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


class Server:
    """A PostgreSQL server.

    Args:
        folder: Where its data lie, if not in a temporary folder of its own; it is made.
        address: The one address at which it listens.
        settings: More settings of it, as in ``postgresql.conf``.
        options: More options of ``initdb``.

    Attributes:
        variables: What it finds in its environment when it is started, beside ours.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        reason = missing()
        if reason:
            raise RuntimeError(reason)
        found = programs()
        assert found is not None
        self.programs = found
        self.address = address
        self.settings = dict(settings or {})
        self.variables: dict[str, str] = {}
        self.home = Path(tempfile.mkdtemp(prefix="hocket-postgres-", dir=disk()))
        self.folder = folder or self.home / "data"
        self.log = self.home / "log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        if os.geteuid() == 0:
            os.chown(self.home, as_postgres()["user"], as_postgres()["group"])
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", self.folder, self.home],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.remove)
        self._make(options)

    def _make(self, options: Sequence[str]) -> None:
        # What it writes here is synced by the first checkpoint; nothing is promised before.
        command = [self.programs / "initdb", "-D", self.folder, "-U", USER, "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions", *options]
        done = subprocess.run(
            [*command], capture_output=True, text=True, check=False, cwd=self.home, **as_postgres()
        )
        assert done.returncode == 0, done.stderr

    # -- its life -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        assert self.process is not None, "the server is not running"
        return self.process.pid

    def start(self) -> Server:
        """Start it, also after it was killed; it keeps its port once it has one."""
        tries = 1 if self.port else 5
        for left in reversed(range(tries)):
            port = self.port or free_port(self.address)
            if self._start(port):
                self.port = port
                return self
            assert left, f"the server did not start: {self.said()}"
        return self

    def _start(self, port: int) -> bool:
        settings = {
            "listen_addresses": self.address,
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "on",
            "max_connections": "100",
            "shared_buffers": "16MB",
            **self.settings,
        }
        command: list[str | Path] = [self.programs / "postgres", "-D", self.folder]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=os.environ | self.variables,
                start_new_session=True,
                **as_postgres(),
            )
        until = time.monotonic() + SECONDS
        while process.poll() is None:
            if self._is_ready(process.pid):
                self.process = process
                return True
            assert time.monotonic() < until, f"the server does not become ready: {self.said()}"
            time.sleep(0.01)
        return False

    def _is_ready(self, pid: int) -> bool:
        """The file of a server that was killed is still there, with the process id of that one."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def kill(self) -> None:
        """Kill -9 of the postmaster and all its processes, as if the machine had gone."""
        pid = self.pid
        # Stopped, it neither ends its processes by itself nor starts others in the meantime.
        os.kill(pid, signal.SIGSTOP)
        wait_for("the postmaster stops", lambda: _fields(pid)[:1] in (["T"], ["Z"]))
        all_of_them = [pid, *children(pid)]
        for each in all_of_them:
            os.kill(each, signal.SIGKILL)
        self._ended(all_of_them)

    def stop(self, how: str = "fast") -> None:
        """Stop it as ``pg_ctl stop -m`` does: ``smart``, ``fast`` or ``immediate``."""
        if self.process is None:
            return
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        pid = self.pid
        all_of_them = [pid, *children(pid)]
        os.kill(pid, signals[how])
        self._ended(all_of_them)

    def _ended(self, pids: Sequence[int]) -> None:
        assert self.process is not None
        self.process.wait(SECONDS)
        self.process = None
        for pid in pids:
            wait_for(f"process {pid} ends", lambda pid=pid: _fields(pid)[:1] in ([], ["Z"]))

    def remove(self) -> None:
        """End it, and remove its data."""
        atexit.unregister(self.remove)
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self._guard.communicate()

    # -- what is in it --------------------------------------------------------------------------

    def url(self, database: str, *, address: str = "", port: int = 0) -> str:
        """The URL of a database, also by way of another address and port."""
        return f"postgresql://{USER}@{address or self.address}:{port or self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """Make a fresh database, an empty one or a copy of another; gives its name."""
        name = f"t{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[str, ...]]:
        """Run a statement beside everything else; gives its rows as texts."""
        command = [self.programs / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e"]
        command += ["-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement]
        done = subprocess.run([*command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        text = done.stdout.removesuffix("\n")
        return [tuple(row.split("\x1f")) for row in text.split("\x1e")] if text else []

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-2000:] if self.log.exists() else ""
