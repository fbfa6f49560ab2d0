"""Claude Code, kept warm: its stream of JSON in and out, one turn at a time.

``/clear`` as a user's message begins a new session of the same process; its new id is checked.
The costs that it tells are those of the process until then, so that differences are taken.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from hocket.agents.output import clip, fault
from hocket.agents.prices import dollars
from hocket.agents.session_job import Answer, Job, Misunderstood, Waiting, asked
from hocket.agents.session_options import COMMANDS, SessionOptions
from hocket.agents.session_pipe import Message, Pipe
from hocket.core.errors import AgentError, FaultKind
from hocket.core.events import Usage
from hocket.core.values import Json

_OPENING: Final = 60.0
_CLEARING: Final = 15.0
_STREAM: Final = ("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages")


def _program(options: SessionOptions) -> tuple[str, ...]:
    return tuple(options.command) or COMMANDS["claude"]


def _settings(options: SessionOptions) -> tuple[str, ...]:
    model = ("--model", options.model) if options.model else ()
    system = ("--append-system-prompt", options.system) if options.system else ()
    return (*model, *system, *options.args)


class Claude:
    """Talks to a warm ``claude``."""

    def __init__(self, options: SessionOptions, pipe: Pipe) -> None:
        self.pipe = pipe
        pipe.take, pipe.lost = self._take, self._lost
        self._waiting = Waiting()
        self._job: Job | None = None
        self._session = ""
        self._used = False
        self._number = 0
        self._cost = 0
        self._read = self._written = self._cached = 0
        self._questions: dict[str, asyncio.Task[None]] = {}

    @staticmethod
    def argv(options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""
        ask = ("--permission-prompt-tool", "stdio", "--no-session-persistence")
        streams = (*_STREAM, "--input-format", "stream-json")
        return (*_program(options), *streams, *ask, *_settings(options))

    async def open(self) -> None:
        """Shake hands.

        Raises:
            Misunderstood: It does not know the control requests.
        """
        try:
            reply = await self._control({"subtype": "initialize", "hooks": None}, _OPENING)
        except AgentError as error:
            raise Misunderstood(error) from None
        except TimeoutError:
            said = f"{self.pipe.name} did not answer the first request within {_OPENING:g} s"
            raise Misunderstood(fault("failed", said, self.pipe.error_text())) from None
        if reply.get("subtype") != "success":
            said = f"{self.pipe.name} refuses control requests: {reply.get('error')}"
            raise Misunderstood(fault("failed", said))

    async def fresh(self, job: Job) -> None:
        """Forget the last session.

        Raises:
            AgentError: The session was not left.
        """
        if not self._used:
            return
        before = self._session
        try:
            result = await asyncio.wait_for(self._say("/clear"), _CLEARING)
        except TimeoutError:
            raise fault("failed", f"{self.pipe.name} did not begin a new session") from None
        self._count(result)
        self._session = str(result.get("session_id", ""))
        if not self._session or self._session == before:
            raise fault("failed", f"{self.pipe.name} stayed in its last session")

    async def turn(self, job: Job) -> Answer:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: The call failed.
        """
        self._job, self._used = job, True
        self._read = self._written = self._cached = 0
        text = f"{job.system}\n\n{job.prompt}" if job.system else job.prompt
        try:
            result = await self._say(_harmless(text))
        finally:
            self._job = None
            for question in tuple(self._questions.values()):
                question.cancel()
        self._session = str(result.get("session_id", ""))
        self._note_denials(job, result)
        return _answer(result, self._count(result))

    def _note_denials(self, job: Job, result: Message) -> None:
        """Tell of what the program has denied by itself, as it does where it can ask nobody."""
        denials = result.get("permission_denials")
        for one in denials if isinstance(denials, list) else ():
            if isinstance(one, dict):
                tool, given = str(one.get("tool_name")), one.get("tool_input") or {}
                job.deny(asked(f"{self.pipe.name} asks: {tool}", given, job.folder))

    def interrupt(self, job: Job) -> None:
        """Ask to end the turn."""
        self._request({"subtype": "interrupt"})

    # ---- requests ----

    def _say(self, text: str) -> asyncio.Future[Message]:
        result = self._waiting.expect("result")
        self.pipe.send({"type": "user", "message": {"role": "user", "content": text}})
        return result

    def _request(self, request: dict[str, Json]) -> str:
        self._number += 1
        name = f"hocket-{self._number}"
        self.pipe.send({"type": "control_request", "request_id": name, "request": request})
        return name

    async def _control(self, request: dict[str, Json], within: float) -> Message:
        return await asyncio.wait_for(self._waiting.expect(self._request(request)), within)

    # ---- what comes ----

    def _lost(self, error: AgentError) -> None:
        self._waiting.fail(error)

    def _take(self, message: Message) -> None:
        job = self._job
        if job is not None:
            job.hear()
        match message.get("type"):
            case "result" if self._is_ours(message):
                self._waiting.came("result", message)
            case "control_response":
                reply = message.get("response") or {}
                self._waiting.came(reply.get("request_id"), reply)
            case "control_request":
                self._asked(message)
            case "control_cancel_request":
                question = self._questions.get(str(message.get("request_id")))
                if question is not None:
                    question.cancel()
            case "stream_event" if job is not None:
                self._stream(job, message.get("event") or {}, message.get("parent_tool_use_id"))
            case "assistant" if job is not None:
                for block in (message.get("message") or {}).get("content") or ():
                    if isinstance(block, dict) and block.get("type") == "tool_use":
                        job.tool(str(block.get("name")), block.get("input"))

            case _:
                pass  # what it says of itself: its tools, its state, notices

    def _is_ours(self, result: Message) -> bool:
        """Tell the end of this turn from one that an earlier session's background task had."""
        return self._job is None or self._session in ("", result.get("session_id"))

    def _stream(self, job: Job, event: Message, parent: object) -> None:
        match event.get("type"):
            case "content_block_delta" if parent is None:
                job.say((event.get("delta") or {}).get("text") or "")
            case "message_start":
                usage = (event.get("message") or {}).get("usage") or {}
                read, cached = _tokens_in(usage)
                self._read += read
                self._cached += cached
                self._spend(job)
            case "message_delta":
                self._written += (event.get("usage") or {}).get("output_tokens") or 0
                self._spend(job)
            case _:
                pass  # where blocks begin and end

    def _spend(self, job: Job) -> None:
        job.spend(
            Usage(
                tokens_in=self._read, tokens_out=self._written, tokens_cached=self._cached or None
            )
        )

    def _count(self, result: Message) -> int | None:
        """Take what a turn cost out of what the process has cost until now."""
        total = result.get("total_cost_usd")
        if not isinstance(total, int | float):
            return None
        now = dollars(total)
        cost, self._cost = now - self._cost, now
        # A process that counts each turn alone, as others may, would seem to have got cheaper.
        return cost if cost >= 0 else now

    # ---- permissions ----

    def _asked(self, message: Message) -> None:
        name = str(message.get("request_id"))
        request = message.get("request") or {}
        job = self._job
        if request.get("subtype") != "can_use_tool" or job is None:
            said = f"Hocket does not know {request.get('subtype')!r}"
            self._reply({"subtype": "error", "request_id": name, "error": said})
            return
        task = asyncio.create_task(self._decide(name, request, job))
        self._questions[name] = task
        task.add_done_callback(lambda done: self._questions.pop(name, None))

    async def _decide(self, name: str, request: Message, job: Job) -> None:
        tool, given = str(request.get("tool_name")), request.get("input") or {}
        why = await job.allowed(asked(f"{self.pipe.name} asks: {tool}", given, job.folder))
        response: dict[str, Json] = (
            {"behavior": "allow", "updatedInput": given}
            if why is None
            else {"behavior": "deny", "message": why}
        )
        self._reply({"subtype": "success", "request_id": name, "response": response})

    def _reply(self, response: dict[str, Json]) -> None:
        self.pipe.send({"type": "control_response", "response": response})


