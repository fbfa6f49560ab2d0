"""Runs that have not ended are explained up to the present, and it is said who drives them."""

from __future__ import annotations

import pytest

from hocket.app.explain import explain_run
from hocket.app.traces import trace_of_run
from hocket.core.events import CallStarted, RunStarted
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import SECOND, Call
from hocket.journal.memory import MemoryJournal
from hocket.report.explain import explain_lines
from hocket.simulator.loop import run_virtual


def begun() -> MemoryJournal:
    """A journal with a run whose only call left after a second."""
    steps = (StepSpec(name="x", agent="f"),)
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=steps), agents={"f": AgentSpec(kind="function")}
    )
    first = RunStarted(
        at=0,
        run="r",
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=1,
        versions={"plan": 1},
        program="a test",
    )
    journal = MemoryJournal()

    async def main() -> None:
        log = await journal.start(first)
        left = CallStarted(at=SECOND, call=Call("x", 1), agent="f")
        await log.durable(log.append([left]))

    run_virtual(main)
    return journal


def test_a_run_under_way_is_explained_up_to_the_present(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begun()
    monkeypatch.setattr("time.time_ns", lambda: 6 * SECOND)
    told = explain_run(journal, "r")

    assert told.trace.took == 6 * SECOND and told.trace.under_way
    assert explain_lines(told)[0] == "run r (p): running, 6.0 s so far"
    assert trace_of_run(journal, "r").took == SECOND, "what is simulated is what is recorded"


def test_a_run_that_nobody_drives_any_more_is_said_to_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = begun().crash()
    monkeypatch.setattr("time.time_ns", lambda: 24 * SECOND)
    told = explain_run(journal, "r")

    assert explain_lines(told)[0] == "run r (p): stopped (resumable), 24.0 s so far"
    assert {cause.kind: ns // SECOND for cause, ns in told.account.shares.items()} == {
        "down": 23,
        "coordinator": 1,
    }
