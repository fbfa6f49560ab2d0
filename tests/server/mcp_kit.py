"""A real MCP client, the SDK's, before a real server: over stdio or HTTP, in either era."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult
from tests.server.kit import serving

ERAS = {"legacy": "2025-11-25", "2026-07-28": "2026-07-28"}
"""The versions of the protocol, by the client's mode."""

DRAFT: dict[str, Any] = {
    "title": "Tidy up",
    "summary": "Says hello, and then goodbye.",
    "steps": [
        {"name": "hello", "agent": "one", "prompt": "greet"},
        {"name": "bye", "agent": "two", "prompt": "{{hello}}", "needs": ["hello"]},
    ],
    "confidence": {"task_clarity": 0.9, "context": 0.9, "approach": 0.9, "feasibility": 0.9},
    "risks": [{"what": "nobody listens", "severity": "critical", "mitigation": "speak up"}],
}
CONTEXT = {"about": "nothing", "files": [], "facts": [], "unknown": []}
VERDICT = {"verdict": "reject", "confidence": 1.0, "issues": ["it is wrong"], "reason": "so"}


def speaker(*replies: Any) -> dict[str, Any]:
    return {"scripted": {"replies": [{"output": reply} for reply in replies]}}


FILE: dict[str, Any] = {
    "version": 1,
    "agents": {
        "planner": {
            "scripted": {
                "by": {
                    "Somebody else is going to plan": [{"output": CONTEXT}],
                    "Draft a plan": [{"output": DRAFT}],
                }
            }
        },
        "one": speaker("forty two"),
        "two": speaker("goodbye"),
        "judge": speaker(VERDICT),
        "long": speaker("word " * 40_000),
        "slow": {"scripted": {"replies": [{"output": "late", "after": "60s"}]}},
    },
    "plans": {
        "quick": {"steps": {"say": {"agent": "one", "prompt": "hello"}}},
        "lengthy": {"steps": {"say": {"agent": "long", "prompt": "hello"}}},
        "sleepy": {"steps": {"say": {"agent": "slow", "prompt": "hello"}}},
        "many": {"steps": {f"ok{n}": {"approve": f"{n} " + "ä" * 900} for n in range(50)}},
        "loud": {"steps": {"say": {"call": "builtins:print", "with": ["on stdout"]}}},
        "told": {
            "steps": {
                "word": {"input": "which word?"},
                "say": {"agent": "one", "prompt": "{{word}}"},
            },
            "output": "{{word}}",
        },
        "gate": {
            "inputs": {"what": {"about": "what to ship"}},
            "steps": {
                "ok": {"approve": "ship {{inputs.what}}?"},
                "done": {"agent": "one", "prompt": "go", "needs": ["ok"]},
            },
        },
    },
}


def write_file(folder: Path) -> Path:
    path = folder / "hocket.yaml"
    path.write_text(yaml.safe_dump(FILE, sort_keys=False))
    return path


class Talk:
    """One client's talk with a server."""

    def __init__(self, answer: Callable[[str], Any] | None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        """What the person was shown."""
        self.progress: list[str] = []
        self.client: Client

    async def elicited(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        assert self.answer is not None
        said = self.answer(params.message)
        if hasattr(said, "__await__"):
            said = await said
        if isinstance(said, str):
            return ElicitResult(action=said)
        return ElicitResult(action="accept", content=said)

    async def call(self, name: str, **args: Any) -> dict[str, Any]:
        result = await self._call(name, args)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        # What a client without structures reads is the same.
        assert json.loads(result.content[0].text) == result.structured_content
        assert len(result.content[0].text.encode()) <= 4_000
        return result.structured_content

    async def refused(self, name: str, **args: Any) -> str:
        result = await self._call(name, args)
        assert result.is_error, result.structured_content
        return str(result.content[0].text)

    async def _call(self, name: str, args: dict[str, Any]) -> Any:
        async def progress(done: float, total: float | None, said: str | None) -> None:
            self.progress.append(f"{done:g}/{total:g} {said}")

        return await self.client.call_tool(name, args, progress_callback=progress)

    async def read(self, uri: str) -> str:
        (part,) = (await self.client.read_resource(uri)).contents
        return str(part.text)  # type: ignore[union-attr]


def yes(shown: str) -> dict[str, Any]:
    return {"approved": True, "note": "fine"}


def no(shown: str) -> dict[str, Any]:
    return {"approved": False, "note": "not today"}


@asynccontextmanager
async def talking(
    transport: Any, mode: str, answer: Callable[[str], Any] | None = yes
) -> AsyncIterator[Talk]:
    talk = Talk(answer)
    ask = None if answer is None else talk.elicited
    async with Client(transport, mode=mode, elicitation_callback=ask) as client:
        assert client.protocol_version == ERAS.get(mode, client.protocol_version)
        talk.client = client
        yield talk


def program(folder: Path) -> StdioServerParameters:
    """``hocket mcp`` on the file and the state folder of a test."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "hocket", "mcp", str(write_file(folder))],
        env={"HOCKET_HOME": str(folder / "state"), "PATH": os.environ["PATH"]},
    )


def over_stdio(
    folder: Path, mode: str, answer: Callable[[str], Any] | None = yes
) -> AbstractAsyncContextManager[Talk]:
    return talking(program(folder), mode, answer)


@asynccontextmanager
async def over_http(
    folder: Path,
    mode: str,
    answer: Callable[[str], Any] | None = yes,
    role: str = "operate",
) -> AsyncIterator[Talk]:
    with serving(folder / "state", [write_file(folder)]) as served:
        async with talking_to(served.url, served.token(role), mode, answer) as talk:
            yield talk


@asynccontextmanager
async def talking_to(
    url: str, token: str, mode: str, answer: Callable[[str], Any] | None = yes
) -> AsyncIterator[Talk]:
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        timeout = httpx2.Timeout(60.0)
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        yield await stack.enter_async_context(talking(transport, mode, answer))
