"""Runs go from one journal into another whole, byte for byte, and are removed only then."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket.app.journal_copy import Copier, Kept, Outcome
from hocket.app.journals import Place
from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.requests import Pause
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal import blobs, store
from hocket.journal.base import Answered, Sample
from hocket.journal.moves import SqlMoves
from hocket.journal.owner import myself
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

FILE = bytes(range(256)) * 5_000
"""More than one part."""
LARGE = "a large output " * 10_000


@pytest.fixture
def opened() -> Iterator[Callable[[Any], Any]]:
    """Keeps what a test opens until its end."""
    journals: list[Any] = []

    def keep(journal: Any) -> Any:
        journals.append(journal)
        return journal

    yield keep
    for journal in journals:
        journal.close()


@pytest.fixture(params=["sqlite-sqlite", "sqlite-postgres", "postgres-sqlite"])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, opened: Callable[[Any], Any]
) -> tuple[Any, Any]:
    """From where, and to where."""
    found = []
    for place, kind in enumerate(request.param.split("-")):
        if kind == "sqlite":
            found.append(opened(SqliteJournal(tmp_path / f"state{place}")))
        else:
            found.append(opened(PostgresJournal(request.getfixturevalue("database"))))
    return found[0], found[1]


@pytest.fixture
def files(tmp_path: Path, opened: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Two journals in files, where what they are in makes no difference."""
    return opened(SqliteJournal(tmp_path / "one")), opened(SqliteJournal(tmp_path / "two"))


def started(run: str, at: int = 10) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=at,
        run=run,
        spec=spec,
        digest=spec_digest(spec),
        inputs={"ü": ["\x00", 1.5, "🎵"]},
        seed=1,
        versions={"plan": 1},
        program="test",
    )


def begin(journal: Any, run: str, events: int = 1, *, at: int = 10) -> None:
    """Record a run of small events, and leave it."""

    async def main() -> None:
        log = await journal.start(started(run, at))
        said = [ev.CallFinished(at=at + n, call=Call("s", n), output=n) for n in range(1, events)]
        await log.durable(log.append(said))
        await log.close()

    asyncio.run(main())


def rich(journal: Any, run: str, folder: Path) -> None:
    """Record a run with all that a run may have, and leave it."""
    path = folder / "made.bin"
    path.write_bytes(FILE)

    async def main() -> None:
        await journal.hosted.add(run)
        log = await journal.start(started(run))
        ref = msgspec.to_builtins(journal.blobs.put(path, "made.bin"))
        end = ev.CallFinished(at=20, call=Call("s", 1), output=LARGE)
        kept = Answered(key="k" * 64, at=20, output=LARGE, vector=b"\x00\x01")
        log.append([end], kept=[kept])
        many = [ev.CallFinished(at=30 + n, call=Call(f"s/{n}", 1), output=n) for n in range(1500)]
        last = ev.CallFinished(at=2000, call=Call("s~2", 1), output={"file": ref})
        named = Answered(key="n" * 64, at=21, output={"file": ref}, notes=("a note",))
        await log.durable(log.append([*many, last], kept=[named]))
        await log.close()

    asyncio.run(main())
    journal.post(run, Pause(by="me"))
    journal.book.record([Sample(plan="demo", step="s", agent="a", took=n) for n in range(100)])
    journal.logs.put(run, Call("s", 1), b"said " * 30_000)


def whole(journal: Any, run: str) -> Any:
    """All of a stored run but when a note of it is due."""
    moves = SqlMoves(journal)
    parcel = moves.parcel(run)
    assert parcel is not None
    rows = list(moves.rows(run))
    found = {digest: journal.blobs.read(digest) for digest in parcel.files}
    assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in found.items())
    logs = {call: journal.logs.read(run, call) for call in journal.logs.calls(run)}
    return msgspec.structs.replace(parcel, hosted=False), rows, found, logs


def copy(source: Any, target: Any, *runs: str, move: bool = False) -> list[Outcome]:
    told: list[Outcome] = []
    outcomes = Copier(source, target, move=move).copy(runs, told.append)
    assert told == outcomes
    return outcomes


