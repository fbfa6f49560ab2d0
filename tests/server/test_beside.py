"""The loop that drives runs never waits for a journal that is on another machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.server.kit import Served, serving
from tests.server.mcp_kit import talking_to, write_file

from hocket.app.host import Host
from hocket.core.run import RunMachine
from hocket.insight.tally import Tally
from hocket.journal.base import RunRow
from hocket.server.mcp_desk import Desk

READS = ("find", "runs", "counts", "orphans")


class Reading:
    """What was read from a server's journal, and which of that in the server's own loop."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        async def loop() -> int:
            return threading.get_ident()

        self.loop = served.do(loop)
        self.done: list[str] = []
        self.in_loop: list[str] = []
        journal = served.site.host.engine.journal
        monkeypatch.setattr(journal, "far", True, raising=False)
        for name in READS:
            monkeypatch.setattr(journal, name, self._noted(name, getattr(journal, name)))
        monkeypatch.setattr(journal, "read", self._whole(journal.read))

    def _note(self, name: str) -> None:
        self.done.append(name)
        if threading.get_ident() == self.loop:
            self.in_loop.append(name)

    def _noted(self, name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            self._note(name)
            return read(*args)

        return noted

    def _whole(self, read: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def whole(*args: Any) -> Iterator[Any]:
            for event in read(*args):
                self._note("read")
                yield event

        return whole


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "state", [write_file(tmp_path)]) as found:
        yield found


def test_lists_are_read_beside_the_loop(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for run, inputs in (("one", {"what": "it"}), ("two", {"what": "more"})):
        served.post("/api/runs", {"plan": "gate", "run_id": run, "inputs": inputs})
    served.post("/api/runs/two/pause", {})
    served.until("two", "paused")
    reading = Reading(served, monkeypatch)
    host, walks = served.site.host, []
    paused = host._paused

    def walk() -> list[str]:
        walks.append(threading.get_ident())
        return paused()

    monkeypatch.setattr(host, "_paused", walk)
    counts = served.get("/api/runs?status=paused")["counts"]
    assert counts == {"paused": 1, "running": 1}
    assert [row["id"] for row in served.get("/api/runs?status=paused")["runs"]] == ["two"]
    assert {one["run"] for one in served.get("/api/inbox")["questions"]} == {"one", "two"}
    assert {"runs", "counts"} <= set(reading.done) and reading.in_loop == []
    # Which runs are driven here changes in the loop alone.
    assert walks and set(walks) == {reading.loop}


def test_tools_read_beside_the_loop(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(served, monkeypatch)

    async def session() -> None:
        token = served.token("operate")
        async with talking_to(served.url, token, "2026-07-28", None) as talk:
            run = (await talk.call("execute_task", plan="told", wait_s=20))["run"]
            assert len((await talk.call("list_runs"))["runs"]) == 1
            waiting = await talk.call("run_status", run=run, after=1, wait_s=20)
            assert waiting["news"] and waiting["seq"] > 1
            await talk.call("approve", run=run, approved=True)
            await talk.call("send_input", run=run, step="word", value="tree")
            await talk.call("run_status", run=run, wait_s=20)
            await talk.refused("cancel_run", run=run)
            assert (await talk.call("explain", run=run))["headline"]
            await talk.refused("plan_task", plan=run)
            await talk.refused("execute_task", plan="nothing")

    asyncio.run(session())
    assert {"find", "runs", "counts", "read"} <= set(reading.done)
    assert reading.in_loop == []


def test_a_run_of_another_process_is_folded_anew_only_if_something_has_happened(
    served: Served,
) -> None:
    served.post("/api/runs", {"plan": "sleepy", "run_id": "r"})
    known = served.site.host.engine.look("r")
    events, folded = [3, 3, 3, 4, 4, 4], []

    def row(run: str) -> RunRow:
        seq = events.pop(0)
        return RunRow(
            id=run,
            name="p",
            status="running",
            created=1,
            updated=1,
            events=seq,
            owner="far:1",
            alive=bool(events),
        )

    def look(run: str) -> tuple[RunMachine, Tally]:
        folded.append(run)
        return known

    async def progress(*_: object) -> None:
        return

    engine = SimpleNamespace(look=look)
    host = SimpleNamespace(row=row, driven=lambda run: None, engine=engine)
    desk = Desk(cast(Host, host), cast(Any, None), "anna")
    found = asyncio.run(desk.settle("r", 20, progress))
    assert (found.seq, found.alive) == (4, False)
    assert events == [] and folded == ["r", "r"]
