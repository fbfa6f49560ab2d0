"""A provider on the loopback that really enforces its limits, and remembers what it counted.

It speaks enough of OpenAI's chat API for a `model` agent with a `base_url`, and has an endpoint for
plain HTTP: ``POST /call?model=NAME&who=NAME&left=NANOSECONDS``.
Every request is delayed a little at random, counted in exact sliding windows of its model, and
answered; one too many is refused with 429 and Retry-After, and takes no room in any window.

In a test's own loop::

    async with LimitServer({"": (Bound(9, 2 * SECOND),)}) as server:
        ...
    assert worst(server.log, 2 * SECOND, "m") <= 9

As a process of its own, which ends with whoever started it::

    with child("--rate", "9/2s", "--jitter", "30ms", log=path) as server:
        ...
    assert worst(read_log(path), 2 * SECOND) <= 9
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import parse_qs, urlsplit

import msgspec
from tests.agents.provider_server import event, usage

from hocket.core.values import SECOND, parse_duration

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("So ", "it ", "is", ".")

RetryAfter = Literal["exact", "whole", "none"]
Kind = Literal["requests", "tokens"]


class Counted(msgspec.Struct, frozen=True):
    """A request as it was counted.

    Fields:
        at: When, in nanoseconds of the monotonic clock, which all processes of a machine share.
        model: Whom it asked.
        status: 200 or 429.
        tokens: What it used; 0 if it was refused.
        who: Who asked, where the request says so.
        way: How long it was on its way, where the request says when it left.
    """

    at: int
    model: str
    status: int
    tokens: int = 0
    who: str = ""
    way: int = 0


@dataclass(frozen=True)
class Bound:
    """So many requests, or tokens, in any stretch of so many nanoseconds."""

    amount: int
    per: int
    kind: Kind = "requests"


# ---- judging a log ----


def worst(
    log: Iterable[Counted], per: int, model: str | None = None, *, refused: bool = True
) -> int:
    """Give the highest count in any stretch of `per` nanoseconds, without its first instant.

    Args:
        log: What was counted.
        per: The length of the stretch.
        model: Of whom alone; None for all together.
        refused: Whether requests count that were refused, too.
    """
    window: deque[int] = deque()
    most = 0
    for one in sorted(log, key=lambda one: one.at):
        if (model is not None and one.model != model) or (one.status != 200 and not refused):
            continue
        window.append(one.at)
        while window[0] <= one.at - per:
            window.popleft()
        most = max(most, len(window))
    return most


def refusals(log: Iterable[Counted]) -> int:
    """Give how many requests were refused."""
    return sum(one.status == 429 for one in log)


def episodes(log: Iterable[Counted], quiet: int) -> int:
    """Give how many bursts of refusals there were, with so many nanoseconds of quiet between."""
    instants = sorted(one.at for one in log if one.status == 429)
    return sum(i == 0 or at - instants[i - 1] > quiet for i, at in enumerate(instants))


def read_log(path: Path) -> list[Counted]:
    """Read what a server has written; a last line that is cut is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Counted) for line in lines]


# ---- counting ----


@dataclass
class Window:
    """What counts of one bound at present."""

    bound: Bound
    entries: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0

    def forget(self, now: int) -> None:
        while self.entries and self.entries[0][0] <= now - self.bound.per:
            self.total -= self.entries.popleft()[1]

    def wait(self, weight: int, now: int) -> int:
        """Give how long it takes until so much more fits; a weight above all fits never."""
        over = self.total + weight - self.bound.amount
        if over <= 0:
            return 0
        for at, entry in self.entries:
            over -= entry
            if over <= 0:
                return at + self.bound.per - now
        return self.bound.per

    def add(self, weight: int, now: int) -> None:
        self.entries.append((now, weight))
        self.total += weight


