"""A database that does not answer: who waits for it, and who is told at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.postgres import Server, missing, wait_for

from hocket.core.errors import JournalError
from hocket.journal import postgres
from hocket.journal.outage import Outage
from hocket.journal.postgres import PostgresJournal
from hocket.journal.schema import Database, Unreachable


def test_all_wait_together_and_then_one_at_a_time_is_let_through() -> None:
    outage = Outage(10)
    failure = Unreachable("it does not answer")
    outage.enter(0)
    outage.begin(0)
    assert not outage.failed(0, 5, failure)
    outage.enter(6)
    assert outage.failed(0, 10.5, failure)
    # Whoever had waited behind it does not wait as long again.
    with pytest.raises(Unreachable, match="does not answer"):
        outage.begin(6)
    with pytest.raises(Unreachable):
        outage.enter(11)
    outage.enter(12)
    outage.begin(12)
    with pytest.raises(Unreachable):
        outage.enter(12)
    assert outage.failed(12, 12.1, failure), "nobody waits any more"
    outage.enter(14)
    outage.over()
    outage.enter(14)
    outage.begin(14)
    assert not outage.failed(20, 21, failure)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_server_that_is_away_is_waited_for_once_and_asked_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "READ_PATIENCE", 1.0)
    server = Server().start()
    tries = []
    behind = threading.Event()
    try:
        with (
            PostgresJournal(server.url(server.create())) as journal,
            ThreadPoolExecutor(20) as readers,
        ):
            assert journal.runs() == []
            found = journal._server.connect

            def connect(timeout: float) -> object:
                tries.append(behind.wait(20))
                return found(timeout)

            server.kill()
            monkeypatch.setattr(journal._server, "connect", connect)
            waiting = [readers.submit(journal.runs) for _ in range(20)]
            wait_for("they wait", lambda: journal._thread._work_queue.qsize() >= 19)
            behind.set()
            assert [type(one.exception(20)) for one in waiting] == [Unreachable] * 20
            asked = len(tries)
            # Each of them would have asked again, and waited.
            for _ in range(100):
                with pytest.raises(JournalError, match="does not answer"):
                    journal.runs()
            assert len(tries) <= asked + 5
            server.start()

            def answers() -> bool:
                try:
                    return journal.query(_yes) is not False
                except JournalError:
                    return False

            wait_for("it is asked again", answers)
            for _ in range(10):
                journal.runs()
    finally:
        server.remove()


def _yes(db: Database) -> bool:
    return True
