"""How sure a member is of what it says: the shape in which it is asked for, and what it means."""

from __future__ import annotations

from typing import Final

from hocket.core.values import Json

# Without bounds, because not every provider holds them.
CONFIDENCE: Final[Json] = {"type": "number", "description": "from 0 to 1"}
"""The schema of a confidence."""
_SOME: Final = 1e9
"""What is as far out as this, or no number, is no confidence."""


def confidence_of(value: Json) -> float:
    """Read a confidence, from 0 to 1; what is none counts as full."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1.0
    if not -_SOME < value < _SOME:
        return 1.0
    # Some models think in per cent, whatever they are told.
    share = value / 100 if 1 < value <= 100 else value
    return float(min(max(share, 0.0), 1.0))
