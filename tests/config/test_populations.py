"""A step that runs a population: in a file, in Python, in the schema, in a draft."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from tests.config.texts import load_text
from tests.population.gmn_texts import SMALL

from hocket import Plan
from hocket.app.drafts import spec_of
from hocket.app.load import load_file, load_plan
from hocket.config.population import DEFAULTS
from hocket.config.population_parts import PopulationPart
from hocket.config.schema import file_schema
from hocket.core.errors import SpecError
from hocket.core.specs import RunSpec
from hocket.population.settings import Settings

FILE = """
version: 1
plans:
  p:
    inputs: [many]
    steps:
      colony: {{population: {population}}}
"""


def loaded(population: str) -> RunSpec:
    return load_text(FILE.format(population=population))


def test_a_step_becomes_a_call_of_whoever_runs_populations() -> None:
    spec = loaded('{example: foragers, agents: "{{inputs.many}}", set: {length: 2}}')
    (step,) = spec.workflow.steps
    assert step.agent == "population" and step.kind == "call"
    assert step.input == {
        **DEFAULTS,
        "example": "foragers",
        "agents": "{{inputs.many}}",
        "set": {"length": 2},
    }
    agent = spec.agents["population"]
    assert agent.kind == "population" and not agent.effects


def test_all_steps_share_one_who_runs_them_unless_they_say_how_many() -> None:
    spec = load_text("""
version: 1
plans:
  p:
    steps:
      population: {command: [echo, hi]}
      a: {population: {example: x}}
      b: {population: {example: y}}
      c: {population: {example: z}, concurrency: 2}
