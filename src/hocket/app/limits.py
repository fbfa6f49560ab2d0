"""What the limits that runs of a state folder share are, and how much of them is used."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hocket.core.events import RunStarted, SpecReplaced
from hocket.core.specs import LimitSpec, RunSpec
from hocket.journal.base import RunRow, Store
from hocket.limits.claim import run_of
from hocket.limits.limit import Limit
from hocket.limits.pace import LimitState

RUNS = 100
"""So many of the newest runs are asked for the bounds of their limits."""

_decode = msgspec.json.Decoder(LimitState).decode


class SharedLimit(msgspec.Struct, frozen=True):
    """A limit that runs of a state folder share.

    Fields:
        limit: The limit as it is now.
        flying: How many calls in flight each run has on it.
        runs: The runs under way that claim it.
    """

    limit: Limit
    flying: dict[str, int]
    runs: tuple[str, ...]


async def shared_limits(store: Store, now: int) -> list[SharedLimit]:
    """Give the limits that the newest runs share, by name, with what is used of them.

    Where runs state different bounds under one name, those of the newest count here.

    Raises:
        JournalError: The journal cannot be read.
    """
    known, runs = _known(store)
    ledger = store.ledger(lambda: None)
    try:
        told = await ledger.sync(list(known), now)
    finally:
        ledger.close()
    limits = {name: Limit(name, spec) for name, spec in known.items()}
    flying: dict[str, dict[str, int]] = {name: {} for name in known}
    for entry in told.entries:
        limits[entry.limit].sync(entry)
        if not entry.over:
            run = run_of(entry.key)
            flying[entry.limit][run] = flying[entry.limit].get(run, 0) + 1
    for name, state in told.states.items():
        limits[name].adopt(_decode(state))
    return [
        SharedLimit(limits[name], flying[name], tuple(runs.get(name, ())))
        for name in sorted(limits)
    ]


def _known(store: Store) -> tuple[dict[str, LimitSpec], dict[str, list[str]]]:
    """Give the shared limits of runs, and the runs under way that claim each."""
    known: dict[str, LimitSpec] = {}
    runs: dict[str, list[str]] = {}
    rows = sorted(store.runs(), key=lambda row: row.created, reverse=True)
    # Whoever claims a limit now knows its bounds best.
    for row in [*(r for r in rows if _runs(r)), *(r for r in rows[:RUNS] if not _runs(r))]:
        spec = _spec(store, row)
        for name, limit in () if spec is None else spec.limits.items():
            if limit.shared:
                known.setdefault(name, limit)
                if _runs(row):
                    runs.setdefault(name, []).append(row.id)
    return known, runs


def _runs(row: RunRow) -> bool:
    return row.alive and row.status == "running"


def _spec(store: Store, row: RunRow) -> RunSpec | None:
    found: RunSpec | None = None
    for recorded in store.read(row.id):
        if isinstance(recorded.event, RunStarted | SpecReplaced):
            found = recorded.event.spec
        if not _runs(row):
            # A spec that was replaced since is worth no look through a long journal.
            break
    return found


def claimants(spec: RunSpec) -> dict[str, list[str]]:
    """Say for each limit of a run who claims it: ``agent NAME``, ``step NAME``, ``every call``."""
    found: dict[str, list[str]] = {name: [] for name in spec.limits}
    for name in spec.claims:
        found[name].append("every call")
    for agent, about in spec.agents.items():
        for name in about.limits:
            found[name].append(f"agent {agent}")
    for step, uses in _uses(spec):
        for name, units in uses.items():
            found[name].append(f"step {step} ({units:,})")
    return found


def _uses(spec: RunSpec) -> Iterable[tuple[str, dict[str, int]]]:
    plans = [("", spec.workflow)]
    while plans:
        before, plan = plans.pop()
        for step in plan.steps:
            if step.plan is not None:
                plans.append((f"{before}{step.name}/", step.plan))
            elif step.uses:
                yield f"{before}{step.name}", step.uses
