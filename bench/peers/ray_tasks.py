"""Ray tasks with the retries that Ray has by default, on nodes in network namespaces.

A worker is a node; its slots are its CPUs, and Ray gives each task at once a process of its own.
"""

from __future__ import annotations

import sys

from tests.cluster.nets import Nets
from tests.cluster.processes import Process
from tests.cluster.rays import Rays
from tests.cluster.steps import nap

from peers.contender import PATHS, Contender, Place, say_over


class RayTasks(Contender):
    name = "Ray tasks"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._nets = Nets(1 + place.workers)
        self._rays = Rays(self._nets.machines[0])

    def ready(self) -> None:
        self.others.append(self._rays.start_head())
        for machine in self._nets.machines[1:]:
            self.workers.append(self._rays.start_node(machine, self.place.slots))
        for worker in self.workers:
            worker.says("Ray runtime started.")
        # Ray starts the processes for tasks when they come; here they have come before.
        self._drive("warm").ends()

    def drive(self) -> Process:
        return self._drive("drive")

    def _drive(self, role: str) -> Process:
        place = self.place
        command = (sys.executable, "-u", "-m", "peers.ray_tasks", role, self._rays.address)
        return self._rays.head.start(
            (*command, str(place.steps), str(place.log), str(place.workers * place.slots)),
            place.folder / f"{role}.out",
            {**self._rays.env, "PYTHONPATH": PATHS},
            place.folder,
        )

    def stop(self) -> None:
        self._rays.remove()
        self._nets.remove()


def drive(role: str, address: str, steps: int, log: str, slots: int) -> None:
    import ray

    ray.init(address=address, log_to_driver=False, logging_level="error")
    if role == "warm":
        step = ray.remote(nap)
        ray.get([step.remote(number, "/dev/null") for number in range(slots * 4)])
    else:
        step = ray.remote(nap)
        say_over(ray.get([step.remote(number, log) for number in range(steps)]))


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
