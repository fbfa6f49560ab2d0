"""A provider on the loopback that speaks OpenAI's chat API in raw bytes, well or badly.

It does what a script of answers says, one answer a request, the last one for all that follow, and
keeps what it was sent.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True)
class Answer:
    """What to do with a request.

    Fields:
        body: The payload.
        status: The status line's number and words.
        headers: More headers.
        kind: The content type.
        framing: How the end of the body is told.
        cut: Send no more than so many bytes of the payload, then close; None for all.
        pause: Seconds to wait before the head.
        pace: Seconds to wait after each piece of the body.
        piece: Bytes of a piece; 0 for everything at once.
        endless: Repeat the body until the client goes away.
        echo: Put the request's own headers into the body's ``ECHO``.
    """

    body: bytes = b""
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    framing: Framing = "length"
    cut: int | None = None
    pause: float = 0.0
    pace: float = 0.0
    piece: int = 0
    endless: bool = False
    echo: bool = False


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: Any
    raw_head: str


def usage(read: int = 11, written: int = 7) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    """One server-sent event of a chat completion."""
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | more
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def stream(
    pieces: Sequence[str] = ("Hello", ", ", "wörld 😀"),
    finish: str | None = "stop",
    used: dict[str, int] | None = None,
    **how: Any,
) -> Answer:
    """A streamed answer of these pieces of text."""
    body = event({"role": "assistant", "content": ""})
    body += b"".join(event({"content": piece}) for piece in pieces)
    body += event({}, finish)
    body += event({}, choices=[], usage=usage() if used is None else used)
    return sse(body + b"data: [DONE]\n\n", **how)


def tool_stream(arguments: Sequence[str], finish: str = "tool_calls", **how: Any) -> Answer:
    """A streamed answer as the arguments of the tool that was offered."""

    def call(**function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "function": function} | head]}

    head: dict[str, Any] = {"id": "call_1", "type": "function"}
    body = event({"role": "assistant"} | call(name="answer", arguments=""))
    head = {}
    body += b"".join(event(call(arguments=piece)) for piece in arguments)
    body += event({}, finish) + event({}, choices=[], usage=usage())
    return sse(body + b"data: [DONE]\n\n", **how)


def sse(body: bytes, **how: Any) -> Answer:
    return Answer(**{"body": body, "kind": "text/event-stream", "framing": "chunked"} | how)


def whole(text: str = "Hello", finish: str = "stop", **how: Any) -> Answer:
    """An answer in one piece."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage(),
    }
    return Answer(body=json.dumps(body).encode(), **how)


def error(
    status: str, message: str = "no", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    """A refusal as OpenAI writes it."""
    body = {"error": {"message": message, "type": "error"} | more}
    return Answer(body=json.dumps(body).encode(), status=status, headers=headers or {})


def anthropic_stream(text: str = "Hello", **how: Any) -> Answer:
    """A streamed answer as Anthropic's API writes it."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "tiny-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    return sse(b"".join(map(named, events)), **how)


def begun_response() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the Responses API says of an answer that begins, and what one has used."""
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "tiny-1",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "in_progress",
    }
    used = {
        "input_tokens": 11,
        "output_tokens": 7,
        "total_tokens": 18,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return response, used


def responses_stream(text: str = "Hello", **how: Any) -> Answer:
    """A streamed answer as OpenAI's Responses API writes it."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "m1", "type": "message", "role": "assistant", "status": "completed"}
    place = {"item_id": "m1", "output_index": 0, "content_index": 0}
    response, used = begun_response()
    end = {"status": "completed", "output": [item | {"content": [part]}], "usage": used}
    events = [
        {"type": "response.created", "response": response},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": item | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part | {"text": ""}},
        {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []},
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.completed", "response": response | end},
    ]
    body = b"".join(named(each | {"sequence_number": n}) for n, each in enumerate(events))
    return sse(body, **how)


def google_stream(text: str = "Hello", **how: Any) -> Answer:
    """A streamed answer as Google's API writes it."""
    content = {"role": "model", "parts": [{"text": text}]}
    body = {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
        "modelVersion": "tiny-1",
    }
    return sse(b"data: " + json.dumps(body).encode() + b"\r\n\r\n", **how)


def named(event: dict[str, Any]) -> bytes:
    """One server-sent event with its type as its name."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


class ProviderServer:
    """Use it as a context manager; set `answers` before each test's calls."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [stream()]
        self.seen: list[Seen] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> "ProviderServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    def next(self) -> Answer:
        return self.answers[min(len(self.seen) - 1, len(self.answers) - 1)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while await self._once(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(Seen(line, headers, json.loads(body or b"null"), head))
        answer = self.next()
        await asyncio.sleep(answer.pause)
        return await self._answer(answer, head, reader, writer)

    async def _answer(
        self, answer: Answer, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        body = (
            answer.body.replace(b"ECHO", json.dumps(head)[1:-1].encode())
            if answer.echo
            else answer.body
        )
        told = {"Content-Type": answer.kind} | answer.headers
        if answer.framing == "length":
            told["Content-Length"] = str(len(body))
        elif answer.framing == "chunked":
            told["Transfer-Encoding"] = "chunked"
        else:
            told["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"HTTP/1.1 {answer.status}\r\n{lines}\r\n".encode())
        gone = asyncio.create_task(reader.read(1))
        try:
            await self._body(answer, body[: answer.cut], writer, gone)
        finally:
            if gone.done() and not gone.cancelled():
                self.hung_up.set()
            gone.cancel()
            await asyncio.wait([gone])
        if answer.framing == "chunked" and answer.cut is None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.framing != "close" and answer.cut is None and not self.hung_up.is_set()

    async def _body(
        self, answer: Answer, body: bytes, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]
    ) -> None:
        size = answer.piece or len(body) or 1
        while True:
            for start in range(0, len(body), size):
                piece = body[start : start + size]
                if answer.framing == "chunked":
                    piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
                writer.write(piece)
                await writer.drain()
                if answer.pace:
                    await asyncio.wait([gone], timeout=answer.pace)
                if gone.done():
                    return
            if not answer.endless:
                return
