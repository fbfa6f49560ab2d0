"""A scripted provider on the loopback: OpenAI's chat completions, the same for every program.

It knows what is wanted by what a request offers: tools called ``new_answer`` and ``vote``, or a
schema with a choice among labels.
How long a call takes depends on its model, on what it is for, and on how many of these there were
before; nothing is drawn at random.
Limits are exact sliding windows; what is above them is refused with 429 and Retry-After.

    python bench/consensus_server.py --log FILE --limit flash=9/60 --latency flash=3 --voters split

It prints its address, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

PIECES = 5
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SPREAD = 0.3
"""Latencies are within this share of their base."""
MERIT = re.compile(r"merit (\d+)")
REASON = "It is the most complete of the answers."
ANSWER = (
    "Answer {number}, merit {merit}. The sea looks blue because water absorbs red light more "
    "strongly than blue light, so that what comes back from below has lost its red part; the "
    "reflected sky adds to it where the surface is calm."
)


@dataclass
class Served:
    """One request, as it went; instants are seconds of the monotonic clock.

    Who asks as ``flash-3`` asks the model ``flash`` and is told from ``flash-1``.
    """

    model: str
    name: str
    kind: str = ""
    number: int = 0
    status: int = 0
    came: float = 0.0
    ended: float = 0.0
    bytes_in: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cancelled: bool = False
    choice: str = ""


@dataclass
class Script:
    """What the server goes by, and what it has done."""

    latency: dict[str, float]
    limits: dict[str, tuple[int, float]]
    voters: str
    log: TextIO
    windows: dict[str, deque[float]] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    votes: int = 0
    jitter: float = 0.0
    """By this share calls that are otherwise alike differ between two seeds."""
    seed: str = ""

    def wait(self, model: str, now: float) -> float:
        """Count a request in its window, or say how long to wait until it would fit."""
        limit = self.limits.get(model)
        if limit is None:
            return 0.0
        amount, per = limit
        window = self.windows.setdefault(model, deque())
        while window and window[0] <= now - per:
            window.popleft()
        if len(window) >= amount:
            return window[0] + per - now
        window.append(now)
        return 0.0

    def takes(self, served: Served) -> float:
        """Say how long a call takes."""
        place = (served.model, served.kind)
        served.number = self.numbers[place] = self.numbers.get(place, 0) + 1
        call = f"{served.model} {served.kind} {served.number}"
        takes = self.latency.get(served.model, 1.0) * (1 + SPREAD * _about(call))
        return takes * (1 + self.jitter * _about(f"{call} {self.seed}"))

    def write(self, served: Served) -> None:
        self.log.write(json.dumps(asdict(served)) + "\n")
        self.log.flush()


def _about(name: str) -> float:
    """Give a number from -1 to 1 that depends on a name alone."""
    raw = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(raw[:8], "big") / 2**63 - 1


# ---- what is wanted, and what is given ----


def tool_named(body: Any, name: str) -> Any:
    """Give the parameters of an offered tool, or None."""
    for tool in body.get("tools") or ():
        function = tool.get("function", tool)
        if function.get("name") == name:
            return function.get("parameters") or {}
    return None


def schema_of(body: Any) -> tuple[Any, str]:
    """Give the schema that the reply must fit, and the tool that carries it, or ""."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return wanted["json_schema"]["schema"], ""
    for tool in body.get("tools") or ():
        return tool["function"].get("parameters"), tool["function"]["name"]
    return None, ""


def labels_of(schema: Any) -> list[str]:
    """Find the labels among which a schema lets one choose."""
    if isinstance(schema, dict):
        choices = schema.get("enum")
        if choices and all(isinstance(choice, str) for choice in choices) and len(choices) > 1:
            return list(choices)
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            if found := labels_of(inner):
                return found
    return []


def texts_of(body: Any) -> str:
    parts: list[str] = []
    for message in body.get("messages") or ():
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content)
        parts.append(content)
    return "\n".join(parts)


def by_merit(labels: list[str], text: str) -> list[str]:
    """Order labels by the merit that stands behind their name in a text, best first."""
    found: dict[str, int] = {}
    for label in labels:
        best = None
        for place in re.finditer(rf"\b{re.escape(label)}\b", text):
            merit = MERIT.search(text, place.end())
            if merit and (best is None or merit.start() - place.end() < best[0]):
                best = merit.start() - place.end(), int(merit[1])
        found[label] = -1 if best is None else best[1]
    return sorted(labels, key=lambda label: (-found[label], label))


def fill(schema: Any, choice: str) -> Any:
    """Give a value that fits a schema, with a choice where one is asked for."""
    if schema.get("enum"):
        return choice if choice in schema["enum"] else schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return fill(schema[several][0], choice)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: fill(inner, choice) for name, inner in schema.get("properties", {}).items()}
    if kind in ("number", "integer"):
        return schema.get("maximum", 1)
    return {"array": [], "boolean": True, "null": None}.get(kind, REASON)


def kind_of(script: Script, served: Served, body: Any) -> str:
    """Say what a request is for: ``answer``, ``vote`` or ``present``."""
    seen = bool(MERIT.search(texts_of(body)))
    if tool_named(body, "vote") is not None:
        # Who may still answer does so first.
        may = tool_named(body, "new_answer") is not None
        return "answer" if may and not script.answered.get(served.name) else "vote"
    if labels_of(schema_of(body)[0]):
        return "vote"
    return "present" if seen else "answer"


def reply(script: Script, served: Served, body: Any) -> dict[str, Any]:
    """Make the message that answers a request: its text, or the call of a tool."""
    return vote(script, served, body) if served.kind == "vote" else text(script, served, body)


