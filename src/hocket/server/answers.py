"""Answers as bytes: errors by kind, JSON, and ranges of bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hocket.agents.faults import redact, secrets_of
from hocket.core.errors import CallerError, NotFound, PeerError, Refused
from hocket.server.quotas import TooMany
from hocket.server.routing import Bytes

Kind: TypeAlias = Literal[
    "bad_input",
    "unauthorized",
    "forbidden",
    "not_found",
    "refused",
    "too_large",
    "too_many",
    "unavailable",
    "bug",
]
"""What an error is, for programs."""

Reason: TypeAlias = Literal[
    "",
    "host",
    "origin",
    "cross_site",
    "token",
    "role",
    "quota",
    "path",
    "method",
    "media",
    "size",
    "slow",
    "input",
    "not_found",
    "state",
    "unavailable",
    "bug",
]
"""Why a request was turned away, for the audit; "" if it was not."""

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong.

    Fields:
        kind: What it is, for programs.
        message: What it is, for people.
        hint: What to do, or "".
    """

    kind: Kind
    message: str
    hint: str = ""


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of every answer that is an error."""

    error: Told


class TurnedAway(CallerError):
    """A request that is not answered.

    Attributes:
        status: The HTTP status.
        told: What the client is told.
        reason: Why, for the audit.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: Kind,
        reason: Reason,
        message: str,
        hint: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.told = Told(kind=kind, message=message, hint=hint)
        self.reason: Reason = reason
        self.headers = tuple(headers)
        super().__init__(message)


def turned_away(error: Exception) -> TurnedAway | None:
    """Give the answer that an error becomes; None if nobody foresaw it."""
    said = redact(str(error), secrets_of())
    match error:
        case TurnedAway():
            return error
        case TooMany():
            after = [("Retry-After", str(max(1, round(error.wait + 0.5))))]
            return TurnedAway(429, "too_many", "quota", said, headers=after)
        case NotFound():
            return TurnedAway(404, "not_found", "not_found", said)
        case Refused():
            return TurnedAway(409, "refused", "state", said)
        case CallerError():
            return TurnedAway(400, "bad_input", "input", said)
        case PeerError():
            return TurnedAway(503, "unavailable", "unavailable", said)
        case _:
            return None


def encoded(value: Any) -> bytes:
    """Write an answer's value as JSON."""
    return msgspec.json.encode(value)


def error_body(told: Told) -> bytes:
    """Write an error as JSON."""
    # A half of a pair, as a file's name may have, is no text in UTF-8.
    clean = Told(kind=told.kind, message=_whole(told.message), hint=_whole(told.hint))
    return msgspec.json.encode(ErrorAnswer(error=clean))


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def ranged(given: str, total: int, read: Callable[[int, int], bytes], media: str) -> Bytes:
    """Answer with the bytes that a header ``Range`` names, or with all.

    Several ranges in one header are answered with all, as the standard allows.

    Args:
        given: The header, or "".
        total: How many bytes there are.
        read: Gives so many bytes from a place on.
        media: What they are.
    """
    headers = {"Accept-Ranges": "bytes"}
    match = _RANGE.match(given.strip())
    if match is None or match[0] == "bytes=-":
        return Bytes(data=read(0, total), media=media, headers=headers)
    first, last = match[1], match[2]
    if first:
        start = int(first)
        end = min(int(last), total - 1) if last else total - 1
        if last and int(last) < start:
            return Bytes(data=read(0, total), media=media, headers=headers)
    else:
        start, end = max(0, total - int(last)), total - 1
    if start >= total:
        headers["Content-Range"] = f"bytes */{total}"
        told = Told(kind="bad_input", message=f"there are only {total} bytes")
        body = error_body(told)
        return Bytes(data=body, media="application/json", status=416, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end}/{total}"
    return Bytes(data=read(start, end - start + 1), media=media, status=206, headers=headers)
