"""How many tokens a call is going to take: what to expect, and what it cannot pass.

A token is never less than a byte of what is sent, so bytes bound tokens from above.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from hocket.core.events import Usage
from hocket.core.teams import Tool
from hocket.core.values import Json

EXPECTED_OUT = 512
"""The tokens of an answer, as long as nothing is known."""

_MESSAGE = 64
# What an API writes around a tool or a schema; the longest known is 700 tokens.
_SCHEMA = 1_024
# Clients rewrite each part of a schema: they add "properties", "required" with every key again and
# "additionalProperties", and say bounds in words.
_PART = 96

_PER_TOKEN = 4
_AROUND = 64
_FIRST_GUESS = 4_000
_FADING = 15 / 16
_OUTPUTS = 64
_KEPT_SCHEMAS = 256


class Size(msgspec.Struct, frozen=True, gc=False):
    """How large a request is.

    Fields:
        characters: Its characters.
        most_tokens: The most tokens that it can be.
    """

    characters: int
    most_tokens: int


def size_of(prompt: str, system: str, schema: Json) -> Size:
    """Measure a request."""
    return size_of_talk([{"role": "user", "text": prompt}], system, schema, ())


def size_of_talk(
    messages: Sequence[Json], system: str, schema: Json, tools: Sequence[Tool]
) -> Size:
    """Measure a request that is a conversation, and may call tools."""
    held = _schema_size(schema)
    characters, most = len(system), _bytes(system) + _MESSAGE
    for message in messages:
        size = _message_size(message)
        characters += size[0]
        most += size[1] + _MESSAGE
    for tool in tools:
        arguments = _schema_size(tool.schema)
        characters += arguments.characters + len(tool.name) + len(tool.about)
        most += arguments.most_tokens + _bytes(tool.name) + _bytes(tool.about) + _PART
        # What is written around tools is written once.
        most -= _SCHEMA if arguments.most_tokens else 0
    most += _SCHEMA if tools else 0
    return Size(characters + held.characters, most + held.most_tokens)


def _message_size(message: Json) -> tuple[int, int]:
    """Give a message's characters, and the most tokens that it can be."""
    if message["role"] == "user":
        return len(message["text"]), _bytes(message["text"])
    if message["role"] == "agent":
        # What is kept for the provider holds the text and the calls.
        written = msgspec.json.encode(message.get("kept", message))
        return len(written), len(written) + len(message["calls"]) * _MESSAGE
    output = message["output"]
    if isinstance(output, str) and not message["failed"]:
        characters, most = len(output), _bytes(output)
    else:
        characters = most = len(msgspec.json.encode(output))
    named = _bytes(message["name"]) + _bytes(message["id"])
    return characters + named, most + named


def _bytes(text: str) -> int:
    """Give the bytes of a text, or a few more."""
    if text.isascii():
        return len(text)
    try:
        # What is said is measured again with every turn; the second time this is a mere copy.
        return len(msgspec.msgpack.encode(text))
    except UnicodeEncodeError:
        return len(text.encode("utf-8", "replace"))


# By identity, so that the same schema is measured once; kept alive, so that its id stays its own.
_schemas: dict[int, tuple[Json, Size]] = {}
_NO_SCHEMA = Size(0, 0)


def _schema_size(schema: Json) -> Size:
    if schema is None:
        return _NO_SCHEMA
    known = _schemas.get(id(schema))
    if known is not None:
        return known[1]
    try:
        written = len(msgspec.json.encode(schema))
        largest = _rewritten(schema, schema, {})
    except RecursionError:
        # Nested so deeply that no client can write it down: such a call is never sent.
        written = largest = 0
    size = Size(written, largest + _SCHEMA)
    if len(_schemas) >= _KEPT_SCHEMAS:
        del _schemas[next(iter(_schemas))]
    _schemas[id(schema)] = (schema, size)
    return size


def _rewritten(part: Json, root: Json, known: dict[str, int]) -> int:
    """Give the most bytes that clients make of a part of a schema.

    Some put a copy of what is meant in place of each reference.
    """
    if isinstance(part, list):
        return 2 + sum(_rewritten(item, root, known) + 1 for item in part)
    if not isinstance(part, dict):
        return len(msgspec.json.encode(part))
    size = _PART
    for key, value in part.items():
        size += 2 * len(msgspec.json.encode(key)) + 3 + _rewritten(value, root, known)
    ref = part.get("$ref")
    if isinstance(ref, str):
        if ref not in known:
            # One that leads back to itself cannot be replaced.
            known[ref] = 0
            known[ref] = _rewritten(_meant(ref, root), root, known)
        size += known[ref]
    return size


def _meant(ref: str, root: Json) -> Json:
    """Follow a reference into the schema itself; whatever else it is, nothing is sent for it."""
    part = root
    for key in ref.removeprefix("#").strip("/").split("/"):
        key = key.replace("~1", "/").replace("~0", "~")
        part = part.get(key) if isinstance(part, dict) else None
    return part


class Learned:
    """What an agent's past calls teach about its next ones."""

    def __init__(self) -> None:
        self._characters = float(_FIRST_GUESS)
        self._tokens = _FIRST_GUESS / _PER_TOKEN
        self._outputs: deque[int] = deque(maxlen=_OUTPUTS)
        self._usual_out: int | None = None

    def note(self, size: Size, usage: object) -> None:
        """Learn from a call that has ended."""
        if not isinstance(usage, Usage):
            return
        if usage.tokens_in:
            # Long requests count for more, older ones for less.
            self._characters = self._characters * _FADING + size.characters + _AROUND
            self._tokens = self._tokens * _FADING + usage.tokens_in
        if usage.tokens_out is not None:
            self._outputs.append(usage.tokens_out)
            ordered = sorted(self._outputs)
            self._usual_out = ordered[math.ceil(0.9 * len(ordered)) - 1]

    def tokens_in(self, size: Size) -> int:
        """Give how many tokens a request is expected to be."""
        expected = (size.characters + _AROUND) * self._tokens / self._characters
        return min(math.ceil(expected), size.most_tokens)

    def tokens_out(self, most: int | None) -> int:
        """Give how many tokens an answer is expected to be, nine times out of ten."""
        usual = self._usual_out
        if usual is None:
            return EXPECTED_OUT if most is None else most
        return usual if most is None else min(usual, most)
