"""The `local` agent with the real model in its real child process, and what needs neither."""

import asyncio
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.agents.context import FakeContext, request

from hocket.agents import local, weights
from hocket.agents.base import Reply, Request
from hocket.agents.local import NOTE, LocalAgent
from hocket.agents.local_child import Child
from hocket.agents.local_schema import bounded, most_tokens
from hocket.agents.output import fault
from hocket.core.errors import AgentError, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec

T = TypeVar("T")
CANARY = "canary-4f1c9a"
COMMIT = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["fix", "feature", "docs", "test"]},
        "risk": {"type": "number", "minimum": 0, "maximum": 1},
        "size": {"type": "integer", "minimum": 1, "maximum": 5},
        "summary": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}},
    },
    "required": ["kind", "risk", "size", "summary", "tags"],
}


def asked(value: Any, output: Any = None, **options: Any) -> Request:
    return request(value, output=output, options=options)


class Watched(FakeContext):
    """Says when the answer has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def emit(self, text: str, stream: str = "out") -> None:
        super().emit(text, stream)
        if len(self.shown) >= 3:
            self.begun.set()


def make(state: Path, **options: Any) -> LocalAgent:
    return LocalAgent("demo", AgentSpec(kind="local", options=options), state=state, live={})


class Desk:
    """One agent for all tests, so that the model is loaded once, and the loop that it lives in."""

    def __init__(self, state: Path) -> None:
        self.runner = asyncio.Runner()
        self.agent = make(state)
        self.state = state

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, value: Any, output: Any = None, **options: Any) -> tuple[Reply, FakeContext]:
        context = FakeContext()
        return self.run(self.agent.call(asked(value, output, **options), context)), context

    def refused(self, value: Any, output: Any = None, **options: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.ask(value, output, **options)
        return caught.value

    def child(self) -> Child:
        async def get() -> Child:
            return await self.agent._child(FakeContext())

        return self.run(get())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    try:
        weights.fetch()
    except AgentError as error:
        pytest.skip(f"no weights: {error.fault.message}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", CANARY)
        made = Desk(tmp_path_factory.mktemp("state"))
        yield made
        made.run(made.agent.close())
        made.runner.close()


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not running(pid)


def idle(pid: int, within: float = 3.0) -> bool:
    """Whether a process stops computing; the story that is told would take it longer."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    until = time.monotonic() + within
    while time.monotonic() < until:
        before = ticks()
        time.sleep(0.2)
        if ticks() - before <= 2:
            return True
    return False


# ---- with the model ----


def test_text_comes_while_it_is_written_and_says_that_it_is_a_demo(desk: Desk) -> None:
    reply, context = desk.ask("Say hello.", max_tokens=24)
    assert isinstance(reply.output, str)
    assert context.text() == reply.output
    assert len(context.shown) > 3
    assert NOTE in reply.notes
    assert reply.usage is not None
    assert reply.usage.cost == 0
    assert 0 < (reply.usage.tokens_out or 0) <= 24
    assert (reply.usage.tokens_in or 0) > 10


def test_a_text_that_is_cut_says_so(desk: Desk) -> None:
    reply, _ = desk.ask("Tell a long story.", max_tokens=5)
    assert "answer cut at 5 tokens" in reply.notes


def test_a_schema_holds_with_its_bounds_also_for_calls_side_by_side(desk: Desk) -> None:
    async def many() -> list[Reply]:
        calls = (
            desk.agent.call(
                asked(f"Commit {i}: repair the parser. Describe it.", COMMIT), FakeContext()
            )
            for i in range(6)
        )
        return await asyncio.gather(*calls)

    for reply in desk.run(many()):
        output = reply.output
        assert output["kind"] in COMMIT["properties"]["kind"]["enum"]
        assert 0 <= output["risk"] <= 1
        assert 1 <= output["size"] <= 5
        assert len(output["summary"]) <= 160
        assert len(output["tags"]) <= 6
        assert NOTE in reply.notes


def test_an_answer_that_is_cut_before_its_json_ends_is_invalid(desk: Desk) -> None:
    error = desk.refused("Describe a parser.", COMMIT, max_tokens=6)
    assert error.fault.kind == "invalid_output"
    assert "6 tokens" in error.fault.message
    assert isinstance(error.usage, Usage)
    assert error.usage.tokens_out == 6


def test_a_schema_that_cannot_be_enforced_is_a_permanent_fault(desk: Desk) -> None:
    error = desk.refused("x", {"type": "string", "maxLength": "many"})
    assert error.fault.kind == "permanent"
    for schema in ({"type": "strong"}, {"not": {"type": "string"}}, {"$ref": "#/nowhere"}):
        error = desk.refused("x", schema, max_tokens=8)
        assert error.fault.kind == "permanent", schema
    assert desk.ask("x", {"enum": ["a", "b"]})[0].output in {"a", "b"}, "the child still answers"