def did(outcomes: list[Outcome]) -> list[str]:
    return [outcome.did for outcome in outcomes]


def test_a_copy_is_the_same_byte_for_byte_with_all_that_belongs_to_it(
    pair: tuple[Any, Any], tmp_path: Path
) -> None:
    source, target = pair
    rich(source, "r", tmp_path)
    begin(source, "other", 3)
    before = whole(source, "r")
    assert did(copy(source, target, "r", "other")) == ["copied", "copied"]
    assert whole(target, "r") == before == whole(source, "r")
    assert len(before[1]) == 1503 and FILE in before[2].values() and len(before[2]) == 2
    assert [recorded.event for recorded in target.read("r")] == [
        recorded.event for recorded in source.read("r")
    ]
    assert [post.request for post in target.waiting("r")] == [Pause(by="me")]
    # A copy that servers were to drive would do everything twice.
    assert source.hosted.all() == ["r"] and target.hosted.all() == []
    again = copy(source, target, "r", "other")
    assert did(again) == ["already there"] * 2 and [one.events for one in again] == [1503, 3]
    assert [row.id for row in target.runs()] == ["other", "r"]


def test_kept_answers_and_durations_go_along_and_never_twice(
    pair: tuple[Any, Any], tmp_path: Path
) -> None:
    source, target = pair
    rich(source, "r", tmp_path)
    copier = Copier(source, target)
    assert copier.keep() == Kept(answers=2, steps=1)
    assert copier.keep() == Kept(answers=0, steps=0)
    for key in ("k" * 64, "n" * 64):
        assert target.answers.find(key) == source.answers.find(key) is not None
    assert target.book.read("demo") == source.book.read("demo") != []
    digest = hashlib.sha256(FILE).hexdigest()
    assert target.blobs.read(digest) == FILE, "a file that only an answer names"
    # A later answer and a longer book are not put back.
    later = Answered(key="k" * 64, at=99, output="newer")

    async def main() -> None:
        log = await target.start(started("fresh"))
        end = ev.CallFinished(at=99, call=Call("s", 1), output="newer")
        await log.durable(log.append([end], kept=[later]))
        await log.close()

    asyncio.run(main())
    target.book.record([Sample(plan="demo", step="s", agent="a", took=1)])
    assert copier.keep() == Kept(answers=0, steps=0)
    assert target.answers.find("k" * 64).output == "newer"
    assert target.book.read("demo")[0].count == 101


def test_a_move_removes_what_was_copied_and_servers_drive_it_on_over_there(
    pair: tuple[Any, Any], tmp_path: Path
) -> None:
    source, target = pair
    rich(source, "r", tmp_path)
    begin(source, "stays", 2)
    before = whole(source, "r")
    assert did(copy(source, target, "r", move=True)) == ["moved"]
    assert whole(target, "r") == before
    assert [row.id for row in source.runs()] == ["stays"]
    assert source.logs.calls("r") == [] and source.hosted.all() == []
    assert target.hosted.all() == ["r"]
    assert [row.id for row in target.orphans(9)] == ["r"]

    async def main() -> None:
        log = await target.resume("r")
        assert (log.seq, log.epoch) == (1503, 2)
        await log.close()

    asyncio.run(main())
    # What was copied before is only compared, and removed.
    assert did(copy(source, target, "stays")) == ["copied"]
    assert did(copy(source, target, "stays", move=True)) == ["moved"]
    assert source.runs() == [] and len(list(target.read("stays"))) == 2


def test_another_run_of_the_same_id_is_refused_and_the_others_are_copied(
    files: tuple[Any, Any],
) -> None:
    source, target = files
    for run in ("a", "b", "c"):
        begin(source, run, 3)
    begin(target, "b", 2)
    outcomes = copy(source, target, "a", "b", "c", "none", move=True)
    assert did(outcomes) == ["moved", "refused", "moved", "refused"]
    assert "other events" in outcomes[1].why and "hocket prune" in outcomes[1].why
    assert [row.id for row in source.runs()] == ["b"]
    assert len(list(target.read("b"))) == 2


