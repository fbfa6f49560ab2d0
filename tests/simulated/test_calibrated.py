"""A simulation made of one run says how the next one goes, and what a change would do to it.

The engine's real shell plays twelve workflows under virtual time, four times each: once for the
record, once more with other chances, and with a limit that is tighter and one that is looser.
How long a call takes depends on its name, by a lognormal of 30 %, and on the run, by one of 7 %:
the same call of two runs differs by a tenth, as a rule.
What the simulation says of the next run can be no nearer than two real runs are to each other, so
every workflow waits for at least four calls, one after the other: of a single call nobody could
say within 10 % how long it takes the next time.
With other seeds than these one run in sixty is further off than that: in a team the same vote may
be the last that counts in one run and be cut off in the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import pytest
from tests.engine.kit import NoFiles, virtual, wall

from hocket.agents.base import Context, Reply, Request
from hocket.app.adapters import KINDS
from hocket.app.history import History, past_of
from hocket.app.simulate import Otherwise, Playing, simulate_run
from hocket.app.traces import trace_of_run
from hocket.config.change import changed
from hocket.config.file import Loaded, read_text
from hocket.core.events import ApprovalAsked, Recorded, Usage
from hocket.core.machine import JobSpec
from hocket.core.requests import Approve
from hocket.core.specs import AgentSpec, Retry, RunSpec
from hocket.core.values import SECOND, unit_fraction
from hocket.engine.desk import Desks
from hocket.engine.engine import Engine, Parts, Run
from hocket.insight.trace import Trace
from hocket.journal.memory import MemoryJournal
from hocket.simulator.agents import Asked
from hocket.simulator.assume import Assumed
from hocket.simulator.invent import Invented
from hocket.simulator.kinds import Kinds

MEDIANS = {"quick": 20.0, "wise": 45.0, "make": 12.0, "look": 4.0}
"""Seconds that calls take."""
OWN, CHANCE = 0.3, 0.07
"""The spread that a call's name makes, and that of the same call from run to run."""
PEOPLE = 40.0
"""Seconds after which people answer."""
CORES = 2
"""How many commands there are at once where nobody says it."""
BETWEEN = 3600.0
"""Seconds from the end of a run to the beginning of the next."""
WALL, CHANGED = 0.10, 0.15
FEW = Playing(runs=40)

FILE = """
version: 1
models:
  flash: {{id: "openai:flash", limits: {{{flash}}}}}
  pro: {{id: "openai:pro", limits: {{{pro}}}}}
tools:
  look: {{command: [look], about: Looks., args: {{}}, effects: false}}
agents:
  quick: {{model: flash}}
  wise: {{model: pro}}
  able: {{model: pro, tools: [look]}}
  make: {{command: [make]}}
plans:
{more}
  p:
    max_parallel: {parallel}
    steps:
"""


class Workflow(NamedTuple):
    """A workflow, its limits, and changes of them.

    Fields:
        name: What it is called.
        steps: What it does.
        changes: What it has otherwise, one after the other.
        flash: The limits of one model.
        pro: Those of the other.
        parallel: How many calls there are at once at most.
        more: A plan within.
    """

    name: str
    steps: str
    changes: Sequence[str]
    flash: str = ""
    pro: str = ""
    parallel: int = 16
    more: str = ""

    def load(self, path: Path) -> Loaded:
        """Write its file, which the simulation reads for the names of models, and read it."""
        given = {"flash": self.flash, "pro": self.pro, "more": self.more}
        text = FILE.format(parallel=self.parallel, **given) + self.steps
        path.write_text(text, encoding="utf-8")
        return read_text(text, str(path))


# ---- real runs, in virtual time ----


class Actor:
    """An agent that takes as long as its call's name and the run's seed say."""

    def __init__(self, name: str, spec: RunSpec, seed: int) -> None:
        self._name = name
        self._seed = seed
        self._give = Invented(Assumed(turns=2), Kinds(spec))

    async def call(self, request: Request, context: Context) -> Reply:
        path, seed = request.call.path, self._seed
        own, chance = (
            NormalDist().inv_cdf(unit_fraction(*place)) for place in ((0, path), (seed, path, 1))
        )
        median = MEDIANS["wise" if self._name == "able" else self._name]
        await asyncio.sleep(median * exp(OWN * own + CHANCE * chance))
        job = JobSpec(
            agents=(self._name,),
            effects=(False,),
            retry=Retry(),
            timeout=SECOND,
            output=request.output,
            options={},
            tools=request.tools,
        )
        asked = Asked("run", self._name, path, request.call.attempt, request.input, job, 0)
        return Reply(output=self._give(asked), usage=Usage(tokens_in=100, tokens_out=50))

    async def close(self) -> None:
        """Nothing is held."""


