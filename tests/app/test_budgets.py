"""A budget that could not be kept is refused before the run."""

from typing import Any

import pytest

from hocket.app.budgets import budget_problems, uncounted
from hocket.app.engine import Engine
from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.limit import Budget, Limit
from hocket.config.team import Review, Seat
from hocket.core.errors import SpecError
from hocket.core.specs import RunSpec

PRICE = {"in": 1.0, "out": 2.0}


def spec_of(agent: Agent[str], options: dict[str, object] | None = None, **told: object) -> RunSpec:
    plan = Plan("p", **told)  # type: ignore[arg-type]
    plan.step("a", agent, "x", options=options or {})
    return plan.spec()


def said(spec: RunSpec) -> list[str]:
    return [problem.message for problem in budget_problems(spec)]


def test_a_model_under_a_budget_needs_a_price_and_a_bound() -> None:
    unpriced = Agent("a", model="openai:nobody-knows", max_tokens=5)
    (message,) = said(spec_of(unpriced, budget=1))
    assert message == (
        "'plan:p budget' could not be kept: nobody has a price for openai:nobody-knows; "
        "state one with 'price'"
    )
    endless = Agent("a", model="openai:nobody-knows", price=PRICE)
    (message,) = said(spec_of(endless, budget=1))
    assert message.startswith("'plan:p budget' could not be kept: set max_tokens")
    assert said(spec_of(endless, options={"max_tokens": 5}, budget=1)) == []
    assert said(spec_of(Agent("a", model="openai:x", price=PRICE, max_tokens=5), budget=1)) == []


def test_tokens_need_a_bound_and_no_price() -> None:
    endless = Agent("a", model="openai:nobody-knows")
    (message,) = said(spec_of(endless, budget=Budget(tokens="500k")))
    assert message.startswith("'plan:p budget' could not be kept: set max_tokens")
    bounded = Agent("a", model="openai:nobody-knows", max_tokens=5)
    assert said(spec_of(bounded, budget=Budget(tokens="500k"))) == []
    # A rate waits, by estimates: that needs no maximum.
    assert said(spec_of(endless, limits=Limit("x", tokens="32k/min"))) == []


def test_a_budget_of_the_agent_and_a_limit_in_money_count_too() -> None:
    assert said(spec_of(Agent("a", model="openai:nobody-knows", budget=1))) != []
    team = Limit("team", cost="1/day")
    assert said(spec_of(Agent("a", model="openai:nobody-knows", limits=team))) != []
    assert said(spec_of(Agent("a", model="openai:nobody-knows"))) == []


def test_a_command_with_a_budget_is_named_for_it_tells_nobody_what_it_spends() -> None:
    coder = Agent("coder", command=["x"], budget=2)
    spec = spec_of(coder)
    assert said(spec) == []
    assert uncounted(spec) == [
        "agent coder: a command tells nobody what it spends, so 'agent:coder budget' "
        "does not bound it"
    ]
    assert uncounted(spec_of(Agent("coder", command=["x"]), budget=2)) == []


def test_such_a_run_does_not_begin() -> None:
    engine = Engine(memory=True)
    with pytest.raises(SpecError, match="could not be kept"):
        engine.run_sync(spec_of(Agent("a", model="openai:nobody-knows"), budget=1))
    assert engine.journal.runs() == []


def test_agents_of_teams_need_a_bound_as_others_do() -> None:
    endless = Agent("a", model="openai:nobody-knows", price=PRICE)
    bounded = Agent("b", model="openai:nobody-knows", price=PRICE, max_tokens=5)

    def asked(*agents: Agent[str], **told: Any) -> list[str]:
        plan = Plan("p", budget=1)
        plan.consensus("q", "x", agents=agents, **told)
        return said(plan.spec())

    assert asked(bounded, bounded) == []
    assert len(asked(bounded, endless)) == 1
    assert len(asked(bounded, Seat(bounded, name="c", fallback=endless))) == 1
    assert len(asked(bounded, bounded, final="synthesize", presenter=endless)) == 1
    assert asked(endless, endless, max_tokens=5) == []


def test_a_steps_bound_is_not_that_of_its_reviewers() -> None:
    author = Agent("b", model="openai:nobody-knows", price=PRICE)
    endless = Agent("a", model="openai:nobody-knows", price=PRICE)
    plan = Plan("p", budget=1)
    plan.step("s", author, "x", options={"max_tokens": 5}, review=Review(endless))
    (message,) = said(plan.spec())
    assert "set max_tokens" in message
