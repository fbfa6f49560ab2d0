"""How a limit adapts: it closes when refused, narrows to what the peer accepts, and widens again.

Refusals of calls that were taken before the limit closed belong to the same *episode*: they neither
close it again nor count as a new one, but make the estimate of what the peer accepts better.
All of this is one plain state, which the processes of a state folder share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.core.values import MINUTE, SECOND
from hocket.limits.breaker import Breaker, grown, spread
from hocket.limits.claim import Quota
from hocket.limits.window import Window

FIRST: Final = SECOND
LONGEST: Final = MINUTE
QUIET_WINDOWS: Final = 10
LEAST_QUIET: Final = 10 * SECOND
"""A narrowed window widens after so many quiet windows, and after so long at least."""
NEVER: Final = 1 << 62


class Narrowed(msgspec.Struct, frozen=True, array_like=True):
    """A window that allows less than was announced, or did so once.

    Fields:
        kind: The window's kind.
        per: The window's stretch.
        allowed: What the peer's refusals leave.
        stated: What the peer itself has stated at most.
        start: What was allowed when the present episode began.
        quiet: What was allowed before it was last widened, which nobody had refused; 0 if it never
            was.
        since: When it was last narrowed or widened.
    """

    kind: str
    per: int
    allowed: int
    stated: int
    start: int
    quiet: int
    since: int

    @property
    def amount(self) -> int:
        """What is allowed in all."""
        return min(self.allowed, self.stated)

    @property
    def due(self) -> int:
        """When it may widen."""
        if self.allowed >= self.stated:
            return NEVER
        return self.since + max(QUIET_WINDOWS * self.per, LEAST_QUIET)


class LimitState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a limit has learned of its peer; shared between processes.

    Fields:
        version: Grows with each change.
        closed: Until when nobody calls.
        episode: How often it was closed.
        row: How often it was closed since a call that was taken after a closing was answered.
        narrowed: The windows that allow less than was announced, or did so once.
        breaker: Whether the endpoint may be called.
    """

    version: int = 0
    closed: int = 0
    episode: int = 0
    row: int = 0
    narrowed: tuple[Narrowed, ...] = ()
    breaker: Breaker = Breaker()


def shifted(state: LimitState, by: int) -> LimitState:
    """Give a state as a clock shows it that is ahead by so much."""
    if not by:
        return state
    breaker = state.breaker
    return msgspec.structs.replace(
        state,
        closed=state.closed and state.closed + by,
        narrowed=tuple(
            msgspec.structs.replace(one, since=one.since + by) for one in state.narrowed
        ),
        breaker=msgspec.structs.replace(breaker, until=breaker.until and breaker.until + by),
    )


def merged(ours: LimitState, theirs: LimitState) -> LimitState:
    """Take in what another process has found, if it is newer.

    Nobody opens a closed limit early, so the later end holds, whoever found it.
    """
    if theirs.version <= ours.version:
        return ours
    if ours.closed <= theirs.closed:
        return theirs
    return msgspec.structs.replace(theirs, closed=ours.closed, version=theirs.version + 1)


def close(
    state: LimitState, name: str, seed: int, retry_after: int | None, at: int, same: bool
) -> LimitState:
    """Close the limit after a refusal; one of the `same` episode only as long as it says itself."""
    if same:
        until = at if retry_after is None else at + retry_after
        return msgspec.structs.replace(state, closed=max(state.closed, until))
    episode, row = state.episode + 1, state.row + 1
    if retry_after is None:
        retry_after = spread(grown(FIRST, LONGEST, row), seed, name, "close", episode)
    until = max(state.closed, at + retry_after)
    return msgspec.structs.replace(state, closed=until, episode=episode, row=row)


def narrow(state: LimitState, window: Window | None, sent: int, at: int, same: bool) -> LimitState:
    """Narrow the shortest request window to what the peer evidently accepts.

    What it accepts is what counts now, has been sent and was not refused; but no less than half of
    what was allowed when the episode began.
    While calls are leaving the window nobody knows exactly how many of them the peer still counts,
    so then it goes back to what was allowed before it was last widened.
    A refusal that took longer than half a window tells nothing: too much has left it since.

    Args:
        state: What is known.
        window: The shortest request window, after the refused call was taken out of it; None if
            the limit has none.
        sent: When the refused call was sent.
        at: The present instant.
        same: Whether the refusal belongs to the episode that is known.
    """
    quiet = tuple(msgspec.structs.replace(item, since=at) for item in state.narrowed)
    state = msgspec.structs.replace(state, narrowed=quiet)
    if window is None or at - sent > window.per // 2:
        return state
    known = _known(state, window)
    start = known.start if same else known.amount
    accepted = window.total - window.unsent
    if window.leaving(at) and 0 < known.quiet < start:
        accepted = known.quiet
    allowed = min(start, max(accepted, (start + 1) // 2, 1))
    return _with(
        state, window, msgspec.structs.replace(known, allowed=allowed, start=start, since=at)
    )


def widen(state: LimitState, windows: Sequence[Window], at: int) -> LimitState:
    """Let every window that has been quiet for long enough allow a tenth more than it does."""
    for window in windows:
        known = _known(state, window)
        if at >= known.due:
            allowed = min(known.stated, known.allowed + max(1, window.amount // 10))
            wider = msgspec.structs.replace(
                known, allowed=allowed, start=allowed, quiet=known.allowed, since=at
            )
            state = _with(state, window, wider)
    return state


def stated(state: LimitState, window: Window, quota: Quota, at: int) -> LimitState:
    """Let the window allow no more than the provider states."""
    if quota.limit is None:
        return state
    amount = max(1, min(window.amount, quota.limit))
    known = _known(state, window)
    if amount == known.stated:
        return state
    return _with(state, window, msgspec.structs.replace(known, stated=amount, since=at))


def window_of(windows: Sequence[Window], quota: Quota) -> Window | None:
    """Guess which of our windows a provider speaks of: it does not say how long its own is.

    That with the stated amount; else the shortest that can last until the reset; else the longest.
    """
    kin = [w for w in windows if w.kind == quota.kind and w.per and not w.budget]
    kin.sort(key=lambda window: window.per)
    for window in kin:
        if window.amount == quota.limit:
            return window
    for window in kin:
        if window.per >= (quota.reset or 0):
            return window
    return kin[-1] if kin else None


def amount_of(state: LimitState, window: Window) -> int:
    """Say how much a window allows by what is known."""
    return min(window.amount, _known(state, window).amount)


def due(state: LimitState) -> int:
    """Say from when a window may widen."""
    return min((item.due for item in state.narrowed), default=NEVER)


def _known(state: LimitState, window: Window) -> Narrowed:
    for item in state.narrowed:
        if item.kind == window.kind and item.per == window.per:
            return item
    amount = window.amount
    return Narrowed(window.kind, window.per, amount, amount, amount, 0, 0)


def _with(state: LimitState, window: Window, item: Narrowed) -> LimitState:
    others = tuple(n for n in state.narrowed if (n.kind, n.per) != (item.kind, item.per))
    if item.amount < window.amount or item.quiet:
        others = (*others, item)
    return msgspec.structs.replace(state, narrowed=others)
