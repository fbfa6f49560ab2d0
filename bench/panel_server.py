"""A provider on the loopback that speaks OpenAI's chat API, and does as the model's name says.

``after-300`` answers after 300 ms, ``fails-300`` fails then, ``talks-N`` streams N words at once.
It notes when each request had arrived and when each answer had left, by the monotonic clock that
all processes of a machine share, and tells on ``GET /log``.

Run as a script it prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOG: list[dict[str, Any]] = []


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    data = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    payload = b"data: " + json.dumps(data).encode() + b"\n\n"
    return f"{len(payload):x}\r\n".encode() + payload + b"\r\n"


def answer(words: list[str]) -> Iterator[bytes]:
    yield (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    yield chunk({"role": "assistant", "content": ""})
    for word in words:
        yield chunk({"content": word})
    usage = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)}
    yield chunk({}, "stop") + chunk({}, choices=[], usage=usage) + b"e\r\ndata: [DONE]\n\n\r\n"
    yield b"0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            arrived = time.monotonic_ns()
            length = head.partition("content-length:")[2].split("\r\n")[0].strip()
            body = await reader.readexactly(int(length or 0))
            if head.startswith("get /log"):
                payload = json.dumps(LOG).encode()
                LOG.clear()
                size = f"Content-Length: {len(payload)}\r\n\r\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\n" + size + payload)
            else:
                await reply(json.loads(body)["model"], arrived, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        # Whoever asked has gone away.
        writer.close()


async def reply(model: str, arrived: int, writer: asyncio.StreamWriter) -> None:
    what, _, number = model.partition("-")
    if what != "talks":
        await asyncio.sleep(int(number) / 1000)
    if what == "fails":
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    else:
        words = ["It", *[" goes on."] * (int(number) - 1)] if what == "talks" else ["so"]
        for part in answer(words):
            writer.write(part)
    await writer.drain()
    LOG.append({"model": model, "arrived": arrived, "left": time.monotonic_ns()})


@contextmanager
def server() -> Iterator[str]:
    """Run it in a process of its own; gives its address."""
    child = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def read_log(address: str) -> dict[str, dict[str, int]]:
    """Give what was noted since the last time, by model."""
    with urllib.request.urlopen(f"{address}/log") as found:
        return {entry["model"]: entry for entry in json.load(found)}


async def main() -> None:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    # Answers that nobody waits for any more need not be waited for here.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
