"""What the calls of this process hold of shared limits, as other processes know it.

Processes tell each other instants by the journal's clock.
A loop's own clock was put at that once, and runs on by itself: over days it may drift, and stand
still while its machine sleeps.
So what is told is moved by as much as the two differ at that moment, and what is heard is moved
back; what is known here already stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from hocket.core.specs import LimitSpec
from hocket.core.values import MINUTE, MS, SECOND
from hocket.journal.sharing import Ledger, Told
from hocket.limits.admission import Admission, Admitted
from hocket.limits.claim import Claim, Ending, Entry, Key
from hocket.limits.pace import LimitState, shifted
from hocket.limits.turns import REPEAT, Turns, Want, roughly
from hocket.limits.window import clear_at

_SLACK: Final = MINUTE
_LONGEST_MARGIN: Final = SECOND
_SKEW: Final = 5 * MS
"""By how much the clocks of two processes may differ at the least: each was put right by itself."""
_NOTHING: Final = Claim()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LimitState).decode

OpenLedger: TypeAlias = Callable[[Callable[[], None]], Ledger]
"""Opens the ledger of shared limits; the callback is told when another process changes it."""


class Shares:
    """One process's part in the limits that are shared.

    Args:
        admission: Who decides; it learns what others hold.
        ledger: Where all processes say what they hold.
        now: The loop's own clock.
    """

    def __init__(self, admission: Admission, ledger: Ledger, now: Callable[[], int]) -> None:
        self.limits: dict[str, LimitSpec] = {}
        """The shared limits that runs of this process have named."""
        self._admission = admission
        self._ledger = ledger
        self._now = now
        self._held: dict[Key, tuple[Admitted, int | None]] = {}
        """What calls in flight hold, and when they were sent."""
        self._versions: dict[str, int] = {}
        """Which state of each limit others have been told."""
        self._turns = Turns()
        self._kept: dict[str, list[Key]] = {}
        """What is kept of each limit for other processes."""
        self._said: list[Want] = []
        """Who waits, as others were told, and when."""
        self._said_at = 0

    def name(self, limits: Mapping[str, LimitSpec]) -> bool:
        """Take note of the limits of a run; tells whether any is shared, and `sync` is due."""
        shared = {name: spec for name, spec in limits.items() if spec.shared}
        self.limits.update(shared)
        return bool(shared)

    async def sync(self, now: int) -> Told:
        """Ask what others have changed; `learn` it before the next decision.

        Raises:
            JournalError: The ledger cannot be read.
        """
        limits = list(self.limits)
        told = await self._ledger.sync(limits, now + self._ahead())
        return self._hear(limits, told)

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
        granted, told = await self._ledger.reserve(entries, now + self._ahead(), keep)
        told = self._hear(names, told)
        for item, good in zip(items, granted, strict=True):
            if good:
                self._held[item.key] = item, None
        return granted, told

    def takes(self, told: Told) -> bool:
        """Tell whether others hold anything of which the admission has not known."""
        admission = self._admission
        return any(admission.limit(one.limit).entry(one.key) is None for one in told.entries)

    def learn(self, told: Told) -> None:
        """Take in what others have changed."""
        ahead = self._ahead() if told.states else 0
        states = {name: shifted(_decode(raw), -ahead) for name, raw in told.states.items()}
        self._admission.sync(told.entries, states)
        for limit, key in told.forgotten:
            self._admission.forget(limit, key)

    def deal(self, asking: Iterable[Admitted], at: int) -> None:
        """Keep for other processes what it is their turn to have, before anybody here takes it.

        Args:
            asking: The calls that were let through here and wait for the ledger's word.
            at: When.
        """
        names = dict.fromkeys((*self._kept, *self._turns.limits))
        if not names:
            return
        waiting = self._admission.wants()
        asked = Counter((name, item.run) for item in asking for name in item.shared)
        for name in names:
            limit = self._admission.limit(name)
            before = self._kept.pop(name, [])
            for key in before:
                limit.forget(key)
            own = [want for want in waiting if want.limit == name]
            ahead = {want.room: asked[name, want.room] for want in own}
            kept = self._turns.deal(limit, own, ahead, at)
            for entry in kept:
                limit.sync(entry)
            if kept:
                self._kept[name] = [entry.key for entry in kept]
            for key in before:
                if limit.entry(key) is None:
                    # Who waits here may fit now.
                    self._admission.forget(name, key)

    def tell(self, at: int) -> None:
        """Tell other processes who waits, if there are any and it is news to them."""
        company = self._ledger.company
        if not (company or self._said):
            return
        wants = self._admission.wants() if company else []
        said = [
            msgspec.structs.replace(want, claim=_NOTHING, waiting=roughly(want.waiting))
            for want in wants
        ]
        if said != self._said or (said and at >= self._said_at + REPEAT):
            self._said, self._said_at = said, at
            at += self._ahead()
            self._ledger.want(
                [
                    msgspec.structs.replace(want, waiting=roughly(want.waiting), at=at)
                    for want in wants
                ],
                at,
            )

    def next(self) -> int | None:
        """Give the instant at which to deal, or tell, again though nothing happens."""
        kept = self._turns.next()
        if not self._said:
            return kept
        again = self._said_at + REPEAT
        return again if kept is None else min(again, kept)

    def closed(self, item: Admitted, at: int) -> bool:
        """Tell whether the peer of one of a call's limits has refused another call meanwhile."""
        return any(self._admission.limit(name).state().closed > at for name in item.shared)

    def sent(self, key: Key, at: int) -> None:
        """Note that a call has left."""
        held = self._held.get(key)
        if held is not None:
            self._held[key] = held[0], at
            self._ledger.sent(key, at + self._ahead())

    def settle(self, key: Key, ending: Ending, at: int) -> None:
        """Note how a call ended, after the admission has."""
        item, sent = self._held.pop(key, (None, None))
        if item is None:
            return
        limits = (self._admission.limit(name) for name in item.shared)
        if any(limit.entry(key) is not None for limit in limits):
            entries = _entries(item, sent, ending)
            if sent is not None:
                entries = [self._cleared(entry, sent, ending, at) for entry in entries]
            ahead = self._ahead()
            self._ledger.settle([_moved(entry, ahead) for entry in entries], at + ahead)
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

    def _ahead(self) -> int:
        """Tell by how much the journal's clock is ahead now."""
        return self._ledger.ahead(self._now())

    def _hear(self, limits: Iterable[str], told: Told) -> Told:
        """Take in who waits; gives what is told by the loop's own clock."""
        ahead = self._ahead()
        for name in limits:
            wants = told.wants.get(name, ())
            self._turns.learn(
                name, [msgspec.structs.replace(want, at=want.at - ahead) for want in wants]
            )
        return msgspec.structs.replace(
            told, entries=tuple(_moved(entry, -ahead) for entry in told.entries)
        )

    def _cleared(self, entry: Entry, sent: int, ending: Ending, at: int) -> Entry:
        """Add what a call's answer has shown of its way, where that counts: others did not see."""
        margin = self._admission.limit(entry.limit).spec.margin
        if margin is not None:
            return entry
        # Both sides may have misjudged the journal's clock.
        skew = max(_SKEW, 2 * self._ledger.clock_error)
        return msgspec.structs.replace(entry, clear=clear_at(sent, None, ending, at) + skew)

    def _tell(self, item: Admitted) -> None:
        for name in item.shared:
            state = self._admission.limit(name).state()
            if state.version > self._versions.get(name, 0):
                self._versions[name] = state.version
                raw = _encode(shifted(state, self._ahead()))
                self._ledger.state(name, raw, state.version)


def _entries(item: Admitted, sent: int | None, ending: Ending | None) -> list[Entry]:
    """Say what a call holds of each shared limit, or held and spent."""
    units = dict(item.claim.units)
    claim = msgspec.structs.replace(item.claim, units=())
    if ending is not None and ending.spent is not None:
        claim = _spent(claim, ending)
    over = ending is not None
    return [Entry(name, item.key, units[name], claim, sent, over) for name in item.shared]


def _moved(entry: Entry, by: int) -> Entry:
    """Give an entry as a clock shows it that is ahead by so much."""
    if not by or entry.sent is None:
        return entry
    clear = None if entry.clear is None else entry.clear + by
    return msgspec.structs.replace(entry, sent=entry.sent + by, clear=clear)


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
