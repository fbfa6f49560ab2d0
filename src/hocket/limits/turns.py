"""How the runs of several processes take turns at a limit that they share.

Each process tells the others which of its runs wait for what, and the ledger keeps each run's tag:
the virtual instant at which its next call is due, moved on by 1/weight with each call that it
reserves.
All see the same tags, so all agree whose turn it is: a place that is another's is promised to it,
and nobody here takes it.
Whoever does not use what it was promised within a short grace is not waited for until it says anew
that it waits: it may be slow, or stopped, and no limit idles for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from hocket.core.values import MS, SECOND
from hocket.limits.claim import Claim, Entry, Key
from hocket.limits.limit import Limit

GRACE: Final = 100 * MS
"""For how long a place is kept for another process that has been promised it."""
REPEAT: Final = SECOND
"""How often a process says again that its calls wait."""
STALE: Final = 3 * SECOND
"""After which time nobody believes any more that a call still waits."""
_MANY: Final = 64


class Want(msgspec.Struct, frozen=True, gc=False):
    """A run whose calls wait for a shared limit.

    Fields:
        limit: The limit.
        room: The run, as its owner has it: what comes before the ``/`` in the keys of its calls.
        units: How many units the first of them wants.
        claim: What it takes besides; its `units` are empty.
        waiting: How many of them wait; 0 if none does any more.
        priority: Runs of a higher one go first.
        deadline: Of equals, those of the nearer one go first; None goes last.
        weight: The share beside runs of the same priority and deadline.
        at: When this was said.
        tag: The virtual instant at which its next call is due, as the ledger knows.
        mine: Whether it is of this process.
    """

    limit: str
    room: str
    units: int
    claim: Claim
    waiting: int
    priority: int = 0
    deadline: int | None = None
    weight: float = 1.0
    at: int = 0
    tag: float = 0.0
    mine: bool = True

    @property
    def tier(self) -> tuple[int, bool, int]:
        """Give what decides who goes first, before any tag; the lower one does."""
        return -self.priority, self.deadline is None, self.deadline or 0


def room_in(key: Key) -> str:
    """Give the run that a call's key is of, as its owner has it."""
    return key.partition("/")[0]


def roughly(waiting: int) -> int:
    """Round a number of waiting calls down, so that it need not be told with every call."""
    return min((1 << waiting.bit_length()) >> 1, _MANY)


def share_out(limit: Limit, wants: Iterable[Want], at: int) -> list[Want]:
    """Deal what a limit has left, call by call to whoever's turn it is.

    A run whose call does not fit is passed over: no limit idles for it.

    Returns:
        What runs of other processes get, in order; the limit is left as it was.
    """
    queue = [(want.tier, want.tag, want.room, want.waiting, want) for want in wants if want.waiting]
    heapify(queue)
    mine = sum(item[-1].mine for item in queue)
    promised: list[Want] = []
    dealt: list[Key] = []
    # What is left when only one side waits any more is for that side anyway.
    while 0 < mine < len(queue):
        tier, tag, room, waiting, want = heappop(queue)
        fits = limit.blocked(want.units, want.claim, at) is None
        if fits:
            key = f"~dealt/{len(dealt)}"
            limit.sync(Entry(limit.name, key, want.units, want.claim))
            dealt.append(key)
            if not want.mine:
                promised.append(want)
        if fits and waiting > 1:
            heappush(queue, (tier, tag + 1 / want.weight, room, waiting - 1, want))
        else:
            mine -= want.mine
    for key in dealt:
        limit.forget(key)
    return promised


class Turns:
    """Which places of shared limits are kept for the runs of other processes, and until when."""

    def __init__(self) -> None:
        self._wants: dict[str, tuple[Want, ...]] = {}
        """What was told, for limits for which another process has calls waiting."""
        self._kept: dict[str, dict[str, tuple[float, int]]] = {}
        """Of each limit, the tags of the runs that it is kept for, and since when."""
        self._missed: dict[tuple[str, str], int] = {}
        """When a run had last said that it waits which then did not use what was kept for it."""

    @property
    def limits(self) -> list[str]:
        """The limits for which several processes may have calls waiting."""
        return list(self._wants)

    def learn(self, limit: str, wants: Sequence[Want]) -> None:
        """Take in all that is known now of who waits for a limit."""
        if any(not want.mine and want.waiting for want in wants):
            self._wants[limit] = tuple(wants)
        else:
            self._wants.pop(limit, None)
        if self._missed:
            said = {(limit, want.room): want.at for want in wants}
            self._missed = {
                place: at
                for place, at in self._missed.items()
                if place[0] != limit or said.get(place) == at
            }

    def deal(
        self, limit: Limit, own: Iterable[Want], asked: Mapping[str, int], at: int
    ) -> list[Entry]:
        """Say what is to be kept of a limit for runs of other processes.

        Args:
            limit: The limit, with nothing kept.
            own: The runs of this process that wait for it.
            asked: How many calls each of them has let through that the ledger does not know of.
            at: When.
        """
        known = self._wants.get(limit.name, ())
        own = _tagged(own, asked, known)
        while True:
            others = [want for want in known if not want.mine and self._counts(want, at)]
            promised = share_out(limit, (*own, *others), at) if own and others else []
            before = self._kept.pop(limit.name, {})
            kept: dict[str, tuple[float, int]] = {}
            late = False
            for want in promised:
                tag, since = before.get(want.room, (want.tag, at))
                if tag != want.tag:
                    # It has had a call through since.
                    since = at
                kept[want.room] = want.tag, since
                if at >= since + GRACE:
                    self._missed[limit.name, want.room] = want.at
                    late = True
            if not late:
                break
            self._kept[limit.name] = before
        if kept:
            self._kept[limit.name] = kept
        return [
            Entry(limit.name, f"~kept/{number}/{want.room}", want.units, want.claim)
            for number, want in enumerate(promised)
        ]

    def next(self) -> int | None:
        """Give the instant at which the first grace is over."""
        since = (since for kept in self._kept.values() for _, since in kept.values())
        first = min(since, default=None)
        return None if first is None else first + GRACE

    def _counts(self, want: Want, at: int) -> bool:
        if at > want.at + STALE:
            return False
        return self._missed.get((want.limit, want.room)) != want.at


def _tagged(own: Iterable[Want], asked: Mapping[str, int], known: Sequence[Want]) -> list[Want]:
    """Give own runs their tags; one of which the ledger does not know yet begins last."""
    tags = {want.room: want.tag for want in known if want.mine}
    last = max([want.tag for want in known], default=0.0)
    return [
        msgspec.structs.replace(
            want, tag=tags.get(want.room, last) + asked.get(want.room, 0) / want.weight
        )
        for want in own
    ]
