"""What a team has done, as lines of text: who answered, who voted for whom, what became of calls.

Each function makes lines of a `Report` and of nothing else, so that a run under way, a run of last
week and a report from elsewhere look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from hocket.core.reports import FATES, Contribution, Fate, Judgement, Report, Row, Sum
from hocket.core.values import Json, format_duration
from hocket.report.text import dollars, one_line, table

_SAID: Final = 100
_BAR: Final = 20
VERDICTS: Final = {"approve": "approves", "reject": "rejects"}
"""What a reviewer does, by the choice."""


def team_lines(path: str, report: Report, *, over: bool = False) -> list[str]:
    """Give all that a report says; `over` says that its run goes on no more."""
    lines = [headline(path, report, over=over)]
    for part in (
        _stands(report),
        _answers(report),
        _judgements(report),
        _table(report),
        fate_lines(report.fates),
    ):
        if part:
            lines += ["", *(f"  {line}" for line in part)]
    return lines


def member_lines(report: Report) -> list[str]:
    """Give a line for each member: what it has given, and whom it was for."""
    votes = {vote.member: vote for vote in report.judgements}
    answers = {one.member: one for one in report.contributions}
    if report.kind == "review":
        return _judgements(report)
    rows = []
    for name in dict.fromkeys([*answers, *votes, *(row.member for row in report.rows)]):
        answer, vote = answers.get(name), votes.get(name)
        said = "" if vote is None else one_line(vote.reason, _SAID)
        failed = [row for row in report.rows if row.member == name and row.what == "fails"]
        if name and (answer or vote or failed):
            rows.append(
                [
                    name,
                    "" if answer is None else _named(answer),
                    "" if answer is None else f"{answer.weight:g}",
                    _for(vote) if vote else "failed" if failed else "",
                    said or (one_line(failed[-1].detail, _SAID) if failed else ""),
                ]
            )
    return table(["WHO", "ANSWER", "WEIGHT", "VOTE", ""], rows) if rows else []


def headline(path: str, report: Report, *, over: bool = False) -> str:
    """Say in a line how far a team is: ``q: consensus decided in 14.2 s: majority, 4 of 7``."""
    what = "conversation" if report.kind == "tools" else report.kind
    took = "" if report.ended is None else format_duration(report.ended - report.began)
    if report.status == "open":
        so_far = f": {counted(report)}" if counted(report) else ""
        return f"{path}: {what} {'was cut short' if over else 'is open'}{so_far}"
    told = f": {one_line(report.decision)}" if report.decision else ""
    forced = " (forced)" if report.forced else ""
    how = "failed after" if report.status == "failed" else f"decided{forced} in"
    return f"{path}: {what} {how} {took}{told}"


def counted(report: Report, members: int = 0) -> str:
    """Count what there is so far: ``4 of 7 answers · 2 votes``; of how many, if that is known."""
    answers = len(report.contributions) if report.kind == "consensus" else 0
    of = f" of {members}" if members else ""
    words = [f"{answers}{of} {'answer' if max(answers, members) == 1 else 'answers'}"]
    words = words if answers else []
    # Verdicts on what was mended since say nothing of what is there now.
    review = report.kind == "review"
    if number := sum((vote.counts or not review) and not vote.failed for vote in report.judgements):
        words.append(f"{number} {_judged(report)[number != 1]}")
    return " · ".join(words)


def closing(report: Report) -> list[str]:
    """Say in a few lines how it went: who won, who was of another mind, what it took."""
    return [*_stands(report), fates_words(report.fates)]


def label_of(report: Report, member: str) -> str:
    """Give the label of a member's answer, or ""."""
    return next((one.label for one in report.contributions if one.member == member), "")


def standing(report: Report, width: int = _BAR) -> list[tuple[str, str, str]]:
    """Give the label, weight and bar of each answer, the best-supported first.

    In a review the two verdicts stand against each other.
    """
    weights = _weights(report)
    whole = max((weight for _, weight in weights), default=0) or 1
    return [
        (label, f"{weight:g}", "█" * round(width * weight / whole)) for label, weight in weights
    ]


def row_words(row: Row, report: Report) -> str:
    """Tell a line of the coordination table in words, as ``flash-1 answers: A: Use a log``."""
    parts = [one_line(row.detail, _SAID)]
    if row.what in ("answers", "revises"):
        parts += [_content(one) for one in report.contributions if one.member == row.member]
    return ": ".join(filter(None, (f"{row.member} {row.what}".strip(), *parts)))


def fates_words(fates: Mapping[Fate, Sum]) -> str:
    """Sum up what became of calls: ``14 useful · 3 cancelled · 900 + 80 tokens · $0.01``."""
    words = [f"{fates[fate].calls} {fate}" for fate in FATES if fate in fates]
    cached = sum(one.cached for one in fates.values())
    if cached:
        words.append(f"{cached} of them kept from before")
    read, written, cost = _spent(fates)
    if read or written:
        words += [f"{read:,} + {written:,} tokens", dollars(cost)]
    return " · ".join(words) or "no call has ended"


def fate_lines(fates: Mapping[Fate, Sum]) -> list[str]:
    """Lay out what became of calls, and what that came to."""
    if not fates:
        return []
    rows = [_fate_row(fate, fates[fate]) for fate in FATES if fate in fates]
    if len(rows) > 1:
        read, written, cost = _spent(fates)
        whole = Sum(
            calls=sum(one.calls for one in fates.values()),
            cached=sum(one.cached for one in fates.values()),
            tokens_in=read,
            tokens_out=written,
            cost=cost,
            unpriced=sum(one.unpriced for one in fates.values() if _has_tokens(one)),
        )
        rows.append(_fate_row("all", whole))
    return table(["CALLS", "", "TOKENS", "COST", ""], rows)


