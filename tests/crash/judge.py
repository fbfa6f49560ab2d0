"""Judges what a journal has kept of the worker's run, against what the worker was promised."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.crash import worker

from hocket.core import events as ev
from hocket.core.errors import NotFound
from hocket.core.values import Call
from hocket.journal.base import Store

Acks = list[list[str]]


def acknowledged(state: Path) -> Acks:
    return [line.split() for line in (state / "acks").read_text().splitlines()]


def judge(journal: Store, acks: Acks, *, resume: bool = True) -> int:
    """Judge what is left; gives how many events were durable without having been acknowledged."""
    highest = max((int(words[1]) for words in acks if words[0] == "event"), default=0)
    try:
        recorded = list(journal.read("r"))
    except NotFound:
        assert highest == 0
        return 0
    assert [item.seq for item in recorded] == list(range(1, len(recorded) + 1))
    assert len(recorded) >= highest
    check_events([item.event for item in recorded])
    check_answers(journal, recorded, acks)
    check_kept(journal, [item.event for item in recorded])
    asyncio.run(check_claims(journal, recorded, acks))
    assert len(journal.book.read("p")) >= (["sample"] in acks)
    for words in acks:
        if words[0] == "file":
            assert journal.blobs.read(words[1]) == bytes(5000)
    if resume:
        asyncio.run(go_on(journal, len(recorded)))
    return len(recorded) - highest


def check_events(events: list[ev.AnyEvent]) -> None:
    """Batches are whole and in order, and nothing stands between."""
    assert not events or events[0] == worker.started()
    written = [event for event in events[1:] if isinstance(event, ev.CallFinished)]
    assert len(written) % worker.EACH == 0
    wanted = [event for number in range(len(written) // 3) for event in worker.batch(number)]
    assert written == wanted


def check_kept(journal: Store, recorded: list[ev.AnyEvent]) -> None:
    """An answer is kept if and only if the event that it came with is there."""
    names = {event.call for event in recorded if isinstance(event, ev.CallFinished)}
    for number in range(worker.BATCHES):
        (answer,) = worker.kept(number) or (None,)
        if Call(f"b{number}", 1) not in names:
            answer = None
        assert journal.answers.find(f"k{number}") == answer


def check_answers(journal: Store, recorded: list[ev.Recorded], acks: Acks) -> None:
    """A request is answered if and only if the events that it caused are there."""
    names = {item.event.call for item in recorded if isinstance(item.event, ev.CallFinished)}
    posted = [int(words[1]) for words in acks if words[0] == "posted"]
    for place, id in enumerate(posted):
        caused = Call(f"b{4 * place + 3}", 1) in names
        assert (journal.answer(id) is not None) == caused
    for words in acks:
        if words[0] == "answered":
            assert journal.answer(int(words[1])) is not None


async def check_claims(journal: Store, recorded: list[ev.Recorded], acks: Acks) -> None:
    """A call counts if and only if its start is there; then it was sent, as far as one can tell."""
    names = {item.event.call for item in recorded if isinstance(item.event, ev.CallFinished)}
    numbers = [n for n in range(worker.BATCHES) if worker.claims(n) and Call(f"b{n}", 1) in names]
    told = await journal.ledger(lambda: None).sync(["window"], 9000)
    assert sorted(item.key for item in told.entries) == sorted(f"b{n}" for n in numbers)
    assert {words[1] for words in acks if words[0] == "claimed"} <= {e.key for e in told.entries}
    for item in told.entries:
        number = int(item.key[1:])
        assert item.over
        assert item.sent in {2000 + number, 9000}
        assert item.claim.tokens_in in {number, 99}
        # What was noted of it is all there or not at all, but for what came later.
        assert (item.claim.tokens_in == 99) <= (item.sent == 2000 + number)


async def go_on(journal: Store, count: int) -> None:
    log = await journal.resume("r")
    assert log.seq == count
    seq = log.append([ev.RunResumed(at=100, epoch=log.epoch)])
    await log.durable(seq)
    assert [item.seq for item in journal.read("r", after=count)] == [count + 1]
    await log.close()
