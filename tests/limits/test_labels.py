"""What limits are called before people."""

from __future__ import annotations

import pytest

from hocket.config.limit_names import budget_name, endpoint_name, limits_name
from hocket.limits.words import limit_label


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
