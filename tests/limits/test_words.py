"""Bounds are written as people state them."""

import pytest

from hocket.config.amounts import read_rate, read_spending
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.limits.words import bounds_words, rate_words


@pytest.mark.parametrize(
    ("kind", "rate", "words"),
    [
        ("requests", Rate(9, MINUTE), "9/min"),
        ("requests", Rate(14_400, DAY), "14,400/day"),
        ("requests", Rate(600, 10 * SECOND), "600/10s"),
        ("requests", Rate(1, 90 * SECOND), "1/90s"),
        ("tokens", Rate(32_000, MINUTE), "32k/min"),
        ("tokens", Rate(1_500_000, 2 * HOUR), "1.5M/2h"),
        ("tokens", Rate(1_234, SECOND), "1,234/s"),
        ("cost", Rate(10**12, 0), "$1.00"),
        ("cost", Rate(5 * 10**11, DAY), "$0.50/day"),
        ("cost", Rate(123_456_789, HOUR), "$0.000123/h"),
    ],
)
def test_a_rate_is_written_shortly(kind: str, rate: Rate, words: str) -> None:
    assert rate_words(kind, rate) == words
    if kind == "requests":
        assert read_rate(words.replace(",", "")) == rate
    if kind == "cost" and rate.amount > 10**9:
        assert read_spending(words) == rate


def test_every_bound_is_written() -> None:
    limit = LimitSpec(
        requests=(Rate(9, MINUTE), Rate(50, DAY)),
        tokens_in=(Rate(8_000, MINUTE),),
        cost=(Rate(10**12, DAY),),
        concurrency=4,
        spacing=2 * SECOND,
    )
    assert bounds_words(limit) == [
        "9/min requests",
        "50/day requests",
        "8k/min tokens in",
        "$1.00/day",
        "4 at once",
        "2.0 s between starts",
    ]