def test_a_prompt_that_is_too_long_is_cut_in_its_middle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "CONTEXT", 400)
    reply, _ = desk.ask("first " + "blah " * 40_000 + " last", {"enum": ["yes", "no"]})
    assert reply.output in {"yes", "no"}
    assert any("cut in its middle" in note for note in reply.notes)
    assert reply.usage is not None
    assert 250 < (reply.usage.tokens_in or 0) <= 400


def test_the_cut_keeps_both_ends_and_whole_characters(desk: Desk) -> None:
    text = "START " + "ü€😀 " * 3_000 + "END"
    kept, notes = desk.run(local._squeeze(desk.child(), text, "", 300))
    assert kept.startswith("START ")
    assert kept.endswith(" END")
    assert "\ufffd" not in kept
    assert len(notes) == 1
    assert len(desk.run(local._tokens(desk.child(), kept))) <= 300


def test_a_system_text_that_leaves_no_room_is_refused(desk: Desk) -> None:
    error = desk.refused({"prompt": "x " * 400, "system": "be brief " * 2_000})
    assert error.fault.kind == "permanent"


def test_a_cancelled_call_stops_the_model_and_says_what_was_spent(desk: Desk) -> None:
    async def cancel() -> Watched:
        context = Watched()
        task = asyncio.create_task(desk.agent.call(asked("Tell a long story."), context))
        await context.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return context

    context = desk.run(cancel())
    assert len(context.spent) == 1
    assert (context.spent[0].tokens_out or 0) >= 3
    assert context.spent[0].cost == 0
    assert idle(desk.child().pid), "the model still works on the cancelled call"


def test_the_key_is_in_no_argument_environment_or_file(desk: Desk) -> None:
    child = desk.child()
    assert re.fullmatch(r"[0-9a-f]{64}", child._key)
    told = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    told += Path(f"/proc/{child.pid}/environ").read_bytes()
    told += b"".join(path.read_bytes() for path in desk.state.rglob("*") if path.is_file())
    assert child._key.encode() not in told
    assert CANARY.encode() not in told


def test_the_server_listens_on_the_loopback_alone_and_wants_the_key(desk: Desk) -> None:
    child = desk.child()
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{child._port:04X}")
    ]
    assert listening == [f"0100007F:{child._port:04X}"]
    key, child._key = child._key, "wrong"
    try:
        error = desk.refused("Hi")
    finally:
        child._key = key
    assert error.fault.kind == "permanent"
    assert "401" in error.fault.message


def test_a_crash_fails_the_call_as_unavailable_and_the_next_one_starts_anew(desk: Desk) -> None:
    child = desk.child()

    async def crash() -> None:
        context = Watched()
        task = asyncio.create_task(desk.agent.call(asked("Tell a long story."), context))
        await context.begun.wait()
        os.kill(child.pid, signal.SIGSEGV)
        await task

    with pytest.raises(AgentError) as caught:
        desk.run(crash())
    assert caught.value.fault.kind == "unavailable"
    assert f"signal {signal.SIGSEGV}" in caught.value.fault.message
    assert desk.ask("Hi", max_tokens=2)[0].output
    assert desk.child().pid != child.pid


def test_closing_ends_the_child_and_a_closed_agent_may_start_again(
    tmp_path: Path, desk: Desk
) -> None:
    async def use() -> list[int]:
        agent, pids = make(tmp_path), []
        for _ in range(2):
            await agent.call(asked("Hi", max_tokens=1), FakeContext())
            pids.append((await agent._child(FakeContext())).pid)
            await agent.close()
        await agent.close()
        return pids

    assert all(gone(pid) for pid in desk.run(use()))


