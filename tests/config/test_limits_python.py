"""Limits and budgets stated in Python are those that a file would state."""

from collections.abc import Callable

import pytest
from tests.config.texts import load_text

from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.limit import Budget, Limit
from hocket.core.errors import SpecError
from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import DAY, MINUTE, MS, SECOND
from hocket.limits.presets import PRESETS
from hocket.workflows.check import problems

GPU = Limit("gpu", concurrency=2)
API = Limit("api", requests=["3/s", "500/day"], spacing="100ms", margin=0.05)


def ask(text: str = "") -> str:
    return text


def plan_of(*agents: Agent[str], **told: object) -> RunSpec:
    plan = Plan("p", **told)  # type: ignore[arg-type]
    for agent in agents:
        plan.step(agent.name + "-step", agent, "x")
    plan.call("fn", ask)
    return plan.spec()


def test_a_limit_reads_what_a_file_reads() -> None:
    file = load_text(
        """
version: 1
limits:
  a: {requests: [3/s, 500/day], tokens: 32k/min, tokens_in: 1.5M/day, tokens_out: 8k/min}
  b: {cost: 0.50/day, concurrency: 4, spacing: 2s, margin: 100ms, on_exceed: fail}
  c: {preset: groq/free, requests: 9/min, shared: false}
  d: {}
agents: {x: {command: [x], limits: [a, b, c, d]}}
plans: {p: {steps: {s: {agent: x}}}}
"""
    )
    made = [
        Limit(
            "a",
            requests=["3/s", "500/day"],
            tokens="32k/min",
            tokens_in="1.5M/day",
            tokens_out="8k/min",
        ),
        Limit("b", cost="0.50/day", concurrency=4, spacing=2, margin=0.1, on_exceed="fail"),
        Limit("c", preset="groq/free", requests="9/min", shared=False),
        Limit("d"),
    ]
    assert {limit.name: limit.spec for limit in made} == file.limits
    assert made[2].spec.tokens == PRESETS["groq/free"].limit.tokens
    assert Limit("money", cost=[1, "$2.50"], shared=False).spec.cost == (
        Rate(10**12, 0),
        Rate(25 * 10**11, 0),
    )


def test_a_plan_has_the_limits_that_are_claimed() -> None:
    house = Agent("house", model="mine", base_url="http://127.0.0.1:8000/v1")
    spec = plan_of(
        Agent("a", model="openai:x", limits=API),
        Agent("b", command=["x"], limits=[API, GPU], budget=2.5),
        house,
        limits=Limit("all", requests="30/min"),
        budget=[Budget(1.00, tokens="500k"), Budget(10, per="day", on_exceed="fail")],
        priority=5,
        weight=3,
        deadline="10m",
    )
    assert problems(spec) == []
    assert {name: agent.limits for name, agent in spec.agents.items()} == {
        "a": ("openai:x", "api"),
        "b": ("api", "gpu", "agent:b budget"),
        "house": ("mine@127.0.0.1:8000/v1",),
        "ask": (),
    }
    assert spec.claims == ("all", "plan:p budget", "plan:p budget per day")
    assert (spec.priority, spec.weight, spec.deadline) == (5, 3.0, 10 * MINUTE)
    assert spec.limits["api"] == LimitSpec(
        requests=(Rate(3, SECOND), Rate(500, DAY)), spacing=100 * MS, margin=50 * MS
    )
    assert spec.limits["openai:x"] == LimitSpec()
    assert spec.limits["plan:p budget"] == LimitSpec(
        cost=(Rate(10**12, 0),),
        tokens=(Rate(500_000, 0),),
        shared=False,
        adaptive=False,
        on_exceed="pause",
    )
    assert spec.limits["plan:p budget per day"].on_exceed == "fail"
    assert spec.limits["agent:b budget"].cost == (Rate(25 * 10**11, 0),)


def test_a_plan_without_limits_has_none() -> None:
    spec = plan_of(Agent("b", command=["x"]))
    assert (spec.limits, spec.claims, spec.priority, spec.weight) == ({}, (), 0, 1.0)


def test_a_models_own_limit_is_stated_by_its_name() -> None:
    own = Limit("openai:x", spacing="2s")
    first, second = Agent("a", model="openai:x"), Agent("b", model="openai:x", limits=own)
    for agents in ((first, second), (second, first)):
        spec = plan_of(*agents)
        # It learns from refusals, whatever its bounds are.
        assert spec.limits == {"openai:x": LimitSpec(spacing=2 * SECOND)}


def test_steps_use_units_take_their_time_and_hedge() -> None:
    plan = Plan("p")
    asker = Agent("asker", model="openai:x")
    plan.step("a", asker, "x", uses={GPU: 2}, takes="3m", hedge="p95")
    plan.call("b", ask, uses={GPU: 1}, limits=API, hedge="p50")
    plan.call("c", ask, limits=API)
    plan.call("d", ask)
    spec = plan.spec()
    assert problems(spec) == []
    a, b, c, d = spec.workflow.steps
    assert (a.uses, a.takes, a.hedge) == ({"gpu": 2}, 180 * SECOND, 0.95)
    assert (b.uses, b.hedge) == ({"gpu": 1}, 0.5)
    assert set(spec.limits) == {"openai:x", "gpu", "api"}
    # Functions that claim alike share an agent, others don't.
    assert b.agent == c.agent != d.agent
    assert (spec.agents[b.agent].limits, spec.agents[d.agent].limits) == (("api",), ())


def test_a_nested_plan_brings_its_limits() -> None:
    inner = Plan("inner")
    inner.call("b", ask, uses={GPU: 1}, limits=API)
    outer = Plan("outer")
    outer.nest("a", inner)
    assert set(outer.spec().limits) == {"gpu", "api"}
    assert problems(outer.spec()) == []


def nested(**told: object) -> None:
    Plan("outer").nest("a", Plan("inner", **told))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Limit("x", requests="9"), "limits.x.requests: requests: '9' is no rate"),
        (lambda: Limit("x", spacing="soon"), "limits.x.spacing: spacing: 'soon' is not a dura"),
        (lambda: Limit("x", preset="openai/tier1"), "did you mean 'openai/tier-1'?"),
        (Budget, "a budget says how much: cost, or tokens, or both"),
        (lambda: Budget(0), "dollars lie above 0"),
        (lambda: Budget(1, per="week"), "per is one of run, day, not 'week'"),  # type: ignore[arg-type]
        (lambda: Budget(1, on_exceed="wait"), "on_exceed is one of pause, fail, fallback"),  # type: ignore[arg-type]
        (lambda: Agent("a", model="m", budget=[Budget(1), Budget(2)]), "one budget per run and"),
        (lambda: Plan("p").call("a", ask, hedge="95"), "steps.a: hedge: '95' is no quantile"),
        (lambda: Plan("p").call("a", ask, uses={"gpu": 1}), "uses are units of limits"),  # type: ignore[dict-item]
        (
            lambda: Plan("p", limits=[API]).call("a", ask, limits=Limit("api", requests="1/s")),
            "two limits are called 'api'",
        ),
        (lambda: nested(budget=1), "plan 'inner' has limits of its own, which would not hold"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(make: Callable[[], object], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert said in str(caught.value)
