"""Codex, kept warm: its app server, a thread for each call, many at once in a process."""

from __future__ import annotations

import re
import signal
from typing import Any, Final

from hocket.agents.output import clip, fault
from hocket.agents.prices import counted
from hocket.agents.session_job import Answer, Job, Misunderstood, Waiting, asked, shown
from hocket.agents.session_options import COMMANDS, SessionOptions
from hocket.agents.session_pipe import Message, Pipe
from hocket.agents.session_rpc import Rpc, Unknown
from hocket.core.errors import AgentError, FaultKind
from hocket.core.events import Usage
from hocket.core.values import Json

_OPENING: Final = 60.0
_STARTING: Final = 60.0

_RULES: Final[dict[str, dict[str, Json]]] = {
    "ask": {"approvalPolicy": "untrusted", "sandbox": "workspace-write"},
    "allow": {"approvalPolicy": "on-request", "sandbox": "workspace-write"},
    "deny": {"approvalPolicy": "never", "sandbox": "read-only"},
}
"""What a thread may do; what a person approves of is done in the sandbox, too."""

_ONCE: Final = {
    "ask": ("-s", "read-only"),
    "allow": ("-s", "workspace-write"),
    "deny": ("-s", "read-only"),
}

_ANSWERS: Final[dict[str, tuple[Json, Json]]] = {
    "item/commandExecution/requestApproval": ("accept", "decline"),
    "item/fileChange/requestApproval": ("accept", "decline"),
    "execCommandApproval": ("approved", {"denied": {"rejection": "not allowed"}}),
    "applyPatchApproval": ("approved", {"denied": {"rejection": "not allowed"}}),
}
"""How each question is answered with yes and no; older versions ask the latter two."""

_KINDS: Final[dict[str, FaultKind]] = {
    "usageLimitExceeded": "rate_limited",
    "rateLimitExceeded": "rate_limited",
    "serverOverloaded": "unavailable",
    "flexUnavailable": "unavailable",
    "internalServerError": "unavailable",
    "httpConnectionFailed": "unavailable",
    "responseStreamConnectionFailed": "unavailable",
    "responseStreamDisconnected": "unavailable",
    "responseTooManyFailedAttempts": "unavailable",
    "unauthorized": "permanent",
    "badRequest": "permanent",
    "modelNotFound": "permanent",
    "contextWindowExceeded": "permanent",
}


def _program(options: SessionOptions) -> tuple[str, ...]:
    return tuple(options.command) or COMMANDS["codex"]


class _Thread:
    """A call's thread."""

    def __init__(self, job: Job, model: str, provider: str) -> None:
        self.job = job
        self.model = model
        self.provider = provider
        self.turn = ""
        self.text = ""
        self.usage: Usage | None = None
        self.changes: dict[str, Json] = {}
        """What file changes are about to do, by item."""

    def count(self, tokens: Message) -> None:
        """Take what the thread has used until now; nothing else is counted in it."""
        read, written = tokens.get("inputTokens") or 0, tokens.get("outputTokens") or 0
        self.usage = counted(
            read,
            written,
            tokens.get("cachedInputTokens") or 0,
            model=self.model,
            provider="openai",
            listed=self.provider == "openai",
        )
        if self.usage is not None:
            self.job.spend(self.usage)