PARENT = """
import asyncio, os, sys
from pathlib import Path
from hocket.agents.local import LocalAgent
from hocket.core.specs import AgentSpec

class Context:
    hard = False
    def emit(self, text, stream="out"): pass

async def main():
    agent = LocalAgent("demo", AgentSpec(kind="local"), state=Path(sys.argv[1]), live={})
    print((await agent._child(Context())).pid, flush=True)
    if sys.argv[2] == "fork" and os.fork() == 0:
        os.setsid()  # a third process holds our end of the pipe
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path, desk: Desk, how: str) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), how],
        stdout=subprocess.PIPE,
        env=env,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        forked = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        time.sleep(0.2)
        others = [int(each) for each in forked.read_text().split() if int(each) != pid]
        parent.kill()
        parent.wait()
        try:
            assert gone(pid)
        finally:
            for other in others:
                os.kill(other, signal.SIGKILL)


# ---- without the model ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "smollm2-135m"}, "did you mean 'model'?"),
        ({"model": "gpt"}, "agents.demo.model"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"threads": "all"}, "threads"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(tmp_path, **options)
    assert message in str(caught.value)


def ask_once(agent: LocalAgent, question: Request) -> AgentError:
    async def once() -> None:
        try:
            await agent.call(question, FakeContext())
        finally:
            await agent.close()

    with pytest.raises(AgentError) as caught:
        asyncio.run(once())
    return caught.value


def test_a_step_cannot_set_what_belongs_to_the_agent(tmp_path: Path) -> None:
    error = ask_once(make(tmp_path), asked("Hi", threads=2))
    assert error.fault.kind == "permanent"
    assert "threads" in error.fault.message


def test_without_the_extra_the_fault_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    error = ask_once(make(tmp_path), asked("Hi"))
    assert error.fault.kind == "permanent"
    assert "pip install 'hocket[local]'" in error.fault.message


def test_weights_with_a_wrong_hash_are_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF not it")
    monkeypatch.setenv("HOCKET_WEIGHTS", str(tmp_path / "model.gguf"))
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: True)
    error = ask_once(make(tmp_path), asked("Hi"))
    assert error.fault.kind == "permanent"
    assert "hash" in error.fault.message


def test_a_download_is_shown_and_ends_when_the_agent_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []

    def fetch(progress: weights.Progress, *, stop: threading.Event) -> Path:
        for done in range(0, 1001, 10):
            progress(done * 1_000_000, 1_000_000_000)
        stopped.append(stop.wait(10))
        raise fault("unavailable", "given up")

    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(weights, "fetch", fetch)

    async def close_early() -> FakeContext:
        agent, context = make(tmp_path), Watched()
        call = asyncio.create_task(agent.call(asked("Hi"), context))
        await context.begun.wait()
        await asyncio.sleep(0.05)
        await agent.close()
        with pytest.raises(asyncio.CancelledError):
            await call
        return context

    context = asyncio.run(close_early())
    assert stopped == [True]
    assert len(context.shown) == 11
    assert context.text("err").startswith("downloading SmolLM2-135M: 0 of 1000 MB\n")


def test_a_model_that_cannot_be_loaded_is_a_clear_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"GGUF not it")
    monkeypatch.setattr(weights, "fetch", lambda progress, stop: broken)
    error = ask_once(make(tmp_path), asked("Hi"))
    assert error.fault.kind == "unavailable"
    assert "did not start" in error.fault.message or "died" in error.fault.message


def test_every_text_and_list_gets_an_end() -> None:
    schema = bounded(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "array", "items": {"type": ["string", "null"]}},
                "c": {"anyOf": [{"type": "string", "maxLength": 9}, {"$ref": "#/$defs/d"}]},
                "e": {"type": "string", "enum": ["x"]},
            },
            "$defs": {"d": {"type": "string", "minLength": 500}},
        }
    )
    assert schema["properties"]["a"]["maxLength"] == 160
    assert schema["properties"]["b"]["maxItems"] == 6
    assert schema["properties"]["b"]["items"]["maxLength"] == 160
    assert schema["properties"]["c"]["anyOf"][0]["maxLength"] == 9
    assert schema["$defs"]["d"]["maxLength"] == 500
    assert "maxLength" not in schema["properties"]["e"]
    assert schema["additionalProperties"] is False
    assert schema["x-guidance"] == {"whitespace_flexible": False}
    json.dumps(schema)


def test_the_longest_answer_is_known_where_a_schema_has_one() -> None:
    assert most_tokens({"enum": ["yes", "no"]}) <= 10
    assert most_tokens({"type": "boolean"}) <= 10
    assert 100 <= most_tokens({"type": "string", "maxLength": 100}) <= 110
    assert most_tokens(bounded(COMMIT)) < 400
    endless = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
    }
    assert most_tokens(bounded(endless)) > 100_000
    wide: dict[str, Any] = {"$ref": "#/$defs/n0", "$defs": {"n60": {"type": "boolean"}}}
    for i in range(60):
        pair = {"x": {"$ref": f"#/$defs/n{i + 1}"}, "y": {"$ref": f"#/$defs/n{i + 1}"}}
        wide["$defs"][f"n{i}"] = {"type": "object", "properties": pair}
    began = time.monotonic()
    assert most_tokens(bounded(wide)) > 100_000
    assert time.monotonic() - began < 1
