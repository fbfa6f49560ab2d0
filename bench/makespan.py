"""How soon runs end whose order Hocket looks ahead for, beside bounds and proven optima.

Reads any folder with PSPLIB projects (``*.sm``, with ``optimum.csv`` beside them) and workflows
(``*.json`` with ``tasks`` of ``id``, ``seconds`` and ``needs``).
Every end that is printed is that of the real machines under virtual time.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hocket.core.events import RunStarted
from hocket.core.run import RunMachine
from hocket.core.specs import (
    AgentSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    RunSpec,
    StepSpec,
    spec_digest,
)
from hocket.core.values import DAY, MINUTE, SECOND
from hocket.engine.claims import Claims
from hocket.forecast.ahead import look_ahead
from hocket.forecast.outline import outline
from hocket.forecast.paths import ranks
from hocket.forecast.search import BUDGET, search
from hocket.forecast.terms import Terms
from hocket.workflows.plan import PlanMachine, make_plan

DATA = Path(__file__).parents[2] / "shared" / "data"
SLOTS = (2, 4, 8, 16, 32, 64)
RATES = {"": (), "9/min": (Rate(9, MINUTE),), "30/min": (Rate(30, MINUTE),)}
WORKER = AgentSpec(kind="function")


class Case(NamedTuple):
    """A file and how it is run."""

    path: Path
    slots: int
    rate: str


class Row(NamedTuple):
    """What came of a case; ends in nanoseconds."""

    case: Case
    tasks: int
    bound: int
    first: int
    ahead: int
    best: int
    tried: int
    seconds: float


# ---- reading ----


def project(path: Path) -> RunSpec:
    """Read a PSPLIB project: a resource is a concurrency limit, a unit of time a second."""
    lines = path.read_text().splitlines()

    def table(title: str, skip: int) -> Iterator[list[int]]:
        begin = next(k for k, line in enumerate(lines) if line.startswith(title)) + skip
        for line in lines[begin:]:
            if line.startswith("*") or not line.strip():
                return
            yield [int(word) for word in line.split()]

    after = {row[0]: row[3:] for row in table("PRECEDENCE", 2)}
    takes = {row[0]: (row[2], row[3:]) for row in table("REQUESTS", 3)}
    sizes = next(table("RESOURCEAVAIL", 2))
    real = {job for job, (length, units) in takes.items() if length or any(units)}
    needs: dict[int, list[str]] = {job: [] for job in real}
    for job in real:
        for other in after[job]:
            if other in real:
                needs[other].append(f"job{job}")
    steps = tuple(
        StepSpec(
            name=f"job{job}",
            agent="worker",
            needs=tuple(needs[job]),
            takes=takes[job][0] * SECOND,
            uses={f"R{k}": units for k, units in enumerate(takes[job][1], 1) if units},
        )
        for job in takes
        if job in real
    )
    limits = {f"R{k}": LimitSpec(concurrency=size) for k, size in enumerate(sizes, 1)}
    workflow = PlanSpec(name=path.stem, steps=steps)
    agents = {"worker": WORKER}
    return RunSpec(workflow=workflow, agents=agents, limits=limits, max_parallel=len(steps))


def workflow(case: Case) -> RunSpec:
    """Read a recorded workflow, to be run with so many slots under a rate."""
    tasks = json.loads(case.path.read_text())["tasks"]
    names = {task["id"]: f"t{k}" for k, task in enumerate(tasks)}
    steps = tuple(
        StepSpec(
            name=names[task["id"]],
            agent="worker",
            needs=tuple(names[need] for need in task["needs"]),
            takes=round(task["seconds"] * SECOND),
            timeout=DAY,
        )
        for task in tasks
    )
    limits = {}
    if case.rate:
        limits["api"] = LimitSpec(requests=RATES[case.rate], margin=0)
    return RunSpec(
        workflow=PlanSpec(name=case.path.stem, steps=steps, timeout=365 * DAY),
        agents={"worker": WORKER},
        limits=limits,
        claims=tuple(limits),
        max_parallel=case.slots,
    )


# ---- measuring ----


def measure(case: Case, budget: int, orders: int) -> Row:
    """Run a case by longest path first, with look-ahead, and by the best of many orders."""
    spec = project(case.path) if case.path.suffix == ".sm" else workflow(case)
    machine = RunMachine({"plan": make_plan})
    started = RunStarted(
        at=0,
        run="bench",
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=0,
        versions={"plan": 1},
        program="bench",
    )
    machine.apply(started)
    claims = Claims("bench", spec, lambda name, agent: None)
    terms = Terms(limits=claims.limits, claim=claims.of)
    plan = machine.workflow
    assert isinstance(plan, PlanMachine)
    first = ranks(plan.shape, lambda path, step, agent: step.takes or 0)
    begun = time.perf_counter()
    ahead = look_ahead(machine, {}, 0, terms, first, budget=budget)
    seconds = time.perf_counter() - begun
    assert ahead.now is not None and ahead.end is not None
    best = ahead.end
    if orders:
        model = outline(machine, {}, 0, terms).project
        more = search(model, budget=2 * model.calls * orders, seed=1)
        best = min(best, more.orders[0].end)
    tasks = len(spec.workflow.steps)
    return Row(case, tasks, ahead.bound, ahead.now, ahead.end, best, ahead.tried, seconds)


def measure_all(cases: list[Case], budget: int, orders: int) -> list[Row]:
    """Measure on all cores."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        jobs = [pool.apply_async(measure, (case, budget, orders)) for case in cases]
        return [job.get() for job in jobs]


