"""The circuit breaker of an endpoint: who keeps failing is left alone for a while.

After `FAILURES` calls in a row that found the endpoint down it opens, and nobody calls.
Then one call may try: an answer mends it, another failure opens it for twice as long.
Calls that were under way when it opened say nothing new.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.core.values import MINUTE, SECOND, unit_fraction

FAILURES: Final = 5
FIRST: Final = 10 * SECOND
LONGEST: Final = 5 * MINUTE
JITTER: Final = 0.1


class Breaker(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether an endpoint may be called.

    Fields:
        trips: How often it has opened.
        row: How often it has opened since the endpoint last answered.
        until: Until when nobody calls; from then on one call may try. 0 while it is closed.
    """

    trips: int = 0
    row: int = 0
    until: int = 0


def trip(breaker: Breaker, name: str, seed: int, at: int) -> Breaker:
    """Open it."""
    trips, row = breaker.trips + 1, breaker.row + 1
    return Breaker(trips, row, at + spread(grown(FIRST, LONGEST, row), seed, name, "trip", trips))


def mend(breaker: Breaker) -> Breaker:
    """Close it."""
    return Breaker(breaker.trips)


def grown(first: int, longest: int, row: int) -> int:
    """Give a back-off that doubles with each time in a row, counted from 1."""
    return min(longest, first << min(row - 1, 60))


def spread(wait: int, seed: int, *key: str | int) -> int:
    """Make a wait longer by up to a tenth, by chance that depends on the key alone."""
    return wait + int(wait * JITTER * unit_fraction(seed, *key))
