"""The duration book: how long the calls of earlier runs took, one row for each step and agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec

from hocket.core.errors import JournalError
from hocket.journal.base import KEPT_SAMPLES, Past, Sample
from hocket.journal.schema import Database, integer, one, text
from hocket.journal.sql_access import SqlAccess

Place: TypeAlias = tuple[str, str, str]
"""A plan, a step and an agent."""

_Numbers: TypeAlias = tuple[int, int | None, int | None, int | None]

AT_ONCE: Final = 1_000
"""How many rows are read and written by one statement: each is a question to the database."""

# Lists come as one JSON parameter, so that one statement is prepared for all lengths.
SOME_PAGES: Final = """
SELECT step, agent, count, samples FROM durations
WHERE plan = ?1 AND step IN (SELECT value FROM json_each(?2))"""
SET_PAGES: Final = """
INSERT OR REPLACE INTO durations (plan, step, agent, count, samples)
SELECT ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?2)"""
IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'durations'"
PAGES: Final = """
SELECT step, agent, count, samples FROM durations WHERE plan = ? ORDER BY step, agent"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[_Numbers, ...]).decode


def by_place(samples: Iterable[Sample]) -> dict[Place, list[Sample]]:
    """Sort samples by plan, step and agent, each in the order in which they came."""
    places: dict[Place, list[Sample]] = {}
    for sample in samples:
        places.setdefault((sample.plan, sample.step, sample.agent), []).append(sample)
    return places


def add(past: Past, samples: Sequence[Sample]) -> Past:
    """Add samples to what is known, and forget the oldest."""
    kept = (*past.samples, *samples)[-KEPT_SAMPLES:]
    return Past(past.count + len(samples), kept)


def record(db: Database, samples: Sequence[Sample]) -> None:
    """Add samples, oldest first.

    Raises:
        JournalError: What is there already cannot be read.
    """
    fresh = by_place(samples)
    there = known(db, fresh)
    write(db, {place: add(there.get(place, Past(0, ())), some) for place, some in fresh.items()})


def known(db: Database, places: Iterable[Place]) -> dict[Place, Past]:
    """Give what is known of places, as far as anything is.

    Raises:
        JournalError: It cannot be read.
    """
    found: dict[Place, Past] = {}
    for plan, some in _in_parts(places):
        steps = _encode(list(dict.fromkeys(step for _, step, _ in some))).decode()
        for step, agent, count, samples in db.execute(SOME_PAGES, (plan, steps)).fetchall():
            place = (plan, text(step), text(agent))
            if place in some:
                found[place] = past(place, integer(count), text(samples))
    return found


def write(db: Database, pages: Mapping[Place, Past]) -> None:
    """Write what is known of places, instead of what is there."""
    for plan, some in _in_parts(pages):
        rows = [(*place[1:], pages[place].count, _numbers_of(pages[place])) for place in some]
        db.execute(SET_PAGES, (plan, _encode(rows).decode()))


def _numbers_of(past: Past) -> str:
    numbers = [(_written(s), s.tokens_in, s.tokens_out, s.cost) for s in past.samples]
    return _encode(numbers).decode()


def _in_parts(places: Iterable[Place]) -> Iterator[tuple[str, dict[Place, None]]]:
    """Give the places of each plan, some at a time, in order: two that write the same must."""
    for plan, of_plan in groupby(sorted(places), key=itemgetter(0)):
        while some := dict.fromkeys(islice(of_plan, AT_ONCE)):
            yield plan, some


def read(db: Database, plan: str) -> list[Past]:
    """Give what is known of a plan's steps, by step and agent.

    Raises:
        JournalError: A row cannot be read.
    """
    if one(db.execute(IS_THERE)) is None:
        # A file of an older format that cannot be written stays without it.
        return []
    return [
        past((plan, text(step), text(agent)), integer(count), text(samples))
        for step, agent, count, samples in db.execute(PAGES, (plan,)).fetchall()
    ]


def _written(sample: Sample) -> int:
    """Write how long a call took; that of a call that was cut off stands below zero."""
    return -sample.took if sample.cut else sample.took


def past(place: Place, count: int, samples: str) -> Past:
    """Read a page of the book.

    Raises:
        JournalError: It cannot be read.
    """
    plan, step, agent = place
    try:
        numbers = _decode(samples)
    except msgspec.DecodeError as error:
        raise JournalError(
            f"the durations of step {step} of plan {plan} cannot be read: {error}"
        ) from error
    return Past(
        count,
        tuple(
            Sample(
                plan=plan,
                step=step,
                agent=agent,
                took=abs(took),
                cut=took < 0,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost=cost,
            )
            for took, tokens_in, tokens_out, cost in numbers
        ),
    )


class SqlBook:
    """The duration book in the journal's database."""

    def __init__(self, journal: SqlAccess) -> None:
        self._journal = journal

    def record(self, samples: Sequence[Sample]) -> None:
        """Add samples, oldest first; of each plan, step and agent the latest are kept.

        Raises:
            JournalError: It could not be written.
        """
        if samples:
            self._journal.write(lambda db: record(db, samples))

    def read(self, plan: str) -> list[Past]:
        """Give what is known of a plan's steps, by step and agent.

        Raises:
            JournalError: It could not be read.
        """
        return self._journal.query(lambda db: read(db, plan)) or []


class MemoryBook:
    """The duration book in memory."""

    def __init__(self) -> None:
        self._pages: dict[Place, Past] = {}

    def record(self, samples: Sequence[Sample]) -> None:
        """Add samples, oldest first; of each plan, step and agent the latest are kept."""
        for place, fresh in by_place(samples).items():
            self._pages[place] = add(self._pages.get(place, Past(0, ())), fresh)

    def read(self, plan: str) -> list[Past]:
        """Give what is known of a plan's steps, by step and agent."""
        return [self._pages[place] for place in sorted(self._pages) if place[0] == plan]

    def copy(self) -> MemoryBook:
        """Give a book of the same samples."""
        twin = MemoryBook()
        twin._pages = dict(self._pages)
        return twin
