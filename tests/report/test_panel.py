"""What is told of a panel: who has contributed, and who is missing and why."""

from typing import Any

from tests.machines import Drive, plan, step

from hocket.core.specs import StepSpec
from hocket.core.values import SECOND
from hocket.insight.tally import Tally
from hocket.report.data import run_document
from hocket.report.panel import panel_lines, panels
from hocket.workflows.panel import Panel, panel_step


def drive(*contributors: StepSpec, **more: Any) -> Drive:
    described = Panel(
        question="why?", contributors=contributors, synthesis=step("x", agent="g"), **more
    )
    return Drive(plan(panel_step("r", described)))


FOUR = (step("a"), step("b"), step("c"), step("d", when="false"))


def test_a_panel_shows_who_was_missing_when_its_reply_was_begun() -> None:
    shown = drive(*FOUR, quorum=1).fails("r/b")
    assert panels(shown.machine) == {}
    shown.done("r/a", "two\nlines").done("r/c", "after it").done("r/synthesis", "so")
    [(path, panel)] = panels(shown.machine).items()
    assert panel_lines(path, panel) == [
        "r: panel replies to 1 of 3 contributions",
        "",
        "  WHO             SAYS",
        "  a               two lines",
        "  b    missing    failed: broken",
        "  c    missing    late",
        "  d    not asked  when: false is false",
    ]


def test_a_revised_reply_shows_what_it_was_revised_with() -> None:
    shown = drive(*FOUR[:2], quorum=1, late=5 * SECOND).done("r/a", 1).done("r/synthesis", "x")
    assert not panels(shown.machine)["r"].revised
    shown.done("r/b", 2).done("r/revision", "y")
    panel = panels(shown.machine)["r"]
    assert (panel.revised, panel.contributions, panel.missing) == (True, {"a": 1, "b": 2}, {})
    assert panel_lines("", panel)[0] == (
        "panel replies to 2 of 2 contributions, revised with what came late"
    )


def test_a_router_that_fails_is_told_of() -> None:
    shown = drive(*FOUR[:1], select=step("x")).fails("r/select", "permanent").done("r/a", 1)
    panel = panels(shown.machine)["r"]
    assert panel.unselected == "broken"
    assert panel_lines("r", panel)[-1] == (
        "  select    failed, so that everybody was asked: broken"
    )


def test_programs_get_it_too() -> None:
    shown = drive(*FOUR[:2]).fails("r/b").done("r/a", 1)
    assert run_document(shown.machine, Tally())["panels"] == {
        "r": {
            "contributions": {"a": 1},
            "missing": {"b": "failed: broken"},
            "skipped": {},
            "revised": False,
            "unselected": None,
        }
    }
