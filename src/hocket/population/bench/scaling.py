"""How ticks grow with the number of agents, and how efficient that is, in three definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from hocket.population.bench.crowd import TOGETHER, crowd, tick_times
from hocket.population.bench.statistics import growth, line, summary

SEED_STEPS: Final = (1, 5, 10, 20, 30, 50)
"""The numbers of agents of the seed's report."""

FURTHER: Final = (100, 1_000, 10_000, 50_000, 100_000, 300_000, 1_000_000)

FEW: Final = 10_000
"""Up to so many agents ticks are also timed many in a dispatch."""


def numbers(most: int) -> list[int]:
    """Which numbers of agents are measured."""
    return [n for n in (*SEED_STEPS, *FURTHER) if n <= most] or [most]


def measure_scaling(
    agents: Sequence[int], *, iterations: int, seconds: float, raw: dict[str, Any]
) -> list[dict[str, Any]]:
    """Time the ticks of populations, one tick in each dispatch.

    Args:
        agents: The numbers of agents.
        iterations: How many ticks of each.
        seconds: The time after which no further tick of one population begins.
        raw: Gets the seconds of each tick.

    Returns:
        A row for each: its summary, in seconds, and agent-steps a second.
    """
    rows = []
    for count in agents:
        population = crowd(count)
        found = tick_times(population, iterations=iterations, seconds=seconds)
        raw[f"scaling/{count}"] = found.walls
        row: dict[str, Any] = {
            "agents": count,
            **found.summary()._asdict(),
            "processor": found.processor,
            "devices": population.devices,
            "together": None,
        }
        if count <= FEW:
            many = tick_times(
                population, iterations=iterations, seconds=seconds / 4, together=TOGETHER
            )
            raw[f"scaling/{count}/together"] = many.walls
            row["together"] = many.summary().mean
        rows.append(row)
        del population
    return rows


def add_efficiencies(rows: Sequence[dict[str, Any]], base: float, roof: float) -> None:
    """Add throughput, what it would be if it grew linearly, and the three efficiencies.

    Args:
        rows: From `measure_scaling`; the first is of the fewest agents.
        base: Steps a second of one object agent alone, in this run.
        roof: Agent-steps a second of the serial roof, in this run.
    """
    alone = rows[0]["agents"] / rows[0]["mean"]
    for row in rows:
        count = row["agents"]
        row["throughput"] = count / row["mean"]
        row["linear"] = count * alone / rows[0]["agents"]
        row["e_seed"] = row["throughput"] / row["linear"]
        row["e_base"] = row["throughput"] / (count * base)
        row["e_hw"] = row["throughput"] / roof


def regression(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How latency depends on the number of agents, if enough numbers were measured.

    Returns:
        "latency": seconds = a + b · agents, each point weighted by 1/seconds², since the error
        grows with the time; "growth": the line through the logarithms, from a thousand agents on.
    """
    count = [float(row["agents"]) for row in rows]
    mean = [float(row["mean"]) for row in rows]
    large = [(n, s) for n, s in zip(count, mean, strict=True) if n >= 1_000]
    found: dict[str, Any] = {"latency": None, "growth": None}
    if len(count) >= 3:
        found["latency"] = line(count, mean, [1 / s**2 for s in mean])._asdict()
    if len(large) >= 3:
        found["growth"] = growth(*zip(*large, strict=True))._asdict()
    return found


def measure_realtime(
    horizon: int,
    target: float,
    *,
    iterations: int,
    seconds: float,
    start: int,
    most: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Seek how many agents end their tick in time; every number said was measured.

    From one guess to the next the number of agents is scaled by how far the tick was from the
    target, first the median and then the 99th percentile.

    Args:
        horizon: How many steps policies look ahead.
        target: Seconds a tick may take.
        iterations: How many ticks of each guess.
        seconds: The time after which no further tick of a guess begins.
        start: The first guess.
        most: No more agents than that are tried.
        tell: Hears of each guess.

    Returns:
        The most agents at p50 and at p99 that were in time (0 if none was), with what was tried.
    """
    tried: dict[int, dict[str, Any]] = {}
    # Three guesses come within a few percent, since ticks grow nearly in proportion.
    for wanted, guesses in (("p50", 3), ("p99", 2)):
        count = min(most, _best(tried, wanted, target) or start)
        for _ in range(guesses):
            if count not in tried:
                tell(f"{count:,} agents at horizon {horizon}")
                found = tick_times(
                    crowd(count, horizon=horizon), iterations=iterations, seconds=seconds
                )
                tried[count] = {"agents": count, **summary(found.walls)._asdict()}
            # A little less than what would fit exactly: else every second guess is just too slow.
            scale = float(np.clip(0.97 * target / tried[count][wanted], 0.2, 5))
            count = max(1, int(round(count * scale, -2)) or round(count * scale))
            count = min(most, count)
    fits = {name: _best(tried, name, target) for name in ("p50", "p99")}
    return {
        "horizon": horizon,
        "target": target,
        "agents_p50": fits["p50"],
        "agents_p99": fits["p99"],
        "tried": sorted(tried.values(), key=lambda row: int(row["agents"])),
    }


def _best(tried: dict[int, dict[str, Any]], name: str, target: float) -> int:
    return max((n for n, row in tried.items() if row[name] <= target), default=0)
