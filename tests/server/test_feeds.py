"""Watched runs: read once for all, from what is on disk, whoever drives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.insight.kit import recorded, run
from tests.report.test_board import board_of

from hocket.core.errors import CallerError, JournalError, NotFound, Refused
from hocket.core.events import Recorded
from hocket.core.specs import StepSpec
from hocket.server import feed as feed_module
from hocket.server import feeds as feeds_module
from hocket.server.feeds import Feeds, Polled, RunList
from hocket.server.topics import EventsTopic, RowsTopic

EVENTS = recorded(
    run(
        *[StepSpec(name=f"s{i}", agent="a", needs=(f"s{i - 1}",) if i else ()) for i in range(9)]
    ).events
)


class Store:
    """A journal of runs that are all alike, up to an event."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.broken = self.gone = False
        self.events = EVENTS
        self.reads = 0

    def read(self, run: str, after: int = 0) -> Any:
        self.reads += 1
        if self.broken:
            raise JournalError("the disk is gone")
        if run == "nobody" or self.gone:
            raise NotFound("no such run")
        return iter(self.events[after : self.until])


class Driven:
    """A run of this process."""

    def __init__(self) -> None:
        self.observers: list[Any] = []
        self._driven = self

    def observe(self, observer: Any) -> None:
        self.observers.append(observer)

    def unobserve(self, observer: Any) -> None:
        self.observers.remove(observer)

    def commit(self, events: Sequence[Recorded]) -> None:
        for observer in self.observers:
            observer.recorded(events)


async def seen(feed: Any, seq: int) -> None:
    """Wait until a feed has come so far."""
    news = asyncio.Event()
    feed.listen(news.set)
    async with asyncio.timeout(20):
        while feed.board is None or feed.board.seq < seq:
            await news.wait()
            news.clear()
    feed.leave(news.set)


def feeds_of(store: Store, driven: Driven | None = None) -> Feeds:
    given: Any = store
    mine: Any = driven
    return Feeds(given, lambda run: mine)


def postponed(by: int) -> list[Recorded]:
    return [
        Recorded(one.seq, msgspec.structs.replace(one.event, at=one.event.at + by))
        for one in EVENTS
    ]


def is_whole(board: Any, until: int) -> None:
    fresh = board_of(EVENTS[:until])
    assert board.rows() == fresh.rows() and board.calls == fresh.calls
    assert board.head() == fresh.head()


def test_what_was_committed_is_taken_in_once_from_wherever_it_comes() -> None:
    store, driven = Store(4), Driven()

    async def work() -> None:
        feeds = feeds_of(store, driven)
        feed = feeds.of("r")
        keep = SimpleNamespace(news=lambda: None).news
        feed.listen(keep)
        await seen(feed, 4)
        store.until = 9
        # Two of them are known already, and then some are missing that only the journal has.
        driven.commit(EVENTS[2:6])
        await seen(feed, 6)
        store.until = len(EVENTS)
        driven.commit(EVENTS[12:15])
        await seen(feed, 15)
        assert feed.board is not None
        is_whole(await feeds.board("r"), len(EVENTS))
        feed.leave(keep)
        assert not driven.observers
        feeds.close()

    asyncio.run(work())


def test_a_flood_of_commits_is_read_from_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_MOST_PENDING", 2)
    store, driven = Store(1), Driven()

    async def work() -> None:
        feeds = feeds_of(store, driven)
        feed = feeds.of("r")
        keep = SimpleNamespace(news=lambda: None).news
        feed.listen(keep)
        await seen(feed, 1)
        store.until = len(EVENTS)
        for event in EVENTS[1:]:
            driven.commit([event])
        assert len(feed._commits.pending) <= 4
        await seen(feed, len(EVENTS))
        is_whole(feed.board, len(EVENTS))
        feeds.close()

    asyncio.run(work())


def test_a_journal_that_cannot_be_read_for_a_while_is_asked_again() -> None:
    store = Store(3)

    async def work() -> None:
        feeds = feeds_of(store)
        feed = feeds.of("r")
        await seen(feed, 3)
        store.broken = True
        with pytest.raises(JournalError):
            await feeds.board("r")
        store.broken, store.until = False, len(EVENTS)
        await seen(feed, len(EVENTS))
        assert feed.problem is None
        feeds.close()

    asyncio.run(work())


