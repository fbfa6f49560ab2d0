"""Answers that come while nobody drives a run: they count by when they were posted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.kit import WALL, Doer, engine, events, plan, says, step, virtual, wall

from hocket.agents.base import Context, Request
from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, Recorded, TimePassed
from hocket.core.requests import AnyRequest, Approve, Send
from hocket.core.run import RunMachine
from hocket.core.specs import Approval, OnTimeout, RunSpec
from hocket.core.values import SECOND, Call
from hocket.engine.takeover import rehearse
from hocket.journal.base import Store
from hocket.journal.memory import MemoryJournal
from hocket.journal.sqlite import SqliteJournal

Kind = Literal["step", "ask", "plan", "input"]


class Seen:
    """Tells when a question is on disk."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def recorded(self, events: Sequence[Recorded]) -> None:
        if any(isinstance(recorded.event, ApprovalAsked) for recorded in events):
            self.tell()

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Nothing is said before the question."""


class World:
    """A journal, an agent, and a wall's clock that is put forward by hand."""

    def __init__(self, folder: Path | None) -> None:
        self.at = WALL
        self.doer: Doer = says("done")
        self.journal: Store = MemoryJournal(wall=self.wall)
        if folder is not None:
            self.journal = SqliteJournal(folder, wall=self.wall)

    def wall(self) -> int:
        return self.at

    def put(self, seconds: float) -> None:
        self.at = WALL + round(seconds * SECOND)

    async def begins(self, spec: RunSpec, *, killed: bool = False) -> None:
        """Start a run and leave it with its question: paused, or as a killed process does."""
        shell = engine(self.journal, {"a": self.doer}, clock=self.wall)
        if killed:
            seen = asyncio.Event()
            watcher = Seen(seen.set)
            run = await shell.start(spec, {}, run="r", seed=1, observers=[watcher])
            await seen.wait()
            await run.stop()
            return
        run = await shell.start(spec, {}, run="r", seed=1, stay=False, wait=False)
        assert (await run.settled()).paused

    def asked(self) -> list[ApprovalAsked | InputAsked]:
        events = [recorded.event for recorded in self.journal.read("r")]
        return [event for event in events if isinstance(event, ApprovalAsked | InputAsked)]

    def post(self, approved: bool, by: str = "ann") -> int:
        last = self.asked()[-1]
        request: AnyRequest = Send(by=by, path=last.path, value=by)
        if isinstance(last, ApprovalAsked):
            request = Approve(by=by, path=last.path, approved=approved, digest=last.digest)
        return self.journal.post("r", request)

    async def resumes(self) -> RunMachine:
        shell = engine(self.journal, {"a": self.doer}, clock=self.wall)
        run = await shell.resume("r", stay=False, wait=False)
        return await run.settled()

    def refusal(self, post: int) -> str | None:
        answer = self.journal.answer(post)
        return None if answer is None else answer.refusal


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path if request.param == "sqlite" else None)
    yield made
    made.journal.close()


def asking(kind: Kind, on_timeout: OnTimeout) -> RunSpec:
    """A plan whose one call waits three seconds for a person."""
    waits: dict[str, Any] = {"timeout": 3 * SECOND, "on_timeout": on_timeout}
    if kind == "step":
        return plan(step("a", approval=Approval(**waits)))
    if kind == "plan":
        return plan(step("a"), approval=Approval(**waits))
    asks = "approve" if kind == "ask" else "input"
    return plan(step("q", kind=asks, agent="", input="Well?", **waits), step("a", "q"))


