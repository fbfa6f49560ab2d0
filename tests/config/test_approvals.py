"""What a file and a Python program say of approvals: when, how long, and what silence means."""

from pathlib import Path
from typing import Any

import pytest

from hocket.config.builder import Plan
from hocket.config.file import load
from hocket.core.errors import SpecError
from hocket.core.specs import Approval, PlanSpec, StepSpec
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.workflows.check import problems


def plan_of(tmp_path: Path, text: str, plan: str = "p") -> PlanSpec:
    path = tmp_path / "hocket.yaml"
    path.write_text(f"version: 1\nplans:\n  p:\n{text}")
    return load(path, plan).workflow


def steps_of(plan: PlanSpec) -> dict[str, StepSpec]:
    return {step.name: step for step in plan.steps}


def test_true_means_a_question_with_a_time_that_grows_with_the_plan(tmp_path: Path) -> None:
    many = "".join(f"      s{i}: {{command: [echo]}}\n" for i in range(38))
    ship = "      ship: {command: [echo], approve: true}\n      ok: {approve: 'Ship?'}\n"
    plan = plan_of(tmp_path, f"    approve: true\n    steps:\n{many}{ship}")
    assert plan.approval == Approval(timeout=20 * MINUTE)
    assert steps_of(plan)["ship"].approval == Approval(timeout=20 * MINUTE)
    assert steps_of(plan)["ok"].timeout == 20 * MINUTE
    few = steps_of(plan_of(tmp_path, f"    steps:\n{ship}"))
    assert (few["ship"].approval, few["ok"].timeout) == (Approval(), 5 * MINUTE)


def test_what_is_said_of_an_approval_holds(tmp_path: Path) -> None:
    told = "{timeout: 2h, on_timeout: approve, confirm_effects: true}"
    plan = plan_of(
        tmp_path,
        f"    approve: {{on_timeout: reject}}\n    steps:\n"
        f"      a: {{shell: 'rm x', approve: {told}}}\n"
        "      b: {command: [echo], approve: false}\n"
        "      c: {approve: x, timeout: 90s}\n",
    )
    assert plan.approval == Approval(on_timeout="reject")
    assert steps_of(plan)["a"].approval == Approval(
        timeout=2 * HOUR, on_timeout="approve", confirm_effects=True
    )
    assert steps_of(plan)["b"].approval is None
    assert steps_of(plan)["c"].timeout == 90 * SECOND


def test_a_plan_within_another_is_asked_about_as_a_step(tmp_path: Path) -> None:
    path = tmp_path / "hocket.yaml"
    path.write_text(
        "version: 1\nplans:\n  p:\n    steps:\n      n: {run: q}\n"
        "  q:\n    approve: {timeout: 1h}\n    steps:\n      a: {command: [echo]}\n"
    )
    assert steps_of(load(path, "p").workflow)["n"].approval == Approval(timeout=HOUR)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {command: [x], approve: {on_timeout: approve}}", "'a' go on, which has effects"),
        ("a: {command: [x], approve: {timeout: 0}}", "waited for longer than 0"),
        ("a: {command: [x], approve: {timeot: 1h}}", "unknown key 'timeot'"),
        ("a: {command: [x], approve: 'Well?'}", "is approved of with true"),
        (
            "a: {approve: x, on_timeout: approve}\n"
            "      b: {command: [x], effects: false, needs: a}\n"
            "      c: {command: [x], needs: b}",
            "nobody's answer would let step 'c' go on, which has effects",
        ),
    ],
)
def test_silence_does_not_let_harm_through(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        plan_of(tmp_path, f"    steps:\n      {text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: {command: [x], effects: false, approve: {on_timeout: approve}}",
        "a: {command: [x], approve: {on_timeout: approve, confirm_effects: true}}",
        "a: {approve: x, on_timeout: approve}\n      b: {command: [x]}",
        "a: {approve: x, on_timeout: approve, confirm_effects: true}\n"
        "      b: {command: [x], needs: a}",
    ],
)
def test_silence_may_let_through_what_is_harmless_or_confirmed(tmp_path: Path, text: str) -> None:
    assert plan_of(tmp_path, f"    steps:\n      {text}\n").steps


def test_a_whole_plan_with_effects_is_not_let_through_by_silence(tmp_path: Path) -> None:
    text = "    approve: {on_timeout: approve%s}\n    steps:\n      a: {command: [x]}\n"
    with pytest.raises(SpecError, match="which has effects"):
        plan_of(tmp_path, text % "")
    assert plan_of(tmp_path, text % ", confirm_effects: true").approval is not None


def test_python_says_the_same() -> None:
    plan = Plan("p", approve={"timeout": "1h"})
    plan.command("a", ["echo"], approve=True)
    plan.command("b", ["echo"], approve={"on_timeout": "reject"})
    spec = plan.spec()
    assert problems(spec) == []
    assert spec.workflow.approval == Approval(timeout=HOUR)
    steps = steps_of(spec.workflow)
    assert steps["a"].approval == Approval()
    assert steps["b"].approval == Approval(on_timeout="reject")
    outer = Plan("o")
    outer.nest("n", plan)
    assert steps_of(outer.spec().workflow)["n"].approval == Approval(timeout=HOUR)


@pytest.mark.parametrize(
    "given", [1, "yes", {"timeot": 1}, {"timeout": "soon"}, {"on_timeout": "wait"}]
)
def test_python_is_told_what_is_wrong(given: Any) -> None:
    plan = Plan("p")
    with pytest.raises(SpecError, match="approve"):
        plan.command("a", ["echo"], approve=given)
