"""Reads what a request holds, bounded in size and time, as the structs of its route."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from hocket.core.errors import CallerError, suggest
from hocket.server.answers import TurnedAway
from hocket.server.gate import Receive
from hocket.server.routing import Route

_MOST_FIELDS = 50
_JSON = "application/json"


def read_query(route: Route, raw: bytes) -> Any:
    """Read a query as the route's struct; None if it has none.

    Raises:
        CallerError: It does not fit.
    """
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise CallerError("the query cannot be read: write it as name=value&name=value") from error
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise CallerError(f"the query has {name[:40]!r} twice")
        given[name] = value
    known = (
        [] if route.query is None else [f.encode_name for f in msgspec.structs.fields(route.query)]
    )
    for name in given:
        if name not in known:
            hint = suggest(name[:40], known) or f"it takes {', '.join(known) or 'no query'}"
            raise CallerError(f"unknown name in the query: {name[:40]!r}; {hint}")
    if route.query is None:
        return None
    try:
        return msgspec.convert(given, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise CallerError(f"the query does not fit: {error}") from error


async def read_body(
    route: Route, headers: dict[str, list[str]], receive: Receive, limit: float
) -> Any:
    """Read a body as the route's struct; None if it has none.

    Raises:
        CallerError: It does not fit.
        TurnedAway: It is too large, comes too slowly, or is no JSON.
    """
    length = headers.get("content-length", ["0"])[0]
    if route.body is None:
        if length != "0" or "transfer-encoding" in headers:
            raise CallerError("this takes no body")
        return None
    media = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    if media != _JSON:
        raise TurnedAway(415, "bad_input", "media", f"the body must be {_JSON}")
    if not length.isdecimal() or int(length) > route.most:
        raise _too_large(route.most)
    try:
        async with asyncio.timeout(limit):
            data = await received(receive, route.most)
    except TimeoutError as error:
        said = f"the body took longer than {limit:g} s to come"
        raise TurnedAway(408, "bad_input", "slow", said) from error
    try:
        return msgspec.json.decode(data, type=route.body)
    except msgspec.ValidationError as error:
        raise CallerError(f"the body does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallerError(f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise CallerError("the body is nested too deeply") from error


async def received(receive: Receive, most: int) -> bytes:
    """Receive a body.

    Raises:
        TurnedAway: It is too large, or the client has gone.
    """
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise TurnedAway(400, "bad_input", "slow", "the client went before it had said all")
        data += message.get("body", b"")
        if len(data) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(data)


def _too_large(most: int) -> TurnedAway:
    return TurnedAway(413, "too_large", "size", f"a body may have {most} bytes here")
