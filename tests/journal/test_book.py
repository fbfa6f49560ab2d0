"""The duration book in its file: what a row looks like, and what becomes of a damaged one."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from hocket.core.errors import JournalError
from hocket.journal.base import KEPT_SAMPLES, Sample
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal

OLD = Path(__file__).parent.parent / "histories" / "0.1.0" / FILE


def sample(took: int, step: str = "s", **spent: int) -> Sample:
    return Sample(plan="p", step=step, agent="a", took=took, **spent)


def rows(state: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(state / FILE)
    try:
        return db.execute("SELECT * FROM durations ORDER BY step").fetchall()
    finally:
        db.close()


def test_a_step_and_an_agent_have_one_small_row(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        journal.book.record([sample(12, tokens_in=3, cost=5), sample(13)])
        journal.book.record([sample(1, step="t")] * 1000)
    first, second = rows(tmp_path)
    assert first == ("p", "s", "a", 2, "[[12,3,null,5],[13,null,null,null]]")
    assert second[3] == 1000
    assert second[4] == "[" + ",".join(["[1,null,null,null]"] * KEPT_SAMPLES) + "]"


def test_a_damaged_row_is_named_and_the_others_are_not_lost(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        journal.book.record([sample(1), sample(2, step="t")])
        with sqlite3.connect(tmp_path / FILE) as db:
            db.execute("UPDATE durations SET samples = '[[1' WHERE step = 's'")
        db.close()
        for ask in (lambda: journal.book.read("p"), lambda: journal.book.record([sample(3)])):
            with pytest.raises(JournalError, match="durations of step s of plan p cannot be read"):
                ask()
        journal.book.record([sample(3, step="t")])
    assert [row[3] for row in rows(tmp_path)] == [1, 2]


def test_a_book_that_is_only_read_leaves_nothing_behind(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "state") as journal:
        assert journal.book.read("p") == []
        journal.book.record([])
    assert not (tmp_path / "state").exists()


def test_an_old_file_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    state = tmp_path / "disk"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    try:
        done = subprocess.run(
            [*mount, "size=6m", "tmpfs", str(state)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        shutil.copy(OLD, state / FILE)
        subprocess.run([*mount, "remount,ro", "tmpfs", str(state)], check=True)
        with SqliteJournal(state) as journal:
            assert {row.id for row in journal.runs()} >= {"whole", "unfinished"}
            assert list(journal.read("whole"))
            assert journal.book.read("p") == []
            with pytest.raises(JournalError, match="cannot be written"):
                journal.book.record([sample(1)])
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)
