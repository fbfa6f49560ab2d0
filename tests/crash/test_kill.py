"""Kill -9 at every write and sync of the journal's file: nothing acknowledged is lost.

The kill comes from inside the process, by a small preloaded library, before a write or sync, after
it, or with half of it written.
"""

import asyncio
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from tests.crash import worker
from tests.crash.killer import Killer

from hocket.core import events as ev
from hocket.core.errors import NotFound
from hocket.core.values import Call
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal


def acknowledged(state: Path) -> list[list[str]]:
    return [line.split() for line in (state / "acks").read_text().splitlines()]


def check_events(events: list[ev.AnyEvent]) -> None:
    """Batches are whole and in order, and nothing stands between."""
    assert not events or events[0] == worker.started()
    written = [event for event in events[1:] if isinstance(event, ev.CallFinished)]
    assert len(written) % worker.EACH == 0
    wanted = [event for number in range(len(written) // 3) for event in worker.batch(number)]
    assert written == wanted


def check(state: Path, *, resume: bool = True) -> int:
    """Judge what is left; gives how many events were durable without having been acknowledged."""
    if (state / FILE).exists():
        db = sqlite3.connect(state / FILE)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
    acks = acknowledged(state)
    highest = max((int(words[1]) for words in acks if words[0] == "event"), default=0)
    with SqliteJournal(state) as journal:
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


def check_kept(journal: SqliteJournal, recorded: list[ev.AnyEvent]) -> None:
    """An answer is kept if and only if the event that it came with is there."""
    names = {event.call for event in recorded if isinstance(event, ev.CallFinished)}
    for number in range(worker.BATCHES):
        (answer,) = worker.kept(number) or (None,)
        if Call(f"b{number}", 1) not in names:
            answer = None
        assert journal.answers.find(f"k{number}") == answer


def check_answers(
    journal: SqliteJournal, recorded: list[ev.Recorded], acks: list[list[str]]
) -> None:
    """A request is answered if and only if the events that it caused are there."""
    names = {item.event.call for item in recorded if isinstance(item.event, ev.CallFinished)}
    posted = [int(words[1]) for words in acks if words[0] == "posted"]
    for place, id in enumerate(posted):
        caused = Call(f"b{4 * place + 3}", 1) in names
        assert (journal.answer(id) is not None) == caused
    for words in acks:
        if words[0] == "answered":
            assert journal.answer(int(words[1])) is not None


async def check_claims(
    journal: SqliteJournal, recorded: list[ev.Recorded], acks: list[list[str]]
) -> None:
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


async def go_on(journal: SqliteJournal, count: int) -> None:
    log = await journal.resume("r")
    assert log.seq == count
    seq = log.append([ev.RunResumed(at=100, epoch=log.epoch)])
    await log.durable(seq)
    assert [item.seq for item in journal.read("r", after=count)] == [count + 1]
    await log.close()


def kill_at(killer: Killer, folder: Path, points: list[tuple[int, str]]) -> int:
    """Die at each point and check what is left; gives how often more was durable than told."""
    more = 0
    for at, how in points:
        state = folder / f"{at}-{how}"
        ended = killer.run("write", at, how, state)
        # The background look at the inbox makes the number of boundaries vary by a few.
        assert ended in {-signal.SIGKILL, 0}, f"{how} boundary {at}"
        try:
            more += check(state) > 0
        except AssertionError as error:
            error.add_note(f"{how} boundary {at} of the worker's writes and syncs")
            raise
        shutil.rmtree(state)
    return more


def test_nothing_acknowledged_is_lost_at_a_spread_of_kills(killer: Killer, tmp_path: Path) -> None:
    total = killer.boundaries()
    points = [(at, how) for at in range(1, total + 1) for how in killer.modes]
    step = max(1, len(points) // 50)
    kill_at(killer, tmp_path, points[:: step + (step % len(killer.modes) == 0)])


@pytest.mark.crash
def test_nothing_acknowledged_is_lost_at_any_kill(killer: Killer, tmp_path: Path) -> None:
    total = killer.boundaries()
    points = [(at, how) for at in range(1, total + 1) for how in killer.modes]
    assert len(points) >= 500
    more = kill_at(killer, tmp_path, points)
    print(f"{total} boundaries, {len(points)} kills, {more} with more durable than was told")
    assert more > 0, "no kill came between a commit and its acknowledgement: the test is blind"


def recover_twice(killer: Killer, folder: Path, at: int, total: int) -> int:
    """Die while writing, die while recovering from that, and then recover."""
    killed = 0
    for first in range(1, 200):
        state = folder / f"{at}-{first}"
        killer.run("write", at, killer.modes[at % len(killer.modes)], state)
        if not any(words[0] == "event" for words in acknowledged(state)):
            return killed
        ended = killer.run("recover", first, killer.modes[first % len(killer.modes)], state)
        check(state)
        shutil.rmtree(state)
        if ended == 0:
            break
        killed += 1
    return killed


def test_dying_again_while_recovering_loses_nothing(killer: Killer, tmp_path: Path) -> None:
    total = killer.boundaries()
    assert recover_twice(killer, tmp_path, total // 2, total) > 5


@pytest.mark.crash
def test_dying_again_while_recovering_loses_nothing_wherever_it_began(
    killer: Killer, tmp_path: Path
) -> None:
    total = killer.boundaries()
    kills = [recover_twice(killer, tmp_path, at, total) for at in range(20, total, total // 8)]
    assert sum(kills) > 40
