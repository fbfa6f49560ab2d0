"""What agents cost in memory: what is allocated for them, and what the process grows by."""

from __future__ import annotations

import gc
from typing import Any

from hocket.population.bench.crowd import crowd
from hocket.population.bench.machine import resident


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

    A population of one agent has lived before, so that neither JAX nor compiling counts.

    Args:
        agents: How many.
        ticks: How many ticks they live.
    """
    few = crowd(1)
    few.run(ticks)
    del few
    gc.collect()
    before = resident()
    population = crowd(agents)
    population.run(ticks)
    gc.collect()
    after = resident()
    return {"agents": agents, "before": before, "after": after, "grown": after - before}
