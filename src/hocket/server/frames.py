"""What is sent of a run: its rows in frames of a bounded size, encoded once for all who see alike.

A frame says with `p` after which event its reader has seen the run, and with `s` up to which event
he has once he has taken the frame in.
A row is always sent as it is now, which may be later than `s`: to take it in again does no harm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from hocket.report.board import Board
from hocket.server.heads import joined

MOST_BYTES: Final = 48_000
"""The most bytes of a frame."""
MOST_NAMES: Final = 400
"""The most rows of a frame, so that none takes long to make."""
_KEPT_BYTES: Final = 2_000_000
_ROOM: Final = 400
"""For what stands around the rows."""

Kind: TypeAlias = Literal["run", "calls"]

encode: Final = msgspec.json.Encoder().encode


class Stretch(NamedTuple):
    """What one reader is to be sent: all rows, or those that have changed.

    Fields:
        after: The last event that he has seen; None if he gets all rows.
        until: The last event that he has seen afterwards.
        names: The rows.
        seqs: The last event that changed each of them; empty if he gets all.
    """

    after: int | None
    until: int
    names: Sequence[str]
    seqs: Sequence[int]


class Place(NamedTuple):
    """How far a reader has come in a stretch: the next row, and the number of the next page."""

    stretch: Stretch
    at: int = 0
    page: int = 0
    seen: int | None = None


class Frame(NamedTuple):
    """A frame, and where its reader goes on: nowhere if the stretch is at its end."""

    text: str
    seen: int
    rest: Place | None


class Frames:
    """Makes the frames of one run, and keeps the latest: readers who are equally far share them.

    Args:
        run: The run's id.
        board: The run as it is now.
    """

    def __init__(self, run: str, board: Board) -> None:
        self.board = board
        self.aside: dict[str, Any] = {}
        """What the head says beyond what the run's events do."""
        self.aside_at = 0
        """How often that has changed."""
        self._run = encode(run).decode()
        self._stretches: OrderedDict[tuple[Kind, int | None], Stretch] = OrderedDict()
        self._frames: OrderedDict[tuple[Any, ...], Frame] = OrderedDict()
        self._bytes = 0

    def tell(self, aside: dict[str, Any]) -> bool:
        """Take in what is known of the run beyond its events; tells whether it is new."""
        if aside == self.aside:
            return False
        self.aside = aside
        self.aside_at += 1
        return True

    def stretch(self, kind: Kind, seen: int | None) -> Stretch:
        """Say what somebody is to be sent who has seen the run up to an event."""
        board = self.board
        if seen is not None and not board.born <= seen <= board.seq:
            seen = None
        key = kind, seen
        known = self._stretches.get(key)
        if known is not None and known.until == board.seq:
            return known
        if seen is None:
            names = board.names() if kind == "run" else list(board.calls)
            found = Stretch(None, board.seq, names, ())
        else:
            changes = board.since(seen) if kind == "run" else board.calls_since(seen)
            found = Stretch(
                seen, board.seq, [one.name for one in changes], [one.seq for one in changes]
            )
        self._stretches[key] = found
        while len(self._stretches) > 8:
            self._stretches.popitem(last=False)
        return found

    def next(self, kind: Kind, place: Place) -> Frame:
        """Give the next frame of a stretch."""
        stretch = place.stretch
        key = kind, stretch.after, stretch.until, place.at, place.seen, self.aside_at
        known = self._frames.get(key)
        if known is None:
            known = self._frames[key] = self._make(kind, place)
            self._bytes += len(known.text)
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._frames.popitem(last=False)[1].text)
        return known

    # -- within -----------------------------------------------------------------------------

    def _make(self, kind: Kind, place: Place) -> Frame:
        stretch, whole = place.stretch, place.stretch.after is None
        parts: list[str] = []
        room = MOST_BYTES - _ROOM - len(self._run)
        if kind == "run" and place.at == 0:
            head = encode(joined(self.board.head(stretch.after), self.aside))
            room -= len(head)
            parts.append(f'"head":{head.decode()}')
        names = stretch.names[place.at : place.at + MOST_NAMES]
        if kind == "run":
            taken = self._rows(names, room, parts)
        else:
            taken = self._calls(names, room, parts)
        index = place.at + taken
        more = index < len(stretch.names)
        seen = stretch.until
        if more and not whole:
            # What follows has changed later than this, or by the same event.
            seen = min(max(stretch.seqs[index] - 1, place.seen or 0), stretch.until)
        before = "null" if place.seen is None else str(place.seen)
        said = f'"t":"{kind}","run":{self._run},"p":{before},"s":{seen}'
        if whole:
            said += f',"snap":true,"page":{place.page},"more":{"true" if more else "false"}'
        text = "{" + ",".join([said, *parts]) + "}"
        rest = Place(stretch, index, place.page + 1, seen) if more else None
        return Frame(text, seen, rest)

    def _rows(self, names: Sequence[str], room: int, parts: list[str]) -> int:
        """Write as many rows as fit; gives how many names they are for."""
        rows = {row.id: row for row in self.board.rows(names)}
        lines: list[bytes] = []
        gone: list[bytes] = []
        taken = 0
        for name in names:
            row = rows.get(name)
            line = encode(name) if row is None else encode(row)
            room -= len(line) + 1
            if room < 0 and taken:
                break
            (gone if row is None else lines).append(line)
            taken += 1
        _write(parts, "rows", lines)
        _write(parts, "gone", gone)
        return taken

    def _calls(self, names: Sequence[str], room: int, parts: list[str]) -> int:
        lines: list[bytes] = []
        for name in names:
            line = encode(self.board.calls[name])
            room -= len(line) + 1
            if room < 0 and lines:
                break
            lines.append(line)
        _write(parts, "calls", lines)
        return len(lines)


def _write(parts: list[str], name: str, lines: list[bytes]) -> None:
    if lines:
        parts.append(f'"{name}":[{b",".join(lines).decode()}]')
