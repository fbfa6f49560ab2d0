"""The tables of docs/explanation/how-far.md, from what was measured and what is simulated.

    python bench/how_far.py [--check | --write]

Measured is what `bench/capacity.py --json bench/results/capacity.json` has found on one machine.
Simulated is the run of `bench/how_far.yaml`, by `hocket simulate`; it is the same on every machine.
All else is arithmetic. Without an option the tables are printed; `--write` puts them into the page,
`--check` fails if others stand there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
MEASURED = HERE / "results" / "capacity.json"
FILE = HERE / "how_far.yaml"
PAGE = HERE.parent / "docs" / "explanation" / "how-far.md"

DAY = 86_400
RUNS = 100_000
AGENTS = 1_000_000
PEAK = 4
"""How many times the mean rate the busiest hours have: a day's work in six hours."""
MOST = 200
"""How many runs a process drives at once if nothing else is said."""
GIB = 1 << 30

Json = dict[str, Any]


class Team(NamedTuple):
    """The run that is counted with, as simulated.

    Fields:
        seconds: How long it takes, the median.
        calls: How many calls it makes.
    """

    seconds: float
    calls: float


class Part(NamedTuple):
    """Something that may be used up.

    Fields:
        name: What it is.
        there: How much of it there is, in words.
        runs: How many runs a day use it up.
        source: Where that is from.
        add: What to add then.
    """

    name: str
    there: str
    runs: float
    source: str
    add: str


# ---- what is known ----


def measured(path: Path = MEASURED) -> Json:
    return dict(json.loads(path.read_text("utf-8")))


def simulated() -> Team:
    """Play the run two hundred times in virtual time."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "hocket", "simulate", str(FILE), "--json"],
            env={**os.environ, "HOCKET_HOME": home, "HOCKET_JOURNAL": ""},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)["baseline"]
    return Team(found["seconds"]["median"], found["calls"]["median"])


class Costs:
    """What a run of the team costs, by what was measured of small and of wide runs.

    A step that runs by itself costs more than one of many at once, which share commits: the first
    is taken where it says less of Hocket.
    """

    def __init__(self, found: Json, team: Team) -> None:
        self.found, self.team = found, team
        self.small: Json = found["curve"][-1]
        self.wide: Json = found["wide"][0]
        self.limited: Json = max(found["limited"], key=_rate)

    @property
    def cpu(self) -> float:
        """Processor seconds of a run, database and all."""
        return float(self.found["fits"]["cpu_s_a_run"]["slope"]) / self._steps * self.team.calls

    @property
    def writes(self) -> float:
        """Transactions of a run that write."""
        return float(self.small["writes"]) / self.small["steps"] * self.team.calls

    @property
    def writes_a_second(self) -> float:
        """As many as were seen in a second."""
        return max(float(one["writes"]) / one["wall_s"] for one in self.found["curve"])

    @property
    def events(self) -> float:
        """Events of a run."""
        return float(self.wide["events"]) / self.wide["steps"] * self.team.calls

    @property
    def bytes(self) -> float:
        """What a run leaves in the database, its outputs not counted."""
        return self.events * self.wide["bytes"] / self.wide["events"]

    @property
    def log(self) -> float:
        """What it writes to the write-ahead log."""
        return float(self.small["log_bytes"]) / self.small["steps"] * self.team.calls

    @property
    def memory(self) -> float:
        """What a run takes that has calls in flight."""
        return float(self.found["fits"]["bytes_a_busy_run"]["slope"])

    @property
    def base(self) -> float:
        """What a process takes that drives none."""
        return float(self.found["busy"][0]["memory"])

    @property
    def _steps(self) -> float:
        """The steps of a small run."""
        return float(self.small["steps"]) / self.small["runs"]


def _rate(one: Json) -> float:
    return float(one["steps"]) / one["wall_s"]


# ---- the tables ----


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set a table; what is said in words stands left, figures right."""
    words = {head[0], "From", "Then"}
    marks = "".join("---|" if name in words else "--:|" for name in head)
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{marks}", *lines[1:]])


def node_table(found: Json) -> str:
    costs = Costs(found, Team(0, 0))
    return table(["What", "Measured", "From"], [*_held(found), *_flowing(costs), *_written(costs)])


def _held(found: Json) -> list[list[str]]:
    """What runs take that are driven and wait."""
    fits, idle, busy = found["fits"], found["idle"], found["busy"]
    last = busy[-1]
    waits, calls = fits["bytes_an_idle_run"], fits["bytes_a_busy_run"]
    return [
        ["A process that drives nothing", f"{idle[0]['memory'] / 1e6:.0f} MB", "idle, 0 runs"],
        [
            "each run of it that waits for a person",
            f"{waits['slope'] / 1e3:.0f} KB",
            f"idle, up to {idle[-1]['runs']} runs, R² {waits['r2']:.3f}",
        ],
        [
            "each run of it with ten calls in flight",
            f"{calls['slope'] / 1e3:.0f} KB",
            f"busy, up to {last['runs']} runs, R² {calls['r2']:.3f}",
        ],
        [
            f"its processor while {last['runs']} such runs wait for their calls",
            f"{last['worker_cpu_share']:.1%} of a core",
            "busy, last row",
        ],
        ["its transactions meanwhile", f"{last['writes_a_second']:.1f}/s", "busy, last row"],
        [
            "its connections to the database",
            f"{max(one['connections'] for one in [*idle, *busy])}",
            "idle, busy",
        ],
    ]


