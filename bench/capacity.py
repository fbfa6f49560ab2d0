"""What one node carries on a journal in PostgreSQL: memory, processor, transactions, bytes.

A server lays runs and `hocket work` processes drive them, as in production, each a process of its
own; the database is a PostgreSQL server of this benchmark, on the disk, with fsync.
Agents do nothing, or wait: what is measured is Hocket and the database.
The page "how far does this go" is made of the file that `--json` writes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import measure
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from supervisors import line_through  # noqa: E402
from tests import postgres  # noqa: E402

from hocket import Engine  # noqa: E402
from hocket._version import __version__  # noqa: E402
from hocket.app.host import Host  # noqa: E402
from hocket.app.load import load_plan  # noqa: E402

IN_FLIGHT = 10
"""Calls that a busy run has in flight."""
SMALL = 3
"""Steps of a small run."""
PATIENCE = 600.0
FILE = f"""
version: 1
limits:
  never: {{requests: 1000000/s}}
agents:
  quick: {{scripted: {{replies: [{{output: done, tokens_out: 20}}]}}}}
  bound: {{scripted: {{replies: [{{output: done, tokens_out: 20}}]}}, limits: never}}
  slow: {{scripted: {{replies: [{{output: done, after: 1h}}]}}}}
plans:
  small:
    steps:
      a: {{agent: quick, prompt: one}}
      b: {{agent: quick, prompt: "two after {{{{a}}}}"}}
      c: {{agent: quick, prompt: "three after {{{{b}}}}"}}
  wide:
    inputs: [items]
    max_parallel: 64
    steps:
      each: {{each: inputs.items, agent: quick, prompt: "do {{{{item}}}}"}}
  limited:
    inputs: [items]
    max_parallel: 64
    steps:
      each: {{each: inputs.items, agent: bound, prompt: "do {{{{item}}}}"}}
  idle:
    steps:
      ok: {{approve: "Go on?", timeout: 24h}}
  busy:
    inputs: [items]
    max_parallel: {IN_FLIGHT}
    steps:
      each: {{each: inputs.items, agent: slow, prompt: "do {{{{item}}}}"}}
"""


# ---- the processes ----


class Sum(NamedTuple):
    """What was spent up to an instant; two of them are a measurement.

    Fields:
        at: Seconds.
        workers: Processor seconds of all `hocket work`.
        server: Those of the process that lays runs.
        database: Those of PostgreSQL.
        writes: Transactions that wrote.
        log: Bytes of PostgreSQL's write-ahead log.
        size: Bytes of the journal's tables and indexes.
        events: Events in it.
    """

    at: float
    workers: float
    server: float
    database: float
    writes: int
    log: int
    size: int
    events: int

    def since(self, before: Sum) -> Sum:
        return Sum(*(late - early for late, early in zip(self, before, strict=True)))


class Node:
    """This machine: a database, processes that drive runs, and this one, which lays them.

    Args:
        database: Where the journal is.
        folder: For everything that is written elsewhere.
    """

    def __init__(self, database: postgres.Server, folder: Path) -> None:
        self._database = database
        self._name = database.create()
        self._folder = folder
        self.url = database.url(self._name)
        self._workers: list[subprocess.Popen[str]] = []
        (folder / "hocket.yaml").write_text(FILE)

    def hire(self, workers: int, most: int) -> None:
        """Start processes that drive runs, and wait until they do."""
        for number in range(workers):
            env = {
                **os.environ,
                "HOCKET_HOME": str(self._folder / f"worker{number}"),
                "HOCKET_JOURNAL": self.url,
                "HOCKET_LEASE": "60",
            }
            command = [sys.executable, "-m", "hocket", "work", "--json", "--most", str(most)]
            self._workers.append(
                subprocess.Popen(
                    command, env=env, cwd=self._folder, stdout=subprocess.PIPE, text=True
                )
            )
        for worker in self._workers:
            assert worker.stdout is not None
            assert json.loads(worker.stdout.readline())["pid"] == worker.pid

    def end(self) -> None:
        """Kill them, and remove the database."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()
        self._database.sql(f"DROP DATABASE {self._name} WITH (FORCE)")

    def sum(self) -> Sum:
        """Say what was spent so far."""
        row = self._database.sql(
            "SELECT pg_snapshot_xmax(pg_current_snapshot()), pg_current_wal_lsn() - '0/0', "
            "(SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class AS c "
            "WHERE relnamespace = 'hocket'::regnamespace AND relkind = 'r'), "
            "(SELECT count(*) FROM hocket.events)",
            self._name,
        )[0]
        workers = [psutil.Process(worker.pid).cpu_times() for worker in self._workers]
        own = psutil.Process().cpu_times()
        return Sum(
            time.perf_counter(),
            sum(each.user + each.system for each in workers),
            own.user + own.system,
            _whole_time(psutil.Process(self._database.pid)),
            *(int(float(field)) for field in row),
        )

    def memory(self) -> float:
        """Give the bytes that the processes which drive runs have resident."""
        return sum(psutil.Process(worker.pid).memory_info().rss for worker in self._workers)

    def connections(self) -> int:
        """Give how many connections there are to the journal."""
        found = self._database.sql(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self._name}' "
            "AND pid <> pg_backend_pid()"
        )
        return int(found[0][0])


