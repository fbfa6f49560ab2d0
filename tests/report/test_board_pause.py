"""The board of a pausing run: no page and no event looks at all of the run."""

from __future__ import annotations

import pytest
from tests.insight.kit import new_machine, recorded
from tests.machines import Drive, step

from hocket.core.calls import Calls
from hocket.core.machine import Workflow
from hocket.core.run import RunMachine
from hocket.report import board as boards
from hocket.report.board import Board

WIDE = (step("a"), step("c"), *(step(f"b{number}", needs="a") for number in range(40)))


def test_pages_between_two_events_find_once_what_has_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drive = Drive(*WIDE).pause().done("a")
    board = Board(new_machine())
    for one in recorded(drive.events):
        board.add(one)
    whole = {row.id: row for row in board.rows()}
    found: list[int] = []
    made = boards.not_begun

    def not_begun(workflow: Workflow, calls: Calls) -> dict[str, None]:
        found.append(board.seq)
        return made(workflow, calls)

    monkeypatch.setattr(boards, "not_begun", not_begun)
    monkeypatch.setattr(RunMachine, "view", None)
    names = board.names()
    for start in range(0, len(names), 5):
        page = names[start : start + 5]
        assert board.rows(page) == [whole[name] for name in page]
    assert found == [board.seq]
    assert [row.st for row in board.rows(["b0", "c", "nobody"])] == ["pending", "running"]
    drive.done("c")
    board.add(recorded(drive.events)[-1])
    assert [row.st for row in board.rows(["b0", "c"])] == ["pending", "succeeded"]
    assert found == [board.seq - 1, board.seq]


@pytest.mark.parametrize("how", ["go_on", "cancel"])
def test_a_pause_is_looked_over_when_it_begins_and_when_it_ends(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(*WIDE).pause().done("a").wait(1).done("c")
    getattr(drive, how)()
    looked: list[str] = []
    made = boards.unstarted

    def unstarted(calls: Calls) -> list[str]:
        looked.append(board.machine.phase)
        return made(calls)

    monkeypatch.setattr(boards, "unstarted", unstarted)
    board = Board(new_machine())
    for one in recorded(drive.events):
        before = {row.id: row for row in board.rows(board.names())} if board.seq else {}
        board.add(one)
        after = {row.id: row for row in board.rows(board.names())}
        told = {change.name for change in board.since(board.seq - 1)}
        if before:
            assert {name for name, row in after.items() if before.get(name) != row} <= told
    assert looked[0] == "pausing" and len(looked) == 2