def test_a_run_that_somebody_drives_is_refused_with_his_name(files: tuple[Any, Any]) -> None:
    source, target = files

    async def main() -> None:
        log = await source.start(started("r"))
        (outcome,) = copy(source, target, "r")
        assert outcome.did == "refused" and source.find("r").owner in outcome.why
        assert target.runs() == []
        await log.close()
        assert did(copy(source, target, "r")) == ["copied"]

    asyncio.run(main())


def test_a_run_that_goes_on_meanwhile_stays_and_its_copy_goes(
    files: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = files
    begin(source, "r", 3)
    source.logs.put("r", Call("s", 1), b"said")
    compare = Copier._compare

    def go_on(self: Copier, parcel: Any) -> None:
        compare(self, parcel)
        source.post("r", Pause(by="me"))

    monkeypatch.setattr(Copier, "_compare", go_on)
    (outcome,) = copy(source, target, "r", move=True)
    assert outcome.did == "refused" and "gone on" in outcome.why
    assert len(list(source.read("r"))) == 3 and target.runs() == []
    assert source.logs.calls("r") == [Call("s", 1)] and target.logs.calls("r") == []


def ask(db: Any) -> None:
    store.post(db, "r", '{"type":"pause","by":"me"}', 99)


def take_up(db: Any) -> None:
    """As a whole take-up leaves it: somebody else had the run, and gave it up again."""
    claim = store.claim_run(db, "r", 0, myself(), time.time_ns())
    assert claim.epoch == 2


@pytest.mark.parametrize("go_on", [ask, take_up])
def test_what_is_acknowledged_while_a_move_waits_for_the_run_is_not_deleted(
    database: str,
    opened: Callable[[Any], Any],
    go_on: Callable[[Any], None],
) -> None:
    source, other = opened(PostgresJournal(database)), opened(PostgresJournal(database))
    begin(source, "r", 3)
    moves = SqlMoves(source)
    parcel = moves.parcel("r")
    assert parcel is not None

    with ThreadPoolExecutor(1) as pool:

        def meanwhile(db: Any) -> Future[bool]:
            go_on(db)
            dropping = pool.submit(moves.drop, parcel)
            until = time.monotonic() + 30
            while not (dropping.done() or db.execute(WAITS).fetchall()):
                assert time.monotonic() < until
                time.sleep(0.01)
            return dropping

        dropped = other.write(meanwhile).result(30)
    assert not dropped
    assert [row.id for row in source.runs()] == ["r"] and len(list(source.read("r"))) == 3


WAITS = """
SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"""


def test_two_who_look_at_once_whether_journals_are_the_same_do_not_mislead_each_other(
    files: tuple[Any, Any],
    opened: Callable[[Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = (Place(journal, "sqlite", "a name") for journal in files)
    # Another way to the first.
    again = Place(opened(SqliteJournal(tmp_path / "one")), "sqlite", "another")
    mark = SqlMoves.mark

    def and_somebody_else(self: SqlMoves, word: str) -> None:
        mark(self, word)
        monkeypatch.setattr(SqlMoves, "mark", mark)
        assert two.is_same(one) is False
        assert one.is_same(again) is True

    monkeypatch.setattr(SqlMoves, "mark", and_somebody_else)
    assert one.is_same(again) is True
    left = "SELECT count(*) FROM meta WHERE key LIKE 'copying%'"
    assert files[0].query(lambda db: db.execute(left).fetchall()) == [(0,)]


def test_a_copy_that_is_broken_off_leaves_no_half_run_and_goes_on(
    pair: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    begin(source, "first", 2)
    rich(source, "r", tmp_path)
    rows = SqlMoves.rows

    def broken(self: SqlMoves, run: str, after: int = 0) -> Iterator[tuple[int, str]]:
        for number, row in rows(self, run, after):
            if run == "r" and number == 1200:
                raise JournalError("the wire was cut")
            yield number, row

    monkeypatch.setattr(SqlMoves, "rows", broken)
    with pytest.raises(JournalError, match="wire"):
        copy(source, target, "first", "r", move=True)
    assert [row.id for row in target.runs()] == ["first"]
    assert [row.id for row in source.runs()] == ["r"]
    monkeypatch.undo()
    assert did(copy(source, target, "r", move=True)) == ["moved"]
    assert len(list(target.read("r"))) == 1503 and source.runs() == []


@pytest.mark.parametrize("pieces", [[], [b"said "]], ids=["nothing", "half"])
def test_what_calls_have_said_comes_along_though_a_copy_was_broken_off_before_it(
    pair: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    source, target = pair
    rich(source, "r", tmp_path)
    before = whole(source, "r")
    put = target.logs.put

    def cut(run: str, call: Call, data: bytes) -> None:
        for piece in pieces:
            put(run, call, piece)
        raise JournalError("the wire was cut")

    monkeypatch.setattr(target.logs, "put", cut)
    with pytest.raises(JournalError, match="wire"):
        copy(source, target, "r")
    assert [row.id for row in target.runs()] == ["r"]
    monkeypatch.undo()
    assert did(copy(source, target, "r", move=True)) == ["moved"]
    assert whole(target, "r") == before and source.runs() == []


def test_a_run_stays_if_what_its_calls_have_said_does_not_come(
    files: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = files
    rich(source, "r", tmp_path)
    monkeypatch.setattr(target.logs, "put", lambda run, call, data: None)
    (outcome,) = copy(source, target, "r", move=True)
    assert outcome.did == "refused" and "s#1 has said" in outcome.why
    assert source.logs.size("r", Call("s", 1)) == 150_000
    assert [row.id for row in source.runs()] == ["r"]


def test_what_calls_of_another_run_or_later_ones_have_said_is_not_written_over(
    files: tuple[Any, Any],
) -> None:
    source, target = files
    for run in ("same", "other"):
        begin(source, run, 3)
        source.logs.put(run, Call("s", 1), b"here")
    begin(target, "other", 2)
    target.logs.put("other", Call("s", 1), b"its own")
    assert did(copy(source, target, "same", "other")) == ["copied", "refused"]
    target.logs.put("same", Call("s", 1), b"here, and more")
    assert did(copy(source, target, "same", "other")) == ["already there", "refused"]
    assert target.logs.read("same", Call("s", 1)) == b"here, and more"
    assert target.logs.read("other", Call("s", 1)) == b"its own"


def test_bytes_that_are_damaged_are_not_copied(files: tuple[Any, Any], tmp_path: Path) -> None:
    source, target = files
    rich(source, "r", tmp_path)
    source.write(lambda db: db.execute("UPDATE parts SET data = x'00' WHERE part = 1"))
    begin(source, "whole", 2)
    outcomes = copy(source, target, "r", "whole", move=True)
    assert did(outcomes) == ["refused", "moved"] and "damaged" in outcomes[0].why
    assert [row.id for row in source.runs()] == ["r"]
    # Of what had come nothing half is left.
    whole_ones = "SELECT count(*) FROM blobs WHERE digest IS NULL"
    assert target.query(lambda db: db.execute(whole_ones).fetchall()) == [(0,)]


def test_files_that_several_runs_name_are_stored_once(
    files: tuple[Any, Any], tmp_path: Path
) -> None:
    source, target = files
    rich(source, "r", tmp_path)
    rich(source, "s", tmp_path)
    assert did(copy(source, target, "r", "s", move=True)) == ["moved", "moved"]
    assert target.query(lambda db: db.execute("SELECT count(*) FROM blobs").fetchall()) == [(2,)]
    target.remove(["r"])
    assert target.blobs.read(hashlib.sha256(FILE).hexdigest()) == FILE
    target.remove(["s"])
    left = target.query(lambda db: db.execute("SELECT count(*) FROM blobs").fetchall())
    assert left == [(0,)] and len(FILE) > blobs.PART
