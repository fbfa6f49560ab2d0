"""A call in flight asks people, in virtual time: nothing is done before the answer is on disk."""

import asyncio
from typing import Any

import pytest
from tests.engine.kit import Doer, engine, events, now, only, plan, step, virtual

from hocket.agents.base import Context, Request
from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven, CallCancelled
from hocket.core.requests import Approve, Cancel
from hocket.core.values import SECOND, Json, digest
from hocket.engine.engine import Run
from hocket.journal.memory import MemoryJournal


def asker(*texts: str, said: list[Any]) -> Doer:
    async def do(request: Request, context: Context) -> Json:
        for text in texts:
            consent = await context.ask(text)
            on_disk = only(journal_of[0], ApprovalGiven)
            said.append((now(), bool(consent), consent.why, len(on_disk)))
        return "done"

    return Doer(do)


journal_of: list[MemoryJournal] = []


@pytest.fixture
def journal() -> MemoryJournal:
    journal_of[:] = [MemoryJournal(latency=0.1)]
    return journal_of[0]


async def begin(journal: MemoryJournal, doer: Doer, **options: Any) -> Run:
    spec = plan(step("s", timeout=2 * SECOND))
    return await engine(journal, {"a": doer}).start(spec, {}, run="r", seed=1, **options)


async def asked(run: Run, count: int = 1) -> ApprovalAsked:
    while len(run.machine.calls.people.open) < count:  # noqa: ASYNC110 (virtual time)
        await asyncio.sleep(0.01)
    return list(run.machine.calls.people.open.values())[-1]


def answer(event: ApprovalAsked, approved: bool = True, **fields: Any) -> Approve:
    fields = {"digest": event.digest, "by": "anna", **fields}
    return Approve(path=event.path, approved=approved, **fields)


def test_the_answer_is_on_disk_before_the_call_hears_it(journal: MemoryJournal) -> None:
    said: list[Any] = []

    async def main() -> None:
        run = await begin(journal, asker("rm -rf build", "push", said=said))
        first = await asked(run)
        assert (first.path, first.shown) == ("s#1@1", "rm -rf build")
        assert first.digest == digest(b"rm -rf build")
        await asyncio.sleep(60)
        with pytest.raises(Refused, match="shows something else"):
            run.ask(answer(first, digest=digest(b"rm -rf /")))
        run.ask(answer(first, note="go on"))
        with pytest.raises(Refused, match="was approved by anna"):
            run.ask(answer(first, False, by="bob"))
        await asyncio.sleep(0.5)
        run.ask(answer(await asked(run), False))
        assert (await run.settled()).said == "succeeded"

    virtual(main)
    assert [(yes, why, disk) for _, yes, why, disk in said] == [
        (True, "approved by anna: go on", 1),
        (False, "rejected by anna", 2),
    ]
    assert [event.path for event in only(journal, ApprovalAsked)] == ["s#1@1", "s#1@2"]


def test_nobody_answers_in_time(journal: MemoryJournal) -> None:
    said: list[Any] = []

    async def main() -> None:
        run = await begin(journal, asker("x", said=said))
        assert (await run.settled()).said == "succeeded"

    virtual(main)
    [(at, yes, why, _)] = said
    assert (yes, why) == (False, "nobody answered in time")
    assert at == pytest.approx(300, abs=1)
    assert only(journal, ApprovalGiven) == []


def test_where_nobody_is_waited_for_it_is_no_at_once(journal: MemoryJournal) -> None:
    said: list[Any] = []

    async def main() -> None:
        run = await begin(journal, asker("x", said=said), wait=False)
        assert (await run.settled()).said == "succeeded"

    virtual(main)
    assert said[0][1:3] == (False, "nobody is waited for in this run (--no-wait)")
    assert only(journal, ApprovalAsked) == []


def test_a_call_that_is_cancelled_asks_nobody_any_more(journal: MemoryJournal) -> None:
    async def main() -> None:
        run = await begin(journal, asker("x", said=[]))
        first = await asked(run)
        run.ask(Cancel(by="test"))
        assert (await run.settled()).said == "cancelled"
        with pytest.raises(Refused):
            run.ask(answer(first))

    virtual(main)
    assert len(only(journal, CallCancelled)) == 1


def test_what_cannot_be_recorded_fails_the_call(journal: MemoryJournal) -> None:
    async def main() -> None:
        run = await begin(journal, asker("half \udc80", said=[]))
        assert (await run.settled()).said == "failed"

    virtual(main)
    assert "cannot be recorded" in str(events(journal)[-1])
