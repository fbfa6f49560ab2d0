"""What a call cost, in whole pico-dollars; what nobody has a price for is unpriced, never free."""

from __future__ import annotations

import ipaddress
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hocket.core.events import Usage

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
    """

    in_: PerMillion = msgspec.field(name="in")
    out: PerMillion

    def __post_init__(self) -> None:
        for price in (self.in_, self.out):
            if not 0 <= price < 1e6:
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
    if read is None or written is None or not read + written:
        # Every answer takes a token or more: zero means that the provider did not say.
        return None
    if price is not None:
        cost: int | None = _own_price(price, read, written)
    else:
        cost = _list_price(raw, model, provider, url, own_url)
    return Usage(tokens_in=read, tokens_out=written, cost=cost)


def _tokens(raw: Any, name: str) -> int | None:
    """Give a count that can be one; a provider may leave it out or say nonsense."""
    count = getattr(raw, name, None)
    return count if isinstance(count, int) and 0 <= count < 2**53 else None


def _own_price(price: Price, read: int, written: int) -> int:
    dollars = Decimal(str(price.in_)) * read + Decimal(str(price.out)) * written
    return _pico(dollars / _MILLION)


def _list_price(raw: Any, model: str, provider: str, url: str, own_url: bool) -> int | None:
    if is_loopback(url):
        return None
    try:
        from genai_prices import calc_price
    except ImportError:
        return None
    places: list[dict[str, str]] = [{"provider_api_url": url}]
    if not own_url:
        places.append({"provider_id": provider})
    for place in places:
        try:
            return _pico(calc_price(raw, model, **place).total_price)  # type: ignore[call-overload]
        except (LookupError, ValueError):
            continue  # nobody has a price for it there
    return None


def _pico(dollars: Decimal) -> int:
    return int((dollars * PICO).to_integral_value(ROUND_HALF_EVEN))


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine, as far as its name shows."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
