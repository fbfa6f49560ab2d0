"""The account of a team's calls: what became of each, and what it spent."""

from __future__ import annotations

from typing import Literal, Self

import msgspec

from hocket.core.events import Usage
from hocket.core.reports import FATES, Fate, Sum


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What became of one call, and what it spent."""

    fate: Fate
    usage: Usage | None
    cached: bool


class Books:
    """What became of every call of a team; each has exactly one fate, which may change."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], Entry] = {}
        self._flying: dict[tuple[str, int], None] = {}

    def flies(self, path: str) -> bool:
        """Tell whether a call at a path, or below it, has left and not landed."""
        return any(known == path or known.startswith(f"{path}/") for known, _ in self._flying)

    def left(self, path: str, attempt: int) -> None:
        """Note that a call has left."""
        self._flying[path, attempt] = None

    def note(self, path: str, attempt: int, entry: Entry) -> None:
        """Note the end of a call."""
        self._flying.pop((path, attempt), None)
        self._entries[path, attempt] = entry

    def judge(self, path: str, fate: Literal["useful", "stale", "discarded"]) -> None:
        """Say what became of what was given at a path: by its call, or by all turns and tools."""
        below = f"{path}/" if path else ""
        for (known, attempt), entry in self._entries.items():
            if (known == path or known.startswith(below)) and entry.fate in _GIVEN:
                self._entries[known, attempt] = Entry(fate, entry.usage, entry.cached)

    def sums(self) -> dict[Fate, Sum]:
        """Add up the calls of each fate that occurs."""
        found: dict[Fate, Sum] = {}
        for fate in FATES:
            entries = [entry for entry in self._entries.values() if entry.fate == fate]
            if entries:
                found[fate] = _sum(entries)
        return found

    def each(self) -> dict[str, Fate]:
        """Give what became of each call, by its name."""
        return {f"{path}#{number}": entry.fate for (path, number), entry in self._entries.items()}

    def counts(self) -> dict[Fate, int]:
        """Count the calls of each fate that occurs, at an end: what still flies is cancelled.

        So they add up to the calls that have left.
        What comes back all the same is in `sums` for what it was, once it has landed.
        """
        found = {fate: one.calls for fate, one in self.sums().items()}
        found["cancelled"] = found.get("cancelled", 0) + len(self._flying)
        return {fate: found[fate] for fate in FATES if found.get(fate)}

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)()
        other._flying = self._flying.copy()
        other._entries = self._entries.copy()
        return other


_GIVEN = ("useful", "stale", "discarded")


def _sum(entries: list[Entry]) -> Sum:
    usages = [entry.usage or Usage() for entry in entries if not entry.cached]
    return Sum(
        calls=len(entries),
        cached=sum([entry.cached for entry in entries]),
        tokens_in=sum([usage.tokens_in or 0 for usage in usages]),
        tokens_out=sum([usage.tokens_out or 0 for usage in usages]),
        cost=sum([usage.cost or 0 for usage in usages]),
        # A call that reads no tokens, as a tool's, has no price to be known.
        unpriced=sum([usage.cost is None and usage.tokens_in is not None for usage in usages]),
    )
