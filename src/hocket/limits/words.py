"""Writes bounds as people do: ``9/min``, ``32k/min``, ``$0.50/day``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, HOUR, MINUTE, SECOND, format_duration

WINDOWS: Final = ("requests", "tokens", "tokens_in", "tokens_out", "cost")
KINDS: Final = {
    "requests": "requests",
    "tokens": "tokens",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "cost": "",
    "concurrency": "at once",
    "spacing": "between starts",
}
"""What stands behind an amount of each kind."""

_PICO: Final = 10**12
_PERIODS: Final = ((DAY, "day"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


_OWN: Final = re.compile(r"(agent|plan):(.+?) (limits|budget)( per day)?( in .*)?", re.DOTALL)


def limit_label(name: str) -> str:
    """Call a limit by whoever states it: ``asker`` for ``agent:asker limits in FILE``.

    Names of limits are unique over all files of a state folder, and longer than people need.
    """
    found = _OWN.fullmatch(name)
    if found is None:
        return name
    owner, who, _, daily, _ = found.groups()
    return f"{'plan ' if owner == 'plan' else ''}{who}{daily or ''}"


def limit_words(name: str) -> str:
    """Call a limit by its label, and a budget by its label and that word."""
    what = _what(name)
    return limit_label(name) + (what if what == " budget" else "")


def limit_labels(names: Iterable[str]) -> dict[str, str]:
    """Give each of these limits its label, with more of its name where several have one label.

    Args:
        names: The limits that are shown together.
    """
    labels = {name: limit_label(name) for name in names}
    for more in (_what, _place):
        often = Counter(labels.values())
        labels = {
            name: label if often[label] == 1 else label + more(name)
            for name, label in labels.items()
        }
    return labels


def _what(name: str) -> str:
    found = _OWN.fullmatch(name)
    return "" if found is None else f" {found[3]}"


def _place(name: str) -> str:
    found = _OWN.fullmatch(name)
    return "" if found is None else found[5] or ""


def amount_words(kind: str, amount: int) -> str:
    """Write an amount: ``9``, ``32k`` tokens, ``$0.50``."""
    if kind == "cost":
        return _dollars(amount)
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if kind.startswith("tokens") and amount >= unit and amount % (unit // 100) == 0:
            return f"{_plain(Decimal(amount) / unit)}{letter}"
    return f"{amount:,}"


def rate_words(kind: str, rate: Rate) -> str:
    """Write so much in some time: ``9/min``, ``600/10s``, ``$1.00``."""
    return amount_words(kind, rate.amount) + period_words(rate.per)


def period_words(per: int) -> str:
    """Write a period behind an amount: ``/min``, ``/10s``; nothing for ever."""
    if not per:
        return ""
    unit, word = next((p for p in _PERIODS if per % p[0] == 0), (SECOND, "s"))
    number = _plain(Decimal(per) / unit)
    return f"/{'' if number == '1' else number}{word}"


def bounds_words(limit: LimitSpec) -> list[str]:
    """Write each of a limit's bounds: ``9/min requests``, ``4 at once``."""
    words = [
        f"{rate_words(kind, rate)} {KINDS[kind]}".strip()
        for kind in WINDOWS
        for rate in getattr(limit, kind)
    ]
    if limit.concurrency is not None:
        words.append(f"{limit.concurrency:,} at once")
    if limit.spacing:
        words.append(f"{format_duration(limit.spacing)} between starts")
    return words


def _dollars(pico: int) -> str:
    amount = Decimal(pico) / _PICO
    cents = amount.quantize(Decimal("0.01"))
    if cents == amount or amount >= 1:
        return f"${cents:,}"
    return f"${_plain(amount.quantize(Decimal('0.000001')))}"


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")
