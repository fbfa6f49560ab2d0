"""Costs are whole pico-dollars, and what has no price is unpriced, never free."""

import sys
from typing import Any

import msgspec
import pytest

from hocket.agents.prices import PICO, Price, is_loopback, usage_of
from hocket.core.events import Usage

HOME = "https://api.openai.com/v1/"


class Raw:
    """A provider's usage, as far as anybody looks at it."""

    def __init__(self, read: Any, written: Any) -> None:
        self.input_tokens = read
        self.output_tokens = written


def usage(raw: Any, **how: Any) -> Usage | None:
    asked = {"model": "gpt-5.2", "provider": "openai", "url": HOME, "own_url": False, "price": None}
    return usage_of(raw, **(asked | how))


def listed(read: int, written: int) -> Any:
    return pytest.importorskip("genai_prices").Usage(input_tokens=read, output_tokens=written)


def test_a_known_model_has_its_listed_price() -> None:
    counted = usage(listed(1000, 100))
    assert counted is not None
    assert (counted.tokens_in, counted.tokens_out) == (1000, 100)
    assert counted.cost is not None
    assert PICO // 10_000 < counted.cost < PICO // 10


@pytest.mark.parametrize(
    "where",
    [
        {"model": "no-such-model-1"},
        {"provider": "nobody", "url": "https://models.example.com/v1"},
        {"url": "http://127.0.0.1:8080/v1", "own_url": True},
        {"url": "http://localhost:11434/v1"},
        {"url": "https://models.example.com/v1", "own_url": True},
    ],
)
def test_what_nobody_has_a_price_for_is_unpriced(where: dict[str, Any]) -> None:
    counted = usage(listed(1000, 100), **where)
    assert counted is not None
    assert counted.tokens_in == 1000
    assert counted.cost is None


def test_a_users_own_price_wins_everywhere_and_is_exact() -> None:
    price = msgspec.convert({"in": 0.1, "out": 0.3}, Price)
    for url in (HOME, "http://127.0.0.1:1/v1"):
        counted = usage(Raw(3, 1), price=price, url=url, own_url=True)
        assert counted == Usage(tokens_in=3, tokens_out=1, cost=600_000)


def test_a_price_of_zero_is_free_and_not_unpriced() -> None:
    counted = usage(Raw(3, 1), price=Price(0, 0))
    assert counted is not None
    assert counted.cost == 0


@pytest.mark.parametrize(
    ("read", "written"),
    [(None, None), (0, 0), (-5, 3), (5, -1), ("many", 3), (2**60, 3), (5, None)],
)
def test_a_usage_that_is_missing_or_nonsense_is_unknown(read: Any, written: Any) -> None:
    assert usage(Raw(read, written), price=Price(1, 1)) is None
    assert usage(None) is None


def test_without_the_price_list_calls_are_unpriced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    counted = usage(Raw(10, 10))
    assert counted == Usage(tokens_in=10, tokens_out=10, cost=None)


@pytest.mark.parametrize("price", [{"in": -1, "out": 1}, {"in": 1}, {"in": 1, "out": 1, "x": 1}])
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(price, Price)


def test_a_loopback_address_is_known_by_its_name() -> None:
    assert is_loopback("http://localhost:1/v1")
    assert is_loopback("http://[::1]:1/v1")
    assert not is_loopback("https://api.openai.com/v1")
    assert not is_loopback("http://[nonsense")
