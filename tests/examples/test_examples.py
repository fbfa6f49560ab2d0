"""Every example runs, and gives what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hocket.agents.weights import fetch
from hocket.config.file import read
from hocket.core.errors import AgentError

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


class Place:
    """A copy of the examples, with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.examples = folder / "examples"
        self.examples.mkdir()
        for path in EXAMPLES.iterdir():
            if path.is_file():
                shutil.copy(path, self.examples)
        self._environment = os.environ | {"HOCKET_HOME": str(folder / "state")}

    def run(self, *argv: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=self.examples,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def hocket(self, *argv: str, status: int = 0) -> str:
        return self.run("-m", "hocket", *argv, status=status)

    def output(self, *argv: str) -> Any:
        return json.loads(self.hocket("run", *argv, "--json"))["output"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_an_example_has_no_mistakes(name: str) -> None:
    loaded = read(EXAMPLES / name)
    assert all(loaded.spec(plan).workflow.steps for plan in loaded.plans())


@pytest.mark.parametrize("name", [*FILES, "words.py"])
def test_an_example_is_listed(name: str) -> None:
    assert f"[{name}]({name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_hello(place: Place) -> None:
    output = place.output("hello.yaml", "--input", "name=Ada")
    assert output["greeting"].startswith("Hello Ada, it is ")
    assert output["lines"] == ["0: alto", "1: tenor", "2: bass"]


def test_checks(place: Place) -> None:
    assert place.output("checks.yaml", "--id", "checks") == {
        "flaky": "reached",
        "hangs": "took longer than its timeout of 300 ms",
        "counted": "2",
        "ready": 3,
    }
    log = place.hocket("logs", "checks")
    assert "flaky#2 finished" in log
    assert "counted#2 started (plain" in log
    assert "ready~3#1 finished" in log


def test_a_panel_does_not_wait_for_who_comes_late(place: Place) -> None:
    lines = place.output("panel.yaml").splitlines()
    assert lines[0] == "safety: safe enough"
    assert lines[2:] == ["style: (failed)", "slow: (running)"]


def test_a_release_is_published_only_when_approved(place: Place) -> None:
    place.hocket("run", "release.yaml", "-i", "version=1.2", "--id", "r", "--no-wait", status=3)
    assert not (place.examples / "NOTES.md").exists()
    place.hocket("approve", "r", "--yes")
    place.hocket("resume", "r")
    notes = "Release 1.2\n- fix: a leak\n- feat: resume\n"
    assert (place.examples / "NOTES.md").read_text(encoding="utf-8") == notes


def test_a_rejected_release_is_not_published(place: Place) -> None:
    place.hocket("run", "release.yaml", "-i", "version=1.2", "--id", "r", "--no-wait", status=3)
    place.hocket("approve", "r", "--reject")
    place.hocket("resume", "r", status=1)
    assert not (place.examples / "NOTES.md").exists()


def test_limits_are_kept_and_the_budget_holds(place: Place) -> None:
    output = place.output("limits.yaml", "--id", "limits")
    assert output["answers"] == [f"answer {n}" for n in range(1, 7)]
    assert output["trained"] == [["trained", "trained"], "trained"]
    log = place.hocket("logs", "limits")
    assert "for room in the rate of api" in log
    assert "large#1 started (trainer, waited" in log
    place.hocket("run", "limits.yaml", "--id", "poor", "--budget", "0.10", status=4)


def test_seven_agents_need_no_vote_more_than_decides(place: Place) -> None:
    # Who is called A, for whom five of seven vote, follows from the run's id.
    document = json.loads(place.hocket("run", "ask.yaml", "ask", "--json", "--id", "seven"))
    assert document["output"] == "Keep a log, and a position for each reader."
    report = document["teams"]["answer"]
    assert report["winner"].startswith("scripted-flash-")
    # Nine requests of one, two of the other: seven answers and four votes, and no minute's wait.
    assert report["fates"]["useful"]["calls"] == document["calls"]["started"] == 11
    assert document["seconds"] < 30


def test_a_coach_replies_with_what_two_of_three_have_said(place: Place) -> None:
    document = json.loads(place.hocket("run", "coach.yaml", "coach", "--json", "--id", "coach"))
    assert document["output"].startswith("Leave the scales for today.")
    reply = json.loads(place.hocket("show", "coach", "reply", "--json"))
    assert set(reply["contributions"]) == {"memory", "mood"}
    assert reply["missing"] == {"library": "late"}


def test_what_reviewers_find_is_mended(place: Place) -> None:
    document = json.loads(place.hocket("run", "reviewed.yaml", "reviewed", "--json"))
    assert document["output"] == {"code": "def add(a, b): return a + b", "approved": True}
    assert {name: len(one["judgements"]) for name, one in document["teams"].items()} == {
        "code": 7,
        "notes": 4,
    }


def shares(told: str, thing: str) -> tuple[int, int]:
    """What share of a colony smelled a thing, before and after it was told to look for it."""
    found = re.search(rf"look for {thing}: (\d+)% smelled it then, (\d+)%", told)
    assert found, told
    return int(found[1]), int(found[2])


def test_a_colony_mends_its_model_and_does_what_it_is_told(place: Place) -> None:
    was, now = shares(place.output("colony.yaml", "colony", "--id", "c"), "water")
    assert was < 20 and now > 70
    log = place.hocket("logs", "c")
    assert "founded/life#1 failed" in log and "gmn:2:1: 'place' has no transition" in log
    assert "founded~2/life#1 finished" in log
    # What was wrong was in the prompt, so the model is another one.
    assert "[edges]" not in place.hocket("show", "c", "founded/gmn")
    assert "nose -> place: depends_on" in place.hocket("show", "c", "founded~2/gmn")


def test_a_colony_of_the_local_model(place: Place) -> None:
    needs_the_local_model()
    output = place.output("colony.yaml", "local")
    assert output["choice"]["look_for"] in ("food", "water", "home")
    assert output["told"].startswith("Told at tick 40 to look for ")


def test_a_program_joins_a_population(place: Place) -> None:
    was, now = shares(place.run(str(EXAMPLES / "population" / "joined.py")), "water")
    assert was < 20 and now > 70


def test_teams_of_the_local_model(place: Place) -> None:
    needs_the_local_model()
    assert place.output("ask.yaml", "local")
    assert place.output("coach.yaml", "local")
    judged = place.output("reviewed.yaml", "local")
    assert judged["line"] and judged["approved"] in (True, False)


def test_words(place: Place) -> None:
    assert place.run("words.py") == "'voices' is the longest of 5 words\n"


def needs_the_local_model() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the demo model needs the extra local")
    try:
        fetch()
    except AgentError as error:
        pytest.skip(str(error))


def test_the_local_model_answers_in_the_wanted_shape(place: Place) -> None:
    needs_the_local_model()
    output = place.output("local.yaml")
    assert len(output["aspects"]) == len(output["notes"]) == 2
    assert all(output["notes"])
