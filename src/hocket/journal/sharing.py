"""The port of the ledger: what calls hold of the limits that processes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from hocket.limits.claim import Entry, Key
from hocket.limits.turns import Want


class Told(msgspec.Struct, frozen=True):
    """What the ledger has to tell: what others have changed since it last told of these limits.

    Fields:
        entries: What others hold, or held, of the limits; each replaces what was told of it.
        forgotten: The limit and key of what counts no more, as if it had never been.
        states: The adaptive states that others have found, by limit.
        wants: Who waits for the limits, by limit: all of it each time, of this process, too.
    """

    entries: tuple[Entry, ...] = ()
    forgotten: tuple[tuple[str, Key], ...] = ()
    states: dict[str, bytes] = {}
    wants: dict[str, tuple[Want, ...]] = {}


class Ledger(Protocol):
    """What calls hold of the limits that all processes of a state folder share.

    A reservation was decided and not sent; the commit of the call's start makes it a claim.
    When the process that made it is gone, whoever notices sees to that:

    - a reservation is forgotten: its call never left;
    - a claim that was not noted as sent counts as sent at the instant when that is noticed;
    - of any claim the units are free, and its tokens and its cost stay as they were reserved.

    One's own entries are not told, unless others have taken this process for dead.
    All instants in it are those of the journal's clock, which all processes share.
    """

    @property
    def company(self) -> bool:
        """Whether another process has to do with these limits, as far as is known."""

    def ahead(self, now: int) -> int:
        """Tell by how much the journal's clock is ahead of one that shows `now`.

        Raises:
            JournalError: The journal's clock is not known.
        """

    @property
    def clock_error(self) -> int:
        """By how many nanoseconds `ahead` may be wrong."""

    async def reserve(
        self, entries: Sequence[Entry], now: int, keep: Mapping[str, int]
    ) -> tuple[list[bool], Told]:
        """Reserve what calls are to hold; the entries of one key all together or not at all.

        A key is refused if another process has put a new entry on one of its limits of which this
        ledger has not told yet: take in what is told, decide again, and ask again.
        What is granted is durable when this returns.
        Take in what it tells before the next decision: it counts as known from then on.

        Args:
            entries: What is to be held.
            now: The present instant.
            keep: For each limit, for how many nanoseconds after it was sent an entry matters.

        Returns:
            Whether each key was granted, in the order in which the keys first come, and the news
            of these limits.

        Raises:
            JournalError: It could not be written.
        """

    def sent(self, key: Key, at: int) -> None:
        """Note when a call was sent; it is written before long."""

    def settle(self, entries: Sequence[Entry], now: int) -> None:
        """Note that calls have ended, with what they have spent; it is written before long.

        What was never noted as sent counts as sent now.
        """

    def release(self, keys: Sequence[Key]) -> None:
        """Forget what calls hold that never left, or that the peer does not count."""

    def state(self, limit: str, state: bytes, version: int) -> None:
        """Tell others the adaptive state of a limit, unless a state as new is known."""

    def want(self, wants: Sequence[Want], now: int) -> None:
        """Tell others which runs of this process wait for which limits, and no other one does.

        Each call that a run reserves while this stands moves its tag on by 1/weight.
        A run that did not wait before, or of which nothing was heard for long, begins no earlier
        than the call of its tier that began last.
        """

    async def sync(self, limits: Sequence[str], now: int) -> Told:
        """Give all that matters of these limits, and later what others have changed since.

        From now on this process is told when another changes something on them.

        Raises:
            JournalError: It could not be read.
        """

    def lost(self, key: Key, now: int) -> None:
        """Note that the process of this call is gone, as one knows who resumes its run."""

    def close(self) -> None:
        """Give up what is still held, as if the process were gone now."""
