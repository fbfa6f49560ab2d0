"""Kill -9 at every write and sync of the journal while a whole engine runs a plan.

Whatever had finished is not done again, and nothing with effects is done again unasked.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from tests.crash.killer import Killer
from tests.crash.plan_run import HOT, RUN, go_on, marks

from hocket.core.errors import NotFound
from hocket.core.events import CallFinished, RunEnded
from hocket.core.requests import Retry
from hocket.core.run import RunMachine
from hocket.journal.base import Store
from hocket.journal.sqlite import SqliteJournal


def mark_of(path: str) -> str:
    """Give the mark that the call at a path leaves."""
    return path.replace("/", "")


def finish(state: Path) -> tuple[int, int]:
    """Take the run up after a kill; gives how many calls were done again and how many were held."""
    with SqliteJournal(state) as journal:
        return finish_in(state, journal)


def finish_in(state: Path, journal: Store) -> tuple[int, int]:
    """Take the run up in any journal."""
    try:
        before = [recorded.event for recorded in journal.read(RUN)]
    except NotFound:
        assert marks(state) == []
        return 0, 0
    finished = {mark_of(e.call.path) for e in before if isinstance(e, CallFinished)}
    done = marks(state)
    assert finished <= set(done), "a call was recorded as finished that was never done"
    if isinstance(before[-1], RunEnded):
        assert sorted(done) == sorted(set(done))
        return 0, 0
    machine = asyncio.run(go_on(state, journal))
    held = [job.path for job in machine.calls.held()]
    check_unasked(state, done, finished)
    while machine.said == "paused":
        asked = [Retry(by="test", path=job.path) for job in machine.calls.held()]
        machine = asyncio.run(go_on(state, journal, asked))
    check_whole(machine, state, finished, held)
    return len(marks(state)) - len(set(marks(state))), len(held)


def check_unasked(state: Path, done: list[str], finished: set[str]) -> None:
    now = marks(state)
    for name in HOT:
        assert now.count(name) <= 1, f"{name} has effects and was done twice unasked"
    for name in finished:
        assert now.count(name) == done.count(name) == 1, f"{name} had finished"


def check_whole(machine: RunMachine, state: Path, finished: set[str], held: list[str]) -> None:
    assert machine.said == "succeeded"
    now = marks(state)
    for name in set(now):
        again = name in HOT and name in held
        assert now.count(name) == 1 or name not in finished, f"{name} had finished"
        assert now.count(name) <= 2, f"{name} was done {now.count(name)} times"
        assert name not in HOT or again or now.count(name) == 1


def kill_at(killer: Killer, folder: Path, points: list[tuple[int, str]]) -> tuple[int, int]:
    repeated = held = 0
    for at, how in points:
        state = folder / f"{at}-{how}"
        ended = killer.run("plan", at, how, state)
        # How commits group varies from run to run, and with it the number of boundaries.
        assert ended in {-signal.SIGKILL, 0}, f"{how} boundary {at}"
        try:
            again, kept = finish(state)
        except AssertionError as error:
            error.add_note(f"{how} boundary {at} of the plan's writes and syncs")
            raise
        repeated, held = repeated + again, held + kept
        shutil.rmtree(state)
    return repeated, held


def test_nothing_finished_or_with_effects_is_done_again_at_a_spread_of_kills(
    killer: Killer, tmp_path: Path
) -> None:
    total = killer.boundaries("plan")
    points = [(at, how) for at in range(1, total + 1) for how in killer.modes]
    step = max(1, len(points) // 40)
    kill_at(killer, tmp_path, points[:: step + (step % len(killer.modes) == 0)])


@pytest.mark.crash
def test_nothing_finished_or_with_effects_is_done_again_at_any_kill(
    killer: Killer, tmp_path: Path
) -> None:
    total = killer.boundaries("plan")
    points = [(at, how) for at in range(1, total + 1) for how in killer.modes]
    repeated, held = kill_at(killer, tmp_path, points)
    print(f"{total} boundaries, {len(points)} kills, {repeated} calls again, {held} held")
    assert held > 0, "no kill came while a call with effects was in flight: the test is blind"
