"""Whether what somebody gives is a number of the kind that is wanted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hocket.core.errors import Refused


def is_whole(value: Any, least: int | None = None) -> bool:
    """Whether a value is a whole number, and at least that; True and False are none."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        return False
    return least is None or bool(value >= least)


def is_real(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    kind = isinstance(value, int | float | np.integer | np.floating)
    try:
        return kind and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        # Of a whole number too large for a float.
        return False


def is_positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return is_real(value) and bool(value > 0)


def numbers_of(ids: ArrayLike, group: str) -> NDArray[np.int64]:
    """The numbers of agents, [agents], as somebody gives them.

    Args:
        ids: One, or several.
        group: Whose, for the message.

    Raises:
        Refused: if these are no numbers of agents.
    """
    try:
        given = np.atleast_1d(np.asarray(ids))
    except ValueError:
        given = np.array("ragged")
    if given.size == 0:
        return np.zeros(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise Refused(
            f"{ids!r} are no numbers of agents of {group}: "
            "give whole numbers, as `slots(group).ids` has them"
        )
    return given.astype(np.int64)
