"""Works out what came after what from instants, as tools for critical paths do.

A span that lies in none other, or begins within its parent, came after the last of its siblings
that had ended by then; where there is none, it came after what its parent came after.
Work is what has nothing within it; what is above is structure, and the time that it spends in
nothing within it is told as a wait of what comes next: `hocket.insight.logs.gaps`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from hocket.core.events import Wait
from hocket.insight.logs.gaps import Gaps
from hocket.insight.logs.spans import Names, Span, Tree
from hocket.insight.trace import START, Activity, Trace, Work

NEEDS: Final = 32
"""Siblings that one activity is said to have waited for, at most."""

_NOBODY: Final = -1
_TAKEN: Final = Span("", 0, 0, 0)


class Flow(NamedTuple):
    """A recorded link: the span began because of what another had done by then."""

    source: int
    at: int


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
    """Finds what each span came after.

    Attributes:
        source: The work that it came after, or -1.
        at: When that had let it go on.
        needs: All work that it came after.
        again: The refused call that it tries again.
    """

    def __init__(self, tree: Tree, flows: Mapping[int, Flow]) -> None:
        size = len(tree.spans)
        self.tree = tree
        self.source = [_NOBODY] * size
        self.at = [_NOBODY] * size
        self.needs: list[tuple[int, ...]] = [()] * size
        self.again = _tries(tree)
        down = tree.down()
        self.last = self._lasts(down)
        self._within(_NOBODY, flows)
        for index in down:
            self._within(index, flows)

    def _lasts(self, down: Sequence[int]) -> list[int]:
        """Find the work that ended last within each span: itself, if it has nothing within it."""
        last = list(range(len(self.tree.spans)))
        for index in reversed(down):
            below = self.tree.children.get(index)
            if below:
                last[index] = max((last[i] for i in below), key=self._end)
        return last

    def _end(self, index: int) -> tuple[int, int]:
        end = self.tree.spans[index].ended
        return (-1 if end is None else end), index

    def _within(self, parent: int, flows: Mapping[int, Flow]) -> None:
        """Say of all that lies directly in a span what it came after."""
        members = self.tree.children.get(parent)
        if not members:
            return
        scope = _Scope(self.tree, members)
        for index in members:
            if parent != _NOBODY:
                self._inherit(index, parent)
            self._before(index, scope)
            flow = flows.get(index)
            if flow is not None:
                self._flow(index, flow)

    def _inherit(self, index: int, parent: int) -> None:
        """Let a span come after what its parent came after, unless it began even before that."""
        if _NOBODY < self.source[parent] < index:
            self.source[index] = self.source[parent]
            self.at[index] = min(self.at[parent], self.tree.spans[index].began)
            needs = self.needs[parent]
            self.needs[index] = needs if max(needs) < index else (self.source[parent],)

    def _before(self, index: int, scope: _Scope) -> None:
        span = self.tree.spans[index]
        refused = self.again.get(index)
        if refused is not None:
            needs = [refused]
        else:
            siblings = scope.before(span.began, index)
            # Only what stands before it in the order can have come before it: none goes round.
            needs = [self.last[i] for i in siblings if self.last[i] < index]
        end = self.tree.spans[needs[-1]].ended if needs else None
        if end is not None:
            self.source[index] = needs[-1]
            self.at[index] = min(end, span.began)
            self.needs[index] = tuple(dict.fromkeys(needs))

    def _flow(self, index: int, flow: Flow) -> None:
        source = self.last[flow.source]
        if self.tree.spans[source].began > flow.at:
            source = flow.source
        if flow.at < self.at[index] or source >= index or self.tree.children.get(source):
            return
        self.source[index] = source
        self.at[index] = min(flow.at, self.tree.spans[index].began)
        self.needs[index] = tuple(dict.fromkeys((*self.needs[index], source)))


def activities_of(
    tree: Tree,
    began: int,
    flows: Mapping[int, Flow],
    work: Callable[[int], Work],
    who: Callable[[int], tuple[str, str]],
    own: Callable[[int], str],
    until: int,
) -> tuple[list[Activity], tuple[Wait, ...]]:
    """Give the work of a tree of spans, in the order in which it was asked for, and what came last.

    The tree is taken apart on the way, so that both need not be in memory at once.

    Args:
        tree: The spans.
        began: When the whole began.
        flows: Links that the log itself states, by the index of the span that was let begin.
        work: What was at work in a span.
        who: The agent and the model of a span.
        own: The cause of the time that a span spends in none of those within it.
        until: When the whole ended.
    """
    gaps = Gaps(tree, own)
    links = _Links(tree, flows)
    names = Names(tree)
    place_of = [_NOBODY] * len(tree.spans)
    made: list[Activity] = []
    for index in range(len(tree.spans)):
        if tree.children.get(index):
            continue
        span = tree.spans[index]
        source = links.source[index]
        asked = began if source == _NOBODY else links.at[index]
        path, attempt = names.path(index)
        agent, model = who(index)
        activity = Activity(
            path=path,
            attempt=attempt,
            step=span.name,
            agent=agent,
            model=model,
            work=work(index),
            asked=asked,
            began=span.began,
            ended=span.ended,
            waits=_waits(links, gaps, index, asked, model or span.name),
            fate=span.fate if span.ended is not None else "",
            how=span.how,
            usage=span.usage,
            after=source,
            needs=links.needs[index],
            asks=span.asks,
            events=(span.record,),
        )
        tree.spans[index] = _TAKEN
        links.needs[index] = ()
        place_of[index] = len(made)
        made.append(activity)
    last = _last(place_of, made)
    return in_order(made, place_of), gaps.tail(last, until)


def _last(place_of: Sequence[int], made: Sequence[Activity]) -> int:
    """Give the span of the work that ended last."""
    ends = [
        (ended, made[place].asked, made[place].began, index)
        for index, place in enumerate(place_of)
        if place != _NOBODY and (ended := made[place].ended) is not None
    ]
    return max(ends, default=(0, 0, 0, _NOBODY))[-1]


def in_order(made: list[Activity], place_of: Sequence[int]) -> list[Activity]:
    """Sort activities by when they were asked for.

    Args:
        made: The activities.
        place_of: Where in the list that is which `after` and `needs` speak of.
    """
    order = sorted(range(len(made)), key=lambda i: (made[i].asked, made[i].began, i))
    places = [0] * len(made)
    for place, index in enumerate(order):
        places[index] = place
    for activity in made:
        activity.needs = tuple([places[place_of[index]] for index in activity.needs])
        if activity.after != START:
            activity.after = places[place_of[activity.after]]
    return [made[index] for index in order]


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


def _waits(links: _Links, gaps: Gaps, index: int, asked: int, limit: str) -> tuple[Wait, ...]:
    began = links.tree.spans[index].began
    if asked >= began:
        return ()
    if index in links.again:
        return (Wait(f"closed:{limit}", asked, began),)
    return gaps.between(links.source[index], index, asked, began)


def finish_of(trace: Trace) -> int:
    """Give the index of the activity that ended last, or `START` if none has."""
    ends = ((a.ended, i) for i, a in enumerate(trace.activities) if a.ended is not None)
    return max(ends, default=(0, START))[1]


def top_of(tree: Tree) -> Span | None:
    """Give the longest span that lies in no other."""
    tops = [tree.spans[index] for index in tree.children.get(_NOBODY, ())]
    return max(tops, key=lambda span: (span.ended or span.began) - span.began, default=None)
