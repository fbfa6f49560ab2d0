"""The longest path of work through a run, and how much later everything else could have ended.

Waits are left out, those for people too: what remains is what the run would have taken with room
for everything and with people who answer at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.insight.trace import START, Activity, Trace

AT_WORK: Final = frozenset({"model", "tool"})
"""The kinds of work that take their time; people can be quicker, and while a timer runs nobody does
anything."""
_UNMISSED: Final = frozenset({"cancelled", "discarded", "stale"})
"""The fates of what nobody had waited for if nothing came after it."""


class Critical(msgspec.Struct, kw_only=True):
    """The longest path of work.

    Fields:
        length: How long it is, in nanoseconds.
        chain: The indices of the activities on it, first to last.
        slack: For each activity how much later it could have ended without a longer path, in
            nanoseconds; None if nothing that counts has waited for its end.
    """

    length: int
    chain: list[int]
    slack: list[int | None]


class Reach(msgspec.Struct, kw_only=True):
    """How much work lies before and after each activity, by index.

    Fields:
        head: The longest path of work up to its beginning.
        came: The activity that this path comes from, or `START`.
        tail: The longest path of work from its end to the end of the run; None if there is none.
        below: The same from its beginning; None if there is none.
    """

    head: list[int]
    came: list[int]
    tail: list[int | None]
    below: list[int | None]


def critical(trace: Trace) -> Critical:
    """Find the longest path of work through what waited for what."""
    works = [worked(activity, trace.ended) for activity in trace.activities]
    reached = reach(trace, works)
    length, last = 0, START
    for index, (head, work, tail) in enumerate(zip(reached.head, works, reached.tail, strict=True)):
        # Of several ends the one that let the run end is the end of the path.
        longer = head + work > length or last == START
        if tail == 0 and (longer or (head + work == length and index == trace.finish)):
            length, last = head + work, index
    chain = []
    while last != START:
        chain.append(last)
        last = reached.came[last]
    slack = [
        None if tail is None else length - head - work - tail
        for head, work, tail in zip(reached.head, works, reached.tail, strict=True)
    ]
    return Critical(length=length, chain=chain[::-1], slack=slack)


def worked(activity: Activity, until: int) -> int:
    """Say how long an activity has been at work, by the end of its trace."""
    if activity.work not in AT_WORK:
        return 0
    ended = until if activity.ended is None else activity.ended
    return max(0, min(ended, until) - activity.began)


def reach(trace: Trace, works: Sequence[int]) -> Reach:
    """Measure the longest paths to and from each activity.

    What was still under way when something that came after it was asked for has not been waited
    for to its end: only what it had done by then lies on that path, and nothing if it had not
    begun.

    Args:
        trace: The run.
        works: How much each activity counts, by index; no more than it worked.
    """
    activities = trace.activities
    count = len(activities)
    needs = [needs_of(activity, index) for index, activity in enumerate(activities)]
    begins = [activity.began for activity in activities]
    # What is under way has ended after all that there is.
    ends = [trace.ended + 1 if one.ended is None else one.ended for one in activities]
    head, came = [0] * count, [START] * count
    for index, activity in enumerate(activities):
        asked, most = activity.asked, -1
        for before in needs[index]:
            since = begins[before]
            if since <= asked:
                found = head[before] + min(works[before], asked - since)
                if found > most:
                    most, came[index] = found, before
        head[index] = max(most, 0)
    tail: list[int | None] = [None] * count
    below: list[int | None] = [None] * count
    for index in range(count - 1, -1, -1):
        activity, after = activities[index], tail[index]
        if after is None and (activity.fate not in _UNMISSED or index == trace.finish):
            after = tail[index] = 0
        if after is not None:
            below[index] = max(works[index] + after, below[index] or 0)
        rest, asked = below[index], activity.asked
        if rest is None:
            continue
        for before in needs[index]:
            since = begins[before]
            if since > asked:
                continue
            if ends[before] > asked:
                below[before] = max(min(works[before], asked - since) + rest, below[before] or 0)
            else:
                tail[before] = max(rest, tail[before] or 0)
    return Reach(head=head, came=came, tail=tail, below=below)


def needs_of(activity: Activity, index: int) -> tuple[int, ...]:
    """Give what an activity has waited for, what made it possible first; all are before it."""
    after = activity.after
    needs = activity.needs
    if after != START and needs[:1] != (after,):
        needs = (after, *[need for need in needs if need != after])
    if needs and not 0 <= min(needs) <= max(needs) < index:
        return tuple([need for need in needs if 0 <= need < index])
    return needs
