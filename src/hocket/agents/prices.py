"""What a call cost, in whole pico-dollars; what nobody has a price for is unpriced, never free."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hocket.core.events import Usage
from hocket.core.values import Json

PICO = 1_000_000_000_000
"""Pico-dollars in a dollar."""

_MILLION = 1_000_000

PerMillion = float
"""Dollars for a million tokens."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price that the user states.

    Fields:
        in_: Dollars per million tokens read; written ``in``.
        out: Dollars per million tokens written.
        cached: Dollars per million tokens read that came from the provider's own cache; by default
            what others cost.
    """

    in_: PerMillion = msgspec.field(name="in")
    out: PerMillion
    cached: PerMillion | None = None

    def __post_init__(self) -> None:
        for price in (self.in_, self.out, self.cached):
            if price is not None and not 0 <= price < 1e6:
                raise ValueError("a price is a number of dollars per million tokens, 0 or more")


def usage_of(
    raw: Any, *, model: str, provider: str, url: str, own_url: bool, price: Price | None
) -> Usage | None:
    """Count and price what a provider says was used.

    Args:
        raw: The provider's usage as pydantic-ai reads it, or None.
        model: The model's name.
        provider: The provider's name.
        url: Where the request went.
        own_url: Whether the user named that address: then only the address itself tells a price.
        price: The user's own price; it wins.

    Returns:
        The usage, with None for what is unknown, or None if nothing at all is known.
    """
    read, written = _tokens(raw, "input_tokens"), _tokens(raw, "output_tokens")
    # What came from the provider's cache is a part of what was read; 0 is also for "not said".
    cached = _tokens(raw, "cache_read_tokens") or None
    if read is None or written is None or not read + written:
        # Every answer takes a token or more: zero means that the provider did not say.
        return None
    if price is not None:
        cost: int | None = _own_price(price, read, written, min(cached or 0, read))
    else:
        cost = _list_price(raw, model, provider, url, own_url)
    return Usage(tokens_in=read, tokens_out=written, cost=cost, tokens_cached=cached)


def read_usage(read: Any, *, model: str, url: str, own_url: bool) -> Usage | None:
    """Count and price what a model has read that writes nothing, as `usage_of` does."""
    if not isinstance(read, int) or not 0 < read < 2**53:
        return None
    cost = None
    try:
        from genai_prices import Usage as Counted
    except ImportError:
        pass
    else:
        cost = _list_price(Counted(input_tokens=read), model, "openai", url, own_url)
    return Usage(tokens_in=read, tokens_out=0, cost=cost)


def _tokens(raw: Any, name: str) -> int | None:
    """Give a count that can be one; a provider may leave it out or say nonsense."""
    count = getattr(raw, name, None)
    return count if isinstance(count, int) and 0 <= count < 2**53 else None


def _own_price(price: Price, read: int, written: int, cached: int) -> int:
    again = price.in_ if price.cached is None else price.cached
    dollars = Decimal(str(price.in_)) * (read - cached) + Decimal(str(again)) * cached
    return _pico((dollars + Decimal(str(price.out)) * written) / _MILLION)


def _list_price(raw: Any, model: str, provider: str, url: str, own_url: bool) -> int | None:
    if is_loopback(url):
        return None
    try:
        from genai_prices import calc_price
    except ImportError:
        return None
    for place in _places(provider, url, own_url):
        try:
            return _pico(calc_price(raw, model, **place).total_price)  # type: ignore[call-overload]
        except (LookupError, ValueError):
            continue  # nobody has a price for it there
    return None


def _places(provider: str, url: str, own_url: bool) -> Iterator[dict[str, str]]:
    """Give where the list may have a price; an address of the user's tells alone."""
    if url:
        yield {"provider_api_url": url}
    if not own_url:
        yield {"provider_id": provider}


def dollars(amount: float) -> int:
    """Give dollars as a person writes them in whole pico-dollars."""
    return _pico(Decimal(str(amount)))


def _pico(amount: Decimal) -> int:
    return int((amount * PICO).to_integral_value(ROUND_HALF_EVEN))


# ---- the most that a call can cost ----


class Tariff(msgspec.Struct, frozen=True):
    """The dearest that a model's tokens can be, whatever the hour and however they are counted.

    Fields:
        steps: More than how many tokens read, what a token read and one written then cost at most,
            in pico-dollars; in rising order, the first from -1.
        request: What a request costs besides.
    """

    steps: tuple[tuple[int, int, int], ...]
    request: int = 0

    def most_cost(self, tokens_in: int, tokens_out: int) -> int:
        """Give the most that a call can cost that takes no more tokens than these."""
        read = written = 0
        for above, each_in, each_out in self.steps:
            if tokens_in <= above:
                break
            read, written = each_in, each_out
        return self.request + read * tokens_in + written * tokens_out


