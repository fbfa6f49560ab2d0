"""Events as they are sent: without what is large, and with instants that a browser can hold."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.core.events import AnyEvent, LimitChanged, Recorded
from hocket.core.values import Json
from hocket.limits.words import limit_label
from hocket.report.board_rows import cut, ms

_MOST: Final = 200
_MOST_FIELD: Final = 2_000
_CUT: Final = frozenset({"output", "value", "shown", "prompt"})
_INSTANTS: Final = frozenset({"until", "finish", "low", "high", "expires"})
_LEFT_OUT: Final = frozenset({"at", "spec"})


def slim(recorded: Recorded) -> dict[str, Json]:
    """Give an event with its number: the spec left out, outputs cut, instants in milliseconds.

    What happened to a limit has its label, too.
    """
    event = recorded.event
    found: dict[str, Json] = {
        "seq": recorded.seq,
        "type": tag_of(event),
        "at": ms(event.at),
    }
    for field in msgspec.structs.fields(event):
        name = field.name
        value = getattr(event, name)
        if name in _LEFT_OUT or value == field.default:
            continue
        if name in _INSTANTS:
            value = ms(value)
        elif name == "waits":
            value = [[wait.cause, ms(wait.since), ms(wait.until)] for wait in value]
        elif name in _CUT:
            value = short(value, _MOST)
        else:
            value = short(msgspec.to_builtins(value), _MOST_FIELD)
        found[name] = value
    if isinstance(event, LimitChanged):
        found["label"] = limit_label(event.limit)
    return found


def tag_of(event: AnyEvent) -> str:
    """Give the kind of an event, as the journal has it."""
    return str(event.__struct_config__.tag)


def short(value: Any, most: int) -> Json:
    """Give a value if it is small, else the beginning of its text, with how much is missing."""
    if isinstance(value, str):
        return cut(value, most)
    data = msgspec.json.encode(value)
    return value if len(data) <= most else cut(data.decode("utf-8", "replace"), most)
