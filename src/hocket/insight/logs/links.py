"""Works out what came after what from instants, as tools for critical paths do.

A span that lies in none other, or begins within its parent, came after the last of its siblings
that had ended by then; where there is none, it came after what its parent came after.
Work is what has nothing within it; what is above is structure, and its own time is nobody's work.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from hocket.core.events import Wait
from hocket.insight.logs.spans import Names, Span, Tree
from hocket.insight.trace import START, Activity, Trace, Work

NEEDS: Final = 32
"""Siblings that one activity is said to have waited for, at most."""

UNRECORDED: Final = "unrecorded"
"""The cause of a stretch in which no span of the log was open."""

FRAMEWORK: Final = "framework"
"""The cause of a stretch in which a span was open, and nothing within it."""

_NOBODY: Final = -1


class Flow(NamedTuple):
    """A recorded link: the span began because of what another had done by then."""

    source: int
    at: int


class _Before(NamedTuple):
    """What a span came after: a span's index, when that had ended, and all that it waited for."""

    source: int
    at: int
    needs: tuple[int, ...]


class _Scope:
    """The spans that lie directly in one, by their ends."""

    def __init__(self, tree: Tree, members: Sequence[int]) -> None:
        ended = [(end, i) for i in members if (end := tree.spans[i].ended) is not None]
        self.ends = sorted(ended)
        self.latest: list[int] = []
        latest = -1
        for _, index in self.ends:
            latest = max(latest, tree.spans[index].began)
            self.latest.append(latest)

    def before(self, began: int, index: int) -> list[int]:
        """Give those that had just ended when a span began, the last one last."""
        stop = bisect_left(self.ends, (began, index))
        if not stop:
            return []
        # Whoever ended before another of them began was waited for by that one already.
        first = bisect_left(self.ends, (self.latest[stop - 1] + 1, _NOBODY), 0, stop - 1)
        return [index for _, index in self.ends[max(first, stop - NEEDS) : stop]]


class _Links:
    """Finds what each span came after."""

    def __init__(self, tree: Tree, flows: Mapping[int, Flow]) -> None:
        self.tree = tree
        self.flows = flows
        self.scopes = {at: _Scope(tree, members) for at, members in tree.children.items()}
        self.found: dict[int, _Before] = {_NOBODY: _Before(_NOBODY, _NOBODY, ())}
        self.last = self._lasts()
        self.again = _tries(tree)
        self.top = list(range(len(tree.spans)))
        for index in tree.down():
            self.found[index] = self._before(index)
            parent = tree.spans[index].parent
            if parent != _NOBODY:
                self.top[index] = self.top[parent]

    def _lasts(self) -> list[int]:
        """Find the work that ended last within each span: itself, if it has nothing within it."""
        last = list(range(len(self.tree.spans)))
        for index in reversed(self.tree.down()):
            below = self.tree.children.get(index)
            if below:
                last[index] = max((last[i] for i in below), key=self._end)
        return last

    def _end(self, index: int) -> tuple[int, int]:
        end = self.tree.spans[index].ended
        return (-1 if end is None else end), index

    def _before(self, index: int) -> _Before:
        span = self.tree.spans[index]
        refused = self.again.get(index)
        if refused is not None:
            return _Before(refused, self.tree.spans[refused].ended or 0, (refused,))
        above = self.found[span.parent]
        siblings = self.scopes[span.parent].before(span.began, index)
        # Only what stands before it in the order can have come before it: so nothing goes round.
        needs = [self.last[i] for i in siblings if self.last[i] < index]
        end = None if not needs else self.tree.spans[needs[-1]].ended
        found = above if end is None else _Before(needs[-1], min(end, span.began), tuple(needs))
        flow = self.flows.get(index)
        if flow is not None and flow.at >= found.at:
            source = self.last[flow.source]
            if self.tree.spans[source].began > flow.at:
                source = flow.source
            if source < index and not self.tree.children.get(source):
                return _Before(source, min(flow.at, span.began), (*found.needs, source))
        return found


def activities_of(
    tree: Tree,
    began: int,
    flows: Mapping[int, Flow],
    work: Callable[[int], Work],
    who: Callable[[int], tuple[str, str]],
) -> list[Activity]:
    """Give the work of a tree of spans, in the order in which it was asked for.

    Args:
        tree: The spans.
        began: When the whole began.
        flows: Links that the log itself states, by the index of the span that was let begin.
        work: What was at work in a span.
        who: The agent and the model of a span.
    """
    links = _Links(tree, flows)
    names = Names(tree)
    made: list[tuple[int, int, Activity]] = []
    for index, span in enumerate(tree.spans):
        if tree.children.get(index):
            continue
        before = links.found[index]
        source = before.source
        asked = began if source == _NOBODY else before.at
        path, attempt = names.path(index)
        agent, model = who(index)
        made.append(
            (
                asked,
                index,
                Activity(
                    path=path,
                    attempt=attempt,
                    step=span.name,
                    agent=agent,
                    model=model,
                    work=work(index),
                    asked=asked,
                    began=span.began,
                    ended=span.ended,
                    waits=_waits(links, index, asked, model or span.name),
                    fate=span.fate if span.ended is not None else "",
                    how=span.how,
                    usage=span.usage,
                    after=source,
                    needs=before.needs,
                    asks=span.asks,
                    events=(span.record,),
                ),
            )
        )
    made.sort(key=lambda item: (item[0], item[2].began, item[1]))
    return _renumbered(made)


def _tries(tree: Tree) -> dict[int, int]:
    """Find the call that was refused before each call that tries the same again."""
    refused: dict[tuple[int, str, str], deque[int]] = {}
    found: dict[int, int] = {}
    for index, span in enumerate(tree.spans):
        if tree.children.get(index):
            continue
        key = span.parent, span.name, span.model
        waiting = refused.get(key)
        if waiting:
            ended = tree.spans[waiting[0]].ended
            if ended is not None and ended <= span.began:
                found[index] = waiting.popleft()
        if span.fate == "refused":
            refused.setdefault(key, deque()).append(index)
    return found


def _waits(links: _Links, index: int, asked: int, limit: str) -> tuple[Wait, ...]:
    span = links.tree.spans[index]
    if asked >= span.began:
        return ()
    if index in links.again:
        return (Wait(f"closed:{limit}", asked, span.began),)
    opened = min(span.began, max(asked, links.tree.spans[links.top[index]].began))
    waits = (Wait(UNRECORDED, asked, opened), Wait(FRAMEWORK, opened, span.began))
    return tuple(wait for wait in waits if wait.since < wait.until)


def _renumbered(made: list[tuple[int, int, Activity]]) -> list[Activity]:
    places = {index: place for place, (_, index, _) in enumerate(made)}
    for _, _, activity in made:
        activity.needs = tuple(places[index] for index in dict.fromkeys(activity.needs))
        activity.after = START if activity.after == _NOBODY else places[activity.after]
    return [activity for _, _, activity in made]


def finish_of(trace: Trace) -> int:
    """Give the index of the activity that ended last, or `START` if none has."""
    ends = ((a.ended, i) for i, a in enumerate(trace.activities) if a.ended is not None)
    return max(ends, default=(0, START))[1]


def top_of(tree: Tree) -> Span | None:
    """Give the longest span that lies in no other."""
    tops = [tree.spans[index] for index in tree.children.get(_NOBODY, ())]
    return max(tops, key=lambda span: (span.ended or span.began) - span.began, default=None)
