"""One population over several processes of this machine, a core for each."""

from __future__ import annotations

from typing import Any

from hocket.population.bench.crowd import crowd, tick_times
from hocket.population.place import my_place


def measure_spread(agents: int, *, iterations: int) -> dict[str, Any]:
    """Time the ticks of a population that processes share; each of them takes this measurement.

    None may stop before the others, so there is no limit to the time.
    """
    place = my_place()
    population = crowd(agents)
    found = tick_times(population, iterations=iterations, seconds=float("inf"))
    return {
        "processes": 1 if place is None else place.processes,
        "agents": agents,
        **found.summary()._asdict(),
    }
