"""What changed between two specs is shown in few lines, however large they are."""

import msgspec

from hocket.config.diff import spec_diff
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec


def spec(**prompts: str) -> RunSpec:
    steps = tuple(StepSpec(name=name, agent="a", input=text) for name, text in prompts.items())
    agents = {"a": AgentSpec(kind="model", options={"model": "x:y"})}
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents, source="f.yaml")


def test_equal_specs_have_no_difference_wherever_they_were_read() -> None:
    one = spec(a="1", b="2")
    assert spec_diff(one, msgspec.structs.replace(one, source="elsewhere.yaml")) == ""


def test_a_changed_an_added_and_a_removed_step_are_shown() -> None:
    assert spec_diff(spec(a="old", gone="x"), spec(a="new", more="y")).splitlines() == [
        "--- then: steps.a",
        "+++ now: steps.a",
        "@@ -1,5 +1,5 @@",
        " {",
        '   "agent": "a",',
        '-  "input": "old",',
        '+  "input": "new",',
        '   "name": "a"',
        " }",
        "--- then: steps.gone",
        "+++ now: steps.gone",
        "@@ -1,5 +0,0 @@",
        "-{",
        '-  "agent": "a",',
        '-  "input": "x",',
        '-  "name": "gone"',
        "-}",
        "--- then: steps.more",
        "+++ now: steps.more",
        "@@ -0,0 +1,5 @@",
        "+{",
        '+  "agent": "a",',
        '+  "input": "y",',
        '+  "name": "more"',
        "+}",
    ]


def test_another_order_is_a_difference() -> None:
    assert "order of steps" in spec_diff(spec(a="1", b="2"), spec(b="2", a="1"))


def test_a_large_difference_is_cut_and_counted() -> None:
    old = spec(**{f"s{i}": "old" for i in range(1000)})
    new = spec(**{f"s{i}": "new" for i in range(1000)})
    lines = spec_diff(old, new, most=100).splitlines()
    assert len(lines) <= 102
    assert lines[-1] == "… and 988 more parts differ"
