"""What the parts of a file share: how strict they are, durations, names, unions by key and type."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    WithJsonSchema,
)

from hocket.core.values import parse_duration

TAG = "\x00"
"""Begins the tags of unions: no key of a file can, so that they can be told from keys in a path."""


def _duration(value: object) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError("a duration is a number of seconds or a text like '90s' or '1h30m'")
    return parse_duration(value)


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


_DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "A number of seconds, or a text like 90s, 10m or 1h30m.",
}
_NAMES_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}

Duration: TypeAlias = Annotated[int, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
Names: TypeAlias = Annotated[
    list[str], BeforeValidator(_one_or_more), WithJsonSchema(_NAMES_SCHEMA)
]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)
"""What every part of the file keeps to: no unknown keys, no guessing at types."""


class Strict(BaseModel):
    """What every part of the file keeps to: no unknown keys, no guessing at types."""

    model_config = STRICT


def by_key(kinds: tuple[str, ...], what: str) -> Discriminator:
    """Tell the parts of a union apart by the first of several keys that is there."""

    def kind(value: object) -> str | None:
        if not isinstance(value, dict):
            return None
        return next((TAG + name for name in kinds if name in value), None)

    said = f"{what} is an object with one of {', '.join(kinds)}"
    return Discriminator(kind, custom_error_type="shape", custom_error_message=said)


def by_type(kinds: dict[type, str], said: str) -> Discriminator:
    """Tell the parts of a union apart by the type of what is there."""

    def kind(value: object) -> str | None:
        # Booleans are whole numbers to Python, and mean neither here.
        if isinstance(value, bool):
            return None
        return next((TAG + name for type_, name in kinds.items() if isinstance(value, type_)), None)

    return Discriminator(kind, custom_error_type="shape", custom_error_message=said)