class People:
    """Approve of everything, in their own time."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def recorded(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if isinstance(recorded.event, ApprovalAsked):
                asyncio.get_running_loop().call_later(PEOPLE, self._approve, recorded.event)

    def emitted(self, call: Any, stream: str, text: str) -> None:
        """What calls say is of no account."""

    def _approve(self, asked: ApprovalAsked) -> None:
        assert self.run is not None
        self.run.ask(Approve(path=asked.path, approved=True, digest=asked.digest, by="ann"))


async def live(journal: MemoryJournal, spec: RunSpec, run: str, seed: int) -> Trace:
    """Run it once, knowing what earlier runs of the journal took."""

    def hire(name: str, agent: AgentSpec) -> Actor:
        return Actor(name, spec, seed)

    parts = Parts(
        journal=journal,
        files=NoFiles(),
        hire=hire,
        capacity=lambda name, agent: agent.concurrency or (CORES if name == "make" else None),
        kinds=KINDS,
        wall=wall,
        desks=Desks(wall, journal.ledger),
        past=partial(past_of, journal.book),
    )
    people, history = People(), History(spec)
    started = await Engine(parts).start(spec, {}, run=run, seed=seed, observers=[people])
    people.run = started
    machine = await started.settled()
    assert machine.said == "succeeded", machine.end
    for recorded in journal.read(run):
        history.add(recorded.event)
    history.write(journal.book)
    await asyncio.sleep(BETWEEN)
    return trace_of_run(journal, run)


def lived(workflow: Workflow, loaded: Loaded) -> tuple[MemoryJournal, Trace, list[Trace]]:
    """Run it for the record, once more, and once with each change."""
    journal = MemoryJournal()
    spec = loaded.spec("p")

    async def main() -> list[Trace]:
        found = [await live(journal, spec, f"run{seed}", seed) for seed in (1, 2)]
        for number, change in enumerate(workflow.changes, 3):
            other = changed(spec, [change], loaded).spec
            found.append(await live(journal, other, f"run{number}", number))
        return found

    _, second, *others = virtual(main)
    return journal, second, others


# ---- twelve workflows ----

CHAIN = """
      s1: {agent: quick, prompt: x}
      s2: {agent: wise, needs: [s1], prompt: x}
      s3: {agent: quick, needs: [s2], prompt: x}
      s4: {agent: quick, needs: [s3], prompt: x}
      s5: {agent: make, needs: [s4]}
      s6: {agent: wise, needs: [s5], prompt: x}
      s7: {agent: quick, needs: [s6], prompt: x}
      s8: {agent: quick, needs: [s7], prompt: x}
"""
FAN = f"""
      fan: {{each: "{list(range(24))}", agent: quick, prompt: x}}
      sum: {{agent: wise, needs: [fan], prompt: x}}
      check: {{each: "[1, 2, 3, 4, 5, 6]", agent: make, needs: [sum]}}
      tell: {{agent: quick, needs: [check], prompt: x}}
"""
DIAMOND = """
      split: {agent: quick, prompt: x}
      left: {agent: able, needs: [split], prompt: x}
      right: {agent: able, needs: [split], prompt: x}
      third: {agent: able, needs: [split], prompt: x}
      join: {agent: wise, needs: [left, right, third], prompt: x}
      end: {agent: quick, needs: [join], prompt: x}
"""
PANEL = """
      r1:
        panel: {question: How?, agents: {a: quick, b: quick, c: wise}, synthesis: {agent: quick}}
      r2:
        needs: [r1]
        panel: {question: Why?, agents: {a: quick, b: wise}, synthesis: {agent: wise}}
      r3: {needs: [r2], agent: quick, prompt: x}
"""
ASK = """
      begin: {agent: quick, prompt: x}
      q:
        needs: [begin]
        consensus:
          question: Why?
          agents: [{agent: quick, count: 5}, {agent: wise, count: 2}]
          policy: %s
          decide: majority
      end: {agent: wise, needs: [q], prompt: x}
"""
REVIEW = """
      a: {agent: quick, prompt: x, review: {by: [quick, wise], swarm: 6}}
      b: {agent: wise, needs: [a], prompt: x, review: {by: [quick], swarm: 4}}
      c: {agent: quick, needs: [b], prompt: x}
