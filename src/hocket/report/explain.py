"""An explanation as lines of text: one sentence first, then where time and money went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from hocket.insight.account import Segment, Spent
from hocket.insight.causes import Cause
from hocket.insight.explain import Explanation
from hocket.insight.trace import Trace
from hocket.report.explain_findings import findings_lines
from hocket.report.explain_width import Clock, fitted, short_duration, wrapped
from hocket.report.palette import LOOKS, bar, cause_name, fate_name, marks_line
from hocket.report.text import clean, dollars
from hocket.simulator.outcome import Gain

_MOST_SHARES: Final = 14
_MOST_LEGS: Final = 14
_MOST_ROWS: Final = 12
_LEAST_LEG: Final = 1_000
"""What is shorter than this part of the run has no row of its own on the chain."""
_LEAST_BOUND: Final = 0.01
"""Bounds below this share of the run tell nothing."""
_CUT: Final = ("ends in the middle", "cut off")
"""What says, among what a source does not tell, that all else is about a part of it."""

_CAUSE: Final = {"slot": partial(Cause, "slot"), "rate": partial(Cause, "rate")}


def explain_lines(
    told: Explanation, gains: Sequence[Gain] = (), width: int = 100, *, whole: bool = False
) -> list[str]:
    """Write an explanation.

    Args:
        told: It.
        gains: What was simulated of the changes that its findings propose.
        width: How wide lines may be.
        whole: Write all of it, also where there is much.
    """
    parts = (
        _head(told.trace, width),
        [*wrapped(clean(told.headline), width), *_cut(told.trace, width)],
        _shares(told, width, whole),
        _spent(told, width, whole),
        _chain(told, width, whole),
        _bounds(told, width, whole),
        _chains(told, width, whole),
        findings_lines(told, gains, width),
        _missing(told.trace, width),
    )
    lines: list[str] = []
    for part in parts:
        if part:
            lines += ["", *part] if lines else part
    return lines


def _head(trace: Trace, width: int) -> list[str]:
    source = "" if trace.source == "hocket" else f", from a log of {trace.source}"
    status = trace.status or "ended"
    name = f" ({clean(trace.name)})" if trace.name and trace.name != trace.run else ""
    took = short_duration(trace.took) + (" so far" if trace.under_way else "")
    return wrapped(f"run {clean(trace.run)}{name}{source}: {status}, {took}", width)


def _cut(trace: Trace, width: int) -> list[str]:
    """Say at the top that a part of the log is not there: the sentence above is of the rest."""
    lines = [line for line in trace.missing if any(said in line for said in _CUT)]
    return [line for one in lines for line in wrapped(f"But: {clean(one)}", width)]


def _shares(told: Explanation, width: int, whole: bool) -> list[str]:
    took = told.trace.took
    if not took:
        return []
    clock = Clock(took)
    ordered = sorted(told.account.shares.items(), key=lambda item: (-item[1], item[0]))
    ordered = [item for item in ordered if item[1]]
    shown = (
        ordered if whole else [item for item in ordered[:_MOST_SHARES] if item[1] >= clock.least]
    )
    rows = [
        [
            LOOKS[cause.kind].mark,
            clean(cause_name(cause)),
            clock.took(amount),
            _percent(amount, took),
        ]
        for cause, amount in shown
    ]
    rest = ordered[len(shown) :]
    left = sum(amount for _, amount in rest)
    if left >= clock.least:
        rows.append(["", f"{len(rest)} more", clock.took(left), _percent(left, took)])
    rows.append(["", "the run", clock.took(took), "100.0 %"])
    head = ["", "CAUSE", "TIME", "SHARE"]
    table = fitted(head, rows, width - 2, right={2, 3}, shrink=(1,))
    shares = dict(ordered)
    picture = [bar(shares, width - 4), *wrapped(marks_line(shares), width - 2)]
    return ["what the finish waited for", "", *_indented([*table, "", *picture])]


def _spent(told: Explanation, width: int, whole: bool) -> list[str]:
    every = told.spending.rows
    if not every:
        return []
    rows = every if whole or len(every) <= _MOST_ROWS else _without_steps(every)
    shown = rows if whole else rows[:_MOST_ROWS]
    cells = [_spent_row(row) for row in shown]
    if rest := rows[len(shown) :]:
        cells.append([f"{len(rest)} more", "", "", *_spent_row(_sum(rest))[3:]])
    total = told.spending.total
    cells.append(["all", "", "", *_spent_row(total)[3:]])
    columns = 7 if total.cost or total.unpriced else 6 if total.tokens_in or total.tokens_out else 4
    head = ["FATE", "AGENT", "STEP", "CALLS", "READ", "WRITTEN", "COST"][:columns]
    lines = fitted(
        head,
        [row[:columns] for row in cells],
        width - 2,
        right=set(range(3, columns)),
        shrink=(2, 1),
    )
    if total.unpriced:
        calls = "1 call" if total.unpriced == 1 else f"{total.unpriced:,} calls"
        said = f"{calls} with tokens have no known price and count as nothing"
        lines += wrapped(said.replace("call with tokens have", "call with tokens has"), width - 2)
    if total.lost:
        lines += wrapped(_lost_words(total.lost), width - 2)
    return ["what became of the calls", "", *_indented(lines)]


def _lost_words(lost: int) -> str:
    if lost == 1:
        return "1 call was lost with its process: nobody knows whether it ended"
    return f"{lost:,} calls were lost with their process: nobody knows whether they ended"


def _without_steps(rows: Sequence[Spent]) -> list[Spent]:
    """Join what differs by its step or model alone: there are too many to be listed."""
    groups: dict[tuple[str, str], list[Spent]] = {}
    for row in rows:
        groups.setdefault((row.fate, row.agent), []).append(row)
    return [_sum(group) for group in groups.values()]


def _sum(rows: Sequence[Spent]) -> Spent:
    steps = dict.fromkeys([row.step for row in rows])
    return Spent(
        fate=rows[0].fate,
        agent=rows[0].agent,
        step=rows[0].step if len(steps) == 1 else f"{len(steps):,} steps",
        calls=sum(row.calls for row in rows),
        lost=sum(row.lost for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cost=sum(row.cost for row in rows),
        unpriced=sum(row.unpriced for row in rows),
    )


def _spent_row(row: Spent) -> list[str]:
    return [
        fate_name(row.fate, row.calls, row.lost) if row.fate else "in flight",
        clean(row.agent) or "-",
        clean(row.step) or "-",
        f"{row.calls:,}",
        f"{row.tokens_in:,}",
        f"{row.tokens_out:,}",
        "unpriced" if row.unpriced and not row.cost else dollars(row.cost),
    ]


def _chain(told: Explanation, width: int, whole: bool) -> list[str]:
    trace = told.trace
    legs = list(_legs(told.account.segments))
    if not legs:
        return []
    clock = Clock(trace.took)
    lengths = sorted((leg.until - leg.since for leg in legs), reverse=True)
    seen = max(clock.least, -(-trace.took // _LEAST_LEG))
    least = 0 if whole else max(lengths[min(_MOST_LEGS, len(legs)) - 1], seen)
    rows: list[list[str]] = []
    short, count = 0, 0
    for leg in legs:
        took = leg.until - leg.since
        if took < least or (not whole and len(rows) >= _MOST_LEGS):
            short += took
            count += 1
            continue
        who = "" if leg.activity < 0 else clean(trace.activities[leg.activity].name)
        rows.append([clock.at(leg.since - trace.began), clock.took(took), _name(leg.cause), who])
    if short >= (1 if whole else clock.least):
        words = "1 shorter stretch" if count == 1 else f"{count:,} shorter stretches"
        rows.append(["", clock.took(short), words, ""])
    head = ["AT", "TOOK", "WAITED FOR", "CALL"]
    table = fitted(head, rows, width - 2, right={0, 1}, shrink=(3, 2))
    return ["the chain to the finish", "", *_indented(table)]


def _legs(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Join neighbours of one cause and call."""
    held: Segment | None = None
    for one in segments:
        if one.since == one.until:
            continue
        if held is not None and (held.cause, held.activity) == (one.cause, one.activity):
            held = Segment(held.since, one.until, held.cause, held.activity)
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held


