"""What one step says, as it comes: pieces of text, a mark where it begins anew, its output.

`Follower` is pure: events, text and the time go in, items come out.
`follow` lends it a run and the clock.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from hocket.app.coalesce import PATIENCE, Coalescer
from hocket.core.errors import Refused, suggest
from hocket.core.events import (
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Recorded,
    StepFailed,
    StepSkipped,
)
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.values import SECOND, Call, Json, step_of
from hocket.engine.engine import Run as Driven
from hocket.forecast.assume import plan_of
from hocket.workflows.panel import REVISION, SYNTHESIS, is_panel

_ROUND: Final = r"(?:~\d+)?"
_TALK: Final = rf"(?:/(?:author|turn){_ROUND})*"
"""A reviewed step's author, and the turns of whoever has tools, are within their step."""
_FINAL: Final = r"/(?:[^/]+/present|final/synthesize)"


class Piece(NamedTuple):
    """A piece of a step's text.

    Fields:
        text: The piece; pieces are put together as they are.
        path: The path of the call that says it.
    """

    text: str
    path: str


class Reset(NamedTuple):
    """The text so far counts no more: what follows begins anew.

    Fields:
        reason: Why, in a few words.
    """

    reason: str


class Done(NamedTuple):
    """The step is over; nothing follows.

    Fields:
        status: ``succeeded``, ``failed`` or ``skipped``; ``cancelled`` or ``paused`` if the run was
            before the step was over.
        output: What it gives.
        reason: Why, if it has not succeeded.
    """

    status: str
    output: Json = None
    reason: str = ""


Item: TypeAlias = Piece | Reset | Done


class Voice(NamedTuple):
    """Whom to listen to.

    Fields:
        path: The path of the step; "" for a run that is a panel.
        calls: Matches the paths of the calls whose text is the step's.
    """

    path: str
    calls: re.Pattern[str]


def voice_of(plan: PlanSpec, path: str | None, sinks: Sequence[str] = ()) -> Voice:
    """Say whose text is that of a step.

    Args:
        plan: The run's plan.
        path: The step: its name, with its item behind a slash if it has several; None for the
            step that the plan ends with.
        sinks: The steps that nothing waits for.

    Raises:
        Refused: There is no such step, or it is not said whose text is meant.
    """
    if path is None:
        if is_panel(plan):
            return Voice("", re.compile(rf"(?:{_PANEL}){_TALK}"))
        if len(sinks) != 1:
            raise Refused(f"say which step is to be followed: {', '.join(sinks[:8])}")
        path = sinks[0]
    names = step_of(path).split("/")
    step = _step(plan, names, path)
    if step.each is not None and step_of(path) == path:
        raise Refused(f"step {path!r} is done for each item: say which, as in {path}/0")
    base = "/".join(re.escape(part) + _ROUND for part in path.split("/"))
    if step.plan is not None:
        if not is_panel(step.plan):
            inner = ", ".join(f"{path}/{each.name}" for each in step.plan.steps[:8])
            raise Refused(f"step {path!r} is a plan: say which step of it, as {inner}")
        base += f"/(?:{_PANEL})"
    elif step.kind == "consensus":
        base += _FINAL
    return Voice(path, re.compile(base + _TALK))


_PANEL: Final = "|".join(name + _ROUND for name in (SYNTHESIS, REVISION))


def _step(plan: PlanSpec, names: Sequence[str], path: str) -> StepSpec:
    step: StepSpec | None = None
    inner: PlanSpec | None = plan
    for name in names:
        steps = {} if inner is None else {each.name: each for each in inner.steps}
        step = steps.get(name)
        if step is None:
            hint = suggest(name, steps)
            raise Refused(f"there is no step {path!r}{f': {hint}' if hint else ''}")
        inner = step.plan
    assert step is not None
    return step