def _flowing(costs: Costs) -> list[list[str]]:
    """What runs and steps take that go on."""
    found, small, wide, limited = costs.found, costs.small, costs.wide, costs.limited
    fit, begun = found["fits"]["cpu_s_a_run"], found["begun"]
    best = max(found["wide"], key=_rate)
    run = f"{small['writes'] / small['runs']:.1f}"
    # The system counts processor time in hundredths of a second: the longest row says most.
    last = found["wide"][-1]
    parts_of = [last[f"{who}_cpu_s"] * 1e6 / last["steps"] for who in ("worker", "database")]
    return [
        [
            f"Runs of three steps, {small['workers']} processes",
            f"{small['runs'] / small['wall_s']:,.0f}/s",
            f"curve, {small['runs']} runs",
        ],
        [
            "processor of each, all processes and the database",
            f"{fit['slope'] * 1e3:.1f} ms",
            f"curve, {found['curve'][0]['runs']} to {small['runs']} runs, R² {fit['r2']:.4f}",
        ],
        ["transactions that write, of each", run, "curve, last row"],
        ["Runs begun by one server", f"{begun['runs'] / begun['wall_s']:,.0f}/s", "begun"],
        [
            "Steps of a wide run, one process",
            f"{_rate(wide):,.0f}/s",
            f"wide, {wide['steps']:,} steps",
        ],
        [
            f"the most by several processes: by {best['workers']}",
            f"{_rate(best):,.0f}/s",
            f"wide, {best['workers']} runs",
        ],
        [
            "processor of such a step: process, database",
            ", ".join(f"{part:.0f} µs" for part in parts_of),
            f"wide, {last['workers']} runs",
        ],
        [
            "transactions that write, a step",
            f"{wide['writes'] / wide['steps']:.3f}",
            "wide, first row",
        ],
        [
            "Calls under one shared limit, all processes together",
            f"{_rate(limited):,.0f}/s",
            f"limited, {limited['workers']} processes, the best row",
        ],
    ]


def _written(costs: Costs) -> list[list[str]]:
    """What events take."""
    found, small, wide = costs.found, costs.small, costs.wide
    return [
        [
            "Events",
            f"{max(one['events'] / one['wall_s'] for one in found['wide']):,.0f}/s",
            "wide, the best row",
        ],
        ["bytes of an event in the database", f"{wide['bytes'] / wide['events']:,.0f}", "wide"],
        [
            "bytes of the write-ahead log, an event",
            f"{wide['log_bytes'] / wide['events']:,.0f} (wide), "
            f"{small['log_bytes'] / small['events']:,.0f} (small)",
            "wide, curve",
        ],
    ]


def day_table(costs: Costs) -> str:
    team, rate = costs.team, RUNS / DAY
    live, peak = rate * team.seconds, PEAK * rate * team.seconds
    rows = [
        ["runs a second", f"{rate:.2f}", f"{PEAK * rate:.2f}", "arithmetic"],
        [
            "calls a minute, which providers must allow",
            f"{rate * team.calls * 60:,.0f}",
            f"{PEAK * rate * team.calls * 60:,.0f}",
            f"simulated: {team.calls:.0f} calls a run",
        ],
        [
            "runs at once",
            f"{live:,.0f}",
            f"{peak:,.0f}",
            f"simulated: {team.seconds:.0f} s a run",
        ],
        [
            f"processes, of {MOST} runs each",
            f"{-(-live // MOST):.0f}",
            f"{-(-peak // MOST):.0f}",
            "`--most`",
        ],
        [
            "memory of their runs",
            f"{live * costs.memory / 1e6:,.0f} MB",
            f"{peak * costs.memory / 1e6:,.0f} MB",
            "busy",
        ],
        [
            "cores, database and all",
            f"{rate * costs.cpu:.2f}",
            f"{PEAK * rate * costs.cpu:.2f}",
            "curve, a step by itself",
        ],
        [
            "transactions that write, a second",
            f"{rate * costs.writes:,.0f}",
            f"{PEAK * rate * costs.writes:,.0f}",
            "curve, a step by itself",
        ],
        [
            "grown a day: tables",
            f"{RUNS * costs.bytes / 1e9:.1f} GB",
            "",
            "wide; outputs not counted",
        ],
        [
            "grown a day: write-ahead log",
            f"{RUNS * costs.log / 1e9:.1f} GB",
            "",
            "curve; outputs not counted",
        ],
    ]
    return table(["100,000 runs a day", "On average", f"Busiest hours, {PEAK} ×", "From"], rows)


