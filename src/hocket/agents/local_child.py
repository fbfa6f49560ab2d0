"""The parent's side of the local model's child process: its life, its key and its HTTP.

The HTTP client speaks just what this one server needs, so that the demo needs no HTTP package.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hocket.agents.environment import child_environment
from hocket.agents.output import clip, fault
from hocket.core.errors import AgentError, FaultKind
from hocket.core.values import Json, canonical

_LINE = 64 << 20
_START = 120.0
_LONG_LOG = 1 << 20


class Child:
    """A running server. Make one with `Child.start`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._port = 0
        self._key = ""
        self._asked = 0
        self._asking = asyncio.Lock()
        self._grammars: dict[bytes, str] = {}

    @classmethod
    async def start(cls, order: dict[str, Json], *, log: Path) -> Child:
        """Start the process and wait until the model is loaded.

        Raises:
            AgentError: ``unavailable``: it did not come up; the detail holds the end of its log.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(file).st_size > _LONG_LOG:
                os.truncate(file, 0)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hocket.agents.local_server"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                cwd=log.parent,
                env=_environment(),
                # A Ctrl-C at the terminal pauses the run; the calls in flight are to finish.
                start_new_session=True,
                limit=_LINE,
            )
        finally:
            os.close(file)
        child = cls(process, log)
        try:
            async with asyncio.timeout(_START):
                hello = await child._ask(order | {"parent": os.getpid()})
        except TimeoutError:
            await child.close()
            raise child._died("did not start within two minutes") from None
        except BaseException:
            await child.close()
            raise
        if "error" in hello:
            await child.close()
            raise child._died(f"did not start: {hello['error']}")
        child._port = urlsplit(hello["address"]).port or 0
        child._key = hello["key"]
        return child

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as is known."""
        return self._process.returncode is None

    async def grammar(self, schema: Json) -> str:
        """Give the grammar of a schema.

        Raises:
            AgentError: ``permanent``: the schema cannot be made into one.
        """
        key = canonical(schema)
        if key not in self._grammars:
            answer = await self._ask({"schema": schema})
            if "error" in answer:
                message = "the local model cannot hold to this output schema"
                raise fault("permanent", f"{message}: {clip(answer['error'])}")
            self._grammars[key] = answer["grammar"]
        return self._grammars[key]

    async def _ask(self, question: dict[str, Json]) -> dict[str, Any]:
        """Ask over the pipe. Whoever was cancelled left an answer behind: its number tells."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        async with self._asking:
            self._asked += 1
            number = self._asked
            try:
                stdin.write(json.dumps(question | {"id": number}).encode() + b"\n")
                await stdin.drain()
                while line := await stdout.readline():
                    answer: dict[str, Any] = json.loads(line)
                    if answer.get("id") == number:
                        return answer
            except (ConnectionError, ValueError) as error:
                raise await self.died() from error
        raise await self.died()

    async def died(self) -> AgentError:
        """Give the fault of a call whose process went away, with the end of its log."""
        try:
            async with asyncio.timeout(2):
                status = await self._process.wait()
        except TimeoutError:
            return self._died("does not answer")
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return self._died(f"died {how}; the next call starts it anew")

    def _died(self, what: str) -> AgentError:
        tail = ""
        try:
            tail = self._log.read_text("utf-8", "replace")[-2000:]
        except OSError as error:
            tail = f"no log: {error.strerror}"
        return fault("unavailable", f"the local model's process {what}", tail)

    async def post(self, path: str, body: Json) -> Any:
        """Send JSON, get JSON.

        Raises:
            AgentError: The process went away or refused.
        """
        parts: list[bytes] = []
        async with aclosing(self._exchange(path, body)) as stream:
            async for part in stream:
                parts.append(part)
        try:
            return json.loads(b"".join(parts))
        except ValueError as error:
            raise await self.died() from error

    async def events(self, path: str, body: Json) -> AsyncGenerator[dict[str, Any], None]:
        """Send JSON, get server-sent events until ``[DONE]``.

        Closing the iterator closes the connection, at which the server stops writing.

        Raises:
            AgentError: The process went away, refused, or broke off.
        """
        rest = b""
        async with aclosing(self._exchange(path, body)) as stream:
            async for part in stream:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        return
                    event: dict[str, Any] = json.loads(data)
                    if "error" in event:
                        raise _refusal(int(event["error"].get("code", 500)), data)
                    yield event
        raise await self.died()

    async def _exchange(self, path: str, body: Json) -> AsyncGenerator[bytes, None]:
        payload = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer {self._key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
        )
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(head.encode() + payload)
            await writer.drain()
            status, chunked = await _head(reader)
            if status != 200:
                raise _refusal(status, await reader.read(4096))
            async for part in _chunks(reader) if chunked else _plain(reader):
                yield part
        except (OSError, EOFError, ValueError) as error:
            raise await self.died() from error
        finally:
            if writer is not None:
                # Not a polite goodbye: the server is to notice at once and free the slot.
                writer.transport.abort()

    async def close(self) -> None:
        """End the process; it is gone when this returns."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(2):
                await self._process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended by itself
            await self._process.wait()
            if isinstance(error, asyncio.CancelledError):
                raise


def _environment() -> dict[str, str]:
    # The child is to find the very packages that the parent has, and no key.
    folders = [folder or os.getcwd() for folder in sys.path]
    return child_environment({"PYTHONPATH": os.pathsep.join(folders)})


async def _head(reader: asyncio.StreamReader) -> tuple[int, bool]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    return int(lines[0].split()[1]), "transfer-encoding: chunked" in lines


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def _plain(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while part := await reader.read(1 << 16):
        yield part


def _refusal(status: int, body: bytes) -> AgentError:
    kind: FaultKind = "unavailable" if status >= 500 or status == 429 else "permanent"
    return fault(
        kind, f"the local model refused the call (status {status})", body.decode("utf-8", "replace")
    )
