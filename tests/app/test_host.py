"""A server's host: plans by name, runs side by side, requests to runs of anybody."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hocket.app import driving
from hocket.app.engine import Engine
from hocket.app.host import Full, Host
from hocket.core.errors import JournalError, NotFound, Refused, SpecError
from hocket.core.events import ApprovalAsked, CallStarted, RunResumed
from hocket.core.requests import Approve, Cancel, Continue, Pause, Send
from hocket.journal import schema, slices, store

pytestmark = pytest.mark.anyio

FILE = """
version: 1
plans:
  gate:
    inputs: [what]
    steps:
      good: {command: [echo, done]}
      ok: {approve: "Ship {{inputs.what}}?", needs: [good]}
      after: {command: [echo, shipped], needs: [ok]}
  fails:
    steps:
      bad: {command: [test, -e, "{{inputs.file}}"]}
    inputs: [file]
  quick:
    steps:
      hi: {command: [echo, hi]}
"""
LONG = """
  long:
    steps:
      hi: {command: [sleep, "600"]}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plans.yaml"
    path.write_text(FILE)
    return path


@asynccontextmanager
async def hosting(state: Path, files: Sequence[Path] = (), **how: Any) -> AsyncIterator[Host]:
    """A server's host, as a process of its own would have it."""
    async with Engine(state) as engine:
        host = Host(engine, files, **how)
        await host.open()
        try:
            yield host
        finally:
            await host.close()


def put(file: Path, text: str | None) -> None:
    """Change a file, or remove it."""
    file.unlink() if text is None else file.write_text(text)


