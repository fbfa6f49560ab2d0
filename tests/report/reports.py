"""Reports made by hand."""

from __future__ import annotations

from hocket.core.reports import Contribution, Judgement, Report, Row, Sum
from hocket.core.values import SECOND

PICO = 10**12


def vote(member: str, choice: str, why: str = "", **more: object) -> Judgement:
    return Judgement(member=member, choice=choice, reason=why, **more)  # type: ignore[arg-type]


def decided(**changes: object) -> Report:
    """Three members, one of whom was of another mind, and a fourth who has failed."""
    fields: dict[str, object] = {
        "kind": "consensus",
        "status": "decided",
        "began": 100 * SECOND,
        "ended": 112 * SECOND,
        "decision": "more than half: pro has 2 of 4",
        "winner": "pro",
        "output": {"answer": "A log."},
        "contributions": (
            Contribution(member="pro", label="B", revision=2, content="A log.\nIt is.", weight=2.0),
            Contribution(member="flash-1", label="A", revision=1, content={"a": 1}, weight=1.0),
            Contribution(member="flash-2", label="C", revision=1, content="A heap."),
        ),
        "judgements": (
            vote("flash-1", "A", "It is mine.", confidence=0.35, seen={"A": 1, "B": 2}),
            vote("flash-2", "B", "It is clear.", confidence=0.9),
            vote("pro", "B", confidence=1.0, counts=True),
        ),
        "rows": (
            Row(
                at=101 * SECOND, member="flash-1", what="answers", detail="A", path="flash-1/answer"
            ),
            Row(
                at=102 * SECOND,
                member="odd",
                what="fails",
                detail="no such model",
                path="odd/answer",
            ),
            Row(at=105 * SECOND, member="pro", what="restarts", detail="anew"),
            Row(at=106 * SECOND, member="pro", what="restarts", detail="anew"),
            Row(at=112 * SECOND, member="", what="decides", detail="B"),
        ),
        "fates": {
            "useful": Sum(calls=6, cached=1, tokens_in=1200, tokens_out=90, cost=PICO // 100),
            "cancelled": Sum(calls=2, tokens_in=100, unpriced=1),
            "failed": Sum(calls=1, unpriced=1),
        },
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]


def reviewed(approved: bool, **changes: object) -> Report:
    """Three verdicts, of which one is against the others."""
    yes, no = ("approve", "reject") if approved else ("reject", "approve")
    fields: dict[str, object] = {
        "kind": "review",
        "status": "decided",
        "began": 0,
        "ended": 3 * SECOND,
        "decision": f"{'approved' if approved else 'not approved'}: 0.77 is for it",
        "output": {"approved": approved, "score": 0.77},
        "judgements": (
            vote("flash-1", yes, "fine", confidence=0.9, weight=0.9),
            vote("flash-2", yes, "", confidence=0.8, weight=0.8),
            vote("pro-1", no, "a leak", confidence=0.5, weight=0.5, issues=("x leaks", "y too")),
        ),
        "fates": {"useful": Sum(calls=3)},
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]
