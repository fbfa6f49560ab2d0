"""Says what the time between spans went to: to what they lie in, as far as that was under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

from hocket.core.events import Wait
from hocket.insight.logs.spans import Tree

UNRECORDED: Final = "unknown"
"""The cause of a stretch in which no span was open that what comes before or after it lies in."""

_NOBODY: Final = -1
_LEVELS: Final = 64
"""So many spans above one are looked at."""


class Gaps:
    """The stretches between spans, and whose own time they are.

    Args:
        tree: The spans.
        own: The cause of the time that a span spends in none of those within it.
    """

    def __init__(self, tree: Tree, own: Callable[[int], str]) -> None:
        self._tree = tree
        self._own = own
        # What is taken from the tree later on is asked about still.
        self._parents = [span.parent for span in tree.spans]
        self._ends = [span.ended for span in tree.spans]
        self._causes: dict[int, str] = {}

    def between(self, source: int, index: int, since: int, until: int) -> tuple[Wait, ...]:
        """Say whose time it was between one span's end and the beginning of another.

        Args:
            source: The first; -1 if there is none.
            index: The second.
            since: When the gap begins.
            until: When it ends.
        """
        if since >= until:
            return ()
        parent = self._parents[index]
        alone = source == _NOBODY or self._parents[source] == parent
        if parent != _NOBODY and alone and self._covers(parent, since, until):
            return (Wait(self._cause(parent), since, until),)
        mine, theirs = self._above(index), self._above(source)
        here, there = dict.fromkeys(mine), dict.fromkeys(theirs)
        # What comes next tells more than what was, and that more than what both lie in.
        order = [
            *[one for one in mine if one not in there],
            *[one for one in theirs if one not in here],
            *[one for one in mine if one in there],
        ]
        return self._split(order, since, until)

    def tail(self, last: int, until: int) -> tuple[Wait, ...]:
        """Say whose time it was after the last work had ended, up to the end of the whole."""
        since = self._ends[last] if last != _NOBODY else None
        if since is None or since >= until:
            return ()
        longest = max(range(len(self._ends)), key=lambda i: (self._ends[i] or 0, -i))
        above = [*self._above(last), longest, *self._above(longest)]
        return self._split(list(dict.fromkeys(above)), since, until)

    def _split(self, order: Sequence[int], since: int, until: int) -> tuple[Wait, ...]:
        cuts = sorted(dict.fromkeys([since, until, *self._edges(order, since, until)]))
        found: list[Wait] = []
        for begun, ended in pairwise(cuts):
            owner = next((one for one in order if self._covers(one, begun, ended)), _NOBODY)
            cause = UNRECORDED if owner == _NOBODY else self._cause(owner)
            if found and found[-1].cause == cause:
                found[-1] = Wait(cause, found[-1].since, ended)
            else:
                found.append(Wait(cause, begun, ended))
        return tuple(found)

    def _edges(self, order: Iterable[int], since: int, until: int) -> Iterable[int]:
        for one in order:
            for edge in (self._tree.spans[one].began, self._ends[one]):
                if edge is not None and since < edge < until:
                    yield edge

    def _covers(self, index: int, since: int, until: int) -> bool:
        ended = self._ends[index]
        return self._tree.spans[index].began <= since and (ended is None or until <= ended)

    def _above(self, index: int) -> list[int]:
        found: list[int] = []
        while index != _NOBODY and len(found) < _LEVELS:
            index = self._parents[index]
            if index != _NOBODY:
                found.append(index)
        return found

    def _cause(self, index: int) -> str:
        cause = self._causes.get(index)
        if cause is None:
            cause = self._causes[index] = self._own(index)
        return cause