KINDS: tuple[Kind, ...] = ("step", "ask", "plan")
ON_TIMEOUT: tuple[OnTimeout, ...] = ("pause", "reject", "approve")


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("on_timeout", ON_TIMEOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_in_time_counts_whenever_the_run_goes_on(
    world: World, kind: Kind, on_timeout: OnTimeout, approved: bool, killed: bool
) -> None:
    async def main() -> None:
        await world.begins(asking(kind, on_timeout), killed=killed)
        world.put(2.9)
        post = world.post(approved)
        world.put(4)
        machine = await world.resumes()
        assert machine.said == ("succeeded" if approved else "failed")
        assert len(world.doer.calls) == approved
        assert world.refusal(post) == ""
        [given] = [e.event for e in world.journal.read("r") if isinstance(e.event, ApprovalGiven)]
        assert (given.approved, given.by) == (approved, "ann")

    asyncio.run(main())


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("on_timeout", ON_TIMEOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_comes_too_late_is_refused_with_words(
    world: World, kind: Kind, on_timeout: OnTimeout, approved: bool
) -> None:
    async def main() -> None:
        await world.begins(asking(kind, on_timeout))
        world.put(3.5)
        post = world.post(approved)
        world.put(4)
        machine = await world.resumes()
        if on_timeout == "pause":
            # Nothing was decided by the time alone, so the question was open.
            assert machine.said == ("succeeded" if approved else "failed")
            assert world.refusal(post) == ""
            return
        assert machine.said == ("succeeded" if on_timeout == "approve" else "failed")
        assert "before this was posted" in (world.refusal(post) or "")

    asyncio.run(main())


def test_an_input_in_time_counts_whenever_the_run_goes_on(world: World) -> None:
    async def main() -> None:
        await world.begins(asking("input", "reject"))
        world.put(2)
        world.post(True)
        world.put(4)
        assert (await world.resumes()).said == "succeeded"

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["step", "ask", "plan", "input"])
def test_a_resume_after_the_time_of_a_question_asks_it_anew(world: World, kind: Kind) -> None:
    async def main() -> None:
        await world.begins(asking(kind, "pause"))
        world.put(4)
        machine = await world.resumes()
        # It waits for three seconds more, and not for a second resume.
        assert (machine.said, machine.pause_reason) == ("paused", "asked by --no-wait")
        assert any(isinstance(it.event, TimePassed) for it in world.journal.read("r"))
        world.put(6)
        assert (machine.deadline() or 0) >= WALL + 7 * SECOND
        world.post(True)
        world.put(9)
        assert (await world.resumes()).said == "succeeded"

    asyncio.run(main())


@given(
    st.sampled_from(ON_TIMEOUT),
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["yes", "no", "resume"])), max_size=6),
)
def test_the_first_answer_in_time_decides_whoever_resumes_when(
    on_timeout: OnTimeout, kind: Kind, acts: list[tuple[int, str]]
) -> None:
    async def main() -> None:
        world, now = World(None), 0.0
        spec = asking(kind, on_timeout)
        await world.begins(spec)
        wanted: bool | None = None
        over = False
        for tenths, act in [*acts, (40, "resume")]:
            now += tenths / 2
            # The run begins a moment after zero.
            world.put(now + 0.1)
            in_time = on_timeout == "pause" or now < 3
            if act == "resume":
                machine = await world.resumes()
                if wanted is None and not in_time:
                    wanted = on_timeout == "approve"
                over = wanted is not None
                said = "paused" if wanted is None else "succeeded" if wanted else "failed"
                assert machine.said == said
                if over:
                    break
                continue
            world.post(act == "yes")
            if wanted is None and in_time:
                wanted = act == "yes"
        assert len(world.doer.calls) == (wanted is True)

    asyncio.run(main())


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("on_timeout", ON_TIMEOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_an_owner_that_was_not_awake_reads_what_was_posted_before_time_passes(
    kind: Kind, on_timeout: OnTimeout, approved: bool
) -> None:
    async def main() -> None:
        journal, doer = MemoryJournal(wall=wall), says("done")
        shell = engine(journal, {"a": doer})
        run = await shell.start(asking(kind, on_timeout), {}, run="r", seed=1, stay=False)
        await asyncio.sleep(2)
        [asked] = [e for e in events(journal) if isinstance(e, ApprovalAsked)]
        request = Approve(by="ann", path=asked.path, approved=approved, digest=asked.digest)
        # Nobody rings.
        journal.inbox.post("r", request, wall())
        machine = await run.settled()
        assert machine.said == ("succeeded" if approved else "failed")
        assert len(doer.calls) == approved

    virtual(main)


def test_a_question_of_a_call_that_died_takes_no_answer() -> None:
    async def main() -> None:
        async def asks(request: Request, context: Context) -> str:
            return str(await context.ask("rm x"))

        journal = MemoryJournal(wall=wall)
        run = await engine(journal, {"a": Doer(asks)}).start(plan(step("a")), {}, run="r", seed=1)
        await asyncio.sleep(1)
        await run.stop()
        [asked] = [e for e in events(journal) if isinstance(e, ApprovalAsked)]
        answer = Approve(by="ann", path=asked.path, approved=True, digest=asked.digest)
        machine = engine(journal, {}).fold("r")
        with pytest.raises(Refused, match="a#1 died with its process"):
            rehearse(machine, [], answer, wall())

    virtual(main)


def test_who_comes_second_is_told_while_nobody_drives_the_run(world: World) -> None:
    async def main() -> None:
        await world.begins(asking("step", "reject"))
        world.put(1)
        world.post(False)
        machine = engine(world.journal, {}, clock=world.wall).fold("r")
        asked = world.asked()[-1]
        assert isinstance(asked, ApprovalAsked)
        second = Approve(by="bob", path="a", approved=True, digest=asked.digest)
        with pytest.raises(Refused, match=r"'a' was rejected by ann already; that is noted"):
            rehearse(machine, world.journal.waiting("r"), second, world.at)
        world.post(True, by="bob")
        assert (await world.resumes()).said == "failed"

    asyncio.run(main())


def test_whoever_takes_a_run_up_with_an_answer_comes_after_who_had_posted_one(
    world: World,
) -> None:
    async def main() -> None:
        await world.begins(asking("step", "reject"))
        world.put(1)
        world.post(False)
        asked = world.asked()[-1]
        assert isinstance(asked, ApprovalAsked)
        second = Approve(by="bob", path="a", approved=True, digest=asked.digest)
        shell = engine(world.journal, {"a": world.doer}, clock=world.wall)
        with pytest.raises(Refused, match="the run is"):
            await shell.resume("r", requests=[second])
        assert (await world.resumes()).said == "failed"
        assert world.doer.calls == []

    asyncio.run(main())
