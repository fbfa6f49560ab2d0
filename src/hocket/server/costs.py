"""What a run has spent, by what became of it, and how much of its budgets that is."""

from __future__ import annotations

from typing import Any, Final

from hocket.core.specs import LimitSpec, RunSpec
from hocket.core.values import MS
from hocket.limits.words import limit_label

_MOST_ROWS: Final = 3_000
_SUMS: Final = ("calls", "lost", "cached", "tokens_in", "tokens_out", "cost", "unpriced")


def costs_told(spending: list[dict[str, Any]], spec: RunSpec) -> dict[str, Any]:
    """Tell what was spent, by fate, agent, model and step.

    Steps beyond the dearest are put together under the step ``""``; all sums stay whole.

    Args:
        spending: The rows of an explanation.
        spec: The run's spec.
    """
    rows = sorted(spending, key=lambda row: (-row["cost"], -row["tokens_in"] - row["tokens_out"]))
    kept, rest = rows[:_MOST_ROWS], rows[_MOST_ROWS:]
    together: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rest:
        key = (row["fate"], row["agent"], row["model"])
        into = together.setdefault(key, {**row, "step": "", **dict.fromkeys(_SUMS, 0)})
        for name in _SUMS:
            into[name] += row[name]
    total = {name: sum([row[name] for row in rows]) for name in _SUMS}
    return {
        "rows": [_priced(row) for row in (*kept, *together.values())],
        "together": len(rest),
        **_priced(total),
        "budgets": [
            budget
            for name, limit in spec.limits.items()
            for budget in _budgets(name, limit, spec, rows)
        ],
    }


def _priced(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row with its money in dollars."""
    return {**{name: row[name] for name in row if name != "cost"}, "usd": row["cost"] / 1e12}


def _budgets(
    name: str, limit: LimitSpec, spec: RunSpec, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tell how much of a budget this run has used; what all runs share stands with the limits."""
    if limit.on_exceed == "wait":
        return []
    every = name in spec.claims
    own = [
        row
        for row in rows
        if every or (row["agent"] in spec.agents and name in spec.agents[row["agent"]].limits)
    ]
    used = {
        "cost": sum([row["cost"] for row in own]) / 1e12,
        "tokens": sum([row["tokens_in"] + row["tokens_out"] for row in own]),
    }
    return [
        {
            "limit": limit_label(name),
            "kind": kind,
            "amount": rate.amount / 1e12 if kind == "cost" else rate.amount,
            "per": rate.per / MS if rate.per else None,
            "shared": limit.shared,
            "used": used[kind],
            "on_exceed": limit.on_exceed,
        }
        for kind in ("cost", "tokens")
        for rate in getattr(limit, kind)
    ]
