"""A call whose answer is to be kept: what it asks, what it waits for, what is found out for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeAlias

from hocket.agents.base import content
from hocket.core.commands import StartCall
from hocket.core.errors import HocketError, JournalError
from hocket.core.events import Usage, Wait
from hocket.core.machine import JobSpec
from hocket.core.run import RunMachine
from hocket.core.teams import CacheSpec
from hocket.core.values import Json
from hocket.engine.cache_key import Question, question_of
from hocket.engine.crew import Crew
from hocket.engine.memo import Meanings, Memo, counts
from hocket.engine.nearest import MOST_COMPARED, nearest
from hocket.journal.base import Answered
from hocket.journal.slices import aside
from hocket.limits.waits import bounded

State: TypeAlias = Literal["asked", "line", "looks", "follows", "compares", "flight"]


class Asking(Protocol):
    """A run that asks."""

    machine: RunMachine


class Asked:
    """A call whose answer is to be kept, from when it is asked for until it is over.

    Args:
        memo: What the runs of this process know of each other's questions.
        start: The call.
        question: What it asks.
        served: Whether a kept answer will do.
        off: Told that the same is being asked while it stands in line.
        again: Told that what it waited for is there, or will not come.

    Attributes:
        start: The call.
        served: Whether a kept answer will do: a call that is to be another try is made.
        state: What it is doing.
        question: What it asks, as of when that was last looked at.
        waits: What it has waited for.
        since: Since when it waits for what others give: ``looks``, ``follows``, ``compares``.
        looked: What was found beside the loop, by the keys of questions.
        meant: The text whose meaning was last found out, or was not to be found out.
        vector: That meaning; empty if it could not be found out.
        near: The kept answer of nearly that meaning, and how near.
        spent: What finding out has spent.
        notes: What the reader of the answer must know.
        task: What finds out.
    """

    __slots__ = (
        "_again",
        "_memo",
        "_off",
        "looked",
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

    def __init__(
        self,
        memo: Memo,
        start: StartCall,
        question: Question,
        served: bool,
        off: Callable[[Asked], None],
        again: Callable[[Asked], None],
    ) -> None:
        self._memo = memo
        self._off = off
        self._again = again
        self.start = start
        self.question = question
        self.served = served
        self.state: State = "asked"
        self.waits: tuple[Wait, ...] = ()
        self.since = 0
        self.looked: dict[str, Answered | None] = {}
        self.meant: str | None = None
        self.vector = b""
        self.near: tuple[float, str] | None = None
        self.spent: Usage | None = None
        self.notes: tuple[str, ...] = ()
        self.task: asyncio.Task[None] | None = None

    def call_off(self) -> None:
        """What it is to ask is being asked: it need not stand in line for its limits."""
        self._off(self)

    def look_again(self) -> None:
        """What it waited for is there, or will not come."""
        self._again(self)

    def waited(self, cause: str, since: int, until: int) -> None:
        """Note what it has waited for."""
        if since < until:
            self.waits = bounded((*self.waits, Wait(cause, since, until)))

    def remark(self, note: str) -> None:
        """Note what the reader of its answer must know, once."""
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def ask(self, question: Question) -> None:
        """Ask this from now on."""
        if question.key != self.question.key:
            self.leave()
        self.question = question

    def stand(self) -> None:
        """Stand in line."""
        self.state = "line"
        self._memo.queue(self.question.key, self)

    def wait(self, state: State, at: int) -> None:
        """Wait for what others give."""
        self.state = state
        self.since = at

    def fly(self) -> None:
        """Leave: whoever stands in line to ask the same is called off."""
        self.leave()
        self.state = "flight"
        self._memo.fly(self.question.key, self)

    def leave(self) -> None:
        """Wait for nothing, and be waited for by nobody."""
        self._memo.leave(self.question.key, self)


class Questions:
    """Names what the calls of one run ask.

    Args:
        base: What drives the run.
        crew: The agents.
    """

    def __init__(self, base: Asking, crew: Crew) -> None:
        self._base = base
        self._crew = crew

    def cache(self, start: StartCall) -> CacheSpec | None:
        """Say for how long, and for which questions, a call's answer is kept."""
        return self._base.machine.spec.agents[start.agent].cache

    def of(self, start: StartCall) -> Question | None:
        """Name what a call asks as of now; None if its start is going to say why it cannot."""
        try:
            job, given = self._base.machine.request(start.call)
            return self.named(start, job, given)
        except Exception:
            return None

    def named(self, start: StartCall, job: JobSpec, given: Json) -> Question | None:
        """Name what a call asks; None if there is no telling."""
        agent = self._base.machine.spec.agents[start.agent]
        # Others are all that their specs say, and are hired only if they are called.
        what = content(self._crew[start.agent]) if agent.kind == "function" else ""
        return None if what is None else question_of(agent, job, given, start.call.path, what)


async def look(asked: Asked, memo: Memo, key: str) -> None:
    """Find out beside the loop which answer is kept, where the loop is not to wait for that."""
    if not memo.far:
        return
    found = heard = None
    memo.looks(key, asked)
    try:
        found = await aside(memo.journal, partial(memo.answers.find, key))
    except JournalError as error:
        asked.remark(str(error))
    finally:
        heard = memo.looked(key, asked)
    asked.looked[key] = found or heard


async def compare(asked: Asked, cache: CacheSpec, memo: Memo, meanings: Meanings, at: int) -> None:
    """Find out what a question means, and which kept answer is to nearly the same."""
    question = asked.question
    asked.meant, asked.vector, asked.near = question.text, b"", None
    try:
        meaning = await meanings(cache.embed, question.text)
        if meaning.usage is not None:
            asked.spent = added(asked.spent, meaning.usage)
        asked.vector = meaning.vector
        near = partial(memo.answers.near, question.kin, MOST_COMPARED)
        known = await aside(memo.journal, near)
        young = [one for one in known if counts(one.at, one.until, cache.ttl, at)]
        best = await nearest(meaning.vector, young)
        if best is not None and best[0] >= cache.threshold:
            asked.near = best[0], best[1].key
            await look(asked, memo, best[1].key)
    except HocketError as error:
        asked.remark(f"not compared with kept answers: {error}")


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


def unknown(usage: Usage | None, more: Usage | None) -> bool:
    """Tell whether a sum of two hides that the price of the second is not known."""
    return more is not None and more.cost is None and usage is not None and usage.cost is not None


def _sum(one: int | None, two: int | None) -> int | None:
    return two if one is None else one if two is None else one + two
