"""Turns what an agent gave into JSON that fits the step's schema.

Every output passes here before anybody else sees it: a resumed run sees what a live one saw.
What is not JSON is refused by name, never written down as something that only looks like it.
No schema is ever fetched from a network.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import re
import sys
import uuid
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, NoReturn

import msgspec

from hocket.core.errors import AgentError, Fault, FaultKind
from hocket.core.values import Json, canonical

LOWEST, HIGHEST = -(2**63), 2**64 - 1
"""Integers outside lose digits in many JSON readers, a browser's first of all."""

MESSAGE, DETAIL, SHOWN = 500, 4_000, 300
"""The most characters of a fault's message, of its detail, and of a value shown in a message."""

_KEPT_SCHEMAS = 256
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_BY_MSGSPEC = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)


class File:
    """A file that a function made; the engine stores it by content.

    Put it anywhere into what a function returns: it becomes a reference that later steps can read.

    Args:
        path: The file; it is read after the function has returned.
        name: What to call it; the file's own name otherwise.
    """

    __slots__ = ("name", "path")

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.name

    def __repr__(self) -> str:
        return f"File({str(self.path)!r}, name={self.name!r})"


StoreFile = Callable[[File], Json]


def fault(
    kind: FaultKind, message: str, detail: str = "", retry_after: int | None = None
) -> AgentError:
    """Make the error of a failed call; what is too long is cut, of a detail the beginning."""
    return AgentError(
        Fault(
            kind=kind,
            message=clip(message, MESSAGE),
            detail=detail[-DETAIL:],
            retry_after=retry_after,
        )
    )


