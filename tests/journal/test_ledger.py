"""The ledger of shared limits over real processes: who is granted what, and what the dead leave."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.journal.schema import FILE

PROCESS = Path(__file__).with_name("ledger_process.py")


class Child:
    """A process that does as it is told."""

    def __init__(self, state: Path, name: str, lease: float = 15.0) -> None:
        self.rings = 0
        self.state = state
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESS), "serve", str(state), name, str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Whoever waits for it in vain is told by an empty line.
        self.timer = threading.Timer(60, self.process.kill)
        self.timer.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, *words: str) -> Any:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        while (line := self.line()) == "rung":
            self.rings += 1
        return json.loads(line)

    def until_rung(self) -> None:
        """Wait for a ring that has not come yet; a test that waits in vain times out."""
        while self.rings == 0:
            assert self.line() == "rung"
            self.rings += 1
        self.rings = 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it at a moment when it keeps nobody else from writing."""
        while True:
            os.kill(self.process.pid, signal.SIGSTOP)
            os.waitpid(self.process.pid, os.WUNTRACED)
            db = sqlite3.connect(self.state / FILE, timeout=1, isolation_level=None)
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                os.kill(self.process.pid, signal.SIGCONT)
            finally:
                db.close()


class Children:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.all: list[Child] = []

    def __call__(self, name: str, lease: float = 15.0) -> Child:
        child = Child(self.state, name, lease)
        self.all.append(child)
        assert child.line() == "ready"
        return child


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Children]:
    children = Children(tmp_path / "state")
    yield children
    for each in children.all:
        each.timer.cancel()
        with each.process:
            each.process.kill()


def intervals(path: Path) -> list[tuple[int, int]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(int(begin), int(end)) for begin, end in lines]


def most_at_once(calls: list[tuple[int, int]]) -> int:
    """What ends at an instant makes room for what begins then."""
    steps = sorted([(end, -1) for _, end in calls] + [(begin, 1) for begin, _ in calls])
    inside = most = 0
    for _, step in steps:
        inside += step
        most = max(most, inside)
    return most


@pytest.mark.parametrize("most", [1, 2])
def test_processes_together_never_make_more_calls_than_the_limit(tmp_path: Path, most: int) -> None:
    calls = 25
    files = [tmp_path / f"p{number}" for number in range(3)]
    command = [sys.executable, str(PROCESS), "count", str(tmp_path / "state")]
    children = [
        subprocess.Popen([*command, path.name, "15", str(most), str(calls), str(path), "3"])
        for path in files
    ]
    try:
        assert [each.wait(100) for each in children] == [0, 0, 0]
    finally:
        for each in children:
            each.kill()
            each.wait()
    made = [interval for path in files for interval in intervals(path)]
    assert len(made) == 3 * calls
    assert most_at_once(made) <= most


def test_what_a_killed_process_leaves_behind(child: Children) -> None:
    dead, alive = child("dead"), child("alive")
    assert alive.ask("sync") == {"entries": [], "forgotten": []}
    dead.ask("reserve", "reserved", "claimed", "sent", "over")
    dead.ask("claim", "claimed", "sent", "over")
    dead.ask("sent", "sent", "over")
    dead.ask("settle", "over")
    dead.ask("reserve", "last")
    alive.until_rung()
    before = {key: sent for key, sent, *_ in alive.ask("sync")["entries"]}
    assert before.keys() == {"reserved", "claimed", "sent", "over", "last"}
    assert before["claimed"] is None and before["sent"] is not None
    killed = time.time_ns()
    dead.kill()
    alive.until_rung()
    told = alive.ask("sync")
    assert told["forgotten"] == ["last", "reserved"]
    (claimed, noticed, *_), sent = told["entries"]
    assert (claimed, told["entries"][0][2:]) == ("claimed", [True, 7])
    assert killed <= noticed <= time.time_ns()
    assert sent == ["sent", before["sent"], True, 7]
    late = child("late").ask("sync")
    assert late["entries"] == [
        ["claimed", noticed, True, 7],
        ["over", before["over"], True, 1],
        sent,
    ]
    assert alive.ask("sync") == {"entries": [], "forgotten": []}


def test_whoever_comes_first_after_a_death_sees_to_it(child: Children) -> None:
    """Nobody was there to notice; the next process is told the same."""
    dead = child("dead")
    dead.ask("reserve", "k1", "k2")
    dead.ask("claim", "k2")
    killed = time.time_ns()
    dead.kill()
    told = child("next").ask("reserve", "k3")
    assert told["granted"] == [False], "the claim is news, and counts"
    ((key, sent, *rest),) = told["entries"]
    assert (key, rest, told["forgotten"]) == ("k2", [True, 7], [])
    assert sent >= killed


def test_a_release_of_the_dead_lets_the_living_go_on(child: Children) -> None:
    dead, alive = child("dead"), child("alive")
    dead.ask("reserve", "k1")
    assert [key for key, *_ in alive.ask("sync")["entries"]] == ["k1"]
    alive.rings = 0
    dead.kill()
    alive.until_rung()
    assert alive.ask("sync")["forgotten"] == ["k1"]


def test_a_stopped_process_that_wakes_learns_that_it_was_taken_for_dead(child: Children) -> None:
    stopped, alive = child("stopped", lease=1.0), child("alive", lease=1.0)
    stopped.ask("reserve", "k1", "k2")
    stopped.ask("claim", "k2")
    alive.ask("sync")
    alive.rings = 0
    stopped.stop()
    alive.until_rung()
    told = alive.ask("sync")
    assert (told["forgotten"], [key for key, *_ in told["entries"]]) == (["k1"], ["k2"])
    assert alive.ask("reserve", "k3")["granted"] == [True]
    os.kill(stopped.process.pid, signal.SIGCONT)
    woken = stopped.ask("sync")
    assert woken["forgotten"] == ["k1"]
    assert [key for key, *_ in woken["entries"]] == ["k2", "k3"]
    stopped.ask("sent", "k2")
    assert stopped.ask("reserve", "k4")["granted"] == [True]
    alive.until_rung()
    told = alive.ask("sync")
    assert [key for key, *_ in told["entries"]] == ["k4"], "what was buried stays as it is"


def test_every_kind_of_change_rings_the_others(child: Children) -> None:
    one, two = child("one"), child("two")
    two.ask("sync")
    for what in ("reserve", "sent", "settle"):
        one.ask(what, "k1")
        two.until_rung()
        ((key, *_),) = two.ask("sync")["entries"]
        assert key == "k1"
