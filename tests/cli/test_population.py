"""Populations as a stranger runs them: by the command, and as a step of a plan."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.kit import Home, ended, processes_with

GMN = """\
[nodes]
place: state {names: [left, right]}
smell: observation {names: [nothing, food]}
walk: action {names: [stay, swap]}
nose: likelihood {values: [[0.9, 0.2], [0.1, 0.8]]}
moves: transition {values: [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]}
wish: preference {values: [0, 2]}

[edges]
place -> nose: influences
nose -> smell: generates
place -> moves: influences
walk -> moves: influences
moves -> place: updates
wish -> smell: influences
"""


@pytest.fixture
def home(tmp_path: Path) -> Any:
    home = Home(tmp_path)
    yield home
    home.end()


def test_help_and_mistakes_come_before_anything_is_run(home: Home) -> None:
    for args in (["population", "--help"], ["population", "run", "--help"]):
        assert "opulation" in home.ok(*args).out
    for args, said in (
        (["x.gmn", "--every", "3"], "--checkpoint DIR where"),
        (["explorers", "--resume"], "by --checkpoint DIR"),
        (["explorers", "--set", "length"], "write it as KEY=VALUE"),
        (["explorers", "--picture", "a.jpg"], "--picture a.jpg"),
        (["explorers", "--agents", "-1"], "agents: it is a whole number of at least 1"),
        (["explorers", "--ticks", "-1"], "ticks: it is a whole number of at least 1"),
        (["explorers", "--format", "csv"], 'Choose from: "npz", "parquet"'),
    ):
        done = home.hocket("population", "run", *args)
        assert done.status == 2 and said in done.err, done


def test_an_example_is_run_shown_and_written(home: Home) -> None:
    args = ["explorers", "--agents", "30", "--ticks", "8", "--seed", "3", "--set", "slip=0.2"]
    done = home.ok("population", "run", *args, "--out", "out", "--picture", "p.svg")
    assert "explorers: 30 agents after 8 ticks" in done.out
    assert "real-time factor: " in done.out and "a tick is 10 ms" in done.out
    assert home.file("p.svg").read_text().startswith("<svg")
    assert {path.name for path in home.file("out").iterdir()} == {"means.npz", "agents.npz"}
    again = home.ok("population", "run", *args, "--devices", "1", "--json").data
    assert f"checksum: {again['checksum']}" in done.out, "on one core it is the same"
    assert len(again["means"]["explorers"]["reward"]) == 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["forager"], "did you mean 'foragers'"),
        (["explorers", "--agents", "0"], "agents: it is a whole number of at least 1"),
        (["explorers", "--agents", "900000000"], "agents would take"),
        (["explorers", "--set", "lenght=2"], "lenght"),
    ],
)
def test_what_makes_no_sense_is_said(args: list[str], said: str, home: Home) -> None:
    done = home.hocket("population", "run", *args)
    assert done.status == 2 and said in done.err, done


def test_ctrl_c_saves_and_says_how_to_go_on(home: Home) -> None:
    args = ["population", "run", "m.gmn", "--agents", "4", "--checkpoint", "c d", "--plain"]
    home.put("m.gmn", GMN)
    child = home.start(*args, "--ticks", "1000000000", "--every", "4")
    home.until(lambda: home.file("c d/checkpoint.json").exists(), child, 60)
    child.send_signal(signal.SIGINT)
    done = ended(child, 60)
    assert done.status == 130
    assert "stopped and saved after tick" in done.err
    assert "hocket population run m.gmn" in done.err and "'c d'" in done.err
    assert done.err.rstrip().endswith("--resume")
    tick = json.loads(home.file("c d/checkpoint.json").read_text())["tick"]
    end = ["--ticks", str(tick + 3), "--json"]
    resumed = home.ok(*args, *end, "--resume")
    assert f"goes on after tick {tick:,}" in resumed.err
    whole = home.ok(
        "population", "run", "m.gmn", "--agents", "4", "--ticks", str(tick + 3), "--json"
    )
    assert resumed.data["checksum"] == whole.data["checksum"]
    assert resumed.data["means"] == whole.data["means"]


STEPS = """
colony:
  population: {{example: explorers, agents: 20, ticks: {ticks}, seed: 7, checkpoint_every: 100}}
