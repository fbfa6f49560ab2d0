"""Runs: their pace, their checkpoints, and that nothing of these changes what comes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.population.settlers import GROUPS, MODEL, WORLD, settled

from hocket.core.errors import Refused, SpecError
from hocket.core.values import Json
from hocket.population import performing, running
from hocket.population.checkpoints import Unusable
from hocket.population.files import LOCK, held, write_whole
from hocket.population.group import Group
from hocket.population.model import Model
from hocket.population.performing import Performance, Places, perform
from hocket.population.population import Population
from hocket.population.running import (
    Checkpoints,
    Means,
    Outcome,
    Progress,
    progress_line,
    run,
)
from hocket.population.settings import Settings, read_settings
from hocket.population.staging import staged
from hocket.population.transitions import Dense, Grid
from hocket.population.worlds.sampled import SampledWorld

TICKS = 24


@pytest.fixture(scope="module")
def whole() -> Outcome:
    """A run that nothing interrupts."""
    return run(settled(), TICKS)


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs are the same from their first tick on."""
    return one.checksum == other.checksum and all(
        np.array_equal(rows, other.means[name], equal_nan=True) for name, rows in one.means.items()
    )


# ---- running ----


def test_looking_more_often_changes_nothing(whole: Outcome) -> None:
    looks: list[Progress] = []
    often = run(settled(), TICKS, at_once=5, on_progress=looks.append)
    assert same(whole, often)
    assert [look.tick for look in looks] == [5, 10, 15, 20, 24]
    assert looks[0].pace is None, "the first ticks are compiled, and measure nothing"
    assert looks[-1].measured == 19 and looks[-1].agents == 40
    assert looks[-1].pace and looks[-1].left == 0


def test_a_run_that_was_saved_and_taken_up_is_the_same(whole: Outcome, tmp_path: Path) -> None:
    keep = Checkpoints(tmp_path / "kept")
    first = run(settled(), 10, checkpoint=keep, every=4)
    assert keep.tick == 10 and not first.stopped
    found = keep.load(GROUPS, WORLD, seed=5)
    assert found is not None
    again = run(found[0], TICKS, means=found[1], checkpoint=keep, every=4)
    assert again.resumed == 10
    assert same(whole, again)
    names = {path.name for path in keep.folder.iterdir()}
    assert names == {"checkpoint.json", "population-24.npz", "means-24.npz"}


def test_one_that_is_stopped_is_saved(whole: Outcome, tmp_path: Path) -> None:
    keep = Checkpoints(tmp_path)
    answers = iter([False, False, True])
    half = run(settled(), TICKS, at_once=6, checkpoint=keep, stop=lambda: next(answers))
    assert half.stopped and half.progress.tick == 12 == keep.tick
    found = keep.load(GROUPS, WORLD, seed=5)
    assert found is not None
    assert same(whole, run(found[0], TICKS, means=found[1]))


def test_a_checkpoint_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Checkpoints(tmp_path)
    population = settled()
    before = run(population, 3, checkpoint=keep)

    def full(path: Path, data: bytes) -> None:
        if path.name == "checkpoint.json":
            raise OSError(28, "No space left on device")
        write_whole(path, data)

    monkeypatch.setattr(running, "write_whole", full)
    with pytest.raises(Refused, match=r"cannot be written: .*No space left"):
        run(population, 6, checkpoint=keep)
    monkeypatch.undo()
    (tmp_path / ".population-6.npz.0123abcd.part").write_bytes(b"half")
    found = keep.load(GROUPS, WORLD, seed=5)
    assert found is not None and found[0].tick == 3
    assert found[0].checksum() == before.checksum
    keep.save(population, {})
    assert len(list(tmp_path.iterdir())) == 3, "what was left half written is swept"


