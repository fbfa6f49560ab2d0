"""Populations over nodes of a cluster: as on one machine, whatever happens to a node."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cluster.nets import missing, nets
from tests.cluster.processes import Process, kill, tree, wait_for
from tests.cluster.rays import ROOT, Rays

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

HOCKET = (sys.executable, "-P", "-m", "hocket")
RUN = ("population", "run", "explorers", "--agents", "300", "--seed", "3")
TICKS = ("--ticks", "120")
FOR_EVER = ("--ticks", "1000000000")
BIT_BY_BIT = ("--at-once", "1", "--every", "20", "--checkpoint", "kept")
PLAN = """
version: 1
plans:
  colony:
    steps:
      life:
        population: {example: explorers, agents: 300, ticks: 15, seed: 3, nodes: 2}
      told: {command: [echo, "{{life.checksum}} {{life.summary.ticks}}"]}
"""
MODEL = ROOT / "examples/population/colony.gmn"


@pytest.fixture(scope="module")
def rays() -> Iterator[Rays]:
    """A head and three nodes with a core each, each as on a host of its own."""
    with nets(4) as made:
        cluster = Rays(made.machines[0])
        try:
            cluster.start_head()
            nodes = [cluster.start_node(machine, cpus=1) for machine in made.machines[1:]]
            for node in nodes:
                node.says("Ray runtime started.", 120)
            yield cluster
        finally:
            cluster.remove()


class Place:
    """Where commands are given: at the cluster's head, in a folder of their own."""

    def __init__(self, rays: Rays, folder: Path) -> None:
        self.rays = rays
        self.folder = folder
        self.started: list[Process] = []

    def start(self, *words: str) -> Process:
        env = {**self.rays.env, "HOCKET_HOME": str(self.folder / "home")}
        said = self.folder / f"said-{len(self.started)}"
        process = self.rays.head.start((*HOCKET, *words), said, env, self.folder)
        self.started.append(process)
        return process

    def on_nodes(self, *words: str) -> Process:
        return self.start(*words, "--cluster", self.rays.address, "--nodes", "2", "--plain")

    def jobs(self) -> dict[str, psutil.Process]:
        """The processes of populations on nodes, by their numbers."""
        found = {}
        for pid in tree(self.rays.pids()):
            process = psutil.Process(pid)
            if "hocket.population.job" in process.cmdline():
                place = process.environ()["HOCKET_POPULATION_PROCESS"]
                found[place.partition("/")[0]] = process
        return found


@pytest.fixture
def place(rays: Rays, tmp_path: Path) -> Iterator[Place]:
    made = Place(rays, tmp_path)
    yield made
    kill([process.pid for process in made.started])
    for process in made.started:
        process.ends()


def alone(folder: Path, *words: str) -> Any:
    """What one process on this machine gives."""
    env = {**os.environ, "HOCKET_HOME": str(folder / "home")}
    command = [*HOCKET, *words, "--devices", "1", "--json"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=True)
    return json.loads(done.stdout)


def checksum(said: str) -> str:
    return said.partition("checksum: ")[2].partition("\n")[0]


def test_two_nodes_give_the_checksum_of_one(place: Place) -> None:
    (place.folder / "model.gmn").write_bytes(MODEL.read_bytes())
    told = ("population", "run", "model.gmn", "--agents", "300", "--seed", "3")
    run = place.on_nodes(*told, "--ticks", "20", "--out", "out")
    assert run.ends() == 0, run.said
    assert checksum(run.said) == alone(place.folder, *told, "--ticks", "20")["checksum"]
    assert {path.name for path in (place.folder / "out").iterdir()} == {"means.npz", "agents.npz"}


def test_a_plan_runs_its_population_on_nodes_and_unchanged_on_one_machine(place: Place) -> None:
    (place.folder / "plan.yaml").write_text(PLAN)
    run = place.start("run", "plan.yaml", "--cluster", place.rays.address, "--quiet")
    places = wait_for("both work", lambda: run.code is not None or len(place.jobs()) == 2)
    assert places and run.code is None, run.said
    assert run.ends() == 0, run.said
    here = place.start("run", "plan.yaml", "--quiet")
    assert here.ends() == 0, here.said
    assert run.said.strip() == here.said.strip() != ""


def at_work(place: Place, *ticks: str) -> Process:
    """A run on two nodes that has saved something."""
    run = place.on_nodes(*RUN, *ticks, *BIT_BY_BIT)
    wait_for("a checkpoint", lambda: run.code is not None or saved(place) > 0)
    assert run.code is None, run.said
    return run


def saved(place: Place) -> int:
    try:
        return int(json.loads((place.folder / "kept/checkpoint.json").read_bytes())["tick"])
    except FileNotFoundError:
        return 0


def test_a_node_killed_in_the_middle_changes_nothing(place: Place, rays: Rays) -> None:
    run = at_work(place, *TICKS)
    leader = place.jobs()["0"]
    leader.suspend()
    node = next(node for node in rays.nodes.values() if leader.pid in tree([node.pid]))
    node.kill()
    assert run.ends(120) == 0, run.said
    assert re.search(r"is gone; it goes on after tick \d+, .* \(try 2 of 3\)", run.said), run.said
    assert checksum(run.said) == alone(place.folder, *RUN, *TICKS)["checksum"]


def test_ctrl_c_stops_all_of_them_and_saves(place: Place) -> None:
    run = at_work(place, *FOR_EVER)
    os.kill(run.pid, signal.SIGINT)
    assert run.ends() == 130, run.said
    tick = saved(place)
    assert f"stopped and saved after tick {tick:,}" in run.said
    assert not place.jobs()
    ticks = ("--ticks", str(tick))
    more = alone(place.folder, *RUN, *ticks, "--checkpoint", "kept", "--resume")
    assert more["checksum"] == alone(place.folder, *RUN, *ticks)["checksum"]


def test_nobody_is_left_on_nodes_when_the_command_is_killed(place: Place) -> None:
    run = at_work(place, *FOR_EVER)
    assert len(place.jobs()) == 2
    run.kill()
    wait_for("nobody is left", lambda: not place.jobs())
