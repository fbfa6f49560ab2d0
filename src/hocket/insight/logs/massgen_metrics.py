"""Reads what MassGen counted: tokens of rounds and in all, calls, restarts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from hocket.core.errors import LogError
from hocket.core.events import Usage
from hocket.core.values import SECOND, Json
from hocket.insight.logs.massgen_rounds import Round
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import scaled, text, whole

_NEAR: Final = SECOND
"""How far the ends of a round in two files may lie apart."""

_MOST: Final = 64
"""Rounds that are looked at for one that fits."""

_OUTCOMES: Final = {"answer": "answer", "vote": "vote", "presentation": "final"}


class Counted(msgspec.Struct, kw_only=True):
    """What MassGen counted; None is what it does not say.

    Fields:
        calls: Calls of models, as it counts them.
        tokens_in: Tokens read in all.
        rounds: Rounds that it lists.
        restarts: How often agents began anew, all together, by ``status.json``.
        winner: Whose answer was taken, or "".
        unread: What of its files could not be read.
    """

    calls: int | None = None
    tokens_in: int | None = None
    rounds: int | None = None
    restarts: int | None = None
    winner: str = ""
    unread: list[str] = []


def counted(
    rounds: Sequence[Round],
    metrics: Iterable[bytes] | None,
    summary: Iterable[bytes] | None,
    status: Iterable[bytes] | None,
) -> Counted:
    """Read what was counted, and give the rounds the tokens that are known to be theirs.

    Args:
        rounds: The rounds; their `usage` is filled in.
        metrics: ``metrics_events.json``.
        summary: ``metrics_summary.json``.
        status: ``status.json``.
    """
    found = Counted()
    _aside(found, "metrics_events.json", metrics, lambda s: _rounds(s, rounds, found))
    _aside(found, "metrics_summary.json", summary, lambda s: _summary(s, found))
    _aside(found, "status.json", status, lambda s: _status(s, found))
    return found


def _aside(
    found: Counted, name: str, chunks: Iterable[bytes] | None, read: Callable[[Source], None]
) -> None:
    """Read a file without which the rest stands too."""
    if chunks is None:
        return
    try:
        source = Source(chunks)
        if source.peek() != "{":
            source.fail("it is no object")
        read(source)
    except LogError as error:
        found.unread.append(f"{error.within(name)}.")


def _rounds(source: Source, rounds: Sequence[Round], found: Counted) -> None:
    by: dict[tuple[str, str], list[Round]] = {}
    for each in rounds:
        by.setdefault((each.agent, each.outcome), []).append(each)
    found.rounds = 0
    for key in source.members():
        if key != "round_completions" or source.peek() != "[":
            source.value()
            continue
        for _ in source.elements():
            done = source.value()
            if not isinstance(done, dict):
                continue
            found.rounds += 1
            outcome = _OUTCOMES.get(text(done.get("outcome")), "")
            _give(by.get((text(done.get("agent_id")), outcome), ()), done)


def _give(rounds: Sequence[Round], done: dict[str, Json]) -> None:
    """Give the round that ended when this one is said to have ended what it spent."""
    end = scaled(done.get("end_time"), SECOND)
    if end is None:
        return
    # Rounds of one agent end in the order in which they began.
    first = bisect_left(rounds, end - _NEAR, key=lambda each: each.ended or 0)
    last = bisect_left(rounds, end + _NEAR, key=lambda each: each.ended or 0)
    near = [
        (abs((rounds[i].ended or 0) - end), i)
        for i in range(first, min(last, first + _MOST))
        if rounds[i].usage is None
    ]
    if near:
        rounds[min(near)[1]].usage = Usage(
            tokens_in=whole(done.get("input_tokens")),
            tokens_out=whole(done.get("output_tokens")),
            tokens_cached=whole(done.get("cached_input_tokens")),
        )


def _summary(source: Source, found: Counted) -> None:
    for key in source.members():
        value = source.value()
        if not isinstance(value, dict):
            continue
        if key == "totals":
            found.tokens_in = whole(value.get("input_tokens"))
        elif key == "api_timing":
            found.calls = whole(value.get("total_calls"))
        elif key == "meta":
            found.winner = text(value.get("winner"))


def _status(source: Source, found: Counted) -> None:
    for key in source.members():
        value = source.value()
        if key == "costs" and isinstance(value, dict):
            read = whole(value.get("total_input_tokens"))
            found.tokens_in = read if found.tokens_in is None else found.tokens_in
        elif key == "results" and isinstance(value, dict):
            found.winner = found.winner or text(value.get("winner"))
        elif key == "agents" and isinstance(value, dict):
            times = [whole(a.get("times_restarted")) for a in value.values() if isinstance(a, dict)]
            found.restarts = sum(n for n in times if n is not None)
