"""What a pausing run shows costs what is live, and not a look at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pytest
from tests.insight.kit import new_machine
from tests.insight.random_runs import QuickTeamWorld, QuickWorld
from tests.machines import Drive, plan, step

from hocket.core.events import AnyEvent
from hocket.core.machine import StepView
from hocket.workflows.plan import PlanMachine


def test_counts_of_a_pausing_run_look_only_into_what_has_something_within(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = plan(step("one"), step("two", needs="one"), name="inner")
    drive = Drive(
        step("a"),
        *(step(f"b{number}", needs="a") for number in range(20)),
        step("each", each="[1, 2]", needs="a"),
        step("n", kind="plan", plan=inner, needs="a"),
        step("done", kind="plan", plan=inner),
    )
    drive.pause().done("a").done("done/one")
    asked: list[Collection[str] | None] = []
    made = PlanMachine.view

    def view(self: PlanMachine, only: Collection[str] | None = None) -> list[StepView]:
        if self is drive.machine.workflow:
            asked.append(only)
        return made(self, only)

    monkeypatch.setattr(PlanMachine, "view", view)
    counts = drive.machine.counts()
    assert (counts["succeeded"], counts["pending"], counts["running"]) == (1, 22, 1)
    assert [sorted(only or "all") for only in asked] == [["done", "each", "n"]]
    asked.clear()
    plain = Drive(step("a"), step("b", needs="a")).pause().done("a")
    drive = plain
    assert plain.machine.counts()["pending"] == 1
    assert asked == []


def judge(events: list[AnyEvent]) -> int:
    """Counts and rows say the same; gives how often something stood as pending in a pause."""
    machine, stood = new_machine(), 0
    for event in events:
        machine.apply(event)
        if machine.phase != "pausing":
            continue
        views = Counter(view.status for view in machine.view() if "/" not in view.path)
        counts = machine.counts()
        assert counts["pending"] == views["pending"]
        under_way = ("running", "waiting", "held")
        assert sum(counts.get(one, 0) for one in under_way) == sum(views[one] for one in under_way)
        stood += counts["pending"] > machine.workflow.counts()["pending"]
    return stood


def test_counts_of_random_runs_are_those_of_their_rows() -> None:
    runs = [QuickWorld(seed).live().events for seed in range(12)]
    runs += [QuickTeamWorld(seed).live().events for seed in range(6)]
    assert sum(judge(events) for events in runs) > 100
