"""A named limit that calls share: all its bounds, what holds them, and what its peer has taught it.

Everything follows from the calls to it and their instants; it sees no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import msgspec

from hocket.core.specs import LimitSpec
from hocket.limits.claim import Block, Claim, Ending, Entry, Key, News, Quota
from hocket.limits.holdings import Holdings
from hocket.limits.pace import LimitState
from hocket.limits.peer import Peer
from hocket.limits.window import Held, Window

MARKS: Final = (95, 80, 50)
"""At these percentages of a budget people are warned."""
_PICO: Final = 10**12
_ANY: Final = 1 << 62


class Use(msgspec.Struct, frozen=True, gc=False):
    """How full one bound of a limit is, for people.

    Fields:
        kind: ``requests``, ``tokens``, ``tokens_in``, ``tokens_out``, ``cost``, ``spacing`` or
            ``concurrency``.
        used: How much of it is used.
        allowed: How much it allows now.
        amount: How much it was announced to allow.
        per: In how many nanoseconds; 0 for ever, or at once for ``concurrency``.
        free: When some of it becomes free if nothing else happens, or None if that isn't known.
    """

    kind: str
    used: int
    allowed: int
    amount: int
    per: int
    free: int | None = None


class Limit:
    """One named limit.

    Only a limit whose `on_exceed` is ``wait`` adapts: a budget knows nothing of any peer.

    Args:
        name: Its name.
        spec: Its bounds.
        seed: With the name it fixes the jitter.

    Attributes:
        name: Its name.
        spec: Its bounds.
    """

    def __init__(self, name: str, spec: LimitSpec, seed: int = 0) -> None:
        self.name = name
        self._peer = Peer(name, seed)
        self._use(spec, Holdings(name, spec))

    # -- what calls do ------------------------------------------------------------------------

    def blocked(self, units: int, claim: Claim, at: int) -> Block | None:
        """Say why a claim does not fit now, or None if it fits.

        Of several bounds that it does not fit, the one that will hold it up the longest is named.
        """
        worst: Block | None = None
        peer, holdings = self._peer, self._holdings
        if at < peer.guarded:
            for block in peer.block(at):
                worst = _worse(worst, block)
        for window in self._windows:
            log = window.log
            if log and log[0].clear + window.per <= at:
                holdings.expire(at)
            need = 1 if window.single else window.weigh(claim)
            if window.total + need > window.allowed:
                worst = _worse(worst, window.block(need))
        if holdings.slots + units > self._slots:
            worst = _worse(worst, Block(f"slot:{self.name}", None, units > self._slots))
        return worst

    def take(self, key: Key, units: int, claim: Claim, at: int) -> None:
        """Reserve what a call needs; it counts until it is sent, and from then on as sent.

        Raises:
            EngineBug: The call holds the limit already.
        """
        peer, windows = self._peer, self._windows
        amounts = [1 if w.single else w.weigh(claim) for w in windows] if windows else []
        state = peer.state
        trips = state.breaker.trips
        held = Held(key, units, claim, amounts, None, 0, False, 0, state.episode, trips)
        self._holdings.take(held)
        if at < peer.guarded:
            peer.taken(key, at)

    def sent(self, key: Key, at: int) -> None:
        """Let a call count from now; of several times the last one holds.

        Raises:
            EngineBug: The call does not hold the limit.
        """
        self._holdings.send(key, at)

    def settle(self, key: Key, ending: Ending, at: int) -> list[News]:
        """Let a call end: its units are free, and it counts with what it has spent.

        One that was never noted as sent counts as sent now, for nobody knows when it left.
        Where the limit adapts, a refused call does not count at all: servers don't count those.
        Elsewhere it spends nothing but its request, so that asking again keeps to the rate.

        Raises:
            EngineBug: The call does not hold the limit.
        """
        holdings = self._holdings
        held = holdings.live.get(key)
        if held is None or held.over:
            held = holdings.of(key)
        if self._plain:
            # It has no window to count in, and no peer to learn of: only its units are freed.
            holdings.slots -= held.units
            del holdings.live[key]
            return []
        if held.sent is None:
            holdings.send(key, at)
        if not self._adapts:
            return self._spend(held, ending, at)
        if ending.kind == "refused":
            holdings.refund(held)
        else:
            holdings.finish(held, ending, at)
        if ending.kind == "done" and at < self._peer.calm:
            return []
        return self._peer.learn(held, ending, at)

    def release(self, key: Key) -> None:
        """Give back what a call holds that never left: as if it had never been.

        Raises:
            EngineBug: The call does not hold the limit.
        """
        self._holdings.refund(self._holdings.of(key))
        self._peer.released(key)

    def quota(self, quotas: Sequence[Quota], at: int) -> list[News]:
        """Take in what the provider says of its own windows."""
        if not self._adapts:
            return []
        self._holdings.expire(at)
        return self._peer.quota(quotas, at)

    # -- what others do -----------------------------------------------------------------------

    def restate(self, spec: LimitSpec) -> None:
        """Go on under other numbers; who holds the limit keeps holding it."""
        if spec != self.spec:
            self._use(spec, self._holdings.restated(spec))

    def sync(self, entry: Entry) -> None:
        """Hold exactly what an entry says, whatever was known of its call.

        Raises:
            EngineBug: The entry makes no sense.
        """
        state = self._peer.state
        self._holdings.put(entry, episode=state.episode, trips=state.breaker.trips)

    def forget(self, key: Key) -> None:
        """Let a call be as if it had never been, if it is known."""
        self._holdings.forget(key)
        self._peer.released(key)

    def entry(self, key: Key) -> Entry | None:
        """Give what one call holds or has spent, if that still matters."""
        return self._holdings.entry(key)

    def entries(self, at: int) -> list[Entry]:
        """Give what still matters, in no promised order."""
        return self._holdings.entries(at)

    def state(self) -> LimitState:
        """Give what was learned of the peer; its version has grown if it has changed."""
        return self._peer.state

    def adopt(self, state: LimitState) -> None:
        """Take in what another process has learned, if it is newer."""
        self._peer.adopt(state)

    # -- for people and forecasts -------------------------------------------------------------

    def used(self, at: int) -> list[Use]:
        """Say how full each bound is."""
        self._holdings.expire(at)
        uses = [Use(w.kind, w.total, w.allowed, w.amount, w.per, w.next()) for w in self._windows]
        slots = self.spec.concurrency
        if slots is not None:
            uses.append(Use("concurrency", self._holdings.slots, slots, slots, 0))
        return uses

    def fork(self) -> Self:
        """Copy it; costs O(live calls)."""
        other = type(self).__new__(type(self))
        other.name = self.name
        holdings = self._holdings.fork()
        other._peer = self._peer.fork(holdings.windows)
        other._use(self.spec, holdings)
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        self._holdings.check()
        self._peer.check()

    # -- within -------------------------------------------------------------------------------

    def _use(self, spec: LimitSpec, holdings: Holdings) -> None:
        self.spec = spec
        self._adapts = spec.adaptive and spec.on_exceed == "wait"
        self._slots = _ANY if spec.concurrency is None else spec.concurrency
        self._holdings = holdings
        self._windows = holdings.windows
        self._plain = not (self._windows or self._adapts)
        self._budgets = [window for window in self._windows if window.budget]
        self._peer.use(self._windows)

    def _spend(self, held: Held, ending: Ending, at: int) -> list[News]:
        """Settle a call of a limit that does not adapt, and warn of budgets that run low."""
        news: list[News] = []
        if self._budgets:
            self._holdings.expire(at)
        before = [window.total - window.open for window in self._budgets]
        self._holdings.finish(held, ending, at)
        for window, spent in zip(self._budgets, before, strict=True):
            if mark := _crossed(window, spent, at):
                spent = window.total - window.open
                told = f"{_said(window, spent)} of {_said(window, window.amount)} spent"
                news.append(News(self.name, "warned", f"{self.name}: over {mark} %: {told}"))
        return news


def _worse(one: Block | None, other: Block) -> Block:
    """Choose the one that will hold a call up for longer."""
    return other if one is None or _gravity(other) > _gravity(one) else one


def _gravity(block: Block) -> tuple[bool, bool, int]:
    return block.hopeless, block.until is None, block.until or 0


def _crossed(window: Window, before: int, at: int) -> int:
    """Give the highest mark that a budget has just reached and was not warned of; 0 for none."""
    after = window.total - window.open
    reached = [m for m in MARKS if before * 100 < m * window.amount <= after * 100]
    told = window.warned
    fresh = [m for m in reached if m not in told or (window.per and at >= told[m] + window.per)]
    told.update(dict.fromkeys(fresh, at))
    return max(fresh, default=0)


def _said(window: Window, amount: int) -> str:
    if window.kind != "cost":
        return f"{amount:,} tokens"
    dollars = amount / _PICO
    return f"${dollars:,.2f}" if window.amount >= _PICO // 10 else f"${dollars:.6f}"
