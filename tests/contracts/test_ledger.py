"""What the ledger of shared limits and the duration book promise, asked of each journal."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import SECOND, Call
from hocket.journal.base import KEPT_SAMPLES, Book, Past, Sample, Store
from hocket.journal.memory import MemoryJournal
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sharing import Ledger, Told
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry
from hocket.limits.turns import STALE, Want

Make = Callable[[], Any]

KEEP = {"a": 10 * SECOND, "b": 10 * SECOND, "c": 0}
LONG = 1_000 * SECOND
"""Longer than anything is kept that nobody needs."""


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Gives the journal as one process sees it; a second call, as another one does."""
    opened: list[Any] = []
    database = request.getfixturevalue("database") if request.param == "postgres" else ""

    def open_journal() -> Any:
        if request.param == "sqlite":
            opened.append(SqliteJournal(tmp_path / "state"))
        elif request.param == "postgres":
            opened.append(PostgresJournal(database))
        elif not opened:
            opened.append(MemoryJournal())
        return opened[-1]

    yield open_journal
    for journal in opened:
        journal.close()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def started(run: str = "r") -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="t"
    )


def event(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("s", number))


def entry(key: str, limit: str = "a", units: int = 1, **claim: int) -> Entry:
    return Entry(limit, key, units, Claim(**claim))


def ended(key: str, limit: str = "a", sent: int | None = None, **spent: int) -> Entry:
    return Entry(limit, key, 1, Claim(**spent), sent, True)


class Process:
    """A process, as far as the ledger can tell one from another."""

    def __init__(self, make: Make) -> None:
        self.journal = make()
        self.rung = asyncio.Event()
        self.rings = 0
        self.ledger: Ledger = self.journal.ledger(self._changed)

    def _changed(self) -> None:
        self.rings += 1
        self.rung.set()

    async def reserve(self, *entries: Entry, now: int = 100) -> tuple[list[bool], Told]:
        return await self.ledger.reserve(entries, now, KEEP)

    async def sync(self, *limits: str, now: int = 100) -> Told:
        return await self.ledger.sync(limits or ("a",), now)

    async def claim(self, *keys: str) -> Any:
        log = await self.journal.start(started())
        await log.durable(log.append([event(1)], (), keys))
        return log

    async def leave(self, witness: "Process") -> None:
        """Be gone, and wait until another has noticed."""
        log = await witness.journal.start(started("witness"))
        witness.rung.clear()
        self.ledger.close()
        await asyncio.wait_for(witness.rung.wait(), 20)
        await log.close()

    async def wrote(self) -> None:
        """Wait until what was noted is there for all."""
        await self.ledger.sync(["elsewhere"], 0)
        await self.ledger.reserve([entry("flush", "elsewhere")], 0, {"elsewhere": 0})


def test_the_ledgers_are_the_ports(tmp_path: Path) -> None:
    async def main() -> None:
        for journal in (MemoryJournal(), SqliteJournal(tmp_path)):
            for port, value in (
                (Store, journal), (Book, journal.book), (Ledger, journal.ledger(print)),
            ):  # fmt: skip
                names = [name for name in vars(port) if not name.startswith("_")]
                assert names and all(hasattr(value, name) for name in names)

    run(main())


