"""The terms of a forecast: which limits there are, what calls claim, and how long they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from hocket.core.specs import LimitSpec
from hocket.forecast.durations import Durations
from hocket.forecast.project import Pool
from hocket.limits.claim import Claim, Entry
from hocket.limits.window import MARGIN

Claimant: TypeAlias = Callable[[str, tuple[tuple[str, int], ...]], Claim]
"""Gives what a call of an agent claims, given the units that its step uses."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecast goes by.

    Fields:
        limits: All limits that calls may claim by name, the run's own slots included.
        claim: What a call claims.
        durations: What is known of how long calls take.
        items: How many items the ``each`` of a step has, by its path, where that is stated.
        held: What the limits hold at the beginning, but for the run's own calls in flight.
    """

    limits: Mapping[str, LimitSpec]
    claim: Claimant
    durations: Durations = Durations()
    items: Mapping[str, int] = {}
    held: Sequence[Entry] = ()


class Pools:
    """The pools that limits come to.

    A budget is no pool: what it holds does not come back.

    Args:
        limits: The limits by name.
    """

    def __init__(self, limits: Mapping[str, LimitSpec]) -> None:
        self.pools: list[Pool] = []
        self._of: dict[str, list[tuple[int, str]]] = {}
        self._known: dict[Claim, tuple[tuple[int, int], ...]] = {}
        for name, spec in limits.items():
            for kind, pool in _pools(name, spec):
                self._of.setdefault(name, []).append((len(self.pools), kind))
                self.pools.append(pool)

    def claim(self, claim: Claim) -> tuple[tuple[int, int], ...]:
        """Give what a call takes of the pools."""
        known = self._known.get(claim)
        if known is None:
            taken = [
                (index, amount)
                for name, units in claim.units
                for index, kind in self._of.get(name, ())
                if (amount := _amount(kind, units, claim))
            ]
            known = self._known[claim] = tuple(taken)
        return known

    def held(self, entries: Sequence[Entry], at: int, unknown: int) -> list[tuple[int, int, int]]:
        """Give what comes back when, of which pool; calls of others are taken to end at a time."""
        found: list[tuple[int, int, int]] = []
        for entry in entries:
            for index, kind in self._of.get(entry.limit, ()):
                amount, hold = _amount(kind, entry.units, entry.claim), self.pools[index].hold
                if hold is None:
                    if not entry.over:
                        found.append((unknown, index, amount))
                else:
                    sent = at if entry.sent is None else entry.sent
                    if amount and sent + hold > at:
                        found.append((sent + hold - at, index, amount))
        return found


def _pools(name: str, spec: LimitSpec) -> list[tuple[str, Pool]]:
    found: list[tuple[str, Pool]] = []
    margin = MARGIN if spec.margin is None else spec.margin
    if spec.concurrency is not None:
        found.append(("units", Pool(name, spec.concurrency)))
    if spec.spacing:
        found.append(("requests", Pool(name, 1, spec.spacing + margin)))
    found += [("requests", Pool(name, r.amount, r.per + margin)) for r in spec.requests if r.per]
    if spec.on_exceed == "wait":
        weighed = (
            ("tokens", spec.tokens),
            ("tokens_in", spec.tokens_in),
            ("tokens_out", spec.tokens_out),
            ("cost", spec.cost),
        )
        for kind, rates in weighed:
            found += [(kind, Pool(name, r.amount, r.per + margin)) for r in rates if r.per]
    return found


def _amount(kind: str, units: int, claim: Claim) -> int:
    match kind:
        case "units":
            return units
        case "requests":
            return 1
        case "tokens":
            return claim.tokens_in + claim.tokens_out
        case "tokens_in":
            return claim.tokens_in
        case "tokens_out":
            return claim.tokens_out
        case _:
            return claim.most_cost
