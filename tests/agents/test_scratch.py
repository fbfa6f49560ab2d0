"""Folders that are one process's: no live one's is ever swept, wherever its process runs."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.agents.holders import ELSEWHERE, holder, need_elsewhere

from hocket.agents import scratch
from hocket.agents.scratch import LOCK, claim, remove, sweep

HOLD = """
import os, sys
from pathlib import Path
from hocket.agents.scratch import claim
base = Path(sys.argv[1])
held = claim(base, "x-").path
(held / "inner").mkdir()
(held / "inner" / "file").write_text("mine")
print(os.getpid(), held, flush=True)
"""


class Using(NamedTuple):
    """A process that uses a folder.

    Fields:
        popen: What was started.
        pid: The id that the process has for itself.
        folder: What it uses.
    """

    popen: subprocess.Popen[str]
    pid: int
    folder: Path


@contextmanager
def using(base: Path, *, within: Sequence[str] = ()) -> Iterator[Using]:
    """Have another process use a folder until the end of the block."""
    with holder(HOLD, str(base), within=within) as (popen, said):
        pid, _, folder = said.partition(" ")
        yield Using(popen, int(pid), Path(folder))


def test_what_a_killed_process_has_left_is_swept_and_no_other_folder(tmp_path: Path) -> None:
    mine = claim(tmp_path, "x-")
    (tmp_path / "x-of-another-kind").mkdir()
    other = claim(tmp_path, "y-")
    with using(tmp_path) as its, using(tmp_path) as lives:
        assert sweep(tmp_path, "x-") == []
        its.popen.send_signal(signal.SIGKILL)
        its.popen.wait()
        told: list[str] = []
        swept = sweep(tmp_path, "x-", lambda path: told.extend(os.listdir(path / "inner")))
        assert swept == [its.folder] and not its.folder.exists()
        assert told == ["file"], "it is told of while it is there"
        assert (lives.folder / "inner" / "file").read_text() == "mine"
    assert mine.path.exists() and other.path.exists() and (tmp_path / "x-of-another-kind").exists()
    assert sweep(tmp_path, "x-") == [lives.folder]
    for one in (mine, other):
        one.drop()
        one.drop()
    assert os.listdir(tmp_path) == ["x-of-another-kind"]


def test_a_live_process_of_another_pid_namespace_keeps_its_folder(tmp_path: Path) -> None:
    need_elsewhere()
    with using(tmp_path, within=ELSEWHERE) as its:
        assert its.pid != its.popen.pid, "its own number says nothing here"
        assert sweep(tmp_path, "x-") == []
        # Nor does anybody there see whose the folders of this namespace are.
        mine = claim(tmp_path, "x-")
        look = (
            "import sys; from pathlib import Path; from hocket.agents.scratch import sweep; "
            "print(sweep(Path(sys.argv[1]), 'x-'))"
        )
        found = subprocess.run(
            [*ELSEWHERE, sys.executable, "-c", look, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == "[]"
        assert (its.folder / "inner" / "file").exists() and mine.path.exists()
        its.popen.kill()
        its.popen.wait()
        assert its.popen.stdout is not None and its.popen.stdout.read() == "", "it has ended"
    assert sweep(tmp_path, "x-") == [its.folder]


def test_a_folder_that_is_swept_before_it_is_locked_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        if not swept:
            monkeypatch.setattr(fcntl, "flock", lock)
            swept.extend(sweep(tmp_path, "x-"))
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    mine = claim(tmp_path, "x-")
    assert len(swept) == 1 and swept != [mine.path]
    assert os.listdir(tmp_path) == [mine.path.name]
    mine.drop()


def test_a_sweep_that_is_cut_short_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with using(tmp_path) as its:
        pass

    def cut(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scratch, "remove", cut)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, "x-")
    assert (its.folder / LOCK).exists()
    assert sweep(tmp_path, "x-") == [its.folder]


def test_where_there_are_no_locks_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with using(tmp_path) as its:
        pass

    def refused(handle: int, how: int) -> None:
        raise OSError(reason, os.strerror(reason))

    reason = errno.ENOSYS
    monkeypatch.setattr(fcntl, "flock", refused)
    mine = claim(tmp_path, "x-")
    assert sweep(tmp_path, "x-") == [] and its.folder.exists() and mine.path.exists()
    mine.drop()
    # A lock that is not to be had now may be had by a sweep a moment later.
    reason = errno.ENOLCK
    with pytest.raises(OSError, match="locks"):
        claim(tmp_path, "x-")
    assert sweep(tmp_path, "x-") == [] and os.listdir(tmp_path) == [its.folder.name]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / LOCK).touch()
    (precious / "file").touch()
    (tmp_path / "x-link").symlink_to(precious)
    assert sweep(tmp_path, "x-") == []
    with using(tmp_path) as its:
        (its.folder / "link").symlink_to(precious)
    assert sweep(tmp_path, "x-") == [its.folder]
    assert (precious / "file").exists()


def test_what_was_made_unreadable_is_removed_as_well(tmp_path: Path) -> None:
    inner = tmp_path / "one" / "two" / "three"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    for folder in (inner, inner.parent, inner.parent.parent):
        folder.chmod(0)
    remove(tmp_path / "one")
    assert os.listdir(tmp_path) == []
