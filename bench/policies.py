"""All policies of a consensus under virtual time: calls and seconds to the decision.

Seven agents, five fast and two slow ones, who agree which answer is best; the machines and the
queue are the engine's own, so the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import measure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.simulator.policies import (  # noqa: E402
    LATENCIES,
    POLICIES,
    RULES,
    Sample,
    better,
    consensus,
    of,
    samples,
    spread,
)

HEAD = ["policy", "calls", "95 %", "wasted", "cancelled", "seconds", "95 %", "better than once"]


def row(policy: str, many: list[Sample], once: list[Sample]) -> list[str]:
    calls, seconds = spread(of(many, "calls")), spread(of(many, "seconds"))
    return [
        policy,
        f"{calls.median:g}",
        f"{calls.low:g} to {calls.high:g}",
        f"{spread(of(many, 'wasted')).median:g}",
        f"{spread(of(many, 'cancelled')).median:g}",
        f"{seconds.median:.1f}",
        f"{seconds.low:.1f} to {seconds.high:.1f}",
        ", ".join(better(many, once)) or "no",
    ]


def table(rule: str, latency: str, limited: bool, seeds: int) -> tuple[list[list[str]], Any]:
    """Play all policies under one decision rule, with the same chance for all."""
    taken = {
        policy: samples(consensus(policy, rule), latency, limited, seeds) for policy in POLICIES
    }
    rows = [row(policy, many, taken["once"]) for policy, many in taken.items()]
    return rows, {policy: [one._asdict() for one in many] for policy, many in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a dozen seeds")
    parser.add_argument("--seeds", type=int, help="how many (60)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    seeds = given.seeds or (12 if given.quick else 60)
    begin = time.perf_counter()
    whole: dict[str, Any] = {}
    failed = []
    for rule in RULES:
        for latency in LATENCIES:
            for limited in (False, True):
                limits = "9/min + 2/min" if limited else "no limits"
                name = f"{rule}; latencies {latency}; {limits}"
                rows, whole[name] = table(rule, latency, limited, seeds)
                failed += [f"{name}: {one[0]}" for one in rows if one[-1] != "no"]
                print(f"{name}\n\n{measure.table(HEAD, rows, 1)}\n", flush=True)
    took = time.perf_counter() - begin
    print(
        f"Medians over {seeds} seeds, and where 95 % of them lie; {took:.1f} s. Wasted: stale or "
        "discarded;\nof members with tools the calls of these as well, which the first column has "
        "not.\nBetter than once: the median is below all of the interval of `once`."
    )
    if given.json:
        given.json.write_text(json.dumps(whole, indent=1) + "\n")
    if failed:
        raise SystemExit("better than once: " + "; ".join(failed))


if __name__ == "__main__":
    main()
