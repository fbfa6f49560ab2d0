"""An exact sliding window: what counts in it, until when, and from when something fits.

A call counts from the moment it is reserved.
Once it has been sent at `sent`, the server counts it at some instant in [sent, clear].
So it counts here until `clear + per`, and no more at that instant: whatever starts then is counted
at the server after everything that was sent before has left the server's own window, so no window
(t, t + per] of the server holds more than the amount.

`clear` is `sent` plus the margin: the longest that a request may be on its way.
A stated margin is taken as it is.
Otherwise it is 250 ms as long as the call has not been answered, and after that what its own answer
proves: a request had arrived before its answer began, so the round trip bounds the way there.
Each call is judged by its own round trip and by nothing else, so the margin never shrinks below
what is safe: that other requests were fast says nothing about one that may still be on its way.

Calls leave in the order in which they were sent; one that may have been slow on its way holds those
behind it up for no longer than the margin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MS
from hocket.limits.claim import Block, Claim, Ending, Key

MARGIN: Final = 250 * MS
"""How long a request of which nothing is known may be on its way."""
SLACK: Final = MS
"""How much longer than measured a round trip may have been: clocks don't run quite alike."""
GONE: Final = -1
"""What a call counts in a window that has let go of it."""

_SENT = attrgetter("sent")


class Held(msgspec.Struct, gc=False):
    """What one call holds of a limit.

    Fields:
        key: The call.
        units: How many units it holds.
        claim: What was reserved; once it is over, what was spent.
        amounts: What it counts in each window, in their order; `GONE` where it counts no more.
        sent: When it was sent, or None if it has not been.
        clear: From when the server has counted it for certain.
        over: Whether it has ended.
        logs: How many windows will have to let go of it.
        episode: How many times the limit had been closed when it was taken.
        trips: How often the breaker had opened when it was taken.
    """

    key: Key
    units: int
    claim: Claim
    amounts: list[int]
    sent: int | None = None
    clear: int = 0
    over: bool = False
    logs: int = 0
    episode: int = 0
    trips: int = 0

    def copy(self) -> Held:
        """Give one that changes by itself."""
        return Held(
            self.key,
            self.units,
            self.claim,
            self.amounts.copy(),
            self.sent,
            self.clear,
            self.over,
            self.logs,
            self.episode,
            self.trips,
        )


class Window:
    """One bound on what happens in any stretch of `per` nanoseconds; for ever if that is 0.

    Args:
        name: The limit's name.
        index: Its place among the windows of the limit.
        kind: ``requests``, ``tokens``, ``tokens_in``, ``tokens_out``, ``cost`` or ``spacing``.
        rate: The announced amount and the stretch.
        budget: Whether it reserves the most that a call may spend, and not what is expected.

    Attributes:
        allowed: How much it allows now.
        total: How much counts now.
        unsent: The part of `total` that was not sent yet.
        open: The part of `total` that has not ended and may yet become less.
        log: What was sent and may still count, in the order of sending.
        phantom: What others have used, as far as the provider says.
        warned: The instants at which people were warned, by share in percent.
    """

    __slots__ = (
        "_fits",
        "allowed",
        "amount",
        "budget",
        "cause",
        "index",
        "kind",
        "log",
        "open",
        "per",
        "phantom",
        "single",
        "total",
        "unsent",
        "warned",
    )

    def __init__(self, name: str, index: int, kind: str, rate: Rate, budget: bool) -> None:
        self.index = index
        self.kind = kind
        self.amount = rate.amount
        self.per = rate.per
        self.budget = budget
        self.single = kind in ("requests", "spacing")
        word = "budget" if budget else "spacing" if kind == "spacing" else "rate"
        self.cause = f"{word}:{name}"
        self.allowed = rate.amount
        self.total = 0
        self.unsent = 0
        self.open = 0
        self.log: deque[Held] = deque()
        self.phantom: Held | None = None
        self.warned: dict[int, int] = {}
        self._fits: dict[int, int | None] = {}

    def weigh(self, claim: Claim, over: bool = False) -> int:
        """Say how much a claim counts here, or what was spent if its call is over.

        A rate goes by an estimate, which may be larger than the whole window: such a call runs
        when it has the window to itself.
        """
        if self.single:
            return 1
        if self.kind == "cost":
            return claim.most_cost
        read, written = claim.tokens_in, claim.tokens_out
        if self.kind == "tokens":
            amount = read + written
        else:
            amount = read if self.kind == "tokens_in" else written
        if not self.budget:
            return amount if over else min(amount, self.allowed)
        if not over or self.kind == "tokens":
            return claim.most_tokens or amount
        return amount

    def expire(self, at: int) -> list[Held]:
        """Let go of what counts no more; gives those of which no window holds anything."""
        gone: list[Held] = []
        log, per, index = self.log, self.per, self.index
        while log and log[0].clear + per <= at:
            held = log.popleft()
            amount = held.amounts[index]
            self.total -= amount
            if not held.over:
                self.open -= amount
            held.amounts[index] = GONE
            held.logs -= 1
            if not held.logs:
                gone.append(held)
        self._fits.clear()
        return gone

    def changed(self) -> None:
        """Note that what counts has changed."""
        if self._fits:
            self._fits.clear()

    def enter(self, held: Held) -> None:
        """Put what was sent into the log."""
        log = self.log
        if not log or _SENT(log[-1]) <= _SENT(held):
            log.append(held)
        else:
            # Another process has told of it later than we sent one.
            log.insert(bisect_right(log, _SENT(held), key=_SENT), held)

    def block(self, need: int) -> Block:
        """Say why so much does not fit now; call it after `expire`."""
        hopeless = need > self.amount
        if self.budget or not self.per:
            hopeless = hopeless or self.total - self.open + need > self.allowed
        return Block(self.cause, self.until(need), hopeless)

    def until(self, need: int) -> int | None:
        """Say from when so much will fit if nothing else happens, or None if that isn't known."""
        if need in self._fits:
            return self._fits[need]
        found: int | None = None
        lacking = self.total + need - self.allowed
        if self.per and self.unsent + need <= self.allowed:
            latest = 0
            for held in self.log:
                latest = max(latest, held.clear + self.per)
                lacking -= held.amounts[self.index]
                if lacking <= 0:
                    found = latest
                    break
        self._fits[need] = found
        return found

    def next(self) -> int | None:
        """Say when something becomes free if nothing else happens, or None if that isn't known."""
        latest = 0
        for held in self.log:
            latest = max(latest, held.clear + self.per)
            if held.amounts[self.index]:
                return latest
        return None

    def leaving(self, at: int) -> bool:
        """Tell whether something counts here that the server may count no more."""
        for held in self.log:
            if held.amounts[self.index]:
                return held.sent is not None and held.sent + self.per <= at
        return False

    def haunt(self, amount: int, until: int) -> None:
        """Count what others use of the same window until then, instead of what was known of it."""
        if self.phantom is not None and (before := self.haunted()):
            self.total -= before
            self.phantom.amounts[self.index] = 0
            self.phantom.clear = 0
        self.phantom = None
        if amount:
            begun = until - self.per
            amounts = [0] * self.index + [amount]
            self.phantom = Held("", 0, Claim(), amounts, begun, begun, over=True, logs=1)
            self.total += amount
            self.enter(self.phantom)
        self.changed()

    def haunted(self) -> int:
        """Say how much of what counts others have used."""
        return 0 if self.phantom is None else max(0, self.phantom.amounts[self.index])

    def fork(self) -> Window:
        """Copy it; the log still holds the original's calls."""
        other = Window.__new__(Window)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.warned = self.warned.copy()
        other._fits = {}
        return other

    def check(self, live: Sequence[Held], past: Sequence[Held]) -> None:
        """Assert that its sums are those of the calls that count in it.

        Raises:
            EngineBug: One is not.
        """
        index = self.index
        here = [held for held in live if held.amounts[index] != GONE]
        total = sum(held.amounts[index] for held in (*here, *past)) + self.haunted()
        unsent = sum(held.amounts[index] for held in here if held.sent is None)
        opened = sum(held.amounts[index] for held in here if not held.over)
        found, right = (self.total, self.unsent, self.open), (total, unsent, opened)
        if found != right or min(found) < 0:
            raise EngineBug(f"{self.cause} sums to {found}, not {right}", here)
        sent = [_SENT(held) for held in self.log]
        if sent != sorted(sent):
            raise EngineBug(f"{self.cause} is out of order", here)
        if not min(1, self.amount) <= self.allowed <= self.amount:
            raise EngineBug(f"{self.cause} allows {self.allowed} of {self.amount}")


