"""Reads what a provider's headers say of its limits; what makes no sense counts as not said."""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Mapping
from typing import Final

from hocket.core.values import SECOND
from hocket.limits.claim import Quota

LONGEST: Final = 366 * 86_400 * SECOND
"""A window that takes longer to be empty again is nonsense."""

_UNITS = {
    "d": 86_400 * SECOND,
    "h": 3_600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": SECOND // 1_000,
    "us": SECOND // 1_000_000,
    "µs": SECOND // 1_000_000,
    "ns": 1,
}
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_PART = re.compile(rf"({_NUMBER})(d|h|ms|m|us|µs|ns|s)", re.ASCII)
_PARTS = re.compile(rf"(?:{_NUMBER}(?:d|h|ms|m|us|µs|ns|s))+", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)

# The kind, and where its limit, what is left of it, and its reset are written.
_OPENAI = tuple(
    (kind, *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset")))
    for kind in ("requests", "tokens")
)
_ANTHROPIC = tuple(
    (kind, *(f"anthropic-ratelimit-{name}-{what}" for what in ("limit", "remaining", "reset")))
    for kind, name in (
        ("requests", "requests"),
        ("tokens", "tokens"),
        ("tokens_in", "input-tokens"),
        ("tokens_out", "output-tokens"),
    )
)


def quotas_of(headers: Mapping[str, str], now: float) -> tuple[Quota, ...]:
    """Read the headers of an answer, of a success as of a refusal.

    Args:
        headers: By lower-case names.
        now: The present second since the epoch, in case the server does not show its own clock.
    """
    found = []
    for kind, limit, remaining, reset in (*_OPENAI, *_ANTHROPIC):
        quota = Quota(
            kind=kind,
            # Some write 0 or -1 where there is no limit.
            limit=_count(headers.get(limit)) or None,
            remaining=_count(headers.get(remaining)),
            reset=_reset(headers.get(reset), headers.get("date"), now),
        )
        if quota.limit is not None or quota.remaining is not None:
            found.append(quota)
    return tuple(found)


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _reset(text: str | None, date: str | None, now: float) -> int | None:
    """Read how long something takes, or when it happens, in nanoseconds from now."""
    text = (text or "").strip()
    if _PLAIN.fullmatch(text):
        wait: int | None = round(float(text) * SECOND)
    elif _PARTS.fullmatch(text):
        wait = sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))
    else:
        wait = _until(text, date, now)
    return wait if wait is not None and wait <= LONGEST else None


def _until(text: str, date: str | None, now: float) -> int | None:
    """Give the nanoseconds until an instant as RFC 3339 writes it, by the server's own clock."""
    try:
        instant = datetime.datetime.fromisoformat(text)
        if instant.tzinfo is None:
            return None
        then = instant.timestamp()
    except (ValueError, OverflowError):
        return None
    try:
        now = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        # Without a readable one our own clock has to do.
        pass
    return max(0, round((then - now) * SECOND))
