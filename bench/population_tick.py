"""One measurement of Hocket's own ticks for `bench/population.py`; prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any, get_args

import numpy as np

from hocket.population.bench.crowd import crowd, tick_times
from hocket.population.bench.memory import measure_resident, own
from hocket.population.bench.roofline import roof
from hocket.population.devices import prepare
from hocket.population.group import Beliefs


def tick(
    agents: str, side: str, horizon: str, beliefs: Beliefs, together: str, seconds: str
) -> dict[str, Any]:
    """The time of a tick, of which some are in each dispatch."""
    if beliefs not in get_args(Beliefs):
        raise SystemExit(f"beliefs are one of {get_args(Beliefs)}, not {beliefs!r}")
    population = crowd(int(agents), side=int(side), horizon=int(horizon), beliefs=beliefs)
    found = tick_times(population, iterations=1_000, seconds=float(seconds), together=int(together))
    p50, p99 = (float(np.percentile(found.walls, at)) for at in (50, 99))
    return {"p50": p50, "p99": p99, "iterations": len(found.walls)}


def against_roof(agents: str, seconds: str) -> dict[str, Any]:
    """The share of the serial roof, measured before and after the ticks; the higher roof counts."""
    pause = min(2.0, float(seconds))
    before = roof(seconds=pause).steps_a_second
    found = tick_times(crowd(int(agents)), iterations=1_000, seconds=float(seconds))
    best = max(before, roof(seconds=pause).steps_a_second)
    throughput = int(agents) / float(np.median(found.walls))
    return {"roof": best, "throughput": throughput, "share": throughput / best}


def memory(agents: str) -> dict[str, Any]:
    """Bytes of each agent: what is allocated for it, and what the process grows by."""
    count = int(agents)
    grown = measure_resident(count)["grown"] / count
    return {"state": sum(own(crowd(count).memory()).values()) / count, "resident": grown}


def changing(most: str) -> dict[str, Any]:
    """Let agents in and take them out within the capacity, and count what is compiled."""
    count = int(most)
    population = crowd(1, capacity=count)
    # Each thing is done once before, as it would be in any program.
    first = population.join("walkers", 1)
    population.run(1)
    population.remove("walkers", first)
    population.run(1)
    import jax

    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    alive = 1
    for wanted in (10, 127, 128, 129, 1_000, 5_000, count, 4_000, 300, 2, 1):
        if wanted > alive:
            population.join("walkers", wanted - alive)
        else:
            ids = population.slots("walkers").ids
            population.remove("walkers", ids[: alive - wanted])
        alive = wanted
        population.run(1)
        assert int(population.run(1).means["walkers/alive"][0]) == alive
    found = len(compiled)
    jax.jit(lambda value: value + 1)(np.float32(1))
    assert len(compiled) > found, "nothing is told of compilations"
    return {"compilations": found}


MEASUREMENTS = {"tick": tick, "roof": against_roof, "memory": memory, "changing": changing}


if __name__ == "__main__":
    prepare()
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
