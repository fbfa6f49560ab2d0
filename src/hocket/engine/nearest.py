"""Compares what questions mean, without keeping the loop from anything else for long."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Final

from hocket.journal.base import Near

MOST_COMPARED: Final = 1_000
"""To how many kept answers, the latest of their kin, a question is compared by its meaning."""

_AT_ONCE: Final = 16
"""Comparing so many takes a millisecond or two."""


async def nearest(vector: bytes, others: Sequence[Near]) -> tuple[float, Near] | None:
    """Give whoever means most nearly the same, and the cosine of the two: 1 is the same.

    Those whose vectors have another length are of another model, and are left out.
    """
    mine = array("f", vector)
    best: tuple[float, Near] | None = None
    for number, other in enumerate(others, 1):
        if len(other.vector) == len(vector):
            cosine = sum(map(mul, mine, array("f", other.vector)))
            if best is None or cosine > best[0]:
                best = cosine, other
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return best