class Codex:
    """Talks to a ``codex app-server``."""

    def __init__(self, options: SessionOptions, pipe: Pipe) -> None:
        self.pipe = pipe
        self._options = options
        self._rpc = Rpc(pipe, self._notified, self._asked, version=False)
        self._threads: dict[str, _Thread] = {}
        self._of: dict[Job, str] = {}

    @staticmethod
    def argv(options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""
        return (*_program(options), "app-server", *options.args)

    async def open(self) -> None:
        """Shake hands.

        Raises:
            Misunderstood: It does not know the protocol.
        """
        about: dict[str, Json] = {"name": "hocket", "title": "Hocket", "version": "1"}
        try:
            await self._rpc.request("initialize", {"clientInfo": about}, _OPENING)
        except AgentError as error:
            raise Misunderstood(error) from None
        self._rpc.tell("initialized")

    async def fresh(self, job: Job) -> None:
        """Start a thread.

        Raises:
            AgentError: None is to be had of this process.
        """
        params: dict[str, Json] = {
            "cwd": job.folder,
            "ephemeral": True,
            **_RULES[self._options.permissions],
        }
        if self._options.model:
            params["model"] = self._options.model
        if system := job.system or self._options.system:
            params["developerInstructions"] = system
        reply = await self._rpc.request("thread/start", params, _STARTING)
        name = (reply.get("thread") or {}).get("id")
        if not isinstance(name, str) or name in self._threads:
            raise fault("failed", f"{self.pipe.name} gave no new thread")
        model, provider = str(reply.get("model")), str(reply.get("modelProvider"))
        self._threads[name] = _Thread(job, model, provider)
        self._of[job] = name

    async def turn(self, job: Job) -> Answer:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: The call failed.
        """
        name = self._of[job]
        thread = self._threads[name]
        done = self._rpc.waiting.expect(("done", name))
        try:
            text: dict[str, Json] = {"type": "text", "text": job.prompt, "text_elements": []}
            begun = await self._rpc.request(
                "turn/start", {"threadId": name, "input": [text]}, _STARTING
            )
            thread.turn = str((begun.get("turn") or {}).get("id", ""))
            return _answer(thread, await done)
        finally:
            done.cancel()
            del self._threads[name], self._of[job]
            # Nobody waits for the answer: it only frees the process's memory.
            self._rpc.ask("thread/unsubscribe", {"threadId": name})

    def interrupt(self, job: Job) -> None:
        """Ask to end the turn."""
        name = self._of.get(job)
        if name is not None and self._threads[name].turn:
            turn = self._threads[name].turn
            self._rpc.ask("turn/interrupt", {"threadId": name, "turnId": turn})

    # ---- what comes ----

    def _notified(self, method: str, params: Message) -> None:
        name = params.get("threadId")
        thread = self._threads.get(name) if isinstance(name, str) else None
        if thread is None:
            return
        thread.job.hear()
        match method:
            case "item/agentMessage/delta":
                thread.job.say(str(params.get("delta", "")))
            case "item/started" | "item/completed":
                self._item(thread, params.get("item") or {}, method.endswith("started"))
            case "thread/tokenUsage/updated":
                thread.count((params.get("tokenUsage") or {}).get("total") or {})
            case "turn/completed":
                self._rpc.waiting.came(("done", name), params)
            case _:
                pass  # plans, diffs, warnings, limits

    def _item(self, thread: _Thread, item: Message, started: bool) -> None:
        kind = item.get("type")
        if kind == "agentMessage":
            if not started:
                thread.text = str(item.get("text", ""))
            return
        if not started:
            if self._options.permissions == "deny":
                _note_denial(thread.job, item)
            return
        match kind:
            case "commandExecution":
                thread.job.tool("command", item.get("command"))
            case "fileChange":
                thread.changes[str(item.get("id"))] = item.get("changes")
                thread.job.tool("change", _paths(item.get("changes")))
            case "mcpToolCall" | "dynamicToolCall":
                thread.job.tool(str(item.get("tool")), item.get("arguments"))
            case "webSearch":
                thread.job.tool("search", item.get("query"))
            case _:
                pass  # thoughts, and what the user said

    async def _asked(self, method: str, params: Message) -> Json:
        answers = _ANSWERS.get(method)
        if answers is None:
            raise Unknown
        name = params.get("threadId") or params.get("conversationId")
        thread = self._threads.get(str(name))
        if thread is None:
            return {"decision": answers[1]}
        thread.job.hear()
        about = {key: params[key] for key in _TOLD if params.get(key) is not None}
        if method == "item/fileChange/requestApproval":
            about["changes"] = thread.changes.get(str(params.get("itemId")))
        what = asked(f"{self.pipe.name} asks: {_WHAT[method]}", about, thread.job.folder)
        return {"decision": answers[0 if await thread.job.allowed(what) is None else 1]}


_TOLD: Final = ("command", "cwd", "reason", "fileChanges", "grantRoot")
_WHAT: Final = {
    "item/commandExecution/requestApproval": "run a command",
    "item/fileChange/requestApproval": "change files",
    "execCommandApproval": "run a command",
    "applyPatchApproval": "change files",
}


class CodexOnce:
    """Talks to a ``codex exec --json`` that answers one prompt and ends."""

    def __init__(self, options: SessionOptions, pipe: Pipe) -> None:
        self.pipe = pipe
        self._options = options
        self._waiting = Waiting()
        pipe.take, pipe.lost = self._take, self._waiting.fail
        self._job: Job | None = None
        self._text = ""
        self._error = ""

    @staticmethod
    def argv(options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""
        model = ("-m", options.model) if options.model else ()
        flags = ("exec", "--json", "--skip-git-repo-check", "--ephemeral")
        return (*_program(options), *flags, *_ONCE[options.permissions], *model, *options.args, "-")

    async def open(self) -> None:
        """There is nobody to shake hands with."""

    async def fresh(self, job: Job) -> None:
        """It has never had a session."""

    async def turn(self, job: Job) -> Answer:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: The call failed.
        """
        self._job = job
        system = job.system or self._options.system
        text = f"{system}\n\n{job.prompt}" if system else job.prompt
        done = self._waiting.expect("done")
        self.pipe.write(text.encode("utf-8", "replace"), end=True)
        message = await done
        if message.get("type") == "turn.failed":
            said = (message.get("error") or {}).get("message") or self._error
            raise fault("failed", clip(f"codex: {said}"), str(said))
        used = message.get("usage") or {}
        usage = counted(
            used.get("input_tokens") or 0,
            used.get("output_tokens") or 0,
            used.get("cached_input_tokens") or 0,
            model=self._options.model or "",
            provider="openai",
            # It does not say which provider it has asked.
            listed=False,
        )
        return Answer(text=self._text, usage=usage)

    def interrupt(self, job: Job) -> None:
        """Ask to end the turn."""
        self.pipe.signal(signal.SIGTERM)

    def _take(self, message: Message) -> None:
        job = self._job
        if job is None:
            return
        job.hear()
        match message.get("type"):
            case "turn.completed" | "turn.failed":
                self._waiting.came("done", message)
            case "error":
                self._error = str(message.get("message", ""))
            case "item.completed" | "item.started":
                item = message.get("item") or {}
                if item.get("type") == "agent_message":
                    self._text = str(item.get("text", ""))
                    job.say(self._text + "\n")
                elif message["type"] == "item.completed":
                    if self._options.permissions != "allow":
                        _note_denial(job, item)
                elif item.get("type") == "command_execution":
                    job.tool("command", item.get("command"))
            case _:
                pass  # where threads and turns begin


_COMMANDS: Final = ("commandExecution", "command_execution")
_CHANGES: Final = ("fileChange", "file_change")
_SANDBOX: Final = re.compile(r"read-only file system|operation not permitted|sandbox", re.I)


def _note_denial(job: Job, item: Message) -> None:
    """Tell of what the sandbox has not let happen, where nobody can be asked."""
    kind, status = item.get("type"), item.get("status")
    if status not in ("failed", "declined"):
        return
    if kind in _CHANGES:
        job.deny(f"change {_paths(item.get('changes'))}", "the sandbox is read-only")
    elif kind in _COMMANDS:
        said = str(item.get("aggregatedOutput") or item.get("aggregated_output") or "")
        if status == "declined" or _SANDBOX.search(said):
            job.deny(f"run {shown(item.get('command'))}", "the sandbox is read-only")


def _answer(thread: _Thread, done: Message) -> Answer:
    turn = done.get("turn") or {}
    if turn.get("status") == "completed":
        return Answer(text=thread.text, usage=thread.usage)
    error = turn.get("error") or {}
    info: Any = error.get("codexErrorInfo")
    name = next(iter(info), "") if isinstance(info, dict) else str(info)
    said = str(error.get("message") or f"the turn was {turn.get('status')}")
    raised = fault(
        _KINDS.get(name, "failed"),
        clip(f"codex: {said}"),
        str(error.get("additionalDetails") or said),
    )
    raised.usage = thread.usage
    raise raised


def _paths(changes: Json) -> str:
    if not isinstance(changes, list):
        return ""
    return ", ".join(str(change.get("path")) for change in changes if isinstance(change, dict))
