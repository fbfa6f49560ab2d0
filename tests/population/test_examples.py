"""Ready scenarios: what they are made of, what they refuse, and the same on any devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hocket.core.errors import NotFound, Refused, SpecError
from hocket.population.examples import SCENARIOS, scenario
from hocket.population.group import Group
from hocket.population.population import Population
from hocket.population.sharing import Sharing
from hocket.population.transitions import Grid
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld


def test_explorers_are_the_task_that_is_measured() -> None:
    ready = scenario("explorers", 7)
    (group,) = ready.groups
    model = group.model
    assert (group.name, group.agents) == ("explorers", 7)
    assert (model.states, model.observations, model.actions) == ((100,), (5,), (5,))
    assert (model.horizon, model.gamma, len(model.policies)) == (1, 8.0, 5)
    (move,) = model.B
    assert isinstance(move, Grid)
    assert move.slip == 0.1
    assert isinstance(ready.world, GridWorld)
    assert ready.world.slip == 0.1


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_what_it_is_about_and_fits_its_world(name: str) -> None:
    ready = scenario(name, 3)
    assert ready.name == name
    assert ready.about.endswith(".")
    (group,) = ready.groups
    seen = group.modalities(ready.world)
    assert tuple(ready.world.observations[m] for m in seen) == group.model.observations


def test_options_make_the_scenario_another() -> None:
    assert scenario("explorers", 1, length=2, gamma=4).groups[0].model.policies.shape == (25, 2, 1)
    world = scenario("foragers", 1, collisions=True).world
    assert isinstance(world, GridWorld)
    assert world.room == 118
    assert scenario("sharers", 8, share="nobody").groups[0].sharing is None
    coalition = scenario("sharers", 8, share="coalition").groups[0].sharing
    assert coalition is not None
    assert coalition.coalitions is not None
    assert len(coalition.coalitions.needed) == 2
    assert scenario("sharers", 8, messages=True).world.observations == (8, 5, 9)
    assert scenario("t-maze", 1, validity=1.0).groups[0].model.A[1][1, 1, 0] == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("explorers", {"speed": 3}, "no such option"),
        ("explorers", {"length": "long"}, "something like 1"),
        ("explorers", {"length": 2.5}, "something like 1"),
        ("explorers", {"again": 1}, "something like True"),
        ("explorers", {"slip": 2}, "probability"),
        ("sharers", {"share": "strangers"}, "nobody to share with"),
        ("sharers", {"weight": 0.0}, "weight"),
        ("t-maze", {"ticks": 0}, "episode of 0"),
    ],
)
def test_what_a_scenario_does_not_know_is_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        scenario(name, 4, **options)


def test_a_scenario_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="explorers, foragers, sharers, t-maze"):
        scenario("gardeners", 4)


def test_agents_that_meet_tell_and_share_live_the_same_on_one_device_and_on_two() -> None:
    world = GridWorld(
        height=16,
        width=16,
        goals=((0, 0), (15, 15)),
        resources=((9, 9), (10, 10)),
        slip=0.1,
        senses=("landmark", "scent", "ripe", "crowd", "message"),
        landmarks=8,
        collisions=True,
        again=True,
        hidden=True,
        rounds=7,
    )
    model = grid_model(world, selection="stochastic", iterations=2)
    group = Group(name="all", model=model, agents=200, sees=(0, 1, 2, 4), sharing=Sharing(factor=1))
    checksums, cells = set(), []
    for devices in (1, 2):
        population = Population((group,), world, seed=3, devices=devices)
        population.run(12)
        checksums.add(population.checksum())
        cells.append(population.world_state()[0]["cell"])
    assert len(checksums) == 1
    assert np.array_equal(*cells)
    assert len(set(cells[0].tolist())) == 200
    with pytest.raises(Refused, match="room for 252, and 200 live"):
        population.join("all", 53)
