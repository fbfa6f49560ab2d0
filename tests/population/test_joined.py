"""Language agents join populations between two ticks: wishes by name, and lives that go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from hocket import Agent, Engine, Plan, RunFailed
from hocket.config.population import mistakes
from hocket.core.errors import Refused, SpecError
from hocket.population.group import Group
from hocket.population.model import Model, Names
from hocket.population.model_files import load_model
from hocket.population.performing import Performance, Places, perform
from hocket.population.population import Population
from hocket.population.settings import Continued, Settings, kept_in, read_settings
from hocket.population.staging import staged
from hocket.population.wishes import rows_of
from hocket.population.worlds.sampled import SampledWorld

COLONY = Path(__file__).parents[2] / "examples/population/colony.gmn"
GMN = COLONY.read_text(encoding="utf-8")
HALF, AGENTS = 8, 64


def performed(
    settings: Settings, places: Places, stop: Callable[[], bool] = lambda: False
) -> Performance:
    return perform(
        settings,
        places,
        resume="if same",
        say=lambda line: None,
        on_progress=lambda progress: None,
        stop=stop,
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Performance:
    """Half a life, kept."""
    settings = Settings(gmn=GMN, agents=AGENTS, ticks=HALF, seed=3, keep=True, dtype="float32")
    return performed(settings, Places(out=tmp_path_factory.mktemp("before")))


def going_on(before: Performance, **told: Any) -> Settings:
    files = {
        "population": str(before.files["population.npz"]),
        "settings": str(before.files["population.json"]),
        "digest": "of both",
    }
    return read_settings({"continues": files, "ticks": HALF, **told})


def wishing(thing: str) -> dict[str, Any]:
    return {"agents": {"preferences": {thing: 3}}}


def smelled(life: Performance) -> dict[str, float]:
    seen: dict[str, float] = life.summary["groups"][0]["seen"]["smell"]
    return seen


# ---- wishes ----


def tasting() -> Model:
    even = np.full((2, 2), 0.5)
    names = Names(
        modalities=("left", "right"), observations=(("sour", "sweet"), ("bitter", "sweet"))
    )
    return Model.of(
        [np.eye(2), even], [np.eye(2)[..., None]], [np.zeros(2), np.zeros((2, 1))], names=names
    )


def test_wishes_by_name_are_rows_of_every_modality() -> None:
    rows = rows_of(tasting(), {"sour": -1, "right.sweet": 2.5}, ("wish",))
    assert rows[0].tolist() == [-1, 0]
    assert rows[1].tolist() == [[0], [2.5]], "the same at each step ahead"
    assert [row.tolist() for row in rows_of(tasting(), rows, ())] == [[-1, 0], [[0], [2.5]]]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"swet": 1}, r"wish\.swet: no observation is called 'swet'; did you mean"),
        ({"salty": 1}, r"'salty'; there are sour, left\.sour, sweet"),
        ({"sweet": 1}, r"several observations are called 'sweet'; write left\.sweet"),
        ({"sour": "much"}, r"wish\.sour: 'much' is not a number"),
        ({"sour": float("nan")}, "not a finite number"),
        ([[1, 2, 3], [0, 0]], r"wish\.0: shape \[3\], and the model's is \[2\]"),
        ([[1, 2]], "1 modalities, and the model has 2"),
    ],
)
def test_wishes_that_do_not_fit_are_named(wish: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        rows_of(tasting(), wish, ("wish",))


def test_a_model_without_names_takes_lists() -> None:
    model = Model.of([np.eye(2)], [np.eye(2)[..., None]], [np.zeros(2)])
    with pytest.raises(SpecError, match="the model has no names; give a list of numbers"):
        rows_of(model, {"sweet": 1}, ())


# ---- a life that goes on ----


def test_a_life_in_two_halves_is_the_whole_life(before: Performance, tmp_path: Path) -> None:
    whole = performed(Settings(gmn=GMN, agents=AGENTS, ticks=2 * HALF, seed=3), Places())
    after = performed(going_on(before), Places(out=tmp_path))
    assert after.outcome.checksum == whole.outcome.checksum
    assert after.summary["ticks"] == 2 * HALF and after.summary["seed"] == 3
    with np.load(tmp_path / "means.npz") as means:
        assert means["tick"].tolist() == list(range(HALF + 1, 2 * HALF + 1))
        expected = whole.outcome.means["agents/free_energy"][HALF:]
        assert np.array_equal(means["agents.free_energy"], expected)


def test_it_goes_on_as_it_is_told_to(before: Performance, tmp_path: Path) -> None:
    told = going_on(before, groups=wishing("water"), ticks=30, keep=True)
    after = performed(told, Places(out=tmp_path))
    # The same as what a program does that joins it.
    model = load_model(COLONY)
    population = Population(
        [Group(name="agents", model=model, agents=AGENTS)], SampledWorld(model), seed=3
    )
    population.run(HALF)
    population.slots("agents").set_preferences({"water": 3})
    population.run(30)
    assert after.outcome.checksum == population.checksum()
    assert smelled(after)["water"] > 0.6 and smelled(before)["water"] < 0.3
    # And on, and on: what it wants stays until somebody says otherwise.
    third = performed(going_on(after), Places())
    population.run(HALF)
    assert third.outcome.checksum == population.checksum()
    assert third.summary["ticks"] == HALF + 30 + HALF


def test_one_that_is_cut_off_goes_on_in_the_middle(before: Performance, tmp_path: Path) -> None:
    told = going_on(before, groups=wishing("water"), at_once=4)
    places = Places(checkpoint=tmp_path)
    answers = iter([False, True])
    half = performed(told, places, lambda: next(answers))
    assert half.outcome.stopped and half.outcome.progress.tick == HALF + 4
    again = performed(told, places)
    assert again.outcome.resumed == HALF + 4
    assert again.outcome.checksum == performed(told, Places()).outcome.checksum


def test_what_another_wish_has_saved_is_not_gone_on_with(before: Performance) -> None:
    folders = {kept_in(going_on(before, groups=wishing(w))) for w in ("food", "water", "food")}
    assert len(folders) == 2 and "checkpoint" not in folders
    assert kept_in(Settings(gmn=GMN)) == "checkpoint"


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            {"ants": {"preferences": [0, 0, 0, 1]}},
            "no group 'ants'; did you mean 'agents'",
        ),
        ({"agents": {"agents": 5}}, "a population that goes on keeps its agents"),
        ({"agents": {"preferences": {"foot": 1}}}, r"groups\.agents\.preferences\.foot: .*'food'"),
    ],
)
def test_a_life_that_goes_on_keeps_who_lives_it(
    groups: Any, said: str, before: Performance
) -> None:
    with pytest.raises(SpecError, match=said):
        staged(going_on(before, groups=groups))


def test_what_was_not_kept_does_not_go_on(before: Performance, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    given = Continued(population="x", settings=str(other), digest="")
    with pytest.raises(Refused, match="is not what a population was told"):
        staged(Settings(continues=given))
    assert "population.npz" not in performed(Settings(gmn=GMN, ticks=0), Places(out=tmp_path)).files
    kept = msgspec.json.decode(before.files["population.json"].read_bytes(), type=Settings)
    assert kept.ticks == HALF and not kept.keep


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"continues": "{{a.files}}", "seed": 3}, "a population that goes on keeps its seed"),
        ({"continues": "{{a.files}}", "gmn": "x"}, "one of example, model, gmn, continues; not"),
        ({"continues": "saved.npz"}, "it is a template that gives the files of a step"),
        ({"continues": "{{a.files}}", "groups": {"a": {"agents": 3}}}, "keeps its agents"),
        ({"gmn": "x", "keep": "yes"}, "keep: it is true or false"),
        ({"gmn": "x", "groups": {"a": {"preferences": {"food": [1]}}}}, "numbers by observations'"),
    ],
)
def test_a_step_says_what_goes_on(settings: Any, said: str) -> None:
    assert any(said in problem.message for problem in mistakes(settings))
    fine = {"continues": "{{a.files}}", "groups": {"a": {"preferences": {"food": "{{b}}"}}}}
    assert list(mistakes(fine)) == []


def test_files_without_a_population_are_refused(tmp_path: Path) -> None:
    plan = Plan("p", inputs=["files"])
    plan.population("later", {"continues": plan.input("given", dict, default={})})
    with pytest.raises(RunFailed, match="continues: there is no population among these files"):
        Engine(tmp_path).run_sync(plan, files=None)


# ---- in a program ----


def test_a_language_agent_joins_between_two_ticks(tmp_path: Path) -> None:
    by = {'"food":0.[5-9]': [{"output": {"look_for": "water"}}]}
    leader = Agent("leader", scripted={"replies": [{"output": {"look_for": "food"}}], "by": by})
    plan = Plan("joining", inputs=["seen"])
    wish = plan.step("wish", leader, "Ants smell {{inputs.seen}}.", output=dict[str, str])
    model = load_model(COLONY)
    colony = Population([Group(name="ants", model=model, agents=AGENTS)], SampledWorld(model))
    ants = colony.slots("ants")
    course = []
    for _ in range(2):
        colony.run(32)
        course.append(ants.summary()["seen"]["smell"])
        thing = Engine(tmp_path).run_sync(plan, seen=course[-1])[wish]["look_for"]
        ants.set_preferences({thing: 3})
    assert course[0]["food"] > 0.7 and course[0]["water"] < 0.2, "what the model wants"
    assert course[1]["water"] > 0.7 and course[1]["food"] < 0.2, "what it was told to want"
    assert ants.preferences()[0].tolist() == [0, 0, 3, 0], "it has read the second summary"
