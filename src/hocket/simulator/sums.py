"""Sums over simulated runs: spreads, differences of pairs, and which variants nobody beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import comb, floor
from typing import Final, Literal, NamedTuple

import msgspec

from hocket.core.values import SECOND
from hocket.simulator.outcome import LITTLE, Row, Spread
from hocket.simulator.parts import Played
from hocket.workflows.plan import fates_of

_DOLLAR: Final = 1e12
_WASTED: Final = frozenset({"stale", "discarded"})
_TAIL: Final = 0.025
_EXACT: Final = 1_000
"""Up to so many pairs the binomial tail is summed; beyond, the normal one is as good."""


class Ran(NamedTuple):
    """What came out of one run.

    Fields:
        took: How long it took, in nanoseconds; of one that never ends, how long it went on.
        status: How it ended; ``paused`` or ``running`` if it never would.
        reason: Why it never would, or did not succeed.
        calls: How many calls left.
        tokens: Tokens read and written, as far as known.
        cost: Pico-dollars, as far as priced; None if no call has a price.
        unpriced: How many calls that read tokens have no price.
        refused: How many calls were refused.
        wasted: How many calls gave something stale or discarded.
        struck: The places of the scenario's mishaps that happened in it.
    """

    took: int
    status: str
    reason: str
    calls: int
    tokens: int
    cost: int | None
    unpriced: int
    refused: int
    wasted: int
    struck: frozenset[int] = frozenset()

    @property
    def ended(self) -> bool:
        """Whether it came to an end."""
        return self.status not in ("paused", "pausing", "running")

    @property
    def succeeded(self) -> bool:
        """Whether it came to a good end."""
        return self.status == "succeeded"


def ran(played: Played, kept: frozenset[str], budget: int) -> Ran:
    """Sum up a run.

    Args:
        played: The run.
        kept: The paths whose answers were kept from earlier calls, and which are no calls.
            If there are any, the run's calls must be there.
        budget: After how many events it was stopped.
    """
    sums = played.sums
    calls = sums.calls - sum(one.call.path in kept for one in played.calls)
    tokens = sums.tokens_in + sums.tokens_out
    priced = sums.cost or (tokens and not sums.unpriced)
    machine = played.machine
    wasted = sum(fate in _WASTED for fate in fates_of(machine.workflow).values())
    reason = machine.pause_reason
    if not reason and machine.end is not None:
        reason = machine.end.reason
    if played.status == "running":
        stopped = sums.events >= budget
        reason = (
            f"there is no end after {budget:,} events" if stopped else "nothing more can happen"
        )
    return Ran(
        took=_went(played),
        status=played.status,
        reason=reason,
        calls=calls,
        tokens=tokens,
        cost=sums.cost if priced else None,
        unpriced=sums.unpriced,
        refused=sums.ends.get("refused", 0),
        wasted=wasted,
    )


def _went(played: Played) -> int:
    """Say how long a run went on: one that people leave alone stands still once they are asked."""
    questions = played.machine.questions.values()
    if played.machine.end is not None or not questions:
        return played.took
    return max(played.sums.last, *(one.at for one in questions)) - played.began


def spread(values: Iterable[float]) -> Spread:
    """Give the median of some numbers and the interval in which 95 % of them lie."""
    ordered = sorted(values)
    return Spread(_quantile(ordered, 0.5), _quantile(ordered, _TAIL), _quantile(ordered, 1 - _TAIL))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = min(floor(place), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def certain(values: Iterable[float]) -> tuple[float, float]:
    """Give an interval that holds the true median with at least 95 %.

    It is the exact one by order statistics, whatever the distribution (H. A. David and
    H. N. Nagaraja, Order Statistics, 3rd ed., section 7.1): the k-th smallest and the k-th greatest
    value, where at most k - 1 of n fair coins show heads with a chance of at most 2.5 %.
    Fewer than six values cannot be as certain; then it is from the least to the greatest.
    """
    ordered = sorted(values)
    count = len(ordered)
    if count > _EXACT:
        below = max(0, floor((count - 1.96 * count**0.5) / 2) - 1)
    else:
        below, total = -1, 0
        while 40 * (total + comb(count, below + 1)) <= 2**count:
            total += comb(count, below + 1)
            below += 1
        below = max(0, below)
    return ordered[below], ordered[count - 1 - below]


def row_of(name: str, settings: tuple[str, ...], runs: Sequence[Ran]) -> Row:
    """Sum the runs of one variant up: the figures are of those that succeeded, if any did."""
    succeeded = [one for one in runs if one.succeeded]
    figures: Literal["succeeded", "failed", "stand still"] = "succeeded"
    if not succeeded:
        still = sum(not one.ended for one in runs)
        figures = "stand still" if 2 * still >= len(runs) else "failed"
    told = succeeded or runs
    costs = [one.cost for one in told if one.cost is not None]
    return Row(
        name=name,
        settings=settings,
        runs=len(runs),
        figures=figures,
        seconds=spread(one.took / SECOND for one in told),
        calls=spread(one.calls for one in told),
        usd=spread((one.cost or 0) / _DOLLAR for one in told) if costs else None,
        unpriced=any(one.unpriced for one in told),
        tokens=spread(one.tokens for one in told),
        refused=spread(one.refused for one in told),
        wasted=spread(one.wasted for one in told),
        success=len(succeeded) / len(runs),
    )


def beside(row: Row, baseline: Sequence[Ran], runs: Sequence[Ran]) -> Row:
    """Add by how much the runs of a variant differ from those of the baseline with equal chance.

    Runs of which one did not succeed are not compared: who gives up early is not quick.
    """
    pairs = [(a, b) for a, b in zip(baseline, runs, strict=True) if a.succeeded and b.succeeded]
    if not pairs or row.why:
        return row
    faster = [(a.took - b.took) / SECOND for a, b in pairs]
    costs = [(a.cost, b.cost) for a, b in pairs]
    saved = [(a - b) / _DOLLAR for a, b in costs if a is not None and b is not None]
    return msgspec.structs.replace(
        row,
        faster=spread(faster),
        cheaper=spread(saved) if saved else None,
        pairs=len(pairs),
        certain=certain(faster),
    )


def with_frontier(rows: Sequence[Row]) -> list[Row]:
    """Mark the variants of which no other is at least as good in time and cost, and better in one.

    Cost is in dollars if every variant has a price, else in tokens, else in calls.
    A variant none of whose runs succeed is none, nor is one that succeeds less often than the first
    row by more than `LITTLE`.
    Under the same mishaps each is compared with the others alone.
    """
    leaders = {row.against for row in rows if row.against}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        group = row.against or (row.name if row.name in leaders else "")
        groups.setdefault(group, []).append(row)
    marked = {id(row) for some in groups.values() for row in _unbeaten(some)}
    return [msgspec.structs.replace(row, frontier=id(row) in marked) for row in rows]


def _unbeaten(rows: Sequence[Row]) -> list[Row]:
    least = rows[0].success - LITTLE
    good = [row for row in rows if not row.why and row.success and row.success >= least]
    price: Callable[[Row], float] = _calls
    if all(row.usd is not None for row in good):
        price = _dollars
    elif any(row.tokens.high for row in good):
        price = _tokens
    points = {id(row): (row.seconds.median, price(row)) for row in good}
    return [row for row in good if not _beaten(row, points)]


def _beaten(row: Row, points: dict[int, tuple[float, float]]) -> bool:
    time, cost = mine = points[id(row)]
    return any(other[0] <= time and other[1] <= cost and other != mine for other in points.values())


def _calls(row: Row) -> float:
    return row.calls.median


def _tokens(row: Row) -> float:
    return row.tokens.median


def _dollars(row: Row) -> float:
    return 0.0 if row.usd is None else row.usd.median
