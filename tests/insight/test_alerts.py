"""Rules: when they fire, that they fire once, and when they are over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.errors import Refused
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.insight.alerts import (
    DEFAULTS,
    MOST,
    Alerts,
    Reading,
    Recent,
    Rule,
    read_rule,
    rules_with,
)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("step > 2m", Rule("step", 2.0 * MINUTE, "step > 2m")),
        ("step>90s", Rule("step", 90.0 * SECOND, "step>90s")),
        ("memory > 1.5 GB", Rule("memory", 1.5e9, "memory > 1.5 GB")),
        ("budget >= 95%", Rule("budget", 0.95, "budget >= 95%", reached=True)),
        ("  refused  >  3 ", Rule("refused", 3.0, "refused > 3")),
        ("errors > 5%", Rule("errors", 0.05, "errors > 5%")),
    ],
)
def test_rules_are_read(words: str, rule: Rule) -> None:
    assert read_rule(words) == rule


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "is no rule: write NAME > VALUE"),
        ("step < 2m", "is no rule"),
        ("stpe > 2m", "did you mean 'step'?"),
        ("budget > 0.8", "write it in per cent"),
        ("memory > 3 elephants", "write it as in 500MB"),
        ("step > 3 elephants", "step > 3 elephants"),
        ("refused > 1.2.3", "refused > 1.2.3"),
    ],
)
def test_what_is_no_rule_is_refused(words: str, said: str) -> None:
    with pytest.raises(Refused, match=said.replace("?", r"\?")):
        read_rule(words)


def test_the_defaults_are_rules_as_people_write_them() -> None:
    assert tuple(read_rule(rule.words) for rule in DEFAULTS) == DEFAULTS


def test_a_given_rule_takes_the_default_ones_place() -> None:
    rules = {rule.watched: rule.words for rule in rules_with(["step > 5m", "errors > 5%"])}
    assert rules["step"] == "step > 5m"
    assert rules["errors"] == "errors > 5%"
    assert rules["memory"] == "memory > 500MB"


def test_an_alert_fires_once_and_again_only_after_it_was_over() -> None:
    alerts = Alerts()
    slow = Reading("step", "r1 build", 61.5 * SECOND, "r1", "build")
    (first,) = alerts.look(1, [slow])
    assert first.message == "step build of r1 has been at work for 1 m 01 s"
    assert (first.run, first.step, first.since, first.until) == ("r1", "build", 1, None)
    assert alerts.look(2, [slow]) == []
    assert alerts.look(3, []) == []
    assert alerts.all()[0].until == 3
    (second,) = alerts.look(4, [slow])
    assert [one.id for one in alerts.all()] == [second.id, first.id]


def test_subjects_are_told_apart() -> None:
    alerts = Alerts()
    told = [Reading("step", f"r {name}", 2.0 * MINUTE, "r", name) for name in "ab"]
    assert [one.step for one in alerts.look(1, told)] == ["a", "b"]
    assert alerts.look(2, told[:1]) == []
    assert [one.until for one in alerts.all()] == [2, None]


@pytest.mark.parametrize(
    ("reading", "fires"),
    [
        (Reading("budget", "usd of r", 0.5), False),
        (Reading("budget", "usd of r", 0.8), True),
        (Reading("memory", "", 500e6), False),
        (Reading("memory", "", 501e6), True),
        (Reading("refused", "", 0), False),
        (Reading("refused", "", 1), True),
        (Reading("plan_timeouts", "", 0.1), False),
        (Reading("plan_timeouts", "", 0.2), True),
        (Reading("exhausted", "", 1), True),
        (Reading("step", "r a", float(MINUTE)), False),
    ],
)
def test_the_default_rules(reading: Reading, fires: bool) -> None:
    assert bool(Alerts().look(1, [reading])) is fires


def test_seen_is_noted() -> None:
    alerts = Alerts()
    (fired,) = alerts.look(1, [Reading("refused", "", 2)])
    assert alerts.unseen == 1
    assert alerts.see(fired.id)
    assert not alerts.see(fired.id + 1)
    assert alerts.unseen == 0
    assert alerts.all()[0].seen


def test_only_so_many_that_are_over_are_remembered() -> None:
    alerts = Alerts()
    for at in range(1, MOST + 50):
        alerts.look(2 * at, [Reading("refused", "", 1)])
        alerts.look(2 * at + 1, [])
    assert len(alerts.all()) == MOST


@given(st.lists(st.tuples(st.integers(1, HOUR), st.integers(0, 5)), max_size=30))
def test_what_is_recent_is_what_came_within_the_window(steps: list[tuple[int, int]]) -> None:
    recent, at, total = Recent(HOUR), 0, 7
    assert recent.note(at, total) == 0
    came: list[tuple[int, int]] = []
    for after, more in steps:
        at, total = at + after, total + more
        came.append((at, more))
        assert recent.note(at, total) == sum(m for when, m in came if when > at - HOUR)