def test_a_mistake_of_ours_is_told_and_not_made_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, told = Store(3), list[Any]()
    monkeypatch.setattr(feed_module, "new_machine", lambda: None)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, said: told.append(said))
        feeds = feeds_of(store)
        heard = asyncio.Event()
        feed = feeds.of("r")
        feed.listen(heard.set)
        await asyncio.wait_for(heard.wait(), 20)
        assert feed.over and "cannot be shown" in str(feed.problem)
        feeds.close()

    asyncio.run(work())
    assert len(told) == 1


def test_another_run_of_the_same_id_is_begun_anew() -> None:
    store = Store(len(EVENTS))

    async def work() -> None:
        feeds = feeds_of(store)
        feed = feeds.of("r")
        rows = RowsTopic({"topic": "run"}, "run", feed, lambda run: {}, lambda: None)
        given: Any = store
        events = EventsTopic({"topic": "events"}, feed, given, lambda: None)
        await seen(feed, len(EVENTS))
        assert json.loads(await rows.take(0.0) or "")["snap"]
        while "more" in (await rows.take(1.0) or ""):
            continue
        while await events.take(0.0):
            continue
        # One that has as many events, which are the same but for their times, and a shorter one.
        for later, until in ((1, len(EVENTS)), (2, 5)):
            store.events, store.until = postponed(later), until
            board = await feeds.board("r")
            assert board.seq == until
            assert board.machine.at == EVENTS[until - 1].event.at + later
            assert json.loads(await rows.take(9.0 * later) or "")["snap"]
            with pytest.raises(CallerError, match="another one has begun"):
                await events.take(9.0)
        store.gone = True
        with pytest.raises(NotFound):
            await feeds.board("r")
        assert feed.board is None
        feeds.close()

    asyncio.run(work())


def test_a_run_that_was_removed_and_has_begun_again_is_followed() -> None:
    store = Store(4)

    async def work() -> None:
        feeds = feeds_of(store)
        feed, heard = feeds.of("r"), asyncio.Event()
        store.gone = True
        feed.listen(heard.set)
        await heard.wait()
        assert feed.over
        store.gone = False
        rows = RowsTopic({"topic": "run"}, "run", feed, lambda run: {}, lambda: None)
        assert await rows.take(0.0) is None
        await seen(feed, 4)
        assert json.loads(await rows.take(0.0) or "")["snap"]
        feeds.close()

    asyncio.run(work())


def test_a_run_that_is_not_there_leaves_nothing_behind() -> None:
    async def work() -> None:
        feeds = feeds_of(Store(3))
        for _ in range(3):
            with pytest.raises(NotFound):
                await feeds.board("nobody")
        assert not feeds._feeds

    asyncio.run(work())


def test_of_runs_that_nobody_watches_only_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "MOST_KEPT", 3_200)
    monkeypatch.setattr(feeds_module, "MOST_FEEDS", 2)

    async def work() -> None:
        feeds = feeds_of(Store(len(EVENTS)))
        for number in range(10):
            await feeds.board(f"r{number}")
        assert list(feeds._feeds) == ["r7", "r8", "r9"]
        news = [SimpleNamespace(heard=lambda: None).heard for _ in range(2)]
        for number, heard in enumerate(news):
            feeds.of(f"w{number}").listen(heard)
        with pytest.raises(Refused, match="fewer at once"):
            feeds.of("one more")
        feeds.close()

    asyncio.run(work())


def test_the_list_is_looked_at_only_while_somebody_watches(tmp_path: Path) -> None:
    looked: list[int] = []
    rows = [SimpleNamespace(id="a"), SimpleNamespace(id="b")]
    store: Any = SimpleNamespace(runs=lambda wanted: looked.append(1) or rows)

    async def work() -> None:
        runs = RunList(store)
        heard = asyncio.Event()
        runs.listen(heard.set)
        await heard.wait()
        assert list(runs.rows) == ["a", "b"] and runs.looks == 1
        runs.leave(heard.set)
        before = len(looked)
        await asyncio.sleep(0)
        assert len(looked) == before and runs._task is None

    asyncio.run(work())


def test_what_could_not_be_asked_for_once_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = iter([JournalError("locked"), {"n": 1}, RuntimeError("a bug"), {"n": 2}])

    def ask() -> dict[str, int]:
        answer = next(answers, {"n": 2})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> int:
        polled, told = Polled(ask, 0.001), asyncio.Event()

        def hear() -> None:
            if polled.value == {"n": 2}:
                told.set()

        polled.listen(hear)
        async with asyncio.timeout(10):
            await told.wait()
        polled.leave(hear)
        return polled.changes

    assert asyncio.run(main()) == 2
    assert len(caplog.records) == 2
