"""What every engine is asked for: workers of so many slots, and a driver that says what was done.

A driver is a process that hands over the steps, waits for them, and prints as JSON when that was,
by the machine's monotonic clock, and how often the engine has each step on record as finished.
"""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.cluster import processes
from tests.cluster.processes import Process
from tests.postgres import Server

PATHS = os.pathsep.join((processes.PATHS, str(processes.ROOT / "bench")))
READY = "ready"


class Place(NamedTuple):
    """Where and what.

    Fields:
        folder: For whatever is written; empty at first.
        steps: How many there are.
        workers: How many do them.
        slots: How many of them each worker does at once.
        server: A database server with no databases.
    """

    folder: Path
    steps: int
    workers: int
    slots: int
    server: Server

    @property
    def log(self) -> Path:
        """Where each step says what it does."""
        return self.folder / "steps.log"

    def start(self, name: str, *command: str, **env: str) -> Process:
        """Start a process in the folder."""
        paths = {"PYTHONPATH": PATHS, "PYTHONWARNINGS": "ignore"}
        return Process(command, self.folder / f"{name}.out", {**paths, **env}, self.folder)

    def role(self, module: str, role: str, *arguments: object, **env: str) -> Process:
        """Start one of a module's roles."""
        words = [str(each) for each in arguments]
        command = (sys.executable, "-u", "-m", f"peers.{module}", role, *words)
        return self.start("-".join([role, *words[-1:]]).replace("/", "_"), *command, **env)


class Contender(ABC):
    """An engine.

    Fields:
        name: For the table.
        workers: Its workers, of which one will be killed.
        others: What it needs besides.
    """

    name: str

    def __init__(self, place: Place) -> None:
        self.place = place
        self.workers: list[Process] = []
        self.others: list[Process] = []

    @abstractmethod
    def ready(self) -> None:
        """Start all but the driver, and wait until it waits for work."""

    @abstractmethod
    def drive(self) -> Process:
        """Hand over the steps."""

    def stuck(self, killed: int) -> bool:
        """Do what its manual says to do when nothing goes on; tells whether it says something."""
        return False

    @property
    def pids(self) -> list[int]:
        """All that counts as its memory, less the driver."""
        everyone = (*self.workers, *self.others)
        return [process.pid for process in everyone if process.code is None]

    def stop(self) -> None:
        """End all that was started."""
        for process in (*self.workers, *self.others):
            process.kill()


def say_over(finished: Iterable[int]) -> None:
    """Print a driver's word: all is done, and each step stands so often in what is given."""
    print(json.dumps({"over": time.monotonic_ns(), "finished": [*finished]}), flush=True)
