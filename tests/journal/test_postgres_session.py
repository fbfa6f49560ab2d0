"""What a connection asks of the server is asked once it is there, so that a pooler lets it in."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.postgres import Server

from hocket.core.errors import JournalError
from hocket.journal.postgres import PostgresJournal
from hocket.journal.postgres_server import PostgresServer
from hocket.journal.schema import one

KNOWN = {
    *("user", "database", "client_encoding", "datestyle", "timezone"),
    *("standard_conforming_strings", "application_name"),
}
"""All that PgBouncer takes at the start of a connection, by its manual."""

WANTED = {
    "search_path": "hocket",
    "idle_in_transaction_session_timeout": "5s",
    "default_transaction_isolation": "read committed",
    "jit": "off",
    "tcp_keepalives_idle": "5",
    "tcp_user_timeout": "10000",
    "synchronous_commit": "on",
}


class Listener:
    """Takes connections, writes down what they say at their start, and ends them."""

    def __init__(self) -> None:
        self.said: list[dict[str, str]] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        while True:
            try:
                link, _ = self._door.accept()
            except OSError:
                return
            with link, link.makefile("rb") as words:
                while (packet := self._packet(words.read)) is not None:
                    if len(packet) == 4:
                        # It asks whether it may speak TLS.
                        link.sendall(b"N")
                        continue
                    texts = packet[4:].decode().split("\0")
                    self.said.append(dict(zip(texts[::2], texts[1::2], strict=False)))
                    break

    def _packet(self, read: object) -> bytes | None:
        assert callable(read)
        head = read(4)
        return read(struct.unpack("!I", head)[0] - 4) if len(head) == 4 else None

    def close(self) -> None:
        # Closing alone does not wake who waits at the door.
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join(30)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with closing(Listener()) as found:
        yield found


def test_nothing_is_asked_at_the_start_that_a_pooler_does_not_know(listener: Listener) -> None:
    url = f"postgresql://me@127.0.0.1:{listener.port}/x"
    with PostgresJournal(url) as journal, pytest.raises(JournalError, match="does not answer"):
        journal.runs()
    assert listener.said
    for said in listener.said:
        names = {name.lower() for name in said if name}
        assert names <= KNOWN
        assert said["application_name"].startswith("hocket ")


def test_all_of_it_is_set_also_against_the_roles_own(postgres: Server, database: str) -> None:
    name = database.rpartition("/")[2]
    for setting, value in {"synchronous_commit": "off", "jit": "on", "search_path": "x"}.items():
        postgres.sql(f"ALTER DATABASE {name} SET {setting} = {value}")
    server = PostgresServer(database, 15.0)
    with closing(server.connect(20.0)) as db:
        for setting, value in WANTED.items():
            assert one(db.execute(f"SHOW {setting}")) == (value,), setting
    # Whoever asks for more than is needed is left alone.
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = remote_write")
    with closing(server.connect(20.0)) as db:
        assert one(db.execute("SHOW synchronous_commit")) == ("remote_write",)
