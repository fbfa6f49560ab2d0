"""How long calls take, by what a few of them took: samples of several kinds, cut ones among them.

Durations are handled by their logarithms.
Between samples a quantile is interpolated; beyond them, and the fewer they are the more within them
too, a lognormal stands in whose width comes from all calls of the agent.
A call that was cut off took at least so long: it counts as longer, by what the lognormal expects of
one that has lasted until then.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import exp, log, sqrt
from statistics import NormalDist, fmean
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

MODEST: Final = 0.1
"""The spread of the logarithm that one sample alone is given: two thirds lie within 10 %."""

_NORMAL: Final = NormalDist()
_EDGE: Final = 1e-6
_FEW: Final = 8
"""How many samples weigh as much as the lognormal."""
_ROUNDS: Final = 12
_FAR: Final = 4.0
"""So many spreads above the median a call that was cut off is taken to have hung."""
_NARROWEST: Final = 0.25
"""The least spread with which that is judged."""

ALIKE: Final = 0.8
"""How much of what sets a call apart from others of its kind is found again when it is repeated."""

K = TypeVar("K", bound=Hashable)


class Sample(NamedTuple):
    """One call.

    Fields:
        took: How long it took, in nanoseconds.
        cut: Whether it was cut off then, and would have taken longer.
    """

    took: int
    cut: bool = False


class Observed(msgspec.Struct, frozen=True):
    """How long calls of one kind take.

    Fields:
        median: The middle of their logarithms.
        sigma: Their spread.
        logs: The samples' logarithms, moved so that `median` is their middle; ascending.
    """

    median: float
    sigma: float
    logs: tuple[float, ...] = ()

    def at(self, share: float) -> int:
        """Give the duration below which that share of the calls stays, in nanoseconds."""
        share = min(max(share, _EDGE), 1 - _EDGE)
        z = _NORMAL.inv_cdf(share)
        smooth = self.median + self.sigma * z
        count = len(self.logs)
        if count < 2:
            return max(1, round(exp(smooth)))
        weight = count / (count + _FEW)
        return max(1, round(exp(weight * self._between(share, z) + (1 - weight) * smooth)))

    def _between(self, share: float, z: float) -> float:
        """Interpolate between samples, of which the i-th of n lies at (i - 1/2) / n."""
        logs, count = self.logs, len(self.logs)
        place = share * count - 0.5
        if place <= 0:
            return logs[0] + self.sigma * (z - _NORMAL.inv_cdf(0.5 / count))
        if place >= count - 1:
            return logs[-1] + self.sigma * (z - _NORMAL.inv_cdf(1 - 0.5 / count))
        low = int(place)
        return logs[low] + (logs[low + 1] - logs[low]) * (place - low)


class Fitted(NamedTuple, Generic[K]):
    """What is known of the calls of an agent.

    Fields:
        kinds: How long those of each kind take.
        all: How long one takes of a kind that was not seen.
        hung: How many calls are taken to have hung, for they were cut off far beyond all others.
    """

    kinds: dict[K, Observed]
    all: Observed
    hung: int


def fit(kinds: Mapping[K, Sequence[Sample]], spread: tuple[float, int] = (0.0, 0)) -> Fitted[K]:
    """Work out how long an agent's calls take, of each kind and in all.

    Args:
        kinds: Its calls by kind; at least one of them was not cut off.
        spread: The spread of other agents' calls, and how many calls tell it.
    """
    whole = {kind: _logs(samples, False) for kind, samples in kinds.items()}
    cuts = {kind: _logs(samples, True) for kind, samples in kinds.items()}
    sigma = _width(whole, spread)
    every = [value for logs in whole.values() for value in logs]
    overall, apart = fmean(every), _deviation(every)
    hung, kept = 0, {}
    for kind, logs in cuts.items():
        middle = fmean(whole[kind]) if whole[kind] else overall
        width = max(sigma if whole[kind] else max(sigma, apart), _NARROWEST)
        kept[kind] = [value for value in logs if value <= middle + _FAR * width]
        hung += len(logs) - len(kept[kind])
    filled = {kind: list(logs) for kind, logs in whole.items()}
    for _ in range(_ROUNDS if any(kept.values()) else 0):
        middles = {kind: fmean(logs) if logs else overall for kind, logs in filled.items()}
        filled = {
            kind: [*whole[kind], *_longer(kept[kind], middles[kind], sigma)] for kind in whole
        }
        sigma = _width(filled, spread)
    filled = {kind: sorted(logs) for kind, logs in filled.items() if logs}
    medians = _shrunk(filled, sigma)
    found = {
        kind: Observed(medians[kind], sigma, _moved(logs, medians[kind]))
        for kind, logs in filled.items()
    }
    every = sorted(value for logs in filled.values() for value in logs)
    middle = fmean(every)
    return Fitted(found, Observed(middle, max(sigma, _deviation(every)), tuple(every)), hung)


def repeated(usual: Observed, took: int) -> Observed:
    """Give how long a call takes that is asked for again, and has taken so long before.

    It is asked the same as then, so it is nearer to that than to others of its kind, and varies
    less than they do.

    Args:
        usual: How long calls of its kind take.
        took: How long it took then, in nanoseconds.
    """
    middle = usual.median + ALIKE * (log(max(1, took)) - usual.median)
    width = max(sqrt(1 - ALIKE**2) * usual.sigma, min(usual.sigma, MODEST))
    share = width / usual.sigma if usual.sigma else 0.0
    logs = tuple([middle + share * (value - usual.median) for value in usual.logs])
    return Observed(middle, width, logs)


def merged(several: Sequence[Observed]) -> Observed:
    """Give how long calls take that are of one of several kinds."""
    logs = sorted(value for one in several for value in one.logs)
    width = max(_deviation(logs), *(one.sigma for one in several))
    return Observed(fmean(logs), width, tuple(logs))


def pooled(agents: Sequence[Mapping[K, Sequence[Sample]]]) -> tuple[float, int]:
    """Give the spread of calls about the middles of their kinds, and how many calls tell it."""
    squares, degrees = 0.0, 0
    for kinds in agents:
        for samples in kinds.values():
            more, free = _squares(_logs(samples, False))
            squares, degrees = squares + more, degrees + free
    return (sqrt(squares / degrees) if degrees else 0.0), degrees


def _logs(samples: Sequence[Sample], cut: bool) -> list[float]:
    return [log(max(1, sample.took)) for sample in samples if sample.cut == cut]


def _squares(logs: Sequence[float]) -> tuple[float, int]:
    if len(logs) < 2:
        return 0.0, 0
    middle = fmean(logs)
    return sum((value - middle) ** 2 for value in logs), len(logs) - 1


def _deviation(logs: Sequence[float]) -> float:
    squares, degrees = _squares(logs)
    return sqrt(squares / degrees) if degrees else 0.0


def _width(kinds: Mapping[K, Sequence[float]], others: tuple[float, int]) -> float:
    """Give the spread within kinds; where fewer than five calls tell it, others help out.

    A modest spread counts as one call, so that calls that were alike by chance still vary.
    """
    squares, degrees = 0.0, 0
    for logs in kinds.values():
        more, free = _squares(logs)
        squares, degrees = squares + more, degrees + free
    told = min(max(0, 4 - degrees), others[1])
    weight = degrees + told + 1
    return sqrt((squares + told * others[0] ** 2 + MODEST**2) / weight)


def _longer(cuts: Sequence[float], middle: float, sigma: float) -> list[float]:
    """Say how long calls would have taken that were cut off: evenly spread beyond the cut."""
    found, ordered = [], sorted(cuts)
    for index, value in enumerate(ordered):
        below = _NORMAL.cdf((value - middle) / sigma)
        share = below + (1 - below) * (index + 0.5) / len(ordered)
        drawn = middle + sigma * _NORMAL.inv_cdf(min(max(share, _EDGE), 1 - _EDGE))
        found.append(max(value, drawn))
    return found


def _shrunk(kinds: Mapping[K, Sequence[float]], sigma: float) -> dict[K, float]:
    """Give the middle of each kind, drawn towards that of all as far as chance may part them.

    It is the empirical estimate of Bayes and James-Stein: what lies between the kinds, less what
    chance alone puts there, against the spread within a kind.
    Where no kind was seen twice nobody can tell the two apart, and each stays where it is.
    """
    own = {kind: fmean(logs) for kind, logs in kinds.items()}
    if len(own) < 3 or all(len(logs) < 2 for logs in kinds.values()):
        return own
    overall = fmean(own.values())
    between = sum((middle - overall) ** 2 for middle in own.values()) / (len(own) - 1)
    between -= fmean(sigma**2 / len(logs) for logs in kinds.values())
    if between <= 0:
        return dict.fromkeys(own, overall)
    return {
        kind: overall + (own[kind] - overall) * between / (between + sigma**2 / len(logs))
        for kind, logs in kinds.items()
    }


def _moved(logs: Sequence[float], middle: float) -> tuple[float, ...]:
    by = middle - fmean(logs)
    return tuple([value + by for value in logs])
