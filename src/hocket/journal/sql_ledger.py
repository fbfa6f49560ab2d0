"""The ledger of shared limits in a database, as the loop that opened it sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import msgspec

from hocket.core.errors import JournalError
from hocket.journal.schema import Database
from hocket.journal.sharing import Told
from hocket.journal.stake import (
    Answer,
    Found,
    Left,
    Lost,
    Note,
    Released,
    Sent,
    Settled,
    Stake,
    Wanted,
)
from hocket.journal.writer import Writer
from hocket.limits.claim import Entry, Key
from hocket.limits.turns import Want


class SqlLedger:
    """One ledger of shared limits, of the loop that opened it.

    Args:
        writer: Gives the writer; it is not asked before it is needed.
        changed: Is called in the loop when another process has changed something.
        wall: The clock that all processes of the journal share.
        error: By how many nanoseconds that may be wrong.
    """

    def __init__(
        self,
        writer: Callable[[], Writer],
        changed: Callable[[], None],
        wall: Callable[[], int],
        error: Callable[[], int],
    ) -> None:
        self._open_writer = writer
        self._wall = wall
        self._error = error
        self._writer: Writer | None = None
        self._stake = Stake(changed)
        self._seen: dict[str, int] = {}
        self._open: dict[str, set[Key]] = {}
        """Of each limit, the calls of others that were told and are not over."""

    @property
    def company(self) -> bool:
        """Whether another process has to do with these limits, as far as is known."""
        return self._stake.company

    def ahead(self, now: int) -> int:
        """Tell by how much the journal's clock is ahead of one that shows `now`.

        Raises:
            JournalError: The journal's clock is not known.
        """
        return self._wall() - now

    @property
    def clock_error(self) -> int:
        """By how many nanoseconds the journal's clock may be misjudged here."""
        return self._error()

    async def reserve(
        self, entries: Sequence[Entry], now: int, keep: Mapping[str, int]
    ) -> tuple[list[bool], Told]:
        """Reserve what calls are to hold; the entries of one key all together or not at all.

        Raises:
            JournalError: It could not be written.
        """
        seen = {entry.limit: self._seen.get(entry.limit, 0) for entry in entries}
        kept = {limit: keep[limit] for limit in seen}
        future = self._ask(lambda db: self._stake.reserve(db, entries, seen, now, kept))
        try:
            answer = await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            # Some may be reserved by now, and nobody is left who would use them.
            keys = list(dict.fromkeys(entry.key for entry in entries))
            future.add_done_callback(lambda done: self._give_back(keys, done))
            raise
        return answer.granted, self._learn(answer, seen)

    def sent(self, key: Key, at: int) -> None:
        """Note when a call was sent."""
        self._note(Sent(key, at))

    def settle(self, entries: Sequence[Entry], now: int) -> None:
        """Note that calls have ended, with what they have spent."""
        self._note(Settled(tuple(entries), now))

    def release(self, keys: Sequence[Key]) -> None:
        """Forget what calls hold that never left, or that the peer does not count."""
        self._note(Released(tuple(keys)))

    def state(self, limit: str, state: bytes, version: int) -> None:
        """Tell others the adaptive state of a limit, unless a state as new is known."""
        self._note(Found(limit, state, version))

    def want(self, wants: Sequence[Want], now: int) -> None:
        """Tell others which runs of this process wait for which limits, and no other one does."""
        self._note(Wanted(tuple(wants), now))

    async def sync(self, limits: Sequence[str], now: int) -> Told:
        """Give all that matters of these limits, and later what others have changed since.

        Raises:
            JournalError: It could not be read.
        """
        seen = {limit: self._seen.get(limit, 0) for limit in limits}
        future = self._ask(lambda db: self._stake.sync(db, seen, now))
        return self._learn(await asyncio.shield(asyncio.wrap_future(future)), seen)

    def lost(self, key: Key, now: int) -> None:
        """Note that the process of this call is gone."""
        self._note(Lost(key, now))

    def close(self) -> None:
        """Give up what is still held, as if the process were gone now."""
        if self._writer is not None and not self._stake.closed:
            self._note(Left())
        self._stake.closed = True

    def _ask(self, work: Callable[[Database], Answer]) -> Future[Answer]:
        if self._stake.closed:
            raise JournalError("the ledger of shared limits is closed")
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer.submit(work, self._stake)

    def _note(self, note: Note) -> None:
        if self._stake.closed:
            return
        if self._writer is None:
            self._writer = self._open_writer()
        self._writer.note(self._stake, note)

    def _give_back(self, keys: Sequence[Key], done: Future[Answer]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self.release([key for key, free in zip(keys, done.result().granted, strict=True) if free])

    def _learn(self, answer: Answer, seen: Mapping[str, int]) -> Told:
        """Take note of what is told, and add what went while nobody asked."""
        told = answer.told
        missed = {limit: self._open.pop(limit, set()) for limit in answer.whole}
        for entry in told.entries:
            known = self._open.setdefault(entry.limit, set())
            if entry.over:
                known.discard(entry.key)
            else:
                known.add(entry.key)
        for limit, key in told.forgotten:
            self._open.get(limit, set()).discard(key)
        for limit in seen:
            self._seen[limit] = max(answer.tick, self._seen.get(limit, 0))
        there = {(entry.limit, entry.key) for entry in told.entries}
        went = {(limit, key): None for limit, keys in missed.items() for key in sorted(keys)}
        fresh = [item for item in went if item not in there and item not in told.forgotten]
        if not fresh:
            return told
        return msgspec.structs.replace(told, forgotten=(*told.forgotten, *fresh))
