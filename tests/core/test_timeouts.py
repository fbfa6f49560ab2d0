"""How it is read in why a run has failed that something took too long."""

import pytest

from hocket.core.timeouts import plan_timed_out, plan_too_long, timed_out
from hocket.core.values import MINUTE

STEP = "took longer than its timeout of 300 ms"
PLAN = plan_too_long("it's", 5 * MINUTE)


def test_a_plan_is_named_with_its_limit() -> None:
    assert PLAN == 'plan "it\'s" took longer than its 5 m 00 s'
    assert plan_timed_out(PLAN)


@pytest.mark.parametrize(
    "reason",
    [
        PLAN,
        f"step 'a' failed: {STEP}",
        f"step 'a' failed: item 12: {STEP}",
        f"step 'outer' failed: {PLAN}",
        f"step 'outer' failed: step 'a' failed: {STEP}",
    ],
)
def test_a_timeout_of_a_plan_or_a_step_ends_a_run(reason: str) -> None:
    assert timed_out(reason)


@pytest.mark.parametrize(
    "reason",
    [
        f"step 'a' failed: exit status 3: {STEP}",
        f"step 'a' failed: ValueError: {PLAN}",
        "step 'a' failed: exit status 3: it took longer than usual",
    ],
)
def test_what_an_agent_says_is_no_timeout(reason: str) -> None:
    assert not timed_out(reason)
    assert not plan_timed_out(reason)
