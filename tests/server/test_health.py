"""Whether a process is alive and ready, as whoever watches over it is told."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served

from hocket.core.errors import JournalError
from hocket.journal.memory import MemoryJournal
from hocket.journal.sqlite import SqliteJournal
from hocket.server import health
from hocket.server.health import Health

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Slow(MemoryJournal):
    """A journal that answers when it is let, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.let = threading.Event()
        self.let.set()
        self.broken = False

    def find(self, run: str) -> None:
        self.asked += 1
        assert self.let.wait(30)
        if self.broken:
            raise JournalError("the disk is gone")


async def told(of: Health, path: str, method: str = "GET") -> tuple[int, bytes, dict[bytes, bytes]]:
    """Ask as a server does."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await of({"type": "http", "path": path, "method": method}, None, send)
    start, body = sent
    return start["status"], body["body"], dict(start["headers"])


async def test_what_is_missing_is_told_and_no_more() -> None:
    draining, cluster, store = False, True, Slow()
    of = Health(store, lambda: draining)
    of.needs("cluster", lambda: cluster)
    assert (await told(of, "/ready"))[:2] == (200, b'{"ready":true,"missing":[]}')
    draining, cluster = True, False
    status, body, headers = await told(of, "/ready")
    assert (status, body) == (503, b'{"ready":false,"missing":["cluster","draining"]}')
    assert headers[b"cache-control"] == b"no-store" and int(headers[b"content-length"]) == len(body)
    assert (await told(of, "/ready", "HEAD"))[:2] == (503, b"")
    assert (await told(of, "/health"))[:2] == (200, b'{"alive":true,"lag_ms":0.0}')
    assert (await told(of, "/elsewhere"))[0] == 404
    assert (await told(of, "/ready", "POST"))[2][b"allow"] == b"GET, HEAD"


async def test_a_journal_that_fails_or_does_not_answer_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_PATIENCE", 0.05)
    monkeypatch.setattr(health, "_FRESH", 0.0)
    store = Slow()
    of = Health(store, lambda: False)
    store.broken = True
    assert (await of.ready()).missing == ["journal"]
    store.broken = False
    assert (await of.ready()).ready
    store.let.clear()
    before = store.asked
    for _ in range(5):
        assert (await of.ready()).missing == ["journal"]
    assert store.asked == before + 1, "one question waits, however many ask"
    store.let.set()
    async with asyncio.timeout(30):
        while not (await of.ready()).ready:  # noqa: ASYNC110 - a thread brings it about
            await asyncio.sleep(0.01)


async def test_a_journal_that_can_be_read_and_not_written_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_FRESH", 0.0)

    def fail(db: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with SqliteJournal(tmp_path) as store:
        of = Health(store, lambda: False)
        assert (await of.ready()).ready
        with pytest.raises(JournalError):
            store.write(fail)
        assert store.find("-") is None
        assert (await of.ready()).missing == ["journal"]


async def test_a_writer_that_hangs_is_missing_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PATIENCE", 0.05)
    monkeypatch.setattr(health, "_FRESH", 0.0)
    let = threading.Event()
    with SqliteJournal(tmp_path) as store:
        of = Health(store, lambda: False)
        store._open_writer().submit(lambda db: let.wait(30))
        assert (await of.ready()).missing == ["journal"]
        let.set()
        async with asyncio.timeout(30):
            while not (await of.ready()).ready:  # noqa: ASYNC110 - a thread brings it about
                await asyncio.sleep(0.01)


async def test_many_who_ask_at_once_ask_the_journal_once() -> None:
    store = Slow()
    of = Health(store, lambda: False)
    answers = await asyncio.gather(*(of.ready() for _ in range(100)))
    assert all(answer.ready for answer in answers) and store.asked == 1


async def test_how_late_the_loop_is_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_BEAT", 0.01)
    of = Health(Slow(), lambda: False)
    pulse = asyncio.create_task(of.run())
    async with asyncio.timeout(30):
        while of.alive().lag_ms < 100:
            await asyncio.sleep(0.01)
            # Somebody holds the loop.
            time.sleep(0.12)  # noqa: ASYNC251
    pulse.cancel()
    await asyncio.gather(pulse, return_exceptions=True)


def test_a_server_that_ends_is_not_ready_and_still_alive(served: Served) -> None:
    assert served.get("/ready", token=None) == {"ready": True, "missing": []}
    served.site.host.draining = True
    try:
        reply = served.ask("GET", "/ready", token=None)
        assert (reply.status, reply.json()["missing"]) == (503, ["draining"])
        assert served.get("/health", token=None)["alive"]
    finally:
        served.site.host.draining = False
