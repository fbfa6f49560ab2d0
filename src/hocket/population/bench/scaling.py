"""How ticks grow with the number of agents, and how efficient that is, in three definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from hocket.population.bench.crowd import TOGETHER, crowd, tick_times
from hocket.population.bench.statistics import TAIL_FROM, growth, line, tail, tail_name

Judge: TypeAlias = Callable[[Mapping[str, Any]], float]
"""Which of a summary's figures must be in time."""

SEED_STEPS: Final = (1, 5, 10, 20, 30, 50)
"""The numbers of agents of the seed's report."""

FURTHER: Final = (100, 1_000, 10_000, 50_000, 100_000, 300_000, 1_000_000)

DOWN: Final = 6
"""How many more numbers are tried, each half as large or less, if none was in time."""

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
    Where no guess was in time, the number goes down until one is.

    Args:
        horizon: How many steps policies look ahead.
        target: Seconds a tick may take.
        iterations: How many ticks of each guess.
        seconds: The time after which no further tick of a guess begins, but for as many as a
            99th percentile takes.
        start: The first guess.
        most: No more agents than that are tried.
        tell: Hears of each guess.

    Returns:
        The most agents that were in time, by the median and by the tail (0 if none was), what
        the tail is, whether no more could be tried, and what was tried.
    """
    tried: dict[int, dict[str, Any]] = {}
    least = min(iterations, TAIL_FROM)

    def took(count: int, judge: Judge) -> float:
        if count not in tried:
            tell(f"{count:,} agents at horizon {horizon}")
            people = crowd(count, horizon=horizon)
            found = tick_times(people, iterations=iterations, seconds=seconds, least=least)
            tried[count] = {"agents": count, **found.summary()._asdict()}
        return judge(tried[count])

    # Three guesses come within a few percent, since ticks grow nearly in proportion.
    for judge, guesses in ((_median, 3), (tail, 2)):
        count = _best(tried, judge, target) or min([most, start, *tried])
        for turn in range(guesses + DOWN):
            if turn >= guesses and _best(tried, judge, target):
                break
            count = min(most, next_guess(count, target / took(count, judge), turn + 1 >= guesses))
    fits = {judge: _best(tried, judge, target) for judge in (_median, tail)}
    return {
        "horizon": horizon,
        "target": target,
        "agents_p50": fits[_median],
        "agents_tail": fits[tail],
        "tail": tail_name(next(iter(tried.values()))),
        "capped": {"p50": fits[_median] == most, "tail": fits[tail] == most},
        "tried": sorted(tried.values(), key=lambda row: int(row["agents"])),
    }


def next_guess(count: int, scale: float, down: bool) -> int:
    """How many agents are tried next.

    Args:
        count: How many were tried.
        scale: How many times as long as their tick it might have taken.
        down: Whether there is no time for small steps towards the target.
    """
    # A little less than what would fit exactly: else every second guess is just too slow.
    wanted = float(np.clip(0.97 * scale, 0.2, 0.5 if down and scale < 1 else 5))
    return max(1, int(round(count * wanted, -2)) or int(count * wanted))


def _median(row: Mapping[str, Any]) -> float:
    return float(row["p50"])


def _best(tried: dict[int, dict[str, Any]], judge: Judge, target: float) -> int:
    return max((n for n, row in tried.items() if judge(row) <= target), default=0)
