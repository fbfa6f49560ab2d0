"""The real Claude Code and Codex, warm and one-shot, with a model on the loopback.

They run where ``HOCKET_TEST_CLAUDE`` and ``HOCKET_TEST_CODEX`` name the programs, or the PATH has
them: ``npm install --prefix DIR @anthropic-ai/claude-code @openai/codex``.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agents.coding_agents import home, options_of, real, session_agent, until
from tests.agents.coding_server import READ, WRITTEN, CodingServer
from tests.agents.context import FakeContext, request

from hocket.agents.session import SessionAgent
from hocket.agents.session_group import members
from hocket.core.errors import AgentError
from hocket.core.people import Consent

pytestmark = pytest.mark.anyio

KINDS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            real(kind) is None,
            reason=f"no {kind} on the PATH; HOCKET_TEST_{kind.upper()} can name one",
        ),
    )
    for kind in ("claude", "codex")
]
EACH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-for-the-loopback")


@asynccontextmanager
async def working(
    kind: str, tmp_path: Path, **more: Any
) -> AsyncIterator[tuple[SessionAgent, CodingServer]]:
    async with CodingServer() as server:
        variables = home(tmp_path / "home", server.url)
        options = options_of(kind, real(kind) or "", variables, **more)
        agent = session_agent(tmp_path / "state", **options)
        try:
            yield agent, server
        finally:
            await agent.close()


async def begun(server: CodingServer, task: asyncio.Task[Any]) -> None:
    """Wait until a call has reached the model."""
    came = asyncio.create_task(server.prompted.wait())
    await asyncio.wait({came, task}, return_when=asyncio.FIRST_COMPLETED)
    came.cancel()
    assert not task.done(), task.result()


@EACH
async def test_calls_of_one_process_know_nothing_of_each_other(kind: str, tmp_path: Path) -> None:
    async with working(kind, tmp_path, pool=1) as (agent, server):
        for word in ("ALPHA", "BRAVO", "CHARLIE"):
            context = FakeContext()
            reply = await agent.call(request(f"say {word}"), context)
            assert reply.output == f"say {word}" == context.text()
            assert reply.usage is not None
            assert (reply.usage.tokens_in, reply.usage.tokens_out) == (READ, WRITTEN)
        seen = server.prompts()
        assert len(seen) == 3
        for i, word in enumerate(("ALPHA", "BRAVO", "CHARLIE")):
            assert word in seen[i].all
            assert not any(other in seen[i].all for other in {"ALPHA", "BRAVO", "CHARLIE"} - {word})
        (state,) = agent.pools.state()
        assert (state.spawned, state.jobs, state.warm) == (1, 3, True)


@EACH
async def test_a_cancelled_turn_is_interrupted_and_the_process_goes_on(
    kind: str, tmp_path: Path
) -> None:
    async with working(kind, tmp_path, pool=1) as (agent, server):
        task = asyncio.create_task(agent.call(request("HANG"), FakeContext()))
        await begun(server, task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reply = await agent.call(request("still there"), FakeContext())
        assert reply.output == "still there"
        assert "HANG" not in server.prompts()[-1].all
        assert agent.pools.state()[0].spawned == 1


@EACH
async def test_what_it_asks_permission_for_is_shown_whole_and_decided_by_a_person(
    kind: str, tmp_path: Path
) -> None:
    made = tmp_path / "work" / "made"
    made.parent.mkdir()
    tool = "Bash" if kind == "claude" else "exec_command"
    key = "command" if kind == "claude" else "cmd"
    prompt = f'TOOL {tool} {{"{key}": "touch {made}"}}'
    async with working(kind, tmp_path, pool=1, cwd=str(made.parent)) as (agent, _):
        context = FakeContext()
        context.consent = Consent(False, "not today")
        reply = await agent.call(request(prompt), context)
        [note] = reply.notes
        assert note.startswith("permission was denied: ")
        assert note.endswith(": not today")
        assert f"touch {made}" in context.asked[-1]
        assert not made.exists()
        context.consent = Consent(True)
        await agent.call(request(prompt), context)
        assert len(context.asked) == 2
        # Codex may answer before a command that takes long has ended.
        await until(made.exists)
        assert f"touch {made}" in context.text("err")


@EACH
async def test_one_shot_gives_the_same(kind: str, tmp_path: Path) -> None:
    async with working(kind, tmp_path, pool=1, one_shot="always") as (agent, server):
        for word in ("ALPHA", "BRAVO"):
            context = FakeContext()
            assert (await agent.call(request(word), context)).output == word
            assert word in context.text()
        assert len(server.prompts()) == 2
        assert agent.pools.state()[0].spawned == 2


@EACH
async def test_a_process_that_is_killed_fails_its_call_and_is_replaced(
    kind: str, tmp_path: Path
) -> None:
    async with working(kind, tmp_path, pool=1) as (agent, server):
        task = asyncio.create_task(agent.call(request("HANG"), FakeContext()))
        await begun(server, task)
        (pid,) = agent.pools.pids()
        assert members(pid)
        os.kill(pid, 9)
        with pytest.raises(AgentError) as caught:
            await task
        assert caught.value.fault.kind == "failed"
        assert "killed by SIGKILL" in caught.value.fault.message
        assert (await agent.call(request("again"), FakeContext())).output == "again"
        state = agent.pools.state()[0]
        assert (state.spawned, state.failed) == (2, 1)
