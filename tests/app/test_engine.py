"""The engine as a Python program uses it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hocket
from hocket.app.files import save
from hocket.core.events import ApprovalAsked, CallFinished, RunEnded
from hocket.core.requests import Send
from hocket.core.values import FileRef

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[hocket.Engine]:
    async with hocket.Engine(tmp_path / "state") as made:
        yield made


@dataclass
class Patch:
    name: str
    lines: list[int]


def patch(name: str) -> Patch:
    return Patch(name, [1, 2])


async def count(given: Patch) -> int:
    return len(given.lines)


def fails() -> None:
    raise ValueError("no luck")


def chatty(context: hocket.Context) -> str:
    context.emit("one\n")
    context.emit("two\n", "err")
    return "done"


def report(folder: str) -> hocket.File:
    path = Path(folder) / "report.txt"
    path.write_text("all is well")
    return hocket.File(path)


async def test_a_result_has_typed_outputs(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p", inputs=["name"])
    made = plan.call("made", patch, plan.input("name", str))
    counted = plan.call("counted", count, made)
    result = await engine.run(plan, name="x")
    assert result[made] == Patch("x", [1, 2])
    assert result["made"] == {"name": "x", "lines": [1, 2]}
    assert result[counted] == 2 == result.output
    assert (result.status, result.reason) == ("succeeded", "")
    assert [view.status for view in result.steps] == ["succeeded", "succeeded"]
    assert (result.tally.started, result.tally.dollars) == (2, 0)
    with pytest.raises(KeyError, match="there is no step 'nix'"):
        result["nix"]
    # Another process can look at it by its id, typed as well.
    again = engine.result(result.id, plan)
    assert again[made] == result[made]
    assert repr(again) == f"<Result of run {result.id}: succeeded>"


async def test_a_failed_run_raises_and_has_what_it_made(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    made = plan.call("made", patch, "x")
    bad = plan.call("bad", fails, needs=[made])
    with pytest.raises(hocket.RunFailed, match="ValueError: no luck") as caught:
        await engine.run(plan)
    result = caught.value.result
    assert isinstance(result, hocket.Result)
    assert result[made] == Patch("x", [1, 2])
    assert result.status == "failed"
    with pytest.raises(KeyError, match="step 'bad' has no output: it has failed"):
        result[bad]


async def test_mistakes_and_inputs_are_refused_before_anything_is_kept(
    engine: hocket.Engine,
) -> None:
    plan = hocket.Plan("p", inputs=["name"])
    plan.call("made", patch, "x")
    with pytest.raises(hocket.Refused, match="needs the input 'name'"):
        await engine.run(plan)
    with pytest.raises(hocket.Refused, match="no input 'nmae'; did you mean 'name'"):
        await engine.run(plan, nmae="x")
    with pytest.raises(hocket.Refused, match="cannot be a run's id"):
        await engine.run(plan, run_id="a/b", name="x")
    keyed = hocket.Plan("p")
    keyed.command("a", ["env"], settings={"env": {"OPENAI_API_KEY": "sk-1"}})
    with pytest.raises(hocket.SpecError, match="looks like a secret"):
        await engine.run(keyed)
    assert engine.journal.runs() == []


async def test_events_and_tokens_come_while_it_runs(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    plan.call("a", chatty)
    async with engine.start(plan) as run:

        async def tokens() -> list[hocket.Token]:
            return [token async for token in run.tokens()]

        said = asyncio.ensure_future(tokens())
        events = [event async for event in run.events()]
        result = await run.result()
    assert result.output == "done"
    assert isinstance(events[-1], RunEnded)
    assert any(isinstance(event, CallFinished) for event in events)
    assert await said == [("a", "out", "one\n"), ("a", "err", "two\n")]


async def test_people_answer_over_the_run(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    word = plan.ask("word", "Which word?")
    ok = plan.approval("ok", f"Say {word}?")
    said = plan.command("said", ["echo", word], needs=[ok])
    async with engine.start(plan) as run:
        async for event in run.events():
            if event.at and "word" in run.questions:
                run.send(word, "hello")
            if isinstance(event, ApprovalAsked):
                assert event.shown == "Say hello?"
                with pytest.raises(hocket.Refused, match="'said' does not wait for an approval"):
                    run.approve("said")
                run.approve(ok, note="fine", by="ada")
        result = await run.result()
    assert result[said] == "hello"
    assert result[ok].approved is True
    assert (result[ok].by, result[ok].note) == ("ada", "fine")
    with pytest.raises(hocket.Refused):
        run.send(word, "again")


async def test_pause_resume_and_cancel(engine: hocket.Engine) -> None:
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def waits() -> str:
        begun.set()
        await gate.wait()
        return "x"

    plan = hocket.Plan("p", closures=True)
    first = plan.call("first", waits)
    plan.command("second", ["echo", "y"], needs=[first])
    async with engine.start(plan) as run:
        await begun.wait()
        run.pause()
        with pytest.raises(hocket.Refused):
            run.retry("first")
        gate.set()
        while not run.machine.paused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert run.machine.said == "paused"
        run.resume()
        result = await run.result()
        assert result.status == "succeeded"
    gate.clear()
    begun.clear()
    async with engine.start(plan) as run:
        await begun.wait()
        run.cancel()
        result = await run.result()
    assert (result.status, result.reason) == ("cancelled", "cancelled by program")


async def test_a_failed_step_is_retried_on_request(engine: hocket.Engine, tmp_path: Path) -> None:
    plan = hocket.Plan("p")
    plan.command("bad", ["test", "-e", str(tmp_path / "mended")], on_failure="skip")
    asked = plan.ask("asked", "?")
    async with engine.start(plan) as run:
        async for event in run.events():
            if type(event).__name__ == "StepFailed":
                (tmp_path / "mended").touch()
                run.retry("bad")
            elif isinstance(event, CallFinished):
                run.send(asked, "x")
        result = await run.result()
    assert [view.status for view in result.steps] == ["succeeded", "succeeded"]


async def test_a_block_that_is_left_early_can_be_taken_up_again(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    made = plan.call("made", patch, "x")
    asked = plan.ask("asked", "?", made)
    async with engine.start(plan, run_id="mine") as run:
        async for event in run.events():
            if isinstance(event, CallFinished):
                break
    assert engine.result("mine")["made"] == {"name": "x", "lines": [1, 2]}
    with pytest.raises(hocket.Refused, match="began with other inputs"):
        await engine.run(plan, run_id="mine", name="y")
    async with engine.start(plan, run_id="mine") as run:
        run.send(asked, "hi")
        result = await run.result()
    assert result[asked] == "hi"
    assert result.tally.started == 1
    again = await engine.run(plan, run_id="mine")
    assert again[asked] == "hi"
    assert again.tally.started == 1


async def test_running_a_failed_run_again_does_only_what_failed(
    engine: hocket.Engine, tmp_path: Path
) -> None:
    plan = hocket.Plan("p")
    good = plan.command("good", ["sh", "-c", 'echo x >> "$0"', str(tmp_path / "count")])
    plan.command("bad", ["test", "-e", str(tmp_path / "mended")], needs=[good])
    with pytest.raises(hocket.RunFailed):
        await engine.run(plan, run_id="mine")
    (tmp_path / "mended").touch()
    assert (await engine.run(plan, run_id="mine")).status == "succeeded"
    assert (tmp_path / "count").read_text() == "x\n"


async def test_a_request_is_rehearsed_without_a_trace(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    plan.ask("word", "?")
    async with engine.start(plan, run_id="mine"):
        pass
    engine.rehearse("mine", Send(path="word", value="x"))
    with pytest.raises(hocket.Refused, match="there is no step"):
        engine.rehearse("mine", Send(path="wrod", value="x"))
    assert engine.fold("mine").workflow.counts()["succeeded"] == 0


async def test_a_changed_plan_is_refused_with_the_difference(engine: hocket.Engine) -> None:
    def plan(word: str) -> hocket.Plan:
        made = hocket.Plan("p")
        made.command("first", ["echo", "x"])
        asked = made.ask("asked", "?")
        made.command("last", ["echo", word], needs=[asked])
        return made

    async with await engine.begin(plan("old"), {}, run_id="mine", stay=False, wait=False) as run:
        assert (await run.result()).status == "paused"
    with pytest.raises(hocket.Refused, match=r"(?s)has changed since run mine began.*old.*new"):
        await engine.run(plan("new"), run_id="mine")
    async with await engine.resume("mine", plan("new"), new_spec=True) as run:
        run.send("asked", "x")
        result = await run.result()
    assert result["last"] == "new"
    assert result.tally.started == 2


async def test_files_are_kept_by_content(engine: hocket.Engine, tmp_path: Path) -> None:
    plan = hocket.Plan("p")
    made = plan.call("made", report, str(tmp_path))
    result = await engine.run(plan)
    stored = result["made"]
    assert stored["name"] == "report.txt" and stored["size"] == 11
    ref = FileRef(name="report.txt", digest=stored["digest"], size=11)
    save(engine.journal.blobs, ref, tmp_path / "copy.txt")
    assert (tmp_path / "copy.txt").read_text() == "all is well"
    assert made.name == "made"


async def test_many_runs_of_one_engine_at_once(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p", inputs=["name"])
    plan.call("made", patch, plan.input("name", str))
    results = await asyncio.gather(*(engine.run(plan, name=f"n{i}") for i in range(20)))
    assert [result["made"]["name"] for result in results] == [f"n{i}" for i in range(20)]
    assert len({result.id for result in results}) == 20


async def test_a_journal_in_memory_leaves_nothing(tmp_path: Path) -> None:
    plan = hocket.Plan("p")
    plan.call("a", chatty)
    async with hocket.Engine(tmp_path / "state", memory=True) as engine:
        assert (await engine.run(plan)).output == "done"
        assert len(engine.journal.runs()) == 1
    assert not (tmp_path / "state").exists()


async def test_run_sync_in_a_loop_is_refused(engine: hocket.Engine) -> None:
    plan = hocket.Plan("p")
    plan.call("a", chatty)
    with pytest.raises(hocket.Refused, match=r"use `await run\(\.\.\.\)`"):
        engine.run_sync(plan)
    with pytest.raises(hocket.Refused):
        hocket.run_sync(plan)


SCRIPT = """
import os, sys, time
import hocket

