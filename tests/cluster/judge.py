"""What a fault did to a number of steps, by the file in which each of them says what it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tests.cluster.steps import Said


class Fault(NamedTuple):
    """What was done to the workers.

    Fields:
        at: By when it was done, in nanoseconds of the machine's monotonic clock.
        pids: The processes that died of it, were cut off, or lost whoever waited for them.
        since: When it began, where they live on meanwhile; else `at`.
    """

    at: int
    pids: frozenset[int]
    since: int | None = None


class Verdict(NamedTuple):
    """What became of the steps.

    Fields:
        lost: Those that never came to their end.
        again: Those that were begun more than once.
        needless: Those of `again` that were not in flight where the fault struck, and had not ended
            there just before.
        ended_twice: Those that came to their end more than once.
        in_flight: Those that were begun and not ended where the fault struck, while it did.
        recovery: Seconds from the fault to the first step that was begun again, if any was.
        recovered: Seconds from the fault to the last step that was begun again, if any was.
    """

    lost: list[int]
    again: list[int]
    needless: list[int]
    ended_twice: list[int]
    in_flight: list[int]
    recovery: float | None
    recovered: float | None


def judge(said: Sequence[Said], steps: Collection[int], fault: Fault) -> Verdict:
    """Tell what became of the steps.

    Args:
        said: All that they said.
        steps: Their numbers.
        fault: What happened to the workers meanwhile.
    """
    begun = Counter(each.number for each in said if not each.ends)
    ended = Counter(each.number for each in said if each.ends)
    strangers = begun.keys() - set(steps)
    assert not strangers, f"nobody asked for {sorted(strangers)}"
    before = [each for each in said if each.pid in fault.pids and each.at <= fault.at]
    since = fault.at if fault.since is None else fault.since
    over = {each.number for each in before if each.ends and each.at <= since}
    open_ = {each.number for each in before} - over
    # What ended there in its last moments may not have been heard of.
    last = since - UNHEARD
    unheard = {each.number for each in before if each.ends and each.at >= last}
    again = {number for number, times in begun.items() if times > 1}
    seen: set[int] = set()
    repeats = []
    for each in said:
        if not each.ends:
            if each.number in seen and each.at > fault.at:
                repeats.append((each.at - fault.at) / 1e9)
            seen.add(each.number)
    return Verdict(
        lost=sorted(set(steps) - ended.keys()),
        again=sorted(again),
        needless=sorted(again - open_ - unheard),
        ended_twice=sorted(number for number, times in ended.items() if times > 1),
        in_flight=sorted(open_),
        recovery=min(repeats, default=None),
        recovered=max(repeats, default=None),
    )


UNHEARD = 200_000_000
"""Within how many nanoseconds whoever waits for a step hears of its end, also on a busy machine."""
