"""The same lives, to the last bit, on one device, on two, and in two processes."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.population.lives import KINDS, life

from hocket.population import Population, scenario
from hocket.population.distributed import run_processes

LIVES = Path(__file__).with_name("lives.py")


@cache
def in_two_processes() -> dict[str, Any]:
    """What two processes, of one device each, make of all kinds."""
    done = run_processes([sys.executable, str(LIVES)], 2, capture=True)
    assert done.status == 0
    lives: dict[str, Any] = json.loads(done.printed)
    return lives


@pytest.mark.parametrize("kind", KINDS)
def test_devices_and_processes_change_nothing(kind: str) -> None:
    one, two = life(kind, devices=1), life(kind, devices=2)
    assert one == two
    assert one == in_two_processes()[kind]


def test_a_life_is_the_same_among_fifty_and_among_five_thousand() -> None:
    def lived(agents: int) -> tuple[Any, Any]:
        ready = scenario("explorers", agents)
        population = Population(ready.groups, ready.world, seed=9)
        population.run(8)
        slots = population.slots("explorers")
        ids = slots.ids[:50]
        assert ids.tolist() == list(range(50))
        places = population.world_state().own
        return slots.beliefs(ids), {
            name: np.asarray(leaf)[..., :50] for name, leaf in places.items()
        }

    few, many = lived(50), lived(5000)
    for alone, together in zip(few[0], many[0], strict=True):
        assert alone.tobytes() == together.tobytes()
    for name, leaf in few[1].items():
        assert leaf.tobytes() == many[1][name].tobytes(), name


@pytest.mark.parametrize("example", ["sharers", "explorers"])
def test_devices_with_several_blocks_each_change_nothing(example: str) -> None:
    ready = scenario(example, 600)
    one, two = (Population(ready.groups, ready.world, seed=5, devices=many) for many in (1, 2))
    one.run(3)
    two.run(3)
    assert one.checksum() == two.checksum()
