"""Costs are whole pico-dollars, and what has no price is unpriced, never free."""

import sys
from typing import Any

import msgspec
import pytest

from hocket.agents.prices import PICO, Price, is_loopback, tariff, usage_of
from hocket.core.events import Usage

HOME = "https://api.openai.com/v1/"


class Raw:
    """A provider's usage, as far as anybody looks at it."""

    def __init__(self, read: Any, written: Any) -> None:
        self.input_tokens = read
        self.output_tokens = written


class Cached(Raw):
    """A usage of which a part came from the provider's cache."""

    def __init__(self, read: Any, written: Any, cached: Any) -> None:
        super().__init__(read, written)
        self.cache_read_tokens = cached


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


def test_tokens_from_the_provider_s_cache_are_counted_and_priced_as_such() -> None:
    priced = pytest.importorskip("genai_prices").Usage
    whole = usage(listed(1000, 100))
    part = usage(priced(input_tokens=1000, output_tokens=100, cache_read_tokens=800))
    assert whole is not None and part is not None
    assert (whole.tokens_cached, part.tokens_cached) == (None, 800)
    assert (part.tokens_in, part.tokens_out) == (1000, 100)
    assert part.cost is not None and whole.cost is not None
    # A token from the cache is a tenth of the price there.
    assert 1000 * (whole.cost - part.cost) == 800 * 9 * (whole.cost - 1_400_000_000) // 10


@pytest.mark.parametrize("cached", [None, "many", -1, 0, True])
def test_nonsense_about_a_cache_counts_as_not_said(cached: Any) -> None:
    price = msgspec.convert({"in": 1, "out": 2, "cached": 0.1}, Price)
    counted = usage(Cached(10, 1, cached), price=price)
    assert counted is not None
    assert (counted.tokens_cached or 0) <= 1
    assert counted.cost is not None and counted.cost >= 11_000_000


def test_a_users_own_price_may_say_what_cached_tokens_cost() -> None:
    stated = msgspec.convert({"in": 1, "out": 2, "cached": 0.1}, Price)
    plain = msgspec.convert({"in": 1, "out": 2}, Price)
    raw = Cached(1000, 100, 800)
    counted, dear = usage(raw, price=stated), usage(raw, price=plain)
    assert counted is not None and dear is not None
    assert counted.cost == (200 * 1_000 + 800 * 100 + 100 * 2_000) * 1_000
    assert dear.cost == (1000 * 1_000 + 100 * 2_000) * 1_000
    assert tariff("m", "p", "", False, stated) == tariff("m", "p", "", False, plain)
    dearer = msgspec.convert({"in": 1, "out": 2, "cached": 5}, Price)
    bound = tariff("m", "p", "", False, dearer)
    assert bound is not None and bound.most_cost(1000, 0) == 5_000_000_000
    with pytest.raises(msgspec.ValidationError, match="a price is"):
        msgspec.convert({"in": 1, "out": 2, "cached": -1}, Price)
