"""A run as a whole: pause, cancel, retry, crash, requests that make no sense, late facts."""

import pytest
from tests.machines import AGENTS, Drive, fold, new_machine, plan, run_spec, state_of, step

from hocket.core.commands import Record, StartCall
from hocket.core.errors import EngineBug, Fault, Refused
from hocket.core.events import (
    ApprovalGiven,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    CancelRequested,
    ContinueRequested,
    InputGiven,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    TimePassed,
)
from hocket.core.specs import Retry
from hocket.core.values import SECOND, Call

BROKEN = Fault(kind="failed", message="broken")
TWO = (step("a"), step("b", needs="a"))


# -- the beginning and the end --------------------------------------------------------------


def test_a_run_begins_with_run_started() -> None:
    machine = new_machine()
    with pytest.raises(EngineBug, match="begins with run_started"):
        machine.apply(TimePassed(at=1))
    assert machine.phase == "new"


def test_a_run_begins_once() -> None:
    drive = Drive(*TWO)
    with pytest.raises(EngineBug, match="once"):
        drive.machine.apply(drive.events[0])


def test_time_never_goes_back() -> None:
    drive = Drive(*TWO).wait(5)
    before = state_of(drive.machine)
    with pytest.raises(EngineBug, match="time went back"):
        drive.machine.apply(TimePassed(at=1))
    assert state_of(drive.machine) == before


def test_a_run_succeeds_when_its_workflow_does() -> None:
    drive = Drive(*TWO).done("a", 1).done("b", 2)
    assert (drive.phase, drive.output) == ("succeeded", 2)


def test_the_end_is_asked_for_once_however_often_the_machine_is_drained() -> None:
    drive = Drive(step("a", on_failure="stop"), start=False)
    drive.launch("a")
    machine = drive.machine
    machine.apply(CallFailed(at=0, call=Call("a", 1), fault=BROKEN))
    kinds = [type(c.event).__name__ for c in machine.drain() if isinstance(c, Record)]
    assert kinds == ["StepFailed", "RunEnded"]
    machine.apply(StepFailed(at=0, path="a", fault=BROKEN))
    assert machine.drain() == []


def test_a_run_cannot_end_while_a_call_is_in_flight() -> None:
    drive = Drive(*TWO).cancel()
    with pytest.raises(EngineBug, match="no call in flight"):
        drive.machine.apply(RunEnded(at=drive.at, status="cancelled"))


def test_a_run_that_ends_ignores_what_still_comes_in() -> None:
    drive = Drive(*TWO).done("a").done("b")
    drive.ignored(CallFinished(at=drive.at, call=Call("b", 1), output="again"))
    drive.ignored(CallStarted(at=drive.at, call=Call("c", 1), agent="f"))
    assert drive.machine.deadline() is None


def test_time_that_passes_after_the_end_changes_nothing() -> None:
    drive = Drive(*TWO).done("a").done("b")
    before = state_of(drive.machine) | {"at": 0}
    drive.apply(TimePassed(at=drive.at + SECOND))
    assert state_of(drive.machine) | {"at": 0} == before


# -- pause ----------------------------------------------------------------------------------


def test_a_pause_lets_calls_in_flight_finish_and_starts_nothing_new() -> None:
    drive = Drive(*TWO).pause()
    assert (drive.phase, drive.flying, drive.machine.admits) == ("pausing", ["a"], False)
    drive.done("a")
    assert (drive.phase, drive.flying) == ("paused", [])
    assert list(drive.asked) == ["b"]


def test_a_paused_run_goes_on_where_it_was() -> None:
    drive = Drive(*TWO).pause().done("a").go_on()
    assert (drive.phase, drive.flying) == ("running", ["b"])
    assert drive.machine.pause_reason == ""


def test_a_pause_says_who_asked() -> None:
    assert Drive(*TWO).pause("ctrl-c").machine.pause_reason == "asked by ctrl-c"


def test_a_run_can_end_while_it_is_pausing() -> None:
    assert Drive(step("a")).pause().done("a").phase == "succeeded"


def test_timeouts_count_while_a_run_is_paused() -> None:
    drive = Drive(step("a", timeout="5s")).pause().wait(6)
    assert drive.stops == [("a", "timeout", False)]


