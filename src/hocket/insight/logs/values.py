"""Takes instants, texts and numbers out of values that may be anything."""

from __future__ import annotations

import re
from typing import Final

from hocket.core.errors import LogError
from hocket.core.values import SECOND, Json, format_duration

MAX_TEXT: Final = 200
CUT_OFF: Final = "cut off"
"""The status of a log that ends in the middle."""
_LATEST: Final = 1 << 63
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:Z|([+-])(\d\d):?(\d\d))?\Z"
)
_MONTHS: Final = 12
_HALF_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def text(value: Json) -> str:
    """Give a text that can be shown and written, cut where it is long; "" for anything else."""
    if not isinstance(value, str):
        return ""
    value = value[:MAX_TEXT]
    return value if value.isascii() else _HALF_SURROGATE.sub("\ufffd", value)


def whole(value: Json) -> int | None:
    """Give a count of at least 0, which may stand there as a text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or len(value) > len(str(_LATEST)):
            return None
        value = int(value)
    if isinstance(value, float):
        # Neither infinities nor numbers that no clock shows.
        if not 0 <= value < _LATEST:
            return None
        value = round(value)
    return value if isinstance(value, int) and 0 <= value < _LATEST else None


def scaled(value: Json, unit: int) -> int | None:
    """Give a number of units of so many nanoseconds as nanoseconds; None for anything else.

    A float keeps a thousandth of its unit, which is what it can tell near the present.
    """
    if isinstance(value, str):
        return _of_text(value, unit)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value * unit < _LATEST:
        return None
    if isinstance(value, int):
        return value * unit
    if unit >= SECOND:
        return round(value * 1_000_000) * (unit // 1_000_000)
    return round(value * unit)


def _of_text(value: str, unit: int) -> int | None:
    if len(value) > MAX_TEXT or not re.fullmatch(r"\d+(?:\.\d+)?", value, re.ASCII):
        return None
    return scaled(float(value) if "." in value else int(value), unit)


def iso(value: Json) -> int | None:
    """Give an instant that is written as ``2026-11-21T19:42:34.104111``; UTC, if no zone is there.

    None for anything else.
    """
    found = _ISO.match(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if not 1 <= month <= _MONTHS:
        return None
    seconds = (_days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    if found[8] is not None:
        shift = int(found[9]) * 3600 + int(found[10]) * 60
        seconds += shift if found[8] == "-" else -shift
    at = seconds * SECOND + int((found[7] or "").ljust(9, "0"))
    return at if 0 <= at < _LATEST else None


def _days(year: int, month: int, day: int) -> int:
    """Count the days since the epoch; the year begins in March, so that the leap day is last."""
    if month <= 2:
        year, month = year - 1, month + 12
    century = year // 100
    days = 365 * year + year // 4 - century + century // 4
    return days + (153 * (month - 3) + 2) // 5 + day - 1 - 719_468


def cut_said(cut: LogError, held: int) -> str:
    """Say that a log ends in the middle, and for how long what it tells lasts."""
    return (
        f"The file ends in the middle (line {cut.line}, column {cut.column}): what is told is of "
        f"the first {format_duration(max(0, held))} at most, and what came after that in the file "
        "is not known."
    )


def backwards_said(names: list[str]) -> str:
    """Say which spans end before they begin."""
    first = ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
    if len(names) == 1:
        return f"1 span ends before it begins, and counts as if it had taken no time: {first}."
    return f"{len(names):,} spans end before they begin, and count as no time: {first}."
