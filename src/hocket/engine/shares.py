"""What the calls of this process hold of shared limits, as other processes know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from hocket.core.specs import LimitSpec
from hocket.core.values import MINUTE, SECOND
from hocket.journal.base import Ledger, Told
from hocket.limits.admission import Admission, Admitted
from hocket.limits.claim import Claim, Ending, Entry, Key
from hocket.limits.pace import LimitState

_SLACK: Final = MINUTE
_LONGEST_MARGIN: Final = SECOND
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LimitState).decode

OpenLedger: TypeAlias = Callable[[Callable[[], None]], Ledger]
"""Opens the ledger of shared limits; the callback is told when another process changes it."""


class Shares:
    """One process's part in the limits that are shared.

    Args:
        admission: Who decides; it learns what others hold.
        ledger: Where all processes say what they hold.
    """

    def __init__(self, admission: Admission, ledger: Ledger) -> None:
        self.limits: dict[str, LimitSpec] = {}
        """The shared limits that runs of this process have named."""
        self._admission = admission
        self._ledger = ledger
        self._held: dict[Key, tuple[Admitted, int | None]] = {}
        """What calls in flight hold, and when they were sent."""
        self._versions: dict[str, int] = {}
        """Which state of each limit others have been told."""

    async def open(self, limits: Mapping[str, LimitSpec], now: int) -> None:
        """Learn who holds what of the limits of a run.

        Raises:
            JournalError: The ledger cannot be read.
        """
        shared = {name: spec for name, spec in limits.items() if spec.shared}
        self.limits.update(shared)
        if shared:
            self.learn(await self._ledger.sync(list(shared), now))

    async def sync(self, now: int) -> None:
        """Learn what others have changed.

        Raises:
            JournalError: The ledger cannot be read.
        """
        self.learn(await self._ledger.sync(list(self.limits), now))

    async def reserve(self, items: Sequence[Admitted], now: int) -> tuple[list[bool], Told]:
        """Reserve what admitted calls are to hold.

        Returns:
            For each whether it may have that, and what others have changed: `learn` that once
            those that may not have been put back.

        Raises:
            JournalError: The ledger cannot be written.
        """
        entries = [entry for item in items for entry in _entries(item, None, None)]
        names = {name: None for item in items for name in item.shared}
        keep = {name: _memory(self.limits[name]) for name in names}
        granted, told = await self._ledger.reserve(entries, now, keep)
        for item, good in zip(items, granted, strict=True):
            if good:
                self._held[item.key] = item, None
        return granted, told

    def learn(self, told: Told) -> None:
        """Take in what others have changed."""
        states = {name: _decode(raw) for name, raw in told.states.items()}
        self._admission.sync(told.entries, states)
        for limit, key in told.forgotten:
            self._admission.forget(limit, key)

    def closed(self, item: Admitted, at: int) -> bool:
        """Tell whether the peer of one of a call's limits has refused another call meanwhile."""
        return any(self._admission.limit(name).state().closed > at for name in item.shared)

    def sent(self, key: Key, at: int) -> None:
        """Note that a call has left."""
        held = self._held.get(key)
        if held is not None:
            self._held[key] = held[0], at
            self._ledger.sent(key, at)

    def settle(self, key: Key, ending: Ending, at: int) -> None:
        """Note how a call ended, after the admission has."""
        item, sent = self._held.pop(key, (None, None))
        if item is None:
            return
        limits = (self._admission.limit(name) for name in item.shared)
        if any(limit.entry(key) is not None for limit in limits):
            self._ledger.settle(_entries(item, sent, ending), at)
        else:
            # A peer does not count what it has refused.
            self._ledger.release([key])
        self._tell(item)

    def release(self, key: Key) -> None:
        """Note that a call never left."""
        if self._held.pop(key, None) is not None:
            self._ledger.release([key])

    def learned(self, key: Key) -> None:
        """Tell others what the limits of a call in flight have learned."""
        item, _ = self._held.get(key, (None, None))
        if item is not None:
            self._tell(item)

    # -- within -----------------------------------------------------------------------------

    def _tell(self, item: Admitted) -> None:
        for name in item.shared:
            state = self._admission.limit(name).state()
            if state.version > self._versions.get(name, 0):
                self._versions[name] = state.version
                self._ledger.state(name, _encode(state), state.version)


def _entries(item: Admitted, sent: int | None, ending: Ending | None) -> list[Entry]:
    """Say what a call holds of each shared limit, or held and spent."""
    units = dict(item.claim.units)
    claim = msgspec.structs.replace(item.claim, units=())
    if ending is not None and ending.spent is not None:
        claim = _spent(claim, ending)
    over = ending is not None
    return [Entry(name, item.key, units[name], claim, sent, over) for name in item.shared]


def _spent(claim: Claim, ending: Ending) -> Claim:
    spent = ending.spent
    assert spent is not None
    read = claim.tokens_in if spent.tokens_in is None else spent.tokens_in
    written = claim.tokens_out if spent.tokens_out is None else spent.tokens_out
    known = spent.tokens_in is not None and spent.tokens_out is not None
    return Claim(
        tokens_in=read,
        tokens_out=written,
        most_tokens=read + written if known else claim.most_tokens,
        most_cost=claim.most_cost if spent.cost is None else spent.cost,
    )


def _memory(spec: LimitSpec) -> int:
    """Give how long after it was sent a call may still count."""
    windows = (*spec.requests, *spec.tokens, *spec.tokens_in, *spec.tokens_out, *spec.cost)
    longest = max((rate.per for rate in windows), default=0)
    return max(longest, spec.spacing) + max(spec.margin or 0, _LONGEST_MARGIN) + _SLACK
