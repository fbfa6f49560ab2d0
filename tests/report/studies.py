"""Studies made by hand."""

from __future__ import annotations

from hocket.simulator.outcome import Match, Row, Spread, Study


def near(median: float, part: float = 0.1) -> Spread:
    return Spread(median, median * (1 - part), median * (1 + part))


def row(name: str, seconds: float, usd: float | None = 1.0, **more: object) -> Row:
    fields: dict[str, object] = {
        "name": name,
        "runs": 1_000,
        "seconds": near(seconds),
        "calls": near(24),
        "usd": None if usd is None else near(usd, 0.05),
        "tokens": near(12_000),
        "success": 1.0,
    }
    return Row(**(fields | more))  # type: ignore[arg-type]


def study(**changes: object) -> Study:
    """A baseline, two that are better in one way each, one that is worse and one that failed."""
    fields: dict[str, object] = {
        "name": "01J0",
        "plan": "seven <agents>",
        "seed": 7,
        "baseline": row("baseline", 1_337.0, 0.52),
        "variants": (
            row(
                "limits.flash.requests=15/min",
                640.0,
                0.52,
                faster=near(690.0),
                certain=(650.0, 720.0),
                frontier=True,
            ),
            row(
                "consensus.policy=once & review.swarm=3",
                702.0,
                0.31,
                faster=near(635.0),
                certain=(600.0, 660.0),
                frontier=True,
            ),
            row("max_parallel=1", 1_802.0, 0.53, faster=near(-465.0), certain=(-500.0, -430.0)),
            row("agents.pro.cache=true", 1_330.0, 0.52, faster=near(5.0), certain=(-20.0, 31.0)),
            Row(name="limits.flash.requests=0/min", why="a rate lets at least one call through"),
        ),
        "match": Match(
            run="01J0",
            seconds=1_321.0,
            simulated=near(1_337.0),
            calls=24,
            simulated_calls=near(24),
            verdict="good",
        ),
    }
    return Study(**(fields | changes))  # type: ignore[arg-type]
