"""Indicators over many runs, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator

from hocket.core.values import SECOND, Json, format_duration
from hocket.insight.indicators import Indicator, Stats
from hocket.report.text import dollars

_MARKS = {True: "✓", False: "✗", None: ""}


def stats_document(found: Stats) -> dict[str, Json]:
    """Give indicators as one document; instants in milliseconds, money in dollars."""
    return {
        "since": found.since / 1e6,
        "until": found.until / 1e6,
        "indicators": [
            {
                "name": one.name,
                "label": one.label,
                "value": one.value,
                "unit": one.unit,
                "text": value_words(one),
                "target": one.target,
                "target_text": target_words(one),
                "ok": one.good,
                "about": one.about,
            }
            for one in found.indicators
        ],
        "agents": [
            {
                "name": name,
                "calls": spent.calls,
                "failed": spent.failed,
                "refused": spent.refused,
                "tokens": spent.tokens,
                "usd": spent.cost / 1e12,
                "unpriced": spent.unpriced,
                "busy_seconds": round(spent.busy / SECOND, 3),
            }
            for name, spent in found.agents.items()
        ],
    }


def stats_tables(found: Stats) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Give indicators, each with its target beside, and what agents did: heads and rows."""
    rows = [
        [one.label, value_words(one), target_words(one), _MARKS[one.good], one.about]
        for one in found.indicators
        if one.value is not None
    ]
    yield ["INDICATOR", "VALUE", "TARGET", "", "WHAT IT IS"], rows
    if found.agents:
        agents = [
            [
                name,
                f"{spent.calls:,}",
                f"{spent.failed:,}",
                f"{spent.refused:,}",
                f"{spent.tokens:,}",
                dollars(spent.cost) + (f" and {spent.unpriced:,} unpriced" * bool(spent.unpriced)),
                format_duration(spent.busy),
            ]
            for name, spent in found.agents.items()
        ]
        yield ["AGENT", "CALLS", "FAILED", "REFUSED", "TOKENS", "COST", "AT WORK"], agents


def value_words(one: Indicator) -> str:
    """Write an indicator's value."""
    return "not known" if one.value is None else _words(one.value, one.unit)


def target_words(one: Indicator) -> str:
    """Write what an indicator should be, or ""."""
    if one.target is None:
        return ""
    sign = {"below": "< ", "above": "> ", "none": ""}[one.better]
    return f"{sign}{_words(one.target, one.unit)}"


def _words(value: float, unit: str) -> str:
    if unit == "seconds":
        return format_duration(round(value * 1_000) * (SECOND // 1_000))
    if unit == "share":
        return f"{value:.0%}"
    if unit == "times":
        return f"{value:.2f} ×"
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB" if value >= 1e6 else f"{value / 1e3:.1f} KB"
    if unit == "dollars":
        return dollars(round(value * 1e12))
    return f"{value:,.0f}"
