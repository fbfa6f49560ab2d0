"""Files that are whole or not there, and folders that one process has at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hocket.core.errors import Refused
from hocket.population.files import LOCK, held, try_folder, whole, write_whole


def test_a_file_is_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"first")
    with pytest.raises(ZeroDivisionError), whole(path) as file:
        file.write(b"sec")
        assert path.read_bytes() == b"first"
        raise ZeroDivisionError
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode, "as any other file"


def test_one_that_is_in_the_way_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "file", b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_is_whole_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def sync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fsync", sync)
    write_whole(tmp_path / "file", b"x")
    assert synced[0].endswith(".part") and synced[1:] == [str(tmp_path)]


def test_a_folder_is_tried_before_the_work(tmp_path: Path) -> None:
    try_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"nothing can be written in .*file"):
        try_folder(tmp_path / "file")


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(Refused, match=rf"in use by process {os.getpid()} on .* since \d{{4}}-"),
        held(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    # What a killed process has left holds nobody up.
    (tmp_path / LOCK).write_text("process 1 on elsewhere, long ago, and more words than of others")
    with held(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} ")
        assert "others" not in (tmp_path / LOCK).read_text()
    with pytest.raises(Refused, match="nothing can be written"), held(tmp_path / "none"):
        pass