def _bounds(told: Explanation, width: int, whole: bool) -> list[str]:
    bounds = told.bounds
    if not bounds.took or not bounds.best:
        return []
    clock = Clock(bounds.took)
    found = [("path", bounds.path)]
    for kind, amounts in (("slot", bounds.work), ("rate", bounds.rate)):
        ordered = sorted(amounts, key=lambda name: (-amounts[name], name))
        for name in ordered if whole else ordered[:1]:
            found.append((f"{kind}:{name}", amounts[name]))
    rows = []
    for name, amount in found:
        if not whole and name != bounds.binds and amount < _LEAST_BOUND * bounds.took:
            continue
        kind, _, detail = name.partition(":")
        words = "the longest path of work" if kind == "path" else _name(_CAUSE[kind](detail))
        mark = "*" if name == bounds.binds else ""
        rows.append([mark, words, clock.took(amount), _percent(amount, bounds.took)])
    head = ["", "NO SCHEDULE ENDS SOONER BECAUSE OF", "TIME", "OF THE RUN"]
    lines = fitted(head, rows, width - 2, right={2, 3}, shrink=(1,))
    said = [f"efficiency {bounds.efficiency * 100:.1f} %: the best lower bound over the time"]
    if bounds.refuted:
        names = ", ".join(map(clean, bounds.refuted))
        said.append(f"faster than {names} would allow: these limits did not hold as stated")
    sentences = [line for sentence in said for line in wrapped(sentence, width - 2)]
    return [*_indented(lines), "", *_indented(sentences)]


