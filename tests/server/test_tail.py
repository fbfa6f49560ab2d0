"""The end of a log: whole characters, carriage returns folded, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from hocket.core.values import Call
from hocket.journal.logs import CallLog, FileLogs
from hocket.server.tail import MOST_BEHIND, MOST_READ, Tail, folded


class Log:
    """A log in a file, as the port of logs reads it."""

    period = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int | None:
        """Give how long it is."""
        return self._path.stat().st_size if self._path.exists() else None

    def read(self, start: int, size: int) -> bytes:
        """Give a stretch."""
        return self._path.read_bytes()[start : start + size]


def screen(text: str) -> str:
    """What a terminal shows of a text."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        lines.append(line.rstrip("\r").rpartition("\r")[2])
    return "\n".join(lines)


def put(shown: str, text: str) -> str:
    """Add a piece as a page does: a carriage return takes the unfinished line away."""
    if text.startswith("\r"):
        shown, text = shown[: shown.rfind("\n") + 1], text[1:]
    return shown + text


@pytest.mark.parametrize("seed", range(40))
def test_pieces_add_up_wherever_the_log_is_cut(tmp_path: Path, seed: int) -> None:
    draw, path = Random(seed), tmp_path / "log"
    parts = ("a", "é", "漢", "🎵", "\n", "\r", "\r\n", "50 %", "\x00")
    said = "".join(draw.choice(parts) for _ in range(300))
    data, tail, shown, at = said.encode(), Tail(Log(path)), "", 0
    while at < len(data):
        size = draw.choice((1, 2, 3, 7, 40))
        with path.open("ab") as file:
            file.write(data[at : at + size])
        at += size
        if draw.random() < 0.6 and (piece := tail.read(ended=False)) is not None:
            assert piece.end == tail.at and "�" not in piece.text
            shown = put(shown, piece.text)
    while (piece := tail.read(ended=True)) is not None:
        shown = put(shown, piece.text)
    assert tail.at == len(data)
    assert shown == screen(said)


def test_what_is_broken_in_the_log_itself_is_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\xe6\xbc")
    tail = Tail(Log(path))
    first = tail.read(ended=False)
    assert first is not None and first.text == "a"
    assert tail.read(ended=False) is None
    last = tail.read(ended=True)
    assert last is not None and last.text == "�" and tail.read(ended=True) is None


def test_a_flood_of_carriage_returns_does_not_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\r" * (MOST_READ + 10) + b"x\n")
    tail, shown = Tail(Log(path)), ""
    for _ in range(3):
        piece = tail.read(ended=True)
        shown = put(shown, "" if piece is None else piece.text)
    assert shown == "x\n"


def test_who_is_far_behind_gets_the_end_from_a_whole_line_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = b"".join(b"line %08d\n" % n for n in range(2 * MOST_BEHIND // 14))
    path.write_bytes(lines)
    tail = Tail(Log(path))
    piece = tail.read(ended=False)
    assert piece is not None and piece.skipped > MOST_BEHIND // 2
    assert piece.start == piece.skipped and piece.text.startswith("line ")
    rest = piece.text
    while (piece := tail.read(ended=False)) is not None:
        assert not piece.skipped
        rest += piece.text
    assert lines.decode().endswith(rest)


def test_no_log_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    logs, call = FileLogs(tmp_path), Call("step", 1)
    logs.folder("run").mkdir(parents=True)
    logs.file("run", call).symlink_to(tmp_path / "secret")
    assert logs.size("run", call) is None and logs.read("run", call) == b""
    assert Tail(CallLog(logs, "run", call)).read(ended=True) is None
    assert Tail(CallLog(logs, "none", call)).read(ended=True) is None


def test_lines_end_as_they_do_on_windows() -> None:
    assert folded("a\r\nb\rc\r\nd\r") == "a\nc\nd"
