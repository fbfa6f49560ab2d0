"""What agents cost in memory: what is allocated for them, and what the process grows by."""

from __future__ import annotations

import gc
from typing import Any

from hocket.population.bench.crowd import crowd
from hocket.population.bench.machine import resident
from hocket.population.population import Population


def own(components: dict[str, int]) -> dict[str, int]:
    """Of a population's bytes those that it takes for each of its agents."""
    return {name: size for name, size in components.items() if "shared" not in name}


def components(agents: int) -> dict[str, Any]:
    """The bytes of a population, by component."""
    population = crowd(agents)
    found = population.memory()
    return {"agents": agents, "components": found}


def measure_resident(agents: int, ticks: int = 3) -> dict[str, Any]:
    """What this process grows by when so many agents live; for a process of its own.

    Two populations of one agent have lived before, so that JAX does not count.
    What the second of them added is the compiled program of a population without its agents:
    it is in what the many add as well, and most of it if they are few.

    Args:
        agents: How many.
        ticks: How many ticks they live.

    Returns:
        The bytes before and after, what they grew by, and what one agent alone had added.
    """
    held: list[Population] = []

    def lived(count: int) -> int:
        held.append(crowd(count))
        held[-1].run(ticks)
        gc.collect()
        return resident()

    first = lived(1)
    before = lived(1)
    after = lived(agents)
    return {
        "agents": agents,
        "before": before,
        "after": after,
        "grown": after - before,
        "program": before - first,
    }