class ClaudeOnce(Claude):
    """Talks to a ``claude`` that answers one prompt and ends."""

    @staticmethod
    def argv(options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""
        allow = ("--permission-mode", "bypassPermissions") if options.permissions == "allow" else ()
        return (*_program(options), *_STREAM, *allow, *_settings(options))

    async def open(self) -> None:
        """There is nobody to shake hands with."""

    def _say(self, text: str) -> asyncio.Future[Message]:
        result = self._waiting.expect("result")
        self.pipe.write(text.encode("utf-8", "replace"), end=True)
        return result

    def interrupt(self, job: Job) -> None:
        """Ask to end the turn."""
        self.pipe.signal(signal.SIGTERM)


def _harmless(text: str) -> str:
    """Keep a prompt from being read as one of the program's own commands, such as ``/clear``."""
    return f"The task:\n{text}" if text.lstrip().startswith("/") else text


def _tokens_in(usage: Message) -> tuple[int, int]:
    cached = usage.get("cache_read_input_tokens") or 0
    fresh = usage.get("input_tokens") or 0
    return fresh + cached + (usage.get("cache_creation_input_tokens") or 0), cached


def _answer(result: Message, cost: int | None) -> Answer:
    counted = result.get("usage") or {}
    read, cached = _tokens_in(counted)
    written = counted.get("output_tokens") or 0
    usage = None
    if read + written or cost:
        usage = Usage(
            tokens_in=read, tokens_out=written, cost=cost or None, tokens_cached=cached or None
        )
    text = result.get("result")
    if result.get("subtype") == "success" and not result.get("is_error"):
        return Answer(text=text if isinstance(text, str) else "", usage=usage)
    said = text if isinstance(text, str) and text else "; ".join(_errors(result))
    status = result.get("api_error_status")
    error = fault(_kind(status), clip(f"claude: {said or result.get('subtype')}"), said)
    error.usage = usage
    raise error


def _errors(result: Message) -> list[str]:
    errors = result.get("errors")
    return [str(error) for error in errors] if isinstance(errors, list) else []


def _kind(status: object) -> FaultKind:
    if not isinstance(status, int):
        return "failed"
    if status == 429:
        return "rate_limited"
    return "unavailable" if status >= 500 or status == 408 else "permanent"
