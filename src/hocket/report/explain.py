"""An explanation as lines of text: one sentence first, then where time and money went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from hocket.core.values import SECOND, format_duration
from hocket.insight.account import Segment, Spent
from hocket.insight.causes import Cause
from hocket.insight.explain import Explanation
from hocket.insight.findings import Finding
from hocket.insight.trace import Trace
from hocket.report.palette import LOOKS, bar, cause_name, marks_line
from hocket.report.text import clean, clip, dollars, one_line, table
from hocket.simulator.outcome import Gain

_MOST_SHARES: Final = 14
_MOST_LEGS: Final = 14
_MOST_EVIDENCE: Final = 8
_MOST_ROWS: Final = 12
_BAR: Final = 30


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
        _head(told.trace),
        [clean(told.headline)],
        _shares(told, width, whole),
        _spent(told, whole),
        _chain(told, width, whole),
        _bounds(told),
        _chains(told, width, whole),
        _findings(told, gains),
        _missing(told.trace),
    )
    lines: list[str] = []
    for part in parts:
        if part:
            lines += ["", *part] if lines else part
    return lines


def _head(trace: Trace) -> list[str]:
    source = "" if trace.source == "hocket" else f", from a log of {trace.source}"
    status = trace.status or "ended"
    name = f" ({clean(trace.name)})" if trace.name and trace.name != trace.run else ""
    return [f"run {clean(trace.run)}{name}{source}: {status}, {format_duration(trace.took)}"]


def _shares(told: Explanation, width: int, whole: bool) -> list[str]:
    took = told.trace.took
    if not took:
        return []
    ordered = sorted(told.account.shares.items(), key=lambda item: (-item[1], item[0]))
    ordered = [item for item in ordered if item[1]]
    shown = ordered if whole else ordered[:_MOST_SHARES]
    rows = [
        [LOOKS[cause.kind].mark, cause_name(cause), _exact(amount), _percent(amount, took)]
        for cause, amount in shown
    ]
    if rest := ordered[len(shown) :]:
        left = sum(amount for _, amount in rest)
        rows.append(["", f"{len(rest)} more", _exact(left), _percent(left, took)])
    rows.append(["", "the run", _exact(took), "100.0 %"])
    lines = ["what the finish waited for", ""]
    lines += [f"  {line}" for line in _right(["", "CAUSE", "TIME", "SHARE"], rows, {2, 3})]
    shares = told.account.shares
    lines += ["", f"  {bar(shares, width - 4)}", f"  {clip(marks_line(shares), width - 2)}"]
    return lines


def _spent(told: Explanation, whole: bool) -> list[str]:
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
    width = 7 if total.cost or total.unpriced else 6 if total.tokens_in or total.tokens_out else 4
    head = ["FATE", "AGENT", "STEP", "CALLS", "READ", "WRITTEN", "COST"][:width]
    lines = _right(head, [row[:width] for row in cells], {3, 4, 5, 6})
    if total.unpriced:
        lines.append(f"{total.unpriced} calls with tokens have no known price and count as nothing")
    return ["what became of the calls", "", *(f"  {line}" for line in lines)]


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
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cost=sum(row.cost for row in rows),
        unpriced=sum(row.unpriced for row in rows),
    )


def _spent_row(row: Spent) -> list[str]:
    return [
        row.fate or "in flight",
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
    least = (
        0
        if whole
        else sorted((leg.until - leg.since for leg in legs), reverse=True)[
            min(_MOST_LEGS, len(legs)) - 1
        ]
    )
    rows: list[list[str]] = []
    short = 0
    for leg in legs:
        took = leg.until - leg.since
        if took < least or (not whole and len(rows) >= _MOST_LEGS):
            short += took
            continue
        who = "" if leg.activity < 0 else clean(trace.activities[leg.activity].name)
        at = f"{(leg.since - trace.began) / SECOND:,.2f} s"
        rows.append([at, _exact(took), cause_name(leg.cause), who])
    if short:
        rows.append(["", _exact(short), "shorter stretches", ""])
    lines = _right(["AT", "TOOK", "WAITED FOR", "CALL"], rows, {0, 1})
    return ["the chain to the finish", "", *(f"  {clip(line, width - 2)}" for line in lines)]


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


def _bounds(told: Explanation) -> list[str]:
    bounds = told.bounds
    if not bounds.took or not bounds.best:
        return []
    found = [("path", bounds.path)]
    for kind, amounts in (("slot", bounds.work), ("rate", bounds.rate)):
        if amounts:
            name = max(amounts, key=lambda name: amounts[name])
            found.append((f"{kind}:{name}", amounts[name]))
    rows = []
    for name, amount in found:
        kind, _, detail = name.partition(":")
        words = "the longest path of work" if kind == "path" else cause_name(_CAUSE[kind](detail))
        mark = "*" if name == bounds.binds else ""
        rows.append([mark, words, _exact(amount), _percent(amount, bounds.took)])
    lines = _right(["", "NO SCHEDULE ENDS SOONER BECAUSE OF", "TIME", "OF THE RUN"], rows, {2, 3})
    said = [f"efficiency {bounds.efficiency * 100:.1f} %: the best lower bound over the time"]
    if bounds.refuted:
        names = ", ".join(map(clean, bounds.refuted))
        said.append(f"faster than {names} would allow: these limits did not hold as stated")
    return [*(f"  {line}" for line in lines), "", *(f"  {line}" for line in said)]


def _chains(told: Explanation, width: int, whole: bool) -> list[str]:
    lines: list[str] = []
    trace = told.trace
    for team in told.chains.teams:
        answers = [answer for answer in team.answers if answer.void]
        if not answers:
            continue
        void = sum(len(answer.void) for answer in answers)
        calls = "1 call" if void == 1 else f"{void} calls"
        lines += ["", f"{clean(team.team) or 'the team'}: {calls} made void by later answers", ""]
        shown = answers if whole else answers[:_MOST_ROWS]
        rows = [
            [
                f"{(answer.at - trace.began) / SECOND:,.2f} s",
                clean(answer.label),
                str(len(answer.void)),
                _exact(answer.took),
                ", ".join(clean(trace.activities[i].name) for i in answer.void),
            ]
            for answer in shown
        ]
        head = ["AT", "ANSWER", "VOID", "WORK LOST", "CALLS"]
        lines += [f"  {clip(line, width - 2)}" for line in _right(head, rows, {0, 2, 3})]
        if len(answers) > len(shown):
            lines.append(f"  and {len(answers) - len(shown)} more answers")
        again = [f"{clean(seat.name)} {seat.restarts}" for seat in team.seats if seat.restarts]
        if again:
            lines.append(f"  begun anew: {', '.join(again)}")
    return lines[1:]


def _findings(told: Explanation, gains: Sequence[Gain]) -> list[str]:
    if not told.findings:
        return ["nothing stands out: no cause that a change would be worth"]
    by_place = {gain.finding: gain for gain in gains}
    lines = ["findings"]
    for place, finding in enumerate(told.findings):
        lines += ["", f"  {place + 1}. {clean(finding.title)} ({_cost(finding)})"]
        if finding.detail:
            lines.append(f"     {clean(finding.detail)}")
        if finding.advice:
            lines.append(f"     try: {clean(finding.advice)}")
        if finding.change:
            lines.append(f"     --set {' --set '.join(map(_quoted, finding.change))}")
        if place in by_place:
            lines.append(f"     simulated: {gain_words(by_place[place])}")
        if finding.evidence:
            shown = ", ".join(map(str, finding.evidence[:_MOST_EVIDENCE]))
            more = len(finding.evidence) - _MOST_EVIDENCE
            also = f" and {more} more" if more > 0 else ""
            lines.append(f"     {told.trace.evidence}s {shown}{also}")
    return lines


def gain_words(gain: Gain) -> str:
    """Say what a change does by simulation: ``41.2 s faster (38.0 to 44.1)``."""
    row = gain.row
    if row.why:
        return f"not possible: {one_line(row.why)}"
    if row.faster is None:
        return "nothing is known"
    if row.certain is not None and row.certain[0] <= 0 <= row.certain[1]:
        return "no difference that chance would not make"
    amount = row.faster.median
    word = "faster" if amount > 0 else "slower"
    low, high = sorted((abs(row.faster.low), abs(row.faster.high)))
    if row.faster.low < 0 < row.faster.high:
        low = 0.0
    if gain.verdict == "bad":
        return f"{word}; by how much is not said, since the simulation does not match the run"
    digits = 0 if gain.verdict == "rough" else 1
    spread = f"{low:,.{digits}f} to {high:,.{digits}f} s in 95 % of {row.runs} pairs of runs"
    about = "about " if gain.verdict == "rough" else ""
    return f"{about}{abs(amount):,.{digits}f} s {word} ({spread})"


def _missing(trace: Trace) -> list[str]:
    lines: list[str] = []
    if trace.missing:
        lines += ["what the source does not tell", ""]
        lines += [f"  - {clean(sentence)}" for sentence in trace.missing]
    if trace.disagreements:
        lines += (
            ["", "where the log and the other record differ", ""]
            if lines
            else [
                "where the log and the other record differ",
                "",
            ]
        )
        rows = [[clean(one.what), clean(one.log), clean(one.truth)] for one in trace.disagreements]
        lines += [f"  {line}" for line in table(["WHAT", "THE LOG", "THE RECORD"], rows)]
    return lines


def _cost(finding: Finding) -> str:
    words = []
    if finding.cost:
        words.append(f"{finding.share * 100:.0f} % of the run")
    if finding.money:
        words.append(dollars(finding.money))
    if finding.tokens:
        words.append(f"{finding.tokens:,} tokens")
    return "; ".join(words) or "no time on the way to the finish"


def _quoted(setting: str) -> str:
    return f"'{setting}'" if any(c in setting for c in " []{}'\"*") else setting


def _exact(ns: int) -> str:
    """Write a duration so that a column of them can be added up by eye."""
    return f"{ns / SECOND:,.3f} s"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _right(head: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Lay out a table with some columns flush right."""
    cells = [list(head), *[list(row) for row in rows]]
    for column in right:
        if column < len(head):
            size = max(len(row[column]) for row in cells)
            for row in cells:
                row[column] = row[column].rjust(size)
    return table(cells[0], cells[1:])
