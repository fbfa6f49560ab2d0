"""One call in flight: what the engine lends to it, and what became of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from hocket.agents.base import Agent, Reply, Request, announces
from hocket.core.errors import (
    AgentError,
    Fault,
    HocketError,
    JournalError,
    NotFound,
    WorkerLost,
)
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, Usage
from hocket.core.people import Consent, question_path
from hocket.core.values import Call, FileRef
from hocket.limits.claim import Quota

T = TypeVar("T")
Outcome = CallFinished | CallFailed | CallCancelled | CallLost
_DETAIL = 4_000


class Files(Protocol):
    """Where a call's files are kept."""

    async def store(self, path: Path, name: str) -> FileRef:
        """Store a file by content.

        Raises:
            JournalError: It cannot be read or written.
        """

    async def fetch(self, ref: FileRef) -> Path:
        """Give a read-only copy of a stored file on disk.

        Raises:
            NotFound: It is not stored.
        """


class Flight:
    """A call in flight; it is the `Context` that its agent sees.

    Args:
        request: What is asked.
        emit: Who is shown the call's text.
        files: Where it keeps files.
        on_sent: Called each time that a request has left, with how many nanoseconds ago; `sent_at`
            says when that was.
        on_told: Called with what the peer says of its own limits.
        on_ask: Asks a person, with the question's path and what is shown; None if nobody can be.

    Attributes:
        reason: Why it is being stopped, or "".
        hard: Whether it must end at once.
        questions: How many questions it has asked people.
        begun: Whether its task has made its first step.
        task: What runs it.
        sent_at: When the latest request left, or None if none has.
        waiting: What it waits for before anything of it is done, or "".
        heard_at: When the peer began to answer that, or None if it has not; at the end of the call
            if nothing else showed it.
    """

    __slots__ = (
        "_ask",
        "_emit",
        "_files",
        "_now",
        "_on_sent",
        "_on_told",
        "begun",
        "hard",
        "heard_at",
        "questions",
        "reason",
        "request",
        "sent_at",
        "spent",
        "task",
        "waiting",
    )

    def __init__(
        self,
        request: Request,
        emit: Callable[[Call, str, str], None],
        files: Files,
        *,
        on_sent: Callable[[int], None] | None = None,
        on_told: Callable[[Sequence[Quota]], None] | None = None,
        on_ask: Callable[[str, str], Awaitable[Consent]] | None = None,
    ) -> None:
        self.request = request
        self._emit = emit
        self._files = files
        self._on_sent = on_sent
        self._on_told = on_told
        self._ask = on_ask
        self._now: Callable[[], int] | None = None
        self.sent_at: int | None = None
        self.heard_at: int | None = None
        self.reason = ""
        self.waiting = ""
        self.hard = False
        self.questions = 0
        self.spent: Usage | None = None
        self.begun = False
        self.task: asyncio.Task[None] | None = None

    def emit(self, text: str, stream: str = "out") -> None:
        """Show text while it comes."""
        self._hear()
        self._emit(self.request.call, stream, text)

    def spend(self, usage: Usage) -> None:
        """Note what has been spent until now."""
        self.spent = usage

    def waits(self, what: str) -> None:
        """Note what the call waits for before anything of it is done; "" once it begins."""
        self.waiting = what

    def sent(self, ago: int = 0) -> None:
        """Note that a request leaves, or left a while ago; an earlier one counts no more."""
        if self._now is None:
            return
        self.sent_at = self._now() - ago
        self.heard_at = None
        if self._on_sent is not None:
            self._on_sent(ago)

    def told(self, quotas: Sequence[Quota]) -> None:
        """Note that the peer answers, and hand on what it says of its limits."""
        self._hear()
        if quotas and self._now is not None and self._on_told is not None:
            self._on_told(quotas)

    def _hear(self) -> None:
        if self.heard_at is None and self.sent_at is not None and self._now is not None:
            self.heard_at = self._now()

    async def store(self, path: Path, name: str) -> FileRef:
        """Store a file by content.

        Raises:
            AgentError: The file cannot be read or stored.
        """
        return await self._file(self._files.store(path, name))

    async def fetch(self, ref: FileRef) -> Path:
        """Give a read-only copy of a stored file.

        Raises:
            AgentError: It is not stored.
        """
        return await self._file(self._files.fetch(ref))

    async def _file(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except (JournalError, NotFound) as error:
            raise AgentError(Fault(kind="permanent", message=str(error))) from error

    async def ask(self, shown: str) -> Consent:
        """Ask a person, and wait for the answer.

        Raises:
            AgentError: What is to be shown cannot be recorded.
        """
        if self._ask is None or self._now is None or self.reason:
            return Consent(False, "the call is over, or is being stopped")
        self.questions += 1
        return await self._ask(question_path(self.request.call, self.questions), shown)

    def stop(self, reason: str, *, hard: bool) -> None:
        """Cancel the call; a second time only to make it `hard`."""
        if self.reason and not (hard and not self.hard):
            return
        self.reason = reason
        self.hard = hard
        # A task that is cancelled before its first step makes none, and could record nothing.
        if self.task is not None and self.begun:
            self.task.cancel()

    async def fly(self, agent: Agent, now: Callable[[], int]) -> Outcome:
        """Do the call and say what became of it.

        Raises:
            asyncio.CancelledError: The engine itself is being stopped.
        """
        self._now = now
        if not announces(agent):
            self.sent()
        outcome = await self._outcome(agent, now)
        self.waiting = ""
        if self.heard_at is None and self.sent_at is not None:
            self.heard_at = outcome.at
        # A function in a thread may outlive its call; what it still says is of no account.
        self._now = None
        return outcome

    async def _outcome(self, agent: Agent, now: Callable[[], int]) -> Outcome:
        call = self.request.call
        try:
            reply = await agent.call(self.request, self)
            if type(reply) is not Reply or not isinstance(reply.usage, Usage | None):
                raise TypeError(f"{reply!r:.100} is no reply with its usage")
        except AgentError as error:
            usage = error.usage if isinstance(error.usage, Usage) else self.spent
            return CallFailed(at=now(), call=call, fault=error.fault, usage=usage)
        except WorkerLost:
            return CallLost(at=now(), call=call)
        except asyncio.CancelledError as error:
            if self.reason:
                return CallCancelled(at=now(), call=call, reason=self.reason, usage=self.spent)
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this call: its agent awaited something that was.
            return CallFailed(at=now(), call=call, fault=unforeseen(error), usage=self.spent)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            return CallFailed(at=now(), call=call, fault=unforeseen(error), usage=self.spent)
        return CallFinished(
            at=now(), call=call, output=reply.output, usage=reply.usage, notes=reply.notes
        )


def unforeseen(error: BaseException) -> Fault:
    """Make a fault of an error that an agent should have mapped itself."""
    told = "".join(traceback.format_exception(error))
    kind = "agent" if not isinstance(error, HocketError) else "call"
    message = f"the {kind} raised {type(error).__name__}: {error}"
    return Fault(kind="failed", message=_clean(message[:500]), detail=_clean(told[-_DETAIL:]))


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot hold: half characters of a file's name, for one."""
    return text.encode("utf-8", "replace").decode()
