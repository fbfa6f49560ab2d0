"""Events and requests as JSON, and back.

A row holds one event as JSON that a person can read.
A large output, input or spec leaves its row: the row then is a `Large`, which says by digest
where the bytes are.
Only the types of `hocket.core.events` can be built from a row, whatever it says: the union is
closed, and nothing is made by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import msgspec

from hocket.core.errors import JournalError
from hocket.core.events import (
    AnyEvent,
    CallFinished,
    InputGiven,
    RunEnded,
    RunStarted,
    SpecReplaced,
)
from hocket.core.requests import AnyRequest
from hocket.core.values import digest

LARGE: Final = 32 * 1024
"""A field longer than this leaves its row."""

MAX_ROW: Final = 64 * 1024 * 1024
"""What a row may hold once its large field has left; nothing sensible comes near."""

Fetch: TypeAlias = Callable[[str], bytes]
"""Gives the bytes of a digest."""

_FIELDS: Final[dict[type, str]] = {
    CallFinished: "output",
    RunEnded: "output",
    InputGiven: "value",
    RunStarted: "spec",
    SpecReplaced: "spec",
}

# Where an event names a file, every digest in it counts: one too many only keeps a file longer.
_FILE_MARK: Final = b'"$":"file"'
_DIGEST: Final = re.compile(rb'"digest":"([0-9a-f]{64})"')

# `at` is the first field after the tag, in an event and in a Large alike.
_AT: Final = re.compile(r'\{"type":"[a-z_]+","at":(-?\d+)')

# JSON nested less than this is read from any stack; deeper JSON is tried before it is accepted.
_SAFE_DEPTH: Final = 200


class Large(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="large"):
    """A row whose event has a large field stored elsewhere.

    Fields:
        at: The event's instant.
        field: The name of the field that left.
        digest: SHA-256 of its JSON.
        size: The length of its JSON.
        event: The event's JSON without that field.
    """

    at: int
    field: str
    digest: str
    size: int
    event: msgspec.Raw


class Encoded(NamedTuple):
    """An event ready to be written.

    Fields:
        row: The JSON of the row.
        blob: The large field's digest and bytes, or None.
        files: Digests of the stored files that the event names.
    """

    row: str
    blob: tuple[str, bytes] | None = None
    files: tuple[str, ...] = ()


_encoder = msgspec.json.Encoder()
_rows: msgspec.json.Decoder[AnyEvent | Large] = msgspec.json.Decoder(AnyEvent | Large)
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
# Passes through all of the JSON, as deep as it goes, and builds nothing.
_skipping: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(event: AnyEvent) -> Encoded:
    """Encode an event.

    Raises:
        JournalError: It holds what JSON cannot, or is nested too deeply to be read back.
    """
    data = _to_json(event)
    if len(data) <= LARGE and _FILE_MARK not in data:
        return Encoded(data.decode())
    files = files_in(data)
    if len(data) > LARGE and (field := _FIELDS.get(type(event))) is not None:
        rest = _fields.decode(data)
        taken = bytes(rest.pop(field, b""))
        if len(taken) > LARGE:
            name = digest(taken)
            large = Large(
                at=event.at,
                field=field,
                digest=name,
                size=len(taken),
                event=msgspec.Raw(_encoder.encode(rest)),
            )
            return Encoded(_fitting(_encoder.encode(large)), (name, taken), files)
    return Encoded(_fitting(data), None, files)


def files_in(data: bytes) -> tuple[str, ...]:
    """Give the digests of the stored files that JSON may name."""
    if _FILE_MARK not in data:
        return ()
    return tuple(dict.fromkeys(match.decode() for match in _DIGEST.findall(data)))


def decode(row: str | bytes, fetch: Fetch, seq: int) -> AnyEvent:
    """Decode a row; `fetch` gives the bytes that had left it.

    Raises:
        JournalError: The row is no event of this version; the message has its number.
    """
    try:
        event = _rows.decode(row)
        if not isinstance(event, Large):
            return event
        whole = _fields.decode(event.event)
        whole[event.field] = msgspec.Raw(fetch(event.digest))
        return _events.decode(_encoder.encode(whole))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalError(f"event {seq} cannot be read: {error}") from error
    except RecursionError as error:
        raise JournalError(f"event {seq} cannot be read: it is nested too deeply") from error


def encode_request(request: AnyRequest) -> str:
    """Encode a request for the inbox.

    Raises:
        JournalError: It holds what JSON cannot, or is nested too deeply to be read back.
    """
    return _fitting(_to_json(request))


def decode_request(row: str | bytes, id: int) -> AnyRequest:
    """Decode a request from the inbox.

    Raises:
        JournalError: It is no request of this version; the message has its id.
    """
    try:
        return _requests.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(f"request {id} cannot be read: {error}") from error


def row_time(row: str) -> int:
    """Give the instant of a row without decoding all of it; 0 if it has none."""
    match = _AT.match(row)
    return int(match.group(1)) if match else 0


def _to_json(value: AnyEvent | AnyRequest) -> bytes:
    try:
        data = _encoder.encode(value)
        if data.count(b"[") + data.count(b"{") > _SAFE_DEPTH:
            _read_from_deep(data, _SAFE_DEPTH)
    except RecursionError as error:
        raise JournalError(
            f"{type(value).__name__} cannot be recorded: it is nested too deeply"
        ) from error
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise JournalError(f"{type(value).__name__} cannot be recorded: {error}") from error
    return data


def _read_from_deep(data: bytes, frames: int) -> None:
    """Decode where the stack is deeper than here: what passes can be read by later callers."""
    if frames:
        _read_from_deep(data, frames - 1)
    else:
        _skipping.decode(data)


def _fitting(data: bytes) -> str:
    if len(data) > MAX_ROW:
        raise JournalError(
            f"an event of {len(data):,} bytes cannot be recorded; the most is {MAX_ROW:,}"
        )
    return data.decode()
