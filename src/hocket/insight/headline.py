"""Says in one sentence what a run's time went to."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from hocket.core.values import SECOND
from hocket.insight.account import Account
from hocket.insight.find_leads import duration
from hocket.insight.find_norms import role_of
from hocket.insight.findings import Finding
from hocket.insight.trace import START, Trace

_SAID: Final = 0.1
"""The share from which on a second finding, or calls that came to nothing, are worth a word."""
_UNKNOWN: Final = 0.1
"""The share from which on it is said that the source does not tell."""
_MUCH: Final = 0.4
"""The share from which on work that no finding explains is worth a word."""
_MINOR: Final = 0.15
"""A finding of less does not stand alone."""
_ALMOST: Final = 0.9
"""The share of work from which on it is told as that of one call."""
_UNDER_WAY: Final = frozenset({"running", "paused", "stopped (resumable)"})
_OF_WORK: Final = frozenset(
    {
        "slow_call",
        "hung_call",
        "long_tail",
        "slow_agent",
        "slow_tool",
        "long_answers",
        "no_cache",
        "sequential",
        "serial_chain",
        "many_rounds",
        "needless_reviews",
        "soft_wait",
    }
)
"""The findings that explain work, and not waits."""
_WORDS: Final = {
    "model": "work of models",
    "tool": "work of tools",
    "unknown": "time of which nothing is known",
}
_ALONE: Final = {
    "many": "spent on many small things",
    "rate": "waiting for room in limits",
    "refused": "waiting for limits that were closed",
    "slot": "waiting for free slots",
    "budget": "waiting for a budget",
    "share": "giving way to other runs",
    "backoff": "the time before other tries",
    "approval": "waiting for approvals",
    "input": "waiting for inputs",
    "rework": "calls that came to nothing",
    "cache": "waiting for answers that were being asked already",
    "pause": "a pause",
    "down": "time of which nothing is recorded, as the process ended in it",
    "coordinator": "the program itself",
    "idle": "idle",
}
"""What time is called that is all of one kind."""


def headline(trace: Trace, account: Account, findings: list[Finding]) -> str:
    """Say what most of the time went to, and what else stands out."""
    if trace.took <= 0:
        return "It took no time."
    timed = [finding for finding in findings if finding.cost]
    work = _work(trace, account, timed)
    first = timed[0].share if timed else 0.0
    leads = work is not None and work.share > first
    minor = first < _MINOR
    parts = []
    if not timed or minor or leads:
        share, what = work if work and leads else _largest(trace, account)
        parts.append(f"{percent(share)} of {_whole(trace)} was {what}")
        parts += [_went(finding) for finding in timed[:1]]
    else:
        parts.append(_went(timed[0], f" of {_whole(trace)}"))
        if work is not None:
            parts.append(f"{percent(work.share)} was {work.what}")
    more = _more(trace, account, findings, told=len(parts))
    return "; ".join([*parts, *more])


def _went(finding: Finding, whole: str = "") -> str:
    what = finding.title.partition(" went to ")[2]
    return f"{percent(finding.share)}{whole} went to {what}"


def _whole(trace: Trace) -> str:
    took = f"{trace.took / SECOND:,.0f} s" if trace.took >= 10 * SECOND else duration(trace.took)
    if trace.status == "cut off":
        return f"what the log holds, {took},"
    return f"{took} so far" if trace.status in _UNDER_WAY else took


def _more(trace: Trace, account: Account, findings: list[Finding], told: int) -> list[str]:
    timed = [finding for finding in findings if finding.cost]
    more = []
    unknown = sum(ns for cause, ns in account.shares.items() if cause.kind == "unknown")
    if unknown >= _UNKNOWN * trace.took and timed:
        more.append(f"of {percent(unknown / trace.took)} nothing is known")
    wasted = _wasted(trace)
    said = timed[0].kind if timed else ""
    if wasted and said not in ("stale_votes", "needless_reviews"):
        more.append(wasted)
    elif told == 1 and len(timed) > 1 and timed[1].share >= _SAID:
        more.append(_went(timed[1]))
    if not timed and not more and not findings and not unknown:
        more.append("nothing else stands out")
    return more


class _Share(NamedTuple):
    """A part of the time, and what it was."""

    share: float
    what: str


def _work(trace: Trace, account: Account, timed: list[Finding]) -> _Share | None:
    """Give the most of the work that no finding explains, if it is a good part of the time."""
    explained = sum(finding.cost for finding in timed if finding.kind in _OF_WORK)
    sums = Counter[str]()
    for cause, ns in account.shares.items():
        if cause.kind in ("model", "tool"):
            sums[cause.kind] += ns
    if not sums:
        return None
    kind = max(sums, key=lambda kind: sums[kind])
    rest = sums[kind] - explained
    if rest < _MUCH * trace.took:
        return None
    if explained:
        return _Share(rest / trace.took, f"other {_WORDS[kind]}")
    calls = Counter[int]()
    for segment in account.segments:
        if segment.cause.kind == kind and segment.activity >= 0:
            calls[segment.activity] += segment.until - segment.since
    longest = max(calls, key=lambda index: (calls[index], -index), default=START)
    if longest != START and timed and calls[longest] >= _ALMOST * rest:
        # Where nothing stands out the table tells who worked.
        call = trace.activities[longest]
        who = f"{call.agent or call.path} at {call.step}" if call.step else call.agent or call.path
        return _Share(calls[longest] / trace.took, f"one call of {who}")
    return _Share(rest / trace.took, _WORDS[kind])


def _largest(trace: Trace, account: Account) -> _Share:
    """Give the largest part of the time, in the words of people."""
    sums = Counter[str]()
    for cause, ns in account.shares.items():
        sums[cause.kind] += ns
    known = {kind: ns for kind, ns in sums.items() if kind in _WORDS}
    others = [kind for kind in sums if kind not in _WORDS]
    if len(others) == 1:
        known[others[0]] = sums[others[0]]
    elif others:
        known["many"] = sum(sums[kind] for kind in others)
    if not known:
        return _Share(1.0, "idle")
    kind = max(known, key=lambda kind: known[kind])
    return _Share(known[kind] / trace.took, {**_WORDS, **_ALONE}[kind])


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


def percent(share: float) -> str:
    """Write a share: ``62 %``; what is not all is never called all."""
    if 0.995 <= share < 1:
        return "99 %"
    return f"{share * 100:.0f} %"
