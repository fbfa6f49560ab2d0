"""A run under way in this process, as its program sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from hocket.app.livelog import LiveLog
from hocket.app.questions import open_questions
from hocket.app.result import Result
from hocket.app.stream import Item, follow
from hocket.config.builder import Plan
from hocket.config.handles import Approval, Step
from hocket.core.errors import Refused
from hocket.core.events import AnyEvent, ApprovalAsked, InputAsked, Recorded
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.run import RunMachine
from hocket.core.values import Call, Json
from hocket.engine.audience import Observer
from hocket.engine.engine import Run as Driven
from hocket.insight.tally import Tally
from hocket.limits.admission import Queue

_BY = "program"


class Token(NamedTuple):
    """A piece of what a call says while it runs.

    Fields:
        path: The call's path.
        stream: ``out`` or ``err``.
        text: The piece.
    """

    path: str
    stream: str
    text: str


class Run:
    """A run under way: watch it, answer it, pause or cancel it, await its result."""

    def __init__(
        self,
        driven: Driven,
        tally: Tally,
        log: LiveLog,
        plan: Plan | None = None,
        settled: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._driven = driven
        self._settled = settled
        self._tally = tally
        self._log = log
        self._plan = plan

    @property
    def id(self) -> str:
        """The run's id."""
        return self._driven.id

    @property
    def machine(self) -> RunMachine:
        """The run's state; only to be read."""
        return self._driven.machine

    @property
    def queued(self) -> list[Queue]:
        """How many calls wait, for what and until when."""
        return self._driven.queued

    @property
    def undone(self) -> Mapping[str, int]:
        """What calls in flight wait for that nobody does yet, and how many: room on a cluster."""
        return self._driven.undone

    def waits_of(self, call: Call) -> Queue | None:
        """Say what a call waits for and until when; None if it does not wait for a limit."""
        return self._driven.waits_of(call)

    @property
    def questions(self) -> dict[str, ApprovalAsked | InputAsked]:
        """What people are asked and have not answered, by path."""
        return open_questions(self.machine)

    @property
    def tally(self) -> Tally:
        """Calls, tokens and cost so far."""
        return self._tally

    async def result(self) -> Result:
        """Wait for the end and give the result, whatever it is.

        Raises:
            JournalError: Nothing more could be recorded; the run can be resumed.
            OwnershipLost: Another process has taken the run over.
        """
        try:
            machine = await self._driven.settled()
        finally:
            self._log.close()
        if self._settled is not None:
            await self._settled()
        return Result(machine, self._tally, self._plan)

    def pause(self, by: str = _BY) -> None:
        """Start nothing new; what is in flight may finish.

        Raises:
            Refused: The run is not running.
        """
        self._driven.ask(Pause(by=by))

    def resume(self, by: str = _BY) -> None:
        """Go on after a pause.

        Raises:
            Refused: The run is not paused.
        """
        self._driven.ask(Continue(by=by))

    def cancel(self, by: str = _BY, *, hard: bool = False) -> None:
        """End the run; `hard` leaves calls in flight no time to end by themselves.

        Raises:
            Refused: The run has ended.
        """
        self._driven.ask(Cancel(by=by, hard=hard))

    def approve(
        self, step: Step[Approval] | str, approved: bool = True, *, note: str = "", by: str = _BY
    ) -> None:
        """Decide about what the step shows now.

        Raises:
            Refused: The step does not wait for an approval.
        """
        path = step if isinstance(step, str) else step.name
        self._driven.ask(
            Approve(by=by, path=path, approved=approved, note=note, digest=_shown(self, path))
        )

    def send(self, step: Step[Any] | str, value: Json, *, by: str = _BY) -> None:
        """Give a waiting step its input.

        Raises:
            Refused: The step does not wait for one.
        """
        path = step if isinstance(step, str) else step.name
        self._driven.ask(Send(by=by, path=path, value=value))

    def retry(self, step: Step[Any] | str, *, by: str = _BY) -> None:
        """Do a failed step again.

        Raises:
            Refused: The step has not failed.
        """
        path = step if isinstance(step, str) else step.name
        self._driven.ask(Retry(by=by, path=path))

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Give the events from now on, each once it is on disk, until the run settles."""
        async for item in _watch(self):
            if not isinstance(item, Token):
                yield item

    async def tokens(self) -> AsyncIterator[Token]:
        """Give what calls say while they run, from now on, until the run settles."""
        async for item in _watch(self):
            if isinstance(item, Token):
                yield item

    def stream(self, step: Step[Any] | str | None = None) -> AsyncIterator[Item]:
        """Give what a step says, from now on: its text in pieces, and its output at the end.

        Pieces end with sentences, or come after 50 ms; the first comes as early as the model gives
        it, and code blocks come whole.
        Where a call begins anew a `Reset` says that the text before counts no more, and the last
        item is `Done`.
        Whoever reads slowly gets longer pieces, and holds nothing up.

        Args:
            step: The step, by its handle or name, with the item behind a slash if it has several:
                an agent's, a panel's, or a consensus's whose final answer is written anew.
                By default the step that the plan ends with.

        Raises:
            Refused: There is no such step, or it is not said whose text is meant.
        """
        path = step.name if isinstance(step, Step) else step
        return follow(self._driven, path)

    async def __aenter__(self) -> Self:
        """Give the run itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the run if it has not ended; it can be resumed."""
        await self._driven.__aexit__(kind, error, trace)
        self._log.close()


async def _watch(run: Run) -> AsyncIterator[AnyEvent | Token]:
    feed = _Feed()
    run._driven.observe(feed)
    end = asyncio.ensure_future(run._driven.settled())
    end.add_done_callback(lambda done: feed.queue.put_nowait(None))
    try:
        while (item := await feed.queue.get()) is not None:
            yield item
    finally:
        run._driven.unobserve(feed)
        end.cancel()
        await asyncio.gather(end, return_exceptions=True)


def leave(run: Run) -> None:
    """Begin no more calls, and stop driving the run once those in flight have ended."""
    run._driven.leave()


def observe(run: Run, observer: Observer) -> None:
    """Let somebody watch from now on: told in the loop, of events once they are on disk."""
    run._driven.observe(observer)


def unobserve(run: Run, observer: Observer) -> None:
    """Let somebody watch no more."""
    run._driven.unobserve(observer)


def _shown(run: Run, path: str) -> str:
    """Name what an approval shows by content."""
    asked = run.questions.get(path)
    if not isinstance(asked, ApprovalAsked):
        raise Refused(f"{path!r} does not wait for an approval")
    return asked.digest


class _Feed:
    """Hands what happens to an iterator."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[AnyEvent | Token | None] = asyncio.Queue()

    def recorded(self, events: Sequence[Recorded]) -> None:
        """These events are on disk."""
        for recorded in events:
            self.queue.put_nowait(recorded.event)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call has said something."""
        self.queue.put_nowait(Token(call.path, stream, text))


def ask_of(run: Run, request: AnyRequest) -> None:
    """Grant a request as if it had come through the inbox.

    Raises:
        Refused: It does not fit the run's present state.
        JournalError, OwnershipLost: Nothing more can be recorded.
    """
    run._driven.ask(request)
