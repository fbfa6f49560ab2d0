"""What a review costs, and how often it is wrong: reviewers in sequence against a fixed swarm.

Simulated reviewers, of whom it is known how often they err. The sequential review is the machine
that runs use; the fixed swarm makes three calls of each of its six reviewers, whatever the others
say, as the second seed's program does, and decides by the same rule.
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
from tests.simulator.verdicts import (  # noqa: E402
    ACCURACIES,
    BETTER,
    CONFIDENCES,
    PHASES,
    REVIEWERS,
    THRESHOLD,
    USUAL,
    Errors,
    Went,
    margin,
    sequential,
    three_phases,
)

LEAST = 3.5
MORE = 12
ERRORS: tuple[Errors, ...] = ("independent", "correlated")
HEAD = [
    *("errors", "accuracy", "calls", "ratio", "wrongly approved · rejected"),
    *[f"fixed swarm, +{100 * better:g}" for better in BETTER],
]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def wrong(went: Went) -> str:
    return f"{percent(went.passed)} · {percent(went.held)}"


def main_table(count: int, seed: int) -> tuple[list[list[str]], dict[str, Any], list[str]]:
    """Compare both for all accuracies; give the rows, all figures, and what misses the target."""
    rows, figures, missed = [], {}, []
    for errors in ERRORS:
        for accuracy in ACCURACIES:
            ours = sequential(accuracy, errors, count=count, seed=seed)
            # Nobody is right more often than always.
            theirs = [
                three_phases(min(accuracy + better, 1.0), errors, count=count, seed=seed)
                for better in BETTER
            ]
            name, ratio = f"{errors}, {accuracy:g}", theirs[0].calls / ours.calls
            figures[name] = {
                "sequential": ours._asdict(),
                "fixed": {f"{b:g}": went._asdict() for b, went in zip(BETTER, theirs, strict=True)},
            }
            if ratio < LEAST:
                missed.append(f"{name}: {ratio:.2f}")
            cells = [errors, f"{accuracy:.2f}", f"{ours.calls:.2f}", f"{ratio:.2f}", wrong(ours)]
            rows.append(cells + [wrong(went) for went in theirs])
    return rows, figures, missed


def other_table(
    count: int, seed: int, errors: Errors, **fields: Any
) -> tuple[list[str], dict[str, Any]]:
    """Give a row of calls and errors for all accuracies."""
    many = [sequential(a, errors, count=count, seed=seed, **fields) for a in ACCURACIES]
    cells = [f"{went.calls:.2f} · {wrong(went)}" for went in many]
    figures = {f"{a:g}": w._asdict() for a, w in zip(ACCURACIES, many, strict=True)}
    return [errors, *cells], figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 verdicts a row")
    parser.add_argument("--count", type=int, help="verdicts a row (10,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    count = given.count or (1_000 if given.quick else 10_000)
    begin = time.perf_counter()
    rows, figures, missed = main_table(count, given.seed)
    whole: dict[str, Any] = {"verdicts": count, "table": figures}
    calls = PHASES * REVIEWERS
    print(
        f"{REVIEWERS} reviewers, threshold {THRESHOLD:g}, simulated. The fixed swarm makes {calls} "
        "calls, and its reviewers\nare better by so many points once they have corrected "
        "themselves; the errors are its, in the same order.\n"
    )
    print(f"{measure.table(HEAD, rows, 1)}\n")
    head = ["errors", *[f"accuracy {accuracy:.2f}" for accuracy in ACCURACIES]]
    sides = [(f"confidence {sure}", {"sure": sure}) for sure in CONFIDENCES if sure != USUAL]
    for name, fields in [*sides, (f"{MORE} reviewers", {"reviewers": MORE})]:
        found = [other_table(count, given.seed, errors, **fields) for errors in ERRORS]
        whole[name] = dict(zip(ERRORS, [figures for _, figures in found], strict=True))
        print(f"{name}: calls · wrongly approved · wrongly rejected\n")
        print(f"{measure.table(head, [row for row, _ in found], 1)}\n", flush=True)
    print(
        f"{count:,} simulated verdicts a row, half of them on good artefacts; shares are exact to "
        f"{100 * margin(0.5, count):.1f}\npoints or better, 19 times of 20; "
        f"{time.perf_counter() - begin:.0f} s. Confidences are {USUAL} in the first table."
    )
    if given.json is not None:
        given.json.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    if missed:
        sys.exit(f"less than {LEAST:g} times fewer calls: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