def text(script: Script, served: Served, body: Any) -> dict[str, Any]:
    """Make an answer, or a presentation, in the form that is asked for."""
    script.answers += served.kind == "answer"
    script.answered[served.name] = 1
    said = ANSWER.format(number=script.answers, merit=1000 - script.answers)
    if tool_named(body, "new_answer") is not None:
        return called("new_answer", {"content": said})
    schema, tool = schema_of(body)
    if schema is None:
        return {"content": said}
    given = _with_text(fill(schema, ""), said)
    return called(tool, given) if tool else {"content": json.dumps(given)}


def vote(script: Script, served: Served, body: Any) -> dict[str, Any]:
    """Make a vote: for the best answer, or for the second best if voters are split."""
    script.votes += 1
    offered = tool_named(body, "vote")
    schema, tool = (offered, "vote") if offered is not None else schema_of(body)
    shown = texts_of(body)
    ordered = by_merit(labels_of(schema) or _ids(shown), shown)
    second = script.voters == "split" and script.votes % 2 == 0 and len(ordered) > 1
    served.choice = ordered[second] if ordered else "agent1"
    if offered is not None:
        return called(tool, {"agent_id": served.choice, "reason": REASON})
    given = fill(schema, served.choice)
    return called(tool, given) if tool else {"content": json.dumps(given)}


def _ids(text: str) -> list[str]:
    return sorted(set(re.findall(r"<(agent\d+)\b", text)))


def _with_text(filled: Any, text: str) -> Any:
    if isinstance(filled, dict):
        return {k: text if v == REASON else _with_text(v, text) for k, v in filled.items()}
    return text if filled == REASON else filled


def called(name: str, given: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(given)}
    return {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


# ---- HTTP ----


class Gone(Exception):
    """The client has closed its connection."""


async def handle(
    script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve the requests of one connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, Gone):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            if "/chat/completions" not in first:
                await send(writer, 200, {"object": "list", "data": []})
                continue
            body = json.loads(raw)
            name = str(body["model"])
            served = Served(model=name.partition("-")[0], name=name, came=time.monotonic())
            served.bytes_in = len(head) + len(raw)
            served.tokens_in = len(texts_of(body)) // 4
            try:
                await answer(script, served, body, reader, writer)
            finally:
                served.ended = time.monotonic()
                script.write(served)
    writer.close()


async def answer(
    script: Script,
    served: Served,
    body: Any,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    served.kind = kind_of(script, served, body)
    wait = script.wait(served.model, time.monotonic())
    if wait > 0:
        served.status = 429
        error = {"error": {"message": "rate limit", "type": "requests", "code": "rate_limit"}}
        await send(writer, 429, error, {"Retry-After": f"{wait:.3f}"})
        return
    served.status = 200
    gone = asyncio.ensure_future(reader.read(1))
    done, _ = await asyncio.wait([gone], timeout=script.takes(served))
    if done:
        served.cancelled = True
        raise Gone
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    message = reply(script, served, body)
    served.tokens_out = max(1, len(json.dumps(message)) // 4)
    used = {"prompt_tokens": served.tokens_in, "completion_tokens": served.tokens_out}
    used["total_tokens"] = sum(used.values())
    finish = "tool_calls" if "tool_calls" in message else "stop"
    base = {"id": "chatcmpl-1", "created": 1, "model": served.model}
    if not body.get("stream"):
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": None} | message,
            "finish_reason": finish,
        }
        whole = {"object": "chat.completion", "choices": [choice], "usage": used}
        await send(writer, 200, base | whole)
        return
    delta_of = {"object": "chat.completion.chunk"}
    chunks: list[Any] = [
        base | delta_of | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in pieces(message)
    ]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    chunks += [base | delta_of | last, base | delta_of | {"choices": [], "usage": used}, "[DONE]"]
    # All at once: a client that reads slowly is not what is measured.
    writer.write(STREAM + b"".join(map(chunk, chunks)) + b"0\r\n\r\n")
    await writer.drain()


def pieces(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a message into what a stream says of it."""
    if "tool_calls" in message:
        call = message["tool_calls"][0]
        return [{"role": "assistant", "content": None, "tool_calls": [call | {"index": 0}]}]
    text = message["content"]
    size = max(1, -(-len(text) // PIECES))
    return [
        {"role": "assistant", "content": ""},
        *({"content": text[i : i + size]} for i in range(0, len(text), size)),
    ]


def chunk(what: Any) -> bytes:
    data = f"data: {what if isinstance(what, str) else json.dumps(what)}\n\n".encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def send(
    writer: asyncio.StreamWriter, status: int, what: Any, headers: dict[str, str] | None = None
) -> None:
    body = json.dumps(what).encode()
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Too Many Requests'}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()


async def serve(script: Script, port: int) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handle(script, reader, writer)

    server = await asyncio.start_server(one, "127.0.0.1", port, limit=1 << 24)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--latency", action="append", default=[], help="MODEL=SECONDS")
    parser.add_argument("--limit", action="append", default=[], help="MODEL=AMOUNT/SECONDS")
    parser.add_argument("--voters", choices=("unanimous", "split"), default="unanimous")
    parser.add_argument("--jitter", type=float, default=0.0, help="by which share seeds differ")
    parser.add_argument("--seed", default="")
    parser.add_argument("--port", type=int, default=0, help="by default any that is free")
    given = parser.parse_args()
    latency = {k: float(v) for k, _, v in (item.partition("=") for item in given.latency)}
    limits = {}
    for item in given.limit:
        name, _, rate = item.partition("=")
        amount, _, per = rate.partition("/")
        limits[name] = int(amount), float(per)
    with given.log.open("a") as log:
        script = Script(latency, limits, given.voters, log)
        script.jitter, script.seed = given.jitter, given.seed
        asyncio.run(serve(script, given.port))


if __name__ == "__main__":
    main()
