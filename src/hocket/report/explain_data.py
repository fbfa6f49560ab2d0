"""An explanation as one document for programs; all durations are whole nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hocket.insight.explain import Explanation
from hocket.insight.trace import Activity
from hocket.report.gains import gain_told
from hocket.report.palette import cause_name
from hocket.simulator.outcome import Gain, Spread

_COUNTS: Final = ("calls", "tokens", "refused", "wasted")


def explain_document(told: Explanation, gains: Sequence[Gain] = ()) -> dict[str, Any]:
    """Give an explanation: the sentence, shares, spending, the chain, bounds, findings."""
    trace = told.trace
    took = trace.took
    by_place = {gain.finding: gain for gain in gains}
    return {
        "run": trace.run,
        "name": trace.name,
        "source": trace.source,
        "status": trace.status,
        "began": trace.began,
        "ended": trace.ended,
        "took": took,
        "headline": told.headline,
        "shares": [
            {
                "kind": cause.kind,
                "detail": cause.detail,
                "name": cause_name(cause),
                "ns": amount,
                "share": amount / took if took else 0.0,
            }
            for cause, amount in sorted(
                told.account.shares.items(), key=lambda item: (-item[1], item[0])
            )
        ],
        "spending": [_full(row) for row in told.spending.rows],
        "chain": [
            {
                "since": one.since - trace.began,
                "until": one.until - trace.began,
                "kind": one.cause.kind,
                "detail": one.cause.detail,
                "call": trace.activities[one.activity].name if one.activity >= 0 else None,
                "events": list(trace.activities[one.activity].events) if one.activity >= 0 else [],
            }
            for one in told.account.segments
        ],
        "activities": [_activity(one, trace.began) for one in trace.activities],
        "critical": _full(told.critical),
        "bounds": _full(told.bounds),
        "load": _full(told.load),
        "uses": [_full(use) for use in told.uses],
        "chains": _full(told.chains),
        "findings": [
            {
                **_full(finding),
                "simulated": _gain(by_place[place]) if place in by_place else None,
            }
            for place, finding in enumerate(told.findings)
        ],
        "evidence": trace.evidence,
        "inferred": trace.inferred,
        "missing": list(trace.missing),
        "disagreements": [_full(one) for one in trace.disagreements],
    }


def _activity(one: Activity, began: int) -> dict[str, Any]:
    """Give what is known by its index elsewhere; instants count from the run's beginning."""
    return {
        "name": one.name,
        "step": one.step,
        "agent": one.agent,
        "work": one.work,
        "asked": one.asked - began,
        "began": one.began - began,
        "ended": None if one.ended is None else one.ended - began,
        "fate": one.fate,
        "how": one.how,
        "after": one.after,
        "events": list(one.events),
    }


def _gain(gain: Gain) -> dict[str, Any]:
    told, row = gain_told(gain), gain.row
    return {
        "worth": told.worth,
        "words": told.words,
        "match": gain.verdict,
        "baseline_success": None if gain.baseline is None else gain.baseline.success,
        **_full(row),
        **{name: _counts(getattr(row, name)) for name in _COUNTS},
    }


def _counts(spread: Spread) -> dict[str, int]:
    """Give a spread of what is counted, in whole numbers."""
    return {name: round(getattr(spread, name)) for name in spread.__struct_fields__}


def _full(value: Any) -> Any:
    """Give a value for JSON with every field, also those that are as they are by default."""
    if isinstance(value, msgspec.Struct):
        return {name: _full(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _full(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_full(one) for one in value]
    return value