def windows_of(name: str, spec: LimitSpec) -> list[Window]:
    """Give the windows that a spec asks for."""
    budget = spec.on_exceed != "wait"
    kinds: tuple[tuple[str, Sequence[Rate], bool], ...] = (
        ("requests", spec.requests, False),
        ("tokens", spec.tokens, budget),
        ("tokens_in", spec.tokens_in, budget),
        ("tokens_out", spec.tokens_out, budget),
        ("cost", spec.cost, budget),
        ("spacing", (Rate(1, spec.spacing),) if spec.spacing else (), False),
    )
    rates = [(kind, rate, strict) for kind, rates, strict in kinds for rate in rates]
    return [Window(name, i, kind, rate, strict) for i, (kind, rate, strict) in enumerate(rates)]


def clear_at(sent: int, margin: int | None, ending: Ending, at: int) -> int:
    """Say from when the server has counted a call that has ended."""
    if margin is not None:
        return sent + margin
    way = MARGIN
    if ending.round_trip is not None:
        way = ending.round_trip + SLACK
    elif ending.kind in ("done", "refused"):
        way = at - sent
    return sent + max(0, min(way, MARGIN))


def reserve(windows: Sequence[Window], held: Held) -> None:
    """Count a call that was not sent yet."""
    for window in windows:
        amount = held.amounts[window.index]
        window.total += amount
        window.unsent += amount
        window.open += amount
        window.changed()


def stamp(windows: Sequence[Window], held: Held, sent: int, clear: int) -> None:
    """Let a reserved call count from the instant at which it was sent."""
    held.sent = sent
    held.clear = clear
    for window in windows:
        window.unsent -= held.amounts[window.index]
        if window.per:
            window.enter(held)
            held.logs += 1
        window.changed()


def finish(windows: Sequence[Window], held: Held, spent: Claim | None) -> None:
    """Let what was spent, if that is known, take the place of what was reserved."""
    held.over = True
    if spent is not None:
        held.claim = spent
    for window in windows:
        before = held.amounts[window.index]
        if before == GONE:
            continue
        window.open -= before
        if spent is not None:
            after = window.weigh(spent, over=True)
            window.total += after - before
            held.amounts[window.index] = after
        window.changed()


def drop(windows: Sequence[Window], held: Held) -> None:
    """Let a call count no more, as if it had never been."""
    for window in windows:
        amount = held.amounts[window.index]
        if amount == GONE:
            continue
        window.total -= amount
        if held.sent is None:
            window.unsent -= amount
        if not held.over:
            window.open -= amount
        held.amounts[window.index] = 0
        window.changed()
    held.over = True
    # It has to hold nobody up.
    held.clear = 0