"""


@pytest.mark.crash
def test_a_plan_whose_process_was_killed_goes_on_with_its_population(home: Home) -> None:
    home.write(STEPS.format(ticks=2_000))
    child = home.running("hocket.yaml")
    saved = home.state / "populations" / "r" / "colony" / "checkpoint" / "checkpoint.json"
    home.until(saved.exists, child, 60)
    home.kill(child)
    home.until(lambda: not processes_with("hocket.population.job"))
    tick = json.loads(saved.read_text())["tick"]
    assert tick < 2_000, "it was killed before its end"
    resumed = home.ok("resume", "r")
    assert "goes on after tick" in home.ok("logs", "r", "colony").out
    output = json.loads(home.ok("show", "r", "colony").out)
    assert resumed.status == 0 and output["summary"]["ticks"] == 2_000
    alone = home.ok(
        *("population", "run", "explorers", "--agents", "20", "--ticks", "2000", "--seed", "7"),
        "--json",
    )
    assert output["checksum"] == alone.data["checksum"]
    assert output["means"] == alone.data["means"]
    assert not (home.state / "populations" / "r").exists()


def test_cancelling_a_run_ends_the_process(home: Home) -> None:
    home.write(STEPS.format(ticks=1_000_000_000))
    child = home.running("hocket.yaml")
    saved = home.state / "populations" / "r" / "colony" / "checkpoint" / "checkpoint.json"
    home.until(saved.exists, child, 60)
    mark = str(home.state / "populations")
    assert processes_with(mark)
    home.ok("cancel", "r")
    ended(child, 60)
    assert home.status() == "cancelled"
    assert not processes_with(mark)
    # Nobody can go on with it.
    assert not (home.state / "populations" / "r").exists()


def test_what_a_failed_run_has_saved_stays_until_it_is_pruned(home: Home) -> None:
    home.write("colony: {population: {example: explorers, agents: 900000000}}")
    assert home.hocket("run", "--id", "r").status == 1
    assert (home.state / "populations" / "r").exists()
    home.ok("prune", "r")
    assert not (home.state / "populations" / "r").exists()


def test_a_step_whose_end_comes_before_what_is_saved_begins_anew(home: Home) -> None:
    home.write(STEPS.format(ticks=1_000_000_000))
    child = home.running("hocket.yaml")
    saved = home.state / "populations" / "r" / "colony" / "checkpoint" / "checkpoint.json"
    home.until(saved.exists, child, 60)
    home.kill(child)
    home.until(lambda: not processes_with("hocket.population.job"))
    home.write(STEPS.format(ticks=40))
    assert home.ok("resume", "r", "--new-spec").status == 0
    assert "begins anew: tick " in home.ok("logs", "r", "colony").out
    assert json.loads(home.ok("show", "r", "colony").out)["summary"]["ticks"] == 40


def test_a_plan_that_reads_what_a_population_gives_is_simulated(home: Home) -> None:
    steps = """
colony:
  population:
    example: explorers
    agents: "{{inputs.many}}"
    ticks: 30
    keep: true
    picture: svg
later:
  population: {continues: "{{colony.files}}", ticks: 60}
told:
  command: [echo, "{{colony.summary.groups.0.agents}} {{colony.summary.groups.0.means.reward.mean}}
    {{colony.means.explorers.alive}} {{colony.files['world.svg'].name}} {{colony.checksum}}
    {{later.summary.ticks}}"]
"""
    home.write(steps, plan="inputs: {many: {default: 70}}")
    simulate = ("simulate", "hocket.yaml", "--runs", "2", "--json")
    assert home.ok(*simulate).data["baseline"]["success"] == 1
    home.write(steps.replace("0.means", "0.mean"), plan="inputs: {many: {default: 7}}")
    assert home.ok(*simulate).data["baseline"]["success"] == 0


def test_the_doctor_looks_for_what_populations_need(home: Home) -> None:
    found = {each["about"]: each["state"] for each in home.hocket("doctor", "--json").data}
    assert (found["population"], found["parquet"], found["plots"]) == ("ok", "ok", "ok")


def test_gmn_that_an_agent_wrote_is_read_and_its_mistakes_come_back(home: Home) -> None:
    fenced = "Here it is:\n```gmn\n" + GMN + "```\n"
    head = "agents:\n  writer: {scripted: {replies: [" + json.dumps(fenced) + "]}}"
    steps = """
write: {agent: writer, prompt: "write a model"}
colony:
  population:
    gmn: "{{write}}"
    agents: 6
    ticks: 4
    groups: {agents: {preferences: "{{inputs.wish}}"}}
told: {command: [echo, "{{colony.summary.groups.0.agents}} {{colony.means.agents.alive}}"]}
"""
    plan = "inputs: {wish: {default: '[0, -2]'}}"
    home.write(steps, head=head, plan=plan)
    assert home.ok("run", "--id", "good").out == "6 [6.0,6.0,6.0,6.0]\n"
    home.write(steps, head=head.replace("[[0.9, 0.2]", "[[0.9, 0.4]"), plan=plan)
    done = home.hocket("run", "--id", "bad")
    assert done.status == 1
    assert "gmn:5:" in done.err, done
    failed = next(event for event in home.events("bad") if event["type"] == "call_failed")
    assert failed["fault"]["kind"] == "permanent"
    assert failed["fault"]["detail"].startswith("gmn:5:")