def test_taking_a_paused_run_up_again_lets_it_go_on() -> None:
    drive = Drive(*TWO).pause().done("a").crash()
    assert (drive.phase, drive.flying) == ("running", ["b"])


# -- cancel ---------------------------------------------------------------------------------


def test_a_graceful_cancel_stops_calls_and_waits_for_their_ends() -> None:
    drive = Drive(step("a"), step("b")).cancel()
    assert drive.phase == "ending"
    assert drive.stops == [("a", "cancel", False), ("b", "cancel", False)]
    drive.stopped("a", "cancel")
    assert drive.phase == "ending"
    drive.done("b", 1)
    assert (drive.phase, drive.reason) == ("cancelled", "cancelled by test")


def test_a_hard_cancel_leaves_no_time() -> None:
    assert Drive(step("a")).cancel(hard=True).stops == [("a", "cancel", True)]


def test_a_graceful_cancel_can_be_made_hard() -> None:
    drive = Drive(step("a")).cancel().cancel(hard=True)
    assert drive.stops == [("a", "cancel", False), ("a", "cancel", True)]


def test_a_second_graceful_cancel_changes_nothing() -> None:
    assert Drive(step("a")).cancel().cancel().stops == [("a", "cancel", False)]


def test_a_cancelled_run_takes_queued_calls_back() -> None:
    drive = Drive(step("a"), step("b"), start=False).cancel()
    assert (drive.phase, drive.asked, drive.stops) == ("cancelled", {}, [])


def test_a_paused_run_can_be_cancelled() -> None:
    assert Drive(*TWO).pause().done("a").cancel().phase == "cancelled"


def test_a_cancelled_run_stays_cancelled() -> None:
    drive = Drive(*TWO).cancel().stopped("a", "cancel")
    for event in (
        RetryRequested(at=drive.at, path="", by="me"),
        RetryRequested(at=drive.at, path="a", by="me"),
        CancelRequested(at=drive.at, by="me"),
        PauseRequested(at=drive.at, by="me"),
        SpecReplaced(at=drive.at, spec=drive.spec, digest=""),
    ):
        assert "cancelled" in drive.refused(event)


