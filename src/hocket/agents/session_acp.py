"""Any agent of the Agent Client Protocol, kept warm: a session for each call.

The protocol is JSON-RPC in lines; what is needed of it is spoken here, so that no package is.
No files and no terminals are offered: such agents have their own.
"""

from __future__ import annotations

from typing import Any, Final

from hocket.agents.output import fault
from hocket.agents.prices import dollars
from hocket.agents.session_job import Answer, Job, Misunderstood, asked, shown
from hocket.agents.session_options import SessionOptions
from hocket.agents.session_pipe import Message, Pipe
from hocket.agents.session_rpc import Rpc, RpcError, Unknown, result_of
from hocket.core.errors import AgentError
from hocket.core.events import Usage
from hocket.core.values import Json

VERSION: Final = 1
"""The version of the protocol that is spoken."""
LOGIN: Final = -32000
"""The error of an agent that wants its user to log in."""
_OPENING: Final = 60.0
_STARTING: Final = 60.0


class _Session:
    """A call's session."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.parts: list[str] = []
        """What was said since the last tool was used."""
        self.text = ""
        """What was said before."""
        self.cost: int | None = None

    def answer(self) -> str:
        """Give the last thing that was said."""
        return "".join(self.parts).strip() or self.text


class Acp:
    """Talks to an ACP agent."""

    def __init__(self, options: SessionOptions, pipe: Pipe) -> None:
        self.pipe = pipe
        self._options = options
        self._rpc = Rpc(pipe, self._notified, self._asked, version=True)
        self._sessions: dict[str, _Session] = {}
        self._of: dict[Job, str] = {}
        self._known: set[str] = set()
        self._closes = False

    @staticmethod
    def argv(options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""
        return (*options.command, *options.args)

    async def open(self) -> None:
        """Shake hands.

        Raises:
            Misunderstood: It does not know the protocol.
        """
        offered: dict[str, Json] = {
            "fs": {"readTextFile": False, "writeTextFile": False},
            "terminal": False,
        }
        params: dict[str, Json] = {
            "protocolVersion": VERSION,
            "clientCapabilities": offered,
            "clientInfo": {"name": "hocket", "version": "1"},
        }
        try:
            reply = await self._rpc.request("initialize", params, _OPENING)
        except AgentError as error:
            raise Misunderstood(error) from None
        if reply.get("protocolVersion") != VERSION:
            said = f"{self.pipe.name} speaks version {reply.get('protocolVersion')} of ACP, not 1"
            raise Misunderstood(fault("permanent", said))
        can = (reply.get("agentCapabilities") or {}).get("sessionCapabilities") or {}
        self._closes = can.get("close") is not None

    async def fresh(self, job: Job) -> None:
        """Open a session.

        Raises:
            AgentError: None is to be had of this process.
        """
        params: dict[str, Json] = {"cwd": job.folder, "mcpServers": []}
        try:
            reply = await self._rpc.request("session/new", params, _STARTING)
        except RpcError as error:
            if error.code == LOGIN:
                said = f"{self.pipe.name} wants you to log in: start it once by hand"
                raise fault("permanent", said, error.fault.message) from None
            raise
        name = reply.get("sessionId")
        if not isinstance(name, str) or name in self._known:
            # Some agents have one session, whatever they are asked for.
            raise fault("failed", f"{self.pipe.name} gave no new session")
        self._known.add(name)
        self._sessions[name] = _Session(job)
        self._of[job] = name

    async def turn(self, job: Job) -> Answer:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: The call failed.
        """
        name = self._of[job]
        session = self._sessions[name]
        system = job.system or self._options.system
        text = f"{system}\n\n{job.prompt}" if system else job.prompt
        params: dict[str, Json] = {"sessionId": name, "prompt": [{"type": "text", "text": text}]}
        try:
            reply = result_of(self.pipe.name, await self._rpc.ask("session/prompt", params))
        finally:
            del self._sessions[name], self._of[job]
            if self._closes:
                # Nobody waits for the answer: it only frees the process's memory.
                self._rpc.ask("session/close", {"sessionId": name})
        usage = _usage(reply.get("usage"), session.cost)
        stopped = reply.get("stopReason")
        if stopped == "end_turn":
            return Answer(text=session.answer(), usage=usage)
        error = fault("failed", f"{self.pipe.name} stopped: {stopped}", session.answer())
        error.usage = usage
        raise error

    def interrupt(self, job: Job) -> None:
        """Ask to end the turn."""
        name = self._of.get(job)
        if name is not None:
            self._rpc.tell("session/cancel", {"sessionId": name})

    # ---- what comes ----

    def _notified(self, method: str, params: Message) -> None:
        session = self._sessions.get(str(params.get("sessionId")))
        if method != "session/update" or session is None:
            return
        session.job.hear()
        update = params.get("update") or {}
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                text = (update.get("content") or {}).get("text")
                if isinstance(text, str):
                    session.parts.append(text)
                    session.job.say(text)
            case "tool_call":
                session.text = "".join(session.parts).strip() or session.text
                session.parts.clear()
                session.job.tool(str(update.get("kind") or "tool"), update.get("title"))
            case "usage_update":
                session.cost = _dollars(update.get("cost"))
                if session.cost is not None:
                    session.job.spend(Usage(cost=session.cost))
            case _:
                pass  # thoughts, plans, modes

    async def _asked(self, method: str, params: Message) -> Json:
        if method != "session/request_permission":
            raise Unknown
        session = self._sessions.get(str(params.get("sessionId")))
        options = [one for one in params.get("options") or () if isinstance(one, dict)]
        wanted = "reject_once"
        if session is not None:
            session.job.hear()
            call = params.get("toolCall") or {}
            about = {
                key: call[key] for key in ("rawInput", "content", "locations") if call.get(key)
            }
            title = f"{self.pipe.name} asks: {shown(call.get('title')) or 'use a tool'}"
            what = asked(title, about, session.job.folder)
            if await session.job.allowed(what) is None:
                wanted = "allow_once"
        chosen = next((one.get("optionId") for one in options if one.get("kind") == wanted), None)
        if chosen is None:
            if wanted == "allow_once" and session is not None:
                session.job.note("a permission was given that cannot be given once, so not at all")
            return {"outcome": {"outcome": "cancelled"}}
        return {"outcome": {"outcome": "selected", "optionId": chosen}}


def _dollars(cost: Any) -> int | None:
    if not isinstance(cost, dict) or cost.get("currency") != "USD":
        return None
    amount = cost.get("amount")
    return dollars(amount) if isinstance(amount, int | float) else None


def _usage(counted: Any, cost: int | None) -> Usage | None:
    if not isinstance(counted, dict):
        return None if cost is None else Usage(cost=cost)
    written = (counted.get("outputTokens") or 0) + (counted.get("thoughtTokens") or 0)
    total = counted.get("totalTokens") or 0
    return Usage(
        tokens_in=max(0, total - written),
        tokens_out=written,
        cost=cost,
        tokens_cached=counted.get("cachedReadTokens") or None,
    )
