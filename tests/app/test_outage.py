"""A database that is away for longer than a lease takes no run from an owner that is alive."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.test_supervisor import Server as Front
from tests.cli.kit import Home
from tests.postgres import Server, missing, wait_for

from hocket.journal.postgres import PostgresJournal

LEASE = 1.0
RUNS = 4
OUTAGES = 3

FILE = """
version: 1
plans:
  pay:
    inputs: [go]
    steps:
      pay:
        shell: 'echo begun >> "$1.log"; until [ -e "$1" ]; do sleep 0.1; done'
        args: ["{{inputs.go}}"]
"""


@pytest.fixture(scope="module")
def victim() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    server = Server().start()
    yield server
    server.remove()


@pytest.fixture
def homes(tmp_path: Path, victim: Server) -> Iterator[list[Home]]:
    made = []
    url = victim.url(victim.create())
    for name in ("front", "one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        home = Home(folder)
        home.env |= {"HOCKET_JOURNAL": url, "HOCKET_LEASE": str(LEASE)}
        made.append(home)
    try:
        yield made
    finally:
        for home in made:
            home.end()


def test_two_processes_keep_their_runs_and_their_calls_with_effects(
    victim: Server, homes: list[Home]
) -> None:
    front, one, two = homes
    url = front.env["HOCKET_JOURNAL"]
    front.put("hocket.yaml", FILE)
    server = Front(front, "--drive", "0")
    # Each has some, and room for some of the other's.
    workers = [home.start("work", "--json", "--most", str(RUNS - 1)) for home in (one, two)]
    gates = [front.file(f"go{number}") for number in range(RUNS)]
    runs = [server.start("pay", go=str(gate)) for gate in gates]
    logs = [gate.with_name(f"{gate.name}.log") for gate in gates]
    front.until(lambda: all(log.exists() for log in logs))

    def renewed() -> bool:
        ((count,),) = victim.sql(
            "SELECT count(DISTINCT o.pid) FROM hocket.owners AS o JOIN hocket.runs AS r "
            "ON r.owner = o.key WHERE o.lease_until > extract(epoch FROM now()) * 1000000000",
            url.rpartition("/")[2],
        )
        return int(count) == len(workers)

    wait_for("both own runs", renewed)
    for _ in range(OUTAGES):
        victim.kill()
        over = time.monotonic() + 2 * LEASE
        wait_for("two leases are over", lambda over=over: time.monotonic() > over)
        victim.start()
        wait_for("both own runs again", renewed)
    for gate in gates:
        gate.touch()
    with PostgresJournal(url, lease=LEASE) as journal:

        def statuses() -> list[str]:
            return [row.status for run in runs if (row := journal.find(run))]

        front.until(lambda: statuses() == ["succeeded"] * RUNS)
        for run in runs:
            kinds = [type(item.event).__name__ for item in journal.read(run)]
            assert kinds == ["RunStarted", "RunResumed", "CallStarted", "CallFinished", "RunEnded"]
    assert [log.read_text() for log in logs] == ["begun\n"] * RUNS
