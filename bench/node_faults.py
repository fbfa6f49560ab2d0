"""Machines that are killed or cut off under Hocket, many times with different seeds.

    python bench/node_faults.py [--only NAME] [--seeds 20] [--json FILE]

Machines are network namespaces with host names of their own, so that nobody can see another one's
process die: a lease of three seconds tells.
Needs root and PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import measure  # noqa: E402
from tests.cluster import faults, ray_faults  # noqa: E402
from tests.cluster.faults import LEASE, Outcome  # noqa: E402

CUT = 10.0
END = ExitStack()
"""Ends what all faults have shared."""
PACKAGES = ("hocket", "ray", "asyncpg")


class Kind(NamedTuple):
    """A kind of fault.

    Fields:
        name: For the table.
        strike: Lets it happen, by a seed.
    """

    name: str
    strike: Callable[[int], Outcome]


def on_ray(strike: Callable[..., Outcome], **options: float) -> Callable[[int], Outcome]:
    """Let it happen in a cluster, which is mended before the next one."""

    def struck(seed: int) -> Outcome:
        made = _cluster()
        made.start()
        made.scene.begin()
        try:
            return strike(made, seed, **options)
        finally:
            made.scene.close()

    return struck


@cache
def _cluster() -> ray_faults.Cluster:
    return END.enter_context(ray_faults.cluster())


KINDS = {
    "supervisor": Kind("plain supervisor killed, one of 3", faults.supervisor_killed),
    "node": Kind("node killed, one of 3 (Ray)", on_ray(ray_faults.node_killed)),
    "owner": Kind(
        "owner's node killed, another supervisor goes on (Ray)", on_ray(ray_faults.owner_killed)
    ),
    "run": Kind("hocket run killed, then hocket resume (Ray)", on_ray(ray_faults.run_killed)),
    "head": Kind("Ray's head killed, started again with its nodes", on_ray(ray_faults.head_killed)),
    "cut-node": Kind(
        f"node cut off for {CUT:.0f} s (Ray)", on_ray(ray_faults.node_cut_off, seconds=CUT)
    ),
    "cut-owner": Kind(
        f"plain supervisor cut off for {CUT:.0f} s",
        partial(faults.supervisor_cut_off, seconds=CUT),
    ),
}


def row(outcome: Outcome) -> dict[str, Any]:
    """Give what is kept of an outcome."""
    verdict = outcome.verdict
    return {
        "succeeded": outcome.statuses == {"succeeded"},
        "steps": sum(len(run) for run in outcome.runs),
        "lost": len(outcome.lost),
        "in_flight": len(verdict.in_flight),
        "again": len(verdict.again),
        "needless": len(verdict.needless),
        "ended_twice": len(verdict.ended_twice),
        "recorded_twice": len(outcome.twice),
        "recovery": verdict.recovery,
        "after": outcome.after,
        "total": outcome.total,
    }


def line(kind: Kind, rows: list[dict[str, Any]]) -> list[str]:
    """Set the row of one kind: counts are the worst of all seeds, times their median and worst."""

    def times(key: str) -> str:
        values = [each[key] for each in rows if each[key] is not None]
        return f"{statistics.median(values):.2f} / {max(values):.2f}" if values else "–"

    keys = ("lost", "recorded_twice", "in_flight", "again", "needless", "ended_twice")
    counts = [str(max(each[key] for each in rows)) for key in keys]
    ended = f"{sum(each['succeeded'] for each in rows)} of {len(rows)}"
    return [kind.name, ended, *counts, times("recovery"), times("after")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(KINDS), action="append")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print("\n".join(measure.machine(PACKAGES)), measure.mood(measure.STATE), sep="\n")
    found: dict[str, list[dict[str, Any]]] = {}
    failed = False
    for name in given.only or KINDS:
        for seed in range(given.first, given.first + (2 if given.quick else given.seeds)):
            try:
                one = row(KINDS[name].strike(seed))
            except Exception:
                failed = True
                print(f"{name}, seed {seed}:", file=sys.stderr)
                traceback.print_exc()
                continue
            found.setdefault(name, []).append(one)
            print(f"{name}, seed {seed}: {json.dumps(one)}", flush=True)
            if given.json:
                given.json.write_text(json.dumps(found, indent=1))
    END.close()
    head = ["fault", "succeeded", "lost", "recorded twice", "in flight", "begun again"]
    head += ["of these needless", "ended twice", "first again, s", "end, s after"]
    lines = [line(KINDS[name], rows) for name, rows in found.items()]
    print("", measure.table(head, lines, 1), measure.mood(measure.STATE), sep="\n")
    print(f"Counts are the worst of all seeds; times are median / worst. The lease is {LEASE} s.")
    if failed:
        raise SystemExit("not every fault was survived")


if __name__ == "__main__":
    main()
