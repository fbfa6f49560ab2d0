"""A step for each item of a list."""

import pytest
from tests.machines import Drive, step

from hocket.core.errors import Refused
from hocket.core.specs import Repeat, Retry


def fan(**fields) -> Drive:
    """Step s for each of three items, as far as it has begun."""
    drive = Drive(step("a"), step("s", each="a", **fields), step("last", needs="s"))
    return drive.done("a", ["x", "y", "z"])


def test_a_step_is_done_for_each_item_of_a_list_that_an_earlier_step_made() -> None:
    drive = fan(input="{{index}}: {{item}}")
    assert drive.flying == ["s/0", "s/1", "s/2"]
    assert [drive.given(f"s/{i}") for i in range(3)] == ["0: x", "1: y", "2: z"]


def test_outputs_are_gathered_in_the_order_of_the_items() -> None:
    drive = fan().done("s/2", "c").done("s/0", "a").done("s/1", "b")
    assert drive.machine.workflow.result("s") == ["a", "b", "c"]
    assert drive.flying == ["last"]


def test_an_empty_list_is_done_at_once() -> None:
    drive = Drive(step("s", each="[]"), step("b", input="{{s}}"))
    assert (drive.status("s"), drive.given("b")) == ("succeeded", [])


def test_what_is_no_list_fails_the_step() -> None:
    drive = Drive(step("a"), step("s", each="a.n", on_failure="skip")).done("a", {"n": None})
    assert drive.detail("s") == "each: a.n is null, not a list"
    drive = Drive(step("a"), step("s", each="a.n", on_failure="skip")).done("a", {"n": {}})
    assert drive.detail("s") == "each: a.n is a dict, not a list"


def test_an_item_that_fails_fails_the_step_and_stops_the_other_items() -> None:
    drive = fan().fails("s/1", message="bad")
    assert (drive.phase, drive.detail("s")) == ("ending", "item 1: bad")
    assert drive.stops == [("s/0", "stop", False), ("s/2", "stop", False)]


def test_an_item_that_fails_may_be_put_up_with() -> None:
    drive = fan(on_failure="continue").fails("s/1").done("s/0", 1).done("s/2", 3)
    assert drive.machine.workflow.result("s") == [1, None, 3]
    assert [e.path for e in drive.said("StepFailed")] == ["s/1"]
    assert drive.flying == ["last"]


def test_all_items_may_fail_and_be_put_up_with() -> None:
    drive = fan(on_failure="continue").fails("s/0").fails("s/1").fails("s/2")
    assert drive.machine.workflow.result("s") == [None, None, None]


def test_each_item_has_tries_of_its_own() -> None:
    drive = fan(retry=Retry(tries=2, first=0)).fails("s/0").fails("s/1")
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["s/0#2", "s/1#2", "s/2#1"]


def test_a_retry_does_only_the_items_again_that_are_not_done() -> None:
    drive = fan().done("s/0", 1).fails("s/1").stopped("s/2").retry("s")
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["s/1#2", "s/2#2"]
    drive.done("s/1", 2).done("s/2", 3)
    assert drive.machine.workflow.result("s") == [1, 2, 3]


def test_an_item_that_finished_although_it_was_stopped_is_not_done_again() -> None:
    drive = fan().fails("s/1").done("s/0", "kept").stopped("s/2")
    assert drive.retry("s").flying == ["s/1", "s/2"]


def test_the_last_item_that_finished_although_it_was_stopped_ends_the_step_on_retry() -> None:
    drive = fan().fails("s/1").done("s/0").done("s/2").retry("s")
    assert drive.done("s/1", 1).flying == ["last"]


def test_how_many_items_are_done_can_be_seen() -> None:
    drive = fan().done("s/1")
    view = next(v for v in drive.machine.workflow.view() if v.path == "s")
    assert (view.status, view.done, view.total) == ("running", 1, 3)
    drive.done("s/0").done("s/2")
    view = next(v for v in drive.machine.workflow.view() if v.path == "s")
    assert (view.status, view.done, view.total) == ("succeeded", 3, 3)


def test_an_items_result_is_there_as_soon_as_it_is_done() -> None:
    drive = fan().done("s/1", "early")
    result = drive.machine.workflow.result
    assert (result("s/1"), result("s/0"), result("s/9")) == ("early", None, None)
    drive.done("s/0", "x").done("s/2", "z")
    assert (result("s/2"), result("s")) == ("z", ["x", "early", "z"])
    with pytest.raises(Refused):
        result("a/0")


def test_items_go_through_rounds_of_their_own() -> None:
    drive = fan(repeat=Repeat(until="s.ok", max=3), input="{{item}} {{round}} {{previous}}")
    drive.done("s/0", {"ok": False}).done("s/1", {"ok": True})
    assert drive.flying == ["s/2", "s/0~2"]
    assert drive.given("s/0~2") == 'x 2 {"ok":false}'
    drive.done("s/0~2", {"ok": True}).done("s/2", {"ok": True})
    assert drive.flying == ["last"]


def test_a_changed_list_is_done_anew_under_names_that_were_never_used() -> None:
    drive = Drive(step("a", on_failure="continue"), step("s", each="[a, 1]"), timeout="1h")
    drive.fails("a").done("s/1", "old").fails("s/0")
    assert drive.phase == "failed"
    drive.retry().done("a", "new")
    assert drive.flying == ["s/0", "s/1"]
    names = [event.call for event in drive.said("CallStarted")]
    assert len(names) == len(set(names))


def test_an_equal_list_keeps_the_items_that_are_done() -> None:
    drive = Drive(step("a", on_failure="continue"), step("s", each="[0, 1]", needs="a"))
    drive.fails("a").done("s/1", "old").fails("s/0").retry().done("a", "new")
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["s/0#2"]


def test_a_very_long_list_needs_no_deep_stack() -> None:
    drive = Drive(step("a"), step("s", each="a"), start=False, checked=False)
    drive.launch("a").done("a", list(range(100_000)))
    assert len(drive.asked) == 100_000
