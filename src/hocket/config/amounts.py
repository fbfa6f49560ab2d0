"""Reads rates, amounts, money and quantiles as people write them: ``9/min``, ``500k``, ``$1``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from hocket.core.specs import Rate
from hocket.core.values import DAY, HOUR, MINUTE, SECOND

PICO: Final = 1_000_000_000_000
"""Pico-dollars in a dollar."""
MOST: Final = 10**15
"""The most requests or tokens that can be stated."""
MOST_DOLLARS: Final = 1_000_000

_PERIODS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
}
_TIMES: Final = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
_LONGEST_PERIOD: Final = 366 * DAY

NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,12})?"
PERIOD: Final = r"[0-9]{0,6} ?(?:s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)"
_COUNT = re.compile(rf"({NUMBER}) ?([kKM]?)\Z")
_MONEY = re.compile(rf"\$? ?({NUMBER})\Z")
_PERIOD = re.compile(r"([0-9]{0,6}) ?([a-z]+)\Z")
_QUANTILE = re.compile(r"p([0-9]{1,3})\Z")


def read_count(value: object) -> int:
    """Read an amount of requests or tokens: ``500``, ``500k`` or ``1.5M``.

    Raises:
        ValueError: It is none.
    """
    match = _COUNT.match(_text(value))
    if match is None:
        raise ValueError(f"{_shown(value)} is no amount; write it like 500, 500k or 1.5M")
    count = Decimal(match[1]) * _TIMES[match[2]]
    if count != count.to_integral_value():
        raise ValueError(f"{_shown(value)} is no whole number")
    if not 1 <= count <= MOST:
        raise ValueError(f"an amount lies between 1 and {MOST:,}")
    return int(count)


def read_money(value: object) -> int:
    """Read dollars, as ``1.00``, ``"$1.00"`` or a number, and give pico-dollars.

    Raises:
        ValueError: It is no money.
    """
    match = _MONEY.match(_text(value))
    if match is None:
        raise ValueError(f"{_shown(value)} is no money; write dollars like 1.00 or $1.00")
    pico = Decimal(match[1]) * PICO
    if not 1 <= pico <= MOST_DOLLARS * PICO:
        raise ValueError(f"dollars lie above 0 and are {MOST_DOLLARS:,} at most")
    return int(pico)


def read_rate(value: object) -> Rate:
    """Read so many in some time: ``9/min``, ``600/10s`` or ``32k/min``; a `Rate` stays as it is.

    Raises:
        ValueError: It is no rate.
    """
    if isinstance(value, Rate):
        return value
    amount, slash, period = _text(value).partition("/")
    if not slash:
        raise ValueError(f"{_shown(value)} is no rate; write it like 9/min, 500/day or 600/10s")
    return Rate(read_count(amount.strip()), _period(period.strip(), value))


def read_spending(value: object) -> Rate:
    """Read money in some time, as ``0.50/day``, or in all, as ``1.00``; a `Rate` stays as it is.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, Rate):
        return value
    amount, slash, period = _text(value).partition("/")
    return Rate(read_money(amount.strip()), _period(period.strip(), value) if slash else 0)


def read_quantile(value: object) -> float:
    """Read ``p95`` as 0.95.

    Raises:
        ValueError: It is no quantile from p50 to p99.
    """
    match = _QUANTILE.match(value) if isinstance(value, str) else None
    if match is None or not 50 <= int(match[1]) <= 99:
        raise ValueError(f"{_shown(value)} is no quantile; write p95, or another from p50 to p99")
    return int(match[1]) / 100


def _period(text: str, whole: object) -> int:
    match = _PERIOD.match(text)
    if match is None or match[2] not in _PERIODS:
        known = "s, min, hour or day, with or without a number before it"
        raise ValueError(f"{_shown(whole)} has no period that is known; write {known}")
    period = int(match[1] or 1) * _PERIODS[match[2]]
    if not 0 < period <= _LONGEST_PERIOD:
        raise ValueError("a period is longer than 0, and 366 days at most")
    return period


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # Not str(): it would write small and large numbers with an exponent.
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else ""


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value[:40])
    return str(value)[:40] if isinstance(value, int | float) else "that"