""")
    agents = [step.agent for step in spec.workflow.steps]
    assert agents[1] == agents[2] != agents[0]
    assert agents[3] == "c" and spec.agents["c"].concurrency == 2


def test_the_defaults_are_those_of_the_file() -> None:
    plain = PopulationPart.model_validate({"example": "x"}).model_dump(exclude_none=True)
    assert {k: v for k, v in plain.items() if v != {}} == {**DEFAULTS, "example": "x"}
    usual = msgspec.to_builtins(Settings())
    # A command saves nothing on the way unless it is told where.
    assert {key: usual[key] for key in DEFAULTS} == {**DEFAULTS, "checkpoint_every": None}


@pytest.mark.parametrize(
    ("population", "said"),
    [
        ("{exampel: x}", r":7:29: unknown key 'exampel'; did you mean 'example'\?"),
        ("{example: x, ticks: 0}", r":7:49: ticks: it is a whole number of at least 1"),
        ("{example: x, agents: many}", r":7:50: agents: it is a whole number"),
        ("{example: x, seed: -1}", r":7:48: seed: it is a whole number from 0"),
        ("{example: x, picture: gfi}", r":7:51: .*did you mean 'gif'"),
        ("{example: x, groups: {a: {modle: m}}}", r":7:55: unknown key 'modle'; .*'model'"),
        ("{example: x, groups: {a: {preferences: [a]}}}", r":7:68: .*a number for each"),
        ("{example: x, model: m.gmn}", r":7:49: .*one of example, model, gmn.*; not example and"),
        ("{}", r":7:28: .*here is none"),
        ('{model: "{{inputs.many}}"}', r":7:36: .*named here, and by no template; give GMN"),
        ("{gmn: x, set: {a: 1}}", r":7:42: only an example has options"),
        ("{example: x, groups: {a: {model: m, gmn: g}}}", r":7:69: .*not both"),
        ('{gmn: "{{nobody}}"}', r":7:36: .*nobody"),
    ],
)
def test_mistakes_have_a_place(population: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FILE.format(population=population).replace("[many]", "{many: {default: 1}}"))
    with pytest.raises(SpecError) as caught:
        load_plan(str(file))
    text = "\n".join(caught.value.lines)
    place, _, message = said.partition(": ")
    assert re.search(message, text), text
    assert re.search(rf"f\.yaml{place[:3]}\d+: ", text), text


def test_models_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FILE.format(population="{model: m.gmn}"))
    with pytest.raises(SpecError, match=r"f\.yaml:7:\d+: there is no file .*m\.gmn"):
        load_plan(str(file))
    (tmp_path / "m.gmn").write_text(SMALL)
    assert load_plan(str(file)).agents["population"].options["cwd"] == str(tmp_path)


def test_a_model_may_be_written_by_a_step_before(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    steps = "      write: {command: [cp, a.gmn, m.gmn]}\n"
    text = FILE.format(population="{model: m.gmn}") + steps
    file.write_text(
        text.replace("{population: {model: m.gmn}}", "{population: {model: m.gmn}, needs: [write]}")
    )
    assert load_plan(str(file)).agents["population"].kind == "population"
    (tmp_path / "m.gmn").write_text(SMALL.replace("gamma", "gama"))
    with pytest.raises(SpecError, match=r"m\.gmn:9:26: 'gama'"):
        load_plan(str(file))


LITERAL = [
    ("{example: explorrs}", "explorrs", "there is no example 'explorrs'; did you mean 'explorers'"),
    ("{example: explorers, set: {legth: 2}}", "2", ".*'legth'; did you mean 'length'"),
    ("{example: sharers, set: {share: all}}", "all", "'all' is nobody to share with"),
    (
        "{example: explorers, groups: {explorer: {agents: 3}}}",
        "explorer:",
        "there is no group 'expl",
    ),
    ("{example: explorers, groups: {explorers: {preferences: [1, 2]}}}", "1,", r"shape \[2\]"),
    ("{example: explorers, groups: {explorers: {preferences: {gol: 1}}}}", "1}", ".*'gol'; did"),
    ("{example: foragers, groups: {foragers: {preferences: {goal: 1}}}}", "1}", ".*scent.goal"),
    ("{gmn: 'place: state {}'}", "'place", r"gmn:1:1: nodes come after a line \[nodes\]"),
    ("{model: wrong.gmn}", "wrong", r".*wrong\.gmn:9:26: 'gama' is no property"),
]


@pytest.mark.parametrize(("population", "culprit", "said"), LITERAL)
def test_what_is_literal_is_judged_before_it_is_run(
    population: str, culprit: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.yaml"
    (tmp_path / "wrong.gmn").write_text(SMALL.replace("gamma", "gama"))
    text = FILE.format(population=population).replace("[many]", "{many: {default: 1}}")
    file.write_text(text)
    column = text.splitlines()[6].index(culprit) + 1
    with pytest.raises(SpecError, match=rf"f\.yaml:7:{column}: {said}"):
        load_plan(str(file))


@pytest.mark.parametrize(
    "population",
    [
        '{example: "{{inputs.many}}", groups: {x: {preferences: [1]}}}',
        '{example: explorers, set: {length: "{{inputs.many}}"}, groups: {explorers: {agents: 2}}}',
        '{example: explorers, groups: {explorers: {preferences: {goal: "{{inputs.many}}"}}}}',
        '{gmn: "{{inputs.many}}", groups: {agents: {preferences: {goal: 1}}}}',
    ],
)
def test_what_a_template_gives_is_judged_later(population: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FILE.format(population=population).replace("[many]", "{many: {default: 1}}"))
    load_plan(str(file))


def test_judging_it_needs_no_jax(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FILE.format(population="{example: explorrs}"))
    code = "import sys; sys.modules['jax'] = None\n"
    code += "from hocket.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no example 'explorrs'" in done.stderr


def test_the_schema_knows_it() -> None:
    check = jsonschema.Draft7Validator(file_schema())

    def wrong(population: dict[str, Any]) -> bool:
        plans = {"p": {"steps": {"s": {"population": population}}}}
        return not check.is_valid({"version": 1, "plans": plans})

    assert not wrong({"example": "x", "agents": 3, "groups": {"a": {"preferences": [1, 2]}}})
    assert not wrong({"gmn": "{{write}}", "ticks": "{{n}}"})
    assert wrong({"example": "x", "ticks": 0})
    assert wrong({"example": "x", "agents": "many"})
    assert wrong({"example": "x", "agnets": 3})


def test_a_plan_in_python_has_it_too() -> None:
    plan = Plan("p", inputs=["many"])
    write = plan.command("write", ["echo", "hi"])
    colony = plan.population("colony", {"gmn": write, "agents": 5}, retry=2, timeout="10m")
    plan.population("other", {"example": "foragers"}, colony)
    first, second = plan.spec().workflow.steps[1:]
    assert first.input == {**DEFAULTS, "gmn": "{{write}}", "agents": 5}
    assert first.needs == ("write",) and first.retry.tries == 3
    assert second.agent == first.agent == "population" and second.needs == ("colony",)
    assert str(colony["summary"]) == "{{colony.summary}}"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"exampel": "x"}, "population has no 'exampel'; did you mean 'example'"),
        ({"example": "x", "agents": 0}, "agents: it is a whole number"),
        ({"example": "x", "groups": {"a": {"preferences": [float("nan")]}}}, "finite numbers"),
        (None, "settings are an object"),
        ({"example": "x", "device": "tpu"}, "device: it is cpu or gpu"),
        ({"example": "x", "groups": {"a": {"agents": 0}}}, "groups.a.agents"),
        ({"example": "x", "groups": {"a": 1}}, "a group is an object"),
        ({"example": "x", "gmn": "y"}, "not example and gmn"),
    ],
)
def test_mistakes_in_python_are_named(settings: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Plan("p").population("colony", settings)
    assert caught.value.problems[0].where[:3] == ("steps", "colony", "population")


def test_a_draft_names_no_file(tmp_path: Path) -> None:
    base = tmp_path / "hocket.yaml"
    base.write_text("version: 1\nplans: {p: {steps: {a: {approve: x}}}}\n")
    operator = load_file(str(base))
    draft = "version: 1\nplans: {d: {steps: {c: {population: {example: explorers}}}}}\n"
    assert spec_of(draft, operator).agents["population"].kind == "population"
    for told in ("model: /etc/x.gmn", "example: explorers, groups: {a: {model: x.gmn}}"):
        with pytest.raises(SpecError, match="names no file: give an example, or GMN text"):
            spec_of(draft.replace("example: explorers", told), operator)
