"""The ledger in memory under virtual time: a crash is the death of whoever held something."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.values import SECOND, Call
from hocket.journal.base import Sample
from hocket.journal.memory import MemoryJournal
from hocket.journal.sharing import Told
from hocket.limits.claim import Claim, Entry
from hocket.simulator.loop import run_virtual

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]

KEEP = {"a": 60 * SECOND}


def now() -> int:
    return round(asyncio.get_running_loop().time() * SECOND)


def entry(key: str) -> Entry:
    return Entry("a", key, 1, Claim(tokens_in=7))


def event(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("s", number))


async def half_done(journal: MemoryJournal) -> Any:
    """Leave a reservation, a claim, a sent call and one that is over; the last two are noted."""
    ledger = journal.ledger(lambda: None)
    log = await journal.start(started("r"))
    await ledger.reserve([entry(key) for key in ("reserved", "claimed", "sent", "over")], 1, KEEP)
    await log.durable(log.append([event(1)], (), ["claimed", "sent", "over"]))
    ledger.sent("sent", 5)
    ledger.sent("over", 6)
    ledger.settle([Entry("a", "over", 1, Claim(tokens_in=1), None, True)], 8)
    return ledger


@pytest.mark.parametrize("latency", [None, 0.5])
def test_after_a_crash_reservations_are_gone_and_claims_count_as_sent(
    latency: float | None,
) -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=latency)
        await half_done(journal)
        await asyncio.sleep(2)
        after = journal.crash()
        await asyncio.sleep(3)
        noticed = now()
        ledger = after.ledger(lambda: None)
        told = await ledger.sync(["a"], noticed)
        assert set(told.entries) == {
            Entry("a", "claimed", 1, Claim(tokens_in=7), noticed, True),
            Entry("a", "sent", 1, Claim(tokens_in=7), 5, True),
            Entry("a", "over", 1, Claim(tokens_in=1), 6, True),
        }
        assert await ledger.sync(["a"], now()) == Told()
        assert (await ledger.reserve([entry("next")], now(), KEEP))[0] == [True]

    run_virtual(main)


def test_what_was_not_durable_at_a_crash_never_was() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=1.0)
        ledger = journal.ledger(lambda: None)
        log = await journal.start(started("r"))
        await ledger.reserve([entry("k1"), entry("k2")], 1, KEEP)
        log.append([event(1)], (), ["k1"])
        waiting = asyncio.create_task(ledger.reserve([entry("k3")], 2, KEEP))
        await asyncio.sleep(0.2)
        after = journal.crash()
        with pytest.raises(JournalError, match="crashed"):
            await waiting
        with pytest.raises(JournalError, match="crashed"):
            await ledger.sync(["a"], 3)
        ledger.sent("k1", 3)
        assert await after.ledger(lambda: None).sync(["a"], 4) == Told()

    run_virtual(main)


def test_a_commit_on_its_way_at_a_crash_may_have_made_a_claim() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=1.0)
        ledger = journal.ledger(lambda: None)
        log = await journal.start(started("r"))
        await ledger.reserve([entry("k1")], 1, KEEP)
        log.append([event(1)], (), ["k1"])
        after = journal.crash(keep_in_flight=True)
        assert [item.event for item in after.read("r", 1)] == [event(1)]
        told = await after.ledger(lambda: None).sync(["a"], 9)
        assert told.entries == (Entry("a", "k1", 1, Claim(tokens_in=7), 9, True),)

    run_virtual(main)


def test_rows_that_matter_no_more_are_dropped() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        ledger, other = journal.ledger(lambda: None), journal.ledger(lambda: None)
        await other.sync(["a"], 0)
        for number in range(1000):
            at = number * SECOND
            await ledger.reserve([entry(f"k{number}")], at, KEEP)
            ledger.settle([Entry("a", f"k{number}", 1, Claim(), at, True)], at)
            if number % 100 == 99:
                await other.sync(["a"], at)
        assert 60 <= len(journal.rows) < 400

    run_virtual(main)


def test_a_reservation_takes_as_long_as_a_commit() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=0.25)
        ledger = journal.ledger(lambda: None)
        begin = now()
        await ledger.reserve([entry("k1")], begin, KEEP)
        assert now() - begin == SECOND // 4

    run_virtual(main)


def test_the_book_and_the_adaptive_states_outlive_a_crash() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        ledger = journal.ledger(lambda: None)
        ledger.state("a", b"slow", 4)
        sample = Sample(plan="p", step="s", agent="a", took=3)
        journal.book.record([sample])
        await ledger.sync(["a"], 1)
        after = journal.crash()
        assert after.book.read("p")[0].samples == (sample,)
        assert (await after.ledger(lambda: None).sync(["a"], 2)).states == {"a": b"slow"}
        journal.book.record([sample])
        assert after.book.read("p")[0].count == 1

    run_virtual(main)


def test_a_disk_that_fails_refuses_what_waits() -> None:
    async def main() -> None:
        journal = MemoryJournal(fail_after=1)
        ledger = journal.ledger(lambda: None)
        log = await journal.start(started("r"))
        log.append([event(1)])
        with pytest.raises(JournalError, match="full"):
            await ledger.reserve([entry("k1")], 1, KEEP)

    run_virtual(main)


def test_a_ledger_of_a_closed_loop_keeps_nobody_out() -> None:
    """Two runs of one journal, each in a loop of its own, as `Engine.run_sync` has them."""
    journal = MemoryJournal()

    async def first() -> None:
        ledger = await half_done(journal)
        await ledger.sync(["a"], 9)
        ledger.close()
        await asyncio.sleep(1)

    async def second() -> Told:
        return await journal.ledger(lambda: None).sync(["a"], 20)

    run_virtual(first)
    assert {item.key: item.over for item in run_virtual(second).entries} == {
        "claimed": True, "sent": True, "over": True,
    }  # fmt: skip
