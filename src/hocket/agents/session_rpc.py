"""JSON-RPC over a child's lines, as Codex's app server and ACP agents speak it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hocket.agents.output import clip, fault
from hocket.agents.session_job import Waiting
from hocket.agents.session_pipe import Message, Pipe
from hocket.core.errors import AgentError
from hocket.core.values import Json

UNKNOWN: Final = -32601

Handler = Callable[[str, Message], Coroutine[Any, Any, Json]]


class Unknown(Exception):
    """There is no such method."""


class RpcError(AgentError):
    """The peer answered with an error.

    Attributes:
        code: The error's number.
        data: What the peer says besides.
    """

    code: int = 0
    data: Json = None


class Rpc:
    """One end of a connection.

    Args:
        pipe: The process.
        notified: Gets what the peer says without being asked: the method and its parameters.
        asked: Answers what the peer asks; raises `Unknown` where it cannot.
        version: Whether every message names the protocol's version.
    """

    def __init__(
        self, pipe: Pipe, notified: Callable[[str, Message], None], asked: Handler, *, version: bool
    ) -> None:
        self.pipe = pipe
        self.waiting = Waiting()
        pipe.take, pipe.lost = self._take, self.waiting.fail
        self._notified = notified
        self._asked = asked
        self._head: dict[str, Json] = {"jsonrpc": "2.0"} if version else {}
        self._number = 0
        self._answering: set[asyncio.Task[None]] = set()

    def ask(self, method: str, params: dict[str, Json]) -> asyncio.Future[Message]:
        """Send a request; the future gives the whole response."""
        self._number += 1
        reply = self.waiting.expect(self._number)
        self.pipe.send({**self._head, "id": self._number, "method": method, "params": params})
        return reply

    async def request(self, method: str, params: dict[str, Json], within: float) -> Message:
        """Send a request and wait for its result.

        Raises:
            AgentError: The process is lost, or does not answer in time.
            RpcError: The peer answered with an error.
        """
        try:
            reply = await asyncio.wait_for(self.ask(method, params), within)
        except TimeoutError:
            said = f"{self.pipe.name} did not answer {method} within {within:g} s"
            raise fault("failed", said, self.pipe.error_text()) from None
        return result_of(self.pipe.name, reply)

    def tell(self, method: str, params: dict[str, Json] | None = None) -> None:
        """Send what needs no answer."""
        body: dict[str, Json] = {} if params is None else {"params": params}
        self.pipe.send({**self._head, "method": method, **body})

    def _take(self, message: Message) -> None:
        method, number = message.get("method"), message.get("id")
        if not isinstance(method, str):
            self.waiting.came(number, message)
            return
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if number is None:
            self._notified(method, params)
            return
        task = asyncio.create_task(self._answer(number, method, params))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, number: Json, method: str, params: Message) -> None:
        try:
            body: dict[str, Json] = {"result": await self._asked(method, params)}
        except Unknown:
            said = f"Hocket does not know {method}"
            body = {"error": {"code": UNKNOWN, "message": said}}
        self.pipe.send({**self._head, "id": number, **body})


def result_of(name: str, reply: Message) -> Message:
    """Give the result of a response.

    Raises:
        RpcError: It is an error.
    """
    error = reply.get("error")
    if error is None:
        result = reply.get("result")
        return result if isinstance(result, dict) else {}
    known = error if isinstance(error, dict) else {}
    said = clip(str(known.get("message") or error))
    raised = RpcError(fault("failed", f"{name}: {said}", str(known.get("data") or "")).fault)
    code = known.get("code")
    raised.code = code if isinstance(code, int) else 0
    raised.data = known.get("data")
    raise raised