def _whole_time(process: psutil.Process) -> float:
    """Give what a process and its children have spent, also those that have ended."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if each == process:
            total += times.children_user + times.children_system
    return total


@contextmanager
def node(database: postgres.Server, state: Path) -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="capacity-", dir=state))
    made = Node(database, folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


class Layer:
    """The server's part: begins runs and leaves them to others.

    Args:
        where: Its node.
        folder: Its state folder.
        most: How many runs may wait for somebody.
    """

    def __init__(self, where: Node, folder: Path, most: int) -> None:
        self._engine = Engine(folder, journal=where.url, look_ahead=0)
        self._most = most
        self._file = folder.parent / "hocket.yaml"

    async def __aenter__(self) -> Layer:
        await self._engine.__aenter__()
        self.host = Host(self._engine, most=self._most + 1, drive=0)
        # The connections and tables are there before the clock runs.
        await asyncio.to_thread(self._engine.journal.orphans, 1)
        await self.lay("small", 1)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.host.close()
        await self._engine.__aexit__(None, None, None)

    async def lay(self, plan: str, runs: int, items: int = 0) -> None:
        """Begin so many runs, as many at once as a server answers requests."""
        spec = load_plan(self._file, plan)
        given = {"items": list(range(items))} if items else {}
        room = asyncio.Semaphore(64)

        async def one() -> None:
            async with room:
                await self.host.start_spec(spec, dict(given))

        await asyncio.gather(*(one() for _ in range(runs)))

    async def until(self, what: str, check: Callable[[], bool]) -> None:
        """Wait until something is so."""
        late = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(check):
            if time.monotonic() > late:
                raise RuntimeError(f"{what}: not within {PATIENCE:.0f} s")
            await asyncio.sleep(0.05)

    async def done(self, runs: int) -> None:
        """Wait until so many runs, and the first one, have succeeded."""

        def over() -> bool:
            counts = self._engine.journal.counts()
            assert counts.keys() <= {"running", "succeeded"}, counts
            return counts.get("succeeded", 0) == runs + 1

        await self.until(f"{runs} runs succeed", over)


# ---- the measurements ----


async def flow(where: Node, workers: int, plan: str, runs: int, items: int = 0) -> dict[str, float]:
    """Measure what it takes to lay and drive runs: from the first request to the last end."""
    where.hire(workers, max(1, -(-runs // workers)))
    async with Layer(where, where._folder / "server", runs) as server:
        await server.done(0)
        before = where.sum()
        await server.lay(plan, runs, items)
        laid = time.perf_counter() - before.at
        await server.done(runs)
        took = where.sum().since(before)
    steps = runs * (items or SMALL)
    return {
        "workers": workers,
        "runs": runs,
        "steps": steps,
        "laid_s": laid,
        "wall_s": took.at,
        "worker_cpu_s": took.workers,
        "server_cpu_s": took.server,
        "database_cpu_s": took.database,
        "writes": took.writes,
        "log_bytes": took.log,
        "bytes": took.size,
        "events": took.events,
    }


async def begin(where: Node, runs: int) -> dict[str, float]:
    """Measure how fast one server begins runs that nobody drives yet."""
    async with Layer(where, where._folder / "server", runs + 1) as server:
        before = where.sum()
        await server.lay("small", runs)
        took = where.sum().since(before)
    return {
        "runs": runs,
        "wall_s": took.at,
        "server_cpu_s": took.server,
        "database_cpu_s": took.database,
        "writes": took.writes,
    }


async def hold(where: Node, plan: str, runs: int, seconds: float) -> dict[str, float]:
    """Measure what runs take that are driven and wait: for a person, or for their calls."""
    items = IN_FLIGHT if plan == "busy" else 0
    async with Layer(where, where._folder / "server", runs) as server:
        others = where.connections()
        where.hire(1, max(1, runs))
        await server.done(0)
        await server.lay(plan, runs, items)
        # The call or question of each is on disk: so many events of each.
        wanted = runs * (2 + IN_FLIGHT if items else 3)

        def there() -> bool:
            return not server.host.engine.journal.orphans(1) and where.sum().events >= wanted

        await server.until(f"{runs} {plan} runs are driven", there)
        before = where.sum()
        await asyncio.sleep(seconds)
        took = where.sum().since(before)
        return {
            "runs": runs,
            "memory": where.memory(),
            "connections": where.connections() - others,
            "worker_cpu_share": took.workers / took.at,
            "writes_a_second": took.writes / took.at,
            "events": where.sum().events,
        }


def fit(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Draw the line through points: where it begins, its slope, and how well it fits."""
    begins, slope, r2 = line_through(points)
    return {"begins": begins, "slope": slope, "r2": r2}


