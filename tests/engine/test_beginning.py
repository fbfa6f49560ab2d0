"""A run whose beginning fails: it is nobody's, so that whoever can drive it takes it up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from tests.engine.kit import Doer, engine, plan, sleeps, step, virtual

from hocket.agents.base import Context, Request
from hocket.core.errors import JournalError
from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import SECOND, Json
from hocket.engine.engine import Engine
from hocket.journal.memory import MemoryJournal


class Slow(Doer):
    """An agent that must find prices out before a run begins, and does not come to it."""

    def __init__(self) -> None:
        async def do(request: Request, context: Context) -> Json:
            return "done"

        super().__init__(do)
        self.asked = asyncio.Event()

    async def ready(self) -> None:
        self.asked.set()
        await asyncio.Event().wait()


def unread(spec: RunSpec) -> Mapping[tuple[str, str, str], Sequence[int]]:
    raise JournalError("the connection was cut")


def broken(journal: MemoryJournal) -> Engine:
    """Give an engine that cannot read the duration book."""
    made = engine(journal, {"a": sleeps(1)})
    return Engine(msgspec.structs.replace(made.parts, past=unread))


async def ends_elsewhere(journal: MemoryJournal) -> None:
    row = journal.find("r")
    assert row is not None
    assert not row.alive
    run = await engine(journal, {"a": sleeps(1)}).resume("r")
    assert (await run.settled()).said == "succeeded"


@pytest.mark.parametrize("resumed", [False, True], ids=["started", "resumed"])
def test_a_run_is_given_up_again_if_the_duration_book_cannot_be_read(resumed: bool) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        if resumed:
            run = await engine(journal, {"a": sleeps(1)}).start(
                plan(step("s")), {}, run="r", seed=1
            )
            await run.stop()
        with pytest.raises(JournalError, match="was cut"):
            if resumed:
                await broken(journal).resume("r")
            else:
                await broken(journal).start(plan(step("s")), {}, run="r", seed=1)
        await ends_elsewhere(journal)

    virtual(main)


def test_a_run_is_given_up_again_if_it_is_cancelled_before_it_begins() -> None:
    journal = MemoryJournal()
    limits = {"tokens": LimitSpec(tokens=(Rate(60, 10 * SECOND),))}
    spec = plan(step("s"), limits=limits, claimed={"a": ("tokens",)})

    async def main() -> None:
        slow = Slow()
        shell = engine(journal, {"a": slow})
        begins = asyncio.create_task(shell.start(spec, {}, run="r", seed=1))
        await slow.asked.wait()
        begins.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begins
        assert slow.closed == 1
        await ends_elsewhere(journal)

    virtual(main)


def test_a_run_is_given_up_again_if_the_ledger_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = MemoryJournal()
    limits = {"shared": LimitSpec(concurrency=1, shared=True)}
    spec = plan(step("s"), limits=limits, claimed={"a": ("shared",)})

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)})
        assert shell.desk._shares is not None

        async def silent(at: int) -> None:
            raise JournalError("the connection was cut")

        monkeypatch.setattr(shell.desk._shares, "sync", silent)
        with pytest.raises(JournalError, match="was cut"):
            await shell.start(spec, {}, run="r", seed=1)
        # Nothing of it waits there either.
        assert list(shell.desk._clients) == []
        await ends_elsewhere(journal)

    virtual(main)