@pytest.mark.parametrize(
    ("groups", "seed", "what"),
    [
        (GROUPS, 6, "seed"),
        ((replace(GROUPS[0], model=replace(MODEL, gamma=2.0)),), 5, "groups"),
        ((replace(GROUPS[0], agents=41),), 5, "groups"),
    ],
)
def test_what_was_made_otherwise_is_not_taken_up(
    groups: Sequence[Group], seed: int, what: str, tmp_path: Path
) -> None:
    keep = Checkpoints(tmp_path)
    keep.save(settled(), {})
    with pytest.raises(Refused, match=f"made with another {what}"):
        keep.load(groups, WORLD, seed=seed)


@pytest.mark.parametrize("name", ["checkpoint.json", "population-0.npz", "means-0.npz"])
@pytest.mark.parametrize("harm", ["cut", "emptied", "deleted", "other"])
def test_a_broken_checkpoint_is_refused(name: str, harm: str, tmp_path: Path) -> None:
    keep = Checkpoints(tmp_path)
    keep.save(settled(), {"settlers/reward": np.zeros(9)})
    path = tmp_path / name
    data = {"cut": path.read_bytes()[:-300], "emptied": b"", "other": b"PK other"}
    if harm != "deleted":
        path.write_bytes(data[harm])
    elif name == "checkpoint.json":
        return
    else:
        path.unlink()
    with pytest.raises(Unusable, match=r"no checkpoint|no whole checkpoint|broken"):
        keep.load(GROUPS, WORLD, seed=5)


