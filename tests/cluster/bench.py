"""A small cluster on this machine: a head, nodes that join it, and this process as supervisor."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hocket.app.adapters import ELSEWHERE, hire, room
from hocket.cluster.connection import Connection, connect
from hocket.cluster.remote import RemoteAgent
from hocket.cluster.workers import Workers
from hocket.core.errors import Refused
from hocket.core.specs import AgentSpec, PlaceSpec

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).parent / "ray"

# Before anybody imports Ray: it reads them once.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


class Bench:
    """A cluster of processes of this machine, with this process connected to it.

    Args:
        resources: What its head offers besides a core.
    """

    def __init__(self, resources: Mapping[str, float]) -> None:
        # Ray makes sockets below it, whose names may have no more than 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="hk"))
        port = 20_000 + secrets.randbelow(10_000)
        self._rays: list[subprocess.Popen[bytes]] = []
        self._start(
            "head",
            {},
            "--head",
            "--include-dashboard=false",
            f"--port={port}",
            *_offer(2, resources),
        )
        try:
            self.address = self._address(port)
            self.connection = self._connected()
        except BaseException:
            self._remove()
            raise

    def _start(self, name: str, env: Mapping[str, str], *options: str) -> subprocess.Popen[bytes]:
        command = [str(RAY), "start", "--block", *options, "--object-store-memory=80000000"]
        command += ["--disable-usage-stats"]
        command += [f"--temp-dir={self.folder}/{name}"]
        ray = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **env},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._rays.append(ray)
        return ray

    def _address(self, port: int) -> str:
        """Wait until the head says where it is."""
        current = self.folder / "head" / "ray_current_cluster"
        until(lambda: current.exists() and current.read_text().strip() != "")
        address = current.read_text().strip()
        assert address.endswith(f":{port}")
        return address

    def _connected(self) -> Connection:
        made: list[Connection] = []

        def there() -> bool:
            try:
                made.append(connect(self.address))
            except Refused:
                return False
            return True

        until(there)
        return made[0]

    def join(
        self,
        name: str,
        resources: Mapping[str, float],
        env: Mapping[str, str] | None = None,
        cpus: int = 1,
    ) -> subprocess.Popen[bytes]:
        """Start another node; `end` ends it."""
        offer = _offer(cpus, resources)
        return self._start(name, env or {}, f"--address={self.address}", *offer)

    def end(self, ray: subprocess.Popen[bytes]) -> None:
        """Kill a node with all its processes."""
        for pid in _session(ray.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        ray.wait()
        self._rays.remove(ray)

    def workers(self, **how: Any) -> Workers:
        """Give workers of a loop's own."""
        return Workers(connect(self.address), ELSEWHERE, **how)

    def close(self) -> None:
        self.connection.close()
        self._remove()

    def _remove(self) -> None:
        for ray in list(self._rays):
            self.end(ray)
        shutil.rmtree(self.folder, ignore_errors=True)


def agent(
    workers: Workers, kind: Any, place: PlaceSpec | None = None, **options: Any
) -> RemoteAgent:
    """Make an agent whose calls are done by workers."""
    spec = AgentSpec(kind=kind, options=options, place=place)
    here = hire(Path(), {}, "agent", spec)
    return RemoteAgent("agent", spec, here, workers, partial(room, spec))


def until(there: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not there():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def _offer(cpus: int, resources: Mapping[str, float]) -> list[str]:
    return [f"--num-cpus={cpus}", "--num-gpus=0", f"--resources={json.dumps(dict(resources))}"]


def _session(leader: int) -> list[int]:
    """Name the processes of a session, and those that they have begun."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid=,sess="], capture_output=True, check=True)
    rows = [tuple(map(int, line.split())) for line in told.stdout.splitlines()]
    found = {pid for pid, _, session in rows if session == leader}
    while more := {pid for pid, parent, _ in rows if parent in found} - found:
        found |= more
    return sorted(found)