def team_data(report: Report) -> dict[str, Any]:
    """Give a report for programs, every field of it: money in dollars, instants in nanoseconds."""
    data = asdict(report)
    for name in ("contributions", "judgements", "rows"):
        data[name] = [msgspec.to_builtins(asdict(one)) for one in data[name]]
    data["seconds"] = None if report.ended is None else (report.ended - report.began) / 1e9
    data["fates"] = {
        fate: {
            "calls": one.calls,
            "cached": one.cached,
            "tokens": {"in": one.tokens_in, "out": one.tokens_out},
            "cost_usd": one.cost / 1e12,
            "unpriced_calls": one.unpriced,
        }
        for fate, one in report.fates.items()
    }
    return data


def share(confidence: float) -> str:
    """Write a confidence: ``0.9``."""
    return f"{confidence:.2f}".rstrip("0").rstrip(".")


def said_words(value: Json) -> str:
    """Write what was given: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# ---- parts ----


def _stands(report: Report) -> list[str]:
    """Say what stands, and who was of another mind."""
    if report.status != "decided" or report.kind == "tools":
        return []
    if report.kind == "review":
        # Whether it was approved is said by how it was decided.
        lines: list[str] = []
        against = "reject" if report.decision.startswith("approved") else "approve"
        other = [vote for vote in report.judgements if vote.counts and vote.choice == against]
    else:
        label = label_of(report, report.winner)
        lines = [f"the answer of {report.winner} stands" + (f" ({label})" if label else "")]
        other = [
            vote for vote in report.judgements if vote.counts and vote.choice not in ("", label)
        ]
    for vote in other:
        why = f": {one_line(vote.reason, _SAID)}" if vote.reason else ""
        what = VERDICTS.get(vote.choice, f"was for {vote.choice}")
        if vote.failed:
            what = f"failed, which {_counts_as(vote)}"
        lines.append(f"{vote.member} {what}{why}")
    return lines


def _answers(report: Report) -> list[str]:
    if report.kind != "consensus" or not report.contributions:
        return []
    return table(
        ["ANSWER", "BY", "REVISION", "WEIGHT", ""],
        [
            [one.label, one.member, str(one.revision), f"{one.weight:g}", _content(one)]
            for one in report.contributions
        ],
    )


def _judgements(report: Report) -> list[str]:
    if not report.judgements:
        return []
    rows = []
    for vote in report.judgements:
        found = "; ".join(vote.issues)
        said = one_line(" — ".join(filter(None, (vote.reason, found))), _SAID)
        choice = "failed" if vote.failed else vote.choice or "abstains"
        seen = " ".join(f"{label}{number}" for label, number in vote.seen.items())
        if report.kind == "review":
            # There is but one thing to see.
            seen = ""
        counts = "" if vote.counts or not vote.choice else "does not count"
        if vote.failed and vote.counts:
            counts = _counts_as(vote)
        sure, weight = share(vote.confidence), f"{vote.weight:g}"
        if vote.failed:
            sure = weight = ""
        rows.append([vote.member, choice, sure, weight, seen, counts, said])
    one, _ = _judged(report)
    head = ["BALLOT" if one == "vote" else "VERDICTS", "FOR" if one == "vote" else ""]
    return _slim([*head, "CONFIDENCE", "WEIGHT", "SEEN", "", ""], rows)


def _table(report: Report) -> list[str]:
    rows = [
        [
            format_duration(max(row.at - report.began, 0)),
            row.member,
            row.what,
            one_line(row.detail, _SAID),
        ]
        for row in report.rows
    ]
    return table(["AFTER", "WHO", "WHAT", ""], rows) if rows else []


def _slim(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lay out a table without the columns in which nothing stands."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return table([head[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _judged(report: Report) -> tuple[str, str]:
    return ("verdict", "verdicts") if report.kind == "review" else ("vote", "votes")


def _weights(report: Report) -> list[tuple[str, float]]:
    if report.kind != "review":
        return [(one.label, one.weight) for one in report.contributions]
    sums = dict.fromkeys(VERDICTS, 0.0)
    for vote in report.judgements:
        if vote.counts and vote.choice in sums:
            sums[vote.choice] += vote.weight
    return list(sums.items())


def _named(answer: Contribution) -> str:
    return answer.label if answer.revision == 1 else f"{answer.label}, revision {answer.revision}"


def _for(vote: Judgement) -> str:
    """Say whom a vote was for, and how sure the voter was."""
    if not vote.choice:
        return "abstains"
    return f"{vote.choice} {share(vote.confidence)}{'' if vote.counts else ', does not count'}"


def _counts_as(vote: Judgement) -> str:
    """Say what the failure of a reviewer counts as."""
    return "counts as a weak approval" if vote.choice == "approve" else "counts as a rejection"


def _content(one: Contribution) -> str:
    return one_line(said_words(one.content), _SAID)


def _spent(fates: Mapping[Fate, Sum]) -> tuple[int, int, int]:
    sums = fates.values()
    return (
        sum(one.tokens_in for one in sums),
        sum(one.tokens_out for one in sums),
        sum(one.cost for one in sums),
    )


def _fate_row(name: str, one: Sum) -> list[str]:
    tokens = f"{one.tokens_in:,} + {one.tokens_out:,}" if _has_tokens(one) else ""
    notes = []
    if one.cached:
        notes.append(f"{one.cached} kept from before")
    if one.unpriced and tokens:
        notes.append(f"{one.unpriced} unpriced")
    return [name, str(one.calls), tokens, dollars(one.cost) if tokens else "", ", ".join(notes)]


def _has_tokens(one: Sum) -> bool:
    return bool(one.tokens_in or one.tokens_out)
