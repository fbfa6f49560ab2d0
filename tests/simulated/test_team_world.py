"""Hundreds of seeds of plans with teams; `python -m tests.simulated.team_world` repeats one."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from tests.simulated.team_world import TeamWorld
from tests.simulated.world import run_seeds

SEEDS = 300
SHARE = 50


@pytest.fixture(scope="module")
def lived() -> tuple[Counter[str], list[str]]:
    """What fired, and what failed."""
    fired, failures = Counter[str](), list[str]()
    workers = min(os.cpu_count() or 1, 8)
    spawn = multiprocessing.get_context("spawn")
    starts = range(0, SEEDS, SHARE)
    many = len(starts)
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        for _, some, failed in pool.map(run_seeds, starts, [SHARE] * many, [TeamWorld] * many):
            fired.update(some)
            failures += failed
    return fired, failures


@pytest.mark.slow
def test_whatever_goes_wrong_teams_keep_their_promises(lived) -> None:
    assert not lived[1], "\n\n".join(lived[1][:3])


@pytest.mark.slow
def test_every_kind_of_end_and_fate_has_come_up(lived) -> None:
    assert [name for name in TeamWorld.must_fire if not lived[0][name]] == []
