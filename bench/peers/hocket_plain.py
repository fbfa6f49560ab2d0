"""Hocket on PostgreSQL without Ray: plain supervisors, and runs of 25 steps, one after the other.

What is handed over are runs: each supervisor drives as many at once as it has slots.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.cluster.faults import HOCKET
from tests.cluster.processes import Process
from tests.cluster.runs import story, write

from hocket import Engine
from hocket.app.host import Host
from hocket.app.load import load_plan
from peers.contender import Contender, say_over

EACH = 25
LEASE = "3"
"""Seconds; all processes are on one machine, so that a dead one is known to be dead at once."""


class HocketPlain(Contender):
    name = "Hocket, PostgreSQL, plain supervisors"

    def ready(self) -> None:
        server = self.place.server
        self._url = server.url(server.create())
        work = ("work", "--json", "--most", str(self.place.slots))
        for number in range(self.place.workers):
            env = self._env(number)
            self.workers.append(self.place.start(f"worker{number}", HOCKET, *work, **env))
        for worker in self.workers:
            worker.says("health_port")

    def drive(self) -> Process:
        place = self.place
        return place.role(
            "hocket_plain", "drive", self._url, place.steps, place.log, **self._env("driver")
        )

    def _env(self, name: object) -> dict[str, str]:
        home = str(self.place.folder / f"home{name}")
        return {"HOCKET_JOURNAL": self._url, "HOCKET_HOME": home, "HOCKET_LEASE": LEASE}


async def drive(url: str, steps: int, log: str) -> None:
    write(Path(), 1)
    spec = load_plan(Path("hocket.yaml"), "naps")
    runs = [range(first, min(first + EACH, steps)) for first in range(0, steps, EACH)]
    async with Engine(look_ahead=0) as engine:
        host = Host(engine, most=len(runs), drive=0)
        for number, numbers in enumerate(runs):
            given = {"numbers": [*numbers], "log": log}
            await host.start_spec(spec, given, run_id=f"run{number}")
        left = {f"run{number}" for number in range(len(runs))}
        while left:
            await asyncio.sleep(0.05)
            left = {run for run in left if host.row(run).status == "running"}
        await host.close()
    told = [story(url, f"run{n}", numbers, Path()) for n, numbers in enumerate(runs)]
    assert all(each.status == "succeeded" for each in told), told
    say_over(number for each in told for number in each.finished.elements())


if __name__ == "__main__":
    asyncio.run(drive(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
