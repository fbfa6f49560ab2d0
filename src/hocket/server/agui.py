"""A run as a stream of AG-UI events, so that front ends made for agents can show it.

AG-UI knows no numbers and no resumption, so it is an adapter at the edge and nothing more:
each message has an id that says how much of the run its reader has been told, and whoever sends
that back as ``Last-Event-ID`` gets what follows, and nothing twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from hocket.core.errors import CallerError
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    InputAsked,
    InputGiven,
    Recorded,
    RunEnded,
    RunStarted,
    SpecReplaced,
)
from hocket.core.run import RunMachine
from hocket.core.values import MS, Call, Json
from hocket.insight.tally import Tally
from hocket.journal.logs import CallLog, Logs, unsettled
from hocket.server.events import ALIVE, beyond, follow, message
from hocket.server.feed import new_machine
from hocket.server.frames import encode
from hocket.server.routing import Asked, Route, Stream
from hocket.server.site import Site
from hocket.server.slim import short, slim
from hocket.server.tail import Tail

_MOST: Final = 16_000
_TOOLS: Final = frozenset({"function", "command"})
_PERIOD: Final = 0.2
_BEATS: Final = 75
"""After so many periods without a word the stream says that it is still there."""

_ID: Final = re.compile(r"(\d{1,15})(?:\.(\d{1,6}))?(?:/(\d{1,15}(?:-\d{1,15})*))?\Z", re.ASCII)
_MOST_OPEN: Final = 64

Said = dict[str, Json]


class Told(NamedTuple):
    """How much of a run a reader has been told.

    Fields:
        event: The last event of which all.
        messages: How many messages of the event after it, what models say not counted.
        offsets: Up to which byte of what each model says that was in flight after `event`, in the
            order of their beginnings; empty if there were none, or more than an id can hold.
    """

    event: int
    messages: int = 0
    offsets: tuple[int, ...] = ()

    def __str__(self) -> str:
        said = str(self.event)
        if self.messages:
            said += f".{self.messages}"
        if self.offsets and len(self.offsets) <= _MOST_OPEN:
            said += f"/{'-'.join(map(str, self.offsets))}"
        return said


def told_of(last_event: str) -> Told:
    """Read the id of a message.

    Raises:
        CallerError: It is none.
    """
    if not last_event:
        return Told(0)
    match = _ID.match(last_event)
    if match is None:
        raise CallerError("Last-Event-ID is the id of a message of this stream")
    offsets = tuple(map(int, match[3].split("-"))) if match[3] else ()
    return Told(int(match[1]), int(match[2] or 0), offsets)


class Translator:
    """Says in AG-UI's words what a run's events say.

    Args:
        machine: A new machine, to which each event is applied.
        log: Gives where a call's log is to be read from.
    """

    def __init__(self, machine: RunMachine, log: Callable[[Call], Tail]) -> None:
        self._machine = machine
        self._tally = Tally()
        self._log = log
        self._open: dict[Call, Tail | None] = {}
        """Calls in flight; of those that are models', what they say."""
        self._said: dict[Call, None] = {}
        self._state: dict[str, Json] = {}

    def tails(self) -> list[Tail]:
        """Give where what models in flight say is read from."""
        return [tail for tail in self._open.values() if tail is not None]

    def silences(self, recorded: Recorded) -> bool:
        """Tell whether a model that was heard says nothing more after an event."""
        event = recorded.event
        if isinstance(event, CallFinished | CallFailed | CallCancelled | CallLost):
            return self._open.get(event.call) is not None
        return isinstance(event, RunEnded) and bool(self.tails())

    def go_on(self, offsets: Sequence[int]) -> None:
        """Leave out what a reader has had of what models in flight say."""
        speaking = [(call, tail) for call, tail in self._open.items() if tail is not None]
        if len(speaking) != len(offsets):
            return
        for (call, tail), offset in zip(speaking, offsets, strict=True):
            tail.at = offset
            if offset:
                self._said[call] = None

    def take(self, recorded: Recorded) -> Iterator[Said]:
        """Take the next event in, and say bit by bit what it means; all of it has to be heard."""
        event = recorded.event
        self._machine.apply(event)
        self._machine.drain()
        self._tally.add(event)
        at = event.at // MS
        for said in self._told(recorded):
            yield {**said, "timestamp": at}
        if not isinstance(event, RunEnded):
            for said in self._delta():
                yield {**said, "timestamp": at}

    def heard(self) -> Iterator[Said]:
        """Say what models in flight have said since."""
        for call, tail in self._open.items():
            if tail is not None:
                yield from self._content(call, tail, ended=False)

    # -- within -----------------------------------------------------------------------------

    def _told(self, recorded: Recorded) -> Iterable[Said]:
        event, machine = recorded.event, self._machine
        if isinstance(event, RunStarted):
            self._state = self._now()
            yield {"type": "RUN_STARTED", "threadId": event.run, "runId": event.run}
            yield {"type": "STATE_SNAPSHOT", "snapshot": self._state}
        elif isinstance(event, SpecReplaced):
            self._state = self._now()
            yield {"type": "STATE_SNAPSHOT", "snapshot": self._state}
        elif isinstance(event, CallStarted):
            yield from self._begins(event)
        elif isinstance(event, CallFinished | CallFailed | CallCancelled | CallLost):
            yield from self._ends(event)
        elif isinstance(event, ApprovalAsked | InputAsked | ApprovalGiven | InputGiven):
            told = slim(recorded)
            yield {"type": "CUSTOM", "name": f"hocket.{told['type']}", "value": told}
        elif isinstance(event, RunEnded):
            for call in list(self._open):
                yield from self._closed(call)
            yield from self._delta()
            yield self._end(machine, event)

    def _begins(self, event: CallStarted) -> Iterable[Said]:
        call, name = event.call, str(event.call)
        if call in self._open:
            return
        yield {"type": "STEP_STARTED", "stepName": name}
        spec = self._machine.spec.agents.get(event.agent)
        if spec is None or spec.kind in _TOOLS:
            self._open[call] = None
            yield {"type": "TOOL_CALL_START", "toolCallId": name, "toolCallName": event.agent}
            yield {"type": "TOOL_CALL_END", "toolCallId": name}
        else:
            self._open[call] = self._log(call)
            yield {
                "type": "TEXT_MESSAGE_START",
                "messageId": name,
                "role": "assistant",
                "name": event.agent,
            }

    def _ends(self, event: Any) -> Iterable[Said]:
        call, name = event.call, str(event.call)
        if call not in self._open:
            return
        output = event.output if isinstance(event, CallFinished) else None
        tail = self._open[call]
        if tail is None:
            content = _text(output) if isinstance(event, CallFinished) else _why(event)
            yield {
                "type": "TOOL_CALL_RESULT",
                "messageId": f"{name}@result",
                "toolCallId": name,
                "content": content,
                "role": "tool",
            }
        else:
            yield from self._content(call, tail, ended=True)
            if call not in self._said and output is not None:
                yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": _text(output)}
        if not isinstance(event, CallFinished):
            told = {"call": name, "why": _why(event)}
            yield {"type": "CUSTOM", "name": "hocket.call_failed", "value": told}
        yield from self._closed(call)

    def _closed(self, call: Call) -> Iterable[Said]:
        name, tail = str(call), self._open.pop(call)
        self._said.pop(call, None)
        if tail is not None:
            yield {"type": "TEXT_MESSAGE_END", "messageId": name}
        yield {"type": "STEP_FINISHED", "stepName": name}

    def _content(self, call: Call, tail: Tail, *, ended: bool) -> Iterable[Said]:
        while (said := tail.read(ended=ended)) is not None:
            self._said[call] = None
            yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": str(call), "delta": said.text}

    def _now(self) -> dict[str, Json]:
        machine = self._machine
        return {
            "run": machine.run,
            "plan": machine.spec.name,
            "status": machine.said,
            "steps": {status: count for status, count in machine.counts().items() if count},
            "usd": self._tally.dollars,
        }

    def _delta(self) -> list[Said]:
        before, self._state = self._state, self._now()
        changed = [
            {"op": "replace", "path": f"/{name}", "value": value}
            for name, value in self._state.items()
            if before.get(name) != value
        ]
        return [{"type": "STATE_DELTA", "delta": changed}] if changed else []

    @staticmethod
    def _end(machine: RunMachine, event: RunEnded) -> Said:
        if event.status == "failed":
            return {"type": "RUN_ERROR", "message": event.reason, "code": "failed"}
        outcome = "success" if event.status == "succeeded" else "cancelled"
        return {
            "type": "RUN_FINISHED",
            "threadId": machine.run,
            "runId": machine.run,
            "result": short(event.output, _MOST),
            "outcome": {"type": outcome},
        }


