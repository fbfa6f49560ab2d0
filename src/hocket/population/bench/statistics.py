"""What is said about many timings of one thing, and about how it grows with the number of agents.

Means are trimmed: the same share is left out at both ends, if that is at least one measurement.
Intervals are two-sided, of Student's t distribution, which takes timings for independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit  # type: ignore[import-untyped]

TRIM: Final = 0.05
TRIMMED_FROM: Final = math.ceil(1 / TRIM)
"""Of fewer measurements than that none is left out of the mean."""

CONFIDENCE: Final = 0.95
TAIL_FROM: Final = 100
"""Of fewer measurements than that nobody can say a 99th percentile: it would be the largest."""


class Summary(NamedTuple):
    """Many measurements of one thing, in its own unit.

    Fields:
        mean: The trimmed mean.
        low: Lower end of the mean's interval.
        high: Its upper end.
        p50: The median, of all.
        p99: The 99th percentile, of all; None if there are fewer than `TAIL_FROM`.
        largest: The largest, of all.
        iterations: How many there are.
        kept: How many of them are in the mean.
    """

    mean: float
    low: float
    high: float
    p50: float
    p99: float | None
    largest: float
    iterations: int
    kept: int


class Line(NamedTuple):
    """A straight line fitted by least squares.

    Fields:
        intercept: Where it begins.
        intercept_within: Half the width of that number's interval.
        slope: How steep it is.
        slope_within: Half the width of that number's interval.
        explained: The share of the variance that the line explains, R².
        points: How many points it was fitted to.
    """

    intercept: float
    intercept_within: float
    slope: float
    slope_within: float
    explained: float
    points: int


def summary(values: Sequence[float] | NDArray[np.float64]) -> Summary:
    """Sum up measurements.

    The interval is that of a trimmed mean (Tukey and McLaughlin 1963): its error comes of the
    winsorised variance, and not of what is left after trimming, which would be too narrow.

    Raises:
        ValueError: if there are none.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    if not count:
        raise ValueError("nothing was measured")
    cut = int(count * TRIM)
    kept = ordered[cut : count - cut]
    mean = float(kept.mean())
    within = 0.0
    if len(kept) > 1:
        winsorised = np.clip(ordered, kept[0], kept[-1])
        error = float(winsorised.std(ddof=1)) * np.sqrt(count) / len(kept)
        within = float(error) * quantile(len(kept) - 1)
    return Summary(
        mean=mean,
        low=mean - within,
        high=mean + within,
        p50=float(np.percentile(ordered, 50)),
        p99=float(np.percentile(ordered, 99)) if count >= TAIL_FROM else None,
        largest=float(ordered[-1]),
        iterations=count,
        kept=len(kept),
    )


def tail(row: Mapping[str, Any]) -> float:
    """The 99th percentile of a summary; of too few measurements the largest."""
    found: float = row["largest"] if row["p99"] is None else row["p99"]
    return found


def tail_name(row: Mapping[str, Any]) -> str:
    """What `tail` is of a summary."""
    return f"largest of {row['iterations']:,}" if row["p99"] is None else "p99"


def middle(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
    """The lower end of a median's interval, the median, and the upper end.

    The ends are two of the values, as many steps off the middle as the binomial distribution
    says; so this holds whatever the values' distribution.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    reach = -float(ndtri((1 - CONFIDENCE) / 2)) * math.sqrt(count) / 2
    cut = max(0, int(count / 2 - reach))
    return float(ordered[cut]), float(np.median(ordered)), float(ordered[count - 1 - cut])


def quantile(freedom: int) -> float:
    """How many standard errors an interval reaches either way, by Student's t."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def line(x: Sequence[float], y: Sequence[float], weight: Sequence[float] | None = None) -> Line:
    """Fit a line, each point weighted as told.

    Args:
        x: Where the points are.
        y: What was found there.
        weight: How much each point counts, as 1/variance; all alike if left out.

    Raises:
        ValueError: if there are fewer than three points.
    """
    if len(x) < 3:
        raise ValueError(f"a line with intervals needs three points, not {len(x)}")
    at, found = np.asarray(x, np.float64), np.asarray(y, np.float64)
    share = np.ones(len(at)) if weight is None else np.asarray(weight, np.float64)
    share = share / share.sum()
    centre, level = float(share @ at), float(share @ found)
    spread = float(share @ (at - centre) ** 2)
    slope = float(share @ ((at - centre) * (found - level))) / spread
    intercept = level - slope * centre
    left = found - intercept - slope * at
    freedom = len(at) - 2
    variance = float(share @ left**2) / freedom
    reach = quantile(freedom)
    total = float(share @ (found - level) ** 2)
    return Line(
        intercept=intercept,
        intercept_within=reach * float(np.sqrt(variance * (1 + centre**2 / spread))),
        slope=slope,
        slope_within=reach * float(np.sqrt(variance / spread)),
        explained=1 - float(share @ left**2) / total if total else 1.0,
        points=len(at),
    )


def growth(agents: Sequence[float], seconds: Sequence[float]) -> Line:
    """With which power of the number of agents time grows: a line through the logarithms."""
    return line(list(np.log(agents)), list(np.log(seconds)))
