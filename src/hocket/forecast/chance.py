"""Numbers that look random and depend on a seed alone."""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1


class Chance:
    """A generator of such numbers (xorshift64).

    Args:
        seed: Where they come from.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        # Seeds that are close to each other shall not give numbers that are.
        mixed = (seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & _MASK
        mixed = ((mixed ^ (mixed >> 31)) * 0xBF58476D1CE4E5B9) & _MASK
        self._state = mixed or 1

    def below(self, bound: int) -> int:
        """Draw a number from 0 to `bound` - 1."""
        state = self._state
        state ^= (state << 13) & _MASK
        state ^= state >> 7
        state ^= (state << 17) & _MASK
        self._state = state
        return (state >> 12) % bound

    def unit(self) -> float:
        """Draw a number in [0, 1)."""
        return self.below(1 << 52) / (1 << 52)