async def soon(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something that another thread or process will bring about."""
    async with asyncio.timeout(seconds):
        while not (found := check()):  # noqa: ASYNC110 - a thread brings it about, without an event
            await asyncio.sleep(0.005)
    return found


async def asked(host: Host, run: str) -> Approve:
    """Wait until a run asks for an approval; gives one."""
    found = await soon(lambda: (there := host.driven(run)) and there.questions.get("ok"))
    assert isinstance(found, ApprovalAsked)
    return Approve(by="anna", path="ok", approved=True, digest=found.digest)


def events(host: Host, run: str, kind: type) -> list[Any]:
    return [one.event for one in host.engine.journal.read(run) if isinstance(one.event, kind)]


async def test_an_offered_plan_is_started_by_name_and_runs_to_its_end(
    tmp_path: Path, file: Path
) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        assert [(one.file, one.plan) for one in host.offers()] == [
            ("plans.yaml", "gate"),
            ("plans.yaml", "fails"),
            ("plans.yaml", "quick"),
        ]
        assert list(host.offers()[0].inputs) == ["what"]
        run = await host.start("plans.yaml", "gate", {"what": "it"})
        assert host.row(run).status == "running" and host.engine.journal.hosted.all() == [run]
        await host.ask(run, await asked(host, run))
        await soon(lambda: host.driven(run) is None)
        assert host.row(run).status == "succeeded"
        await soon(lambda: host.engine.journal.hosted.all() == [])


async def test_nothing_else_can_be_started(tmp_path: Path, file: Path) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        for name, plan in ((str(file), "gate"), ("../plans.yaml", "gate"), ("plans.yaml", "gat")):
            with pytest.raises(NotFound):
                await host.start(name, plan, {})
        with pytest.raises(Refused, match="what"):
            await host.start("plans.yaml", "gate", {})
        assert await host.rows() == [] and host.engine.journal.hosted.all() == []


async def test_a_file_is_read_again_when_it_changes_and_its_mistakes_are_told(
    tmp_path: Path, file: Path
) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        before = host.offers()
        assert host.offers()[0] is before[0]
        put(file, FILE.replace("[echo, hi]", "[echo, hi], neds: [x]"))
        (offer,) = host.offers()
        assert offer.plan == "" and "neds" in offer.problems[0]
        with pytest.raises(SpecError, match="neds"):
            await host.start("plans.yaml", "quick", {})
        put(file, FILE.replace("quick", "quicker"))
        assert [one.plan for one in host.offers()][-1] == "quicker"
        put(file, None)
        assert "plans.yaml" in host.offers()[0].problems[0]


async def test_two_files_of_one_name_are_told_apart(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other" / "plans.yaml"
    other.parent.mkdir()
    other.write_text(FILE)
    async with hosting(tmp_path / "state", [file, other]) as host:
        assert {one.file for one in host.offers()} == {str(file), str(other)}
    with pytest.raises(Refused, match="twice"):
        Host(Engine(tmp_path / "state"), [file, file])


async def test_beyond_the_most_runs_none_is_begun(tmp_path: Path, file: Path) -> None:
    put(file, FILE + LONG)
    async with hosting(tmp_path / "state", [file], most=1) as host:
        run = await host.start("plans.yaml", "long", {})
        with pytest.raises(Full, match="1 runs"):
            await host.start("plans.yaml", "quick", {})
        await host.ask(run, Cancel(by="anna"))
        await soon(lambda: not host.runs)
        await host.start("plans.yaml", "quick", {})


async def test_who_waits_for_people_keeps_nobody_from_beginning(tmp_path: Path, file: Path) -> None:
    async with hosting(tmp_path / "state", [file], most=1) as host:
        waiting = [await host.start("plans.yaml", "gate", {"what": "it"})]
        await asked(host, waiting[0])
        while True:
            try:
                waiting.append(await host.start("plans.yaml", "gate", {"what": "it"}))
            except Full:
                break
            await asked(host, waiting[-1])
        # They take memory, after all.
        assert len(waiting) == 10
        answer = await asked(host, waiting[0])
        await host.ask(waiting[0], answer)
        await soon(lambda: waiting[0] not in host.runs)
        quick = await host.start("plans.yaml", "quick", {})
        await soon(lambda: quick not in host.runs)
        assert host.row(quick).status == host.row(waiting[0]).status == "succeeded"


async def test_the_second_who_answers_is_told_who_was_first(tmp_path: Path, file: Path) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        run = await host.start("plans.yaml", "gate", {"what": "it"})
        answer = await asked(host, run)
        await host.ask(run, answer)
        with pytest.raises(Refused, match=r"approved by anna|anna has approved"):
            await host.ask(run, answer)
        with pytest.raises(Refused, match="does not wait"):
            await host.ask(run, Send(by="bert", path="good", value="x"))


async def test_a_paused_run_goes_on(tmp_path: Path, file: Path) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        run = await host.start("plans.yaml", "gate", {"what": "it"})
        answer = await asked(host, run)
        await host.ask(run, Pause(by="anna"))
        assert host.runs[run].machine.paused
        await host.resume(run, by="bert")
        with pytest.raises(Refused, match="paused"):
            await host.resume(run, by="bert")
        await host.ask(run, answer)
        await soon(lambda: host.driven(run) is None)
        assert host.row(run).status == "succeeded"


async def test_a_failed_step_is_done_again(tmp_path: Path, file: Path) -> None:
    async with hosting(tmp_path / "state", [file]) as host:
        there = tmp_path / "there"
        run = await host.start("plans.yaml", "fails", {"file": str(there)})
        await soon(lambda: host.row(run).status == "failed")
        with pytest.raises(Refused, match="ended"):
            await host.ask(run, Cancel(by="anna"))
        there.touch()
        await host.retry(run, "", by="anna")
        await soon(lambda: host.row(run).status == "succeeded")
        with pytest.raises(Refused, match="succeeded"):
            await host.retry(run, "", by="anna")


async def test_a_run_of_another_process_gets_the_request_into_its_inbox(
    tmp_path: Path, file: Path
) -> None:
    state = tmp_path / "state"
    async with hosting(state, [file]) as owner, hosting(state) as other:
        run = await owner.start("plans.yaml", "gate", {"what": "it"})
        answer = await asked(owner, run)
        with pytest.raises(Refused, match="only a paused one"):
            await other.resume(run, by="bert")
        await other.ask(run, answer)
        await soon(lambda: other.row(run).status == "succeeded")
        with pytest.raises(Refused, match=r"anna has approved 'ok' already, at 20.* UTC"):
            await other.ask(run, answer)
        await soon(lambda: other.row(run).status == "succeeded")
        with pytest.raises(NotFound):
            await other.ask("none", Pause())


async def test_what_a_server_was_driving_goes_on_at_the_next(tmp_path: Path, file: Path) -> None:
    state = tmp_path / "state"
    async with hosting(state, [file]) as first:
        run = await first.start("plans.yaml", "gate", {"what": "it"})
        answer = await asked(first, run)
        paused = await first.start("plans.yaml", "gate", {"what": "it"})
        await asked(first, paused)
        await first.ask(paused, Pause(by="anna"))
    async with hosting(state) as second:
        again = await asked(second, run)
        assert again.digest == answer.digest
        await soon(lambda: events(second, run, RunResumed))
        await second.ask(run, again)
        await soon(lambda: second.row(run).status == "succeeded")
        assert len(events(second, run, CallStarted)) == 2, "what had finished is not done again"
        assert second.driven(paused) is None and second.row(paused).status == "paused"
        await soon(lambda: second.engine.journal.hosted.all() == [paused])
        await second.ask(paused, Approve(by="b", path="ok", approved=True, digest=answer.digest))
        await soon(lambda: second.row(paused).status == "succeeded")
        await soon(lambda: second.engine.journal.hosted.all() == [])


async def test_a_run_that_is_taken_over_on_purpose_is_nobodys_to_go_on_with(
    tmp_path: Path, file: Path
) -> None:
    state = tmp_path / "state"
    async with hosting(state, [file]) as first:
        run = await first.start("plans.yaml", "gate", {"what": "it"})
        await asked(first, run)
    async with Engine(state) as engine, await engine.resume(run):
        assert engine.journal.hosted.all() == []
    async with hosting(state) as second:
        assert second.driven(run) is None
        await second.ask(run, Cancel(by="anna"))
        await soon(lambda: second.row(run).status == "cancelled")


async def test_a_paused_run_that_nobody_drives_stays_as_it_is_if_it_refuses(
    tmp_path: Path, file: Path
) -> None:
    state = tmp_path / "state"
    async with hosting(state, [file]) as first:
        run = await first.start("plans.yaml", "gate", {"what": "it"})
        await asked(first, run)
        await first.ask(run, Pause(by="anna"))
    async with hosting(state) as second:
        before = list(second.engine.journal.read(run))
        with pytest.raises(Refused):
            await second.ask(run, Approve(by="b", path="ok", approved=True, digest="0" * 64))
        with pytest.raises(Refused, match="nothing to pause"):
            await second.ask(run, Pause(by="b"))
        assert list(second.engine.journal.read(run)) == before
        assert second.row(run).owner == "" and second.driven(run) is None
        await second.ask(run, Continue(by="b"))
        assert second.driven(run) is not None


async def test_a_run_is_read_once_to_be_forked_or_taken_up_and_others_have_their_turns(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE", 1)
    read: list[str] = []

    def spied(host: Host) -> Host:
        found = host.engine.journal.read

        def spy(run: str, after: int = 0) -> Any:
            read.append(run)
            return found(run, after)

        monkeypatch.setattr(host.engine.journal, "read", spy)
        return host

    async def turns_of(work: Awaitable[Any]) -> int:
        """Do it, and count what turns others have until it is done."""
        turns, task = 0, asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        await task
        return turns

    state = tmp_path / "state"
    async with hosting(state, [file]) as first:
        run = await first.start("plans.yaml", "gate", {"what": "it"})
        await asked(first, run)
        spied(first)
        await first.fork(run, after=None, inputs={}, by="anna", run_id="f")
        assert read == [run]
    async with Engine(state) as engine:
        second = spied(Host(engine))
        read.clear()
        events = second.row("f").events
        try:
            turns = await turns_of(second.resume("f", by="anna"))
        finally:
            await second.close()
        assert turns >= events and read == ["f"]


async def test_what_stopped_on_a_full_disk_goes_on_when_there_is_room(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    room = False

    def fail(*arguments: object) -> Any:
        raise full

    monkeypatch.setattr(schema, "is_room", lambda state: room)
    monkeypatch.setattr(driving, "_WATCH", 0.02)
    async with hosting(tmp_path / "state", [file]) as host:
        runs = [await host.start("plans.yaml", "gate", {"what": what}) for what in "abcdef"]
        answers = {run: await asked(host, run) for run in runs}
        said = list[str]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, told: said.append(told["message"]))
        with monkeypatch.context() as patch:
            patch.setattr(store, "commit", fail)
            patch.setattr(store, "write_owned", fail)
            await host.ask(runs[0], answers[runs[0]])
            await soon(lambda: not host.runs)
        with pytest.raises(JournalError, match="make room"):
            await host.start("plans.yaml", "quick", {})
        told = len(said)
        assert told == len(runs) and all("rests" in one for one in said)
        room = True
        quick = await host.start("plans.yaml", "quick", {})
        await soon(lambda: set(runs) <= set(host.runs))
        for run in runs:
            await host.ask(run, await asked(host, run))
        await soon(lambda: not host.runs)
        assert {host.row(run).status for run in [*runs, quick]} == {"succeeded"}
        assert len(said) == told


async def test_two_who_ask_a_run_that_nobody_drives_find_it_driven_once(
    tmp_path: Path, file: Path
) -> None:
    state = tmp_path / "state"
    async with hosting(state, [file]) as first:
        run = await first.start("plans.yaml", "gate", {"what": "it"})
        answer = await asked(first, run)
        await first.ask(run, Pause(by="anna"))
    async with hosting(state) as second:
        told = await asyncio.gather(
            second.ask(run, answer), second.ask(run, answer), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in told) == ["Refused", "bool"]
        assert "anna" in str(next(one for one in told if isinstance(one, Refused)))
        await soon(lambda: second.row(run).status == "succeeded")


async def test_a_host_may_be_closed_as_soon_as_a_run_has_begun(tmp_path: Path, file: Path) -> None:
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [file])
        run = await host.start("plans.yaml", "gate", {"what": "it"})
        # Nothing has had a turn since.
        await host.close()
        assert not host.runs and not host.row(run).alive


async def test_a_host_that_was_closed_begins_nothing(tmp_path: Path, file: Path) -> None:
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [file])
        await host.close()
        with pytest.raises(Refused, match="ending"):
            await host.start("plans.yaml", "quick", {})
        assert not [one for one in asyncio.all_tasks() if (one.get_name() or "").startswith("run ")]
