"""Network namespaces joined by a bridge: machines, as far as the network and their names go.

All of it is made by the test, named so that two tests are not in each other's way, and removed at
its end; nothing outside can be reached from within.
What runs in one of them sees one file system, one clock and the same processes.
"""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.cluster.processes import Process

_NAMED = 'echo "$0" > /proc/sys/kernel/hostname; exec "$@"'


@cache
def missing() -> str:
    """Why there can be no namespaces here, or "" if there can."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces need iproute2 and util-linux, which are not installed"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    try:
        with nets(1) as made:
            made.machines[0].run("true")
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made here: {error.stderr.strip()}"
    return ""


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
    return done.stdout


class Machine:
    """A namespace with an address, whose processes believe to be on a host of its own.

    Fields:
        name: Of the namespace; its processes find it as their host's.
        address: Where it is reached.
    """

    def __init__(self, name: str, address: str, plug: str) -> None:
        self.name = name
        self.address = address
        self._plug = plug

    def within(self, *command: str) -> list[str]:
        """Give the command that runs another one here, as the same process."""
        enter = ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", _NAMED]
        return [*enter, self.name, *command]

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command to its end; gives what it printed."""
        done = subprocess.run(
            self.within(*command),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **(env or {})},
        )
        return done.stdout

    def start(
        self,
        command: Sequence[str],
        said: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a process here; its process id is the command's own."""
        return Process(self.within(*command), said, env, cwd)

    def cut(self) -> None:
        """Take it off the network; whatever is sent to it or by it is lost, and nobody is told."""
        _ip("link", "set", self._plug, "down")

    def heal(self) -> None:
        _ip("link", "set", self._plug, "up")


class Nets:
    """Machines joined by a bridge, of which this process's own namespace has an address, too.

    Args:
        count: How many to begin with.
    """

    def __init__(self, count: int) -> None:
        self._id = f"hk{secrets.token_hex(3)}"
        network = _free_network()
        self._places = network.hosts()
        self._nobody = str(network[-2])
        self.address = str(next(self._places))
        self.machines: list[Machine] = []
        atexit.register(self.remove)
        _ip("link", "add", self._id, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._id)
        _ip("link", "set", self._id, "up")
        for _ in range(count):
            self.add()

    def add(self) -> Machine:
        """Make another one."""
        number = len(self.machines)
        name, plug = f"{self._id}-{number}", f"{self._id}p{number}"
        address = str(next(self._places))
        _ip("netns", "add", name)
        self.machines.append(Machine(name, address, plug))
        _ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", plug, "master", self._id, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        # Programs find their own address by the way that they would take to somewhere far away;
        # there is such a way, and nobody at its other end.
        _ip("-n", name, "route", "add", "default", "via", self._nobody)
        return self.machines[-1]

    def remove(self) -> None:
        """Remove all of it; processes that still run in it lose their network."""
        atexit.unregister(self.remove)
        for machine in self.machines:
            # Its plug goes with it, or at the latest with its last process.
            for words in (("link", "delete", machine._plug), ("netns", "delete", machine.name)):
                with contextlib.suppress(subprocess.CalledProcessError):
                    _ip(*words)
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._id)


@contextlib.contextmanager
def nets(count: int) -> Iterator[Nets]:
    made = Nets(count)
    try:
        yield made
    finally:
        made.remove()


def _free_network() -> ipaddress.IPv4Network:
    """Find addresses that nothing here uses."""
    routes: list[dict[str, Any]] = json.loads(_ip("-json", "-4", "route", "show", "table", "all"))
    words = [route["dst"] for route in routes if route["dst"] != "default"]
    used = [ipaddress.ip_network(word, strict=False) for word in words]
    while True:
        first, second = secrets.randbelow(256), secrets.randbelow(256)
        found = ipaddress.IPv4Network(f"10.{first}.{second}.0/24")
        if not any(found.overlaps(other) for other in used):
            return found
