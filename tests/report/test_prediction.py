"""How a run's forecast is told beside what it took."""

import pytest
from tests.machines import Drive, plan, step

from hocket.core.events import Forecasted
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.values import SECOND
from hocket.report.prediction import compared_line


def foreseen(*steps: StepSpec | PlanSpec, low: float = 4, high: float = 4) -> Drive:
    """Begin a run whose end is forecast after four seconds."""
    drive = Drive(*steps)
    began = drive.machine.started_at
    at = [began + round(seconds * SECOND) for seconds in (low, 4, high)]
    return drive.apply(Forecasted(at=drive.at, low=at[0], finish=at[1], high=at[2]))


@pytest.mark.parametrize(
    ("took", "low", "high", "said"),
    [
        (4, 4, 4, ", as foreseen"),
        (3.99, 4, 4, ""),
        (4.004, 4, 4, ""),
        (5, 4, 4, ", 25% later"),
        (3, 4, 4, ", 25% sooner"),
        (3, 2.9, 5, ", as foreseen"),
    ],
)
def test_a_difference_is_told_if_there_is_one(
    took: float, low: float, high: float, said: str
) -> None:
    drive = foreseen(step("a"), low=low, high=high)
    drive.wait(took).done("a")
    line = compared_line(drive.machine)
    assert line.startswith("forecast at its start: 4.0 s; it took ")
    assert line.removeprefix("forecast at its start: 4.0 s; it took ")[5:] == said


def test_a_run_that_has_not_come_to_its_end_by_itself_is_not_compared() -> None:
    assert compared_line(foreseen(step("a")).wait(3).done("a").machine)
    asking = step("ok", kind="approve", input="Sure?")
    inner = step("n", kind="plan", plan=plan(step("told", kind="input", input="What?")))
    others = [
        foreseen(step("a")).wait(3).cancel().stopped("a"),
        foreseen(step("a")).wait(3).fails("a", "permanent"),
        foreseen(step("a")).wait(3).crash().done("a"),
        foreseen(step("a"), asking).wait(3).done("a").approve("ok"),
        foreseen(step("a"), inner).wait(3).done("a").send("n/told", "x"),
    ]
    assert [drive.machine.phase for drive in others] == ["ended"] * 5
    assert [compared_line(drive.machine) for drive in others] == [""] * 5
