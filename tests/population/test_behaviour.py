"""What populations do: they reach goals, keep off hazards, look before they leap, and tell."""

from __future__ import annotations

import numpy as np
import pytest

from hocket.population.bench.behaviour import against_chance, figure, telling
from hocket.population.examples import scenario
from hocket.population.population import Population
from hocket.population.worlds.sampled import STATES


def test_an_interval_is_students() -> None:
    assert figure([1.0, 2.0, 3.0]).mean == 2
    assert figure([1.0, 2.0, 3.0]).within == pytest.approx(4.302653 / 3**0.5)


def test_explorers_reach_goals_and_avoid_hazards_better_than_chance() -> None:
    compared = against_chance("explorers", 256, batches=8, ticks=24)
    agents, chance = compared["agents"], compared["chance"]
    assert agents["reached"].low > 3 * chance["reached"].high
    assert agents["hazard"].high < 0.6 * chance["hazard"].low
    assert agents["reward"].low > 0 > chance["reward"].high


def test_foragers_take_more_than_chance_and_step_on_fewer_hazards() -> None:
    compared = against_chance("foragers", 10, batches=8, ticks=24)
    agents, chance = compared["agents"], compared["chance"]
    assert agents["taken"].low > 1.5 * chance["taken"].high
    assert agents["hazard"].high < 0.2 * chance["hazard"].low


def test_sharing_beats_none() -> None:
    told = telling(64, ways=("nobody", "neighbours", "coalition"), rounds=6)
    for way in ("neighbours", "coalition"):
        assert told[way].more_right.low > 0.1
        assert told[way].more_there.low > 0
    assert told["neighbours"].right.low > 0.95 > told["nobody"].right.high
    assert told["nobody"].more_right.mean == 0


def test_agents_in_a_t_maze_look_at_the_cue_first_and_go_where_it_points() -> None:
    ready = scenario("t-maze", 400)
    population = Population(ready.groups, ready.world, seed=1)
    population.run(1)
    own, _ = population.world_state()
    assert (own[STATES][0] == 3).mean() > 0.9, "at the cue"
    after = population.run(1)
    own, _ = population.world_state()
    place, reward = own[STATES]
    assert (place == 1 + reward).mean() > 0.85, "in the arm that holds the reward"
    assert after.means["t-maze/reward"][0] > 2
    population.run(1)
    own, _ = population.world_state()
    assert np.array_equal(own[STATES][0], np.zeros(400)), "the episode is over"
