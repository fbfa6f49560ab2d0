"""What a consensus has come to: the output of its step, and its report at any time."""

from __future__ import annotations

import msgspec

from hocket.core.reports import Contribution, Judgement, Report
from hocket.core.values import Json
from hocket.workflows.consensus_state import Cast, Table
from hocket.workflows.floor import Floor


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whose answer stands, and why.

    Fields:
        winner: The member.
        decision: How it came to that, in words.
        forced: Whether the rule was not met, so that what was there had to do.
        tally: The weight of the votes for each member's answer, best supported first.
        answer: What the step gives as its answer; the winner's own, unless another was written.
    """

    winner: str
    decision: str
    forced: bool
    tally: dict[str, float]
    answer: Json


def output_of(table: Table, verdict: Verdict, floor: Floor) -> Json:
    """Give what the step gives.

    Its ``calls`` are all that have left; those in flight are cut off by the decision, and are
    ``cancelled`` there, also if they come to their end all the same.
    """
    names = {seat.label: seat.name for seat in table.seats}
    seat = next(seat for seat in table.seats if seat.name == verdict.winner)
    counting = _counting(table)
    votes = [
        {
            "member": cast.member,
            "choice": names.get(cast.choice, ""),
            "confidence": cast.confidence,
            "reason": cast.reason,
            "counts": index in counting,
        }
        for index, cast in enumerate(table.casts)
    ]
    against = [v for v in votes if v["counts"] and v["choice"] not in ("", verdict.winner)]
    return {
        "answer": verdict.answer,
        "winner": {"member": seat.name, "agent": seat.by, "label": seat.label},
        "decision": verdict.decision,
        "forced": verdict.forced,
        "tally": verdict.tally,
        "votes": votes,
        "dissent": against,
        "answers": {s.name: s.contents[-1] for s in table.seats if s.contents},
        "calls": floor.books.counts(),
    }


def report_of(table: Table, verdict: Verdict | None, floor: Floor) -> Report:
    """Say what was done so far."""
    end = floor.outcome
    decided = end is not None and end.status == "succeeded"
    tally = verdict.tally if verdict is not None else table.tally() if table.candidates() else {}
    answers = [
        Contribution(
            member=seat.name,
            label=seat.label,
            revision=len(seat.contents),
            content=seat.contents[-1],
            weight=tally.get(seat.name, 0.0),
            agent=seat.by,
        )
        for seat in table.seats
        if seat.contents
    ]
    counting = _counting(table)
    said = end.reason if end is not None and not decided else ""
    return Report(
        kind="consensus",
        status="open" if end is None else "decided" if decided else "failed",
        began=floor.began,
        ended=floor.closed,
        decision=said if verdict is None else verdict.decision,
        forced=verdict is not None and verdict.forced,
        winner="" if verdict is None else verdict.winner,
        output=end.output if end is not None and decided else None,
        contributions=tuple(sorted(answers, key=lambda answer: -answer.weight)),
        judgements=tuple([_judged(c, i in counting) for i, c in enumerate(table.casts)]),
        rows=tuple(floor.rows),
        fates=floor.books.sums(),
        waiting=sum(len(floor.jobs_of(path)) for path in floor.asked),
    )


def _judged(cast: Cast, counts: bool) -> Judgement:
    return Judgement(
        member=cast.member,
        choice=cast.choice,
        confidence=cast.confidence,
        weight=cast.weight,
        reason=cast.reason,
        seen=cast.seen,
        counts=counts,
        agent=cast.agent,
    )


def _counting(table: Table) -> frozenset[int]:
    """Say which of all votes count, by their number."""
    paths = {seat.vote.path for seat in table.seats if seat.vote is not None}
    return frozenset(i for i, cast in enumerate(table.casts) if cast.path in paths)
