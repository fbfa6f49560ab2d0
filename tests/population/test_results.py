"""What is written of a run, and what is told of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.population.settlers import GROUPS, WORLD, settled

from hocket.core.errors import Refused
from hocket.population.group import Group
from hocket.population.model import Model, Names
from hocket.population.population import Population
from hocket.population.results import (
    agents_table,
    course,
    means_table,
    need_format,
    summary,
    write_results,
    write_table,
)
from hocket.population.running import Outcome, run
from hocket.population.settings import Format
from hocket.population.worlds.sampled import SampledWorld

Ran = tuple[Population, Outcome]


@pytest.fixture(scope="module")
def ran() -> Ran:
    population = settled()
    population.remove("settlers", [3, 17])
    return population, run(population, 12)


def read(path: Path, form: Format) -> dict[str, list[object]]:
    """Read a file's columns."""
    if form == "npz":
        return {name: rows.tolist() for name, rows in np.load(path).items()}
    from pyarrow import parquet

    found: dict[str, list[object]] = parquet.read_table(path).to_pydict()
    return found


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_files_hold_the_course_and_the_agents(form: Format, ran: Ran, tmp_path: Path) -> None:
    population, outcome = ran
    write_results(tmp_path, population, outcome, form)
    means = read(tmp_path / f"means.{form}", form)
    name = "settlers.reward" if form == "npz" else "settlers/reward"
    assert means["tick"] == list(range(1, 13))
    assert means[name] == outcome.means["settlers/reward"].tolist()
    agents = read(tmp_path / f"agents.{form}", form)
    assert agents["id"] == [n for n in range(40) if n not in (3, 17)]
    assert set(agents["group"]) == {"settlers"}
    belief = population.slots("settlers").beliefs()[0]
    assert agents["place_likeliest"] == belief.argmax(1).tolist()
    entropy = -(belief * np.log(belief.clip(1e-16))).sum(1)
    assert np.allclose(np.array(agents["place_entropy"], float), entropy, atol=1e-6)
    assert agents["world_cell"] == np.asarray(population.world_state().own["cell"]).tolist()


def test_groups_of_different_models_stand_in_one_table() -> None:
    likelihood = np.eye(2)
    swap = np.stack([np.eye(2), np.eye(2)[::-1]], -1)

    def model(name: str) -> Model:
        return Model.of([likelihood], [swap], names=Names(factors=(name,)))

    population = Population(
        [Group(name="b", model=model("x"), agents=2), Group(name="a", model=model("y"), agents=1)],
        SampledWorld(model("x")),
    )
    table = agents_table(population)
    assert table["id"].tolist() == [0, 1, 2] and table["group"].tolist() == ["b", "b", "a"]
    assert table["x_likeliest"][2] == -1 and np.isnan(table["x_entropy"][2])
    assert table["y_entropy"][2] == pytest.approx(np.log(2))
    assert np.isnan(table["y_entropy"][:2]).all()


def test_a_summary_is_json_and_says_what_counts(ran: Ran) -> None:
    population, outcome = ran
    told = json.loads(json.dumps(summary(population, outcome), allow_nan=False))
    assert told["checksum"] == population.checksum() == outcome.checksum
    assert (told["ticks"], told["seed"], told["dtype"]) == (12, 5, "float32")
    (group,) = told["groups"]
    assert group["group"] == "settlers" and group["agents"] == 38
    reward = outcome.means["settlers/reward"]
    assert group["means"]["reward"]["mean"] == pytest.approx(reward.mean(), rel=1e-5)
    assert group["means"]["reward"]["last"] == pytest.approx(reward[-1], rel=1e-5)
    assert told["world"] == {"kind": "GridWorld", "observations": [5], "actions": [5]}
    assert sum(told["memory"].values()) > 38 * 20 * 4
    assert told["versions"].keys() == {"hocket", "jax", "numpy", "python"}
    assert told["pace"]["tick_in_real_time"] == 0.01


def test_one_where_nobody_lives_is_json_as_well() -> None:
    population = Population(
        [Group(name="settlers", model=GROUPS[0].model, agents=0, capacity=4)], WORLD, seed=1
    )
    outcome = run(population, 2)
    told = json.dumps(summary(population, outcome), allow_nan=False)
    assert '"reward": {"first": null, "last": null, "mean": null}' in told
    assert course(outcome.means)["settlers"]["reward"] == [None, None]
    assert len(agents_table(population)["id"]) == 0


@pytest.mark.parametrize(("ticks", "shown"), [(0, 0), (1, 1), (100, 100), (101, 51), (1000, 100)])
def test_a_course_is_short_and_ends_with_the_last_tick(ticks: int, shown: int) -> None:
    means = {"g/x": np.arange(ticks, dtype=float)} if ticks else {}
    told = course(means)
    assert len(told["ticks"]) == shown
    if ticks:
        assert told["ticks"][-1] == ticks
        assert told["g"]["x"] == [tick - 1 for tick in told["ticks"]]
    assert len(means_table(means)["tick"]) == ticks


def test_without_pyarrow_npz_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    need_format("npz")
    with pytest.raises(Refused, match=r"hocket\[parquet\].*npz"):
        need_format("parquet")


def test_what_cannot_be_written_is_said(tmp_path: Path, ran: Ran) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="file cannot be made"):
        write_results(tmp_path / "file", *ran, "npz")
    with pytest.raises(Refused, match="cannot be written"):
        write_table(tmp_path, {}, "npz")
