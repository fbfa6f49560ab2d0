"""Groups of agents in a world: who lives, what is kept, and that chance is each agent's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hocket.core.errors import NotFound, Refused, SpecError
from hocket.population import Grid, Group, Learning, Model, Population, prepare
from hocket.population.checkpoints import fingerprint_of
from hocket.population.sizes import WORKING
from hocket.population.worlds.sampled import SampledWorld

PREFERENCES = [np.array([0.0, 1.0, -1.0])]


def model(seed: int = 0, **settings: Any) -> Model:
    chance = np.random.default_rng(seed)
    likelihood = chance.dirichlet(np.ones(3), size=12).T
    return Model.of(
        [likelihood],
        [Grid(3, 4, slip=0.1)],
        PREFERENCES,
        **{"selection": "stochastic", "gamma": 4.0, **settings},
    )


def population(agents: int = 20, **options: Any) -> Population:
    shared = model()
    group = {
        name: options.pop(name)
        for name in ("capacity", "own_preferences", "own_precision")
        if name in options
    }
    return Population(
        [Group(name="walkers", model=shared, agents=agents, **group)],
        SampledWorld(shared),
        **{"seed": 3, **options},
    )


def test_means_are_over_the_living_agents_of_each_tick() -> None:
    series = population(20).run(5, at_once=2)
    assert series.first == 0
    assert series.means["walkers/alive"].tolist() == [20.0] * 5
    energies = series.means["walkers/free_energy"]
    assert energies.shape == (5,) and np.isfinite(energies).all() and (energies > 0).all()


def test_the_number_of_ticks_at_once_changes_nothing() -> None:
    one, many = population(), population()
    first, second = one.run(7, at_once=1), many.run(7)
    assert one.checksum() == many.checksum()
    assert one.tick == many.tick == 7
    for name in first.means:
        assert first.means[name].tolist() == second.means[name].tolist()


def test_another_seed_is_another_life() -> None:
    sums = {population(seed=seed).checksum() for seed in range(3)}
    assert len(sums) == 3


@pytest.mark.parametrize("agents", [300, 1500])
def test_one_device_and_two_give_the_same_to_the_last_bit(agents: int) -> None:
    one, two = population(agents, devices=1), population(agents, devices=2)
    assert (one.devices, two.devices) == (1, 2)
    first, second = one.run(6), two.run(6)
    assert one.checksum() == two.checksum()
    for name in first.means:
        assert first.means[name].tolist() == second.means[name].tolist()


def test_an_agents_life_does_not_depend_on_who_lives_beside_it() -> None:
    few, many = population(5), population(2000)
    few.run(10)
    many.run(10)
    ids = few.slots("walkers").ids
    assert ids.tolist() == [0, 1, 2, 3, 4]
    for alone, together in zip(
        few.slots("walkers").beliefs(), many.slots("walkers").beliefs(ids), strict=True
    ):
        assert alone.tobytes() == together.tobytes()


def test_births_and_deaths_compile_nothing_and_disturb_nobody() -> None:
    here = population(1, capacity=1000)
    here.run(2)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _seconds, **_more: (
            compiled.append(name) if name.endswith("backend_compile_duration") else None
        )
    )
    here.join("walkers", 1)
    here.remove("walkers", [1])
    here.run(1)
    compiled.clear()
    for count in (1, 40, 700):
        ids = here.join("walkers", count)
        here.run(1)
        here.remove("walkers", ids[::2])
        here.run(1)
    assert compiled == []
    undisturbed = population(1, capacity=1000)
    undisturbed.run(here.tick)
    (mine,) = here.slots("walkers").beliefs([0])
    (same,) = undisturbed.slots("walkers").beliefs([0])
    assert mine.tobytes() == same.tobytes()


def test_numbers_are_never_given_twice() -> None:
    here = population(3)
    here.remove("walkers", [1, 2])
    assert here.join("walkers", 2).tolist() == [3, 4]
    assert here.slots("walkers").ids.tolist() == [0, 3, 4]
    with pytest.raises(NotFound, match="no living agent 1"):
        here.remove("walkers", [1])


def test_who_joins_begins_at_the_beginning() -> None:
    here = population(2)
    here.run(5)
    (new,) = here.join("walkers", 1)
    (belief,) = here.slots("walkers").beliefs([new])
    assert belief[0] == pytest.approx(np.full(12, 1 / 12))
    assert here.run(1).means["walkers/alive"].tolist() == [3.0]


def test_a_group_grows_beyond_its_capacity_and_keeps_everybody() -> None:
    here, undisturbed = population(100), population(100)
    here.run(3)
    here.join("walkers", 400)
    here.run(3)
    undisturbed.run(6)
    assert len(here.slots("walkers").ids) == 500
    (mine,) = here.slots("walkers").beliefs(np.arange(100))
    (same,) = undisturbed.slots("walkers").beliefs()
    assert mine.tobytes() == same.tobytes()


def test_a_population_that_is_empty_waits_for_agents() -> None:
    here = population(0, capacity=10)
    quiet = here.run(2)
    assert quiet.means["walkers/alive"].tolist() == [0.0, 0.0]
    assert np.isnan(quiet.means["walkers/free_energy"]).all()
    here.join("walkers", 4)
    assert np.isfinite(here.run(1).means["walkers/free_energy"]).all()


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    through, broken = population(40, capacity=100), population(40, capacity=100)
    for here in (through, broken):
        here.run(4)
        here.join("walkers", 200)
        here.remove("walkers", [3])
    broken.save(tmp_path / "kept.npz")
    again = Population.restore(
        tmp_path / "kept.npz", broken.groups, broken.world, seed=3, devices=1
    )
    assert again.tick == 4
    through.run(5)
    again.run(5)
    assert again.checksum() == through.checksum()
    assert again.join("walkers", 1).tolist() == [240]
    assert through.join("walkers", 1).tolist() == [240]


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    here = population(10)
    here.save(tmp_path / "kept.npz")
    with pytest.raises(Refused, match="another seed"):
        Population.restore(tmp_path / "kept.npz", here.groups, here.world, seed=4)
    other = model(1)
    with pytest.raises(Refused, match=r"another groups\.walkers\.model\.A and world\.model\.A: "):
        Population.restore(
            tmp_path / "kept.npz",
            [Group(name="walkers", model=other, agents=10)],
            SampledWorld(other),
            seed=3,
        )
    with pytest.raises(Refused, match="another list of groups: resume"):
        renamed = [replace(here.groups[0], name="runners")]
        Population.restore(tmp_path / "kept.npz", renamed, here.world, seed=3)
    with pytest.raises(NotFound, match="no checkpoint"):
        Population.restore(tmp_path / "none.npz", here.groups, here.world, seed=3)
    whole = (tmp_path / "kept.npz").read_bytes()
    (tmp_path / "kept.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="no whole checkpoint"):
        Population.restore(tmp_path / "kept.npz", here.groups, here.world, seed=3)


def test_memory_is_asked_for_before_it_is_taken() -> None:
    with pytest.raises(Refused, match=r"1,000,000 agents would take .* agents would fit"):
        population(1_000_000, memory=10_000_000)
    with pytest.raises(Refused, match=r"^1 agent would take .*: hardly one would fit"):
        population(1, memory=10)
    here = population(100, memory=10_000_000)
    with pytest.raises(Refused, match=r"^9,000,100 agents would take .* agents would fit"):
        here.join("walkers", 9_000_000)
    assert here.run(1).means["walkers/alive"].tolist() == [100.0]


def test_what_agents_take_for_a_while_is_asked_for_too() -> None:
    standing = sum(population(4096).memory().values())
    with pytest.raises(Refused, match="would take"):
        population(4096, memory=standing + 4096)
    assert population(4096, memory=standing + 4096 * (WORKING + 8)).tick == 0


def test_agents_without_number_are_refused_in_silence() -> None:
    for many in (2**31, 2**33, 10**12):
        with pytest.raises(SpecError, match=r"at most 2,147,483,647 may live at once; take fewer"):
            population(many, memory=10**15)
    with pytest.raises(Refused, match="2,147,483,647 agents would take"):
        population(2**31 - 1)


def test_no_number_is_given_beyond_the_last() -> None:
    here = population(2, capacity=10)
    here._arrays.next_id = 2**32 - 1
    with pytest.raises(Refused, match=r"2 agents cannot join .* none is given twice; begin"):
        here.join("walkers", 2)
    assert here.join("walkers", 1).tolist() == [2**32 - 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": "a"}, "seed 'a': give a whole number from 0"),
        ({"seed": 1.5}, "seed 1.5: give"),
        ({"seed": 2**32}, "seed 4294967296: give"),
        ({"devices": 0}, "0 devices: give a whole number from 1"),
        ({"devices": 1.5}, "1.5 devices: give"),
        ({"dtype": "float16"}, "dtype 'float16': give float32 or float64"),
        ({"memory": "1 GB"}, "memory '1 GB': give a whole number of bytes"),
    ],
)
def test_options_of_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        population(3, **options)


def test_devices_of_no_sense_cannot_be_prepared() -> None:
    with pytest.raises(Refused, match="0 devices: give a whole number from 1"):
        prepare(0)


def test_where_there_is_no_gpu_it_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise RuntimeError("Unable to initialize backend 'rocm'")

    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(jax, "local_devices", failing)
    with pytest.raises(Refused, match=r"no GPU here, .*: leave out the device, or see") as refused:
        prepare(None, "gpu")
    assert "rocm" not in str(refused.value)


@pytest.mark.parametrize("groups", [None, 3, model(), [3], [], ["walkers"]])
def test_what_is_no_list_of_groups_is_refused(groups: Any) -> None:
    with pytest.raises(SpecError, match=r"groups.*; (give|write)"):
        Population(groups, SampledWorld(model()))


def test_what_is_no_number_of_ticks_or_agents_is_refused() -> None:
    here = population(3)
    for ticks in (1.5, "2", None, True):
        with pytest.raises(Refused, match="whole numbers, 0 or more ticks"):
            here.run(ticks)  # type: ignore[arg-type]
        with pytest.raises(Refused, match="cannot join walkers: give a whole number"):
            here.join("walkers", ticks)  # type: ignore[arg-type]
    for ids in ("a", 1.5, [[1]], [[1], [2, 3]], None):
        with pytest.raises(Refused, match="no numbers of agents of walkers: give whole numbers"):
            here.remove("walkers", ids)  # type: ignore[arg-type]
    for ids in (-1, 2**40):
        with pytest.raises(NotFound, match="no living agent"):
            here.remove("walkers", ids)
    here.remove("walkers", [])
    assert here.slots("walkers").ids.tolist() == [0, 1, 2]


def test_state_takes_its_bytes_and_no_more() -> None:
    here = population(1024)
    sizes = here.memory()
    assert sizes["belief"] == 1024 * 12 * 4
    assert sum(sizes.values()) < 1024 * 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents": -1}, r"agents: is -1, which is negative"),
        ({"agents": 2.5}, r"groups\.walkers\.agents: is 2\.5; give a whole number"),
        ({"agents": "3"}, r"agents: is '3'; give"),
        ({"agents": None}, r"agents: is None; give"),
        ({"capacity": 2.5}, r"capacity: is 2\.5; give"),
        ({"name": "a/b"}, r"name: is 'a/b'; give a text without /"),
        ({"name": 3}, r"name: is 3; give a text"),
        ({"model": "m.gmn"}, r"model: is a str; make one with"),
        ({"beliefs": "most"}, r"beliefs: is 'most'; give full or two-level"),
        ({"sees": 1}, r"sees: is 1; give the numbers"),
        ({"agents": 0}, "no room"),
        ({"sees": (1,)}, "modalities 0 to 0"),
    ],
)
def test_a_group_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    shared = model()
    group = Group(**{"name": "walkers", "model": shared, "agents": 3, **changes})
    with pytest.raises(SpecError, match=message):
        Population([group], SampledWorld(shared))


def test_a_model_that_does_not_fit_the_world_is_refused() -> None:
    narrow = Model.of([np.eye(4)], [Grid(2, 2, moves=((0, 1), (0, -1)))])
    with pytest.raises(SpecError) as refused:
        Population([Group(name="g", model=narrow, agents=3)], SampledWorld(model()))
    assert "expects [4] observations" in str(refused.value)
    assert "has [2] actions" in str(refused.value)


def test_groups_differ_and_share_a_world() -> None:
    bold, shy = model(gamma=16.0), model(gamma=0.5)
    here = Population(
        [Group(name="bold", model=bold, agents=200), Group(name="shy", model=shy, agents=30)],
        SampledWorld(bold),
        seed=1,
    )
    series = here.run(3)
    assert series.means["bold/alive"].tolist() == [200.0] * 3
    assert series.means["shy/alive"].tolist() == [30.0] * 3
    assert here.slots("shy").ids.tolist() == list(range(200, 230))
    assert here.world_state().own["id"].tolist() == list(range(230))
    with pytest.raises(NotFound, match="no group 'tall'; there are bold, shy"):
        here.slots("tall")


def test_twins_are_refused() -> None:
    shared = model()
    twins = [Group(name="g", model=shared, agents=1)] * 2
    with pytest.raises(SpecError, match="two groups are called 'g'"):
        Population(twins, SampledWorld(shared))


def test_what_agents_want_can_be_set_for_all() -> None:
    wanting, other = population(500), population(500)
    wanting.slots("walkers").set_preferences([[0.0, 0.0, 5.0]])
    wanting.run(20)
    other.run(20)
    often = [(here.slots("walkers").seen() == 2).mean() for here in (wanting, other)]
    assert often[0] > often[1] + 0.1


def test_what_agents_want_can_be_set_for_some() -> None:
    here = population(300, own_preferences=True)
    slots = here.slots("walkers")
    slots.set_preferences([[0.0, 0.0, 5.0]], ids=np.arange(150))
    here.run(20)
    seen = slots.seen()[:, 0] == 2
    assert seen[:150].mean() > seen[150:].mean() + 0.1
    new = here.join("walkers", 1)
    wants = here._arrays.state.groups[0].mind["preferences"][0]
    place = int(
        np.flatnonzero(np.asarray(here._arrays.state.groups[0].ids).reshape(-1) == new[0])[0]
    )
    assert np.asarray(wants)[place // 128, :, place % 128].tolist() == PREFERENCES[0].tolist()


def test_precision_can_be_set_for_all_and_for_some() -> None:
    shared = population(10)
    shared.slots("walkers").set_precision(2.0)
    with pytest.raises(Refused, match="own_precision=True"):
        shared.slots("walkers").set_precision(2.0, ids=[1])
    for gamma in (0.0, float("nan"), "a", None, True):
        with pytest.raises(Refused, match="a precision is a finite number above 0"):
            shared.slots("walkers").set_precision(gamma)  # type: ignore[arg-type]
    own = population(10, own_precision=True)
    before = own.checksum()
    own.slots("walkers").set_precision(2.0, ids=[1])
    assert own.checksum() != before


@pytest.mark.parametrize(
    ("preferences", "message"),
    [
        ([[0.0, 1.0]], "shape"),
        ([[0.0, 1.0, float("nan")]], "finite"),
        ([[0.0, 1.0, 2.0], [0.0]], "2 modalities"),
        ([["a", "b"]], r"preferences\.0: .* is no list of numbers; give"),
        ([[1, [2]]], r"preferences\.0: .* is no list of numbers; give"),
        (None, r"preferences: None is no list of numbers; give"),
        (3, r"preferences: 3 is no list of numbers; give"),
        ("ab", r"preferences.*: a.* is no list of numbers; give"),
    ],
)
def test_preferences_that_do_not_fit_are_refused(preferences: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        population(3).slots("walkers").set_preferences(preferences)


def test_a_summary_is_short_and_says_what_agents_see_and_believe() -> None:
    here = population(50)
    here.run(10)
    summary = here.slots("walkers").summary()
    assert summary["agents"] == 50
    assert sum(summary["seen"]["modality 0"].values()) == pytest.approx(1, abs=1e-3)
    belief = summary["beliefs"]["factor 0"]
    assert 0 < belief["entropy"] < belief["entropy_at_most"]
    assert len(belief["likeliest"]) <= 10


def test_a_population_of_doubles_is_one_of_floats_more_exactly() -> None:
    single, double = population(20), population(20, dtype="float64")
    single.run(3)
    double.run(3)
    (short,) = single.slots("walkers").beliefs()
    (long,) = double.slots("walkers").beliefs()
    assert (short.dtype, long.dtype) == (np.float32, np.float64)
    assert np.abs(short - long).max() < 1e-5


def test_a_run_of_no_sense_is_refused() -> None:
    here = population(3)
    for ticks, at_once in ((-1, 1), (1, 0), (1, 33)):
        with pytest.raises(Refused, match="ticks"):
            here.run(ticks, at_once=at_once)
    assert here.run(0).means == {}


def test_wide_blocks_as_gpus_have_them_hold_the_same_agents(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    narrow = population(300, capacity=2000)
    narrow.run(4)
    narrow.save(tmp_path / "kept.npz")
    monkeypatch.setattr("hocket.population.arrays.kind_of", lambda device: "gpu")
    wide = population(300, capacity=2000)
    assert wide._arrays.program.layouts[0].blocks == 8
    wide.run(4)
    moved = Population.restore(tmp_path / "kept.npz", wide.groups, wide.world, seed=3)
    for here in (narrow, wide, moved):
        here.run(2)
    expected = narrow.slots("walkers").beliefs()
    for here in (wide, moved):
        assert here.slots("walkers").ids.tolist() == list(range(300))
        assert np.abs(here.slots("walkers").beliefs()[0] - expected[0]).max() < 1e-5


def test_lessons_survive_a_group_that_grows() -> None:
    shared = Model.of(
        [np.full((2, 3), 0.5)], [np.stack([np.eye(3)] * 2, -1)], pA=(np.ones((2, 3)),)
    )
    group = Group(name="g", model=shared, agents=10, learning=Learning(A=True, every=4))
    here = Population([group], SampledWorld(shared))
    here.run(2)
    here.join("g", 1000)
    here.run(2)
    (counts,) = here._arrays.state.tables[0].pA
    assert float(counts.sum()) == pytest.approx(6 + 2 * 10 + 2 * 1010)


def test_a_world_of_another_librarys_objects_is_known_again() -> None:
    class Environment:
        """As `GymnaxWorld` holds one."""

    assert fingerprint_of(Environment()) == fingerprint_of(Environment())
    assert fingerprint_of((np.float64(0.5),)) == fingerprint_of((0.5,)) != fingerprint_of((0.6,))