def test_what_one_reserves_the_other_is_told(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        held = entry("r/s#1", units=3, tokens_in=5, tokens_out=6, most_tokens=7, most_cost=1 << 60)
        assert await one.reserve(held) == ([True], Told())
        assert await two.sync() == Told((held,))
        assert await two.sync() == Told()
        assert await one.sync() == Told()

    run(main())


def test_whoever_was_not_told_of_a_new_entry_is_refused_and_told(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.sync()
        await two.sync()
        assert await one.reserve(entry("k1")) == ([True], Told())
        assert await one.reserve(entry("k2")) == ([True], Told())
        granted, told = await two.reserve(entry("k3"))
        assert (granted, told.entries) == ([False], (entry("k1"), entry("k2")))
        assert await one.sync() == Told(), "what was refused is not there"
        assert await two.reserve(entry("k3")) == ([True], Told())
        assert await one.reserve(entry("k4")) == ([False], Told((entry("k3"),)))

    run(main())


def test_the_first_reservation_without_a_look_is_judged_as_well(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(entry("k1"))
        assert await two.reserve(entry("k2")) == ([False], Told((entry("k1"),)))
        assert await two.reserve(entry("k2")) == ([True], Told())

    run(main())


def test_a_call_is_reserved_on_all_its_limits_or_on_none(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await two.sync("a", "b", "c")
        await one.reserve(entry("k1", "b"))
        granted, told = await two.reserve(
            entry("both", "a"), entry("fine", "a"), entry("both", "b"), entry("also", "c")
        )
        assert granted == [False, True, True]
        assert told.entries == (entry("k1", "b"),)
        found = await one.sync("a", "b", "c")
        assert {(item.limit, item.key) for item in found.entries} == {("a", "fine"), ("c", "also")}

    run(main())


def test_changes_that_take_nothing_refuse_nobody(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(entry("k1"), entry("k2"))
        await two.sync()
        one.ledger.sent("k1", 120)
        one.ledger.release(["k2"])
        one.ledger.state("a", b"{}", 1)
        await one.wrote()
        granted, told = await two.reserve(entry("k3"))
        assert granted == [True]
        assert told == Told(
            (Entry("a", "k1", 1, Claim(), 120),), (("a", "k2"),), {"a": b"{}"}
        )  # fmt: skip

    run(main())


def test_a_reservation_that_was_given_back_meanwhile_refuses_nobody(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await two.sync()
        await one.reserve(entry("k1"))
        one.ledger.release(["k1"])
        await one.wrote()
        granted, _ = await two.reserve(entry("k2"))
        assert granted == [True]

    run(main())


def test_others_learn_what_becomes_of_a_call(make: Make) -> None:
    async def main() -> None:
        one, two, late = Process(make), Process(make), Process(make)
        await one.reserve(entry("k1", tokens_in=9), entry("k1", "b", 2), entry("k2"))
        await one.claim("k1", "k2")
        await two.sync("a", "b")
        one.ledger.sent("k1", 150)
        await one.wrote()
        told = await two.sync("a", "b")
        assert set(told.entries) == {
            Entry("a", "k1", 1, Claim(tokens_in=9), 150),
            Entry("b", "k1", 2, Claim(), 150),
        }
        one.ledger.settle([ended("k1", tokens_in=4, most_cost=3), ended("k1", "b")], 170)
        one.ledger.settle([ended("k2")], 180)
        await one.wrote()
        over = {
            Entry("a", "k1", 1, Claim(tokens_in=4, most_cost=3), 150, True),
            Entry("b", "k1", 2, Claim(), 150, True),
            Entry("a", "k2", 1, Claim(), 180, True),
        }
        assert set((await two.sync("a", "b", now=181)).entries) == over
        assert set((await late.sync("a", "b", now=181)).entries) == over
        assert await one.sync("a", "b") == Told()

    run(main())


def test_an_instant_of_sending_that_comes_with_the_end_counts(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(entry("k1"))
        one.ledger.sent("k1", 150)
        one.ledger.settle([ended("k1", sent=155)], 170)
        await one.wrote()
        assert (await two.sync()).entries == (Entry("a", "k1", 1, Claim(), 155, True),)

    run(main())


def test_what_is_released_is_forgotten_and_may_come_again(make: Make) -> None:
    async def main() -> None:
        one, two, late = Process(make), Process(make), Process(make)
        await one.reserve(entry("k1"), entry("k2"), entry("k2", "b"))
        await two.sync("a", "b")
        one.ledger.release(["k1", "k2"])
        await one.wrote()
        told = await two.sync("a", "b")
        assert (told.entries, set(told.forgotten)) == (
            (), {("a", "k1"), ("a", "k2"), ("b", "k2")},
        )  # fmt: skip
        assert await late.sync("a", "b") == Told()
        assert (await one.reserve(entry("k1")))[0] == [True]
        assert (await two.sync("a", "b")).entries == (entry("k1"),)

    run(main())


def test_the_newest_adaptive_state_is_told(make: Make) -> None:
    async def main() -> None:
        one, two, late = Process(make), Process(make), Process(make)
        await two.sync("a", "b")
        one.ledger.state("a", b"first", 1)
        one.ledger.state("a", b"third", 3)
        one.ledger.state("a", b"second", 2)
        one.ledger.state("c", b"else", 1)
        await one.wrote()
        assert await two.sync("a", "b") == Told(states={"a": b"third"})
        assert await two.sync("a", "b") == Told()
        two.ledger.state("a", b"as new", 3)
        two.ledger.state("b", b"mine", 1)
        await two.wrote()
        assert await two.sync("a", "b") == Told()
        assert (await late.sync("a", "b", "c")).states == {
            "a": b"third", "b": b"mine", "c": b"else",
        }  # fmt: skip
        assert await one.sync("a", "b") == Told(states={"b": b"mine"})

    run(main())


def test_a_change_by_another_is_rung_for_once_until_it_is_told(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await (await two.journal.start(started("other"))).durable(1)
        await two.sync("a", "b")
        await one.reserve(entry("k1"))
        await asyncio.wait_for(two.rung.wait(), 20)
        one.ledger.sent("k1", 150)
        await one.reserve(entry("k2"))
        told = await two.sync("a", "b")
        assert {item.key for item in told.entries} == {"k1", "k2"}
        assert two.rings == 1
        two.rung.clear()
        one.ledger.settle([ended("k1")], 160)
        await asyncio.wait_for(two.rung.wait(), 20)
        assert [item.over for item in (await two.sync("a", "b")).entries] == [True]
        two.rung.clear()
        one.ledger.state("b", b"slow", 1)
        await asyncio.wait_for(two.rung.wait(), 20)
        assert (await two.sync("a", "b")).states == {"b": b"slow"}
        assert one.rings == 0, "nobody is told of what it has done itself"

    run(main())


def test_a_change_of_a_limit_that_nobody_asked_for_rings_nobody(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await (await two.journal.start(started("other"))).durable(1)
        await two.sync("a")
        await one.reserve(entry("k1", "b"))
        one.ledger.state("c", b"slow", 1)
        await one.wrote()
        await one.reserve(entry("k2", "a"))
        await asyncio.wait_for(two.rung.wait(), 20)
        assert two.rings == 1
        assert (await two.sync("a")).entries == (entry("k2", "a"),)

    run(main())


def test_what_a_process_leaves_behind_is_seen_to(make: Make) -> None:
    async def main() -> None:
        one, two, late = Process(make), Process(make), Process(make)
        keys = ["reserved", "claimed", "sent", "over"]
        await one.reserve(*(entry(key, tokens_in=7) for key in keys))
        await one.claim("claimed", "sent", "over")
        one.ledger.sent("sent", 130)
        one.ledger.sent("over", 140)
        one.ledger.settle([ended("over", tokens_in=1)], 150)
        await one.wrote()
        assert len((await two.sync(now=160)).entries) == 4
        await one.leave(two)
        left = {
            Entry("a", "claimed", 1, Claim(tokens_in=7), 200, True),
            Entry("a", "sent", 1, Claim(tokens_in=7), 130, True),
        }
        told = await two.sync(now=200)
        assert (set(told.entries), told.forgotten) == (left, (("a", "reserved"),))
        whole = await late.sync(now=300)
        assert (set(whole.entries), whole.forgotten) == (
            left | {Entry("a", "over", 1, Claim(tokens_in=1), 140, True)}, (),
        )  # fmt: skip
        assert (await two.sync(now=400)) == Told()

    run(main())


def test_whoever_resumes_a_run_knows_that_its_calls_were_lost(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(*(entry(key) for key in ("reserved", "claimed", "sent", "other")))
        await one.claim("claimed", "sent", "other")
        one.ledger.sent("sent", 130)
        one.ledger.sent("other", 130)
        await one.wrote()
        await two.sync()
        for key in ("reserved", "claimed", "sent", "unheard of"):
            two.ledger.lost(key, 210)
        told = await two.sync(now=220)
        assert set(told.entries) == {
            Entry("a", "claimed", 1, Claim(), 210, True),
            Entry("a", "sent", 1, Claim(), 130, True),
        }
        assert told.forgotten == (("a", "reserved"),)
        assert len((await one.sync(now=230)).entries) == 2, "its owner is told, too"
        one.ledger.settle([ended("sent", tokens_in=5)], 240)
        one.ledger.release(["claimed"])
        await one.wrote()
        assert await two.sync(now=250) == Told(), "what was buried stays as it is"

    run(main())


def test_a_claim_whose_reservation_is_gone_loses_the_run(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        log = await one.journal.start(started())
        await one.reserve(entry("k1"), entry("k2"))
        two.ledger.lost("k2", 110)
        await two.sync()
        await log.durable(log.append([event(1)], (), ["k1"]))
        with pytest.raises(OwnershipLost):
            await log.durable(log.append([event(2)], (), ["k2"]))
        with pytest.raises(OwnershipLost):
            log.append([event(3)])
        assert [item.event for item in make().read("r")] == [started(), event(1)]

    run(main())


def test_claims_come_with_their_events_or_not_at_all(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        log = await one.journal.start(started())
        await one.reserve(entry("k1"), entry("k1", "b"), entry("k2"))
        log.append([event(1)], (), ["k1"])
        one.ledger.sent("k1", 140)
        one.ledger.release(["k2"])
        await log.durable(log.append([event(2)]))
        await two.sync("a")
        await one.leave(two)
        told = await two.sync("a", "b", now=500)
        assert {(item.limit, item.key, item.sent, item.over) for item in told.entries} == {
            ("a", "k1", 140, True), ("b", "k1", 140, True),
        }  # fmt: skip

    run(main())


def test_what_matters_no_more_is_dropped_and_what_matters_is_not(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        for number in range(5):
            keys = [f"{number}.{k}" for k in range(50)]
            await one.reserve(*(entry(key) for key in keys), now=LONG * number)
            one.ledger.settle([ended(key) for key in keys], LONG * number)
        await one.reserve(entry("held", "b"), now=LONG * 9)
        await one.reserve(entry("new"), now=LONG * 20)
        await one.reserve(entry("next"), now=LONG * 21)
        told = await two.sync("a", "b", now=LONG * 21)
        assert {item.key for item in told.entries} == {"new", "next", "held"}

    run(main())


def test_a_reservation_that_nobody_waits_for_any_more_is_given_back(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.sync()
        for turns in range(4):
            task = asyncio.create_task(one.reserve(entry(f"k{turns}")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or turns
        await one.reserve(entry("last"))
        await one.wrote()
        told = await two.sync()
        kept = {item.key for item in told.entries}
        assert kept <= {"last", "k1", "k2", "k3"}
        assert "last" in kept and "k0" not in kept

    run(main())


def test_a_closed_ledger_says_so(make: Make) -> None:
    async def main() -> None:
        one = Process(make)
        await one.sync()
        one.ledger.close()
        one.ledger.close()
        one.ledger.sent("k", 1)
        for ask in (one.sync(), one.reserve(entry("k"))):
            with pytest.raises(JournalError, match="closed"):
                await ask

    run(main())


def want(room: str, limit: str = "a", waiting: int = 1, **more: Any) -> Want:
    return Want(limit, room, 1, Claim(), waiting, **more)


def shown(told: Told, limit: str = "a") -> list[tuple[str, int, float, bool]]:
    """Who waits for a limit: room, how many, tag and whether it is of this process."""
    return sorted((w.room, w.waiting, w.tag, w.mine) for w in told.wants.get(limit, ()))


def test_who_waits_for_what_is_told_to_others(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        assert (await one.sync("a", "b")) == (await two.sync("a", "b")) == Told()
        claim = Claim(tokens_in=5, tokens_out=6, most_tokens=7, most_cost=1 << 60)
        whole = Want("a", "r~1", 2, claim, 64, priority=-1, deadline=1 << 62, weight=2.5)
        one.ledger.want([whole, want("q~1", "b"), want("r~1", "c")], 150)
        await one.wrote()
        told = await two.sync("a", "b")
        said = msgspec.structs.replace(whole, at=150, mine=False)
        assert told.wants == {"a": (said,), "b": (want("q~1", "b", at=150, mine=False),)}
        assert (await two.sync("b")).wants == {"b": told.wants["b"]}, "each time all of it"
        assert (await one.sync("a")).wants == {"a": (msgspec.structs.replace(said, mine=True),)}
        one.ledger.want([want("r~1", "c")], 160)
        await one.wrote()
        assert await two.sync("a", "b") == Told()
        assert shown(await one.sync("a")) == [("r~1", 0, 0.0, True)]

    run(main())


def test_the_calls_that_a_run_reserves_move_its_tag_on_by_its_weight(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await two.sync("a", "b")
        await one.sync("a", "b")
        one.ledger.want([want("r~1", weight=4.0), want("r~1", "b"), want("q~1")], 100)
        two.ledger.want([want("p~1", weight=0.5)], 100)
        await two.wrote()
        keys = [entry("r~1/s#1"), entry("r~1/s#1", "b"), entry("r~1/s#2"), entry("else~1/s#1")]
        _, told = await one.reserve(*keys)
        assert shown(told) == [
            ("p~1", 1, 0.0, False), ("q~1", 1, 0.0, True), ("r~1", 1, 0.5, True),
        ]  # fmt: skip
        assert shown(told, "b") == [("r~1", 1, 1.0, True)]
        granted, told = await two.reserve(entry("p~1/s#1"))
        assert granted == [False]
        assert shown(told)[0] == ("p~1", 1, 0.0, True), "what was refused moves nothing"
        granted, told = await two.reserve(entry("p~1/s#1"))
        assert (granted, shown(told)[0]) == ([True], ("p~1", 1, 2.0, True))
        assert shown(await one.sync())[0] == ("p~1", 1, 2.0, False)

    run(main())


def test_whoever_begins_to_wait_begins_with_the_last_call_of_its_tier(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await two.sync()
        await one.sync()
        one.ledger.want([want("r~1", weight=0.5), want("high~1", priority=1)], 100)
        await one.reserve(entry("r~1/s#1"), entry("r~1/s#2"), entry("r~1/s#3"), now=100)
        # The third of these began at 4.0, and the next one is due at 6.0.
        two.ledger.want([want("p~1"), want("first~1", priority=2), want("due~1", deadline=9)], 110)
        await two.wrote()
        assert shown(await two.sync()) == [
            ("due~1", 1, 0.0, True), ("first~1", 1, 0.0, True), ("high~1", 1, 0.0, False),
            ("p~1", 1, 4.0, True), ("r~1", 1, 6.0, False),
        ]  # fmt: skip
        # Who goes on waiting keeps its tag; who comes back has no claim on what it left.
        two.ledger.want([want("p~1")], 120)
        await one.reserve(entry("r~1/s#4"), now=130)
        two.ledger.want([want("p~1")], 140)
        await two.wrote()
        assert [(room, tag) for room, _, tag, mine in shown(await two.sync()) if mine] == [
            ("due~1", 0.0), ("first~1", 0.0), ("p~1", 4.0),
        ]  # fmt: skip
        two.ledger.want([], 150)
        await two.wrote()
        two.ledger.want([want("p~1")], 160)
        await two.wrote()
        assert ("p~1", 1, 6.0, True) in shown(await two.sync())
        # One of which nothing was heard has not waited, as far as anybody knows.
        await one.reserve(entry("r~1/s#5"), now=170)
        two.ledger.want([want("p~1")], 161 + STALE)
        await two.wrote()
        assert ("p~1", 1, 8.0, True) in shown(await two.sync())

    run(main())


def test_that_others_wait_is_rung_for(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await (await two.journal.start(started("other"))).durable(1)
        await one.sync("a")
        await two.sync("a")
        for wants in ([want("r~1")], [want("r~1", waiting=2)], []):
            two.rung.clear()
            one.ledger.want(wants, 100)
            await asyncio.wait_for(two.rung.wait(), 20)
            assert len(shown(await two.sync())) == len(wants)

    run(main())


def test_what_the_dead_waited_for_nobody_waits_for(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.sync()
        await two.sync()
        one.ledger.want([want("r~1")], 100)
        await one.wrote()
        assert len(shown(await two.sync())) == 1
        await one.leave(two)
        assert shown(await two.sync()) == []

    run(main())


def test_company_is_whoever_has_to_do_with_the_same_limits(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        assert not one.ledger.company
        await one.sync("a")
        await two.sync("b")
        assert not one.ledger.company
        assert not two.ledger.company
        await two.sync("a")
        await one.sync("a")
        assert one.ledger.company
        assert two.ledger.company
        two.ledger.close()
        # Its own writer carries that out, some time.
        for number in range(2_000):
            await one.reserve(entry(f"k{number}"))
            if not one.ledger.company:
                return
        raise AssertionError("who has closed its ledger is still company")

    run(main())


def test_what_an_answer_has_shown_of_a_call_s_way_is_told(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(entry("k1"))
        over = Entry("a", "k1", 1, Claim(), 105, True, 130)
        one.ledger.settle([over], 140)
        await one.wrote()
        assert (await two.sync()).entries == (over,)

    run(main())


class Counter:
    """The plainest limiter: so many rows at once, as far as this process was told."""

    def __init__(self, process: Process, most: int) -> None:
        self.process = process
        self.most = most
        self.open: set[str] = set()
        self.refused = 0

    def take(self, told: Told) -> None:
        for item in told.entries:
            (self.open.discard if item.over else self.open.add)(item.key)
        self.open.difference_update(key for _, key in told.forgotten)

    async def enter(self, key: str) -> None:
        """Wait until the call has a place."""
        while True:
            if len(self.open) >= self.most:
                self.process.rung.clear()
                self.take(await self.process.sync("c"))
                if len(self.open) >= self.most:
                    await asyncio.wait_for(self.process.rung.wait(), 20)
                continue
            (granted,), told = await self.process.reserve(entry(key, "c"))
            self.take(told)
            if granted:
                self.open.add(key)
                return
            self.refused += 1

    def leave(self, key: str) -> None:
        self.open.discard(key)
        self.process.ledger.settle([ended(key, "c")], 100)


def test_processes_that_take_turns_never_hold_more_than_the_limit(make: Make) -> None:
    async def main() -> None:
        counters = [Counter(Process(make), 2) for _ in range(3)]
        inside: set[str] = set()
        two_inside = asyncio.Event()

        async def work(counter: Counter, name: str) -> None:
            log = await counter.process.journal.start(started(name))
            for number in range(6):
                key = f"{name}#{number}"
                await counter.enter(key)
                inside.add(key)
                assert len(inside) <= 2
                if len(inside) == 2:
                    two_inside.set()
                await two_inside.wait()
                await log.durable(log.append([event(number + 1)], (), [key]))
                inside.discard(key)
                counter.leave(key)
            await log.close()

        await asyncio.gather(*(work(c, f"p{i}") for i, c in enumerate(counters)))
        assert sum(counter.refused for counter in counters) > 0

    run(main())


def sample(took: int, step: str = "s", agent: str = "a", plan: str = "p", **spent: int) -> Sample:
    return Sample(plan=plan, step=step, agent=agent, took=took, **spent)


def test_the_book_keeps_the_latest_samples_and_counts_all(make: Make) -> None:
    journal, other = make(), make()
    assert journal.book.read("p") == []
    journal.book.record([])
    first = [sample(1, tokens_in=3, tokens_out=4, cost=1 << 60), sample(2), sample(9, agent="b")]
    journal.book.record([*first, sample(7, plan="q")])
    assert other.book.read("p") == [Past(2, tuple(first[:2])), Past(1, (first[2],))]
    many = [sample(took) for took in range(100, 100 + KEPT_SAMPLES)]
    other.book.record([sample(5, step="r"), *many[:40]])
    other.book.record(many[40:])
    assert journal.book.read("p") == [
        Past(1, (sample(5, step="r"),)),
        Past(2 + KEPT_SAMPLES, tuple(many)),
        Past(1, (first[2],)),
    ]
    assert journal.book.read("q") == [Past(1, (sample(7, plan="q"),))]
    assert journal.book.read("none") == []


def test_the_removal_of_a_run_leaves_the_book_and_the_ledger_alone(make: Make) -> None:
    async def main() -> None:
        one, two = Process(make), Process(make)
        await one.reserve(entry("r/s#1"))
        log = await one.claim("r/s#1")
        one.journal.book.record([sample(1)])
        # A removal tidies up what is over for long: by the clock, so the end is now.
        one.ledger.settle([ended("r/s#1")], time.time_ns())
        await one.wrote()
        await log.close()
        one.journal.remove(["r"])
        assert one.journal.book.read("p") == [Past(1, (sample(1),))]
        assert [item.key for item in (await two.sync()).entries] == ["r/s#1"]

    run(main())
