"""The file itself: its format, its absence, damage, a full disk, a disk that cannot be written."""

import asyncio
import os
import runpy
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import HocketError, JournalError, NotFound
from hocket.core.requests import Pause
from hocket.core.values import Call
from hocket.journal import schema
from hocket.journal.schema import FILE, RESERVE, RESERVE_BYTES
from hocket.journal.sqlite import SqliteJournal

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]

Mount = Callable[..., None]


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def finished(number: int, output: Any = None) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("a", number), output=output)


async def make_run(state: Path, name: str = "r1") -> None:
    with SqliteJournal(state) as journal:
        log = await journal.start(started(name))
        await log.durable(log.append([finished(2, "two")]))
        await log.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A folder on a disk of its own; the second value mounts it with options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> None:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        mounted = "remount" not in options or mounted

    yield folder, mount
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_journal_that_is_only_read_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with SqliteJournal(state) as journal:
        assert journal.runs() == []
        assert journal.answer(1) is None
        assert journal.remove(["r1"]) == 0
        for ask in (
            lambda: journal.read("r1"),
            lambda: journal.post("r1", Pause()),
            lambda: journal.blobs.read("0" * 64),
            lambda: run(journal.resume("r1")),
        ):
            with pytest.raises(NotFound):
                ask()
    assert not state.exists()


def test_a_closed_journal_is_one_file_with_its_log_merged(tmp_path: Path) -> None:
    run(make_run(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {FILE, RESERVE}
    assert (tmp_path / RESERVE).stat().st_size == RESERVE_BYTES


def test_others_may_not_look_into_a_state_folder_that_was_made(tmp_path: Path) -> None:
    run(make_run(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    run(make_run(tmp_path))
    db = sqlite3.connect(tmp_path / FILE)
    assert db.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    assert dict(db.execute("SELECT key, value FROM meta"))["format"] == "4"
    assert db.execute("SELECT json_extract(data, '$.type') FROM events WHERE n = 2").fetchall() == [
        ("call_finished",)
    ]
    db.close()


def test_a_file_of_a_newer_hocket_is_refused_and_not_touched(tmp_path: Path) -> None:
    run(make_run(tmp_path))
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("UPDATE meta SET value = '999' WHERE key = 'format'")
    db.commit()
    db.close()
    before = (tmp_path / FILE).read_bytes()
    with SqliteJournal(tmp_path) as journal:
        for ask in (
            journal.runs,
            lambda: journal.post("r1", Pause()),
            lambda: run(journal.start(started("r2"))),
            lambda: run(journal.resume("r1")),
        ):
            with pytest.raises(JournalError, match=r"made by a newer Hocket \(format 999"):
                ask()
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_file_of_an_older_format_is_migrated_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run(make_run(tmp_path))

    def m005_colours(db: schema.Database) -> None:
        db.execute("ALTER TABLE runs ADD COLUMN colour TEXT")
        db.execute("UPDATE runs SET colour = 'green'")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, m005_colours))
    with SqliteJournal(tmp_path) as journal:
        if how == "write":
            run(journal.start(started("r2")))
        assert [item.seq for item in journal.read("r1")] == [1, 2]
    db = sqlite3.connect(tmp_path / FILE)
    assert db.execute("SELECT colour FROM runs WHERE id = 'r1'").fetchall() == [("green",)]
    assert dict(db.execute("SELECT key, value FROM meta"))["format"] == "5"
    db.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_run(tmp_path))

    def m005_broken(db: schema.Database) -> None:
        db.execute("DROP TABLE events")
        db.execute("SELECT * FROM nothing")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, m005_broken))
        with SqliteJournal(tmp_path) as journal, pytest.raises(JournalError, match="nothing"):
            run(journal.start(started("r2")))
    with SqliteJournal(tmp_path) as journal:
        assert [item.seq for item in journal.read("r1")] == [1, 2]


def test_what_is_no_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, but long enough to be one" * 200)
    before = (tmp_path / FILE).read_bytes()
    with SqliteJournal(tmp_path) as journal:
        for ask in (journal.runs, lambda: run(journal.start(started("r1")))):
            with pytest.raises(JournalError, match="damaged or not a database"):
                ask()
    assert (tmp_path / FILE).read_bytes() == before


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("CREATE TABLE songs (name)")
    db.close()
    with SqliteJournal(tmp_path) as journal:
        for ask in (journal.runs, lambda: run(journal.start(started("r1")))):
            with pytest.raises(JournalError, match="another program"):
                ask()


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with SqliteJournal(tmp_path) as journal:
        assert journal.runs() == []
        run(journal.start(started("r1")))
        assert len(journal.runs()) == 1


def test_a_damaged_event_is_named_by_its_number(tmp_path: Path) -> None:
    run(make_run(tmp_path))
    db = sqlite3.connect(tmp_path / FILE)
    db.execute('UPDATE events SET data = \'{"type":"call_fin\' WHERE n = 2')
    db.commit()
    db.close()
    with SqliteJournal(tmp_path) as journal, pytest.raises(JournalError, match="event 2 cannot"):
        list(journal.read("r1"))


def test_a_missing_event_is_noticed(tmp_path: Path) -> None:
    run(make_run(tmp_path))
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("DELETE FROM events WHERE n = 1")
    db.commit()
    db.close()
    with SqliteJournal(tmp_path) as journal, pytest.raises(JournalError, match="event 1 is miss"):
        list(journal.read("r1"))