def parts(costs: Costs) -> list[Part]:
    """What is used up first, first."""
    team, found = costs.team, costs.found
    begun = found["begun"]["runs"] / found["begun"]["wall_s"]
    limited = _rate(costs.limited)
    room = (GIB - costs.base) / costs.memory
    found_parts = [
        Part(
            "one process with `--most 200`",
            f"{MOST} runs at once",
            MOST * DAY / team.seconds,
            "simulated run",
            "another `hocket work`",
        ),
        Part(
            "two cores for everything",
            "2 cores",
            2 * DAY / costs.cpu,
            "curve",
            "machines for workers, then one for the database",
        ),
        Part(
            "the database's transactions, as many as were seen here",
            f"{costs.writes_a_second:,.0f}/s",
            costs.writes_a_second * DAY / costs.writes,
            "curve",
            "a disk that syncs faster, more cores; then a second journal",
        ),
        Part(
            "one limit that all calls share",
            f"{limited:,.0f} calls/s",
            limited * DAY / team.calls,
            "limited",
            "limits by provider or key; leased slices are not there",
        ),
        Part(
            "one server that begins runs",
            f"{begun:,.0f} runs/s",
            begun * DAY,
            "begun",
            "another `hocket serve`",
        ),
        Part(
            "1 GiB of memory in one process",
            f"{room:,.0f} runs at once",
            room * DAY / team.seconds,
            "busy",
            "another process",
        ),
    ]
    return sorted(found_parts, key=lambda part: part.runs)


def parts_table(costs: Costs) -> str:
    rows = [
        [part.name, part.there, f"{_two(part.runs):,.0f}", part.source, part.add]
        for part in parts(costs)
    ]
    return table(["What is used up", "There is", "Runs a day", "From", "Then"], rows)


def agents_table(costs: Costs) -> str:
    crowd: Json = costs.found["population"]
    live = AGENTS / 10
    # The slowest kind of call of the file: as many at once as its length says.
    waits = yaml.safe_load(FILE.read_text("utf-8"))["simulate"]["agents"]["writer"]["latency"][
        "p50"
    ]
    seconds = float(waits.removesuffix("s"))
    rate, limited = AGENTS / seconds, _rate(costs.limited)
    rows = [
        [
            f"numeric: {crowd['agents']:,} active-inference agents in one process",
            f"{crowd['tick_s'] * 1e3:,.0f} ms a tick, {crowd['mb']:,.0f} MB",
            "population",
        ],
        [
            f"language models: {AGENTS:,} calls in flight, memory of {live:,.0f} runs",
            f"{live * costs.memory / 1e9:.0f} GB in {live / MOST:,.0f} processes",
            "busy, carried on: not measured",
        ],
        [
            f"their calls, of {seconds:.0f} s each",
            f"{rate:,.0f}/s",
            "arithmetic",
        ],
        [
            "journals for that, if each does what was seen here",
            f"{rate / limited:,.0f} with shared limits, "
            f"{rate / max(_rate(one) for one in costs.found['wide']):,.0f} without",
            "limited, wide, carried on: not measured",
        ],
    ]
    return table(["A million agents", "Takes", "From"], rows)


def _two(value: float) -> float:
    """Give a figure with two digits that count."""
    return float(f"{value:.2g}")


def conditions(found: Json) -> str:
    """Say what it was measured on, and how busy that was."""
    loads = [
        one["load"] for kind in ("curve", "wide", "limited", "idle", "busy") for one in found[kind]
    ]
    day, processor, versions, *more = found["machine"]
    return (
        f"{day}; {processor}; {versions}; {'; '.join(more)}. Before: {found['before']}. When each "
        f"measurement began the load of the last minute was {min(loads):.1f} to {max(loads):.1f}."
    )


def texts() -> dict[str, str]:
    """Give everything that stands in the page, by its mark."""
    found = measured()
    costs = Costs(found, simulated())
    return {
        "node": node_table(found),
        "conditions": conditions(found),
        "day": day_table(costs),
        "parts": parts_table(costs),
        "agents": agents_table(costs),
    }


def put(page: str, made: dict[str, str]) -> str:
    """Put texts between their marks."""
    for name, text in made.items():
        pattern = rf"(<!-- how_far: {name} -->\n).*?(<!-- end -->)"
        page, count = re.subn(
            pattern, lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{PAGE.name} has {count} places for {name!r}")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail if the page has other tables")
    what.add_argument("--write", action="store_true", help="put the tables into the page")
    given = parser.parse_args()
    made = texts()
    if not (given.check or given.write):
        print("\n\n".join(f"{name}\n\n{text}" for name, text in made.items()))
        return
    page = PAGE.read_text("utf-8")
    wanted = put(page, made)
    if given.check and wanted != page:
        raise SystemExit("the page has other tables: run bench/how_far.py --write")
    if given.write:
        PAGE.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
