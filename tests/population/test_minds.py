"""What populations add to the mathematics: learning together, windows, sharing, two levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hocket.core.errors import SpecError
from hocket.population import Coalitions, Grid, Group, Learning, Model, Population, Sharing
from hocket.population.worlds.gridmodel import grid_model
from hocket.population.worlds.gridworld import GridWorld
from hocket.population.worlds.sampled import SampledWorld

TRUTH = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.8]])
MOVES = np.stack([np.eye(3)[[0, 1, 2]], np.eye(3)[[1, 2, 0]]], axis=-1) * 0.94 + 0.02


def learner(**changes: Any) -> Model:
    """One that takes every state to look alike, and is told where it is."""
    vague = np.full((2, 3), 0.5)
    told = np.eye(3)
    return Model.of(
        [vague, told],
        [MOVES],
        policy_length=1,
        selection="stochastic",
        pA=(np.ones((2, 3)), told * 1000 + 1e-3),
        pB=(np.ones((3, 3, 2)),),
        pD=(np.ones(3),),
        **changes,
    )


def world() -> SampledWorld:
    return SampledWorld(Model.of([TRUTH, np.eye(3)], [MOVES]))


def taught(learning: Learning, agents: int = 200, devices: int = 2, ticks: int = 20) -> Population:
    here = Population(
        [Group(name="pupils", model=learner(), agents=agents, learning=learning)],
        world(),
        seed=5,
        devices=devices,
    )
    here.run(ticks)
    return here


def learned(here: Population, name: str) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(leaf) for leaf in getattr(here._arrays.state.tables[0], name)]


def test_a_group_learns_what_its_agents_see() -> None:
    here = taught(Learning(A=True))
    assert np.abs(learned(here, "A")[0] - TRUTH).max() < 0.03
    # Each agent counts once each tick.
    assert learned(here, "pA")[0].sum() == pytest.approx(6 + 200 * 20, rel=1e-5)


def test_a_group_learns_what_its_actions_do_and_where_it_begins() -> None:
    here = taught(Learning(B=True, D=True))
    (table,) = (leaf["table"] for leaf in here._arrays.state.tables[0].B)
    assert np.abs(np.asarray(table) - MOVES).max() < 0.05
    # No step leads to the first tick, and only the first begins an episode.
    assert learned(here, "pB")[0].sum() == pytest.approx(18 + 200 * 19, rel=1e-5)
    assert learned(here, "pD")[0].sum() == pytest.approx(3 + 200, rel=1e-5)


def test_learning_together_does_not_depend_on_the_devices() -> None:
    one, two = (taught(Learning(A=True, B=True), 1500, devices, 5) for devices in (1, 2))
    assert one.devices, two.devices == (1, 2)
    assert one.checksum() == two.checksum()


def test_what_is_counted_is_taken_in_when_it_is_time_and_kept_until_then(tmp_path: Path) -> None:
    learning = Learning(A=True, every=4)
    here = taught(learning, ticks=6)
    assert learned(here, "pA")[0].sum() == pytest.approx(6 + 200 * 4, rel=1e-5)
    here.save(tmp_path / "kept.npz")
    again = Population.restore(tmp_path / "kept.npz", here.groups, here.world, seed=5)
    again.run(2)
    assert learned(again, "pA")[0].sum() == pytest.approx(6 + 200 * 8, rel=1e-5)
    here.run(2)
    assert again.checksum() == here.checksum()


def test_agents_that_learn_alone_take_memory_of_their_own_and_learn_their_own() -> None:
    together, alone = taught(Learning(A=True)), taught(Learning(A=True, per="agent"))
    assert "pA" not in together.memory()
    assert alone.memory()["pA"] == 256 * (2 * 3 + 3 * 3) * 4
    counts = np.moveaxis(np.asarray(alone._arrays.state.groups[0].mind["pA"][0]), -1, 1)
    first, second = counts.reshape(-1, 2, 3)[:2]
    assert first.sum() == second.sum() == pytest.approx(6 + 20)
    assert (first != second).any()


def test_one_agent_alone_learns_as_a_group_of_one() -> None:
    together = taught(Learning(A=True, B=True, D=True), agents=1)
    alone = taught(Learning(A=True, B=True, D=True, per="agent"), agents=1)
    mind = alone._arrays.state.groups[0].mind
    for name in ("pA", "pB", "pD"):
        for group, own in zip(learned(together, name), mind[name], strict=True):
            assert np.abs(group - np.asarray(own)[0, ..., 0]).max() < 1e-4


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"learning": Learning(A=True)}, "has no pA"),
        ({"sharing": Sharing(factor=3)}, "no factor 3"),
        ({"sharing": Sharing()}, "have no neighbours"),
    ],
)
def test_what_cannot_be_learned_or_shared_is_refused(group: Any, message: str) -> None:
    plain = Model.of([TRUTH, np.eye(3)], [MOVES])
    with pytest.raises(SpecError, match=message):
        Population([Group(name="g", model=plain, agents=2, **group)], SampledWorld(plain))


def windowed(length: int) -> Model:
    chance = np.random.default_rng(2)
    return Model.of(
        [chance.dirichlet(np.ones(3), size=(4, 2)).transpose(2, 0, 1)],
        [
            chance.dirichlet(np.ones(4), size=(4, 2)).transpose(2, 0, 1),
            chance.dirichlet(np.ones(2), size=(2, 1)).transpose(2, 0, 1),
        ],
        inference="vmp",
        window=length,
        iterations=4,
        selection="stochastic",
    )


def test_a_window_looks_back_and_a_longer_one_further() -> None:
    believed = []
    for length in (1, 3):
        model = windowed(length)
        here = Population([Group(name="g", model=model, agents=40)], SampledWorld(model), seed=1)
        # Until there has been a step, both have seen the same.
        here.run(1)
        first = here.slots("g").beliefs()[0]
        here.run(4)
        believed.append((first, here.slots("g").beliefs()[0]))
        assert here._arrays.state.groups[0].mind["steps"].max() == length
    assert np.abs(believed[0][0] - believed[1][0]).max() < 1e-6
    assert np.abs(believed[0][1] - believed[1][1]).max() > 1e-3


def crowd(sharing: Sharing | None, devices: int = 2) -> Population:
    place = GridWorld(height=6, width=6, goals=((0, 0), (5, 5)), hidden=True, noise=0.3)
    model = grid_model(place, selection="stochastic")
    factor = 1
    if sharing is not None:
        sharing = Sharing(
            with_=sharing.with_, factor=factor, reach=3, coalitions=sharing.coalitions
        )
    group = Group(name="crowd", model=model, agents=300, sharing=sharing)
    return Population([group], place, seed=2, devices=devices)


@pytest.mark.parametrize(
    "sharing",
    [
        Sharing(),
        Sharing(with_="coalition", coalitions=Coalitions(abilities=(1, 2), needed=(3,) * 20)),
    ],
)
def test_beliefs_that_are_shared_are_alike_on_any_number_of_devices(sharing: Sharing) -> None:
    alone, one, two = crowd(None), crowd(sharing, 1), crowd(sharing, 2)
    for here in (alone, one, two):
        here.run(5)
    assert one.checksum() == two.checksum()
    spread = [here.slots("crowd").beliefs()[1].std(axis=0).max() for here in (alone, two)]
    assert spread[1] < spread[0]


def test_beliefs_of_two_levels_take_less_and_live_in_a_population(tmp_path: Path) -> None:
    place = GridWorld(
        height=60, width=60, goals=((5, 5),), senses=("landmark",), landmarks=5, slip=0.1
    )
    model = grid_model(place, selection="stochastic")
    assert isinstance(model.B[0], Grid)
    full, rough = (
        Population([Group(name="g", model=model, agents=30, beliefs=beliefs)], place, seed=1)
        for beliefs in ("full", "two-level")
    )
    assert sum(rough.memory().values()) < sum(full.memory().values())
    rough.run(3)
    rough.save(tmp_path / "kept.npz")
    again = Population.restore(tmp_path / "kept.npz", rough.groups, place, seed=1, devices=1)
    rough.run(3)
    again.run(3)
    assert again.checksum() == rough.checksum()
