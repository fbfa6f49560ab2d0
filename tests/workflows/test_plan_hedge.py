"""A second call beside one that is late: who wins, what is stopped, what the run waits for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.machines import Drive, fold, state_of, step

from hocket.core.errors import Fault, Refused
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, CallStarted
from hocket.core.specs import AgentSpec, LimitSpec, Retry
from hocket.core.values import SECOND, Call

LIMITED = {"limits": {"api": LimitSpec(concurrency=1)}}
TWICE = Retry(tries=2, first=SECOND, jitter=0.0)


def late(*steps: Any, **fields: Any) -> Drive:
    """A step ``a`` whose first call has a second one beside it, asked for after three seconds."""
    fields = {"hedge": 3.0} | fields
    return Drive(*(steps or (step("a", hedge=0.95), step("b", needs="a"))), **fields).wait(3)


# -- when -----------------------------------------------------------------------------------


def test_a_call_that_is_late_gets_a_second_one_beside_it() -> None:
    drive = Drive(step("a", hedge=0.95), hedge=3).wait(2.9)
    assert drive.names == ["a#1"]
    assert drive.wait(0.1).names == ["a#1", "a#2"]
    first, second = drive.said("CallStarted")
    assert (first.hedge, first.hedge_after, first.agent) == (False, 3 * SECOND, "f")
    assert (second.hedge, second.hedge_after, second.agent) == (True, None, "f")


def test_the_second_call_could_run_from_when_the_first_was_late() -> None:
    drive = late(start=False)
    drive.launch("a").wait(4)
    asked = drive.asked["a"]
    assert (asked.call, asked.hedge, asked.effects) == (Call("a", 2), True, False)
    assert (asked.ready, asked.asked) == (6 * SECOND, 6 * SECOND)


def test_a_call_that_is_in_time_gets_none() -> None:
    drive = Drive(step("a", hedge=0.95), step("b"), hedge=3).wait(2).done("a").wait(5)
    assert drive.names == ["b#1"]


@pytest.mark.parametrize("hedge", [None, 3.0])
def test_there_is_none_without_the_step_s_wish_or_without_knowing_when(hedge: Any) -> None:
    steps = (step("a"),) if hedge else (step("a", hedge=0.95),)
    assert Drive(*steps, hedge=hedge).wait(100).names == ["a#1"]


def test_what_has_effects_is_never_done_twice() -> None:
    drive = Drive(step("a", agent="shell", effects=False), step("s", agent="shell"), start=False)
    for path in ("a", "s"):
        asked = drive.asked.pop(path)
        drive.apply(CallStarted(at=0, call=asked.call, agent="shell", hedge_after=SECOND))
    assert list(drive.wait(5).asked) == ["a"]


def test_a_fallback_with_effects_is_not_hedged_either() -> None:
    drive = Drive(step("a", fallback="shell"), start=False)
    for attempt in (1, 2):
        asked = drive.asked.pop("a")
        event = CallStarted(at=drive.at, call=asked.call, agent=asked.agent, hedge_after=SECOND)
        drive.apply(event).wait(2)
        if attempt == 1:
            drive.launch("a").fails("a", n=2).fails("a")
    assert (drive.agent("a"), drive.names, drive.asked) == ("shell", ["a#3"], {})


def test_a_call_that_is_being_stopped_gets_none() -> None:
    drive = Drive(step("a", hedge=0.95, timeout="3s"), hedge=3).wait(10)
    assert (drive.names, drive.told) == (["a#1"], ["a#1 timeout"])


def test_there_are_never_three() -> None:
    drive = late().wait(60)
    assert drive.names == ["a#1", "a#2"]
    drive.fails("a", n=2)
    assert drive.wait(60).names == ["a#1"], "each first call gets one, once"


def test_the_next_try_may_be_hedged_again() -> None:
    drive = late(step("a", hedge=0.95, retry=TWICE)).fails("a").fails("a", n=2).wait(1)
    assert drive.names == ["a#3"]
    assert drive.wait(3).names == ["a#3", "a#4"]


def test_a_second_call_has_none_beside_itself_even_when_it_is_alone() -> None:
    drive = Drive(step("a", hedge=0.95), start=False, hedge=3).launch("a").wait(3)
    asked = drive.asked.pop("a")
    event = CallStarted(at=drive.at, call=asked.call, agent="f", hedge=True, hedge_after=SECOND)
    drive.apply(event).fails("a", n=1).wait(20)
    assert (drive.names, drive.asked) == (["a#2"], {})


# -- who wins -------------------------------------------------------------------------------


@pytest.mark.parametrize(("winner", "loser"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("end", ["stopped", "fails", "done"])
def test_the_first_answer_counts_at_once_and_the_other_call_changes_nothing(
    winner: int, loser: int, end: str
) -> None:
    drive = late(step("a", hedge=0.95), step("b", needs="a", input="{{a}}"))
    drive.done("a", "won", n=winner)
    assert drive.told == [f"a#{loser} hedge"]
    assert drive.names == ["b#1", f"a#{loser}"]
    assert (drive.status("a"), drive.given("b")) == ("succeeded", "won")
    before = state_of(drive.machine)
    getattr(drive, end)("a", n=loser)
    assert state_of(drive.machine) | {"late": [], "running": 2} == before | {"late": []}
    assert drive.machine.calls.ignored == 0, "what it spent is accounted"
    assert drive.done("b", "end").output == "end"


@pytest.mark.parametrize("end", ["stopped", "fails", "done"])
def test_a_run_ends_only_when_the_slower_call_has_landed(end: str) -> None:
    drive = late(step("a", hedge=0.95)).done("a", "won", n=2)
    assert (drive.phase, drive.names) == ("ending", ["a#1"])
    getattr(drive, end)("a", n=1)
    assert (drive.phase, drive.output) == ("succeeded", "won")


def test_a_paused_run_is_at_rest_only_when_the_slower_call_has_landed() -> None:
    drive = late().done("a", n=1).pause().done("b")
    assert drive.phase == "ending"
    drive = late(step("a", hedge=0.95), step("q", kind="input")).pause().done("a", n=2)
    assert drive.phase == "pausing"
    assert drive.stopped("a", "hedge", n=1).phase == "paused"


def test_a_second_call_that_waits_leaves_unpaid_when_the_first_has_ended() -> None:
    drive = Drive(step("a", hedge=0.95), step("b", needs="a"), start=False, hedge=3)
    drive.launch("a").wait(3)
    assert drive.asked["a"].hedge
    drive.done("a")
    assert (list(drive.asked), drive.told) == (["b"], [])


def test_a_slower_call_that_has_been_told_to_stop_is_not_told_again() -> None:
    drive = late(step("a", hedge=0.95, timeout="5s"), step("b", needs="a")).wait(2)
    assert drive.told == ["a#1 timeout"]
    drive.done("a", n=2)
    assert drive.told == ["a#1 timeout"]
    assert drive.stopped("a", "timeout", n=1).names == ["b#1"]


# -- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", ["failed", "rate_limited", "permanent", "over_budget"])
def test_while_one_is_in_flight_the_other_s_failure_does_not_count(n: int, kind: Any) -> None:
    drive = late(step("a", hedge=0.95, retry=TWICE)).fails("a", kind, n=n, final=True)
    assert (drive.names, drive.told) == ([f"a#{3 - n}"], [])
    job = drive.machine.calls.jobs["a"]
    assert (job.tries, job.refusals) == (0, 0)
    assert drive.done("a", "out").output == "out"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_that_fail_have_used_one_try(order: tuple[int, int]) -> None:
    drive = late(step("a", hedge=0.95, retry=TWICE))
    drive.fails("a", n=order[0]).fails("a", n=order[1])
    assert drive.machine.calls.jobs["a"].tries == 1
    assert drive.wait(1).names == ["a#3"]
    assert drive.fails("a").phase == "failed"


def test_the_last_failure_decides() -> None:
    drive = late(step("a", hedge=0.95, retry=TWICE)).fails("a", "permanent", n=2)
    assert drive.fails("a", "failed", n=1).phase == "running"
    drive = late(step("a", hedge=0.95, retry=TWICE)).fails("a", "failed", n=2)
    assert drive.fails("a", "permanent", n=1, message="no key").reason == "step 'a' failed: no key"


def test_a_failure_of_the_first_is_the_job_s_while_the_second_only_waits() -> None:
    drive = Drive(step("a", hedge=0.95, retry=TWICE), start=False, hedge=3).launch("a").wait(3)
    drive.fails("a")
    assert (drive.asked, drive.machine.calls.jobs["a"].tries) == ({}, 1)
    assert str(drive.wait(1).asked["a"].call) == "a#3", "a name is never used twice"


def test_a_fallback_begins_when_both_have_failed() -> None:
    drive = late(step("a", hedge=0.95, fallback="g")).fails("a", n=1)
    assert drive.agent("a") == "f"
    assert drive.fails("a", n=2).agent("a") == "g"
    assert drive.names == ["a#3"]


def test_a_second_call_that_cannot_be_asked_is_forgotten() -> None:
    drive = Drive(step("a", hedge=0.95), start=False, hedge=3).launch("a").wait(3)
    asked = drive.asked.pop("a")
    fault = Fault(kind="over_budget", message="would cost too much", final=True)
    drive.apply(CallFailed(at=drive.at, call=asked.call, fault=fault))
    assert drive.names == ["a#1"]
    assert drive.wait(60).asked == {}
    assert drive.done("a", 1).output == 1


def test_each_call_has_its_own_time() -> None:
    drive = late(step("a", hedge=0.95, timeout="5s", retry=TWICE))
    assert drive.wait(2).told == ["a#1 timeout"]
    assert drive.wait(3).told == ["a#1 timeout", "a#2 timeout"]
    drive.stopped("a", "timeout", n=1)
    assert drive.names == ["a#2"]
    drive.stopped("a", "timeout", n=2).wait(1)
    assert (drive.names, drive.machine.calls.jobs["a"].tries) == (["a#3"], 1)


# -- pause, cancel, drop, crash --------------------------------------------------------------


def test_a_second_call_that_waits_is_recalled_by_a_pause_and_asked_for_anew_after_it() -> None:
    drive = Drive(step("a", hedge=0.95), start=False, hedge=3).launch("a").wait(3)
    drive.pause()
    assert (drive.asked, drive.told) == ({}, [])
    drive.wait(5).go_on().wait(0.1)
    assert (str(drive.asked["a"].call), drive.asked["a"].hedge) == ("a#3", True)


def test_none_is_asked_for_while_the_run_is_paused() -> None:
    drive = Drive(step("a", hedge=0.95), hedge=3).wait(1).pause()
    assert drive.machine.deadline() == 3_600 * SECOND
    drive.wait(5)
    assert drive.names == ["a#1"]
    assert drive.go_on().wait(0.1).names == ["a#1", "a#2"]


def test_a_question_that_pauses_the_run_recalls_it_too() -> None:
    drive = Drive(
        step("a", hedge=0.95), step("q", kind="input", timeout="4s"), start=False, hedge=3
    )
    drive.launch("a").wait(3)
    assert drive.asked["a"].hedge
    assert drive.wait(1).phase == "pausing"
    assert drive.asked == {}


@pytest.mark.parametrize("hard", [False, True])
def test_a_cancel_stops_both(hard: bool) -> None:
    drive = late().cancel(hard=hard)
    how = " hard" if hard else ""
    assert drive.told == [f"a#1 cancel{how}", f"a#2 cancel{how}"]
    assert drive.stopped("a", "cancel", n=2).phase == "ending"
    assert drive.stopped("a", "cancel", n=1).phase == "cancelled"


def test_a_cancel_takes_a_second_call_out_of_the_queue() -> None:
    drive = Drive(step("a", hedge=0.95), start=False, hedge=3).launch("a").wait(3).cancel()
    assert (drive.asked, drive.told) == ({}, ["a#1 cancel"])


def test_a_hard_cancel_leaves_a_slower_call_no_time_either() -> None:
    drive = late(step("a", hedge=0.95)).done("a", n=1).cancel()
    assert drive.told == ["a#2 hedge"]
    drive.cancel(hard=True)
    assert drive.told == ["a#2 hedge", "a#2 hedge hard"]
    assert drive.stopped("a", "hedge", n=2).phase == "succeeded"


def test_the_first_reason_to_stop_is_the_one_that_counts() -> None:
    drive = late(step("a", hedge=0.95, timeout="5s")).wait(5)
    drive.told.clear()
    assert drive.cancel(hard=True).told == ["a#1 timeout hard", "a#2 timeout hard"]


def test_a_slower_call_that_lands_before_it_is_told_to_stop_is_not_told() -> None:
    drive = late().done("a", n=1)
    drive.apply(CallFailed(at=drive.at, call=Call("a", 2), fault=Fault(kind="failed", message="")))
    assert [str(command.call) for command in fold(drive.events).drain()] == []


@pytest.mark.parametrize("n", [1, 2])
def test_what_one_of_two_dropped_calls_gives_is_kept(n: int) -> None:
    drive = late(step("a", hedge=0.95), step("s")).fails("s")
    assert drive.told == ["a#1 stop", "a#2 stop"]
    drive.done("a", "kept", n=n)
    assert (drive.status("a"), drive.phase) == ("succeeded", "ending")
    drive.stopped("a", n=3 - n)
    assert drive.phase == "failed"
    assert drive.retry().names == ["s#2"]


def test_a_step_is_not_retried_while_one_of_its_calls_is_still_being_stopped() -> None:
    drive = late(step("s", each="[1, 2]", hedge=0.95, on_failure="skip"), step("other"))
    drive.fails("s/0", n=1).fails("s/0", n=2).stopped("s/1", n=2)
    with pytest.raises(Refused, match="'s/1' is still being stopped"):
        drive.retry("s")
    drive.stopped("s/1", n=1).retry("s")
    assert drive.names == ["other#1", "s/0#3", "s/1#3"]


@pytest.mark.parametrize("n", [1, 2])
def test_a_dropped_job_that_was_kept_may_be_done_again_while_its_slower_call_lands(n: int) -> None:
    drive = late(
        step("s", each="[1, 2]", hedge=0.95, on_failure="skip", retry=TWICE), step("other")
    )
    drive.fails("s/0", "permanent", n=1).fails("s/0", "permanent", n=2).done("s/1", "kept", n=n)
    assert drive.names == ["other#1", f"s/1#{3 - n}"]
    drive.retry("s")
    assert drive.names == ["other#1", "s/0#3", f"s/1#{3 - n}"]


def test_a_crash_loses_both_and_costs_no_try() -> None:
    drive = late(step("a", hedge=0.95, retry=TWICE)).crash()
    assert [str(event.call) for event in drive.said("CallLost")] == ["a#1", "a#2"]
    assert (drive.names, drive.machine.calls.jobs["a"].tries) == (["a#3"], 0)
    assert drive.wait(3).names == ["a#3", "a#4"]


def test_a_crash_while_the_second_waits_loses_one() -> None:
    drive = Drive(step("a", hedge=0.95), start=False, hedge=3).launch("a").wait(3).crash()
    assert [str(event.call) for event in drive.said("CallLost")] == ["a#1"]
    assert [str(asked.call) for asked in drive.asked.values()] == ["a#3"]
    assert not drive.asked["a"].hedge


def test_a_crash_while_the_slower_call_lands_repeats_nothing() -> None:
    drive = late().done("a", "won", n=2).crash()
    assert [str(event.call) for event in drive.said("CallLost")] == ["b#1", "a#1"]
    assert drive.names == ["b#2"]


def test_a_crash_before_the_second_call_is_due_is_folded_alike() -> None:
    drive = Drive(step("a", hedge=0.95), hedge=3).wait(1)
    twin = fold(drive.events)
    assert twin.deadline() == drive.machine.deadline() == 3 * SECOND


def test_a_changed_spec_waits_for_a_slower_call() -> None:
    drive = late(step("a", hedge=0.95), step("q", kind="input")).done("a", n=1)
    with pytest.raises(Refused, match="in flight"):
        drive.replace(step("a", input="other"))
    drive.stopped("a", "hedge", n=2).replace(step("a", input="other"))
    assert drive.names == ["a#3"]


def test_a_list_that_has_changed_makes_new_calls_beside_a_slower_one() -> None:
    drive = late(
        step("l", on_failure="continue"),
        step("s", each="[l, 2]", needs="l", hedge=0.95, on_failure="skip"),
        step("other"),
    )
    drive.fails("l").wait(3).done("s/0", n=1).fails("s/1", n=2).fails("s/1", n=1)
    assert drive.status("s") == "failed"
    drive.retry("l").retry("s").done("l", 7)
    started = [event.call for event in drive.said("CallStarted")]
    assert len(set(started)) == len(started)
    assert "s/0#2" in drive.names
    assert drive.call("s/0").attempt > 2
    assert drive.stopped("s/0", "hedge", n=2).done("s/0").done("s/1").status("s") == "succeeded"


# -- refusals -------------------------------------------------------------------------------


def test_a_refused_call_of_a_limited_agent_stands_in_the_queue_again_at_once() -> None:
    agents = {"m": AgentSpec(kind="function", limits=("api",))}
    drive = Drive(step("a", agent="m"), agents=agents, run=LIMITED)
    for attempt in range(2, 120):
        drive.fails("a", "rate_limited", retry_after=30 * SECOND)
        assert drive.names == [f"a#{attempt}"]
    assert drive.machine.calls.jobs["a"].tries == 0


def test_a_fallback_without_a_limit_backs_off_after_a_refusal() -> None:
    agents = {
        "m": AgentSpec(kind="function", limits=("api",)),
        "n": AgentSpec(kind="function"),
    }
    drive = Drive(step("a", agent="m", fallback="n"), agents=agents, run=LIMITED)
    drive.fails("a").fails("a", "rate_limited")
    assert (drive.names, drive.agent("a")) == ([], "n")
    assert drive.wait(3).names == ["a#3"]


def test_a_failure_that_is_final_leaves_no_fallback() -> None:
    drive = Drive(step("a", fallback="g", retry=TWICE))
    assert drive.fails("a", "over_budget", final=True, message="too dear").phase == "failed"
    drive = Drive(step("a", fallback="g", retry=TWICE)).fails("a", "over_budget")
    assert drive.agent("a") == "g"


# -- anything at any time -------------------------------------------------------------------


class HedgeRules(RuleBasedStateMachine):
    """Steps whose calls are always late; every rule may come at any time."""

    def __init__(self) -> None:
        super().__init__()
        retry = Retry(tries=2, first=SECOND, jitter=0.0)
        self.drive = Drive(
            step("a", hedge=0.5, retry=retry, fallback="g", timeout="9s", on_failure="skip"),
            step("s", each="[1, 2]", hedge=0.5, retry=retry, on_failure="continue"),
            step("b", needs="a", hedge=0.9, on_failure="skip"),
            step("q", kind="input", timeout="40s"),
            start=False,
            thorough=False,
            hedge=2,
        )
        self.past: list[Call] = []
        self.started: dict[Call, None] = {}

    def _one(self, data: st.DataObject) -> Call:
        call = data.draw(st.sampled_from(self.drive.machine.calls.in_flight()))
        self.past.append(call)
        return call

    @precondition(lambda self: self.drive.asked and self.drive.machine.admits)
    @rule(data=st.data())
    def a_call_starts(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(list(self.drive.asked)))
        assert self.drive.asked[path].call not in self.started, "a name is used twice"
        self.started[self.drive.asked[path].call] = None
        self.drive.launch(path)

    @precondition(lambda self: self.drive.asked)
    @rule(data=st.data())
    def a_call_cannot_be_asked(self, data: st.DataObject) -> None:
        asked = self.drive.asked.pop(data.draw(st.sampled_from(list(self.drive.asked))))
        fault = Fault(kind="over_budget", message="too dear")
        self.drive.apply(CallFailed(at=self.drive.at, call=asked.call, fault=fault))

    @precondition(lambda self: self.drive.names)
    @rule(data=st.data())
    def a_call_finishes(self, data: st.DataObject) -> None:
        event = CallFinished(at=self.drive.at, call=self._one(data), output="out")
        self.drive.apply(event)

    @precondition(lambda self: self.drive.names)
    @rule(data=st.data(), kind=st.sampled_from(["failed", "rate_limited", "permanent"]))
    def a_call_fails(self, data: st.DataObject, kind: Any) -> None:
        fault = Fault(kind=kind, message="broken")
        self.drive.apply(CallFailed(at=self.drive.at, call=self._one(data), fault=fault))

    @precondition(lambda self: self.drive.names)
    @rule(data=st.data(), reason=st.sampled_from(["timeout", "hedge", "stop"]))
    def a_call_is_stopped(self, data: st.DataObject, reason: str) -> None:
        call = self._one(data)
        self.drive.apply(CallCancelled(at=self.drive.at, call=call, reason=reason))

    @rule(seconds=st.sampled_from([0.5, 2, 9, 50]))
    def time_passes(self, seconds: float) -> None:
        self.drive.wait(seconds)

    @rule(what=st.sampled_from(["pause", "go_on", "retry a", "retry s", "send q", "retry"]))
    def somebody_acts(self, what: str) -> None:
        name, _, path = what.partition(" ")
        before = state_of(self.drive.machine)
        try:
            if name == "send":
                self.drive.send(path, "text")
            else:
                getattr(self.drive, name)(*filter(None, [path]))
        except Refused:
            assert state_of(self.drive.machine) == before

    @rule(hard=st.booleans(), sure=st.integers(0, 9))
    def the_operator_cancels(self, hard: bool, sure: int) -> None:
        if sure == 9 and self.drive.machine.phase != "ended":
            self.drive.cancel(hard=hard)

    @rule()
    def the_process_dies(self) -> None:
        self.drive.crash()

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def a_fact_comes_again(self, data: st.DataObject) -> None:
        call, at = data.draw(st.sampled_from(self.past)), self.drive.at
        self.drive.ignored(CallFinished(at=at, call=call, output="again"))
        self.drive.ignored(CallStarted(at=at, call=call, agent="f", hedge_after=0))
        self.drive.ignored(CallLost(at=at, call=call))

    @invariant()
    def a_fold_and_a_fork_are_the_machine(self) -> None:
        state = state_of(self.drive.machine)
        assert state_of(fold(self.drive.events)) == state
        assert state_of(self.drive.machine.fork()) == state

    @invariant()
    def the_shell_has_what_the_machine_waits_for(self) -> None:
        drive = self.drive
        jobs = drive.machine.calls.jobs.values()
        wanted = [str(Call(j.path, n)) for j in jobs for n in range(1, j.last + 1)]
        wanted = [name for name in wanted if _asked(drive, name)]
        assert sorted(wanted) == sorted(str(start.call) for start in drive.asked.values())

    @invariant()
    def no_job_has_three_calls(self) -> None:
        for job in self.drive.machine.calls.jobs.values():
            assert len(job.in_flight) <= 2


def _asked(drive: Drive, name: str) -> bool:
    path, _, attempt = name.partition("#")
    return drive.machine.calls.jobs[path].awaits(Call(path, int(attempt)))


TestHedges = pytest.mark.slow(HedgeRules.TestCase)
TestHedges.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