def population(agents: int) -> dict[str, Any]:
    """Measure a population in a process of its own: its tick, and what it takes."""
    script = str(Path(__file__).parent / "population_peers.py")
    found = measure.in_child([script, "Hocket", str(agents), "--seconds", "10"], 600)
    if "walls" not in found:
        return found
    tick = measure.median(found["walls"])
    return {"agents": agents, "tick_s": tick, "cpu_s": found["processor"], "mb": found["peak"]}


# ---- the tables ----


class Sizes(NamedTuple):
    """How much is measured of each."""

    curve: tuple[int, ...] = (25, 50, 100, 200, 400)
    curve_workers: int = 4
    wide: tuple[int, ...] = (1, 2, 4)
    steps: int = 2_000
    begun: int = 500
    idle: tuple[int, ...] = (0, 100, 200, 400)
    busy: tuple[int, ...] = (0, 25, 50, 100)
    agents: int = 1_000_000
    seconds: float = 10.0


QUICK = Sizes((5, 10, 20), 2, (1, 2), 200, 50, (0, 10, 20), (0, 5, 10), 10_000, 2.0)


class Bench:
    """Takes all measurements, each in a database of its own, after a moment of calm."""

    def __init__(self, database: postgres.Server, given: argparse.Namespace) -> None:
        self._database = database
        self._given = given
        self._sizes = QUICK if given.quick else Sizes()

    def _take(self, what: Callable[[Node], Any]) -> dict[str, Any]:
        measure.wait_for_calm(self._given.state, self._given.calm)
        load = os.getloadavg()[0]
        with node(self._database, self._given.state) as where:
            found: dict[str, Any] = asyncio.run(what(where))
        print(json.dumps(found), file=sys.stderr, flush=True)
        return {**found, "load": round(load, 1)}

    def whole(self) -> dict[str, Any]:
        sizes = self._sizes
        curve = [
            self._take(lambda where, n=n: flow(where, sizes.curve_workers, "small", n))
            for n in sizes.curve
        ]
        wide = [
            self._take(lambda where, n=n: flow(where, n, "wide", n, sizes.steps))
            for n in sizes.wide
        ]
        limited = [
            self._take(lambda where, n=n: flow(where, n, "limited", n, sizes.steps))
            for n in sizes.wide
        ]
        begun = self._take(lambda where: begin(where, sizes.begun))
        idle = [
            self._take(lambda where, n=n: hold(where, "idle", n, sizes.seconds)) for n in sizes.idle
        ]
        busy = [
            self._take(lambda where, n=n: hold(where, "busy", n, sizes.seconds)) for n in sizes.busy
        ]
        measure.wait_for_calm(self._given.state, self._given.calm)
        return {
            "population": {**population(sizes.agents), "load": round(os.getloadavg()[0], 1)},
            "curve": curve,
            "wide": wide,
            "limited": limited,
            "begun": begun,
            "idle": idle,
            "busy": busy,
            "fits": fits(curve, idle, busy),
        }


