"""Faults of a Ray cluster's nodes, of its head and of a run's owner, in the middle of many steps.

The head's machine does no steps: there the run's owner is, or whoever serves.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence

from tests.cluster.faults import LEASE, LIMIT, Outcome, Scene, ended, give, scene
from tests.cluster.judge import Fault
from tests.cluster.nets import Machine
from tests.cluster.processes import Process, kill, tree, wait_for
from tests.cluster.rays import Rays
from tests.cluster.runs import inputs, write
from tests.cluster.steps import read

from hocket.app.journals import open_journal

NODES = 3
SLOTS = 4
PLACE = "{tag: does-steps}"
TAG = {"tag:does-steps": 1.0}
RUN = "run0"


class Cluster:
    """A scene with Ray over it: a head, and nodes that do steps.

    Fields:
        scene: The machines.
        rays: Ray.
    """

    def __init__(self, there: Scene) -> None:
        self.scene = there
        self.rays = Rays(there.machines[0])

    @property
    def alive(self) -> list[Process]:
        """The nodes that are there, less the head."""
        others = self.scene.machines[1:]
        return [self.rays.nodes[each.name] for each in others if self._is_there(each)]

    def start(self) -> None:
        """Start the head and the nodes; those that were killed, again."""
        head, *others = self.scene.machines
        if not self._is_there(head):
            self.rays.start_head()
        gone = [each for each in others if not self._is_there(each)]
        nodes = [self.rays.start_node(each, SLOTS, TAG) for each in gone]
        for node in nodes:
            node.says("Ray runtime started.")

    def _is_there(self, machine: Machine) -> bool:
        node = self.rays.nodes.get(machine.name)
        return node is not None and node.code is None

    def hocket(self, *words: str) -> Process:
        """Start hocket on the head's machine."""
        cluster = ("--cluster", self.rays.address)
        return self.scene.start(self.scene.machines[0], *words, *cluster, env=self.rays.env)

    def run(self, steps: Sequence[int]) -> Process:
        """Start a run of such steps there, as many at once as all nodes together take."""
        write(self.scene.folder, NODES * SLOTS, PLACE)
        given = inputs(steps, self.scene.log)
        return self.hocket("run", "hocket.yaml", "--id", RUN, "--quiet", *given)

    def serve(self, steps: Sequence[int]) -> Process:
        """Serve there, with supervisors on the nodes, and lay a run into the journal."""
        write(self.scene.folder, NODES * SLOTS, PLACE)
        serving = self.hocket("serve", "--port", "0", "--json")
        serving.says('"url"')
        give(self.scene, [steps])
        return serving

    def owner(self) -> str:
        """Give the run's owner, as ``host:pid``."""
        journal = open_journal(self.scene.url, self.scene.folder, LEASE)
        try:
            row = journal.find(RUN)
            return "" if row is None else row.owner
        finally:
            journal.close()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    with scene(1 + NODES) as there:
        made = Cluster(there)
        try:
            made.start()
            yield made
        finally:
            made.rays.remove()


def everyone(there: Scene) -> frozenset[int]:
    """Give all processes that have done a step so far."""
    return frozenset(each.pid for each in read(there.log))


def node_killed(made: Cluster, seed: int, steps: int = 1000) -> Outcome:
    """Kill one of the nodes, whole, while the owner lives."""
    draw, there = random.Random(seed), made.scene
    owner = made.run(range(steps))
    there.done(round(steps * draw.uniform(0.3, 0.6)))
    killed = draw.choice(made.alive).kill()
    fault = Fault(time.monotonic_ns(), frozenset(killed))
    assert owner.ends(LIMIT) == 0, owner.said[-2000:]
    return there.outcome(fault, [range(steps)], time.monotonic_ns())


def owner_killed(made: Cluster, seed: int, steps: int = 1000) -> Outcome:
    """Kill the node of the supervisor that owns the run, whole; another one takes the run up."""
    draw, there = random.Random(seed), made.scene
    made.serve(range(steps))
    there.done(round(steps * draw.uniform(0.3, 0.6)))
    host, _, pid = made.owner().partition(":")
    before, since = everyone(there), time.monotonic_ns()
    if host == there.machines[0].name:
        # Without its head there would be no cluster: only the supervisor dies.
        kill([int(pid)])
    else:
        made.rays.nodes[host].kill()
    fault = Fault(time.monotonic_ns(), before, since)
    return there.outcome(fault, [range(steps)], ended(there))


def run_killed(made: Cluster, seed: int, steps: int = 1000) -> Outcome:
    """Kill ``hocket run``, the owner; ``hocket resume`` goes on with what it left."""
    draw, there = random.Random(seed), made.scene
    owner = made.run(range(steps))
    there.done(round(steps * draw.uniform(0.3, 0.6)))
    before, since = everyone(there), time.monotonic_ns()
    owner.kill()
    fault = Fault(time.monotonic_ns(), before, since)
    again = made.hocket("resume", RUN, "--quiet")
    assert again.ends(LIMIT) == 0, again.said[-2000:]
    return there.outcome(fault, [range(steps)], time.monotonic_ns())


def head_killed(made: Cluster, seed: int, steps: int = 1000) -> Outcome:
    """Kill Ray's head, and start it again with its nodes, as whoever watches over them would."""
    draw, there = random.Random(seed), made.scene
    made.serve(range(steps))
    there.done(round(steps * draw.uniform(0.3, 0.6)))
    since = time.monotonic_ns()
    made.rays.nodes[there.machines[0].name].kill()
    for node in made.alive:
        # A node that has lost its head for good is of no use to the next one.
        node.kill()
    fault = Fault(time.monotonic_ns(), everyone(there), since)
    made.start()
    return there.outcome(fault, [range(steps)], ended(there))


def head_killed_under_a_run(made: Cluster, seed: int, steps: int = 1000) -> Outcome:
    """The same under ``hocket run``, which has nobody who would begin it anew."""
    draw, there = random.Random(seed), made.scene
    owner = made.run(range(steps))
    there.done(round(steps * draw.uniform(0.3, 0.6)))
    since = time.monotonic_ns()
    made.rays.nodes[there.machines[0].name].kill()
    for node in made.alive:
        node.kill()
    fault = Fault(time.monotonic_ns(), everyone(there), since)
    made.start()
    assert owner.ends(LIMIT) == 0, owner.said[-2000:]
    return there.outcome(fault, [range(steps)], time.monotonic_ns())


def node_cut_off(made: Cluster, seed: int, *, seconds: float, steps: int = 1000) -> Outcome:
    """Take one of the nodes off the network for a while, while the owner has the others."""
    draw, there = random.Random(seed), made.scene
    owner = made.run(range(steps))
    there.done(round(steps * draw.uniform(0.2, 0.4)))
    node = draw.choice(made.alive)
    [machine] = [each for each in there.machines if made.rays.nodes[each.name] is node]
    pids = frozenset(tree([node.pid]))
    machine.cut()
    fault = Fault(time.monotonic_ns(), pids)
    healing = threading.Timer(seconds, machine.heal)
    healing.start()
    try:
        assert owner.ends(LIMIT) == 0, owner.said[-2000:]
    finally:
        healing.join()
    over = time.monotonic_ns()
    wait_for("what was cut off ends what it does", lambda: _quiet(there))
    return there.outcome(fault, [range(steps)], over)


def _quiet(there: Scene) -> bool:
    """Tell whether no step is in flight."""
    said = read(there.log)
    return sum(each.ends for each in said) == sum(not each.ends for each in said)
