"""A write-mostly map whose copies share what was there before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Self, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ForkMap(Generic[K, V]):
    """A map that forks in O(1) and never copies old entries.

    Each fork freezes what both sides have and gives either a fresh layer on top.
    Layers are merged when a newer one has grown as large as the older below it, so a lookup passes
    at most O(log n) of them.
    """

    __slots__ = ("_frozen", "_top")

    def __init__(self) -> None:
        self._top: dict[K, V] = {}
        self._frozen: tuple[dict[K, V], ...] = ()

    def __setitem__(self, key: K, value: V) -> None:
        self._top[key] = value

    def __getitem__(self, key: K) -> V:
        if key in self._top:
            return self._top[key]
        for layer in reversed(self._frozen):
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: K) -> bool:
        return key in self._top or any(key in layer for layer in self._frozen)

    def __iter__(self) -> Iterator[K]:
        """Give every key once, in no promised order."""
        seen: dict[K, None] = dict.fromkeys(self._top)
        for layer in self._frozen:
            seen.update(dict.fromkeys(layer))
        return iter(seen)

    def fork(self) -> Self:
        """Copy it; both sides may go on writing."""
        if self._top:
            layers = [*self._frozen, self._top]
            while len(layers) > 1 and len(layers[-2]) <= len(layers[-1]):
                newer = layers.pop()
                layers[-1] = {**layers[-1], **newer}
            self._frozen = tuple(layers)
            self._top = {}
        other = type(self)()
        other._frozen = self._frozen
        return other
