"""How a run's forecast is told beside what it took."""

from types import SimpleNamespace
from typing import Any

import pytest

from hocket.core.values import SECOND
from hocket.report.prediction import compared_line


@pytest.mark.parametrize(
    ("took", "low", "high", "said"),
    [
        (4000, 4, 4, ", as foreseen"),
        (3990, 4, 4, ""),
        (4004, 4, 4, ""),
        (5000, 4, 4, ", 25% later"),
        (3000, 4, 4, ", 25% sooner"),
        (3000, 3, 5, ", as foreseen"),
    ],
)
def test_a_difference_is_told_if_there_is_one(took: int, low: int, high: int, said: str) -> None:
    foreseen = SimpleNamespace(finish=4 * SECOND, low=low * SECOND, high=high * SECOND)
    at = took * SECOND // 1000
    machine: Any = SimpleNamespace(foreseen=foreseen, phase="ended", started_at=0, at=at)
    line = compared_line(machine)
    assert line.startswith("forecast at its start: 4.0 s; it took ")
    assert line.removeprefix("forecast at its start: 4.0 s; it took ")[5:] == said
