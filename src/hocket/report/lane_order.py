"""The order in which the lanes of a picture stand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hocket.insight.lanes import PEOPLE, By, Lane
from hocket.insight.load import RUN


def in_order(rows: Sequence[Lane], by: By) -> list[Lane]:
    """Put lanes in the order of their names, numbers in them by size: a1, a2, a10.

    Steps stay in the order of their work. The run's slots come first, people last, and behind
    them what was merged for want of room.
    """
    if by == "step":
        return list(rows)
    return sorted(rows, key=_place)


def _place(lane: Lane) -> tuple[int, list[tuple[int, str]], int]:
    first = 3 if lane.merged > 1 else 2 if lane.name == PEOPLE else 0 if lane.name == RUN else 1
    return first, _natural(lane.name), lane.row


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)]
