"""A Ray cluster over machines of `nets`: a head that takes no work, and nodes that do.

Nothing of it is found by Ray's own ``auto``, which looks at one place for all of a machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.nets import Machine
from tests.cluster.processes import PATHS, ROOT, Process

PORT = 6379
STORE = 80_000_000
WATCH = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
    "RAY_health_check_timeout_ms": "5000",
}
"""How the head watches over its nodes, instead of fifteen seconds for a dead one.

A node that has died refuses to be asked, and is known to be dead after two seconds; one that cannot
be reached gives no answer, and is waited for twenty.
"""


class Rays:
    """A cluster.

    Args:
        head: Where its head runs.
        paths: Where its nodes find modules, beside the project's root.
    """

    def __init__(self, head: Machine, paths: tuple[Path, ...] = ()) -> None:
        self.head = head
        self.address = f"{head.address}:{PORT}"
        # Ray makes sockets below it, whose names may have no more than 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="hk"))
        self.env = {
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Without a word about it, Ray takes a token that lies in the home folder for its head
            # and not for its nodes.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **WATCH,
            "PYTHONPATH": os.pathsep.join((PATHS, *map(str, paths))),
            "PYTHONWARNINGS": "ignore",
            # None of these is anywhere else.
            **{name: "" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")},
        }
        self.nodes: dict[str, Process] = {}

    def start_head(self) -> Process:
        """Start the head, also after it was killed; it is ready when nodes can join."""
        process = self._start(self.head, "--head", f"--port={PORT}", "--num-cpus=0")
        process.says("Ray runtime started.")
        return process

    def start_node(
        self, machine: Machine, cpus: int, resources: Mapping[str, float] | None = None
    ) -> Process:
        """Start a node on a machine; who needs it waits for it by `Process.says`."""
        kinds = f"--resources={json.dumps(dict(resources or {}))}"
        return self._start(machine, f"--address={self.address}", f"--num-cpus={cpus}", kinds)

    def _start(self, machine: Machine, *options: str) -> Process:
        ray = str(Path(sys.executable).parent / "ray")
        command = [ray, "start", "--block", *options, f"--node-ip-address={machine.address}"]
        command += ["--num-gpus=0", f"--object-store-memory={STORE}", "--disable-usage-stats"]
        command += ["--include-dashboard=false"] if "--head" in options else []
        # Apart, or nodes that begin at once would draw the same names for their sockets.
        command += [f"--temp-dir={self.folder}/{machine.name}", "--include-log-monitor=false"]
        process = machine.start(command, self.folder / f"{machine.name}.log", self.env, ROOT)
        self.nodes[machine.name] = process
        return process

    def pids(self) -> list[int]:
        return [process.pid for process in self.nodes.values() if process.code is None]

    def remove(self) -> None:
        for process in self.nodes.values():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