def _text(value: Json) -> str:
    told = short(value, _MOST)
    return told if isinstance(told, str) else encode(told).decode()


def _why(event: Any) -> str:
    if isinstance(event, CallFailed):
        return f"{event.fault.kind}: {event.fault.message}"
    return "lost" if isinstance(event, CallLost) else str(event.reason)


async def _agui(site: Site, asked: Asked) -> Stream:
    live: Any = site.live
    run = asked.path["run"]
    board = await live.board(run)
    after = told_of(asked.last_event)
    if after.event > board.seq:
        raise beyond(run, after.event, board.seq)
    return Stream(chunks=_stream(live, run, after))


async def _stream(live: Any, run: str, after: Told) -> AsyncIterator[bytes]:
    """Translate from the first event on; what the reader has had is not sent again."""
    logs = live.store.logs
    translator = Translator(new_machine(), lambda call: Tail(CallLog(logs, run, call)))
    seq = idle = 0
    async for recorded in follow(live, run, 0, _PERIOD):
        tails = translator.tails()
        if recorded is None:
            idle += 1
            async for said in _each(translator.heard(), logs):
                idle = 0
                yield message(str(Told(seq, 0, _offsets(tails))), said)
            if idle % _BEATS == _BEATS - 1:
                yield ALIVE
            continue
        before, seq = seq, recorded.seq
        heard, count = _offsets(tails), 0
        if translator.silences(recorded):
            await asyncio.sleep(unsettled(logs, recorded.event.at))
        async for said in _each(translator.take(recorded), logs):
            now = _offsets(tails)
            # How what a model says is cut into messages is by chance; everything else is not.
            spoken, heard = now != heard, now
            count += not spoken
            had = before == after.event and count <= after.messages and not spoken
            if before >= after.event and not had:
                yield message(str(Told(before, count, heard)), said)
        if seq == after.event:
            translator.go_on(after.offsets)
        await asyncio.sleep(0)


async def _each(told: Iterator[Said], logs: Logs) -> AsyncIterator[Said]:
    """Give one by one what is told, aside where logs are read in another machine's database."""
    while True:
        said = await asyncio.to_thread(next, told, None) if logs.period else next(told, None)
        if said is None:
            return
        yield said


def _offsets(tails: Sequence[Tail]) -> tuple[int, ...]:
    return tuple(tail.at for tail in tails)


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/runs/{run}/agui",
        role="view",
        handler=_agui,
        about="A run as a stream of AG-UI events.",
        media="text/event-stream",
    ),
]
