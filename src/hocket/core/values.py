"""The plain values that every room shares: JSON, names of calls, durations and digests.

Nothing here knows what a run is.
A value is JSON once it has entered the engine, so that a resumed run sees what a live one saw.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

MS = 1_000_000
SECOND = 1_000 * MS
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
"""Durations and instants are integers of nanoseconds; instants count from the Unix epoch."""

_UNITS = {"ms": MS, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+\Z")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_blake2b = hashlib.blake2b
_sorted_json = msgspec.json.Encoder(order="sorted")


def parse_duration(text: str | int | float) -> int:
    """Read ``"90s"``, ``"1h30m"`` or a number of seconds as nanoseconds.

    Raises:
        ValueError: The text is not a duration, or it is negative.
    """
    if isinstance(text, bool):
        raise ValueError("a duration is a number of seconds or a text like '90s' or '1h30m'")
    if isinstance(text, int | float):
        if not 0 <= text <= 3_153_600_000:
            raise ValueError("a duration lies between 0 and 100 years")
        return round(text * SECOND)
    if not _DURATION.match(text) or len(text) > 40:
        raise ValueError(f"{text[:40]!r} is not a duration; write it like '90s', '10m' or '1h30m'")
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PIECE.findall(text))


def format_duration(ns: int) -> str:
    """Write nanoseconds for a person: ``"340 ms"``, ``"4.2 s"``, ``"3 m 05 s"``, ``"2 h 10 m"``."""
    # Each bound lies where rounding would show a full unit of the next kind.
    if ns < 999_500_000:
        return f"{ns / MS:.0f} ms"
    if ns < 59_950 * MS:
        return f"{ns / SECOND:.1f} s"
    seconds = round(ns / SECOND)
    if seconds < 3_600:
        return f"{seconds // 60} m {seconds % 60:02d} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} m"
    return f"{seconds // 86400} d {seconds % 86400 // 3600:02d} h"


def canonical(value: Json) -> bytes:
    """Encode a value so that equal values give equal bytes (keys sorted, no blanks)."""
    return _sorted_json.encode(value)


def digest(data: bytes) -> str:
    """Name bytes by content: the SHA-256 in hexadecimal, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def unit_fraction(*key: str | int) -> float:
    """Draw a number in [0, 1) that depends on the key alone.

    Jitter comes from here, so that the same run with the same seed backs off alike.
    """
    return fraction_of("\x1f".join(map(str, key)))


def fraction_of(key: str) -> float:
    """Draw a number in [0, 1) that depends on the key alone.

    The parts of a key have the ASCII unit separator between them, as `unit_fraction` joins them.
    """
    raw = _blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64


class Call(msgspec.Struct, frozen=True, order=True, gc=False):
    """The name of one attempt of an agent at one prompt, within its run.

    It is also the idempotency key that an agent may hand on.

    Fields:
        path: Step, item and round: ``review``, ``review/3``, ``poll~2``, ``outer/inner``.
        attempt: Counts every send at this path from 1.
    """

    path: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.path}#{self.attempt}"


def step_of(path: str) -> str:
    """Give the step that a path is of, without items and rounds: ``a/3~2/b`` is of ``a/b``."""
    if path.isidentifier():
        return path
    names = (part.partition("~")[0] for part in path.split("/"))
    # A step's name begins with a letter, so what does not is an item's number.
    return "/".join(name for name in names if not name[:1].isdigit())


class FileRef(msgspec.Struct, frozen=True, kw_only=True, tag_field="$", tag="file"):
    """A file stored by content, as it stands in an output.

    Fields:
        name: The file's relative name as its maker called it.
        digest: SHA-256 of its bytes.
        size: Its length in bytes.
    """

    name: str
    digest: str
    size: int


def is_file(value: Json) -> bool:
    """Tell whether a JSON value is a stored file's reference."""
    return isinstance(value, dict) and value.get("$") == "file" and "digest" in value
