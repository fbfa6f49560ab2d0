"""Reads what a server recorded of its calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from hocket.core.errors import LogError
from hocket.core.values import SECOND, Json
from hocket.insight.logs.spans import MAX_SPANS
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import scaled, text, whole

_REFUSED: Final = ("429", "refused", "rate_limited")
_TOO_MANY: Final = 429
_BAD: Final = 400

FIELDS: Final = (
    "each line is an object with model (or agent), t (seconds), kind (new_answer, vote, 429, …), "
    "end or lat (seconds) for what was served, retry_after for what was refused"
)


class ServerCall(msgspec.Struct, kw_only=True):
    """A call as the server saw it.

    Fields:
        record: Which line it is, from 1.
        agent: Whose it is, or "" if that is not known.
        model: Which model was asked.
        began: When it came; by the server's clock, until it is brought to the log's.
        ended: When it was answered; None if that is not known.
        kind: What it gave, in the record's word.
        refused: Whether it was refused.
        fault: What went wrong otherwise, or "".
        retry_after: How long the server asked to wait.
        sees: How many answers were given to whoever was asked; None if it is not said.
        round: The index of the round that it is of, or None.
    """

    record: int
    agent: str
    model: str
    began: int
    ended: int | None
    kind: str
    refused: bool = False
    fault: str = ""
    retry_after: int | None = None
    sees: int | None = None
    round: int | None = None


def calls_of(chunks: Iterable[bytes]) -> list[ServerCall]:
    """Read a record of calls.

    Raises:
        LogError: It is broken, or its fields are others.
    """
    source = Source(chunks)
    found: list[ServerCall] = []
    while source.peek():
        line, column = source.place()
        if source.peek() != "{":
            source.fail("a record of calls is lines of JSON objects", hint=FIELDS)
        if len(found) >= MAX_SPANS:
            raise LogError(f"more than {MAX_SPANS:,} calls", hint="give those of one run only")
        fields = source.value()
        call = _call(fields, len(found) + 1)
        if isinstance(call, str):
            raise LogError(call, hint=FIELDS, line=line, column=column)
        found.append(call)
    if not found:
        raise LogError("there is no call in it", hint=FIELDS)
    return sorted(found, key=lambda call: (call.began, call.record))


def _call(fields: dict[str, Json], record: int) -> ServerCall | str:
    """Read a call, or say what is wrong with it."""
    model, agent = text(fields.get("model")), text(fields.get("agent"))
    began = scaled(fields.get("t"), SECOND)
    status = fields.get("status")
    kind = text(fields.get("kind"))
    refused = kind in _REFUSED or status in (_TOO_MANY, str(_TOO_MANY))
    if not model and not agent:
        return "a call without model and agent"
    if began is None:
        return "a call without t, the seconds at which it came"
    if not kind and status is None:
        return "a call without kind and status"
    took = scaled(fields.get("lat"), SECOND)
    ended = scaled(fields.get("end"), SECOND)
    if ended is None and took is not None:
        ended = began + took
    if ended is not None and ended < began:
        return "a call that ended before it came"
    fault = "" if refused else _fault(status)
    if ended is None and not refused and not fault:
        return "a call that was served, without end and lat"
    return ServerCall(
        record=record,
        agent=agent,
        model=model,
        began=began,
        ended=began if refused else ended,
        kind=kind,
        refused=refused,
        fault=fault,
        retry_after=scaled(fields.get("retry_after"), SECOND) if refused else None,
        sees=whole(fields.get("nvis")),
    )


def _fault(status: Json) -> str:
    code = whole(status)
    if code is not None:
        return str(code) if code >= _BAD else ""
    said = text(status).lower()
    return "" if said in {"", "done", "ok", "success"} else said
