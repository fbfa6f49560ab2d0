"""A step that is done again until an expression holds."""

from tests.machines import Drive, plan, step

from hocket.core.specs import Repeat, Retry


def turns(until: str = "s.ok", most: int = 3, **fields) -> Drive:
    return Drive(step("s", repeat=Repeat(until=until, max=most), **fields), step("b", needs="s"))


NO, YES = {"ok": False}, {"ok": True}


def test_a_step_is_done_again_until_its_output_is_right() -> None:
    drive = turns().done("s", NO)
    assert drive.flying == ["s~2"]
    assert drive.done("s~2", YES).flying == ["b"]
    assert drive.machine.workflow.result("s") == YES


def test_a_round_sees_its_number_and_the_output_before() -> None:
    drive = turns(input="{{round}}: {{previous}}")
    assert drive.given("s") == "1: "
    assert drive.done("s", NO).given("s~2") == '2: {"ok":false}'


def test_a_step_that_never_gets_there_fails_after_its_last_round() -> None:
    drive = turns(most=2).done("s", NO).done("s~2", NO)
    assert (drive.phase, drive.detail("s")) == ("failed", "s.ok did not hold after 2 rounds")


def test_a_retry_has_its_rounds_again_and_goes_on_with_the_next() -> None:
    drive = turns(most=2, input="{{previous}}").done("s", NO).done("s~2", NO).retry("s")
    assert drive.flying == ["s~3"]
    assert drive.given("s~3") == NO
    assert drive.done("s~3", NO).flying == ["s~4"]
    assert drive.done("s~4", NO).phase == "failed"


def test_the_condition_may_count_rounds() -> None:
    drive = turns(until="s.ok or round >= 2").done("s", NO).done("s~2", NO)
    assert drive.flying == ["b"]


def test_a_round_has_tries_of_its_own() -> None:
    drive = turns(retry=Retry(tries=2, first=0)).fails("s").done("s", NO).fails("s~2")
    assert str(drive.call("s~2")) == "s~2#2"


def test_a_condition_that_cannot_be_computed_fails_the_step_for_good() -> None:
    drive = turns(until="s.missing").done("s", NO)
    assert drive.phase == "failed"
    assert drive.detail("s").startswith("until: s has no field 'missing'")


def test_a_round_is_never_done_twice_even_if_its_condition_could_not_be_computed() -> None:
    drive = turns(until="s.missing").done("s", NO).retry("s")
    assert drive.flying == ["s~2"]
    assert drive.done("s~2", {"missing": 1}).flying == ["b"]


def test_a_round_that_finished_although_it_was_stopped_is_not_done_again() -> None:
    drive = Drive(step("s", repeat=Repeat(until="s.ok", max=5)), step("x")).fails("x")
    assert drive.done("s", NO).phase == "failed"
    assert drive.retry().flying == ["s~2", "x"]
    drive = Drive(step("s", repeat=Repeat(until="s.ok", max=5)), step("x")).fails("x")
    assert drive.done("s", YES).status("s") == "succeeded"


def test_rounds_of_a_nested_plan_that_ends_at_once_need_no_deep_stack() -> None:
    inner = plan(step("i", when="1 == 2"), name="inner")
    often = Repeat(until="round >= 3000", max=5_000)
    drive = Drive(step("s", kind="plan", plan=inner, repeat=often), thorough=False)
    assert drive.phase == "succeeded"


def test_a_crash_in_a_later_round_repeats_that_round_alone() -> None:
    drive = turns().done("s", NO).crash()
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["s~2#2"]