def _chains(told: Explanation, width: int, whole: bool) -> list[str]:
    lines: list[str] = []
    trace = told.trace
    clock = Clock(trace.took)
    for team in told.chains.teams:
        answers = [answer for answer in team.answers if answer.void]
        if not answers:
            continue
        void = sum(len(answer.void) for answer in answers)
        calls = "1 call" if void == 1 else f"{void} calls"
        title = f"{clean(team.team) or 'the team'}: {calls} made void by later answers"
        lines += ["", *wrapped(title, width), ""]
        shown = answers if whole else answers[:_MOST_ROWS]
        rows = [
            [
                clock.at(answer.at - trace.began),
                clean(answer.label),
                str(len(answer.void)),
                clock.took(answer.took),
                ", ".join(clean(trace.activities[i].name) for i in answer.void),
            ]
            for answer in shown
        ]
        head = ["AT", "ANSWER", "VOID", "WORK LOST", "CALLS"]
        lines += _indented(fitted(head, rows, width - 2, right={0, 2, 3}, shrink=(4, 1)))
        if len(answers) > len(shown):
            lines.append(f"  and {len(answers) - len(shown)} more answers")
        again = [f"{clean(seat.name)} {seat.restarts}" for seat in team.seats if seat.restarts]
        if again:
            lines += wrapped(f"begun anew: {', '.join(again)}", width, "  ", "    ")
    return lines[1:]


def _missing(trace: Trace, width: int) -> list[str]:
    lines: list[str] = []
    if trace.missing:
        lines += ["what the source does not tell", ""]
        for sentence in trace.missing:
            lines += wrapped(clean(sentence), width, "  - ", "    ")
    if trace.disagreements:
        lines += [""] if lines else []
        lines += ["where the log and the other record differ", ""]
        rows = [[clean(one.what), clean(one.log), clean(one.truth)] for one in trace.disagreements]
        head = ["WHAT", "THE LOG", "THE RECORD"]
        lines += _indented(fitted(head, rows, width - 2, shrink=(0, 1, 2)))
    return lines


def _name(cause: Cause) -> str:
    return clean(cause_name(cause))


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
