"""A run's head: all counts from the run's start, and what went down with a process is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.insight.kit import new_machine, recorded
from tests.machines import Drive, plan, step
from tests.server.kit import PLANS, serving

from hocket.core.events import Forecasted
from hocket.core.values import SECOND
from hocket.report.board import Board
from hocket.report.board_head import eta
from hocket.server.frames import Frames, Place
from hocket.server.heads import Head, joined
from hocket.workflows.plan import PlanMachine

HERE = {"owner": "h:1", "alive": True, "here": True, "waits": []}
GONE = {"owner": "h:1", "alive": False, "here": False, "waits": []}


def board_of(drive: Drive) -> Board:
    board = Board(new_machine())
    for one in recorded(drive.events):
        board.add(one)
    return board


def pushed(frames: Frames) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(frames.next("run", Place(frames.stretch("run", None))).text)[
        "head"
    ]
    return head


def test_calls_that_went_down_with_their_process_are_told() -> None:
    drive = Drive(plan(step("a"), step("b"), step("c")))
    drive.wait(3).done("c")
    board = board_of(drive)
    gone = joined(board.head(), GONE)
    assert (gone["status"], gone["flying"], gone["interrupted"]) == ("running", 2, 2)
    assert gone["rested"] == gone["at"] == drive.at / 1e6
    here = joined(board.head(), HERE)
    assert (here["flying"], here["interrupted"], here["rested"]) == (2, 0, None)
    frames = Frames("r", board)
    assert pushed(frames)["interrupted"] == 0
    frames.tell(GONE)
    assert (pushed(frames)["interrupted"], pushed(frames)["alive"]) == (2, False)


def test_a_paused_run_rests_since_its_last_event() -> None:
    drive = Drive(plan(step("a"), step("b", needs=("a",))))
    drive.wait(3).pause()
    assert joined(board_of(drive).head(), HERE)["rested"] is None, "a call is in flight"
    drive.wait(4).done("a")
    head = joined(board_of(drive).head(), HERE)
    assert (head["status"], head["rested"] - head["began"]) == ("paused", 7 * SECOND / 1e6)
    assert joined(board_of(drive.go_on()).head(), HERE)["rested"] is None


def test_the_head_of_a_paused_run_looks_at_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(plan(step("a"), *(step(f"b{number}", needs="a") for number in range(9))))
    board = board_of(drive.pause().done("a"))
    monkeypatch.setattr(PlanMachine, "view", None)
    assert joined(board.head(), HERE)["steps"] == {"succeeded": 1, "pending": 9}


def foreseen(drive: Drive, seconds: float = 60) -> Drive:
    """The end is forecast, so many seconds from now."""
    at = drive.at + round(seconds * SECOND)
    return drive.apply(Forecasted(at=drive.at, finish=at, low=at - SECOND, high=at + SECOND))


def test_no_end_is_promised_while_only_people_are_waited_for() -> None:
    sure = step("sure", kind="approve", input="Publish it?")
    drive = foreseen(Drive(plan(step("a"), sure, step("b", needs=("sure",)))))
    told = {"low": drive.at / 1e6 + 59e3, "high": drive.at / 1e6 + 61e3}
    assert eta(drive.machine) == {**told, "finish": drive.at / 1e6 + 60e3}, "a call is under way"
    assert board_of(drive).head()["eta"] == eta(drive.machine)
    drive.done("a")
    assert eta(drive.machine) is None
    assert board_of(drive).head()["eta"] is None
    drive.approve("sure")
    assert eta(drive.machine) is not None
    drive.pause()
    assert eta(drive.machine) is None, "it does not go on"
    drive.go_on()
    assert eta(drive.machine) is not None
    drive.done("b")
    assert drive.phase == "succeeded"
    assert eta(drive.machine) is None


def test_a_call_that_asks_somebody_waits_for_people_too() -> None:
    drive = foreseen(Drive(plan(step("a"), step("b"))))
    question = drive.asks("a")
    assert eta(drive.machine) is not None, "b goes on"
    drive.done("b")
    assert eta(drive.machine) is None
    drive.approve(question)
    assert eta(drive.machine) is not None


def test_the_head_is_what_the_api_says_it_is(tmp_path: Path) -> None:
    file = tmp_path / "plans.yaml"
    file.write_text(PLANS)
    with serving(tmp_path / "state", [file]) as served:
        for name, status in (("say", "succeeded"), ("ask", "running"), ("fail", "failed")):
            served.post("/api/runs", {"plan": name, "run_id": name})
            served.until(name, status)
            head = served.get(f"/api/runs/{name}")
            assert msgspec.to_builtins(msgspec.convert(head, Head)) == head
            document = served.get("/openapi.json")["components"]["schemas"]["Head"]
            assert document["properties"].keys() == head.keys()
