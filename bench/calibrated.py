"""Simulated against real: does a simulation made of one run say how the next one goes?

Twelve workflows run for real against a loopback provider that really refuses: plans, panels,
consensus, reviews, with and without limits.
Of each: one run is recorded and calibrated; the simulated baseline is held against a second real
run, and a simulated change against a third, which really has it.
How long a call takes depends on how many like it came before, and by a tenth on the run: what is
simulated can be no nearer to a second run than two real ones are to each other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import measure

import hocket
from hocket.app.load import checked, load_file
from hocket.app.simulate import Otherwise, Playing, simulate_run
from hocket.app.traces import trace_of_run
from hocket.config.change import changed
from hocket.core.specs import RunSpec
from hocket.core.values import SECOND
from hocket.insight.trace import Trace

HERE = Path(__file__).parent
LATENCY = {"flash": 1.2, "pro": 2.7}
"""Seconds that a call takes, 30 % more or less; a call costs 10 ms of processor besides."""
WINDOW = 9
LIMITS = {"flash": 9, "pro": 2}
"""Requests in any nine seconds, where there are limits."""
JITTER = 0.05
"""A call takes by so much more or less than the same call usually does: two of them differ by up
to a tenth."""
RUNS = 200
WALL, CHANGED = 0.10, 0.15
"""How far the simulated time of a second run, and of a changed one, may be off."""
HEAD = [
    "workflow",
    "first run s",
    "calls",
    "simulated s",
    "calls",
    "second run s",
    "calls",
    "off",
    "change",
    "simulated s",
    "real s",
    "off",
    "match",
    "holds",
]

FILE = """
version: 1
models:
  flash: {{id: "openai:flash", base_url: "{base}/v1"{flash}}}
  pro: {{id: "openai:pro", base_url: "{base}/v1"{pro}}}
agents:
  quick: {{model: flash}}
  wise: {{model: pro}}
  bash: {{command: ["sleep", "0.6"]}}
plans:
  p:
    steps:
"""
CHAIN = "\n".join(
    [
        "      s1: {agent: quick, prompt: one}",
        *(
            f'      s{i}: {{agent: quick, needs: [s{i - 1}], prompt: "step {i}"}}'
            for i in range(2, 7)
        ),
    ]
)
FAN = """
      fan: {each: "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", agent: quick, prompt: "{{item}}"}
      end: {agent: wise, needs: [fan], prompt: sum}
"""
MIXED = """
      a: {agent: quick, prompt: a}
      b: {agent: wise, prompt: b}
      test: {agent: bash, needs: [a]}
      c: {agent: quick, needs: [test], prompt: c}
      d: {agent: wise, needs: [a, b], prompt: d}
      e: {agent: quick, needs: [c, d], prompt: e}
"""
PANEL = """
      reply:
        panel:
          question: How does one begin?
          agents: {one: quick, two: quick, three: wise}
          synthesis: {agent: quick}
"""
ASK = """
      q:
        consensus:
          question: Why is the sea blue?
          agents: [{agent: quick, count: 5}, {agent: wise, count: 2}]
          policy: %s
          decide: majority
"""
REVIEW = """
      code: {agent: quick, prompt: write, review: {by: [quick, wise], swarm: 5}}
      more: {agent: quick, needs: [code], prompt: more, review: {by: [quick], swarm: 3}}
"""


class Row(NamedTuple):
    """A workflow, whether there are limits, and a change to it."""

    name: str
    steps: str
    limited: bool
    change: str

    def limits(self, *, otherwise: bool = False) -> dict[str, str]:
        """Give what the provider takes; with the change, so much as that says."""
        limits = {name: f"{amount}/{WINDOW}" for name, amount in LIMITS.items()}
        found = re.fullmatch(r"limits\.(\w+)\.requests=(\d+)/\d+s", self.change)
        if otherwise and found:
            limits[found[1]] = f"{found[2]}/{WINDOW}"
        return limits if self.limited else {}


ROWS = (
    Row("chain of six", CHAIN, False, "steps.s4.needs=[s1]"),
    Row("chain of six, limits", CHAIN, True, "limits.flash.requests=3/9s"),
    Row("fan of twelve", FAN, False, "max_parallel=4"),
    Row("fan of twelve, limits", FAN, True, "limits.flash.requests=5/9s"),
    Row("plan with commands", MIXED, False, "agents.quick.concurrency=1"),
    Row("plan with commands, limits", MIXED, True, "limits.pro.requests=1/9s"),
    Row("panel", PANEL, False, "max_parallel=1"),
    Row("panel, limits", PANEL, True, "limits.flash.requests=2/9s"),
    Row("consensus", ASK % "once", False, "max_parallel=3"),
    Row("consensus, limits", ASK % "once", True, "limits.flash.requests=5/9s"),
    Row("consensus that restarts, limits", ASK % "restart_all", True, "limits.pro.requests=4/9s"),
    Row("review, limits", REVIEW, True, "limits.flash.requests=3/9s"),
)


@contextlib.contextmanager
def provider(log: Path, seed: str, limits: Mapping[str, str], port: int) -> Iterator[str]:
    """Have the provider running; gives its address."""
    command = [sys.executable, str(HERE / "consensus_server.py"), f"--log={log}"]
    command += [f"--jitter={JITTER}", f"--seed={seed}", f"--port={port}"]
    command += [f"--latency={model}={seconds}" for model, seconds in LATENCY.items()]
    command += [f"--limit={model}={rate}" for model, rate in limits.items()]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def load(row: Row, base: str, folder: Path, settings: Sequence[str]) -> RunSpec:
    bounds = {
        name: f', limits: {{requests: "{amount}/{WINDOW}s"}}' if row.limited else ""
        for name, amount in LIMITS.items()
    }
    path = folder / "hocket.yaml"
    path.write_text(FILE.format(base=base, **bounds) + row.steps, encoding="utf-8")
    loaded = load_file(path)
    return changed(checked(loaded, "p"), settings, loaded).spec


def ran(row: Row, folder: Path, port: int, run: str, settings: Sequence[str] = ()) -> Trace:
    """Run it for real, against a provider of its own.

    It is the same agent and the same state folder each time, so that later runs know how long
    earlier calls took; where there are limits, all windows are empty when it begins.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limits = row.limits(otherwise=bool(settings))
    with provider(folder / "calls.jsonl", f"{folder.name} {run}", limits, port) as base:
        if row.limited and run != "first":
            time.sleep(WINDOW + 1)
        return asyncio.run(_ran(load(row, base, folder, settings), folder, run))


