"""Figures of many runs: read bit by bit, once, and only those of some runs are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.insight.kit import recorded
from tests.insight.random_runs import events_of

from hocket.app import indicators
from hocket.app.indicators import Indicators
from hocket.core.errors import NotFound
from hocket.core.events import AnyEvent, Recorded
from hocket.insight.indicators import Figures
from hocket.journal.base import RunRow, Wanted


class Shelf:
    """Runs in memory, that counts how many events were read of it."""

    def __init__(self, count: int) -> None:
        self.events = {f"r{seed}": events_of(seed) for seed in range(count)}
        self.gone: set[str] = set()
        self.read_events = 0

    def runs(self, wanted: Wanted) -> list[RunRow]:
        return [
            RunRow(
                id=run,
                name="p",
                status="succeeded",
                created=place,
                updated=place,
                events=len(events),
                owner="",
                alive=False,
            )
            for place, (run, events) in enumerate(self.events.items())
            if place >= (wanted.since or 0)
        ]

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        if run in self.gone:
            raise NotFound(run)
        for one in recorded(self.events[run])[after:]:
            self.read_events += 1
            yield one


def folded(events: list[AnyEvent]) -> dict[str, Any]:
    figures = Figures()
    for event in events:
        figures.add(event)
    return told(figures)


def told(figures: Figures) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(vars(figures), str_keys=True, enc_hook=str)
    return plain


def same(found: dict[str, Figures], shelf: Shelf) -> bool:
    return {run: told(one) for run, one in found.items()} == {
        run: folded(shelf.events[run]) for run in found
    }


def test_two_who_read_at_once_take_turns_and_nothing_is_read_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indicators, "_SLICE", 7)
    shelf = Shelf(6)
    store = Indicators(shelf)  # type: ignore[arg-type]
    rows, one, other = store.rows(0), dict[str, Figures](), dict[str, Figures]()
    turns = 0
    first, second = store.read(rows, one), store.read(rows, other)
    while not (next(first, True) and next(second, True)):
        turns += 1
    for _ in (*first, *second):
        turns += 1
    assert len(one) == len(other) == 6 and same(one, shelf) and same(other, shelf)
    whole = sum(len(events) for events in shelf.events.values())
    assert shelf.read_events == whole
    assert turns >= whole // 14, "others had a turn after every few events"
    assert same(store.figures(0), shelf) and shelf.read_events == whole


def test_only_the_newest_are_read_and_those_that_are_named() -> None:
    shelf = Shelf(5)
    store = Indicators(shelf)  # type: ignore[arg-type]
    assert [row.id for row in store.rows(0, 2, ["r0", "r4"])] == ["r4", "r3", "r0"]
    assert [row.id for row in store.rows(3)] == ["r4", "r3"]


def test_the_figures_of_old_runs_are_not_kept() -> None:
    shelf = Shelf(5)
    store = Indicators(shelf, kept=2)  # type: ignore[arg-type]
    assert len(store.figures(0)) == 5
    store.rows(0, 1, ["r1"])
    assert [run for run in shelf.events if store.known(run)] == ["r1", "r3", "r4"]
    assert same(store.figures(0), shelf)


def test_a_run_that_is_removed_meanwhile_has_no_figures() -> None:
    shelf = Shelf(3)
    store = Indicators(shelf)  # type: ignore[arg-type]
    shelf.gone.add("r1")
    assert store.figures(0).keys() == {"r0", "r2"}
    assert store.known("r1") is None