def stated(model: str, base_url: str | None, price: Price | None) -> Tariff | None:
    """Give the tariff of a model as its options name it, or None if nobody has a price for it.

    The first time the list is loaded, which takes a tenth of a second and more.

    Args:
        model: ``provider:model``, or a bare name if there is a `base_url`.
        base_url: The user's own address.
        price: The user's own price.
    """
    kind, colon, name = model.partition(":")
    if not colon:
        kind, name = "", model
    kind = kind.removeprefix("gateway/")
    if kind.startswith("openai-"):
        # A variant of the API, as openai-responses, at the same prices.
        kind = "openai"
    found = tariff(name, kind, base_url or "", base_url is not None, price)
    if found is None and kind and base_url is not None:
        # A colon inside a bare name, as in qwen3:0.6b.
        found = tariff(model, "", base_url, True, None)
    return found


@functools.lru_cache(maxsize=256)
def tariff(
    model: str, provider: str, url: str, own_url: bool, price: Price | None
) -> Tariff | None:
    """Give what bounds the costs that `usage_of` finds for the same arguments."""
    if price is not None:
        dearest = max(price.in_, price.cached or 0)
        return Tariff(((-1, _each(dearest, _MILLION), _each(price.out, _MILLION)),))
    if is_loopback(url):
        return None
    try:
        from genai_prices import Usage as Counted
        from genai_prices import calc_price
    except ImportError:
        return None
    least = Counted(input_tokens=1, output_tokens=1)
    for place in _places(provider, url, own_url):
        try:
            listed = calc_price(least, model, **place).model.prices  # type: ignore[call-overload]
        except (LookupError, ValueError):
            continue
        return _dearest(listed)
    return None


def known(options: Mapping[str, Json]) -> bool:
    """Tell whether calls of a `model` agent have a price, from its options as they are written."""
    model, url, price = (options.get(name) for name in ("model", "base_url", "price"))
    if not isinstance(model, str) or not isinstance(url, str | None):
        return False
    try:
        own = msgspec.convert(price, Price | None)
    except msgspec.ValidationError:
        return False
    return stated(model, url, own) is not None


_OTHER_MEDIA = ("audio", "image", "video", "hours", "document", "searches")


def _dearest(listed: Any) -> Tariff | None:
    """Put all prices of a model together that can apply to a call of text, now or later."""
    points: list[tuple[int, int, int]] = [(-1, 0, 0)]
    request = 0
    for price in _possible(listed):
        named = {key: value for key, value in vars(price).items() if value is not None}
        text = {key: v for key, v in named.items() if not any(m in key for m in _OTHER_MEDIA)}
        if named and not text:
            return None  # it is no model of text
        for key, value in text.items():
            if key == "requests_kcount":
                request = max(request, _each(value, PICO // 1_000))
            elif key.endswith("_mtok") and key.startswith(("input", "cache", "output")):
                read = not key.startswith("output")
                for above, one in _tiers(value):
                    each = _each(one, _MILLION)
                    points.append((above, each, 0) if read else (above, 0, each))
            else:
                return None  # it is counted in something that nobody can bound
    steps: dict[int, tuple[int, int]] = {}
    most_in = most_out = 0
    for above, each_in, each_out in sorted(points):
        most_in, most_out = max(most_in, each_in), max(most_out, each_out)
        steps[above] = (most_in, most_out)
    return Tariff(tuple((above, *each) for above, each in steps.items()), request)


def _tiers(price: Any) -> Iterator[tuple[int, Any]]:
    """Give above how many tokens read which price holds."""
    yield -1, getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        yield tier.start, tier.price


def _possible(listed: Any) -> list[Any]:
    """Give the prices that apply today at some hour, or will later."""
    if not isinstance(listed, list):
        return [listed]
    now = datetime.datetime.now(datetime.UTC)
    found = []
    # The last that holds is the one that applies.
    for one in reversed(listed):
        found.append(one.prices)
        begins = one.constraint
        if begins is None or (hasattr(begins, "start_date") and begins.active(now)):
            break
    return found


def _each(price: Any, factor: int) -> int:
    """Give whole pico-dollars for one unit, rounded up."""
    return int((Decimal(str(price)) * factor).to_integral_value(ROUND_CEILING))


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine, as far as its name shows."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def counted(
    read: int, written: int, cached: int, *, model: str, provider: str, listed: bool = True
) -> Usage | None:
    """Count and price what a program says that a model of a provider has used.

    Args:
        read: Tokens read, those from the provider's cache included.
        written: Tokens written.
        cached: Tokens read from the provider's cache.
        model: The model's name.
        provider: The provider's name.
        listed: Whether it is the provider itself, so that its list of prices holds.
    """
    if not read + written:
        return None
    cost = None
    if listed:
        try:
            from genai_prices import Usage as Counted
        except ImportError:
            pass
        else:
            raw = Counted(input_tokens=read, output_tokens=written, cache_read_tokens=cached)
            cost = _list_price(raw, model, provider, "", False)
    return Usage(tokens_in=read, tokens_out=written, cost=cost, tokens_cached=cached or None)
