"""Runs that have not ended are told of up to the present, whoever drives them."""

from __future__ import annotations

from tests.insight.kit import chain, folded, named, run, shares
from tests.machines import Drive, step

from hocket.core.events import CallStarted
from hocket.core.specs import AgentSpec, LimitSpec, Rate, Retry, StepSpec
from hocket.core.values import SECOND
from hocket.insight.trace import Stop, Trace


def later(drive: Drive, until: float, *, driven: bool = True) -> Trace:
    return folded(drive.events, until, driven=driven)


def test_a_call_in_flight_is_at_work_until_now() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(1)
    drive.done("x")
    found = later(drive, 6)

    assert found.status == "running" and found.took == 6 * SECOND
    assert shares(found) == {"tool:f": 6}
    assert chain(found) == ["x#1", "y#1"]
    assert named(found, "y#1").ended is None and not found.stops


def test_a_run_is_told_of_up_to_its_last_fact_at_least() -> None:
    drive = Drive(step("x"))
    drive.wait(5)

    assert later(drive, 3) == later(drive, 0) and later(drive, 3).took == 5 * SECOND


def test_an_ended_run_is_as_it_was_whenever_it_is_asked_for() -> None:
    events = run(StepSpec(name="x", agent="a"), StepSpec(name="y", agent="a", needs=("x",))).events

    assert folded(events, 99) == folded(events, 99, driven=False) == folded(events)


def test_an_open_question_is_waited_for_until_now_also_by_a_paused_or_dead_run() -> None:
    drive = Drive(step("ok", kind="approve", input="?"))
    assert shares(later(drive, 6)) == {"approval:ok": 6}
    assert shares(later(drive, 6, driven=False)) == {"approval:ok": 6}
    drive.wait(1)
    drive.pause()
    found = later(drive, 6)

    assert shares(found) == {"approval:ok": 6} and found.status == "paused"


def test_a_paused_run_stands_still_until_now_whoever_drives_it() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(2)
    drive.pause()
    drive.done("x")
    found = later(drive, 9, driven=False)

    assert (found.status, found.stops) == ("paused", [Stop("pause", 2 * SECOND, 9 * SECOND, (4,))])
    assert shares(found) == {"tool:f": 2, "pause": 7}
    assert found == later(drive, 9)


def test_a_run_whose_process_is_dead_has_lost_what_was_in_flight() -> None:
    drive = Drive(step("x"), step("y"))
    drive.wait(2)
    found = later(drive, 25, driven=False)
    lost = named(found, "x#1")

    assert found.status == "stopped (resumable)"
    assert found.stops == [Stop("down", 2 * SECOND, 25 * SECOND)]
    assert (lost.ended, lost.fate, lost.how) == (2 * SECOND, "failed", "lost")
    assert shares(found) == {"rework:lost": 2, "down": 23}


def test_a_run_that_was_about_to_pause_when_its_process_died_is_down() -> None:
    drive = Drive(step("x"))
    drive.wait(2)
    drive.pause()
    drive.wait(1)
    found = later(drive, 10, driven=False)

    assert found.status == "stopped (resumable)"
    assert [(stop.kind, stop.until) for stop in found.stops] == [
        ("pause", 3 * SECOND),
        ("down", 10 * SECOND),
    ]


def test_a_queued_call_waits_for_the_slot_that_the_calls_in_flight_have() -> None:
    seat = {"seat": LimitSpec(concurrency=1), "other": LimitSpec(concurrency=2)}
    agents = {
        "f": AgentSpec(kind="function", limits=("seat", "other")),
        "g": AgentSpec(kind="function", concurrency=1),
    }

    def causes(**fields: object) -> dict[str, str]:
        steps = (step("x"), step("y"), step("u", agent="g"), step("v", agent="g"))
        drive = Drive(*steps, agents=agents, run={"limits": seat, **fields}, start=False)
        drive.launch("x")
        drive.launch("u")
        queued = [one for one in later(drive, 5).activities if not one.left]
        return {one.path: one.waits[0].cause for one in queued if one.waits}

    assert causes() == {"y": "slot:seat", "v": "slot:agent:g"}
    assert causes(max_parallel=2) == {"y": "slot:run", "v": "slot:run"}


def test_of_what_no_slot_holds_nothing_is_known() -> None:
    drive = Drive(step("x"), start=False)

    assert shares(later(drive, 5)) == {"unknown": 5}


def test_a_back_off_is_over_when_it_is() -> None:
    drive = Drive(step("x", retry=Retry(tries=2, first=2 * SECOND, jitter=0.0)))
    drive.wait(1)
    drive.fails("x")

    assert shares(later(drive, 9)) == {"rework:failed": 1, "backoff": 2, "unknown": 6}


def test_a_run_that_is_paused_for_a_budget_did_its_work_and_then_waited_for_the_budget() -> None:
    purse = {
        "purse": LimitSpec(cost=(Rate(600, 0),), shared=False, on_exceed="pause"),
        "purse of all": LimitSpec(cost=(Rate(9_000, 0),), shared=False, on_exceed="pause"),
    }
    drive = Drive(step("x"), step("y"), run={"limits": purse}, start=False)
    drive.launch("x")
    drive.wait(3)
    drive.done("x")
    reason = "over budget: $0.50 of the $0.60 of purse of all is gone, and y#1 may cost up to $0.50"
    drive.pause("", reason)
    found = later(drive, 10)

    assert shares(found) == {"tool:f": 3, "budget:purse of all": 7}
    assert chain(found) == ["x#1"]
    drive.wait(5)
    drive.go_on()
    assert [(one.kind, one.detail) for one in later(drive, 9).stops] == [("budget", "purse of all")]


def test_a_pause_that_somebody_asked_for_is_no_budget() -> None:
    drive = Drive(step("x"), run={"limits": {"purse": LimitSpec(concurrency=2)}})
    drive.pause("ann", "over budget: of purse")

    assert later(drive, 3).stops[0].kind == "pause"
    assert isinstance(drive.events[1], CallStarted)
