"""Ten thousand seeds of the pure machine; `--world-seeds N` runs fewer or more.

A failure prints the command that repeats it.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from tests.simulated.world import MUST_FIRE, run_seeds

ROOT = Path(__file__).parents[2]
SHARE = 200
"""Seeds that a process runs at a time."""
ENOUGH = 2_000
"""With as many seeds every kind of fault must have fired."""


@pytest.fixture(scope="module")
def lived(request: pytest.FixtureRequest) -> tuple[int, int, Counter[str], list[str]]:
    """How many seeds and events there were, what fired, and what failed."""
    seeds: int = request.config.getoption("--world-seeds")
    events, fired, failures = 0, Counter[str](), list[str]()
    workers = min(os.cpu_count() or 1, 8)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        starts = range(0, seeds, SHARE)
        counts = [min(SHARE, seeds - start) for start in starts]
        for some_events, some_fired, some_failures in pool.map(run_seeds, starts, counts):
            events += some_events
            fired.update(some_fired)
            failures += some_failures
    return seeds, events, fired, failures


@pytest.mark.slow
def test_whatever_goes_wrong_the_machine_keeps_its_promises(lived) -> None:
    _, _, _, failures = lived
    assert not failures, "\n\n".join(failures[:3])


@pytest.mark.slow
def test_a_seed_has_a_hundred_events_in_the_mean(lived) -> None:
    seeds, events, _, _ = lived
    if seeds < ENOUGH:
        pytest.skip(f"a mean of {seeds} seeds says little")
    assert events / seeds >= 100


@pytest.mark.slow
def test_every_kind_of_fault_has_fired(lived) -> None:
    seeds, _, fired, _ = lived
    if seeds < ENOUGH:
        pytest.skip(f"{seeds} seeds need not show everything")
    assert [name for name in MUST_FIRE if not fired[name]] == []


def test_a_seed_lives_alike_in_every_process() -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulated.world", "--count", "15", "--digest"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