# ---- printing ----


def print_workflows(rows: list[Row], orders: int) -> None:
    """Print the table of recorded workflows."""
    print(f"\n### Recorded workflows; the best of {orders:,} orders\n")
    print(
        "| Workflow | Tasks | Slots | Rate | Bound, s | Longest path first ÷ bound "
        "| Look-ahead ÷ bound | Best ÷ bound | Look-ahead ÷ best | Orders tried | Seconds |"
    )
    print("|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print(
            f"| {row.case.path.stem} | {row.tasks} | {row.case.slots} | {row.case.rate or '–'} "
            f"| {row.bound / SECOND:.1f} | {row.first / row.bound:.4f} "
            f"| {row.ahead / row.bound:.4f} | {row.best / row.bound:.4f} "
            f"| {row.ahead / row.best:.4f} | {row.tried} | {row.seconds:.2f} |"
        )
    for title, some in (
        ("slots alone", [row for row in rows if not row.case.rate]),
        ("with a rate", [row for row in rows if row.case.rate]),
    ):
        if some:
            first = sum(row.first / row.bound for row in some) / len(some)
            ahead = sum(row.ahead / row.bound for row in some) / len(some)
            worst = max(row.ahead / row.best for row in some)
            print(
                f"\n{title}: longest path first {first:.4f} × the bound, look-ahead {ahead:.4f} ×; "
                f"the worst row is {worst:.4f} × its best"
            )


def print_projects(folder: Path, rows: list[Row]) -> None:
    """Print how far projects end above their proven optima, or above their bounds."""
    proven = optima(folder)
    rows = [row for row in rows if row.case.path.name in proven] if proven else rows
    best = {row: proven[row.case.path.name] * SECOND if proven else row.bound for row in rows}
    what = "the proven optimum" if proven else "the bound (no optimum.csv)"
    print(f"\n### {len(rows)} projects in {folder.name}: % above {what}\n")
    print("| | Mean | Worst | At it |")
    print("|---|--:|--:|--:|")
    for title, ends in (
        ("longest path first", {row: row.first for row in rows}),
        ("look-ahead", {row: row.ahead for row in rows}),
    ):
        over = [100 * (ends[row] / best[row] - 1) for row in rows]
        hit = sum(value < 1e-9 for value in over)
        print(f"| {title} | {sum(over) / len(over):.2f} | {max(over):.1f} | {hit} |")
    spent = sorted(row.seconds for row in rows)
    print(
        f"\nlook-ahead took {sum(spent) / len(spent):.2f} s on average, {spent[-1]:.2f} s at most, "
        f"and tried {sum(row.tried for row in rows) / len(rows):.0f} orders"
    )


def optima(folder: Path) -> dict[str, int]:
    """Read the proven optima of a folder's projects, if there are any."""
    path = folder / "optimum.csv"
    if not path.exists():
        return {}
    with path.open() as lines:
        return {row["problem"]: int(row["optimum"]) for row in csv.DictReader(lines)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", default=[DATA])
    parser.add_argument("--budget", type=int, default=BUDGET, help="simulated events (100,000)")
    parser.add_argument("--orders", type=int, default=2_000, help="orders searched for the best")
    parser.add_argument("--quick", action="store_true", help="a tenth of the projects, few rows")
    chosen = parser.parse_args()
    found = 0
    for top in chosen.folders:
        folders = [top, *sorted(path for path in top.glob("**/") if path != top)]
        for folder in folders:
            found += show(folder, chosen.budget, chosen.orders, chosen.quick)
    if not found:
        print(
            "skipped: no *.sm project and no *.json workflow in "
            + ", ".join(map(str, chosen.folders))
            + "; name a folder that has some"
        )
    return 0


def show(folder: Path, budget: int, orders: int, quick: bool) -> int:
    """Measure and print one folder; gives how many files it has."""
    workflows = [path for path in sorted(folder.glob("*.json")) if is_workflow(path)]
    if workflows:
        slots = (4, 16) if quick else SLOTS
        rates = [rate for rate in RATES if not quick or rate in ("", "9/min")]
        cases = [Case(path, n, rate) for rate in rates for path in workflows for n in slots]
        orders = orders // 10 if quick else orders
        print_workflows(measure_all(cases, budget, orders), orders)
    projects = sorted(folder.glob("*.sm"))
    if projects:
        cases = [Case(path, 0, "") for path in projects[:: 10 if quick else 1]]
        print_projects(folder, measure_all(cases, budget, 0))
    return len(workflows) + len(projects)


def is_workflow(path: Path) -> bool:
    """Tell whether a file is a recorded workflow."""
    try:
        tasks = json.loads(path.read_text())["tasks"]
        return all("seconds" in task and "needs" in task for task in tasks)
    except (ValueError, KeyError, TypeError):
        return False


if __name__ == "__main__":
    sys.exit(main())