class Follower:
    """Makes items of what the calls of one step say.

    One call is followed at a time. If another one wins, as a retry, a hedge or the next turn may,
    the text so far is void, and that of the other follows.
    It holds no more than the text that nobody has taken: pieces that wait are put together.

    Args:
        voice: Whom to listen to.
        patience: How long text waits for the end of its sentence, in nanoseconds.
    """

    def __init__(self, voice: Voice, patience: int = PATIENCE) -> None:
        self.voice = voice
        self.over = False
        self._patience = patience
        self._items: deque[Item] = deque()
        self._leader: Call | None = None
        self._text = Coalescer(patience)
        self._aside: dict[Call, list[str]] = {}
        """What calls in flight have said that are not followed."""
        self._begun: dict[str, int] = {}
        """The highest attempt that has begun at each path."""
        self._closed: dict[str, int] = {}
        """Up to which attempt the calls at a path have nothing to say any more."""
        self._taken = False
        """Whether text was taken since the last reset that was."""

    @property
    def due(self) -> int | None:
        """When to `wake` it, if ever."""
        return self._text.due

    def take(self) -> Item | None:
        """Take the next item out, if there is one."""
        if not self._items:
            return None
        item = self._items.popleft()
        self._taken = isinstance(item, Piece) or (self._taken and not isinstance(item, Reset))
        return item

    def emitted(self, call: Call, stream: str, text: str, at: int) -> None:
        """A call has said something."""
        if stream != "out" or self.over or not self.voice.calls.fullmatch(call.path):
            return
        if call.attempt <= self._closed.get(call.path, 0):
            return
        if self._leader is None:
            self._reset("another call has begun")
            self._leader = call
        if call == self._leader:
            self._put(self._text.add(text, at))
        else:
            self._aside.setdefault(call, []).append(text)

    def recorded(self, event: object, at: int) -> None:
        """An event is on disk."""
        if isinstance(event, CallStarted):
            if self.voice.calls.fullmatch(event.call.path):
                self._begun[event.call.path] = event.call.attempt
        elif isinstance(event, CallFinished):
            if self.voice.calls.fullmatch(event.call.path):
                self._finished(event, at)
        elif isinstance(event, CallFailed | CallCancelled | CallLost):
            self._aside.pop(event.call, None)
            if event.call == self._leader:
                self._lost(event, at)

    def wake(self, at: int) -> None:
        """Its time may have come."""
        self._put(self._text.wake(at))

    def end(self, done: Done) -> None:
        """The step is over."""
        if not self.over:
            self.over = True
            self._put(self._text.end())
            self._items.append(done)

    def _finished(self, event: CallFinished, at: int) -> None:
        call, said = event.call, self._aside.pop(event.call, None)
        if call != self._leader:
            if said is None and not isinstance(event.output, str):
                return
            self._follow(call, [str(event.output)] if said is None else said, at)
        self._put(self._text.end())
        self._leader = None
        # Those who lost against it are stopped, and may not know yet.
        self._closed[call.path] = max(call.attempt, self._begun.pop(call.path, 0))
        self._aside = {c: texts for c, texts in self._aside.items() if c.path != call.path}

    def _lost(self, event: CallFailed | CallCancelled | CallLost, at: int) -> None:
        self._leader = None
        if isinstance(event, CallFailed):
            why = f"the call failed: {event.fault.message}"
        else:
            why = f"the call was {'lost' if isinstance(event, CallLost) else 'cancelled'}"
        self._reset(why)
        other = next(iter(self._aside), None)
        if other is not None:
            self._follow(other, self._aside.pop(other), at)

    def _follow(self, call: Call, texts: Sequence[str], at: int) -> None:
        """Go over to another call, with what it has said so far."""
        self._reset("another call was quicker")
        self._leader = call
        for text in texts:
            self._put(self._text.add(text, at))

    def _reset(self, reason: str) -> None:
        """What was said so far is void; who has taken nothing of it need not know."""
        self._text = Coalescer(self._patience)
        untold = next((item for item in self._items if isinstance(item, Reset)), None)
        self._items.clear()
        if untold is not None or self._taken:
            self._items.append(untold or Reset(reason))

    def _put(self, text: str) -> None:
        if not text:
            return
        path = self.voice.path if self._leader is None else self._leader.path
        last = self._items[-1] if self._items else None
        if isinstance(last, Piece):
            self._items[-1] = Piece(last.text + text, path)
        else:
            self._items.append(Piece(text, path))


