"""The ledger of shared limits in memory: each ledger that is opened on it acts as a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from hocket.core.errors import JournalError
from hocket.journal.commits import Commits
from hocket.journal.memory_wants import Wants
from hocket.journal.sharing import Told
from hocket.limits.claim import Entry, Key
from hocket.limits.turns import Want

NOBODY: Final = 0
_FEW: Final = 64


class _Row:
    """What is durable of one entry.

    Attributes:
        entry: What is told of it.
        owner: The ledger that put it there, or `NOBODY` once that was gone.
        keep: For how long it matters after it was sent.
        claimed: Whether the start of its call is durable.
        gone: Whether it counts no more, as if it had never been.
        born: The tick at which it was reserved.
        changed: The tick of its last change.
    """

    __slots__ = ("born", "changed", "claimed", "entry", "gone", "keep", "owner")

    def __init__(self, entry: Entry, owner: int, keep: int, born: int) -> None:
        self.entry = entry
        self.owner = owner
        self.keep = keep
        self.claimed = False
        self.gone = False
        self.born = born
        self.changed = born

    @property
    def open(self) -> bool:
        return not self.gone and not self.entry.over

    def matters(self, now: int) -> bool:
        if self.gone:
            return False
        return not self.entry.over or (self.entry.sent or 0) + self.keep > now

    def copy(self) -> _Row:
        twin = _Row(self.entry, self.owner, self.keep, self.born)
        twin.claimed, twin.gone, twin.changed = self.claimed, self.gone, self.changed
        return twin


class _State(NamedTuple):
    owner: int
    state: bytes
    version: int
    changed: int


class Rows:
    """What is durable of all ledgers of one journal."""

    def __init__(self) -> None:
        self.tick = 0
        self.ledgers: dict[int, MemoryLedger] = {}
        """Those that are open, by number."""
        self._last = NOBODY
        self._limits: dict[str, dict[Key, _Row]] = {}
        """The rows of each limit, the latest change last."""
        self._keys: dict[Key, set[str]] = {}
        self._states: dict[str, _State] = {}
        self.wants = Wants()
        self._strays = False
        """Whether there may be rows of ledgers that are gone."""
        self._roomy = _FEW

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(map(len, self._limits.values()))

    def copy(self) -> Rows:
        """Give what a crash leaves: the same rows, and all their ledgers gone."""
        twin = Rows()
        twin.tick, twin._last, twin._strays = self.tick, self._last, True
        twin._limits = {
            limit: {key: row.copy() for key, row in rows.items()}
            for limit, rows in self._limits.items()
        }
        twin._keys = {key: set(limits) for key, limits in self._keys.items()}
        twin._states = dict(self._states)
        twin.wants = self.wants.copy()
        return twin

    def join(self, ledger: MemoryLedger) -> int:
        """Number a ledger that is opened."""
        self._last += 1
        self.ledgers[self._last] = ledger
        return self._last

    def leave(self, number: int) -> None:
        """Take a ledger for gone."""
        self.ledgers.pop(number, None)
        self._strays = True
        for limit in (*self._limits, *self.wants.put(number, (), 0)):
            self.ring(limit, number)

    def reserve(
        self,
        owner: int,
        entries: Sequence[Entry],
        seen: Mapping[str, int],
        now: int,
        keep: Mapping[str, int],
    ) -> tuple[list[bool], Told, int]:
        """Reserve what no news forbids; gives what was granted, the news, and the present tick."""
        self._bury_strays(now)
        self._sweep(now)
        groups: dict[Key, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(entry.key, []).append(entry)
        granted: list[bool] = []
        for group in groups.values():
            free = not any(
                row.born > seen[entry.limit] and not row.gone
                for entry in group
                for row in self._since(entry.limit, seen[entry.limit], owner)
            )
            granted.append(free)
            for entry in group if free else ():
                self._keys.setdefault(entry.key, set()).add(entry.limit)
                self._touch(_Row(entry, owner, keep[entry.limit], self.tick + 1), owner)
                self.wants.serve(owner, entry)
        return granted, self._news(owner, seen, now), self.tick

    def claim(self, keys: Sequence[Key]) -> bool:
        """Make claims of reservations; False, and nothing is changed, if one is not there."""
        rows = [[row for row in self._of(key) if row.open] for key in keys]
        if not all(rows):
            return False
        for found in rows:
            for row in found:
                row.claimed = True
        return True

    def sent(self, owner: int, key: Key, at: int) -> None:
        """Note when a call was sent."""
        for row in self._of(key):
            if row.owner == owner and row.open and row.entry.sent is None:
                row.entry = msgspec.structs.replace(row.entry, sent=at)
                self._touch(row, owner)

    def settle(self, owner: int, entries: Iterable[Entry], now: int) -> None:
        """Note what calls that are over have spent."""
        for entry in entries:
            row = self._limits.get(entry.limit, {}).get(entry.key)
            if row is None or row.owner != owner or row.gone:
                continue
            first = next((at for at in (entry.sent, row.entry.sent) if at is not None), now)
            row.entry = msgspec.structs.replace(
                row.entry, claim=entry.claim, sent=first, over=True, clear=entry.clear
            )
            self._touch(row, owner)

    def release(self, owner: int, keys: Iterable[Key]) -> None:
        """Forget what calls hold."""
        for key in keys:
            for row in self._of(key):
                if row.owner == owner and not row.gone:
                    row.gone = True
                    self._touch(row, owner)

    def state(self, owner: int, limit: str, state: bytes, version: int) -> None:
        """Keep an adaptive state if it is newer."""
        known = self._states.get(limit)
        if known is None or version > known.version:
            self.tick += 1
            self._states[limit] = _State(owner, state, version, self.tick)
            self.ring(limit, owner)

    def lost(self, key: Key, now: int) -> None:
        """Bury what a call holds whose process is gone."""
        for row in self._of(key):
            if row.open:
                self._bury(row, now)

    def ring(self, limit: str, actor: int) -> None:
        """Tell the other ledgers that something of a limit has changed."""
        for number, ledger in self.ledgers.items():
            if number != actor:
                ledger.ring(limit)

    # -- within -----------------------------------------------------------------------------

    def _of(self, key: Key) -> list[_Row]:
        return [self._limits[limit][key] for limit in sorted(self._keys.get(key, ()))]

    def _touch(self, row: _Row, actor: int) -> None:
        self.tick += 1
        row.changed = self.tick
        rows = self._limits.setdefault(row.entry.limit, {})
        rows.pop(row.entry.key, None)
        rows[row.entry.key] = row
        self.ring(row.entry.limit, actor)

    def _since(self, limit: str, tick: int, owner: int) -> Iterator[_Row]:
        """Give what others have changed of a limit, the latest first."""
        for row in reversed(self._limits.get(limit, {}).values()):
            if row.changed <= tick:
                return
            if row.owner != owner:
                yield row

    def _news(self, owner: int, seen: Mapping[str, int], now: int) -> Told:
        entries: list[Entry] = []
        forgotten: list[tuple[str, Key]] = []
        states: dict[str, bytes] = {}
        for limit, tick in seen.items():
            for row in reversed(list(self._since(limit, tick, owner))):
                if row.matters(now) or (tick and not row.gone):
                    entries.append(row.entry)
                elif tick:
                    forgotten.append((limit, row.entry.key))
            state = self._states.get(limit)
            if state is not None and state.changed > tick and state.owner != owner:
                states[limit] = state.state
        wants = self.wants.of(owner, seen) if self.ledgers[owner].company else {}
        return Told(tuple(entries), tuple(forgotten), states, wants)

    def _bury_strays(self, now: int) -> None:
        """See to what ledgers have left behind that are gone."""
        if not self._strays:
            return
        self._strays = False
        for rows in self._limits.values():
            for row in list(rows.values()):
                if row.open and row.owner not in self.ledgers:
                    self._bury(row, now)

    def _bury(self, row: _Row, now: int) -> None:
        if row.entry.sent is None and not row.claimed:
            row.gone = True
        else:
            sent = now if row.entry.sent is None else row.entry.sent
            row.entry = msgspec.structs.replace(row.entry, sent=sent, over=True)
        row.owner = NOBODY
        self._touch(row, NOBODY)

    def _sweep(self, now: int) -> None:
        """Drop rows that matter no more, whenever there are twice as many as were left."""
        if len(self) <= self._roomy:
            return
        left = 0
        self.wants.purge(now)
        for limit, rows in self._limits.items():
            told = min(
                (ledger.seen[limit] for ledger in self.ledgers.values() if limit in ledger.seen),
                default=self.tick,
            )
            for key, row in list(rows.items()):
                if not row.matters(now) and row.changed <= told:
                    del rows[key]
                    self._keys[key].discard(limit)
                    if not self._keys[key]:
                        del self._keys[key]
            left += len(rows)
        self._roomy = 2 * left + _FEW


class MemoryLedger:
    """One ledger of shared limits, of the loop that opened it.

    Attributes:
        seen: The tick up to which it has told of each limit.
        listening: The limits whose changes it is told.
    """

    def __init__(self, commits: Commits, rows: Rows, changed: Callable[[], None]) -> None:
        self.seen: Final[dict[str, int]] = {}
        self._commits = commits
        self._rows = rows
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self.listening: Final[set[str]] = set()
        self._rung = False
        self._closed = False
        self._number = rows.join(self)

    @property
    def company(self) -> bool:
        """Whether another process has to do with these limits, as far as is known."""
        return any(
            number != self._number and not ledger.listening.isdisjoint(self.listening)
            for number, ledger in self._rows.ledgers.items()
        )

    def ahead(self, now: int) -> int:
        """Tell that there is one clock only."""
        return 0

    @property
    def clock_error(self) -> int:
        """There is nothing to misjudge."""
        return 0

    async def reserve(
        self, entries: Sequence[Entry], now: int, keep: Mapping[str, int]
    ) -> tuple[list[bool], Told]:
        """Reserve what calls are to hold; the entries of one key all together or not at all.

        Raises:
            JournalError: It could not be written.
        """
        self._check()
        seen = {entry.limit: self.seen.get(entry.limit, 0) for entry in entries}
        kept = {limit: keep[limit] for limit in seen}
        granted: list[bool] = []

        def work() -> tuple[Told, int]:
            self._listen(seen)
            found, told, tick = self._rows.reserve(self._number, entries, seen, now, kept)
            granted.extend(found)
            return told, tick

        try:
            told, tick = await self._commits.submit(work)
        except asyncio.CancelledError:
            # Some may be reserved by now, and nobody is left who would use them.
            keys = dict.fromkeys(entry.key for entry in entries)
            self.release([key for key, free in zip(keys, granted, strict=False) if free])
            raise
        self._learn(seen, tick)
        return granted, told

    def sent(self, key: Key, at: int) -> None:
        """Note when a call was sent."""
        self._commits.note(lambda: self._rows.sent(self._number, key, at))

    def settle(self, entries: Sequence[Entry], now: int) -> None:
        """Note that calls have ended, with what they have spent."""
        self._commits.note(lambda: self._rows.settle(self._number, entries, now))

    def release(self, keys: Sequence[Key]) -> None:
        """Forget what calls hold that never left, or that the peer does not count."""
        self._commits.note(lambda: self._rows.release(self._number, keys))

    def state(self, limit: str, state: bytes, version: int) -> None:
        """Tell others the adaptive state of a limit, unless a state as new is known."""
        self._commits.note(lambda: self._rows.state(self._number, limit, state, version))

    def want(self, wants: Sequence[Want], now: int) -> None:
        """Tell others which runs of this process wait for which limits, and no other one does."""

        def work() -> None:
            for limit in self._rows.wants.put(self._number, wants, now):
                self._rows.ring(limit, self._number)

        self._commits.note(work)

    async def sync(self, limits: Sequence[str], now: int) -> Told:
        """Give all that matters of these limits, and later what others have changed since.

        Raises:
            JournalError: It could not be read.
        """
        self._check()
        seen = {limit: self.seen.get(limit, 0) for limit in limits}

        def work() -> tuple[Told, int]:
            self._listen(seen)
            _, told, tick = self._rows.reserve(self._number, (), seen, now, {})
            return told, tick

        told, tick = await self._commits.submit(work)
        self._learn(seen, tick)
        return told

    def lost(self, key: Key, now: int) -> None:
        """Note that the process of this call is gone."""
        self._commits.note(lambda: self._rows.lost(key, now))

    def close(self) -> None:
        """Give up what is still held, as if the process were gone now."""
        self._closed = True
        self._commits.note(lambda: self._rows.leave(self._number))

    def ring(self, limit: str) -> None:
        """Be told that another has changed something of a limit."""
        if limit in self.listening and not self._rung and not self._closed:
            self._rung = True
            self._loop.call_soon(self._changed)

    def _check(self) -> None:
        if self._closed:
            raise JournalError("the ledger of shared limits is closed")

    def _listen(self, limits: Iterable[str]) -> None:
        """What is changed after this is news, whether or not the answer has been taken in."""
        self.listening.update(limits)
        self._rung = False

    def _learn(self, seen: Mapping[str, int], tick: int) -> None:
        for limit in seen:
            self.seen[limit] = max(tick, self.seen.get(limit, 0))
