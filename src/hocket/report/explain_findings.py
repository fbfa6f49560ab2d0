"""The findings of an explanation as lines of text, with what was simulated of their changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hocket.insight.explain import Explanation
from hocket.insight.findings import Finding
from hocket.report.explain_width import wrapped
from hocket.report.gains import LABELS, gain_told
from hocket.report.text import clean, dollars
from hocket.simulator.outcome import Gain

_MOST_EVIDENCE: Final = 8
_INDENT: Final = "     "


def findings_lines(told: Explanation, gains: Sequence[Gain], width: int) -> list[str]:
    """Write the findings; only what simulations find to help is a plain change to try."""
    if not told.findings:
        return wrapped("nothing stands out: no cause that a change would be worth", width)
    by_place = {gain.finding: gain for gain in gains}
    lines = ["findings"]
    for place, finding in enumerate(told.findings):
        first = f"  {place + 1}. "
        title = f"{clean(finding.title)} ({_cost(finding)})"
        lines += ["", *wrapped(title, width, first, " " * len(first))]
        lines += _paragraph(finding.detail, width)
        lines += _advice(told, finding, by_place.get(place), width)
        lines += _evidence(finding, told.trace.evidence, width)
    return lines


def _advice(told: Explanation, finding: Finding, gain: Gain | None, width: int) -> list[str]:
    simulated = None if gain is None else gain_told(gain)
    label = "try" if simulated is None else LABELS[simulated.worth]
    lines = _paragraph(finding.advice and f"{label}: {finding.advice}", width)
    # A command is there to be copied: it breaks between settings alone.
    settings = [f"--set {_quoted(clean(setting))}" for setting in finding.change]
    if settings:
        # Only a run of ours can be simulated by its name.
        ours = [f"hocket simulate {told.trace.run}"] if told.trace.source == "hocket" else []
        parts = [*ours, *settings]
        whole = " ".join(parts)
        if len(_INDENT) + len(whole) > width:
            whole = f" \\\n{_INDENT}  ".join(parts)
        lines += f"{_INDENT}{whole}".split("\n")
    if simulated is not None:
        lines += _paragraph(f"simulated: {simulated.words}", width)
    return lines


def _evidence(finding: Finding, kind: str, width: int) -> list[str]:
    count = len(finding.evidence)
    if not count:
        return []
    shown = ", ".join(map(str, finding.evidence[:_MOST_EVIDENCE]))
    also = f" and {count - _MOST_EVIDENCE:,} more" if count > _MOST_EVIDENCE else ""
    return _paragraph(f"{kind}{'' if count == 1 else 's'} {shown}{also}", width)


def _paragraph(text: str, width: int) -> list[str]:
    return wrapped(clean(text), width, _INDENT, f"{_INDENT}  ") if text else []


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