class LimitServer:
    """Use it as an asynchronous context manager.

    Args:
        bounds: What each model allows; those of ``""`` are for every model without its own, each
            with windows of its own.
        jitter: The most nanoseconds that a request takes before it is counted.
        latency: How many nanoseconds it takes from there to the head of its answer.
        writing: How many nanoseconds it takes to write a streamed answer's words.
        seed: Where the jitter comes from.
        retry_after: How a refusal says when to come again.
        headers: Whether answers carry ``x-ratelimit-`` headers.
        announced: What those call the limit of requests, if not what it is.
        tokens_out: The tokens of an answer, unless the request wants fewer.
        path: Where to write what was counted, a line each.
    """

    def __init__(
        self,
        bounds: Mapping[str, Sequence[Bound]],
        *,
        jitter: int = 0,
        latency: int = 0,
        writing: int = 0,
        seed: int = 0,
        retry_after: RetryAfter = "exact",
        headers: bool = False,
        announced: int | None = None,
        tokens_out: int = 7,
        path: Path | None = None,
    ) -> None:
        self.log: list[Counted] = []
        self._bounds = {model: tuple(given) for model, given in bounds.items()}
        self._windows: dict[str, list[Window]] = {}
        self._jitter, self._latency, self._writing = jitter, latency, writing
        self._random = random.Random(seed)
        self._retry_after, self._headers, self._announced = retry_after, headers, announced
        self._tokens_out = tokens_out
        self._path = path
        self._file: TextIO | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where plain HTTP goes, as in ``http://127.0.0.1:4711``."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """What to write as a `base_url`."""
        return f"{self.address}/v1"

    async def __aenter__(self) -> "LimitServer":
        if self._path is not None:
            self._file = self._path.open("a", buffering=1)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2_000)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()
        if self._file is not None:
            self._file.close()

    def count(
        self, model: str, tokens: int, who: str = "", left: int = 0
    ) -> tuple[int, dict[str, str]]:
        """Count a request now; give its status and what its answer's head says."""
        now = time.monotonic_ns()
        windows = self._windows.get(model)
        if windows is None:
            bounds = self._bounds.get(model, self._bounds.get("", ()))
            windows = self._windows[model] = [Window(bound) for bound in bounds]
        wait = 0
        for window in windows:
            window.forget(now)
            wait = max(wait, window.wait(_weight(window, tokens), now))
        if not wait:
            for window in windows:
                window.add(_weight(window, tokens), now)
        way = now - left if left else 0
        counted = Counted(now, model, 429 if wait else 200, 0 if wait else tokens, who, way)
        self.log.append(counted)
        if self._file is not None:
            self._file.write(msgspec.json.encode(counted).decode() + "\n")
        told = self._told(windows, now) if self._headers else {}
        if wait and self._retry_after != "none":
            told["Retry-After"] = _seconds(wait, whole=self._retry_after == "whole")
        return counted.status, told

    def _told(self, windows: Sequence[Window], now: int) -> dict[str, str]:
        told: dict[str, str] = {}
        # Of several windows of a kind a provider shows the shortest.
        for window in sorted(windows, key=lambda one: -one.bound.per):
            kind, limit = window.bound.kind, window.bound.amount
            if self._announced is not None and kind == "requests":
                limit = self._announced
            last = window.entries[-1][0] if window.entries else now - window.bound.per
            told[f"x-ratelimit-limit-{kind}"] = str(limit)
            told[f"x-ratelimit-remaining-{kind}"] = str(max(0, limit - window.total))
            told[f"x-ratelimit-reset-{kind}"] = _seconds(last + window.bound.per - now) + "s"
        return told

    # -- HTTP ---------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                await self._once(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    async def _once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = line.split(" ", 2)
        path = urlsplit(target)
        if method == "POST" and path.path == "/call":
            asked = parse_qs(path.query)
            model, who, left = (asked.get(name, [""])[0] for name in ("model", "who", "left"))
            await self._call(model, who, int(left or 0), writer)
        elif method == "POST" and path.path == "/v1/chat/completions":
            await self._chat(json.loads(body), writer)
        else:
            writer.write(_whole("404 Not Found", {"error": {"message": f"no {method} {target}"}}))
        await writer.drain()

    async def _judge(
        self, model: str, tokens: int, who: str = "", left: int = 0
    ) -> tuple[int, dict[str, str]]:
        delay = self._random.random() * self._jitter / SECOND
        if delay:
            await asyncio.sleep(delay)
        status, told = self.count(model, tokens, who, left)
        if self._latency:
            await asyncio.sleep(self._latency / SECOND)
        return status, told

    async def _call(self, model: str, who: str, left: int, writer: asyncio.StreamWriter) -> None:
        status, told = await self._judge(model, 0, who, left)
        if status == 429:
            writer.write(_whole("429 Too Many Requests", _refusal(model), told))
        else:
            writer.write(_whole("200 OK", {"model": model}, told))

    async def _chat(self, body: Any, writer: asyncio.StreamWriter) -> None:
        model = str(body["model"])
        wanted = body.get("max_completion_tokens") or body.get("max_tokens") or self._tokens_out
        used = usage(_read(body["messages"]), min(wanted, self._tokens_out))
        status, told = await self._judge(model, used["total_tokens"])
        if status == 429:
            writer.write(_whole("429 Too Many Requests", _refusal(model), told))
        elif body.get("stream"):
            await self._stream(model, used, told, writer)
        else:
            message = {"role": "assistant", "content": "".join(WORDS)}
            answer = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": used,
            }
            writer.write(_whole("200 OK", answer, told))

    async def _stream(
        self, model: str, used: Any, told: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        begin = event({"role": "assistant", "content": ""}, model=model)
        end = event({}, "stop", model=model)
        end += event({}, model=model, choices=[], usage=used) + b"data: [DONE]\n\n"
        words = [event({"content": word}, model=model) for word in WORDS]
        told = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"} | told
        writer.write(_head("200 OK", told))
        if not self._writing:
            writer.write(_chunk(begin + b"".join(words) + end) + _chunk(b""))
            return
        writer.write(_chunk(begin))
        for word in words:
            await asyncio.sleep(self._writing / len(words) / SECOND)
            writer.write(_chunk(word))
            await writer.drain()
        writer.write(_chunk(end) + _chunk(b""))


def _weight(window: Window, tokens: int) -> int:
    return 1 if window.bound.kind == "requests" else tokens


def _seconds(ns: int, *, whole: bool = False) -> str:
    """Write a wait; rounded up, so that whoever keeps to it is not too early."""
    return str(math.ceil(ns / SECOND)) if whole else f"{math.ceil(ns / 1_000) / 1e6:.6f}"


def _read(messages: Any) -> int:
    """Give the tokens of a prompt: a quarter of its characters."""
    text = sum(len(json.dumps(one.get("content"), ensure_ascii=False)) for one in messages)
    return max(1, text // 4)


def _refusal(model: str) -> Any:
    return {"error": {"message": f"too many requests for {model}", "type": "rate_limit_error"}}


def _whole(status: str, body: Any, headers: Mapping[str, str] | None = None) -> bytes:
    data = json.dumps(body).encode()
    told = {"Content-Type": "application/json", "Content-Length": str(len(data))}
    return _head(status, told | dict(headers or {})) + data


def _head(status: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


# ---- as a process ----


@dataclass(frozen=True)
class Child:
    """A server that runs as a process of its own."""

    address: str
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """What to write as a `base_url`."""
        return f"{self.address}/v1"


@contextlib.contextmanager
def child(*arguments: str, log: Path | None = None) -> Iterator[Child]:
    """Run a server beside the test; it ends when the test lets go of it, whatever happens."""
    command = [sys.executable, "-m", "tests.limits.server", *arguments]
    if log is not None:
        command += ["--log", str(log)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the server did not start; its exit status is {process.wait()}")
        yield Child(address, process)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def read_bounds(
    texts: Iterable[str], kind: Literal["requests", "tokens"]
) -> dict[str, list[Bound]]:
    """Read ``9/2s`` for every model, and ``NAME=2/2s`` for one."""
    bounds: dict[str, list[Bound]] = {}
    for text in texts:
        model, _, rate = text.rpartition("=")
        amount, _, per = rate.partition("/")
        bounds.setdefault(model, []).append(Bound(int(amount), parse_duration(per), kind))
    return bounds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.limits.server")
    parser.add_argument("--rate", action="append", default=[], metavar="[MODEL=]9/2s")
    parser.add_argument("--tokens", action="append", default=[], metavar="[MODEL=]1000/2s")
    parser.add_argument("--jitter", type=parse_duration, default=0)
    parser.add_argument("--latency", type=parse_duration, default=0)
    parser.add_argument("--writing", type=parse_duration, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retry-after", choices=["exact", "whole", "none"], default="exact")
    parser.add_argument("--headers", action="store_true")
    parser.add_argument("--announced", type=int)
    parser.add_argument("--tokens-out", type=int, default=7)
    parser.add_argument("--log", type=Path)
    return parser.parse_args()


async def _main(given: argparse.Namespace) -> None:
    bounds = read_bounds(given.rate, "requests")
    for model, more in read_bounds(given.tokens, "tokens").items():
        bounds.setdefault(model, []).extend(more)
    names = ("jitter", "latency", "writing", "seed", "retry_after", "headers", "announced")
    how = {name: getattr(given, name) for name in (*names, "tokens_out")}
    async with LimitServer(bounds, path=given.log, **how) as server:
        print(server.address, flush=True)
        # Whoever started us closes our input, or is gone.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(_arguments()))
