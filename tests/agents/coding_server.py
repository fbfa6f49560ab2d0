"""A model on the loopback for coding agents: Anthropic's Messages and OpenAI's Responses, streamed.

It answers with what the last message says, and keeps what it was sent.
A prompt with a line ``TOOL name {…}`` makes it call that tool first, once it has seen a result it
answers; ``HANG`` makes it never answer.
"""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

_TOOL = re.compile(r"TOOL (\w+) (\{.*\})")
_ASKING = ("/v1/messages", "/v1/responses")
READ, WRITTEN = 1_000, 10
"""The tokens that every answer is said to take."""


@dataclass
class Seen:
    """A request as it came: where to, and every text that is in its messages."""

    path: str
    body: dict[str, Any]
    texts: list[str] = field(default_factory=list)

    @property
    def all(self) -> str:
        return json.dumps(self.body)


class CodingServer:
    """Serves on a free port of 127.0.0.1 until the block is left."""

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        """What is answered; None for the last message's own words."""
        self.seen: list[Seen] = []
        self.prompted = asyncio.Event()
        """Is set when an answer is asked for; clear it to wait for the next time."""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "CodingServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prompts(self) -> list[Seen]:
        """The requests that ask for an answer."""
        return [one for one in self.seen if one.path in _ASKING]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that ends as cancelled would make asyncio's streams complain.
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in rest)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        path = line.split(" ")[1].partition("?")[0]
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {}  # compressed telemetry, say
        seen = Seen(path, body)
        self.seen.append(seen)
        if path in _ASKING:
            self.prompted.set()
        if path == "/v1/messages":
            await self._stream(writer, self._messages(seen))
        elif path == "/v1/responses":
            await self._stream(writer, self._responses(seen))
        else:
            kind, data = "200 OK", b'{"input_tokens": 1, "data": [], "models": []}'
            writer.write(f"HTTP/1.1 {kind}\r\nContent-Length: {len(data)}\r\n".encode())
            writer.write(b"Content-Type: application/json\r\n\r\n" + data)
        await writer.drain()
        return True

    async def _stream(self, writer: asyncio.StreamWriter, events: list[dict[str, Any]]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        if not events:
            await writer.drain()
            await asyncio.Event().wait()
        for event in events:
            piece = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        writer.write(b"0\r\n\r\n")

    def _next(self, seen: Seen, last: str, answered: bool) -> tuple[str, Any]:
        if "HANG" in last:
            return "hang", None
        found = _TOOL.search(last)
        if found and not answered:
            return "tool", (found[1], json.loads(found[2]))
        return "text", self.answer if self.answer is not None else last

    # ---- Anthropic ----

    def _messages(self, seen: Seen) -> list[dict[str, Any]]:
        last, answered = "", False
        for message in seen.body.get("messages", ()):
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            texts = [part["text"] for part in parts if part["type"] == "text"]
            seen.texts += texts
            if any(part["type"] == "tool_result" for part in parts):
                answered = True
            elif message["role"] == "user":
                wanted = [text for text in texts if not text.startswith("<system-reminder>")]
                if wanted:
                    last, answered = wanted[-1], False
        what, value = self._next(seen, last, answered)
        if what == "hang":
            return []
        if what == "tool":
            block = {"type": "tool_use", "id": "toolu_1", "name": value[0], "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(value[1])}
        else:
            block = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": value}
        used = {"input_tokens": READ, "output_tokens": 1}
        message = {
            "id": f"msg_{len(self.seen)}", "type": "message", "role": "assistant", "content": [],
            "model": seen.body.get("model", "m"), "stop_reason": None, "stop_sequence": None,
            "usage": used,
        }  # fmt: skip
        stop = "tool_use" if what == "tool" else "end_turn"
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": {"output_tokens": WRITTEN},
            },
            {"type": "message_stop"},
        ]

    # ---- OpenAI ----

    def _responses(self, seen: Seen) -> list[dict[str, Any]]:
        last, answered = "", False
        for item in seen.body.get("input", ()):
            if item.get("type", "").endswith("call_output"):
                answered = True
            content = item.get("content") or ()
            texts = [part["text"] for part in content if isinstance(part, dict) and "text" in part]
            seen.texts += texts
            if item.get("role") == "user":
                wanted = [text for text in texts if not text.startswith(("<", "# AGENTS"))]
                if wanted:
                    last, answered = wanted[-1], False
        what, value = self._next(seen, last, answered)
        if what == "hang":
            return []
        number = len(self.seen)
        item: dict[str, Any]
        if what == "tool":
            item = {
                "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                "name": value[0], "arguments": json.dumps(value[1]), "status": "completed",
            }  # fmt: skip
        else:
            part = {"type": "output_text", "text": value, "annotations": []}
            item = {
                "type": "message", "id": f"msg_{number}", "role": "assistant",
                "status": "completed", "content": [part],
            }  # fmt: skip
        response = {
            "id": f"resp_{number}",
            "object": "response",
            "status": "in_progress",
            "output": [],
            "model": seen.body.get("model", "m"),
        }
        used = {
            "input_tokens": READ,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": WRITTEN,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": READ + WRITTEN,
        }
        events: list[dict[str, Any]] = [{"type": "response.created", "response": response}]
        if what == "text":
            empty = item | {"status": "in_progress", "content": []}
            place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            events += [
                {"type": "response.output_item.added", "output_index": 0, "item": empty},
                {"type": "response.output_text.delta", "delta": value, **place},
            ]
        events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
        done = response | {"status": "completed", "output": [item], "usage": used}
        return [*events, {"type": "response.completed", "response": done}]
