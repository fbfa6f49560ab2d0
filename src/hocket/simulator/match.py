"""How well simulated runs match the recorded one that they were made of, and why not better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from hocket.core.events import ENDED
from hocket.core.values import SECOND, format_duration
from hocket.insight.account import account
from hocket.insight.causes import Cause
from hocket.insight.trace import Trace
from hocket.limits.words import limit_label
from hocket.simulator.outcome import Match
from hocket.simulator.sums import Ran, spread

GOOD: Final = 0.10
ROUGH: Final = 0.25
"""By what share of the simulated median a recorded run may be quicker or slower."""
_TELLING: Final = 0.05
"""What share of the recorded run a difference must make up to be told."""
_MOST: Final = 3
_MOSTLY: Final = 0.8
"""What share of the simulated runs must end as the recorded one did."""

WAITS: Final[dict[str, str]] = {
    "model": "work of {}",
    "tool": "work of {}",
    "rate": "room in the windows of {}",
    "refused": "{} to open again after a refusal",
    "slot": "a free slot of {}",
    "budget": "the budget {}",
    "share": "other runs",
    "backoff": "back-offs",
    "approval": "the approval {}",
    "input": "the input {}",
    "rework": "calls that came to nothing ({})",
    "cache": "the answer to the same question",
    "pause": "the end of a pause",
    "down": "a process to take it up",
    "coordinator": "the engine itself",
    "idle": "a timer",
    "unknown": "what nobody knows",
}
"""What a run waited for, by kind of cause; the detail fills the gap."""

Shares = Mapping[Cause, int]


def words_of(cause: Cause) -> str:
    """Say what was waited for."""
    who = limit_label(plain(cause.detail))
    who = "the run" if who == "run" else who.removeprefix("agent:")
    return WAITS[cause.kind].format(who)


def plain(limit: str) -> str:
    """Name a limit as its spec does: a run's own windows have the run's name behind them."""
    return limit.partition(" of ")[0]


def _named(shares: Shares) -> Shares:
    """Give shares of causes whose limits are named as in the spec, which two runs have alike."""
    found: dict[Cause, int] = {}
    for cause, took in shares.items():
        cause = cause._replace(detail=plain(cause.detail))
        found[cause] = found.get(cause, 0) + took
    return found


def match_of(trace: Trace, runs: Sequence[Ran], accounts: Sequence[Shares]) -> Match:
    """Compare a recorded run with simulated ones.

    What a pause took in which nobody was at work, or the absence of any process, is left out:
    nobody simulates that.
    Nor does anybody simulate the calls that were lost with a process.

    Args:
        trace: The recorded run.
        runs: What came out of the simulated ones.
        accounts: Where the time of some of them went.
    """
    shares = _named(account(trace).shares)
    accounts = [_named(one) for one in accounts]
    stood = _standing(trace)
    calls = sum(
        one.left and not one.cached and one.work in ("model", "tool") and one.how != "lost"
        for one in trace.activities
    )
    same = [one for one in runs if _alike(trace, one)]
    told = same or [one for one in runs if one.ended] or list(runs)
    seconds, counted = spread(one.took / SECOND for one in told), spread(c.calls for c in told)
    took = (trace.took - sum(stood.values())) / SECOND
    off = abs(took - seconds.median) / max(seconds.median, 1e-9)
    astray = abs(calls - counted.median)
    verdict: Literal["good", "rough", "bad"] = "bad"
    # How wide simulated runs are spread is no excuse: a bad guess is always wide.
    if off <= GOOD and astray <= 1 and len(same) >= _MOSTLY * len(runs):
        verdict = "good"
    elif off <= ROUGH and astray <= max(1, ROUGH * calls) and 2 * len(same) >= len(runs):
        verdict = "rough"
    reasons = list(_status(trace, runs, len(same)))
    reasons += _stops(trace, stood)
    if verdict != "good":
        reasons += _calls(calls, counted.median)
        reasons += _causes(trace, shares, accounts)
        reasons += _closed(trace)
    return Match(
        run=trace.run,
        seconds=took,
        simulated=seconds,
        calls=calls,
        simulated_calls=counted,
        verdict=verdict,
        reasons=tuple(reasons),
    )


def _alike(trace: Trace, one: Ran) -> bool:
    """Tell whether a simulated run went as the recorded one did; that may be that it never ends."""
    if trace.status in ENDED:
        return one.status == trace.status
    return not one.ended


def _status(trace: Trace, runs: Sequence[Ran], same: int) -> Iterator[str]:
    if same >= _MOSTLY * len(runs):
        return
    if trace.status not in ENDED:
        said = trace.status or "not known to have ended"
        yield f"The run is {said}: how long it would have taken is not known."
    elif trace.status == "cancelled":
        yield "The run was cancelled: how long it would have taken is not known."
    else:
        yield f"The run {trace.status}, and {same} of {len(runs)} simulated ones did."


def _standing(trace: Trace) -> dict[str, int]:
    """Say how long a run stood still by kind of stop, with nobody at work: no call, no person."""
    found: dict[str, int] = {}
    for stop in trace.stops:
        busy = (
            min(one.ended or stop.until, stop.until)
            for one in trace.activities
            if one.left and one.began < stop.until and one.work != "timer"
        )
        still = stop.until - max([stop.since, *busy])
        found[stop.kind] = found.get(stop.kind, 0) + max(0, still)
    return found


def _stops(trace: Trace, stood: Mapping[str, int]) -> Iterator[str]:
    for kind, words in (
        ("pause", "was paused"),
        ("budget", "stood over its budget"),
        ("down", "had no process"),
    ):
        took = stood.get(kind, 0)
        if took:
            yield (
                f"The run {words} for {format_duration(took)} of its "
                f"{format_duration(trace.took)}, which is left out here."
            )


def _calls(calls: int, simulated: float) -> Iterator[str]:
    if abs(calls - simulated) > 1:
        yield f"The run made {calls} calls, and the simulated ones {simulated:g}."


def _causes(trace: Trace, shares: Shares, accounts: Sequence[Shares]) -> Iterator[str]:
    """Say what the finish waited for in the run more, or less, than in simulated ones."""
    if not accounts:
        return
    means: dict[Cause, int] = dict.fromkeys(shares, 0)
    for simulated in accounts:
        for cause, took in simulated.items():
            means[cause] = means.get(cause, 0) + took // len(accounts)
    apart = {
        cause: shares.get(cause, 0) - mean
        for cause, mean in means.items()
        if cause.kind not in ("pause", "down")
    }
    ordered = sorted(apart.items(), key=lambda item: (-abs(item[1]), item[0]))
    for cause, _ in ordered[:_MOST]:
        if abs(apart[cause]) < _TELLING * trace.took:
            return
        own, mean = format_duration(shares.get(cause, 0)), format_duration(means[cause])
        lack = ", which the simulation lacks" if not means[cause] else ""
        yield f"It waited {own} for {words_of(cause)}{lack}; simulated runs {mean}."
        spec = None if trace.spec is None else trace.spec.limits.get(cause.detail)
        if apart[cause] > 0 and spec is not None and spec.shared:
            yield f"{plain(cause.detail)} is shared by all runs: others may have used it then."


def _closed(trace: Trace) -> Iterator[str]:
    for name in dict.fromkeys(one.limit for one in trace.changes if one.what == "closed"):
        yield f"{name} was closed by refusals: others may have used it too."
