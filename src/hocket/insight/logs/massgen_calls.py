"""Reads what a server recorded of its calls, and finds where they lie in a run of MassGen.

A server counts its seconds from where it likes.
Whoever was asked had been given its context before, and what it gave was noted after it had ended:
so both clocks can only be so far apart, and that is worked out from all rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hocket.core.errors import LogError
from hocket.core.values import MS, SECOND, Json
from hocket.insight.logs.massgen_rounds import Round
from hocket.insight.logs.spans import MAX_SPANS
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import scaled, text, whole

_REFUSED: Final = ("429", "refused", "rate_limited")
_TOO_MANY: Final = 429
_BAD: Final = 400
_FAR: Final = 1 << 62

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


class Aligned(msgspec.Struct, kw_only=True):
    """Calls in the time of the log.

    Fields:
        calls: The calls by their beginnings.
        offset: What was added to the server's instants, in nanoseconds.
        within: How far off that may be at most.
        shared: Models that several agents used, so that their calls cannot be told apart.
        strange: How many calls are of no agent of the log.
    """

    calls: list[ServerCall]
    offset: int
    within: int
    shared: dict[str, list[str]] = {}
    strange: int = 0


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


def aligned(
    calls: Sequence[ServerCall], rounds: Sequence[Round], models: dict[str, str]
) -> Aligned:
    """Bring calls to the log's time, and say of which agent and round each is.

    Args:
        calls: The calls by their beginnings.
        rounds: The rounds of the log.
        models: The model of each agent.

    Raises:
        LogError: The calls are none of this run's.
    """
    users: dict[str, list[str]] = {}
    agents = dict.fromkeys([*models, *(each.agent for each in rounds)])
    for agent in agents:
        users.setdefault(models.get(agent, ""), []).append(agent)
    shared: dict[str, list[str]] = {}
    strange = 0
    for call in calls:
        mine = users.get(call.model, []) if call.model else []
        if call.agent:
            strange += call.agent not in agents
        elif len(mine) == 1:
            call.agent = mine[0]
        elif mine:
            shared[call.model] = mine
            call.agent = call.model
        else:
            strange += 1
            call.agent = call.model
    if strange == len(calls):
        known = ", ".join(model for model in models.values() if model) or "unknown"
        raise LogError(
            f"none of its calls is of an agent of the log (the models are {known})",
            hint="is this the record of that run?",
        )
    low, high = _first(calls, rounds)
    _place(calls, rounds, low if high == _FAR else high)
    low, high = _closer(calls, rounds, low, high)
    offset = low if high == _FAR else (low + high) // 2
    for call in calls:
        call.began += offset
        call.ended = None if call.ended is None else call.ended + offset
    within = 0 if high == _FAR else (abs(high - low) + 1) // 2
    return Aligned(calls=list(calls), offset=offset, within=within, shared=shared, strange=strange)


def _first(calls: Sequence[ServerCall], rounds: Sequence[Round]) -> tuple[int, int]:
    """Give the least and the most that the log's clock can be ahead, by first rounds and calls."""
    came: dict[str, int] = {}
    served: dict[str, int] = {}
    for call in calls:
        came.setdefault(call.agent, call.began)
        if not call.refused and call.ended is not None:
            served[call.agent] = min(call.ended, served.get(call.agent, call.ended))
    low, high = -_FAR, _FAR
    seen: dict[str, bool] = {}
    for each in rounds:
        if each.agent in seen or each.agent not in came:
            continue
        seen[each.agent] = True
        low = max(low, each.began - came[each.agent])
        if each.ended is not None and each.agent in served:
            high = min(high, each.ended - served[each.agent])
    if low == -_FAR:
        # Nothing but models that several agents share: the first call was the first round's.
        low = rounds[0].began - calls[0].began
    return low, high


def _place(calls: Sequence[ServerCall], rounds: Sequence[Round], offset: int) -> None:
    """Say of which round each call is: the last of its agent that had begun."""
    mine: dict[str, list[int]] = {}
    for index, each in enumerate(rounds):
        mine.setdefault(each.agent, []).append(index)
    reached: dict[str, int] = {}
    for call in calls:
        found = mine.get(call.agent)
        if not found:
            continue
        at = reached.get(call.agent, 0)
        while at + 1 < len(found) and rounds[found[at + 1]].began <= call.began + offset + MS:
            at += 1
        reached[call.agent] = at
        call.round = found[at]


def _closer(
    calls: Sequence[ServerCall], rounds: Sequence[Round], low: int, high: int
) -> tuple[int, int]:
    """Narrow down how far the clocks are apart, by all rounds."""
    seen: dict[int, bool] = {}
    for call in calls:
        if call.round is None:
            continue
        each = rounds[call.round]
        if call.round not in seen:
            seen[call.round] = True
            low = max(low, each.began - call.began)
        if each.ended is not None and call.ended is not None and not call.refused:
            high = min(high, each.ended - call.ended)
    return low, high
