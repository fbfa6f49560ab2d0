"""What limits are called before people."""

from __future__ import annotations

import pytest

from hocket.config.limit_names import budget_name, endpoint_name, limits_name
from hocket.limits.words import limit_label, limit_labels, limit_words


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("two", "two"),
        (endpoint_name("openai:gpt", "http://127.0.0.1:80/v1"), "openai:gpt@127.0.0.1:80/v1"),
        (limits_name("agent", "asker", "/a b/hocket.yaml"), "asker"),
        (limits_name("agent", "asker"), "asker"),
        (limits_name("plan", "ask", "/x.yaml"), "plan ask"),
        (budget_name("plan", "ask", daily=False), "plan ask"),
        (budget_name("agent", "a", daily=True, place="/x.yaml"), "a per day"),
    ],
)
def test_a_limit_is_called_by_whoever_states_it(name: str, label: str) -> None:
    assert limit_label(name) == label


def test_limits_of_one_label_are_told_apart_by_as_much_of_their_names_as_it_takes() -> None:
    here, there = (limits_name("agent", "asker", place) for place in ("/here.yaml", "/there.yaml"))
    rates, money = limits_name("plan", "ask"), budget_name("plan", "ask", daily=False)
    named = "flash"
    own = limits_name("agent", "flash", "/here.yaml")
    assert limit_labels([here, there, rates, money, named, own, "two"]) == {
        here: "asker limits in /here.yaml",
        there: "asker limits in /there.yaml",
        rates: "plan ask limits",
        money: "plan ask budget",
        named: "flash",
        own: "flash limits",
        "two": "two",
    }


def test_a_budget_is_called_one() -> None:
    assert limit_words(budget_name("plan", "ask", daily=False)) == "plan ask budget"
    assert limit_words(limits_name("agent", "asker", "/here.yaml")) == "asker"