class _Listener:
    """Follows one step of a run under way."""

    def __init__(self, run: Driven, voice: Voice) -> None:
        self._run = run
        self._follower = Follower(voice)
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._known: Done | None = None
        self._until = 0

    def recorded(self, events: Sequence[Recorded]) -> None:
        """These events are on disk."""
        for recorded in events:
            self._follower.recorded(recorded.event, self._now())
        self.look(events)
        self._news.set()

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call has said something."""
        self._follower.emitted(call, stream, text, self._now())
        self._news.set()

    async def items(self) -> AsyncIterator[Item]:
        """Give the items until the step is over."""
        follower = self._follower
        settled = asyncio.ensure_future(self._run.settled())
        settled.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                while (item := follower.take()) is not None:
                    yield item
                if follower.over:
                    return
                if settled.done():
                    follower.end(_end(settled.result(), follower.voice.path))
                    continue
                await self._wait()
        finally:
            self._run.unobserve(self)
            settled.cancel()
            await asyncio.gather(settled, return_exceptions=True)

    def look(self, events: Sequence[Recorded] = ()) -> None:
        """Tell whether the step is over, as far as that is on disk."""
        path = self._follower.voice.path
        if not path or self._follower.over:
            return
        for recorded in events:
            event = recorded.event
            if isinstance(event, StepFailed) and _holds(event.path, path):
                self._follower.end(Done("failed", None, event.fault.message))
            elif isinstance(event, StepSkipped) and _holds(event.path, path):
                self._follower.end(Done("skipped", None, event.reason))
        if self._known is None:
            self._known = _output(self._run.machine, path)
            # The machine may know more than is on disk, and this may follow from the last of it.
            self._until = self._run.unshown
        on_disk = events[-1].seq >= self._until if events else not self._until
        if self._known is not None and on_disk:
            self._follower.end(self._known)

    async def _wait(self) -> None:
        """Wait for something to happen, or until what waits for a sentence's end is due."""
        due = self._follower.due
        try:
            async with asyncio.timeout_at(None if due is None else due / SECOND):
                await self._news.wait()
        except TimeoutError:
            self._follower.wake(self._now())
        self._news.clear()

    def _now(self) -> int:
        return round(self._loop.time() * SECOND)


def follow(run: Driven, path: str | None) -> AsyncIterator[Item]:
    """Follow what a step of a run says, from now on.

    Raises:
        Refused: There is no such step, or it is not said whose text is meant.
    """
    shape = plan_of(run.machine).shape
    sinks = [shape.nodes[index].spec.name for index in shape.sinks]
    listener = _Listener(run, voice_of(run.machine.spec.workflow, path, sinks))
    listener.look()
    run.observe(listener)
    return listener.items()


def _output(machine: RunMachine, path: str) -> Done | None:
    try:
        output = machine.workflow.result(path)
    except Refused:
        # What it is nested in has not begun.
        return None
    return None if output is None else Done("succeeded", output)


def _end(machine: RunMachine, path: str) -> Done:
    """Say how a step ended that was not over before its run."""
    end = machine.end
    reason = machine.pause_reason if end is None else end.reason
    if not path:
        return Done(machine.said, None if end is None else end.output, reason)
    done = _output(machine, path)
    if done is not None:
        return done
    return Done(machine.said, None, reason)


def _holds(outer: str, path: str) -> bool:
    return path == outer or path.startswith(f"{outer}/")
