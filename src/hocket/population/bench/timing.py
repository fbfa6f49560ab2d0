"""Takes the time of something, again and again: by the clock on the wall, and of the processor."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hocket.population.bench.statistics import Summary, summary


class Timings(NamedTuple):
    """How long something took, each time.

    Fields:
        walls: Seconds of each iteration by the wall's clock.
        processor: Seconds of the processor that an iteration took on average, all threads.
    """

    walls: NDArray[np.float64]
    processor: float

    def summary(self) -> Summary:
        """Sum up the seconds by the wall's clock."""
        return summary(self.walls)


def timed(
    work: Callable[[], object],
    *,
    iterations: int = 100,
    seconds: float = 20.0,
    warm: int = 3,
    least: int = 5,
) -> Timings:
    """Do something many times.

    Args:
        work: What is done; it must not return before its result is there.
        iterations: How often.
        seconds: The time after which no further iteration begins.
        warm: How often it is done before, without being timed.
        least: How often it is done even if it takes longer than that.
    """
    for _ in range(warm):
        work()
    walls: list[float] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        used, until = time.process_time(), time.perf_counter() + seconds
        while len(walls) < iterations:
            began = time.perf_counter()
            if began > until and len(walls) >= least:
                break
            work()
            walls.append(time.perf_counter() - began)
        processor = (time.process_time() - used) / len(walls)
    finally:
        if collecting:
            gc.enable()
    return Timings(np.array(walls), processor)


def load() -> float:
    """How many processes wanted a processor in the last minute; 0 where that is not told."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0
