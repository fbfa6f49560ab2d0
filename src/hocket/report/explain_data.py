"""An explanation as one document for programs; all durations are whole nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hocket.insight.explain import Explanation
from hocket.report.palette import cause_name
from hocket.simulator.outcome import Gain


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
        "spending": [msgspec.to_builtins(row) for row in told.spending.rows],
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
        "critical": msgspec.to_builtins(told.critical),
        "bounds": msgspec.to_builtins(told.bounds),
        "uses": [msgspec.to_builtins(use) for use in told.uses],
        "chains": msgspec.to_builtins(told.chains),
        "findings": [
            {
                **msgspec.to_builtins(finding),
                "simulated": _gain(by_place[place]) if place in by_place else None,
            }
            for place, finding in enumerate(told.findings)
        ],
        "evidence": trace.evidence,
        "inferred": trace.inferred,
        "missing": list(trace.missing),
        "disagreements": [msgspec.to_builtins(one) for one in trace.disagreements],
    }


def _gain(gain: Gain) -> dict[str, Any]:
    return {"match": gain.verdict, **msgspec.to_builtins(gain.row)}
