"""What a limit learns of its peer from refusals, failures and headers, and tells people of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.events import LimitNews
from hocket.core.values import format_duration
from hocket.limits import pace
from hocket.limits.breaker import FAILURES, Breaker, mend, trip
from hocket.limits.claim import Block, Ending, Key, News, Quota
from hocket.limits.pace import NEVER, LimitState
from hocket.limits.window import Held, Window


class Peer:
    """What one limit has learned of its peer.

    Args:
        name: The limit's name.
        seed: With the name it fixes the jitter.

    Attributes:
        state: What processes share.
        guarded: Before this instant `block` has something to say.
        calm: Before this instant an answer teaches nothing.
        trial: The call that tries whether the endpoint is up again.
    """

    __slots__ = (
        "_failures",
        "_name",
        "_paced",
        "_seed",
        "_untold",
        "_windows",
        "calm",
        "guarded",
        "state",
        "trial",
    )

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        self.state = LimitState()
        self.trial: Key | None = None
        self._failures = 0
        """How many calls in a row found the endpoint down."""
        self._untold: int | None = None
        """What the paced window allowed when people last heard of it, if it has narrowed since."""
        self._windows: Sequence[Window] = ()
        self._paced: Window | None = None
        """The window that refusals narrow."""
        self.guarded = 0
        self.calm = 0

    def use(self, windows: Sequence[Window]) -> None:
        """Narrow these windows from now on: as they are known to be, and at once."""
        self._windows = windows
        requests = [window for window in windows if window.kind == "requests" and window.per]
        self._paced = min(requests, key=lambda window: window.per, default=None)
        self._apply()

    def block(self, at: int) -> list[Block]:
        """Say what keeps every call back."""
        blocks: list[Block] = []
        if at < self.state.closed:
            blocks.append(Block(f"closed:{self._name}", self.state.closed))
        until = self.state.breaker.until
        if at < until:
            blocks.append(Block(f"breaker:{self._name}", until))
        elif until and self.trial is not None:
            blocks.append(Block(f"breaker:{self._name}"))
        return blocks

    def taken(self, key: Key, at: int) -> None:
        """Note that a call may start: while the breaker is half open it is the one that tries."""
        until = self.state.breaker.until
        if until and at >= until and self.trial is None:
            self.trial = key

    def released(self, key: Key) -> None:
        """Note that a call never left."""
        if self.trial == key:
            self.trial = None

    def learn(self, held: Held, ending: Ending, at: int) -> list[News]:
        """Draw from how a call ended what it tells of the peer."""
        news: list[News] = []
        later = held.episode >= self.state.episode
        if later and self._untold is not None and self._paced is not None:
            # Whoever belonged to the episode has ended, so its estimate is as good as it gets.
            self._tell(self._paced, self._untold, news)
            self._untold = None
        if ending.kind == "refused":
            self._refused(held, ending.retry_after, at, not later, news)
        elif ending.kind == "done" and later and self.state.row:
            self._change(msgspec.structs.replace(self.state, row=0))
        if at >= pace.due(self.state):
            before = [window.allowed for window in self._windows]
            self._change(pace.widen(self.state, self._windows, at))
            for window, amount in zip(self._windows, before, strict=True):
                self._tell(window, amount, news)
        self._beat(held, ending, at, news)
        self._settle()
        return news

    def quota(self, quotas: Sequence[Quota], at: int) -> list[News]:
        """Take in what the provider says of its own windows; expire ours before.

        A smaller amount narrows ours; what is left, if that is less than we think, tells what
        others have used, which counts here until the reset, or until the provider says more.
        """
        news: list[News] = []
        for quota in quotas:
            window = pace.window_of(self._windows, quota)
            if window is None:
                continue
            before = window.allowed
            self._change(pace.stated(self.state, window, quota, at))
            self._tell(window, before, news)
            if quota.remaining is not None:
                ours = window.allowed - window.total + window.haunted()
                reset = window.per if quota.reset is None else min(quota.reset, window.per)
                window.haunt(max(0, ours - quota.remaining) if reset else 0, at + reset)
        return news

    def adopt(self, state: LimitState) -> None:
        """Take in what another process has learned, if it is newer."""
        merged = pace.merged(self.state, state)
        if merged.breaker != self.state.breaker:
            self._failures = 0
            self.trial = None
        self.state = merged
        self._apply()

    def fork(self, windows: Sequence[Window]) -> Self:
        """Copy it, for a copy of the windows."""
        other = type(self).__new__(type(self))
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.use(windows)
        return other

    def check(self) -> None:
        """Assert that the windows are as narrow as they are known to be.

        Raises:
            EngineBug: One is not.
        """
        if self.trial is not None and not self.state.breaker.until:
            raise EngineBug(f"{self.trial} tries {self._name!r}, which is not down")
        for window in self._windows:
            if window.allowed != pace.amount_of(self.state, window):
                raise EngineBug(f"{window.cause} allows {window.allowed}", [self.state])

    def _change(self, state: LimitState) -> None:
        if state != self.state:
            self.state = msgspec.structs.replace(state, version=self.state.version + 1)
            self._apply()

    def _apply(self) -> None:
        for window in self._windows:
            window.allowed = pace.amount_of(self.state, window)
            window.changed()
        self._settle()

    def _settle(self) -> None:
        state = self.state
        self.guarded = NEVER if state.breaker.until else state.closed
        calm = not (self._failures or state.breaker.until or state.row or self._untold is not None)
        self.calm = pace.due(state) if calm else 0

    def _refused(
        self, held: Held, retry_after: int | None, at: int, same: bool, news: list[News]
    ) -> None:
        sent = at if held.sent is None else held.sent
        before = None if self._paced is None else self._paced.allowed
        state = pace.close(self.state, self._name, self._seed, retry_after, at, same)
        self._change(pace.narrow(state, self._paced, sent, at, same))
        if self._untold is None:
            self._untold = before
        if not same:
            closed = self.state.closed
            told = f"refused a call: closed for {format_duration(closed - at)}"
            news.append(News(self._name, "closed", f"{self._name} {told}", closed))

    def _beat(self, held: Held, ending: Ending, at: int, news: list[News]) -> None:
        """Let the breaker see how a call ended."""
        breaker = self.state.breaker
        if self.trial == held.key:
            self.trial = None
            if ending.kind in ("done", "refused"):
                self._change(msgspec.structs.replace(self.state, breaker=mend(breaker)))
                news.append(News(self._name, "mended", f"{self._name} answers again"))
            elif ending.kind == "down":
                self._trip(breaker, "has failed again", at, news)
        elif breaker.until:
            # It was under way when the breaker opened, and knows nothing new.
            return
        elif ending.kind == "done":
            self._failures = 0
        elif ending.kind == "down" and held.trips == breaker.trips:
            self._failures += 1
            if self._failures >= FAILURES:
                self._trip(breaker, f"has failed {FAILURES} times in a row", at, news)

    def _trip(self, breaker: Breaker, why: str, at: int, news: list[News]) -> None:
        self._failures = 0
        opened = trip(breaker, self._name, self._seed, at)
        self._change(msgspec.structs.replace(self.state, breaker=opened))
        wait = format_duration(opened.until - at)
        told = f"{self._name} {why}: not called for {wait}"
        news.append(News(self._name, "tripped", told, opened.until))

    def _tell(self, window: Window, before: int, news: list[News]) -> None:
        """Tell people if a window allows more or less than it did."""
        allowed, amount = window.allowed, window.amount
        if allowed == before:
            return
        what: LimitNews = "narrowed" if allowed < before else "widened"
        kind = window.kind.replace("_in", " read").replace("_out", " written")
        announced = f", {amount} were announced" if allowed < amount else ", as announced"
        told = f"{what} to {allowed} {kind} in {format_duration(window.per)}{announced}"
        news.append(News(self._name, what, f"{self._name} {told}"))
