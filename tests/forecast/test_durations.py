"""What is declared comes first, then the same step's past, then the agent's, then anybody's."""

from __future__ import annotations

import pytest
from tests.forecast.plans import step

from hocket.core.values import SECOND
from hocket.forecast.durations import UNKNOWN, Drawn, Durations, quantile

NO_IDEA = step("s")
BARE = type(NO_IDEA)(name="s", agent="a")


def seconds(*values: float) -> list[int]:
    return [round(value * SECOND) for value in values]


def test_the_nearest_knowledge_counts() -> None:
    book = Durations(
        {
            ("p", "s", "a"): seconds(3, 1, 2),
            ("p", "t", "a"): seconds(9),
            ("q", "u", "b"): seconds(7),
        }
    )
    assert book.expected("p", "s", step("s", takes=5), "a") == 5 * SECOND
    assert book.expected("p", "s", BARE, "a") == 2 * SECOND
    assert book.expected("p", "other", BARE, "a") == round(2.5 * SECOND)
    assert book.expected("p", "s", BARE, "b") == 7 * SECOND
    assert book.samples("p", "s", BARE, "c") == ()
    assert book.expected("p", "s", BARE, "c") == 3 * SECOND
    assert Durations().expected("p", "s", BARE, "a") == UNKNOWN


def test_no_call_outlives_its_time_out() -> None:
    short = step("s", takes=5, timeout=SECOND)
    assert Durations().expected("p", "s", short, "a") == SECOND


def test_quantiles_lie_between_samples() -> None:
    assert quantile([10], 0.9) == 10
    assert quantile([0, 10, 20], 0.25) == pytest.approx(5)
    assert quantile([0, 10, 20], 1.0) == 20


def test_draws_depend_on_the_call_alone() -> None:
    book = Durations({("p", "s", "a"): seconds(*range(1, 100))})

    def draw(number: int, call: str) -> int:
        return Drawn(book, 7, number).takes("p", "s", BARE, "a", call)

    assert draw(1, "s/0") == draw(1, "s/0")
    drawn = [draw(number, "s/0") for number in range(400)]
    assert len(set(drawn)) > 300
    assert 45 * SECOND < sum(drawn) / len(drawn) < 55 * SECOND
    assert draw(1, "s/0") != draw(1, "s/1")
