"""Dask distributed: a scheduler, and workers that are processes of so many threads, no nannies."""

from __future__ import annotations

import sys

from tests.cluster.processes import Process
from tests.cluster.steps import nap

from peers.contender import Contender, say_over

DASK = (sys.executable, "-m", "distributed.cli.dask_scheduler")


class DaskWorkers(Contender):
    name = "Dask distributed"

    def ready(self) -> None:
        self._at = str(self.place.folder / "scheduler.json")
        quiet = ("--no-dashboard", "--protocol", "tcp")
        scheduler = self.place.start(
            "scheduler",
            *(sys.executable, "-m", "distributed.cli.dask_scheduler", *quiet),
            *("--host", "127.0.0.1", "--port", "0", "--scheduler-file", self._at),
        )
        self.others.append(scheduler)
        scheduler.says("Scheduler at")
        threads = str(self.place.slots)
        for number in range(self.place.workers):
            command = (sys.executable, "-m", "distributed.cli.dask_worker", *quiet, "--no-nanny")
            options = ("--scheduler-file", self._at, "--nthreads", threads, "--nworkers", "1")
            self.workers.append(self.place.start(f"worker{number}", *command, *options))
        for worker in self.workers:
            worker.says("Registered to")

    def drive(self) -> Process:
        return self.place.role("dask_workers", "drive", self._at, self.place.steps, self.place.log)


def drive(at: str, steps: int, log: str) -> None:
    from distributed import Client

    with Client(scheduler_file=at) as client:
        say_over(client.gather(client.map(nap, range(steps), log=log)))


if __name__ == "__main__":
    drive(sys.argv[2], int(sys.argv[3]), sys.argv[4])
