"""The end of a log: whole characters, carriage returns folded, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from hocket.server.tail import MOST_BEHIND, MOST_READ, Tail, folded


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
    data, tail, shown, at = said.encode(), Tail(path), "", 0
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
    tail = Tail(path)
    first = tail.read(ended=False)
    assert first is not None and first.text == "a"
    assert tail.read(ended=False) is None
    last = tail.read(ended=True)
    assert last is not None and last.text == "�" and tail.read(ended=True) is None


def test_a_flood_of_carriage_returns_does_not_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\r" * (MOST_READ + 10) + b"x\n")
    tail, shown = Tail(path), ""
    for _ in range(3):
        piece = tail.read(ended=True)
        shown = put(shown, "" if piece is None else piece.text)
    assert shown == "x\n"


def test_who_is_far_behind_gets_the_end_from_a_whole_line_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = b"".join(b"line %08d\n" % n for n in range(2 * MOST_BEHIND // 14))
    path.write_bytes(lines)
    tail = Tail(path)
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
    (tmp_path / "log").symlink_to(tmp_path / "secret")
    assert Tail(tmp_path / "log").read(ended=True) is None
    assert Tail(tmp_path / "none").read(ended=True) is None


def test_lines_end_as_they_do_on_windows() -> None:
    assert folded("a\r\nb\rc\r\nd\r") == "a\nc\nd"
