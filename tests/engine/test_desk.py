"""What a desk does when the ledger of shared limits fails it: every run is told, and none hangs."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.engine.kit import engine, plan, sleeps, step, virtual

from hocket.core.errors import JournalError
from hocket.core.specs import LimitSpec, RunSpec
from hocket.engine.engine import Engine
from hocket.journal.memory import MemoryJournal


def shared() -> RunSpec:
    return plan(
        step("s"),
        limits={"one": LimitSpec(concurrency=1, shared=True)},
        claimed={"a": ("one",)},
    )


def write_oddly(journal: MemoryJournal) -> None:
    """Write of the limit what no program of this version can read, as another process does."""
    journal.ledger(lambda: None).state("one", b'{"closed": "for ever"}', 9)


async def ends(shell: Engine, run: str) -> str:
    again = await shell.start(shared(), {}, run=run, seed=0)
    return (await again.settled()).said


def test_a_run_is_told_of_a_limit_whose_state_cannot_be_read_as_it_claims_it() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)})
        run = await shell.start(shared(), {}, run="r", seed=0)
        write_oddly(journal)
        with pytest.raises(msgspec.MsgspecError):
            async with asyncio.timeout(60):
                await run.settled()
        # What the call was granted is free again: it was told once, and is not told anew.
        assert await ends(shell, "next") == "succeeded"

    virtual(main)


def test_a_run_is_told_of_a_limit_whose_state_cannot_be_read_while_it_is_under_way() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1_000)})
        run = await shell.start(shared(), {}, run="r", seed=0)
        await asyncio.sleep(1)
        write_oddly(journal)
        with pytest.raises(msgspec.MsgspecError):
            async with asyncio.timeout(60):
                await run.settled()

    virtual(main)


def test_what_waits_for_a_ledger_that_fails_holds_nothing_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)})
        shares = shell.desk._shares
        assert shares is not None

        async def silent(*_: object) -> None:
            raise JournalError("the connection was cut")

        with monkeypatch.context() as broken:
            broken.setattr(shares, "reserve", silent)
            with pytest.raises(JournalError, match="was cut"):
                await ends(shell, "r")
        async with asyncio.timeout(60):
            assert await ends(shell, "next") == "succeeded"

    virtual(main)
