"""Kill -9 of a process at any message that it sends to PostgreSQL: nothing acknowledged is lost.

The process dies before the message goes through, or after the server has done as it says and
before the process hears of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.crash.judge import acknowledged, judge
from tests.crash.postgres_proxy import Cut, Proxy
from tests.crash.test_kill_plan import finish_in
from tests.postgres import Server

from hocket.journal.postgres import PostgresJournal

ROOT = Path(__file__).parents[2]
HOW = ("before", "after")


class Victim:
    """Runs jobs in processes of their own, and kills each at a message.

    Attributes:
        proxy: Its way to the server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.proxy = Proxy(server.address, server.port)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.postgres_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, what: str, database: str, state: Path, *cuts: Cut) -> int:
        """Do a job and die at a message, or never; gives the exit status."""
        assert self._process.stdin is not None
        pids: SimpleQueue[int] = SimpleQueue()

        def kill() -> None:
            os.kill(pids.get(timeout=30), signal.SIGKILL)

        self.proxy.arm(*cuts, on_cut=kill)
        url = self.server.url(database, address="127.0.0.1", port=self.proxy.port)
        print(what, url, state, file=self._process.stdin, flush=True)
        pids.put(int(self._line()))
        ended = int(self._line())
        self.proxy.cut_all()
        return ended

    def messages(self, what: str, folder: Path) -> int:
        """How many messages a job sends that nobody kills."""
        assert self.run(what, self.server.create(), folder / "count") == 0
        return self.proxy.messages

    def close(self) -> None:
        with self._process:
            self._process.kill()
        self.proxy.close()


@pytest.fixture
def victim(postgres: Server) -> Iterator[Victim]:
    victim = Victim(postgres)
    yield victim
    victim.close()


def kill_at(victim: Victim, folder: Path, what: str, points: list[tuple[int, str]]) -> int:
    """Die at each point and check what is left; gives how often more was durable than told."""
    more = 0
    for at, how in points:
        state, database = folder / f"{at}-{how}", victim.server.create()
        ended = victim.run(what, database, state, Cut(at, how))
        # How commits group varies from run to run, and with it the number of messages.
        assert ended in {-signal.SIGKILL, 0}, f"{how} message {at}"
        try:
            with PostgresJournal(victim.server.url(database)) as journal:
                if what == "write":
                    more += judge(journal, acknowledged(state)) > 0
                else:
                    more += finish_in(state, journal)[1]
        except AssertionError as error:
            error.add_note(f"{how} message {at} of the {what} job")
            raise
        victim.server.drop(database)
    return more


def spread(total: int, count: int) -> list[tuple[int, str]]:
    points = [(at, how) for at in range(1, total + 1) for how in HOW]
    step = max(1, len(points) // count)
    return points[:: step + (step % len(HOW) == 0)]


def test_nothing_acknowledged_is_lost_at_a_spread_of_kills(victim: Victim, tmp_path: Path) -> None:
    total = victim.messages("write", tmp_path)
    kill_at(victim, tmp_path, "write", spread(total, 24))


def test_nothing_finished_or_with_effects_is_done_again_at_a_spread_of_kills(
    victim: Victim, tmp_path: Path
) -> None:
    total = victim.messages("plan", tmp_path)
    kill_at(victim, tmp_path, "plan", spread(total, 12))


@pytest.mark.crash
@pytest.mark.parametrize("what", ["write", "plan"])
def test_nothing_is_lost_at_any_kill(victim: Victim, tmp_path: Path, what: str) -> None:
    total = victim.messages(what, tmp_path)
    more = kill_at(victim, tmp_path, what, [(n, how) for n in range(1, total + 1) for how in HOW])
    print(f"{total} messages, {2 * total} kills, {more} with more durable than was told, or held")
    assert more > 0, "no kill came between a commit and its acknowledgement: the test is blind"


def test_dying_again_while_recovering_loses_nothing(victim: Victim, tmp_path: Path) -> None:
    killed = 0
    total = victim.messages("write", tmp_path)
    for at in range(5, 1000, 37):
        state, database = tmp_path / str(at), victim.server.create()
        victim.run("write", database, state, Cut(total // 2, "after"))
        ended = victim.run("recover", database, state, Cut(at, HOW[at % 2]))
        with PostgresJournal(victim.server.url(database)) as journal:
            judge(journal, acknowledged(state))
        if ended == 0:
            break
        killed += 1
    assert killed > 2