# -- requests that make no sense ------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (ContinueRequested(at=0, by="me"), "the run is running; only a paused one can go on"),
        (RetryRequested(at=0, path="", by="me"), "say which failed step"),
        (RetryRequested(at=0, path="a", by="me"), "step 'a' is running; only a failed one"),
        (RetryRequested(at=0, path="b", by="me"), "step 'b' is pending; only a failed one"),
        (RetryRequested(at=0, path="x", by="me"), "there is no step 'x'"),
        (RetryRequested(at=0, path="a/0/x", by="me"), "step 'a' is running"),
        (RetryRequested(at=0, path="~~", by="me"), "there is no step '~~'"),
        (InputGiven(at=0, path="a", value=1, by="me"), "'a' does not wait for an input"),
        (InputGiven(at=0, path="x", value=1, by="me"), "there is no step 'x'"),
        (InputGiven(at=0, path="a/x", value=1, by="me"), "no nested plan"),
        (
            ApprovalGiven(at=0, path="a", approved=True, digest="", by="me"),
            "'a' does not wait for an approval; it is running",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(event, says: str) -> None:
    assert says in Drive(*TWO).refused(event)


@pytest.mark.parametrize(
    ("phase", "stands"), [("succeeded", "has succeeded"), ("ending", "is ending")]
)
def test_a_run_that_ends_or_has_ended_refuses_what_comes_too_late(phase: str, stands: str) -> None:
    drive = Drive(*TWO).done("a")
    if phase == "succeeded":
        drive.done("b")
    else:
        drive.cancel()
    for event in (
        PauseRequested(at=drive.at, by="me"),
        ContinueRequested(at=drive.at, by="me"),
        RetryRequested(at=drive.at, path="a", by="me"),
        InputGiven(at=drive.at, path="a", value=1, by="me"),
        SpecReplaced(at=drive.at, spec=drive.spec, digest=""),
    ):
        assert f"the run {stands}" in drive.refused(event)


# -- crash and resume -----------------------------------------------------------------------


def test_after_a_crash_a_call_without_effects_is_a_new_counted_attempt() -> None:
    drive = Drive(*TWO).crash()
    assert str(drive.call("a")) == "a#2"
    assert drive.machine.epoch == 2
    assert drive.done("a").done("b").phase == "succeeded"


def test_after_a_crash_a_finished_call_is_not_run_again() -> None:
    drive = Drive(*TWO).done("a", "first").crash()
    assert (drive.flying, drive.machine.workflow.result("a")) == (["b"], "first")


def test_after_a_crash_a_call_with_effects_is_held_and_asked_about() -> None:
    drive = Drive(step("a", agent="shell"), step("b", needs="a")).crash()
    assert (drive.flying, drive.held, drive.phase) == ([], ["a"], "running")


def test_a_held_call_is_done_again_on_request() -> None:
    drive = Drive(step("a", agent="shell")).crash().retry("a")
    assert str(drive.call("a")) == "a#2"


def test_a_held_call_may_be_given_the_output_that_it_is_known_to_have_had() -> None:
    drive = Drive(step("a", agent="shell"), step("b", needs="a", input="{{a}}")).crash()
    drive.send("a", "known")
    assert (drive.held, drive.given("b")) == ([], "known")


def test_a_step_says_itself_whether_repeating_it_does_harm() -> None:
    assert Drive(step("a", agent="shell", effects=False)).crash().flying == ["a"]
    assert Drive(step("a", effects=True)).crash().held == ["a"]


def test_a_step_with_effects_is_not_repeated_unasked_when_the_run_is_retried() -> None:
    drive = Drive(step("a", agent="shell"), step("b", on_failure="stop"))
    drive.crash().fails("b")
    assert drive.phase == "failed"
    drive.retry()
    assert (drive.flying, drive.held) == (["b"], ["a"])
    drive.retry("a")
    assert str(drive.call("a")) == "a#2"


def test_what_was_to_be_done_when_the_process_died_is_asked_for_again() -> None:
    drive = Drive(step("a"), step("b"), start=False)
    drive.crash(resume=False)
    commands = drive.machine.drain()
    assert [str(c.call) for c in commands if isinstance(c, StartCall)] == ["a#1", "b#1"]


def test_a_fact_for_readers_that_was_not_recorded_is_asked_for_again() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b", needs="a"))
    cut = [e for e in drive.fails("a").events if type(e).__name__ != "StepSkipped"]
    records = [c.event for c in fold(cut[:-1]).drain() if isinstance(c, Record)]
    assert [type(event).__name__ for event in records] == ["StepSkipped", "RunEnded"]


def test_a_crash_while_ending_comes_to_the_same_end() -> None:
    drive = Drive(step("a"), step("b", on_failure="stop")).fails("b").crash()
    assert (drive.phase, drive.reason) == ("failed", "step 'b' failed: broken")


def test_a_call_that_was_lost_while_it_was_stopping_is_not_done_again() -> None:
    drive = Drive(step("a", agent="shell")).cancel().crash()
    assert (drive.phase, drive.held) == ("cancelled", [])


def test_a_reply_of_a_former_owners_call_is_ignored() -> None:
    drive = Drive(step("a")).crash()
    drive.ignored(CallFinished(at=drive.at, call=Call("a", 1), output="late"))
    assert str(drive.call("a")) == "a#2"


def test_a_crash_during_recovery_is_like_one() -> None:
    drive = Drive(step("a"), step("b", agent="shell")).crash().crash().crash()
    assert str(drive.call("a")) == "a#4"
    assert drive.held == ["b"]


def test_a_back_off_goes_on_after_a_crash() -> None:
    drive = Drive(step("a", retry=Retry(tries=2, first=9 * SECOND, jitter=0.0)))
    drive.fails("a").crash().wait(8)
    assert drive.flying == []
    assert drive.wait(1).flying == ["a"]


# -- late, repeated and early facts ---------------------------------------------------------


def test_repeated_and_early_facts_are_ignored_and_counted() -> None:
    drive = Drive(*TWO, start=False)
    drive.ignored(CallFinished(at=0, call=Call("a", 1), output="before its start"))
    drive.launch("a")
    drive.ignored(CallStarted(at=0, call=Call("a", 1), agent="f"))
    drive.ignored(CallFinished(at=0, call=Call("a", 2), output="another attempt"))
    drive.ignored(CallFailed(at=0, call=Call("b", 2), fault=BROKEN))
    drive.done("a")
    drive.ignored(CallFinished(at=0, call=Call("a", 1), output="again"))
    drive.ignored(CallLost(at=0, call=Call("a", 1)))
    assert drive.machine.calls.ignored == 6


def test_waking_a_machine_for_nothing_does_nothing() -> None:
    drive = Drive(*TWO)
    before = state_of(drive.machine) | {"at": 0}
    drive.apply(TimePassed(at=SECOND))
    assert state_of(drive.machine) | {"at": 0} == before


# -- retry ----------------------------------------------------------------------------------


def test_a_failed_run_goes_on_when_its_failed_step_is_retried() -> None:
    drive = Drive(*TWO).fails("a")
    assert (drive.phase, drive.status("b")) == ("failed", "skipped")
    drive.retry("a")
    assert (drive.phase, drive.status("b"), drive.machine.end) == ("running", "pending", None)
    assert str(drive.call("a")) == "a#2"
    assert drive.done("a").done("b").phase == "succeeded"


def test_a_retry_of_the_run_does_all_failed_steps_again() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b", on_failure="skip"), step("c"))
    drive.fails("a").fails("b").fails("c").retry()
    assert drive.flying == ["a", "b", "c"]


def test_a_retry_goes_on_with_what_was_cut_short() -> None:
    drive = Drive(step("a"), step("b")).fails("a").stopped("b")
    assert drive.phase == "failed"
    assert drive.retry().flying == ["b", "a"]


def test_what_finished_although_it_was_stopped_is_not_done_again() -> None:
    drive = Drive(step("a"), step("b")).fails("a").done("b", "kept")
    assert (drive.phase, drive.status("b")) == ("failed", "succeeded")
    drive.retry()
    assert drive.flying == ["a"]
    assert drive.done("a", 1).output == {"a": 1, "b": "kept"}


def test_a_retry_of_another_step_also_does_the_one_again_that_stopped_the_run() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b")).fails("a").fails("b").retry("a")
    assert drive.flying == ["a", "b"]


def test_a_step_that_was_put_up_with_can_be_retried_while_the_run_goes_on() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b", needs="a"), step("c")).fails("a")
    drive.retry("a")
    assert (drive.phase, drive.flying, drive.status("b")) == ("running", ["c", "a"], "pending")


def test_a_step_whose_calls_are_still_being_stopped_is_not_retried_yet() -> None:
    drive = Drive(step("s", each="[1, 2]", on_failure="skip"), step("other"))
    drive.fails("s/0")
    says = drive.refused(RetryRequested(at=drive.at, path="s", by="me"))
    assert says == "'s/1' is still being stopped; try again when it has ended"
    assert drive.stopped("s/1").retry("s").flying == ["other", "s/0", "s/1"]


def test_a_run_that_is_ending_is_not_retried() -> None:
    drive = Drive(step("a"), step("b")).fails("a")
    assert "the run is ending" in drive.refused(RetryRequested(at=drive.at, path="a", by="me"))


def test_a_retry_while_paused_starts_nothing_before_the_run_goes_on() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b")).pause().fails("a").retry("a")
    assert drive.flying == ["b"]
    assert drive.go_on().flying == ["b", "a"]


# -- a changed spec -------------------------------------------------------------------------


def test_a_changed_spec_is_refused_while_calls_are_in_flight_or_held() -> None:
    drive = Drive(step("a", agent="shell"))
    event = SpecReplaced(at=drive.at, spec=drive.spec, digest="")
    assert "in flight" in drive.refused(event)
    drive.crash()
    assert "held" in drive.refused(SpecReplaced(at=drive.at, spec=drive.spec, digest=""))


def test_after_a_changed_spec_no_call_has_a_number_that_one_had_before() -> None:
    drive = Drive(step("a"), step("b", on_failure="stop")).done("a").fails("b")
    drive.replace(step("a", input="other"), step("b"))
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["a#2", "b#2"]


# -- forks ----------------------------------------------------------------------------------


def test_a_fork_and_its_origin_do_not_know_of_each_other() -> None:
    drive = Drive(*TWO, step("s", each="[1, 2]"), step("ask", kind="approve", input="?"))
    before = state_of(drive.machine)
    fork = drive.machine.fork()
    for path in ("a", "s/0", "s/1"):
        fork.apply(CallFinished(at=0, call=Call(path, 1), output=path))
    fork.apply(CancelRequested(at=0, by="fork"))
    assert state_of(drive.machine) == before
    after = state_of(fork)
    drive.done("s/1").done("a").done("b")
    assert state_of(fork) == after


def test_an_unknown_kind_of_workflow_cannot_begin() -> None:
    machine = type(new_machine())({})
    started = RunStarted(
        at=0,
        run="r",
        spec=run_spec(plan(*TWO), AGENTS),
        digest="",
        inputs={},
        seed=1,
        versions={},
        program="",
    )
    with pytest.raises(KeyError):
        machine.apply(started)


def test_the_phase_is_said_as_people_call_it() -> None:
    drive = Drive(*TWO)
    said = [new_machine().said, drive.phase, drive.pause().phase, drive.done("a").phase]
    said += [drive.go_on().phase, drive.cancel().phase, drive.stopped("b", "cancel").phase]
    assert said == ["new", "running", "pausing", "paused", "running", "ending", "cancelled"]


def test_a_run_that_only_waits_for_people_says_so() -> None:
    drive = Drive(step("a"), step("ask", kind="input", input="?"))
    assert not drive.machine.waits_for_people
    assert drive.done("a").machine.waits_for_people


def test_refused_is_an_error_of_the_caller() -> None:
    with pytest.raises(Refused):
        Drive(*TWO).apply(ContinueRequested(at=0, by="me"))


def test_a_new_owner_is_counted() -> None:
    drive = Drive(*TWO)
    drive.apply(RunResumed(at=1, epoch=5))
    assert drive.machine.epoch == 5


def test_a_step_cut_short_by_the_run_s_end_is_shown_as_stopped() -> None:
    drive = Drive(step("a"), step("b"), step("c", needs="b"))
    drive.fails("a").stopped("b")
    states = {view.path: view.status for view in drive.machine.view()}
    assert states == {"a": "failed", "b": "stopped", "c": "pending"}
    assert drive.machine.counts()["stopped"] == 1
    assert drive.machine.counts().get("running", 0) == 0


def test_a_step_with_a_held_call_is_shown_as_held_and_so_are_those_around_it() -> None:
    inner = plan(step("hot", agent="shell"), name="inner")
    drive = Drive(
        step("a", agent="shell", each="[1, 2]"),
        step("n", kind="plan", plan=inner),
        step("o"),
    )
    drive.done("a/0").done("o").crash()
    states = {view.path: view.status for view in drive.machine.view()}
    assert states == {"a": "held", "n": "held", "n/hot": "held", "o": "succeeded"}


def test_what_no_call_has_begun_is_pending_while_a_run_is_paused() -> None:
    inner = plan(step("one"), step("two", needs="one"), name="inner")
    drive = Drive(
        step("a"),
        step("b", needs="a"),
        step("each", each="[1, 2]", needs="a"),
        step("n", kind="plan", plan=inner, needs="a"),
        step("m", kind="plan", plan=inner),
    )
    drive.pause().done("a").done("m/one")
    states = {view.path: view.status for view in drive.machine.view()}
    assert states == {
        "a": "succeeded",
        **dict.fromkeys(("b", "each", "n", "n/one", "n/two"), "pending"),
        "m": "running",
        "m/one": "succeeded",
        "m/two": "pending",
    }
    counts = drive.machine.counts()
    assert (counts["succeeded"], counts["pending"], counts["running"]) == (1, 3, 1)
    drive.go_on()
    assert drive.machine.counts()["running"] == 4


def test_what_was_begun_before_a_pause_is_running_in_it() -> None:
    drive = Drive(
        step("a"),
        step("each", each="[1, 2]", retry=Retry(tries=2)),
        step("r", retry=Retry(tries=2)),
        step("b", needs="a"),
    )
    drive.pause().done("a").done("each/0").fails("each/1").fails("r")
    states = {view.path: view.status for view in drive.machine.view()}
    assert states == {"a": "succeeded", "each": "running", "r": "running", "b": "pending"}
