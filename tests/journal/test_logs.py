"""What calls say: the same promises in files and in PostgreSQL, and what only the latter makes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal import postgres_logs
from hocket.journal.logs import MAX_BYTES, FileLogs, NoLogs, unsettled
from hocket.journal.memory import MemoryJournal
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

Make = Callable[[], Any]
CALL = Call("build/3~2", 1)


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens the journal, each time as another process would."""
    opened: list[Any] = []

    def open_journal() -> Any:
        if request.param == "sqlite":
            opened.append(SqliteJournal(tmp_path / "state"))
        else:
            opened.append(PostgresJournal(request.getfixturevalue("database")))
        return opened[-1]

    yield open_journal
    for journal in opened:
        journal.logs.close("r")
        journal.close()


@pytest.fixture
def journal(database: str) -> Iterator[PostgresJournal]:
    opened = PostgresJournal(database)
    begin(opened, "r")
    yield opened
    opened.close()


def begin(journal: Any, run: str) -> None:
    """Record the beginning of a run, and leave it."""
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    first = ev.RunStarted(
        at=10,
        run=run,
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=1,
        versions={"plan": 1},
        program="test",
    )

    async def main() -> None:
        await (await journal.start(first)).close()

    asyncio.run(main())


def soon(check: Callable[[], Any]) -> Any:
    """Wait for what a thread will bring about."""
    until = time.monotonic() + 30
    while not (found := check()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def test_what_is_said_here_is_read_elsewhere_from_any_byte_on(make: Make) -> None:
    here, elsewhere = make(), make()
    begin(here, "r")
    assert elsewhere.logs.size("r", CALL) is None and elsewhere.logs.read("r", CALL) == b""
    pieces = [b"line %05d\n" % number * 100 for number in range(200)]
    whole = b"".join(pieces)
    for piece in pieces[:100]:
        here.logs.write("r", CALL, piece)
    here.logs.write("r", Call("other", 1), b"other")
    soon(lambda: elsewhere.logs.size("r", CALL) == len(whole) // 2)
    for piece in pieces[100:]:
        here.logs.write("r", CALL, piece)
    here.logs.end("r", CALL)
    soon(lambda: elsewhere.logs.size("r", CALL) == len(whole))
    logs = elsewhere.logs
    assert logs.read("r", CALL) == whole
    for start, size in ((0, 1), (65_535, 3), (100_000, 70_000), (len(whole) - 2, 9), (10**7, 1)):
        assert logs.read("r", CALL, start, size) == whole[start : start + size]
    assert logs.read("r", CALL, 5) == whole[5:]
    soon(lambda: logs.read("r", Call("other", 1)) == b"other")
    assert logs.calls("r") == [CALL, Call("other", 1)] and logs.calls("none") == []
    assert logs.read("r", Call(CALL.path, 2)) == b""


def test_a_call_goes_on_behind_what_another_process_has_kept_of_it(make: Make) -> None:
    first, second = make(), make()
    begin(first, "r")
    first.logs.write("r", CALL, b"one ")
    soon(lambda: first.logs.size("r", CALL) == 4)
    first.logs.close("r")
    second.logs.write("r", CALL, b"two")
    soon(lambda: first.logs.read("r", CALL) == b"one two")


def test_a_log_is_cut_and_says_so(make: Make) -> None:
    journal = make()
    begin(journal, "r")
    for _ in range(5):
        journal.logs.write("r", CALL, bytes(1 << 20))
    said = soon(lambda: (found := journal.logs.read("r", CALL)).endswith(b"4 MB]\n") and found)
    assert said[:MAX_BYTES] == bytes(MAX_BYTES) and said[MAX_BYTES:].startswith(b"\n[log cut here")


def test_a_log_is_put_whole_and_goes_with_its_run(make: Make) -> None:
    journal = make()
    for run in ("r", "kept"):
        begin(journal, run)
        journal.logs.put(run, CALL, b"first")
        journal.logs.put(run, CALL, b"x" * 200_000)
        assert journal.logs.read(run, CALL) == b"x" * 200_000
    journal.logs.remove(["r", "none"])
    assert journal.logs.size("r", CALL) is None and journal.logs.calls("r") == []
    assert journal.logs.size("kept", CALL) == 200_000


def test_what_was_said_last_is_there_when_the_journal_is_closed(make: Make) -> None:
    journal = make()
    begin(journal, "r")
    journal.logs.write("r", CALL, b"good bye")
    journal.close()
    assert make().logs.read("r", CALL) == b"good bye"


def test_a_journal_in_memory_keeps_none(tmp_path: Path) -> None:
    logs = MemoryJournal().logs
    assert isinstance(logs, NoLogs)
    logs.write("r", CALL, b"said")
    logs.put("r", CALL, b"said")
    assert (logs.read("r", CALL), logs.size("r", CALL), logs.calls("r")) == (b"", None, [])


def test_a_full_disk_costs_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FileLogs(tmp_path)
    logs.write("r", CALL, b"kept")

    def full(*arguments: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(logs, "_write", full)
    logs.write("r", CALL, b"lost")
    monkeypatch.undo()
    logs.write("r", CALL, b"not tried any more")
    assert logs.read("r", CALL) == b"kept"
    logs.close("r")
    logs.write("r", CALL, b", and again")
    assert logs.read("r", CALL) == b"kept, and again"
    logs.close("r")


def test_only_what_comes_in_batches_is_waited_for(journal: PostgresJournal, tmp_path: Path) -> None:
    files, now = FileLogs(tmp_path), time.time_ns()
    assert unsettled(files, now) == 0.0
    assert 0.0 < unsettled(journal.logs, now) <= 1.0
    assert unsettled(journal.logs, now - 10**10) == 0.0
    assert unsettled(journal.logs, now + 10**12) == 1.0, "a clock that is wrong keeps nobody"


def test_what_a_slow_database_cannot_take_is_lost_and_the_log_says_so(
    journal: PostgresJournal, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_logs, "MOST_WAITING", 1_000)
    other = PostgresJournal(database)

    def while_locked(db: Any) -> None:
        db.execute("LOCK TABLE logs IN EXCLUSIVE MODE")
        journal.logs.write("r", CALL, b"a" * 500)
        # The thread has taken the first piece and waits for the table now.
        soon(lambda: db.execute(WAITS).fetchall())
        for _ in range(5):
            journal.logs.write("r", CALL, b"b" * 400)

    try:
        other.write(while_locked)
    finally:
        other.close()
    journal.logs.write("r", CALL, b"c")
    said = soon(lambda: (found := journal.logs.read("r", CALL)).endswith(b"c") and found)
    # Two of five had room.
    assert said == b"a" * 500 + b"\n[1200 bytes of the log are lost here]\n" + b"b" * 800 + b"c"


WAITS = """
SELECT 1 FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE c.relname = 'logs' AND NOT l.granted"""


def test_a_connection_that_is_cut_costs_lines_and_nothing_else(journal: PostgresJournal) -> None:
    journal.logs.write("r", CALL, b"before ")
    soon(lambda: journal.logs.read("r", CALL) == b"before ")
    # The connection of the logs is the only one that does not wait for the disk's promise.
    journal.write(lambda db: db.execute(CUT_ALL))
    journal.logs.write("r", CALL, b"lost")
    soon(lambda: b"lost here]" in journal.logs.read("r", CALL))
    journal.logs.write("r", CALL, b"after")
    said = soon(lambda: (found := journal.logs.read("r", CALL)).endswith(b"after") and found)
    assert said == b"before \n[4 bytes of the log are lost here]\nafter"


CUT_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def test_a_call_of_a_removed_run_leaves_nothing_behind(journal: PostgresJournal) -> None:
    journal.logs.write("gone", CALL, b"said")
    journal.logs.write("r", CALL, b"said")
    soon(lambda: journal.logs.size("r", CALL))
    assert journal.logs.calls("gone") == []
