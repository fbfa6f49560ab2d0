"""The calls of one run whose answers are kept, or were: a hit is recorded and never made.

    asked ──kept──> over                         line ──admitted──> flight ──over, and kept
      ├──the journal is far──> looks ──known──> asked               │
      ├──the same is in flight──> follows ──it is over──> asked     │
      ├──its meaning is wanted──> compares ──known──> asked         └──kept by now, or the same is
      └──> line ──what it would ask is being asked──> follows           in flight──> over, follows

A question is named anew whenever it is looked at: what a call asks may change while it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from hocket.core.commands import StartCall
from hocket.core.errors import JournalError
from hocket.core.events import AnyEvent, CallFinished, CallLost, CallStarted, Usage, Wait
from hocket.core.machine import JobSpec
from hocket.core.run import RunMachine
from hocket.core.values import Call, Json
from hocket.engine.audience import Audience
from hocket.engine.cached import Asked, Questions, added, compare, look, unknown
from hocket.engine.crew import Crew
from hocket.engine.flight import Outcome
from hocket.engine.line import Line
from hocket.engine.memo import Memo
from hocket.journal.base import Answered
from hocket.limits.waits import bounded

CACHE: Final = "cache"
"""What a call waits for that asks what is being asked, or whose meaning is being found out."""


class Base(Protocol):
    """What drives the run."""

    machine: RunMachine

    @property
    def over(self) -> bool:
        """Whether nothing more is to begin here."""

    def now(self) -> int:
        """Give the instant for the next event."""

    def note(self, event: AnyEvent) -> None:
        """Take a fact in and write it."""

    def follow(self) -> None:
        """Carry out what follows."""

    def fail(self, error: Exception) -> None:
        """Nothing may go on."""


class Recall:
    """Looks for the answers of one run's calls before they are made.

    Args:
        base: What drives the run.
        memo: What the runs of this process know of each other's questions.
        line: The run's waiting calls.
        crew: The agents.
        audience: Who is shown what calls say.
        queue: Has a call wait for its limits.
    """

    def __init__(
        self,
        base: Base,
        memo: Memo,
        line: Line,
        crew: Crew,
        audience: Audience,
        queue: Callable[[StartCall], None],
    ) -> None:
        self._base = base
        self._memo = memo
        self._line = line
        self._questions = Questions(base, crew)
        self._audience = audience
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._calls: dict[Call, Asked] = {}
        self._fresh: deque[tuple[int, Answered]] = deque()
        """Answers that are not on disk yet, and the event's number that will be there by then."""
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._held = False

    # -- before a call is made --------------------------------------------------------------

    def takes(self, start: StartCall) -> bool:
        """Look for a call's answer; tells whether the call need not wait for its limits now."""
        if self._questions.cache(start) is None or start.effects:
            return False
        question = self._questions.of(start)
        if question is None:
            return False
        served = not start.hedge and not self._base.machine.calls.jobs[start.call.path].tries
        asked = self._calls[start.call] = Asked(
            self._memo, start, question, served, self.call_off, self.look_again
        )
        if start.asked < start.ready:
            asked.waited("backoff", start.asked, start.ready)
        if self._settled(asked):
            return True
        asked.waits = ()
        asked.stand()
        return False

    def leaves(self, start: StartCall, job: JobSpec, given: Json, waits: tuple[Wait, ...]) -> bool:
        """A call has been let through; tells whether it is to be made all the same.

        Args:
            start: The call.
            job: How it is done.
            given: What it is going to ask.
            waits: What it has waited for since it stands in line.
        """
        asked = self._calls.get(start.call)
        if asked is None:
            return True
        question = self._questions.named(start, job, given)
        assert question is not None
        asked.ask(question)
        if asked.served:
            asked.waits, before = (*asked.waits, *waits), asked.waits
            if waits:
                # Another process may have kept it meanwhile.
                asked.looked.clear()
            if (answer := self._find(asked, asked.question.key)) is not None:
                self._line.release(start.call)
                self._give(asked, answer)
                return False
            if self._memo.follow(asked.question.key, asked):
                self._line.release(start.call)
                asked.wait("follows", self._base.now())
                return False
            asked.waits = before
        asked.fly()
        return True

    def waited(self, call: Call) -> tuple[Wait, ...]:
        """Tell what a call has waited for before it stood in line."""
        asked = self._calls.get(call)
        return () if asked is None else asked.waits

    @property
    def waiting(self) -> list[Call]:
        """The calls that wait for what others give."""
        states = ("looks", "follows", "compares")
        return [call for call, asked in self._calls.items() if asked.state in states]

    def withdraw(self, call: Call) -> None:
        """Nobody wants a call any more that has not left."""
        asked = self._calls.pop(call, None)
        if asked is not None:
            asked.leave()
            if asked.task is not None:
                asked.task.cancel()
                asked.task = None

    def hold(self, held: bool) -> None:
        """Give no answers while the run is held; look for those of all that wait after that."""
        if held == self._held:
            return
        self._held = held
        for asked in [] if held else list(self._calls.values()):
            if asked.state == "line" and asked.served and self._fetch(asked):
                self._again(asked)

    # -- when a call is over ----------------------------------------------------------------

    def landed(self, outcome: Outcome) -> tuple[Outcome, tuple[Answered, ...]]:
        """Say what is to be recorded of a call's end, and kept with that."""
        asked = self._calls.get(outcome.call)
        if asked is None or isinstance(outcome, CallLost):
            return outcome, ()
        question = asked.question
        kept: tuple[Answered, ...] = ()
        if unknown(outcome.usage, asked.spent):
            asked.remark("nobody knows what comparing it cost")
        cache = self._questions.cache(asked.start)
        if isinstance(outcome, CallFinished):
            if cache is not None:
                now = self._line.desk.clock.now()
                similar = asked.vector and asked.meant == question.text
                answer = Answered(
                    key=question.key,
                    kin=question.kin if similar else "",
                    at=now,
                    until=None if cache.ttl is None else now + cache.ttl,
                    output=outcome.output,
                    usage=outcome.usage,
                    notes=outcome.notes,
                    vector=asked.vector if similar else b"",
                )
                kept = (answer,)
            if asked.notes:
                outcome = msgspec.structs.replace(outcome, notes=(*outcome.notes, *asked.notes))
        if asked.spent is not None:
            outcome = msgspec.structs.replace(outcome, usage=added(outcome.usage, asked.spent))
        return outcome, kept

    def recorded(self, call: Call, kept: tuple[Answered, ...], seq: int) -> None:
        """A call's end was recorded by the event of that number, with what is kept of it."""
        asked = self._calls.pop(call, None)
        if asked is None:
            return
        for answer in kept:
            self._memo.tell(answer)
            self._fresh.append((seq, answer))
        asked.leave()
        self._memo.stir(asked.question.key)

    def written(self, seq: int) -> None:
        """Everything up to an event's number is on disk."""
        while self._fresh and self._fresh[0][0] <= seq:
            self._memo.told(self._fresh.popleft()[1])

    async def close(self) -> None:
        """Wait for nothing any more; those who wait for calls of this run see to themselves."""
        for asked in list(self._calls.values()):
            self.withdraw(asked.start.call)
            self._memo.stir(asked.question.key)
        while self._fresh:
            self._memo.told(self._fresh.popleft()[1])
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- for others of the same question ----------------------------------------------------

    def call_off(self, asked: Asked) -> None:
        """What a call in line is to ask is being asked: let it wait for that."""
        # One that was let through already is about to find out by itself.
        if asked.served and self._fetch(asked):
            self._memo.follow(asked.question.key, asked)
            asked.wait("follows", self._base.now())

    def look_again(self, asked: Asked) -> None:
        """Look for a call's answer again, in the loop's next turn."""
        self._loop.call_soon(self._again, asked)

    # -- within -----------------------------------------------------------------------------

    def _settled(self, asked: Asked) -> bool:
        """See whether a call need not stand in line: its answer is there, or may come."""
        machine = self._base.machine
        question = self._questions.of(asked.start)
        if question is None or not asked.served or not machine.admits:
            return False
        asked.ask(question)
        if self._memo.far and question.key not in asked.looked:
            # What is in flight now may have landed before a slow journal says that it has nothing.
            if self._memo.follow(question.key, asked):
                asked.wait("follows", self._base.now())
                return True
            asked.wait("looks", self._base.now())
            self._find_out(asked, partial(look, asked, self._memo, question.key))
            return True
        if (answer := self._find(asked, question.key)) is not None:
            self._give(asked, answer)
            return True
        if self._memo.follow(question.key, asked):
            asked.looked.clear()
            asked.wait("follows", self._base.now())
            return True
        cache = self._questions.cache(asked.start)
        if cache is None or cache.mode != "similar" or not question.kin:
            return False
        meanings = self._memo.meanings
        if asked.meant != question.text and meanings is not None:
            asked.wait("compares", self._base.now())
            now = self._line.desk.clock.now()
            self._find_out(asked, partial(compare, asked, cache, self._memo, meanings, now))
            return True
        if asked.near is not None and asked.meant == question.text:
            cosine, key = asked.near
            if (answer := self._find(asked, key)) is not None:
                self._give(asked, answer, f"kept from a similar question ({cosine:.3f})")
                return True
        return False

    def _find(self, asked: Asked, key: str) -> Answered | None:
        cache = self._questions.cache(asked.start)
        ttl = None if cache is None else cache.ttl
        now = self._line.desk.clock.now()
        if key in asked.looked:
            return self._memo.young(key, asked.looked[key], ttl, now)
        try:
            return self._memo.find(key, ttl, now)
        except JournalError as error:
            asked.remark(str(error))
            return None

    def _fetch(self, asked: Asked) -> bool:
        """Take a call out of the line, with what it has waited for; tells whether it was there."""
        waits = self._line.fetch(asked.start.call)
        if waits is None:
            return False
        asked.leave()
        asked.looked.clear()
        asked.waits = bounded((*asked.waits, *waits))
        asked.state = "asked"
        return True

    def _again(self, asked: Asked) -> None:
        """Look for the answer of a call that has waited; without one let it stand in line."""
        base, call = self._base, asked.start.call
        job = base.machine.calls.jobs.get(call.path)
        # Where nobody wants it any more, whoever is to say so is about to.
        if base.over or job is None or not job.awaits(call) or self._calls.get(call) is not asked:
            return
        now = base.now()
        try:
            if asked.state != "asked":
                asked.leave()
                asked.waited(CACHE, asked.since, now)
                asked.state = "asked"
            if not self._settled(asked):
                asked.start = msgspec.structs.replace(asked.start, ready=now, asked=now)
                asked.stand()
                self._queue(asked.start)
            base.follow()
        except Exception as error:
            base.fail(error)

    def _give(self, asked: Asked, answer: Answered, note: str = "") -> None:
        """Record that a call has begun and ended with an answer that is kept."""
        base, start, call = self._base, asked.start, asked.start.call
        del self._calls[call]
        asked.leave()
        base.note(CallStarted(at=base.now(), call=call, agent=start.agent, waits=asked.waits))
        speaks = base.machine.spec.agents[start.agent].kind != "function"
        if speaks and isinstance(answer.output, str):
            self._audience.emit(call, "out", answer.output)
        base.note(
            CallFinished(
                at=base.now(),
                call=call,
                output=answer.output,
                usage=asked.spent,
                notes=(*answer.notes, *asked.notes, *([note] if note else [])),
                saved=answer.usage or Usage(),
            )
        )

    def _find_out(self, asked: Asked, work: Callable[[], Awaitable[None]]) -> None:
        """Have something found out for a call beside the loop; it looks again after that."""
        asked.task = task = self._loop.create_task(self._found_out(asked, work))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _found_out(self, asked: Asked, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            self._base.fail(error)
        else:
            asked.task = None
            self._again(asked)
