"""How much longer a run will take, as its terminal says it."""

import time
from types import SimpleNamespace
from typing import Any

from tests.machines import Drive, plan, step

from hocket.cli.live import left_words
from hocket.core.events import Forecasted
from hocket.core.values import MINUTE


def test_nothing_is_promised_while_only_people_are_waited_for() -> None:
    sure = step("sure", kind="approve", input="Publish it?")
    drive = Drive(plan(step("a"), sure, step("b", needs=("sure",))))
    at = time.time_ns() + 10 * MINUTE
    drive.apply(Forecasted(at=drive.at, low=at, high=at, finish=at))
    run: Any = SimpleNamespace(machine=drive.machine)
    assert "to go" in left_words(run), "a call is under way"
    drive.done("a")
    assert left_words(run) == ""