def note(name: str) -> str:
    with open("done.txt", "a") as file:
        file.write(name + "\\n")
    return name

def slow(name: str) -> str:
    with open("begun.txt", "a") as file:
        file.write(name + "\\n")
    while not os.path.exists("go"):
        time.sleep(0.01)
    return note(name)

plan = hocket.Plan("script")
one = plan.call("one", note, "one")
two = plan.call("two", slow, one)

if __name__ == "__main__":
    print(hocket.run_sync(plan, run_id="r")[two])
"""


def test_a_script_is_resumed_by_running_it_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    env = os.environ | {
        "HOCKET_HOME": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "script.py"]
    child = subprocess.Popen(command, cwd=tmp_path, env=env)
    try:
        begun = tmp_path / "begun.txt"
        # It is there before the line in it is.
        while not (begun.exists() and begun.read_text() and finished(tmp_path / "state")):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    (tmp_path / "go").touch()
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "one\n"), done
    assert (tmp_path / "done.txt").read_text().split() == ["one", "one"]
    assert (tmp_path / "begun.txt").read_text().split() == ["one", "one"]


def finished(state: Path) -> bool:
    with hocket.Engine(state).journal as journal:  # type: ignore[attr-defined]
        rows = journal.runs()
        return bool(rows) and any(
            isinstance(recorded.event, CallFinished) for recorded in journal.read("r")
        )


def test_the_state_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOCKET_HOME", str(tmp_path / "one"))
    assert hocket.Engine().state == tmp_path / "one"
    monkeypatch.delenv("HOCKET_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "two"))
    assert hocket.Engine().state == tmp_path / "two" / "hocket"
    monkeypatch.setenv("HOCKET_LEASE", "soon")
    with pytest.raises(hocket.Refused, match="HOCKET_LEASE is 'soon'"):
        hocket.Engine()


def test_the_public_names_can_be_listed_and_an_unknown_one_is_an_error() -> None:
    assert set(hocket.__all__) <= set(dir(hocket))
    with pytest.raises(AttributeError, match="has no attribute 'nix'"):
        getattr(hocket, "nix")  # noqa: B009
