"""What calls hold of one limit: its windows, its slots, and what has been spent for ever."""

from __future__ import annotations

from collections import deque
from typing import Self

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.forkmap import ForkMap
from hocket.core.specs import LimitSpec
from hocket.limits.claim import Claim, Ending, Entry, Key, Spent
from hocket.limits.window import (
    MARGIN,
    Held,
    clear_at,
    drop,
    finish,
    reserve,
    stamp,
    windows_of,
)


class Holdings:
    """What calls hold of one limit.

    Args:
        name: The limit's name.
        spec: Its bounds.

    Attributes:
        windows: Its windows.
        live: The calls that count in some window, or have not ended.
        slots: How many units are in use.
    """

    __slots__ = ("_past", "live", "margin", "name", "slots", "windows")

    def __init__(self, name: str, spec: LimitSpec) -> None:
        self.name = name
        self.margin = spec.margin
        self.windows = windows_of(name, spec)
        self.live: dict[Key, Held] = {}
        self.slots = 0
        self._past: ForkMap[Key, Held | None] = ForkMap()
        """What has ended and counts for ever; None for what was forgotten."""

    def of(self, key: Key) -> Held:
        """Give what a call holds.

        Raises:
            EngineBug: It holds nothing.
        """
        held = self.live.get(key)
        if held is None or held.over:
            raise EngineBug(f"{key} does not hold the limit {self.name!r}")
        return held

    def take(self, held: Held) -> None:
        """Reserve what a call needs.

        Raises:
            EngineBug: It holds the limit already.
        """
        if held.key in self.live:
            raise EngineBug(f"{held.key} has taken the limit {self.name!r} twice")
        self.live[held.key] = held
        self.slots += held.units
        if self.windows:
            reserve(self.windows, held)

    def send(self, key: Key, at: int) -> Held:
        """Let a call count from now; of several times the last one holds."""
        held = self.live.get(key)
        if held is None or held.over:
            held = self.of(key)
        if not self.windows:
            held.sent = at
            held.clear = at + (MARGIN if self.margin is None else self.margin)
            return held
        if held.sent is not None:
            # The log is in the order of sending, so it enters anew.
            amounts = [window.weigh(held.claim) for window in self.windows]
            again = Held(
                key, held.units, held.claim, amounts, episode=held.episode, trips=held.trips
            )
            self.refund(held)
            self.take(again)
            held = again
        stamp(self.windows, held, at, at + (MARGIN if self.margin is None else self.margin))
        return held

    def finish(self, held: Held, ending: Ending, at: int) -> None:
        """Free a call's units and let it count with what it has spent."""
        assert held.sent is not None
        self.slots -= held.units
        held.clear = clear_at(held.sent, self.margin, ending, at)
        spent: Claim | None = None
        if ending.kind == "refused":
            spent = Claim()
        elif ending.spent is not None:
            spent = _spent(held.claim, ending.spent)
        finish(self.windows, held, spent)
        self._retire(held)

    def refund(self, held: Held) -> None:
        """Let a call that has not ended be as if it had never been."""
        drop(self.windows, held)
        self.slots -= held.units
        del self.live[held.key]

    def expire(self, at: int) -> None:
        """Let go of what counts no more."""
        for window in self.windows:
            if window.log:
                for held in window.expire(at):
                    self._retire(held)

    def put(self, entry: Entry, clear: int | None = None, episode: int = 0, trips: int = 0) -> None:
        """Hold exactly what an entry says, whatever was known of it.

        Raises:
            EngineBug: It has ended without having been sent.
        """
        if entry.over and entry.sent is None:
            raise EngineBug(f"{entry.key} has ended without having been sent")
        known = self.live.get(entry.key)
        if known is not None:
            if _entry(self.name, known) == entry:
                return
            if known.sent == entry.sent and clear is None:
                clear = known.clear
            episode, trips = known.episode, known.trips
        if entry.clear is not None and self.margin is None:
            clear = entry.clear
        self.forget(entry.key)
        amounts = [window.weigh(entry.claim, entry.over) for window in self.windows]
        held = Held(entry.key, entry.units, entry.claim, amounts, episode=episode, trips=trips)
        self.take(held)
        if entry.sent is not None:
            margin = MARGIN if self.margin is None else self.margin
            stamp(self.windows, held, entry.sent, entry.sent + margin if clear is None else clear)
        if entry.over:
            self.slots -= held.units
            finish(self.windows, held, None)
            self._retire(held)

    def forget(self, key: Key) -> None:
        """Let a call be as if it had never been, if it is known."""
        held = self.live.pop(key, None)
        if held is not None:
            if not held.over:
                self.slots -= held.units
            drop(self.windows, held)
        elif key in self._past and (gone := self._past[key]) is not None:
            self._past[key] = None
            for window in self.windows:
                if not window.per:
                    window.total -= gone.amounts[window.index]
                    window.changed()

    def entry(self, key: Key) -> Entry | None:
        """Give what one call holds or has spent, if that still matters."""
        held = self.live.get(key)
        if held is None and key in self._past:
            held = self._past[key]
        return None if held is None else _entry(self.name, held)

    def entries(self, at: int) -> list[Entry]:
        """Give what still matters."""
        self.expire(at)
        past = [held for key in self._past if (held := self._past[key]) is not None]
        return [_entry(self.name, held) for held in (*past, *self.live.values())]

    def restated(self, spec: LimitSpec) -> Holdings:
        """Give the same calls under other bounds."""
        fresh = Holdings(self.name, spec)
        for entry in self.entries(0):
            held = self.live.get(entry.key)
            if held is None:
                fresh.put(entry)
            elif spec.margin is None and held.sent is not None:
                clear = held.clear if self.margin is None else held.sent + MARGIN
                fresh.put(entry, clear, held.episode, held.trips)
            else:
                fresh.put(entry, None, held.episode, held.trips)
        return fresh

    def fork(self) -> Self:
        """Copy them; costs O(live)."""
        other = type(self).__new__(type(self))
        other.name = self.name
        other.margin = self.margin
        other.slots = self.slots
        other.live = {key: held.copy() for key, held in self.live.items()}
        other.windows = [window.fork() for window in self.windows]
        for window in other.windows:
            log: deque[Held] = deque()
            for held in window.log:
                if self.live.get(held.key) is held:
                    log.append(other.live[held.key])
                elif held is window.phantom:
                    window.phantom = held.copy()
                    log.append(window.phantom)
            window.log = log
        other._past = self._past.fork()
        return other

    def check(self) -> None:
        """Assert that all sums are what they should be.

        Raises:
            EngineBug: One is not.
        """
        past = [held for key in self._past if (held := self._past[key]) is not None]
        live = list(self.live.values())
        units = sum(held.units for held in live if not held.over)
        if units != self.slots:
            raise EngineBug(f"{self.name!r} counts {self.slots} units, not {units}", live)
        for window in self.windows:
            window.check(live, past if not window.per else [])
        for held in live:
            logs = sum(1 for w in self.windows for item in w.log if item is held)
            if held.logs != logs or (held.over and not logs):
                raise EngineBug(f"{held.key} is in {logs} logs of {self.name!r}", [held])

    def _retire(self, held: Held) -> None:
        if held.logs or not held.over:
            return
        key = held.key
        if self.live.get(key) is not held:
            return
        del self.live[key]
        if any(held.amounts[window.index] for window in self.windows if not window.per):
            self._past[held.key] = held


def _entry(name: str, held: Held) -> Entry:
    claim = held.claim
    if claim.units:
        claim = msgspec.structs.replace(claim, units=())
    return Entry(name, held.key, held.units, claim, held.sent, held.over)


def _spent(claim: Claim, spent: Spent) -> Claim:
    read = claim.tokens_in if spent.tokens_in is None else spent.tokens_in
    written = claim.tokens_out if spent.tokens_out is None else spent.tokens_out
    known = spent.tokens_in is not None and spent.tokens_out is not None
    return Claim(
        tokens_in=read,
        tokens_out=written,
        most_tokens=read + written if known else max(claim.most_tokens, read + written),
        most_cost=claim.most_cost if spent.cost is None else spent.cost,
    )
