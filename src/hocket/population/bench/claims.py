"""What the seed's report promised of each recommendation, beside what was measured.

The promises are in `SEED`, as it words them; only what it says in figures is judged by a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

SOURCE: Final = "FreeAgentics, Multi-Agent Coordination Performance Limits, 16 July 2025"

Verdict: TypeAlias = Literal["holds", "holds in part", "does not hold", "not measured"]
Unit: TypeAlias = Literal["%", "×"]


class Claim(NamedTuple):
    """One figure of a promise, and what was measured.

    Fields:
        what: What it is about.
        expected: The figure, in its unit.
        unit: Of both figures; shares are in percent.
        measured: What was found; None if it was not measured.
        at_most: Whether less is better; else more is.
    """

    what: str
    expected: float
    unit: Unit
    measured: float | None
    at_most: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether what was measured is as good as promised."""
        if self.measured is None:
            return None
        if self.at_most:
            return self.measured <= self.expected
        return self.measured >= self.expected


SEED: Final[dict[str, str]] = {
    "float32": "50% memory reduction, 30% faster operations",
    "belief compression": "30-40% memory reduction for beliefs",
    "transition caching": "Up to 350x speedup for repeated operations",
    "sparse transitions": "80-90% memory reduction for transition matrices",
    "process pool": "True parallelism for multi-agent scenarios",
    "batched operations": "Better cache utilization and reduced overhead",
    "GPU": "10-100x performance improvement, support for 1000+ agents",
    "hierarchical beliefs": "Logarithmic scaling with environment size",
    "distributed": "Linear scaling with machine count",
}
"""The nine recommendations, with the expected benefit in the seed's words."""


def verdict(claims: Sequence[Claim]) -> Verdict:
    """What the figures say of a recommendation."""
    known = [claim.holds for claim in claims if claim.holds is not None]
    if not known:
        return "not measured"
    if all(known):
        return "holds"
    return "holds in part" if any(known) else "does not hold"


def judged(
    name: str, claims: Sequence[Claim], found: dict[str, Any], why: str = ""
) -> dict[str, Any]:
    """One recommendation for the report.

    Args:
        name: A key of `SEED`.
        claims: Its figures.
        found: Whatever else was measured.
        why: Why nothing was, if nothing was.
    """
    return {
        "name": name,
        "promised": SEED[name],
        "claims": [{**claim._asdict(), "holds": claim.holds} for claim in claims],
        "verdict": verdict(claims),
        "found": found,
        "why": why,
    }
