"""Says in one sentence what a run's time went to."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hocket.core.values import SECOND
from hocket.insight.account import Account
from hocket.insight.find_norms import role_of
from hocket.insight.findings import Finding
from hocket.insight.trace import Trace

_SAID: Final = 0.1
"""The share from which on a second finding, or calls that came to nothing, are worth a word."""
_UNKNOWN: Final = 0.1
"""The share from which on it is said that the source does not tell."""


def headline(trace: Trace, account: Account, findings: list[Finding]) -> str:
    """Say what most of the time went to, and what else stands out."""
    if trace.took <= 0:
        return "It took no time."
    parts = [_first(trace, account, findings), *_more(trace, account, findings)]
    return "; ".join(parts)


def _first(trace: Trace, account: Account, findings: list[Finding]) -> str:
    whole = f"{trace.took / SECOND:,.0f} s" if trace.took >= 10 * SECOND else _short(trace.took)
    so_far = " so far" if trace.status in ("running", "paused") else ""
    timed = [finding for finding in findings if finding.cost]
    if timed:
        what = timed[0].title.partition(" went to ")[2]
        return f"{percent(timed[0].share)} of {whole}{so_far} went to {what}"
    kind, share = max(_shares(trace, account), key=lambda item: item[1])
    return f"{percent(share)} of {whole}{so_far} was {kind}"


def _more(trace: Trace, account: Account, findings: list[Finding]) -> list[str]:
    timed = [finding for finding in findings if finding.cost]
    more = []
    unknown = sum(ns for cause, ns in account.shares.items() if cause.kind == "unknown")
    if unknown >= _UNKNOWN * trace.took and timed:
        more.append(f"of {percent(unknown / trace.took)} nothing is known")
    wasted = _wasted(trace)
    said = timed[0].kind if timed else ""
    if wasted and said not in ("stale_votes", "needless_reviews"):
        more.append(wasted)
    elif len(timed) > 1 and timed[1].share >= _SAID:
        what = timed[1].title.partition(" went to ")[2]
        more.append(f"{percent(timed[1].share)} went to {what}")
    if not timed and not more and not findings and not unknown:
        more.append("nothing else stands out")
    return more


def _shares(trace: Trace, account: Account) -> list[tuple[str, float]]:
    """Give the shares of what is no finding, in the words of people."""
    words = {
        "model": "work of models",
        "tool": "work of tools",
        "unknown": "time of which nothing is known",
    }
    sums = Counter[str]()
    for cause, ns in account.shares.items():
        sums[words.get(cause.kind, "spent on many small things")] += ns
    return [(word, ns / trace.took) for word, ns in sums.items()] or [("idle", 1.0)]


def _wasted(trace: Trace) -> str:
    """Say how many calls were made stale or discarded, if that was many."""
    made = [a for a in trace.activities if a.work in ("model", "tool") and a.left and not a.cached]
    fates = Counter(activity.fate for activity in made)
    stale, discarded = fates["stale"], fates["discarded"]
    if not made or stale + discarded < _SAID * len(made):
        return ""
    if stale >= discarded:
        voided = [activity for activity in made if activity.fate == "stale"]
        votes = all(role_of(activity) == "vote" for activity in voided)
        one = stale == 1
        what = "was a vote" if one else "were votes"
        if not votes:
            what = "gave an output" if one else "gave outputs"
        return f"{stale:,} of {len(made):,} calls {what} that a later answer made stale"
    return f"{discarded:,} of {len(made):,} calls gave what nobody needed"


def _short(ns: int) -> str:
    return f"{ns / SECOND:.1f} s" if ns >= SECOND else f"{ns // 1_000_000} ms"


def percent(share: float) -> str:
    """Write a share: ``62 %``; what is not all is never called all."""
    if 0.995 <= share < 1:
        return "99 %"
    return f"{share * 100:.0f} %"
