"""Connects to one MCP server, over HTTP or as a child process that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeAlias

import anyio
import httpx2
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from hocket.agents.child import reap
from hocket.agents.guard import guard
from hocket.agents.mcp_server import Server
from hocket.agents.output import clip, fault
from hocket.agents.terminal import plain

Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]

_CHUNK: Final = 65_536
_LONGEST: Final = 16 << 20
"""The most bytes of one message of a server."""
_GRACE: Final = 1.0
"""How long a server may take to end by itself, and again after it was asked to, in seconds."""
_DYING: Final = 5.0
"""How long a killed server is waited for; one in an uninterruptible wait takes longer."""
_LOOK: Final = 0.01


@asynccontextmanager
async def client(
    server: Server, env: Mapping[str, str], headers: Mapping[str, str]
) -> AsyncIterator[Client]:
    """Connect to a server, in whichever era of the protocol it speaks.

    Args:
        server: How it is reached.
        env: The whole environment of its process.
        headers: What to send with each request.

    Raises:
        AgentError: ``permanent``: it cannot be started, or a variable is not set.
    """
    for name, variable in server.headers_env:
        if name not in headers:
            raise fault("permanent", f"MCP server {server.name}: {variable} is not set")
    if server.url:
        timeout = httpx2.Timeout(30.0, read=None)
        async with (
            httpx2.AsyncClient(headers=dict(headers), timeout=timeout, trust_env=False) as http,
            _talking(streamable_http_client(server.url, http_client=http)) as found,
        ):
            yield found
    else:
        async with _talking(_program(server, env)) as found:
            yield found


def _talking(transport: AbstractAsyncContextManager[Any]) -> Client:
    return Client(transport, mode="auto", cache=None)


@asynccontextmanager
async def _program(server: Server, env: Mapping[str, str]) -> AsyncIterator[Streams]:
    """Start a server, and carry messages to and from it; at the end its whole group is killed."""
    process = _start(server, env)
    try:
        to_us, ours = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        theirs, to_them = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as group:
            group.start_soon(_read, process, to_us)
            group.start_soon(_write, process, to_them)
            group.start_soon(_drain, process)
            try:
                yield ours, theirs
            finally:
                with anyio.CancelScope(shield=True):
                    _close(process.stdin)
                    await _until_exit(process, _GRACE)
                    _signal(process, signal.SIGTERM)
                    await _until_exit(process, _GRACE)
                for stream in (to_us, ours, theirs, to_them):
                    stream.close()
                group.cancel_scope.cancel()
    finally:
        # Also what it has begun itself, and has not ended: nobody has waited for the process yet,
        # so that the group's number cannot mean another.
        _signal(process, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await _until_exit(process, _DYING)
        reap(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            _close(pipe)


def _start(server: Server, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    program = server.command[0]
    guard.ready()
    try:
        process = subprocess.Popen(
            server.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=server.cwd,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        said = f"MCP server {server.name}: {program!r} cannot be started: {why}"
        raise fault("permanent", said) from error
    guard.add(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
    return process


async def _read(
    process: subprocess.Popen[bytes], to_us: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    """Hand on what a server says, a line for each message, until it says no more."""
    assert process.stdout is not None
    pending = bytearray()
    async with to_us:
        while data := await _some(process.stdout.fileno()):
            pending += data
            *lines, rest = pending.split(b"\n")
            pending = bytearray(rest)
            try:
                for line in lines:
                    if line.strip():
                        await to_us.send(_message(bytes(line)))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # Nobody listens any more; what a server still writes must not hold it up.
                continue
            if len(pending) > _LONGEST:
                return


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        shown = clip(plain(line[:400].decode("utf-8", "replace")), 200)
        return ValueError(f"the server has written what is no message: {shown}")


async def _write(
    process: subprocess.Popen[bytes], to_them: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    assert process.stdin is not None
    try:
        async with to_them:
            async for message in to_them:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await _all(process.stdin.fileno(), text.encode() + b"\n")
    except (BrokenPipeError, ValueError, anyio.ClosedResourceError):
        # The server is gone, or is being ended: whoever waits for it hears that from `_read`.
        return


async def _drain(process: subprocess.Popen[bytes]) -> None:
    """Read what a server says beside the protocol, so that it is never held up."""
    assert process.stderr is not None
    while await _some(process.stderr.fileno()):
        continue


async def _some(pipe: int) -> bytes:
    while True:
        try:
            return os.read(pipe, _CHUNK)
        except BlockingIOError:
            await anyio.wait_readable(pipe)


async def _all(pipe: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            await anyio.wait_writable(pipe)


async def _until_exit(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a process has ended, without taking its number from it."""
    for _ in range(round(seconds / _LOOK)):
        if _exited(process):
            return
        await anyio.sleep(_LOOK)


def _exited(process: subprocess.Popen[bytes]) -> bool:
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, how) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # All of it has ended; or, on some systems, only a zombie is left.
        return


def _close(pipe: Any) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            # What could not be written any more is of no use to anybody.
            return
