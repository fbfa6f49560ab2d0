"""What held a number of waiting calls up, piece by piece, and the stretch of it that one waited.

A log tells of a bounded number of pieces, however often the cause has changed, and so does a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from hocket.core.events import Wait

PAUSE: Final = "pause"
COMMIT: Final = "commit"
SHARE: Final = "share"

MAX_WAITS: Final = 8
"""A call that was held up by more changing causes than this has the shortest of them counted to
the one before."""

_LONG: Final = 32
"""When a log has become this long, its older half is halved."""

Log: TypeAlias = list[tuple[int, str]]
"""(since, cause): each cause from when it began; the last one goes on."""


def note(log: Log, cause: str, at: int) -> None:
    """Note what holds the calls up from now on."""
    if log:
        begun, present = log[-1]
        if present == cause:
            return
        if begun == at:
            log.pop()
            if log and log[-1][1] == cause:
                return
    log.append((at, cause))
    if len(log) > _LONG:
        _shorten(log)


def cut(log: Log, since: int, at: int) -> list[Wait]:
    """Cut out the stretch that one call waited, oldest first.

    What held the calls up when they were first looked at has held this one up since it waits.
    """
    waits: list[Wait] = []
    until = at
    for i in range(len(log) - 1, -1, -1):
        begun, cause = log[i]
        begun = max(begun, since) if i else since
        if until > begun:
            waits.append(Wait(cause, begun, until))
            until = begun
        if begun == since:
            break
    waits.reverse()
    return waits


def bounded(waits: Sequence[Wait]) -> tuple[Wait, ...]:
    """Join neighbours of one cause; of too many, count the shortest to the one before."""
    if len(waits) < 2:
        return tuple(waits)
    keep: Sequence[int] = range(1, len(waits))
    if len(waits) > MAX_WAITS:
        lengths = [wait.until - wait.since for wait in waits]
        keep = sorted(sorted(keep, key=lengths.__getitem__)[1 - MAX_WAITS :])
    pieces: list[Wait] = []
    cause, since = waits[0].cause, waits[0].since
    for i in keep:
        wait = waits[i]
        if wait.cause != cause:
            pieces.append(Wait(cause, since, wait.since))
            cause, since = wait.cause, wait.since
    pieces.append(Wait(cause, since, waits[-1].until))
    return tuple(pieces)


def _shorten(log: Log) -> None:
    """Halve the older half; what is recent stays exact."""
    for _ in range(_LONG // 4):
        shortest = min(range(1, _LONG // 2), key=lambda i: log[i + 1][0] - log[i][0])
        del log[shortest]
        if log[shortest - 1][1] == log[shortest][1]:
            del log[shortest]
