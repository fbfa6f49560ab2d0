"""A run as a stream of AG-UI events, so that front ends made for agents can show it.

AG-UI knows no numbers and no resumption, so it is an adapter at the edge and nothing more:
each message has the number of the event that it comes from as its id, and whoever sends that back
as ``Last-Event-ID`` gets what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from hocket.app.livelog import log_file
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
from hocket.server.events import ALIVE, begin, follow, message
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

Said = dict[str, Json]


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

    def take(self, recorded: Recorded) -> list[Said]:
        """Take the next event in, and say what it means."""
        event = recorded.event
        self._machine.apply(event)
        self._machine.drain()
        self._tally.add(event)
        found = list(self._told(recorded))
        if not isinstance(event, RunEnded):
            found += self._delta()
        at = event.at // MS
        return [{**said, "timestamp": at} for said in found]

    def heard(self) -> list[Said]:
        """Say what models in flight have said since."""
        found: list[Said] = []
        for call, tail in self._open.items():
            if tail is not None:
                found += self._content(call, tail, ended=False)
        return found

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
    await live.board(run)
    return Stream(chunks=_stream(live, run, begin(asked.last_event, 0)))


async def _stream(live: Any, run: str, after: int) -> AsyncIterator[bytes]:
    """Translate from the first event on; what the reader has had is not sent again."""
    translator = Translator(new_machine(), lambda call: Tail(log_file(live.state, run, call)))
    seq = idle = 0
    async for recorded in follow(live, run, 0, _PERIOD):
        if recorded is None:
            told = translator.heard()
            for said in told:
                yield message(seq, said)
            idle = 0 if told else idle + 1
            if idle % _BEATS == _BEATS - 1:
                yield ALIVE
            continue
        told = translator.take(recorded)
        before, seq = seq, recorded.seq
        if seq <= after:
            continue
        for place, said in enumerate(told, 1):
            # Only the last message of an event says that its reader has had all of it.
            yield message(seq if place == len(told) else before, said)
        await asyncio.sleep(0)


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
