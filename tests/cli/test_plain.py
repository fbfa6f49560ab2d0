"""What the lines of a run say while it goes, where no journal can bring it about in time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.engine.kit import plan, step

from hocket.app.run import Run
from hocket.cli import plain as module
from hocket.cli.plain import PlainDisplay
from hocket.core.calls import Calls
from hocket.core.events import CallLost, CallStarted, Recorded, RunResumed
from hocket.core.machine import JobSpec
from hocket.core.specs import Retry
from hocket.core.values import Call


class Standing:
    """A run with one call, as a display sees it."""

    def __init__(self, *, effects: bool = True) -> None:
        self.id = "r"
        self.calls = Calls()
        job = JobSpec(
            agents=("a",), effects=(effects,), retry=Retry(), timeout=1, output=None, options={}
        )
        self.calls.do("s", job, 0)
        self.machine = SimpleNamespace(
            run="r", calls=self.calls, questions={}, phase="new", spec=plan(step("s"))
        )
        self.queued: list[Any] = []
        self.undone: dict[str, int] = {}

    def lost(self, *before: Any) -> list[Recorded]:
        """Start its call and lose it."""
        call = Call("s", 1)
        started, lost = CallStarted(at=0, call=call, agent="a"), CallLost(at=1, call=call)
        self.calls.started(started)
        self.calls.lost(lost)
        events = [started, *before, lost]
        return [Recorded(number, event) for number, event in enumerate(events, 1)]


def begun(run: Standing) -> PlainDisplay:
    display = PlainDisplay()
    display.begin(cast(Run, run))
    return display


@pytest.mark.parametrize("effects", [True, False])
def test_a_held_call_is_shown_at_once_with_what_settles_it(
    effects: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        run = Standing(effects=effects)
        display = begun(run)
        display.recorded(run.lost())
        display.end()

    asyncio.run(main())
    said = capsys.readouterr().err
    assert "s#1 was in flight when its worker died" in said
    for line in ("to do it again: hocket retry r s", "if it was done: hocket send r s OUTPUT"):
        assert (line in said) is effects


def test_a_call_that_was_lost_with_its_owner_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        run = Standing()
        display = begun(run)
        display.recorded(run.lost(RunResumed(at=1, epoch=2)))
        display.end()

    asyncio.run(main())
    assert "s#1 was in flight when its process died" in capsys.readouterr().err


def test_what_has_nobody_to_do_it_is_told_once_each_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.005)
    monkeypatch.setattr(module, "_LONG", 0)

    async def main() -> None:
        run, lines = Standing(), list[str]()
        display = begun(run)
        monkeypatch.setattr(display, "say", lines.append)
        for count in (1, 2):
            run.undone = {"room for cpu 1 on the cluster": 1}
            while len(lines) < count:  # noqa: ASYNC110 - it looks at intervals
                await asyncio.sleep(0.005)
            looks = 0
            while looks < 5:
                await asyncio.sleep(0.005)
                looks += 1
            run.undone = {}
            while display._undone:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        display.end()
        assert lines == ["1 call waits for room for cpu 1 on the cluster"] * 2

    asyncio.run(asyncio.wait_for(main(), 30))
