"""DBOS on PostgreSQL: a queue of workflows of one step, and executors with names of their own.

The queue is looked at every 50 ms instead of every second, or it alone would take a minute.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from tests.cluster.processes import Process
from tests.cluster.steps import nap

from peers.contender import READY, Contender, say_over

POLL = 0.05


def config(url: str, executor: str) -> Any:
    return {
        "name": "faults",
        "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
        "executor_id": executor,
        "application_version": "1",
        "console_log_level": "ERROR",
    }


def work(url: str, slots: int, executor: str) -> None:
    from dbos import DBOS

    DBOS(config=config(url, executor))

    @DBOS.step()
    def step(number: int, log: str) -> int:
        return nap(number, log)

    @DBOS.workflow(name="job")
    def job(number: int, log: str) -> int:
        return step(number, log)

    DBOS.launch()
    DBOS.register_queue("jobs", worker_concurrency=slots, polling_interval_sec=POLL)
    print(READY, flush=True)
    threading.Event().wait()


def drive(url: str, steps: int, log: str) -> None:
    from dbos import DBOSClient

    client = DBOSClient(system_database_url=url.replace("postgresql://", "postgresql+psycopg://"))
    for number in range(steps):
        job = {"queue_name": "jobs", "workflow_name": "job", "app_version": "1"}
        client.enqueue({**job, "workflow_id": str(number)}, number, log)  # type: ignore[typeddict-item]
    while True:
        done = client.list_workflows(status="SUCCESS", load_input=False, load_output=False)
        if len(done) >= steps:
            break
        time.sleep(0.2)
    say_over(int(each.workflow_id) for each in done)


class DbosExecutors(Contender):
    name = "DBOS, PostgreSQL"

    def ready(self) -> None:
        server = self.place.server
        self._url = server.url(server.create())
        for number in range(self.place.workers):
            self.workers.append(self._worker(number))
            # The first one makes the tables.
            self.workers[-1].says(READY)

    def _worker(self, number: int) -> Process:
        return self.place.role(
            "dbos_executors", "work", self._url, self.place.slots, f"executor{number}"
        )

    def drive(self) -> Process:
        url, place = self._url, self.place
        return place.role("dbos_executors", "drive", url, place.steps, place.log)

    def stuck(self, killed: int) -> bool:
        # Without its Conductor, only an executor of the same name takes up what one has left.
        self.workers[killed] = self._worker(killed)
        self.workers[killed].says(READY)
        return True


if __name__ == "__main__":
    role, url, amount, last = sys.argv[1:5]
    (work if role == "work" else drive)(url, int(amount), last)
