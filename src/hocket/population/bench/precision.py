"""The same population in 32 and in 64 bits."""

from __future__ import annotations

from typing import Any

from hocket.population.arrays import DType
from hocket.population.bench.crowd import crowd, tick_times


def measure_precision(
    agents: int, dtype: DType, *, iterations: int, seconds: float
) -> dict[str, Any]:
    """Time the ticks of a population of some precision; for a process of its own."""
    population = crowd(agents, dtype=dtype)
    found = tick_times(population, iterations=iterations, seconds=seconds)
    return {
        "agents": agents,
        "dtype": dtype,
        "bytes": population.memory(),
        "walls": found.walls.tolist(),
        "processor": found.processor,
        **found.summary()._asdict(),
    }
