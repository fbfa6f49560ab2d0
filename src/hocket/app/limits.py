"""What the limits that runs of a state folder share are, and how much of them is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from hocket.core.events import RunStarted, SpecReplaced
from hocket.core.specs import LimitSpec, RunSpec
from hocket.core.values import SECOND
from hocket.journal.base import RunRow, Store, Wanted
from hocket.limits.claim import run_of
from hocket.limits.limit import Limit
from hocket.limits.pace import LimitState

RUNS = 100
"""So many of the newest runs are asked for the bounds of their limits."""

_REMEMBERED = 1_000
"""So many runs' limits are remembered."""

_decode = msgspec.json.Decoder(LimitState).decode


class KnownSpecs:
    """Remembers the specs of runs, which are as large as their plans.

    Args:
        driven: Gives the spec of a run that is driven here, which may have been replaced.
    """

    def __init__(self, driven: Callable[[str], RunSpec | None]) -> None:
        self._driven = driven
        self._limits: dict[str, Mapping[str, LimitSpec]] = {}

    def limits_of(self, store: Store, row: RunRow) -> Mapping[str, LimitSpec]:
        """Give the limits of a run."""
        spec = self._driven(row.id)
        if spec is not None:
            return spec.limits
        known = self._limits.get(row.id)
        if known is None:
            if len(self._limits) > _REMEMBERED:
                self._limits.clear()
            spec = _spec(store, row)
            known = self._limits[row.id] = {} if spec is None else spec.limits
        return known


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


async def shared_limits(
    store: Store, now: int, specs: KnownSpecs | None = None
) -> list[SharedLimit]:
    """Give the limits that the newest runs share, by name, with what is used of them.

    Where runs state different bounds under one name, those of the newest count here.

    Args:
        store: The journal.
        now: The present.
        specs: What is known of earlier times.

    Raises:
        JournalError: The journal cannot be read.
    """
    # It may have to read through a long run.
    specs = specs or KnownSpecs(lambda _: None)
    known, runs = await asyncio.to_thread(_known, store, specs)
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


def limit_document(one: SharedLimit, now: int) -> dict[str, Any]:
    """Give a limit for programs, durations in seconds."""
    state = one.limit.state()
    return {
        "name": one.limit.name,
        "bounds": [
            {
                "kind": use.kind,
                "amount": use.amount,
                "seconds": use.per / SECOND,
                "used": use.used,
                "allowed": use.allowed,
                "free_in": None if use.free is None else max(0, use.free - now) / SECOND,
            }
            for use in one.limit.used(now)
        ],
        "closed_for": max(0, state.closed - now) / SECOND,
        "down": bool(state.breaker.until),
        "down_for": max(0, state.breaker.until - now) / SECOND,
        "in_flight": one.flying,
        "runs": list(one.runs),
    }


def _known(store: Store, specs: KnownSpecs) -> tuple[dict[str, LimitSpec], dict[str, list[str]]]:
    """Give the shared limits of runs, and the runs under way that claim each."""
    known: dict[str, LimitSpec] = {}
    runs: dict[str, list[str]] = {}
    under_way = [row for row in store.runs(Wanted(status=("running",))) if _runs(row)]
    others = [row for row in store.runs(Wanted(most=RUNS)) if not _runs(row)]
    # Whoever claims a limit now knows its bounds best.
    for row in [*under_way, *others]:
        for name, limit in specs.limits_of(store, row).items():
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
