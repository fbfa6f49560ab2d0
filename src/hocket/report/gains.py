"""What simulations say of the changes that findings propose, in words."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from hocket.report.text import one_line
from hocket.simulator.outcome import Gain, Row

Worth: TypeAlias = Literal["faster", "none", "slower", "fails", "unknown", "impossible"]
"""What a change is worth by simulation.

faster: the run gets shorter, or succeeds more often.
none: chance alone would make such a difference.
slower: the run gets longer.
fails: the run succeeds less often, whatever else it does.
unknown: simulations do not say.
impossible: the change cannot be made.
"""

LABELS: Final[dict[Worth, str]] = {
    "faster": "try",
    "none": "considered",
    "slower": "considered",
    "fails": "considered",
    "unknown": "perhaps",
    "impossible": "considered",
}
"""How advice is introduced: only what is known to help is a plain change to try."""


class Told(NamedTuple):
    """What a change is worth, and the words for it."""

    worth: Worth
    words: str


def gain_told(gain: Gain) -> Told:
    """Say what a change does by simulation: ``41.2 s faster (38.0 s to 44.1 s …)``."""
    row = gain.row
    if row.why:
        return Told("impossible", f"not possible: {one_line(row.why)}")
    if gain.unknown:
        return Told("unknown", f"{gain.unknown}, so the gain is not known")
    if not row.runs:
        return Told("unknown", "nothing is known")
    usual = 1.0 if gain.baseline is None else gain.baseline.success
    if not row.success and not usual:
        return Told("unknown", "no run succeeds, with or without it, so the gain is not known")
    if not row.success:
        how = "stands still and never ends" if row.figures == "stand still" else "fails"
        return Told("fails", f"{how} in 100 % of runs: not a change to make")
    timed = _timed(gain)
    if row.success == usual:
        return timed
    often = f"succeeds in {_part(row.success)} of runs, {_part(usual)} without the change"
    if row.success < usual:
        return Told("fails", f"{often}: not a change to make; where it does, {timed.words}")
    return Told("faster", f"{often}; where it does, {timed.words}")


def _timed(gain: Gain) -> Told:
    """Say what a change does to the time of the runs that succeed."""
    row = gain.row
    if row.faster is None or row.certain is None:
        return Told("unknown", "nothing is known of the time")
    if row.certain[0] <= 0 <= row.certain[1]:
        return Told("none", f"no gain{_binding(gain)}")
    better = row.certain[0] > 0
    word: Literal["faster", "slower"] = "faster" if better else "slower"
    if gain.verdict == "bad":
        why = "by how much is not said, since the simulation does not match the run"
        return Told(word, f"{word}; {why}")
    rough = gain.verdict == "rough"
    sign = 1 if better else -1
    middle = _seconds(sign * row.faster.median, rough)
    low, high = sorted((sign * row.faster.low, sign * row.faster.high))
    spread = f"{_seconds(low, rough)} to {_seconds(high, rough)} in 95 % of {_pairs(row)}"
    return Told(word, f"{'about ' if rough else ''}{middle} {word} ({spread})")


def _binding(gain: Gain) -> str:
    """Say what the finish waits for once a change is made that gains nothing."""
    binds = gain.row.binds
    if not binds:
        return ""
    same = gain.baseline is not None and gain.baseline.binds == binds
    return f": {binds} {'still binds' if same else 'binds next'}"


def _pairs(row: Row) -> str:
    return "1 pair of runs" if row.pairs == 1 else f"{row.pairs:,} pairs of runs"


def _part(share: float) -> str:
    """Write a share; what is not all is never called all, nor what is something nothing."""
    percent = round(share * 100)
    if percent in (0, 100) and share not in (0.0, 1.0):
        return f"{share * 100:.1f} %"
    return f"{percent} %"


def _seconds(seconds: float, rough: bool) -> str:
    """Write a difference with as many digits as it is worth."""
    size = abs(seconds)
    if size >= 0.9995:
        return f"{seconds:,.{0 if rough else 1}f} s"
    milliseconds = seconds * 1_000
    if size >= 0.01 or not seconds:
        return f"{round(milliseconds, -1) if rough else milliseconds:.0f} ms"
    return f"{float(f'{milliseconds:.{1 if rough else 2}g}'):g} ms"