def fits(
    curve: Sequence[dict[str, float]],
    idle: Sequence[dict[str, float]],
    busy: Sequence[dict[str, float]],
) -> dict[str, dict[str, float]]:
    """Fit what each further run takes."""

    def cpu(one: dict[str, float]) -> float:
        return one["worker_cpu_s"] + one["server_cpu_s"] + one["database_cpu_s"]

    return {
        "cpu_s_a_run": fit([(one["runs"], cpu(one)) for one in curve]),
        "bytes_an_idle_run": fit([(one["runs"], one["memory"]) for one in idle]),
        "bytes_a_busy_run": fit([(one["runs"], one["memory"]) for one in busy]),
        "cpu_share_a_busy_run": fit([(one["runs"], one["worker_cpu_share"]) for one in busy]),
    }


def show(found: dict[str, Any]) -> None:
    columns = ["plan", "processes", "runs", "steps", "s", "runs/s", "steps/s", "events/s"]
    columns += ["CPU ms a run", "CPU µs a step: work", "server", "database"]
    columns += ["writes a step", "bytes an event", "log bytes an event", "load"]
    rows = []
    for plan in ("curve", "wide", "limited"):
        for one in found[plan]:
            steps, wall = one["steps"], one["wall_s"]
            parts = [one[f"{who}_cpu_s"] for who in ("worker", "server", "database")]
            rows.append(
                [
                    "small" if plan == "curve" else plan,
                    *(f"{one[key]:,}" for key in ("workers", "runs", "steps")),
                    f"{wall:.2f}",
                    f"{one['runs'] / wall:,.1f}",
                    f"{steps / wall:,.0f}",
                    f"{one['events'] / wall:,.0f}",
                    f"{sum(parts) * 1e3 / one['runs']:,.1f}",
                    *(f"{part * 1e6 / steps:,.0f}" for part in parts),
                    f"{one['writes'] / steps:.2f}",
                    f"{one['bytes'] / one['events']:,.0f}",
                    f"{one['log_bytes'] / one['events']:,.0f}",
                    f"{one['load']:.1f}",
                ]
            )
    print("\n" + measure.table(columns, rows, 1))
    begun = found["begun"]
    print(
        f"\nBegun by one server: {begun['runs'] / begun['wall_s']:,.0f} runs/s, "
        f"{begun['server_cpu_s'] * 1e3 / begun['runs']:.1f} ms of its processor each, "
        f"{begun['writes'] / begun['runs']:.1f} transactions that write\n"
    )
    columns = ["runs", "what", "MB", "connections", "CPU, % of a core", "writes/s", "load"]
    rows = [
        [
            f"{one['runs']:,}",
            "wait for a person" if plan == "idle" else f"have {IN_FLIGHT} calls in flight",
            f"{one['memory'] / 1e6:,.1f}",
            f"{one['connections']:,}",
            f"{one['worker_cpu_share']:.1%}",
            f"{one['writes_a_second']:.1f}",
            f"{one['load']:.1f}",
        ]
        for plan in ("idle", "busy")
        for one in found[plan]
    ]
    print(measure.table(columns, rows, 0) + "\n")
    crowd = found["population"]
    if "tick_s" in crowd:
        print(
            f"A population of {crowd['agents']:,}: {crowd['tick_s'] * 1e3:.1f} ms a tick, "
            f"{crowd['mb']:,.0f} MB\n"
        )
    else:
        print(f"A population could not be measured: {crowd}\n")
    for name, line in found["fits"].items():
        print(f"{name}: {line['slope']:.6g} each, from {line['begins']:.6g}; R² {line['r2']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small runs")
    parser.add_argument("--calm", type=float, default=10.0, help="wait so long for a calm machine")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="for folders of states")
    given = parser.parse_args()
    if reason := postgres.missing():
        sys.exit(reason)
    given.state.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTHONHASHSEED", "0")
    head = [*measure.machine(["asyncpg"]), f"hocket {__version__}"]
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    data = Path(tempfile.mkdtemp(prefix="capacity-data-"))
    if os.geteuid() == 0:
        who = postgres.as_postgres()
        os.chown(data, who["user"], who["group"])
    settings = {"shared_buffers": "128MB", "max_connections": "200"}
    database = postgres.Server(data / "data", settings=settings).start()
    version = database.sql("SHOW server_version")[0][0]
    try:
        found = Bench(database, given).whole()
    finally:
        database.remove()
        shutil.rmtree(data, ignore_errors=True)
    show(found)
    after = measure.mood(given.state)
    print(f"\nAfter:  {after}")
    if given.json:
        head.append(f"PostgreSQL {version}, on the disk, fsync and synchronous_commit on")
        whole = {"machine": head, "before": before, "after": after, **found}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
