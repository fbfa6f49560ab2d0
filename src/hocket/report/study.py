"""A study for people and for programs: a baseline beside its variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from hocket.core.values import Json
from hocket.report.forest import FAR_OFF, caveat, figure, shown_range
from hocket.report.svg import ticks
from hocket.report.text import dollars, table
from hocket.simulator.outcome import BESIDES, LITTLE, Match, Row, Spread, Study

_WIDE: Final = 100
_LONGEST: Final = 48
"""The longest name of a variant that stands in a table; longer ones are numbered."""
_PLOT: Final = 60
_LEAST_PLOT: Final = 24
_DIGITS: Final = 9

Direction: TypeAlias = str
"""``faster``, ``slower``, ``as fast``, or "" where there is nothing to compare."""


def study_lines(study: Study, width: int | None = None) -> list[str]:
    """Say in lines what came of a study, the match with the recorded run first.

    Where the baseline does not match the recorded run, only directions are given.

    Args:
        study: The study.
        width: How many characters a line of a table or a plot may have; None for any number.
    """
    rows = [study.baseline, *study.variants]
    names = _names(study)
    lines = []
    if study.match is not None:
        lines += [*match_lines(study.match), ""]
    lines += _whole(study)
    long = [(name, row.name) for row, name in zip(rows, names, strict=True) if name != row.name]
    lines += [f"  {name}: {whole}" for name, whole in long]
    besides = next((row for row in rows if row.name.startswith(BESIDES)), None)
    if besides is not None:
        own = besides.name.removeprefix(BESIDES).split(" ")
        both = " ".join(one for one in besides.settings if one not in own)
        lines.append(f"  {BESIDES.strip()} stands for: with {both}, too")
    lines.append("")
    told = _verdict(study) != "bad"
    played = [(row, name) for row, name in zip(rows, names, strict=True) if not row.why]
    if told and played:
        lines += _figures(study, played, width)
        usual = None if study.baseline.why else study.baseline.seconds.median
        spreads = [(row.seconds, name) for row, name in played]
        lines += ["", *_plot(spreads, usual, width or _WIDE)]
    elif len(played) > 1:
        lines += _directions(study, played)
    if len(played) > 1 and told:
        lines += ["", *_star(played)]
    for row, name in zip(rows, names, strict=True):
        if row.why:
            lines.append(f"{name} cannot be simulated: {row.why}")
    if study.assumed:
        lines += ["", "notes:", *(f"  {said}" for said in study.assumed)]
    return lines


def match_lines(match: Match) -> list[str]:
    """Say how well the simulated baseline matches the recorded run."""
    exact = match.verdict == "good"
    simulated, calls = match.simulated, match.simulated_calls
    first = (
        f"The simulated baseline takes {_said(simulated, exact)}, "
        f"run {match.run} took {figure(match.seconds, exact, more=1)} s"
    )
    if calls.low != match.calls or calls.high != match.calls:
        first += f", and makes {_count(calls)} calls, the run made {match.calls:,}"
    said = {
        "good": "good.",
        "rough": "rough, so the figures are rounded.",
        "bad": "bad, so only directions are given, and no figures.",
    }[match.verdict]
    return [f"{first}: {said}", *(f"  {reason}" for reason in match.reasons)]


def _said(spread: Spread, exact: bool) -> str:
    middle, space, interval = _seconds(spread, exact).partition(" ")
    return f"{middle} s{space}{interval}"


def direction(row: Row) -> Direction:
    """Say whether a variant is quicker than the baseline, as far as that is certain."""
    if row.certain is None or row.why:
        return ""
    low, high = row.certain
    return "faster" if low > 0 else "slower" if high < 0 else "as fast"


def study_document(study: Study) -> dict[str, Json]:
    """Give a study as one document for programs, durations in seconds and money in dollars.

    Where the baseline does not match the recorded run its figures are null.
    """
    told = _verdict(study) != "bad"
    match = study.match
    return {
        "name": study.name,
        "plan": study.plan,
        "seed": study.seed,
        "match": None
        if match is None
        else {
            "run": match.run,
            "verdict": match.verdict,
            "seconds": _round(match.seconds),
            "simulated_seconds": _spread(match.simulated),
            "calls": match.calls,
            "simulated_calls": _spread(match.simulated_calls),
            "reasons": list(match.reasons),
        },
        "assumed": list(study.assumed),
        "caveat": caveat(study),
        "baseline": _row(study.baseline, told),
        "variants": [_row(row, told) for row in study.variants],
    }


def _row(row: Row, told: bool) -> dict[str, Json]:
    figures: dict[str, Json] = {
        "seconds": _spread(row.seconds),
        "calls": _spread(row.calls),
        "dollars": _spread(row.usd),
        "tokens": _spread(row.tokens),
        "refused": _spread(row.refused),
        "wasted": _spread(row.wasted),
        "success": _round(row.success),
        "faster": _spread(row.faster),
        "faster_certain": None if row.certain is None else [_round(one) for one in row.certain],
        "cheaper": _spread(row.cheaper),
    }
    shown = told and not row.why
    return {
        "name": row.name,
        "settings": list(row.settings),
        "runs": row.runs,
        "figures": row.figures,
        "pairs": row.pairs,
        "against": row.against,
        "why": row.why,
        "direction": direction(row),
        **(figures if shown else dict.fromkeys(figures)),
        "unpriced": row.unpriced,
        "binds": row.binds,
        "frontier": row.frontier,
    }


def _spread(spread: Spread | None) -> Json:
    if spread is None:
        return None
    return {name: _round(getattr(spread, name)) for name in ("median", "low", "high")}


def _round(value: float) -> float:
    return round(value, _DIGITS)


def _verdict(study: Study) -> str:
    return "good" if study.match is None else study.match.verdict


def _names(study: Study) -> list[str]:
    """Name the rows, those by numbers whose names are too long for a table."""
    return [
        row.name if len(row.name) <= _LONGEST else f"variant {number}"
        for number, row in enumerate([study.baseline, *study.variants])
    ]


def _whole(study: Study) -> list[str]:
    counts = sorted({row.runs for row in (study.baseline, *study.variants) if not row.why})
    runs = " to ".join(f"{count:,}" for count in dict.fromkeys((*counts[:1], *counts[-1:])))
    each = " each" if study.variants else ""
    word = "run" if runs == "1" else "runs"
    return [
        f"plan {study.plan} of {study.name}: {runs or 'no'} simulated {word}{each}, "
        f"seed {study.seed}"
    ]


# ---- tables ----


def _figures(study: Study, rows: Sequence[tuple[Row, str]], width: int | None) -> list[str]:
    exact = _verdict(study) == "good"
    several = len(rows) > 1
    head = ["VARIANT", "SECONDS (95 %)", "FASTER BY (95 %)", "CALLS", "COST", "REFUSED", "SUCCESS"]
    head.append("BINDS")
    cells = []
    for row, name in rows:
        mark = " *" if row.frontier and several else ""
        cells.append(
            [
                f"{name}{mark}",
                _until(row, exact),
                _gain(row, exact),
                _count(row.calls),
                _cost(row),
                _count(row.refused),
                f"{row.success:.0%}",
                row.binds,
            ]
        )
    if not several:
        head, cells = _without(head, 2), [_without(row, 2) for row in cells]
    return _tables(head, cells, width)


def _tables(head: list[str], cells: list[list[str]], width: int | None) -> list[str]:
    """Lay a table out; one that is too wide goes on below, each part with the names."""
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
    parts, used = [[0]], widths[0]
    for column in range(1, len(head)):
        used += 2 + widths[column]
        if width is not None and used > width and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0] + 2 + widths[column]
        parts[-1].append(column)
    lines: list[str] = []
    for part in parts:
        lines += [""] if lines else []
        lines += table([head[i] for i in part], [[row[i] for i in part] for row in cells])
    return lines


def _without(cells: list[str], place: int) -> list[str]:
    return [*cells[:place], *cells[place + 1 :]]


def _directions(study: Study, rows: Sequence[tuple[Row, str]]) -> list[str]:
    """Say of each variant in which direction it differs, and no figures."""
    base = study.baseline
    cells = []
    for row, name in rows:
        if row is base:
            continue
        calls = _than(row.calls.median - base.calls.median, "more", "fewer", "as many")
        cost = "unpriced"
        if row.cheaper is not None:
            certain = row.cheaper.low > 0 or row.cheaper.high < 0
            cost = _than(row.cheaper.median if certain else 0, "cheaper", "dearer", "the same")
        cells.append([name, direction(row), calls, cost, row.binds])
    return table(["VARIANT", "TIME", "CALLS", "COST", "BINDS"], cells)


def _than(value: float, above: str, below: str, equal: str) -> str:
    return above if value > 0 else below if value < 0 else equal


def _star(rows: Sequence[tuple[Row, str]]) -> list[str]:
    said = "* no other one is both quicker and cheaper"
    if all(row.success >= rows[0][0].success - LITTLE for row, _ in rows):
        return [said]
    return [f"{said},", "  of those that succeed about as often"]


def _until(row: Row, exact: bool) -> str:
    """Say how long runs took; of those of which none succeeded, until when they went."""
    said = _seconds(row.seconds, exact)
    if row.figures == "stand still":
        return f"stands still at {said}"
    return f"fails at {said}" if row.figures == "failed" else said


def _seconds(spread: Spread, exact: bool) -> str:
    return f"{_among(spread.median, spread.low, spread.high, exact)}"


def _gain(row: Row, exact: bool) -> str:
    if row.faster is None:
        return "–"
    low, high = row.certain or (row.faster.median, row.faster.median)
    return _among(row.faster.median, low, high, exact)


def _among(middle: float, low: float, high: float, exact: bool) -> str:
    """Write a number and the interval that it lies in, unless they are one."""
    said, first, last = (figure(one, exact) for one in (middle, low, high))
    return said if first == last == said else f"{said} ({first} to {last})"


def _count(spread: Spread) -> str:
    low, high = f"{spread.low:,.0f}", f"{spread.high:,.0f}"
    middle = f"{spread.median:,.0f}"
    return middle if low == high else f"{middle} ({low} to {high})"


def _cost(row: Row) -> str:
    if row.usd is None:
        return "unpriced" if row.unpriced else dollars(0)
    return _dollars(row.usd.median) + (" and more" if row.unpriced else "")


def _dollars(value: float) -> str:
    return dollars(round(float(f"{value:.2f}" if value >= 0.1 else f"{value:.3g}") * 1e12))


# ---- the forest plot ----


def _plot(rows: Sequence[tuple[Spread, str]], usual: float | None, width: int) -> list[str]:
    """Draw intervals and medians one below the other, the baseline's median as a line."""
    label = max(len(name) for _, name in rows)
    size = max(_LEAST_PLOT, min(_PLOT, width - label - 2))
    low, high = shown_range([spread for spread, _ in rows])
    room = (high - low) * 0.05 or max(high * 0.1, 0.5)
    first, last = max(0.0, low - room), high + room

    def place(value: float) -> int:
        return min(size - 1, max(0, round((value - first) / (last - first) * (size - 1))))

    lines = []
    for spread, name in rows:
        cells = [" "] * size
        if usual is not None:
            cells[place(usual)] = "┊"
        start, middle, end = place(spread.low), place(spread.median), place(spread.high)
        for column in range(start, end + 1):
            cells[column] = "─"
        if start < end:
            cells[start], cells[end] = "├", "┤"
        cells[middle] = "●"
        if spread.high > last:
            cells[-1] = "▸"
        lines.append(f"{name.ljust(label)}  {''.join(cells)}".rstrip())
    lines += _axis(first, last, size, label)
    if any(spread.high > last for spread, _ in rows):
        lines.append(FAR_OFF)
    return lines


def _axis(first: float, last: float, size: int, label: int) -> list[str]:
    """Write round seconds below a plot, and a mark above each: two of them at least."""
    for most in range(max(2, size // 12), size):
        marks, words, count = _marks(first, last, size, most)
        if count > 1:
            break
    bare = " " * (label + 2)
    return [f"{bare}{marks}", f"{bare}{words}"]


def _marks(first: float, last: float, size: int, most: int) -> tuple[str, str, int]:
    """Give a line with marks, one with what they stand for, and how many there are."""
    marks, words = ["─"] * size, [" "] * (size + 12)
    end = count = 0
    for tick in ticks(first, last, most):
        column = round((tick.at - first) / (last - first) * (size - 1))
        text = f"{tick.text} s"
        start = max(0, column - len(tick.text) // 2)
        if start < end:
            continue
        end = start + len(text) + 1
        count += 1
        marks[column] = "┬"
        words[start : start + len(text)] = text
    return "".join(marks), "".join(words).rstrip(), count
