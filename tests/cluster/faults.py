"""Faults in the middle of many steps, by a seed: who dies or is cut off, and when.

Each gives what the steps themselves have said, what the journal says, and how long it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.judge import Fault, Verdict, judge
from tests.cluster.nets import Machine, nets
from tests.cluster.processes import PATHS, Process, wait_for
from tests.cluster.runs import Story, story, write
from tests.cluster.steps import read
from tests.postgres import Server

from hocket import Engine
from hocket.app.host import Host
from hocket.app.load import load_plan

HOCKET = str(Path(sys.executable).parent / "hocket")
LEASE = 3
LIMIT = 90.0


class Outcome(NamedTuple):
    """What became of a fault.

    Fields:
        verdict: What the steps have said.
        stories: What the journal says, a run each.
        runs: The steps of each run.
        after: Seconds from the fault to the end of all runs.
        total: Seconds from the first step to that end.
    """

    verdict: Verdict
    stories: list[Story]
    runs: list[Sequence[int]]
    after: float
    total: float

    @property
    def lost(self) -> list[int]:
        """The steps that never ended, or of which the journal does not know that they have."""
        finished = sum((each.finished for each in self.stories), Counter[int]())
        wanted = {number for run in self.runs for number in run}
        return sorted(set(self.verdict.lost) | (wanted - finished.keys()))

    @property
    def twice(self) -> list[int]:
        """The steps that are finished twice in the journal."""
        finished = sum((each.finished for each in self.stories), Counter[int]())
        return sorted(number for number, times in finished.items() if times > 1)

    @property
    def statuses(self) -> set[str]:
        return {each.status for each in self.stories}


class Scene:
    """Machines on a bridge, and a database server there.

    Fields:
        folder: For whatever is written.
        log: Where each step says what it does.
        machines: The machines.
        server: The database server, which every machine reaches.
        url: A journal of its own.
    """

    def __init__(self, folder: Path, machines: Sequence[Machine], server: Server) -> None:
        self.folder = folder
        self.machines = machines
        self.server = server
        self.processes: list[Process] = []
        self.begin()

    def begin(self) -> None:
        """Begin with nothing: a journal in which there are no runs, and no step done."""
        database = self.server.create()
        self.url = self.server.url(database)
        self.log = self.folder / f"{database}.log"

    def start(self, machine: Machine, *words: str, env: dict[str, str] | None = None) -> Process:
        """Start hocket on a machine."""
        home = self.folder / f"{self.log.stem}-{machine.name}"
        told = {
            "HOCKET_JOURNAL": self.url,
            "HOCKET_HOME": str(home),
            "HOCKET_LEASE": str(LEASE),
            "PYTHONPATH": PATHS,
        }
        said = self.folder / f"{self.log.stem}-{len(self.processes)}.out"
        started = machine.start([HOCKET, *words], said, {**told, **(env or {})}, self.folder)
        self.processes.append(started)
        return started

    def done(self, count: int) -> None:
        """Wait until so many steps have ended."""

        def check() -> bool:
            return sum(each.ends for each in read(self.log)) >= count

        wait_for(f"{count} steps end", check, LIMIT)

    def said(self) -> list[str]:
        """What processes said last."""
        return [each.said[-500:] for each in self.processes]

    def close(self) -> None:
        """End all that was started."""
        while self.processes:
            self.processes.pop().kill()

    def outcome(self, fault: Fault, runs: Sequence[Sequence[int]], over: int) -> Outcome:
        """Ask the steps and the journal; `over` is the instant at which all runs had ended."""
        said = read(self.log)
        verdict = judge(said, [number for run in runs for number in run], fault)
        stories = [
            story(self.url, f"run{number}", steps, self.folder) for number, steps in enumerate(runs)
        ]
        after, total = (over - fault.at) / 1e9, (over - said[0].at) / 1e9
        return Outcome(verdict, stories, list(runs), after, total)


@contextlib.contextmanager
def scene(machines: int) -> Iterator[Scene]:
    """Make machines and a server, and remove all of it."""
    folder = Path(tempfile.mkdtemp(prefix="hk"))
    with nets(machines) as made:
        server = Server(address=made.address)
        with (server.folder / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")
        there = Scene(folder, made.machines, server.start())
        try:
            yield there
        finally:
            there.close()
            server.remove()
            shutil.rmtree(folder, ignore_errors=True)


def give(there: Scene, runs: Sequence[Sequence[int]]) -> None:
    """Lay runs into the journal, for whoever drives them."""

    async def give() -> None:
        spec = load_plan(there.folder / "hocket.yaml", "naps")
        async with Engine(there.folder / "giver", journal=there.url, look_ahead=0) as engine:
            host = Host(engine, most=len(runs), drive=0)
            for number, numbers in enumerate(runs):
                given = {"numbers": [*numbers], "log": str(there.log)}
                await host.start_spec(spec, given, run_id=f"run{number}")
            await host.close()

    asyncio.run(give())


def ended(there: Scene, seconds: float = LIMIT) -> int:
    """Wait until no run is under way; gives when that was."""

    async def look() -> int:
        async with Engine(there.folder / "watcher", journal=there.url, look_ahead=0) as engine:
            until = time.monotonic() + seconds
            while any(row.status == "running" for row in engine.journal.runs()):
                assert time.monotonic() < until, f"not over in {seconds:.0f} s: {there.said()}"
                await asyncio.sleep(0.05)
            return time.monotonic_ns()

    return asyncio.run(look())


# -- plain supervisors, without Ray -------------------------------------------------------------


class Supervisors:
    """Plain supervisors, one on each machine of a scene, and runs in their journal."""

    def __init__(self, there: Scene, slots: int) -> None:
        self.scene = there
        self.all = [
            there.start(machine, "work", "--health-port", "0", "--json", "--most", str(slots))
            for machine in there.machines
        ]
        for each in self.all:
            each.says("health_port")

    def quiet(self, number: int) -> None:
        """Wait until a supervisor answers again, and drives nothing."""
        machine, process = self.scene.machines[number], self.all[number]
        port = json.loads(process.said.splitlines()[0])["health_port"]
        ask = (
            f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/ready').status)"
        )

        def check() -> bool:
            try:
                return "200" in machine.run(sys.executable, "-c", ask)
            except subprocess.CalledProcessError:
                return False

        wait_for(f"{machine.name} is ready again", check)


def supervisor_killed(seed: int, *, runs: int = 30, each: int = 34, slots: int = 4) -> Outcome:
    """Kill one of three plain supervisors in the middle of some runs."""
    draw = random.Random(seed)
    numbers = [range(run * each, (run + 1) * each) for run in range(runs)]
    with scene(3) as there:
        crew = Supervisors(there, slots)
        write(there.folder, 1)
        give(there, numbers)
        there.done(round(runs * each * draw.uniform(0.3, 0.6)))
        killed = draw.choice(crew.all).kill()
        fault = Fault(time.monotonic_ns(), frozenset(killed))
        return there.outcome(fault, numbers, ended(there))


def supervisor_cut_off(
    seed: int, *, seconds: float, runs: int = 12, each: int = 60, slots: int = 4
) -> Outcome:
    """Take one of two plain supervisors off the network for a while, and so from the journal."""
    draw = random.Random(seed)
    numbers = [range(run * each, (run + 1) * each) for run in range(runs)]
    with scene(2) as there:
        crew = Supervisors(there, slots)
        write(there.folder, 1)
        give(there, numbers)
        there.done(round(runs * each * draw.uniform(0.2, 0.4)))
        victim = draw.randrange(2)
        pids = frozenset([crew.all[victim].pid])
        there.machines[victim].cut()
        fault = Fault(time.monotonic_ns(), pids)
        healing = threading.Timer(seconds, there.machines[victim].heal)
        healing.start()
        try:
            over = ended(there)
            healing.join()
            # Whoever was cut off finds out, and has nothing more to say.
            crew.quiet(victim)
        finally:
            healing.join()
        return there.outcome(fault, numbers, over)
