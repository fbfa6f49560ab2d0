"""Hypothesis plays agents, people and crashes against one plan, and shrinks what it breaks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.machines import Drive, fold, open_questions, plan, state_of, step

from hocket.core.errors import Refused
from hocket.core.events import CallFinished, CallLost, CallStarted
from hocket.core.specs import Approval, Repeat, Retry
from hocket.core.values import Call

SIGN = Approval(timeout=20_000_000_000, on_timeout="reject")
INNER = plan(
    step("one", input="{{inputs.k}}", retry=Retry(tries=2), on_failure="skip"),
    step("ask", kind="approve", input="go?", timeout="30s", on_timeout="reject", needs=("one",)),
    inputs="k",
    name="inner",
)
OUTER = plan(
    step("list", on_failure="continue", retry=Retry(tries=2, first=0)),
    step("each", each="[1, 2, 3]", agent="shell", on_failure="skip", needs=("list",)),
    step("turns", repeat=Repeat(until="turns == 1", max=3), on_failure="skip", fallback=("g",)),
    step("sign", each="[1, 2]", agent="shell", on_failure="skip", approval=SIGN),
    step("sure", kind="input", input="well?", timeout="1m", on_failure="skip"),
    step("nest", kind="plan", plan=INNER, input={"k": "{{list}}"}, on_failure="continue"),
    step("hurry", wants=("each", "turns", "sure"), within="20s", quorum=2),
    step("got", kind="gather", wants=("each", "turns", "nest"), within="20s", quorum=1),
    step("use", input="{{got.there}} {{got.missing}}", needs=("got",), on_failure="skip"),
    step("when", when="steps.hurry.status == 'succeeded'", needs=("hurry",), on_failure="stop"),
    timeout="10m",
)
GATED = msgspec.structs.replace(
    OUTER, approval=Approval(timeout=60_000_000_000, on_timeout="pause")
)
PATHS = (
    *("list", "each", "each/1", "turns", "turns~2", "sure", "sign/0", "sign/1"),
    *("nest", "nest/one", "nest/ask", "use", ""),
)


class PlanMachineRules(RuleBasedStateMachine):
    """One run; every rule is something that can happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.drive = Drive(OUTER, thorough=False)
        self.past: list[Any] = []

    def _try(self, what: str, *args: Any) -> None:
        before = state_of(self.drive.machine)
        try:
            getattr(self.drive, what)(*args)
        except Refused:
            assert state_of(self.drive.machine) == before

    @precondition(lambda self: self.drive.flying)
    @rule(data=st.data(), output=st.sampled_from([None, 1, [1, 2]]))
    def a_call_finishes(self, data: st.DataObject, output: Any) -> None:
        path = data.draw(st.sampled_from(self.drive.flying))
        self.past.append(CallFinished(at=0, call=self.drive.call(path), output=output))
        self.drive.done(path, output)

    @precondition(lambda self: self.drive.flying)
    @rule(data=st.data(), kind=st.sampled_from(["failed", "rate_limited", "permanent"]))
    def a_call_fails(self, data: st.DataObject, kind: Any) -> None:
        self.drive.fails(data.draw(st.sampled_from(self.drive.flying)), kind)

    @precondition(lambda self: self.drive.flying)
    @rule(data=st.data(), reason=st.sampled_from(["timeout", "stop", "cancel"]))
    def a_call_is_stopped(self, data: st.DataObject, reason: str) -> None:
        self.drive.stopped(data.draw(st.sampled_from(self.drive.flying)), reason)

    @rule(seconds=st.sampled_from([0.5, 5, 21, 70, 700]))
    def time_passes(self, seconds: float) -> None:
        self.drive.wait(seconds)

    @rule(path=st.sampled_from(PATHS))
    def somebody_retries(self, path: str) -> None:
        self._try("retry", path)

    @rule(what=st.sampled_from(["pause", "go_on"]))
    def the_operator_acts(self, what: str) -> None:
        self._try(what)

    @rule(hard=st.booleans(), sure=st.integers(0, 9))
    def the_operator_cancels(self, hard: bool, sure: int) -> None:
        if sure == 9:
            before = state_of(self.drive.machine)
            try:
                self.drive.cancel(hard=hard)
            except Refused:
                assert state_of(self.drive.machine) == before

    @precondition(lambda self: self._calls_that_may_ask())
    @rule(data=st.data(), patience=st.sampled_from([3, 40, 300]))
    def a_call_asks(self, data: st.DataObject, patience: float) -> None:
        path, attempt = data.draw(st.sampled_from(self._calls_that_may_ask()))
        self.drive.asks(path, patience=patience, n=attempt)

    def _calls_that_may_ask(self) -> list[tuple[str, int]]:
        jobs = self.drive.machine.calls.jobs.values()
        return [(job.path, job.attempt) for job in jobs if job.state == "running"]

    @precondition(lambda self: self.drive.machine.calls.people.open)
    @rule(data=st.data(), yes=st.booleans())
    def somebody_answers_a_call(self, data: st.DataObject, yes: bool) -> None:
        path = data.draw(st.sampled_from(sorted(self.drive.machine.calls.people.open)))
        self._try("approve", path, yes)

    @rule(path=st.sampled_from(PATHS), yes=st.booleans())
    def somebody_approves(self, path: str, yes: bool) -> None:
        self._try("approve", path, yes)

    @rule(path=st.sampled_from(PATHS))
    def somebody_sends(self, path: str) -> None:
        self._try("send", path, "text")

    @rule()
    def the_process_dies(self) -> None:
        self.drive.crash()

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def a_fact_comes_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.past))
        at = self.drive.at
        self.drive.ignored(CallFinished(at=at, call=event.call, output="again"))
        self.drive.ignored(CallStarted(at=at, call=event.call, agent="f"))
        self.drive.ignored(CallLost(at=at, call=Call(event.call.path, 999)))

    @invariant()
    def a_fold_and_a_fork_are_the_machine(self) -> None:
        state = state_of(self.drive.machine)
        assert state_of(fold(self.drive.events)) == state
        assert state_of(self.drive.machine.fork()) == state

    @invariant()
    def what_waits_has_something_to_wait_for(self) -> None:
        drive = self.drive
        if drive.phase == "running":
            assert drive.flying or drive.held or drive.machine.deadline() is not None
        assert drive.phase != "ended" or not open_questions(drive.machine)


class GatedRules(PlanMachineRules):
    """The same of a plan that a person approves of first."""

    def __init__(self) -> None:
        super().__init__()
        self.drive = Drive(GATED, thorough=False)

    @precondition(lambda self: not self.drive.machine.gate.passed)
    @rule(yes=st.sampled_from([True, True, True, False]))
    def somebody_decides_about_the_plan(self, yes: bool) -> None:
        self._try("approve", "run", yes)

    @invariant()
    def nothing_begins_before_it_is_approved_of(self) -> None:
        if not self.drive.machine.gate.passed:
            assert self.drive.flying == []


TestPlanMachine = pytest.mark.slow(PlanMachineRules.TestCase)
TestGated = pytest.mark.slow(GatedRules.TestCase)
TestPlanMachine.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGated.settings = TestPlanMachine.settings