"""
INNER = """
  inner:
    steps:
      x: {agent: quick, prompt: x}
      y: {agent: make, needs: [x]}
      z: {agent: wise, needs: [x], prompt: x}
      w: {agent: quick, needs: [y, z], prompt: x}
"""
NESTED = """
      all: {run: inner, each: "[1, 2, 3, 4]"}
      end: {agent: wise, needs: [all], prompt: x}
"""
ASKED = """
      a: {agent: quick, prompt: x}
      ok: {approve: "{{a}}", needs: [a]}
      b: {each: "[1, 2, 3, 4, 5, 6]", agent: quick, needs: [ok], prompt: x}
      go: {approve: x, needs: [b]}
      c: {agent: wise, needs: [go], prompt: x}
      d: {agent: quick, needs: [c], prompt: x}
"""

WORKFLOWS = (
    Workflow("chain", CHAIN, ["limits.flash.requests=1/min", "steps.s6.needs=[s2]"]),
    Workflow("fan, slots", FAN, ["max_parallel=3", "max_parallel=10"], parallel=5),
    Workflow(
        "fan, window",
        FAN,
        ["limits.flash.requests=4/min", "limits.flash.requests=12/min"],
        flash="requests: 8/min",
    ),
    Workflow(
        "diamond with tools",
        DIAMOND,
        ["limits.pro.concurrency=1", "limits.pro.concurrency=3"],
        pro="concurrency: 2",
    ),
    Workflow("panel", PANEL, ["max_parallel=1", "max_parallel=3"], parallel=2),
    Workflow(
        "panel, window",
        PANEL,
        ["limits.flash.requests=1/min", "limits.flash.requests=6/min"],
        flash="requests: 2/min",
        pro="requests: 2/min",
    ),
    Workflow(
        "consensus, once",
        ASK % "once",
        ["limits.flash.concurrency=2", "limits.flash.concurrency=5"],
        flash="concurrency: 3",
    ),
    Workflow(
        "consensus, restart_all",
        ASK % "restart_all",
        ["limits.pro.requests=2/min", "limits.pro.requests=8/min"],
        flash="requests: 9/min",
        pro="requests: 4/min",
    ),
    Workflow(
        "consensus, rounds",
        ASK % "rounds",
        ["limits.flash.requests=4/min", "limits.flash.requests=20/min"],
        flash="requests: 6/min",
        pro="requests: 4/min",
    ),
    Workflow(
        "review in waves",
        REVIEW,
        ["limits.flash.requests=2/min", "limits.flash.requests=9/min"],
        flash="requests: 4/min",
    ),
    Workflow(
        "nested plan",
        NESTED,
        ["agents.quick.concurrency=1", "max_parallel=2"],
        more=INNER,
        pro="concurrency: 2",
    ),
    Workflow(
        "approvals",
        ASKED,
        ["limits.flash.concurrency=1", "limits.flash.concurrency=6"],
        flash="concurrency: 3",
    ),
)


def calls_of(trace: Trace) -> int:
    return sum(one.work in ("model", "tool") and one.left for one in trace.activities)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[one.name for one in WORKFLOWS])
def test_what_is_simulated_from_one_run_comes_true_in_others(
    workflow: Workflow, tmp_path: Path
) -> None:
    journal, second, others = lived(workflow, workflow.load(tmp_path / "hocket.yaml"))
    study = simulate_run(journal, "run1", Otherwise(variants=workflow.changes), FEW)
    base = study.baseline
    assert base.seconds.median == pytest.approx(second.took / SECOND, rel=WALL)
    assert abs(base.calls.median - calls_of(second)) <= 1
    assert study.match is not None
    # The recorded run knew of no earlier one: others may go by a better order than it did.
    assert study.match.verdict in ("good", "rough")
    for row, real in zip(study.variants, others, strict=True):
        assert row.why == ""
        assert row.seconds.median == pytest.approx(real.took / SECOND, rel=CHANGED), row.name


def test_slots_that_nobody_has_said_are_those_of_the_record(tmp_path: Path) -> None:
    workflow = WORKFLOWS[1]._replace(changes=["agents.make.concurrency=6"])
    journal, _, (wider,) = lived(workflow, workflow.load(tmp_path / "hocket.yaml"))
    study = simulate_run(journal, "run1", Otherwise(variants=workflow.changes), FEW)
    told = f"make had no more than {CORES} calls at once"
    assert any(words.startswith(told) for words in study.assumed)
    assert study.variants[0].seconds.median < 0.95 * study.baseline.seconds.median
    assert study.variants[0].seconds.median == pytest.approx(wider.took / SECOND, rel=CHANGED)
