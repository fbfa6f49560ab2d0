"""A worker is killed with -9 while 1,000 steps of 50 ms are done: Hocket and its peers.

    python bench/faults.py [--only NAME] [--seeds 1] [--steps 1000] [--json FILE]

Every engine has three workers of four slots; which one dies, and when, follows from the seed.
``bench/node_faults.py`` has Hocket's other faults: owners, Ray's head, machines that are cut off.
Each step says in a file when it begins and when it ends, so that what is counted is what was done,
not what the engine believes.
Needs PostgreSQL; rows with Ray need root, for its nodes are network namespaces.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import measure  # noqa: E402
from peers.contender import Contender, Place  # noqa: E402
from tests.cluster.judge import Fault, judge  # noqa: E402
from tests.cluster.processes import Process, megabytes, wait_for  # noqa: E402
from tests.cluster.steps import TAKES, read  # noqa: E402
from tests.postgres import Server  # noqa: E402

CONTENDERS = {
    "lease": ("lease_queue", "LeaseQueue"),
    "dask": ("dask_workers", "DaskWorkers"),
    "dbos": ("dbos_executors", "DbosExecutors"),
    "plain": ("hocket_plain", "HocketPlain"),
    "hocket-ray": ("hocket_ray", "HocketRay"),
    "ray": ("ray_tasks", "RayTasks"),
}
IDLE = 10.0
"""After how many seconds without a step an engine counts as stuck."""
LIMIT = 60.0
PACKAGES = ("hocket", "ray", "distributed", "dbos", "asyncpg")


def one(name: str, place: Place, seed: int) -> dict[str, Any]:
    """Let one engine go through one fault."""
    module, kind = CONTENDERS[name]
    contender: Contender = getattr(import_module(f"peers.{module}"), kind)(place)
    driver: Process | None = None
    draw = random.Random(seed)
    victim, share = draw.randrange(place.workers), draw.uniform(0.4, 0.6)
    try:
        contender.ready()
        driver = contender.drive()
        _done(place, driver, round(place.steps * share))
        memory = megabytes([*contender.pids, driver.pid])
        killed = contender.workers[victim].kill()
        # Whatever they said, they said before.
        fault = Fault(time.monotonic_ns(), frozenset(killed))
        waited = _finish(contender, driver, victim)
        # Ray says something of its own, now and then.
        [word] = [json.loads(line) for line in driver.said.splitlines() if line.startswith("{")]
    except AssertionError as error:
        said = [each.said[-1000:] for each in (*contender.workers, *([driver] if driver else []))]
        raise RuntimeError("\n".join([f"{contender.name}: {error}", *said])) from error
    finally:
        contender.stop()
        if driver is not None:
            driver.kill()
    return _row(contender, place, fault, word, waited, memory)


def _row(
    contender: Contender, place: Place, fault: Fault, word: Any, waited: float, memory: float
) -> dict[str, Any]:
    said = read(place.log)
    verdict = judge(said, range(place.steps), fault)
    recorded = Counter(word["finished"])
    return {
        "name": contender.name,
        "lost": len(set(verdict.lost) | set(range(place.steps)) - recorded.keys()),
        "in_flight": len(verdict.in_flight),
        "again": len(verdict.again),
        "needless": len(verdict.needless),
        "ended_twice": len(verdict.ended_twice),
        "recorded_twice": sum(times > 1 for times in recorded.values()),
        "recovery": verdict.recovery,
        "after": (word["over"] - fault.at) / 1e9,
        "total": (word["over"] - said[0].at) / 1e9,
        "helped_after": waited,
        "memory": memory,
    }


def _done(place: Place, driver: Process, count: int) -> None:
    """Wait until so many steps have ended."""

    def check() -> bool:
        assert driver.code is None, f"the driver ended: {driver.said}"
        return sum(each.ends for each in read(place.log)) >= count

    wait_for(f"{count} steps end", check, LIMIT)


def _finish(contender: Contender, driver: Process, victim: int) -> float:
    """Wait for the end; gives after how many idle seconds the engine had to be helped, or 0."""
    began, helped = time.monotonic(), 0.0
    while driver.code is None:
        assert time.monotonic() - began < LIMIT, f"not done: {driver.said[-500:]}"
        said = read(contender.place.log)
        idle = time.monotonic() - said[-1].at / 1e9
        if idle > IDLE and not helped and contender.stuck(victim):
            helped = idle
        time.sleep(0.05)
    assert driver.code == 0, driver.said
    return helped


def table(rows: list[list[dict[str, Any]]], place: Place) -> str:
    """Set the table: of several seeds, the worst count and the median time."""
    head = ["engine", "seeds", "lost", "in flight on the dead", "begun again", "of these needless"]
    head += ["ended twice", "recorded twice", "helped", "first again s", "end, s after", "all s"]
    head += ["MB"]
    cells = []
    for found in rows:

        def worst(key: str, found: list[dict[str, Any]] = found) -> str:
            return str(max(row[key] for row in found))

        def middle(key: str, digits: int, found: list[dict[str, Any]] = found) -> str:
            values = [row[key] for row in found if row[key] is not None]
            return f"{statistics.median(values):.{digits}f}" if values else "–"

        counts = [worst(key) for key in ("lost", "in_flight", "again", "needless")]
        counts += [worst("ended_twice"), worst("recorded_twice")]
        helped = sum(row["helped_after"] > 0 for row in found)
        counts.append(f"{helped} of {len(found)}" if helped else "no")
        times = [middle("recovery", 2), middle("after", 2), middle("total", 2)]
        cells.append([found[0]["name"], str(len(found)), *counts, *times, middle("memory", 0)])
    ideal = place.steps * TAKES / (place.workers * place.slots)
    return (
        f"{measure.table(head, cells, 1)}\n\n"
        f"{place.steps} steps of {TAKES * 1000:.0f} ms, {place.workers} workers of {place.slots} "
        f"slots: {ideal:.2f} s at best, and {ideal * 1.25:.2f} s if one is gone half-way.\n"
        "Counts are the worst of all seeds, times and memory their medians."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    server = Server().start()
    rows: dict[str, list[dict[str, Any]]] = {}
    print("\n".join(measure.machine(PACKAGES)), measure.mood(measure.STATE), sep="\n")
    failed = False
    place = Place(Path(), given.steps, given.workers, given.slots, server)
    for seed in range(given.first, given.first + (1 if given.quick else given.seeds)):
        for name in given.only or CONTENDERS:
            with tempfile.TemporaryDirectory(prefix="hk") as folder:
                try:
                    row = one(name, place._replace(folder=Path(folder)), seed)
                except Exception:
                    failed = True
                    traceback.print_exc()
                    continue
            rows.setdefault(name, []).append(row)
            print(f"seed {seed}: {json.dumps(row)}", flush=True)
    server.remove()
    print("", table([*rows.values()], place), measure.mood(measure.STATE), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    if failed:
        raise SystemExit("not every engine came to its end")


if __name__ == "__main__":
    main()
