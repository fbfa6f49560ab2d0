"""Hocket on Ray: one run, whose owner is beside the head, and whose calls are done on the nodes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.cluster.faults import LEASE
from tests.cluster.nets import Nets
from tests.cluster.processes import Process
from tests.cluster.ray_faults import PLACE, TAG
from tests.cluster.rays import Rays
from tests.cluster.runs import story, write
from tests.postgres import Server

from hocket import Engine
from hocket.app.load import load_plan
from peers.contender import PATHS, Contender, Place, say_over

RUN = "run"


class HocketRay(Contender):
    name = "Hocket, PostgreSQL, on Ray"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._nets = Nets(1 + place.workers)
        self._rays = Rays(self._nets.machines[0])
        self._server = Server(address=self._nets.address)
        with (self._server.folder / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")

    def ready(self) -> None:
        server = self._server.start()
        self._url = server.url(server.create())
        self.others.append(self._rays.start_head())
        for machine in self._nets.machines[1:]:
            self.workers.append(self._rays.start_node(machine, self.place.slots, TAG))
        for worker in self.workers:
            worker.says("Ray runtime started.")

    def drive(self) -> Process:
        place = self.place
        write(place.folder, place.workers * place.slots, PLACE)
        told = (sys.executable, "-u", "-m", "peers.hocket_ray", self._rays.address, self._url)
        env = {"HOCKET_HOME": str(place.folder / "home"), "HOCKET_LEASE": str(LEASE)}
        return self._rays.head.start(
            (*told, str(place.steps), str(place.log)),
            place.folder / "drive.out",
            {**self._rays.env, **env, "PYTHONPATH": PATHS},
            place.folder,
        )

    def stop(self) -> None:
        self._rays.remove()
        self._server.remove()
        self._nets.remove()


async def drive(address: str, url: str, steps: int, log: str) -> None:
    spec = load_plan(Path("hocket.yaml"), "naps")
    async with Engine(journal=url, cluster=address, look_ahead=0) as engine:
        await engine.run(spec, run_id=RUN, numbers=[*range(steps)], log=log)
        told = story(url, RUN, range(steps), Path())
        assert told.status == "succeeded", told
        say_over(told.finished.elements())


if __name__ == "__main__":
    os.environ.setdefault("HOCKET_HOME", ".")
    asyncio.run(drive(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
