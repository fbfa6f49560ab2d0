"""The calls of one run whose answers are kept, or were: a hit is recorded and never made.

    asked ──kept──> over                         line ──admitted──> flight ──over, and kept
      ├──the same is in flight──> follows ──it is over──> asked     │
      ├──its meaning is wanted──> compares ──known──> asked         └──kept by now, or the same is
      └──> line ──what it would ask is being asked──> follows           in flight──> over, follows

A question is named anew whenever it is looked at: what a call asks may change while it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from hocket.agents.base import content
from hocket.core.commands import StartCall
from hocket.core.errors import HocketError, JournalError
from hocket.core.events import AnyEvent, CallFinished, CallStarted, Usage, Wait
from hocket.core.machine import JobSpec
from hocket.core.run import RunMachine
from hocket.core.teams import CacheSpec
from hocket.core.values import Call, Json
from hocket.engine.audience import Audience
from hocket.engine.crew import Crew
from hocket.engine.flight import Outcome
from hocket.engine.line import Line
from hocket.engine.memo import Meaning, Memo, counts
from hocket.engine.nearest import MOST_COMPARED, nearest
from hocket.engine.question import Question, question_of
from hocket.journal.base import Answered

CACHE: Final = "cache"
"""What a call waits for that asks what is being asked, or whose meaning is being found out."""

State: TypeAlias = Literal["asked", "line", "follows", "compares", "flight"]


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


class Asked:
    """A call whose answer is to be kept, from when it is asked for until it is over.

    Attributes:
        start: The call.
        served: Whether a kept answer will do: a call that is to be another try is made.
        state: What it is doing.
        question: What it asks, as of when that was last looked at.
        waits: What it has waited for.
        since: Since when it waits for what others give, in the states ``follows``, ``compares``.
        meant: The text whose meaning was last found out, or was not to be found out.
        vector: That meaning; empty if it could not be found out.
        near: The kept answer of nearly that meaning, and how near.
        spent: What finding out has spent.
        notes: What the reader of the answer must know.
        task: What finds out.
    """

    __slots__ = (
        "_recall",
        "meant",
        "near",
        "notes",
        "question",
        "served",
        "since",
        "spent",
        "start",
        "state",
        "task",
        "vector",
        "waits",
    )

    def __init__(self, recall: Recall, start: StartCall, question: Question, served: bool) -> None:
        self._recall = recall
        self.start = start
        self.question = question
        self.served = served
        self.state: State = "asked"
        self.waits: tuple[Wait, ...] = ()
        self.since = 0
        self.meant: str | None = None
        self.vector = b""
        self.near: tuple[float, str] | None = None
        self.spent: Usage | None = None
        self.notes: tuple[str, ...] = ()
        self.task: asyncio.Task[None] | None = None

    def call_off(self) -> None:
        """What it is to ask is being asked: it need not stand in line for its limits."""
        self._recall.call_off(self)

    def look_again(self) -> None:
        """What it waited for is there, or will not come."""
        self._recall.look_again(self)

    def waited(self, cause: str, since: int, until: int) -> None:
        """Note what it has waited for."""
        if since < until:
            self.waits = (*self.waits, Wait(cause, since, until))


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
        self._crew = crew
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
        if self._cache(start) is None or start.effects:
            return False
        question = self._question(start)
        if question is None:
            return False
        served = not start.hedge and not self._base.machine.calls.jobs[start.call.path].tries
        asked = self._calls[start.call] = Asked(self, start, question, served)
        if start.asked < start.ready:
            asked.waited("backoff", start.asked, start.ready)
        if self._settled(asked):
            return True
        asked.waits = ()
        self._stand(asked)
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
        question = self._question_of(start, job, given)
        assert question is not None
        self._name(asked, question)
        if asked.served:
            asked.waits, before = (*asked.waits, *waits), asked.waits
            if (answer := self._find(asked, asked.question.key)) is not None:
                self._line.release(start.call)
                self._give(asked, answer)
                return False
            if self._memo.follow(asked.question.key, asked):
                self._line.release(start.call)
                self._wait(asked, "follows")
                return False
            asked.waits = before
        self._memo.leave(asked.question.key, asked)
        asked.state = "flight"
        self._memo.fly(asked.question.key, asked)
        return True

    def waited(self, call: Call) -> tuple[Wait, ...]:
        """Tell what a call has waited for before it stood in line."""
        asked = self._calls.get(call)
        return () if asked is None else asked.waits

    @property
    def waiting(self) -> int:
        """How many calls wait for what others give."""
        return sum(asked.state in ("follows", "compares") for asked in self._calls.values())

    def withdraw(self, call: Call) -> None:
        """Nobody wants a call any more that has not left."""
        asked = self._calls.pop(call, None)
        if asked is not None:
            self._memo.leave(asked.question.key, asked)
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
        if asked is None:
            return outcome, ()
        question = asked.question
        kept: tuple[Answered, ...] = ()
        cache = self._cache(asked.start)
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
        self._memo.leave(asked.question.key, asked)
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
            self._wait(asked, "follows")

    def look_again(self, asked: Asked) -> None:
        """Look for a call's answer again, in the loop's next turn."""
        self._loop.call_soon(self._again, asked)

    # -- within -----------------------------------------------------------------------------

    def _cache(self, start: StartCall) -> CacheSpec | None:
        return self._base.machine.spec.agents[start.agent].cache

    def _question(self, start: StartCall) -> Question | None:
        """Name what a call asks as of now; None if its start is going to say why it cannot."""
        try:
            job, given = self._base.machine.request(start.call)
            return self._question_of(start, job, given)
        except Exception:
            return None

    def _question_of(self, start: StartCall, job: JobSpec, given: Json) -> Question | None:
        agent = self._base.machine.spec.agents[start.agent]
        # Others are all that their specs say, and are hired only if they are called.
        what = content(self._crew[start.agent]) if agent.kind == "function" else ""
        return None if what is None else question_of(agent, job, given, start.call.path, what)

    def _name(self, asked: Asked, question: Question) -> None:
        if question.key != asked.question.key:
            self._memo.leave(asked.question.key, asked)
        asked.question = question

    def _settled(self, asked: Asked) -> bool:
        """See whether a call need not stand in line: its answer is there, or may come."""
        machine = self._base.machine
        question = self._question(asked.start)
        if question is None or not asked.served or not machine.admits:
            return False
        self._name(asked, question)
        if (answer := self._find(asked, question.key)) is not None:
            self._give(asked, answer)
            return True
        if self._memo.follow(question.key, asked):
            self._wait(asked, "follows")
            return True
        cache = self._cache(asked.start)
        if cache is None or cache.mode != "similar" or not question.kin:
            return False
        if asked.meant != question.text and self._memo.meanings is not None:
            self._wait(asked, "compares")
            asked.task = task = self._loop.create_task(self._compare(asked, cache))
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)
            return True
        if asked.near is not None and asked.meant == question.text:
            cosine, key = asked.near
            if (answer := self._find(asked, key)) is not None:
                self._give(asked, answer, f"kept from a similar question ({cosine:.3f})")
                return True
        return False

    def _find(self, asked: Asked, key: str) -> Answered | None:
        cache = self._cache(asked.start)
        ttl = None if cache is None else cache.ttl
        try:
            return self._memo.find(key, ttl, self._line.desk.clock.now())
        except JournalError as error:
            if str(error) not in asked.notes:
                asked.notes = (*asked.notes, str(error))
            return None

    def _stand(self, asked: Asked) -> None:
        asked.state = "line"
        self._memo.queue(asked.question.key, asked)

    def _wait(self, asked: Asked, state: State) -> None:
        asked.state = state
        asked.since = self._base.now()

    def _fetch(self, asked: Asked) -> bool:
        """Take a call out of the line, with what it has waited for; tells whether it was there."""
        waits = self._line.fetch(asked.start.call)
        if waits is None:
            return False
        self._memo.leave(asked.question.key, asked)
        asked.waits = (*asked.waits, *waits)
        asked.since = 0
        return True

    def _again(self, asked: Asked) -> None:
        """Look for the answer of a call that has waited; without one let it stand in line."""
        base = self._base
        call = asked.start.call
        if base.over or self._calls.get(call) is not asked or asked.state == "flight":
            return
        job, now = base.machine.calls.jobs.get(call.path), base.now()
        if job is None or not job.awaits(call):
            # Nobody wants it any more, and whoever is to say so is about to.
            return
        try:
            if asked.state != "line":
                self._memo.leave(asked.question.key, asked)
                asked.waited(CACHE, asked.since, now)
            asked.state = "asked"
            if not self._settled(asked):
                asked.start = msgspec.structs.replace(asked.start, ready=now, asked=now)
                self._stand(asked)
                self._queue(asked.start)
            base.follow()
        except Exception as error:
            base.fail(error)

    def _give(self, asked: Asked, answer: Answered, note: str = "") -> None:
        """Record that a call has begun and ended with an answer that is kept."""
        base, start, call = self._base, asked.start, asked.start.call
        del self._calls[call]
        self._memo.leave(asked.question.key, asked)
        base.note(CallStarted(at=base.now(), call=call, agent=start.agent, waits=asked.waits))
        if isinstance(answer.output, str):
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

    async def _compare(self, asked: Asked, cache: CacheSpec) -> None:
        """Find out what a question means, and which kept answer is to nearly the same."""
        question = asked.question
        asked.meant, asked.vector, asked.near = question.text, b"", None
        try:
            assert self._memo.meanings is not None
            meaning: Meaning = await self._memo.meanings(cache.embed, question.text)
            asked.vector = meaning.vector
            if meaning.usage is not None:
                asked.spent = added(asked.spent, meaning.usage)
            now = self._line.desk.clock.now()
            known = self._memo.answers.near(question.kin, MOST_COMPARED)
            young = [near for near in known if counts(near.at, near.until, cache.ttl, now)]
            best = await nearest(meaning.vector, young)
            if best is not None and best[0] >= cache.threshold:
                asked.near = best[0], best[1].key
        except HocketError as error:
            asked.notes = (*asked.notes, f"not compared with kept answers: {error}")
        except Exception as error:
            self._base.fail(error)
            return
        finally:
            asked.task = None
        self._again(asked)


def added(usage: Usage | None, more: Usage) -> Usage:
    """Add up what two requests of one call have spent; a price that nobody knows adds nothing."""
    if usage is None:
        return more
    return Usage(
        tokens_in=_sum(usage.tokens_in, more.tokens_in),
        tokens_out=_sum(usage.tokens_out, more.tokens_out),
        cost=_sum(usage.cost, more.cost),
        tokens_cached=usage.tokens_cached,
    )


def _sum(one: int | None, two: int | None) -> int | None:
    return two if one is None else one if two is None else one + two
