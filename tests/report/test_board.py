"""The board of a run: whatever has been sent of it in pieces is what it is as a whole."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from tests.insight.kit import new_machine, recorded
from tests.insight.random_runs import QuickTeamWorld, events_of

from hocket.core.events import AnyEvent, Recorded, SpecReplaced
from hocket.insight.tally import Tally
from hocket.report.board import Board
from hocket.report.board_rows import CallRow, Row, ms


class Reader:
    """Someone who keeps what he is sent of a board, as a page does."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.seen: int | None = None
        self.rows: dict[str, Row] = {}
        self.calls: dict[str, CallRow] = {}
        self.head: dict[str, Any] = {}

    def look(self) -> None:
        board = self.board
        if self.seen is None or self.seen < board.born:
            self.rows = {row.id: row for row in board.rows(board.names())}
            self.calls = {name: copy(row) for name, row in board.calls.items()}
            self.head = board.head()
        else:
            names = [change.name for change in board.since(self.seen)]
            rows = {row.id: row for row in board.rows(names)}
            for name in names:
                if name in rows:
                    self.rows[name] = rows[name]
                else:
                    self.rows.pop(name, None)
            for change in board.calls_since(self.seen):
                self.calls[change.name] = copy(board.calls[change.name])
            self.head |= board.head(self.seen)
        self.seen = board.seq


def copy(row: CallRow) -> CallRow:
    return msgspec.convert(msgspec.to_builtins(row), CallRow)


def board_of(events: list[Recorded]) -> Board:
    board = Board(new_machine())
    for event in events:
        board.add(event)
    return board


def judge(events: list[AnyEvent], draw: Random) -> None:
    so_far = recorded(events)
    board = Board(new_machine())
    readers = [Reader(board), Reader(board), Reader(board)]
    for place, event in enumerate(so_far, 1):
        board.add(event)
        for reader, often in zip(readers, (0.5, 0.1, 0.02), strict=True):
            if draw.random() < often or place == len(so_far):
                reader.look()
                if place % 10 == 0 or place == len(so_far):
                    compare(reader, so_far[:place])


def compare(reader: Reader, events: list[Recorded]) -> None:
    """What was sent in pieces is what a new board says, and the machine itself."""
    fresh = board_of(events)
    whole = fresh.rows()
    assert reader.rows == {row.id: row for row in whole}
    assert fresh.names() == [row.id for row in whole]
    assert reader.calls == fresh.calls
    assert reader.head == fresh.head()
    # As `hocket show` counts: from the run's start to its last event.
    machine = fresh.machine
    assert reader.head["began"] == ms(events[0].event.at)
    assert reader.head["flying"] == len(fresh.flying)
    rests = machine.said in ("paused", "succeeded", "failed", "cancelled")
    assert reader.head["rested"] == (ms(events[-1].event.at) if rests else None)
    views = fresh.machine.view()
    assert [(row.id, row.k, row.st, row.done, row.of) for row in whole] == [
        (view.path, view.kind, view.status, view.done, view.total) for view in views
    ]
    if any(isinstance(event.event, SpecReplaced) for event in events):
        # Steps may be gone that have spent something.
        return
    tally = Tally(event.event for event in events)
    left = [row for row in fresh.calls.values() if row.t0 is not None]
    top = [row for row in whole if "/" not in row.id and "~" not in row.id]
    assert sum(row.n for row in top) == len(left)
    assert sum(round(row.usd * 1e12) for row in top) == tally.cost
    assert sum(row.up for row in top) == tally.unpriced


@pytest.mark.parametrize("seed", range(33))
def test_rows_sent_in_any_batches_add_up(seed: int) -> None:
    judge(events_of(seed), Random(f"{seed}/board"))


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_teams_add_up(seed: int) -> None:
    judge(QuickTeamWorld(seed).live().events, Random(f"{seed}/teams"))