def test_what_cannot_be_read_now_is_not_taken_for_broken(tmp_path: Path) -> None:
    keep = Checkpoints(tmp_path)
    keep.save(settled(), {})
    for name in ("population-0.npz", "means-0.npz", "checkpoint.json"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        with pytest.raises(Refused, match=r"cannot be read: .*Is a directory") as caught:
            keep.load(GROUPS, WORLD, seed=5)
        assert not isinstance(caught.value, Unusable)
        (tmp_path / name).rmdir()
        (tmp_path / name).write_bytes(data)


def test_nothing_of_somebody_else_is_deleted(tmp_path: Path) -> None:
    theirs = {
        *("population-study.csv", "means-of-all.npz", "population-7.npz.bak", ".means-3.npz.swp"),
        *("checkpoint.json.old", "my-population-3.npz", "film-noir.npz"),
    }
    for name in theirs:
        (tmp_path / name).write_bytes(b"mine")
    folders = {"population-report", "population-3.npz"}
    for name in folders:
        (tmp_path / name).mkdir()
    keep = Checkpoints(tmp_path)
    population = settled()
    run(population, 2, checkpoint=keep, every=1)
    ours = {"checkpoint.json", "population-2.npz", "means-2.npz"}
    assert {path.name for path in tmp_path.iterdir()} == theirs | folders | ours
    keep.clear()
    assert keep.tick is None
    assert {path.name for path in tmp_path.iterdir()} == theirs | folders


@pytest.mark.parametrize("numbers", [(-1, 1, None), (3, 0, None), (3, 33, None), (3, 1, 0)])
def test_numbers_without_sense_are_refused(numbers: tuple[int, int, int | None]) -> None:
    ticks, at_once, every = numbers
    with pytest.raises(Refused, match="give 0 ticks or more"):
        run(settled(), ticks, at_once=at_once, every=every)


def test_no_tick_is_a_run_too() -> None:
    none = run(settled(), 0)
    assert none.means == {} and none.progress.tick == 0 and not none.stopped


def test_the_pace_is_as_it_is_defined() -> None:
    progress = Progress(tick=700, ticks=1000, agents=50_000, begun=0, seconds=2.0, measured=500)
    assert progress.pace == 250
    assert progress.agent_steps == 12_500_000
    assert progress.real_time == 2.5, "a tick is 10 ms of the agents' time"
    assert progress.left == 1.2
    assert progress_line(progress) == (
        "tick 700 of 1,000, 250 ticks/s, 12.5 M agent-steps/s, real-time factor 2.5, 1.2 s left"
    )
    assert progress_line(replace(progress, measured=0)) == "tick 700 of 1,000"


# ---- a model as its own world ----

MAZE = Grid(2, 3, slip=0.25)
SMELL = np.array([[0.7, 0.1, 0.0, 0.5, 0.25, 1.0], [0.3, 0.9, 1.0, 0.5, 0.75, 0.0]])


def walker(B: Any) -> Model:
    # Agents that hardly mind what they see go anywhere.
    return Model.of(
        [SMELL],
        [B],
        [np.array([2.0, -1.0])],
        [np.array([0.5, 0.2, 0, 0.3, 0, 0])],
        gamma=0.1,
        selection="stochastic",
    )


def drawn(model: Model, agents: int = 4096) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """States before and after one step of a world that is drawn from a model."""
    population = Population([Group(name="a", model=model, agents=agents)], SampledWorld(model))
    before = np.asarray(population.world_state().own["state"])[0]
    population.run(1)
    return before, np.asarray(population.world_state().own["state"])[0]


def test_what_a_model_expects_is_what_happens() -> None:
    before, after = drawn(walker(MAZE))
    shares = np.bincount(before, minlength=6) / len(before)
    # Five standard errors of a share of one half.
    assert np.abs(shares - [0.5, 0.2, 0, 0.3, 0, 0]).max() < 5 * 0.5 / np.sqrt(len(before))
    assert set(before.tolist()) == {0, 1, 3}
    expected = MAZE.dense()
    assert (expected[after, before].max(1) > 0).all()
    assert set(after.tolist()) == set(range(5))
    stays = expected[before, before].mean()
    assert abs((after == before).mean() - stays) < 0.05, "all actions are about as likely"


def test_it_is_drawn_alike_from_tables_lists_and_grids() -> None:
    states = [drawn(walker(kind)) for kind in (MAZE, MAZE.lists(), Dense(MAZE.dense()))]
    # A cell may stand at another place among the next ones, and so be drawn for other numbers.
    assert np.array_equal(states[0][1], states[1][1])
    shares = [np.bincount(after, minlength=6) / len(after) for _, after in states]
    assert np.abs(shares[0] - shares[2]).max() < 0.05


def test_the_reward_is_what_the_model_likes_to_see() -> None:
    model = walker(MAZE)
    population = Population([Group(name="a", model=model, agents=64)], SampledWorld(model))
    reward = population.run(1).means["a/reward"][0]
    seen = population.slots("a").seen()[:, 0]
    assert reward == pytest.approx(np.array([2.0, -1.0])[seen].mean(), abs=1e-6)


# ---- what a run is told ----

GMN = """
[nodes]
place: state {names: [here, there]}
smell: observation {names: [nothing, food]}
walk: action {names: [stay, go]}
A: likelihood {values: [[0.9, 0.2], [0.1, 0.8]]}
B: transition {values: [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of example, model, gmn, continues; here is none"),
        ({"example": "explorers", "gmn": "x"}, "not example and gmn"),
        ({"exampel": "explorers"}, "did you mean 'example'"),
        ({"gmn": "x", "set": {"a": 1}}, "set: only an example has options"),
        ({"example": "explorers", "agents": -1}, "^agents: it is a whole number of at least 1"),
        ({"example": "explorers", "ticks": "many"}, "ticks: Expected `int`"),
        (
            {"example": "explorers", "seed": 2**32},
            "seed: it is a whole number from 0 to 4294967295",
        ),
        ({"example": "explorers", "at_once": 64}, "at_once: it is a whole number from 1 to 32"),
        ({"example": "explorers", "groups": {"a": {"modle": "x"}}}, "groups.a: .*'model'"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Json], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read_settings(given)


def test_a_text_that_says_a_number_is_one() -> None:
    settings = read_settings({"example": "explorers", "agents": "20", "ticks": "3"})
    assert (settings.agents, settings.ticks) == (20, 3)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"explorer": {"agents": 3}}, "there is no group 'explorer'.*did you mean 'explorers'"),
        ({"explorers": {"preferences": "[1, 2]"}}, r"shape \[2\], and the model's is \[5\]"),
        ({"explorers": {"preferences": "food!"}}, "preferences are JSON, .*not 'food!'"),
        ({"explorers": {"preferences": [[1, "a"]]}}, "a number for each observation"),
        ({"explorers": {"gmn": "[nodes]\nplace state"}}, r"groups\.explorers\.gmn:2:\d+: "),
    ],
)
def test_wrong_groups_are_named(groups: dict[str, Json], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        staged(read_settings({"example": "explorers", "groups": groups}))


def test_groups_have_something_of_their_own() -> None:
    wish = "```json\n[0, 0, 0, 5, -5]\n```"
    told = {"explorers": {"agents": 7, "preferences": wish}}
    stage = staged(read_settings({"example": "explorers", "groups": told}))
    assert stage.groups[0].agents == 7
    assert stage.groups[0].model.C[0].tolist() == [0, 0, 0, 5, -5]


# ---- a whole run, and its process ----


def performed(
    settings: Settings, places: Places, resume: Any = "no", said: list[str] | None = None
) -> Performance:
    return perform(
        settings,
        places,
        resume=resume,
        say=([] if said is None else said).append,
        on_progress=lambda progress: None,
        stop=lambda: False,
    )


SMALL = Settings(example="explorers", agents=8, ticks=2)


def test_what_is_saved_is_not_written_over(tmp_path: Path) -> None:
    places = Places(checkpoint=tmp_path)
    first = performed(SMALL, places)
    with pytest.raises(Refused, match=r"tick 2 of a run is saved in .*--resume"):
        performed(SMALL, places)
    again = performed(SMALL, places, "yes")
    assert again.outcome.resumed == 2 and again.outcome.checksum == first.outcome.checksum
    other = Settings(example="explorers", agents=8, ticks=2, seed=1)
    with pytest.raises(Unusable, match="another seed"):
        performed(other, places, "yes")
    assert performed(other, places, "if same").outcome.resumed is None
    less = Settings(example="explorers", agents=8, ticks=1, seed=1)
    with pytest.raises(Refused, match=r"tick 2 is saved .* ends at tick 1: give as many ticks"):
        performed(less, places, "yes")
    said: list[str] = []
    done = performed(less, places, "if same", said)
    assert done.outcome.progress.tick == 1 and done.outcome.resumed is None
    assert said[0].startswith("begins anew: tick 2 is saved")
    assert Checkpoints(tmp_path).tick == 1


@pytest.mark.parametrize("name", ["checkpoint.json", "population-2.npz", "means-2.npz"])
def test_a_step_begins_anew_where_what_is_saved_is_broken(name: str, tmp_path: Path) -> None:
    places = Places(checkpoint=tmp_path)
    first = performed(SMALL, places)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(Unusable):
        performed(SMALL, places, "yes")
    said: list[str] = []
    again = performed(SMALL, places, "if same", said)
    assert said[0].startswith("begins anew: ")
    assert again.outcome.resumed is None and again.outcome.checksum == first.outcome.checksum
    assert performed(SMALL, places, "if same").outcome.resumed == 2, "it is whole again"


def test_what_may_pass_costs_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(checkpoint=tmp_path)
    performed(SMALL, places)

    def full(*_: Any, **__: Any) -> Any:
        raise Refused("8 agents would take 9 GB, and 1 GB is free")

    other = Settings(example="explorers", agents=8, ticks=2, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(Population, "restore", full)
        with pytest.raises(Refused, match="9 GB"):
            performed(SMALL, places, "if same")
    with monkeypatch.context() as patch:
        patch.setattr(performing, "Population", full)
        full.restore = Population.restore  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="9 GB"):
            performed(other, places, "if same")
    assert performed(SMALL, places, "if same").outcome.resumed == 2


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    places = Places(checkpoint=tmp_path)
    used: list[bool] = []

    def look(_: Progress) -> None:
        used.append((tmp_path / LOCK).exists())

    perform(SMALL, places, say=print, on_progress=look, stop=lambda: False)
    assert all(used) and not (tmp_path / LOCK).exists()
    for resume in ("no", "yes", "if same"):
        with held(tmp_path), pytest.raises(Refused, match=rf"in use by process {os.getpid()} on"):
            performed(SMALL, places, resume)


@pytest.mark.parametrize("place", ["checkpoint", "out", "picture"])
def test_places_are_tried_before_the_work(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performing, "run", None)
    (tmp_path / "file").write_text("")
    settings = Settings(example="explorers", agents=8, ticks=2, picture="svg")
    with pytest.raises(Refused, match=r"nothing can be written in .*file"):
        performed(settings, Places(**{place: tmp_path / "file" / "x"}))
    with pytest.raises(Refused, match="is a folder"):
        performed(settings, Places(picture=tmp_path))


def test_a_film_is_the_same_however_it_was_made(tmp_path: Path) -> None:
    settings = Settings(example="explorers", agents=8, ticks=70, picture="gif", checkpoint_every=9)
    films: list[list[Any]] = []

    def filmed(name: str, at_once: int | None, stop: int = 70) -> list[str]:
        said: list[str] = []
        reached = [0]
        done = perform(
            msgspec.structs.replace(settings, at_once=at_once),
            Places(checkpoint=tmp_path / name, picture=tmp_path / f"{name}.gif"),
            resume="if same",
            say=said.append,
            on_progress=lambda progress: reached.append(progress.tick),
            stop=lambda: reached[-1] >= stop,
        )
        assert done.outcome.stopped == (stop < 70)
        return said

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(performing, "draw", lambda _, scenes: films.append(list(scenes)) or b"gif")
        filmed("whole", None)
        filmed("halves", 3, stop=25)
        assert "goes on after tick 2" in filmed("halves", 32)[0]
        assert filmed("halves", None) == ["goes on after tick 70"]
    assert {path.suffix for path in (tmp_path / "halves").iterdir()} == {".json", ".npz"}
    whole, halves, again = films
    assert len(whole) == 60
    ticks = [scene.tick for scene in whole]
    assert (ticks[0], ticks[-1]) == (0, 70) and set(np.diff(ticks)) == {1, 2}
    for other in (halves, again):
        assert [scene.tick for scene in other] == ticks
        for one, two in zip(whole, other, strict=True):
            assert (one.title, one.agents) == (two.title, two.agents)
            for what in ("kinds", "shut", "standing", "belief"):
                assert np.array_equal(getattr(one, what), getattr(two, what)), what


Job = Callable[[dict[str, Json]], "subprocess.Popen[str]"]


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """Starts the process of a step; whatever is left of it is killed."""
    begun: list[subprocess.Popen[str]] = []

    def start(given: dict[str, Json]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hocket.population.job", str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


ENDLESS: dict[str, Json] = {
    "example": "explorers",
    "agents": 16,
    "ticks": 10**9,
    "seed": 4,
    "checkpoint_every": 2,
}


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_gone_on_with_to_the_same_end(
    number: signal.Signals, job: Job, tmp_path: Path
) -> None:
    process = job(ENDLESS)
    assert process.stdout is not None
    # The second line comes a second after the first one: by then much has been saved.
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[1].startswith("tick ")
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == (-9 if number == signal.SIGKILL else 143)
    saved = Checkpoints(tmp_path / "checkpoint").tick
    assert saved
    end = saved + 6
    given = {**ENDLESS, "ticks": end}
    resumed = job(given)
    assert resumed.stdout is not None
    assert resumed.stdout.readline() == f"goes on after tick {saved:,}\n"
    assert resumed.wait(timeout=60) == 0
    answer = json.loads((tmp_path / "answer.json").read_bytes())
    alone = performed(read_settings({**given, "checkpoint_every": None}), Places())
    assert answer["output"]["checksum"] == alone.outcome.checksum
    assert answer["output"]["summary"]["ticks"] == end
    kept: Means = dict(np.load(tmp_path / answer["files"]["means.npz"]))
    assert np.array_equal(kept["explorers.reward"], alone.outcome.means["explorers/reward"])


def test_a_process_says_what_is_wrong(job: Job, tmp_path: Path) -> None:
    process = job({"gmn": "[nodes]\nplace: sate\n", "ticks": 1})
    assert process.wait(timeout=60) == 0
    problems = json.loads((tmp_path / "answer.json").read_bytes())["problems"]
    assert any(line.startswith("gmn:2:") for line in problems), problems