def clip(text: str, most: int = SHOWN) -> str:
    """Shorten a text to `most` characters and say so by an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


# ---- Python values -> JSON ----


def to_json(value: Any, file: StoreFile | None = None) -> Json:
    """Write a Python value as JSON, in containers of its own.

    Plain values, dataclasses, msgspec structs, pydantic models, enums, dates, decimals, UUIDs and
    paths are understood.
    Sets become sorted lists; keys that are numbers, dates or enums become texts.

    Args:
        value: The value.
        file: What to put in place of a `File`.

    Raises:
        AgentError: ``permanent``; the message names the type and its place.
    """
    try:
        return _plain(value, file)
    except RecursionError:
        raise fault("permanent", "the output is nested too deeply, or contains itself") from None


def _plain(value: Any, file: StoreFile | None) -> Json:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value)
    if kind is int:
        return value if LOWEST <= value <= HIGHEST else _refuse_int(value)
    if value is None or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) else _refuse_float(value)
    if kind is dict:
        return _plain_dict(value, file)
    if kind is list or kind is tuple:
        return [_plain(item, file) for item in value]
    return _other(value, file)


def _plain_dict(value: dict[Any, Any], file: StoreFile | None) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            key = _key(key)
        # The commonest leaves, without a call.
        kind = type(item)
        if kind is bool or item is None or (kind is str and item.isascii()):
            made[key] = item
        else:
            made[key] = _plain(item, file)
    if len(made) != len(value):
        raise fault("permanent", "the output has two keys that are the same text in JSON")
    return made


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return _text(str.__str__(key))
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    if isinstance(key, _BY_MSGSPEC):
        return str(msgspec.to_builtins(key))
    raise fault("permanent", f"the output has a key of type {_name(key)}; JSON keys are texts")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise fault(
            "permanent",
            "the output has a text with half of a surrogate pair, which is not Unicode; "
            "decode bytes with errors='replace'",
        ) from None
    return value


def _refuse_int(value: int) -> NoReturn:
    raise fault(
        "permanent",
        f"the output has an integer of {value.bit_length()} bits; "
        "JSON readers keep 64, so return it as text",
    )


def _refuse_float(value: float) -> NoReturn:
    raise fault("permanent", f"the output has a number that JSON cannot write: {value}")


def _other(value: Any, file: StoreFile | None) -> Json:
    """Write what is not plain at sight."""
    if isinstance(value, File):
        if file is None:
            _refuse(value)
        return file(value)
    if isinstance(value, enum.Enum):
        return _plain(value.value, file)
    if isinstance(value, PurePath):
        return _text(str(value))
    if isinstance(value, _BY_MSGSPEC):
        return msgspec.to_builtins(value)
    if isinstance(value, msgspec.Struct):
        # The struct itself knows its tag and its names on the wire; what is inside comes back here.
        if value.__struct_config__.array_like:
            return [_plain(item, file) for item in _struct(value).values()]
        return _plain_dict(_struct(value), file)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), file)
            for field in dataclasses.fields(value)
        }
    if hasattr(type(value), "model_dump") and hasattr(type(value), "model_fields"):
        return _plain(_model(value), file)
    if isinstance(value, set | frozenset):
        items = [_plain(item, file) for item in value]
        return sorted(items, key=canonical)
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        return _plain(int(value), file)
    if isinstance(value, float):
        return _plain(float(value), file)
    if isinstance(value, dict):
        return _plain_dict(value, file)
    if isinstance(value, list | tuple):
        return [_plain(item, file) for item in value]
    _refuse(value)


def _struct(value: msgspec.Struct) -> dict[str, Any]:
    config = value.__struct_config__
    made: dict[str, Any] = {}
    if config.tag_field is not None:
        made[config.tag_field] = config.tag
    for attribute, name in zip(
        value.__struct_fields__, value.__struct_encode_fields__, strict=True
    ):
        item = getattr(value, attribute)
        if item is not msgspec.UNSET:
            made[name] = item
    return made


def _model(value: Any) -> Any:
    try:
        return value.model_dump(mode="json")
    except ValueError:
        # It holds what pydantic cannot write, a `File` for one: its parts are judged here.
        return value.model_dump(mode="python")


def _refuse(value: Any) -> NoReturn:
    hints = {
        "bytes": "decode them, or return a File",
        "generator": "return a list",
        "coroutine": "await it",
        "DataFrame": "call to_dict(), or return a File",
        "ndarray": "call tolist(), or return a File",
    }
    hint = hints.get(type(value).__name__, "return texts, numbers, lists, dicts or dataclasses")
    raise fault("permanent", f"the output has a value of type {_name(value)}; {hint}")


def _name(value: Any) -> str:
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


# ---- JSON text ----


def read_json(text: str) -> Json:
    """Read the JSON that a textual agent wrote, also from a fenced code block amid prose.

    The text as a whole comes first, then the last block that is JSON: models think aloud before.

    Raises:
        AgentError: ``invalid_output``; there is no JSON in the text.
    """
    whole = text.strip().removeprefix("\ufeff")
    error = _try_json(whole)
    if isinstance(error, _Read):
        return error.value
    for block in reversed(_FENCE.findall(whole)):
        found = _try_json(block)
        if isinstance(found, _Read):
            return found.value
    start = clip(" ".join(whole[:400].split()), 120)
    what = (
        f"the output is not JSON: {error}; it begins {start!r}" if whole else "the output is empty"
    )
    raise fault("invalid_output", what, detail=text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    value: Json


def _try_json(text: str) -> _Read | str:
    try:
        return _Read(to_json(msgspec.json.decode(text)))
    except (msgspec.DecodeError, UnicodeError) as error:
        return str(error).removeprefix("JSON is malformed: ")
    except RecursionError:
        return "it is nested too deeply"
    except AgentError as error:
        return error.fault.message


# ---- schemas ----

_validators: dict[bytes, Any] = {}
# By identity, so that the same schema is not encoded at each call.
# The schema is kept alive here, so that its id stays its own.
_recent: dict[int, tuple[Json, Any]] = {}


def fit(value: Json, schema: Json) -> Json:
    """Give a value back if it fits a JSON Schema; None as schema takes anything.

    Raises:
        AgentError: ``invalid_output`` with the path of the mismatch; ``permanent`` if the schema
            itself is wrong.
    """
    if schema is None or schema is True:
        return value
    known = _recent.get(id(schema))
    validator = known[1] if known is not None and known[0] is schema else _validator(schema)
    try:
        if validator.is_valid(value):
            return value
        mismatch = _first_mismatch(validator, value)
    except RecursionError:
        raise fault("invalid_output", "the output is nested too deeply to be checked") from None
    except _unresolvable() as error:
        raise fault(
            "permanent", f"the output schema refers to what is not there: {error}"
        ) from None
    raise fault("invalid_output", mismatch, detail=_shown(value))


def can_fit() -> bool:
    """Tell whether what `fit` checks with has been imported."""
    return "jsonschema.validators" in sys.modules


def learn_to_fit() -> None:
    """Import what `fit` checks with, which the first call of a process would else wait for."""
    # What JSON Schema says of schemas is read by the first one.
    _make_validator({"type": "string"}).is_valid("")


def _first_mismatch(validator: Any, value: Json) -> str:
    from jsonschema.exceptions import best_match

    error = next(validator.iter_errors(value))
    # Inside anyOf and its like, what nearly fitted says more than "fits none of them".
    inner = best_match([error]) or error
    place = "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in inner.absolute_path
    )
    return f"output{place}: {clip(inner.message)}"


def _shown(value: Json) -> str:
    try:
        return msgspec.json.encode(value).decode()[:DETAIL]
    except (TypeError, ValueError, RecursionError) as error:
        return f"(cannot be shown: {error})"


def _validator(schema: Json) -> Any:
    key = canonical(schema)
    validator = _validators.get(key)
    if validator is None:
        validator = _make_validator(schema)
        _forget_oldest(_validators)
        _validators[key] = validator
    _forget_oldest(_recent)
    _recent[id(schema)] = (schema, validator)
    return validator


def _forget_oldest(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT_SCHEMAS:
        del kept[next(iter(kept))]


def _make_validator(schema: Json) -> Any:
    # It takes 40 ms to import, and most steps have no schema.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        cls = validator_for(schema, default=Draft202012Validator)
        cls.check_schema(schema)
    except SchemaError as error:
        place = "".join(f".{key}" for key in error.absolute_path)
        raise fault(
            "permanent",
            f"the output schema is wrong at {place or 'its root'}: {clip(error.message)}",
        ) from None
    # An empty registry: the default one would fetch a "$ref" over the network.
    registry: Any = Registry()
    return cls(schema, registry=registry)


def _unresolvable() -> type[Exception]:
    from referencing.exceptions import Unresolvable

    return Unresolvable
