"""A time limit on a step that runs another plan bounds that plan."""

from tests.config.texts import load_text

from hocket.config.builder import Plan
from hocket.core.values import DAY, MINUTE, SECOND

TEXT = """
version: 1
plans:
  outer:
    defaults: {timeout: 3s}
    steps:
      bounded: {run: inner, timeout: 5s}
      free: {run: inner}
  inner:
    steps:
      a: {command: [echo]}
"""


def test_a_nested_step_s_own_time_limit_bounds_its_plan_and_a_default_does_not() -> None:
    bounded, free = load_text(TEXT, "outer").workflow.steps
    assert bounded.plan is not None
    assert free.plan is not None
    assert bounded.plan.timeout == 5 * SECOND
    assert free.plan.timeout == 7 * DAY


def test_a_longer_limit_than_the_nested_plan_s_own_changes_nothing() -> None:
    inner = Plan("inner", timeout="2s")
    inner.ask("word")
    outer = Plan("outer")
    outer.nest("shorter", inner, timeout="1s")
    outer.nest("longer", inner, timeout="1h")
    limits = [step.plan.timeout for step in outer.spec().workflow.steps if step.plan is not None]
    assert limits == [1 * SECOND, 2 * SECOND]


def test_people_have_other_times_than_calls_in_python_too() -> None:
    plan = Plan("p")
    plan.approval("ok", "Well?")
    plan.ask("word", "?", timeout="2h")
    plan.ask("any", "?")
    plan.command("call", ["true"])
    steps = plan.spec().workflow.steps
    assert [step.timeout for step in steps] == [5 * MINUTE, DAY // 12, DAY, DAY // 24]
