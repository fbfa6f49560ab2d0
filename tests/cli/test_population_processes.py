"""Populations that several processes share, by the command, as a stranger runs them."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess

import psutil
import pytest
from tests.cli.kit import Home, ended

EXPLORERS = ("population", "run", "explorers", "--agents", "200", "--seed", "3")
TWO = ("--processes", "2")
FOR_EVER = ("--ticks", "1000000000", "--at-once", "1", "--checkpoint", "c d", "--every", "4")


def started(home: Home) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Two processes at work that have saved something, and whoever started them."""
    child = home.start(*EXPLORERS, *FOR_EVER, *TWO, "--plain")
    home.until(lambda: home.file("c d/checkpoint.json").exists(), child, 60)
    both = psutil.Process(child.pid).children()
    return child, sorted(both, key=lambda each: each.environ()["HOCKET_POPULATION_PROCESS"])


def test_two_processes_are_as_one_and_go_on_with_what_the_other_saved(home: Home) -> None:
    whole = home.ok(*EXPLORERS, "--ticks", "9", "--json").data
    home.ok(*EXPLORERS, "--ticks", "5", *TWO, "--checkpoint", "two", "--every", "2")
    by_one = home.ok(*EXPLORERS, "--ticks", "9", "--checkpoint", "two", "--resume", "--json")
    home.ok(*EXPLORERS, "--ticks", "4", "--checkpoint", "one")
    files = ("--out", "out", "--picture", "p.svg")
    more = ("--processes=2", "--ticks", "9", "--checkpoint", "one", "--resume", "--json", *files)
    by_two = home.ok(*EXPLORERS, *more)
    assert "goes on after tick 5" in by_one.err and "goes on after tick 4" in by_two.err
    for resumed in (by_one.data, by_two.data):
        assert resumed["checksum"] == whole["checksum"]
        assert resumed["means"] == whole["means"]
    assert {path.name for path in home.file("out").iterdir()} == {"means.npz", "agents.npz"}
    assert home.file("p.svg").read_text().startswith("<svg")
    for folder in ("one", "two"):
        assert {path.name for path in home.file(folder).iterdir()} == {
            *("checkpoint.json", "means-9.npz", "population-9.npz")
        }


def test_when_one_is_killed_it_is_said_how_to_go_on_and_nobody_is_left(home: Home) -> None:
    child, both = started(home)
    both[1].kill()
    done = ended(child, 60)
    assert done.status == 5
    assert "process 1 of 2 ended by SIGKILL" in done.err
    way_on = shlex.join(["hocket", *EXPLORERS, *FOR_EVER, *TWO, "--plain", "--resume"])
    assert f"go on from the last checkpoint with: {way_on}" in done.err
    assert not any(each.is_running() for each in both)
    assert json.loads(home.file("c d/checkpoint.json").read_text())["tick"] % 4 == 0


def test_ctrl_c_stops_all_at_the_same_tick_and_saves(home: Home) -> None:
    child, both = started(home)
    child.send_signal(signal.SIGINT)
    done = ended(child, 60)
    assert done.status == 130
    assert done.err.count("stopped and saved after tick") == 1
    assert done.err.rstrip().endswith("--plain --processes 2 --resume")
    assert not any(each.is_running() for each in both)
    assert json.loads(home.file("c d/checkpoint.json").read_text())["tick"] > 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--processes", "3"], "give 1, 2, 4 or 8"),
        (["--processes", "0"], "give 1, 2, 4 or 8"),
        (["--agents", "20", "--processes", "2"], "more agents, or fewer processes"),
    ],
)
def test_who_cannot_share_is_refused(args: list[str], said: str, home: Home) -> None:
    done = home.hocket("population", "run", "explorers", *args)
    assert done.status == 2 and said in done.err, done


def test_what_only_the_first_cannot_write_ends_all_of_them(home: Home) -> None:
    home.put("file", "no folder")
    done = home.hocket(*EXPLORERS, "--ticks", "2", *TWO, "--out", "file/out")
    assert done.status == 2 and "nothing can be written in file/out" in done.err, done