def test_many_processes_may_begin_the_same_file_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        journals = [SqliteJournal(tmp_path) for _ in range(8)]
        await asyncio.gather(*(j.start(started(f"r{i}")) for i, j in enumerate(journals)))
        for journal in journals:
            assert len(journal.runs()) == 8
            journal.close()

    run(main())


def test_removing_runs_gives_room_back_to_the_disk(tmp_path: Path) -> None:
    async def fill(journal: SqliteJournal) -> None:
        log = await journal.start(started("big"))
        await log.durable(log.append([finished(n, f"{n}" * 10_000) for n in range(2, 60)]))
        await log.durable(log.append([finished(60, "y" * 5_000_000)]))
        await log.close()

    with SqliteJournal(tmp_path) as journal:
        run(fill(journal))
        assert journal.remove(["big"]) > 5_000_000
    assert (tmp_path / FILE).stat().st_size < 500_000


def test_a_full_disk_loses_nothing_acknowledged_and_gives_the_run_up(
    disk: tuple[Path, Mount],
) -> None:
    state, mount = disk
    mount("size=6m")
    acknowledged = 1

    async def fill() -> None:
        nonlocal acknowledged
        journal = SqliteJournal(state)
        log = await journal.start(started("r1"))
        with pytest.raises(JournalError, match="is full"):
            while True:
                seq = log.append([finished(k, os.urandom(9_000).hex()) for k in range(3)])
                queued = log.append([finished(9, "behind")])
                await log.durable(seq)
                acknowledged = seq
        with pytest.raises(JournalError, match="is full"):
            await log.durable(queued)
        with pytest.raises(JournalError, match="is full"):
            log.append([finished(1)])
        assert len(list(journal.read("r1"))) >= acknowledged
        (row,) = journal.runs()
        assert row.owner == ""
        await log.close()
        journal.close()

    run(fill())
    assert acknowledged > 10
    assert not (state / RESERVE).exists()
    db = sqlite3.connect(state / FILE)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    mount("remount,size=12m")

    async def go_on() -> None:
        with SqliteJournal(state) as journal:
            log = await journal.resume("r1")
            assert log.seq >= acknowledged
            await log.durable(log.append([finished(1)]))
            assert (state / RESERVE).exists()

    run(go_on())


def test_a_file_too_large_for_the_disk_fails_alone(disk: tuple[Path, Mount]) -> None:
    state, mount = disk
    mount("size=6m")

    async def main() -> None:
        with SqliteJournal(state) as journal:
            log = await journal.start(started("r1"))
            big = state.parent / "big"
            big.write_bytes(os.urandom(8 * 1024 * 1024))
            with pytest.raises(JournalError, match="is full"):
                journal.blobs.put(big, "big")
            await log.durable(log.append([finished(2)]))

    run(main())


def test_with_room_again_the_same_process_goes_on(disk: tuple[Path, Mount]) -> None:
    state, mount = disk
    mount("size=6m")

    async def main() -> None:
        with SqliteJournal(state) as journal:
            log = await journal.start(started("r1"))
            filler = state / "filler"
            filler.write_bytes(bytes(4_300_000))
            with pytest.raises(schema.NoRoom):
                while True:
                    seq = log.append([finished(k, os.urandom(9_000).hex()) for k in range(3)])
                    await log.durable(seq)
            acknowledged = [item.seq for item in journal.read("r1")]
            with pytest.raises(schema.NoRoom):
                await journal.resume("r1")
            filler.unlink()
            again = await journal.resume("r1")
            assert again.seq == acknowledged[-1]
            await again.durable(again.append([finished(1)]))
            assert (state / RESERVE).exists()
            with pytest.raises(schema.NoRoom):
                log.append([finished(1)])
            assert [item.seq for item in journal.read("r1")] == [*acknowledged, again.seq]

    run(main())


def test_what_is_made_in_a_folder_open_to_others_is_not(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)

    async def main() -> None:
        with SqliteJournal(state) as journal:
            await journal.start(started("r1"))
            modes = {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()}
            bells = [name for name in modes if name.startswith("bell-")]
            assert len(bells) == 1
            del modes[bells[0]]
            assert len(modes) == 4 and set(modes.values()) == {0o600}, modes

    run(main())


def test_a_folder_that_cannot_be_written_is_named_in_one_sentence(
    disk: tuple[Path, Mount],
) -> None:
    state, mount = disk
    mount("size=6m")
    run(make_run(state))
    mount("remount,ro")
    with SqliteJournal(state) as journal:
        assert [item.seq for item in journal.read("r1")] == [1, 2]
        assert len(journal.runs()) == 1
        for ask in (
            lambda: run(journal.start(started("r2"))),
            lambda: run(journal.resume("r1")),
            lambda: journal.post("r1", Pause()),
            lambda: journal.remove(["r1"]),
        ):
            with pytest.raises(JournalError, match=r"cannot be written .*HOCKET_HOME") as caught:
                ask()
            assert "\n" not in str(caught.value)


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = SqliteJournal(tmp_path / "file" / "state")
    with pytest.raises(HocketError, match="cannot be written"):
        run(journal.start(started("r1")))
    journal.close()


def test_a_file_that_changes_while_it_is_stored_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with SqliteJournal(tmp_path / "state") as journal:
        monkeypatch.setattr(
            "hocket.journal.blobs._digest_of", lambda path: ("0" * 64, path.stat().st_size)
        )
        with pytest.raises(JournalError, match="changed while"):
            journal.blobs.put(path, "file")
        with pytest.raises(NotFound):
            journal.blobs.read("0" * 64)
        assert journal.query(lambda db: db.execute("SELECT count(*) FROM parts").fetchone()) == (0,)
