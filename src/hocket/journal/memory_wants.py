"""Which runs wait for shared limits, as a ledger in memory keeps it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Self

import msgspec

from hocket.core.values import MINUTE
from hocket.limits.claim import Entry
from hocket.limits.turns import STALE, Want, room_in

GRACE: Final = MINUTE
"""For how long a run that waits no more keeps its place beside others."""


class _Row(NamedTuple):
    """A run that waits for a limit, or did, and the tag of its last call."""

    owner: int
    want: Want
    begun: float


class Wants:
    """What all ledgers of one journal have told of who waits."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        """By limit and room."""

    def put(self, owner: int, wants: Sequence[Want], now: int) -> list[str]:
        """Keep who waits, and that nobody else of this owner does; gives the limits concerned."""
        stay = {(want.limit, want.room): want for want in wants}
        changed = dict.fromkeys(want.limit for want in wants)
        for place, (whose, want, begun) in self._rows.items():
            if whose == owner and want.waiting and place not in stay:
                gone = msgspec.structs.replace(want, waiting=0)
                self._rows[place] = _Row(owner, gone, begun)
                changed[want.limit] = None
        for place, want in stay.items():
            begun = tag = self._last(want)
            known = self._rows.get(place)
            if known is not None:
                heard = known.want.waiting and known.want.at >= now - STALE
                begun, tag = known.begun, known.want.tag if heard else max(known.want.tag, tag)
            self._rows[place] = _Row(owner, msgspec.structs.replace(want, at=now, tag=tag), begun)
        return list(changed)

    def serve(self, owner: int, entry: Entry) -> None:
        """Move the tag of a run on of which a call was let through."""
        place = entry.limit, room_in(entry.key)
        row = self._rows.get(place)
        if row is not None and row.owner == owner:
            want = row.want
            moved = msgspec.structs.replace(want, tag=want.tag + 1 / want.weight)
            self._rows[place] = _Row(owner, moved, want.tag)

    def of(self, owner: int, limits: Collection[str]) -> dict[str, tuple[Want, ...]]:
        """Give who waits for limits, and the tags of those of this owner who do not at present."""
        found: dict[str, list[Want]] = {}
        for whose, want, _ in self._rows.values():
            if want.limit in limits and (want.waiting or whose == owner):
                told = msgspec.structs.replace(want, mine=whose == owner)
                found.setdefault(want.limit, []).append(told)
        return {limit: tuple(wants) for limit, wants in found.items()}

    def purge(self, now: int) -> None:
        """Drop what matters no more."""
        self._rows = {k: row for k, row in self._rows.items() if row.want.at > now - GRACE}

    def copy(self) -> Self:
        """Give what a crash leaves: nobody waits any more."""
        twin = type(self)()
        twin._rows = {
            place: _Row(owner, msgspec.structs.replace(want, waiting=0), begun)
            for place, (owner, want, begun) in self._rows.items()
        }
        return twin

    def _last(self, want: Want) -> float:
        """Give the tag of the call of a tier that began last."""
        alike = [
            row.begun
            for row in self._rows.values()
            if row.want.limit == want.limit and row.want.tier == want.tier
        ]
        return max(alike, default=0.0)