async def _ran(spec: RunSpec, folder: Path, run: str) -> Trace:
    async with hocket.Engine(folder, look_ahead=0) as engine:
        result = await engine.run(spec, run_id=run)
        assert result.status == "succeeded", result.reason
        return trace_of_run(engine.journal, run)


def calls_of(trace: Trace) -> int:
    return sum(one.work in ("model", "tool") and one.left for one in trace.activities)


class Figures(NamedTuple):
    """What came of a workflow; times in seconds."""

    first: float
    first_calls: int
    simulated: float
    simulated_calls: float
    second: float
    second_calls: int
    changed_simulated: float
    changed: float
    verdict: str

    @property
    def off(self) -> float:
        """How far the baseline is from the second run."""
        return abs(self.simulated - self.second) / self.second

    @property
    def changed_off(self) -> float:
        """How far the simulated change is from the real one."""
        return abs(self.changed_simulated - self.changed) / self.changed

    @property
    def holds(self) -> bool:
        """Whether all is within its bound."""
        near = abs(self.simulated_calls - self.second_calls) <= 1
        return near and self.off <= WALL and self.changed_off <= CHANGED


def measured(row: Row, folder: Path) -> Figures:
    """Run one workflow three times for real, and simulate it from the first."""
    port = free_port()
    first = ran(row, folder, port, "first")
    with contextlib.closing(hocket.Engine(folder)) as engine:
        other = Otherwise(settings=[row.change])
        study = simulate_run(engine.journal, "first", other, Playing(runs=RUNS))
    second = ran(row, folder, port, "second")
    otherwise = ran(row, folder, port, "changed", [row.change])
    variant = study.variants[0]
    assert not variant.why, variant.why
    return Figures(
        first.took / SECOND,
        calls_of(first),
        study.baseline.seconds.median,
        study.baseline.calls.median,
        second.took / SECOND,
        calls_of(second),
        variant.seconds.median,
        otherwise.took / SECOND,
        "" if study.match is None else study.match.verdict,
    )


def line(row: Row, figures: Figures) -> list[str]:
    return [
        row.name,
        f"{figures.first:.2f}",
        str(figures.first_calls),
        f"{figures.simulated:.2f}",
        f"{figures.simulated_calls:g}",
        f"{figures.second:.2f}",
        str(figures.second_calls),
        f"{figures.off * 100:.1f} %",
        row.change,
        f"{figures.changed_simulated:.2f}",
        f"{figures.changed:.2f}",
        f"{figures.changed_off * 100:.1f} %",
        figures.verdict,
        "yes" if figures.holds else "NO",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four workflows")
    parser.add_argument("--rounds", type=int, default=1, help="how often each (1)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    rows = ROWS[::3] if given.quick else ROWS
    lines, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        before = measure.mood(Path(folder))
        # The first run of a process reads the model client, which takes a second.
        ran(ROWS[0], Path(folder) / "warm", free_port(), "first")
        for number in range(given.rounds):
            for place, row in enumerate(rows):
                figures = measured(row, Path(folder) / f"{number}-{place}")
                lines.append(line(row, figures))
                whole.append({"workflow": row.name, **figures._asdict()})
                print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
        after = measure.mood(Path(folder))
    print(measure.table(HEAD, lines, 1))
    held = sum(one[-1] == "yes" for one in lines)
    print(
        f"\n{held} of {len(lines)} within bounds: the second run within {WALL * 100:.0f} % and one "
        f"call of the\nsimulated median, the changed run within {CHANGED * 100:.0f} % of its own; "
        f"{RUNS} simulated runs each."
    )
    print(f"\nBefore: {before}\nAfter: {after}\n{measure.NOISE}")
    if given.json:
        given.json.write_text(json.dumps(whole, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
