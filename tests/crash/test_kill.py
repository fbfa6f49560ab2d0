"""Kill -9 at every write and sync of the journal's file: nothing acknowledged is lost.

The kill comes from inside the process, by a small preloaded library, before a write or sync, after
it, or with half of it written.
"""

import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from tests.crash.judge import acknowledged, judge
from tests.crash.killer import Killer

from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal


def check(state: Path, *, resume: bool = True) -> int:
    """Judge what is left; gives how many events were durable without having been acknowledged."""
    if (state / FILE).exists():
        db = sqlite3.connect(state / FILE)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
    with SqliteJournal(state) as journal:
        return judge(journal, acknowledged(state), resume=resume)


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
