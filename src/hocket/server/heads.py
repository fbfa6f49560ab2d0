"""A run's head as the API gives it: what its events say, and what is known of it besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a whole; instants are milliseconds since the epoch.

    A page that counts how long the run takes counts from `began` to `rested`, or, while that is
    null, to now: so do ``hocket show`` and explanations.

    Fields:
        id: The run's id.
        name: The plan's name.
        status: ``running``, ``pausing``, ``paused``, ``ending``, ``succeeded``, ``failed`` or
            ``cancelled``.
        reason: Why it has ended, or is paused; "" if there is none.
        created: When it was started.
        began: The same: everything counts from then on.
        ended: When it ended; null before.
        rested: When it came to rest: it has ended, is paused, or the process that drove it is gone;
            null while it goes on.
        at: When its last event happened.
        seq: Its last event.
        inputs: The plan's inputs, long ones cut.
        source: The file that it is of.
        program: What drove it first.
        forked: The run and the event that it goes on from; null for others.
        steps: How many steps there are of each status.
        total: How many steps there are.
        calls: How many calls have started and how they ended.
        flying: How many calls are in flight by what is recorded.
        interrupted: How many of these went down with the process that drove the run: whoever
            takes the run up finds them lost; 0 while a process drives it.
        tokens: Tokens read, written, and read from a provider's cache.
        usd: Dollars spent, as far as priced.
        unpriced: Calls of unknown price.
        max_parallel: The most calls at once.
        eta: When it will end by the last forecast; null while nothing but people is waited for.
            It may have passed.
        asked: What people are asked, the first of all questions, cut.
        output_bytes: How long the output is; null before the end.
        kinds: What kinds of teams it has.
        agents: The first agents by name, each with its kind and its model.
        agents_more: How many more there are.
        owner: Who drives it, as ``host:pid``, or "".
        alive: Whether that process lives, as far as this machine can tell.
        here: Whether this server drives it.
        waits: What its calls wait for, if this server drives it.
    """

    id: str
    name: str
    status: str
    reason: str
    created: float
    began: float
    ended: float | None
    rested: float | None
    at: float
    seq: int
    inputs: dict[str, Any]
    source: str
    program: str
    forked: dict[str, Any] | None
    steps: dict[str, int]
    total: int
    calls: dict[str, int]
    flying: int
    interrupted: int
    tokens: dict[str, int]
    usd: float
    unpriced: int
    max_parallel: int
    eta: dict[str, float] | None
    asked: list[dict[str, Any]]
    output_bytes: int | None
    kinds: list[str]
    agents: dict[str, dict[str, str]]
    agents_more: int
    owner: str
    alive: bool
    here: bool
    waits: list[dict[str, Any]]


def joined(head: Mapping[str, Any], aside: Mapping[str, Any]) -> dict[str, Any]:
    """Join what a run's events say with what is known besides.

    Args:
        head: A board's head, whole or what can have changed.
        aside: Who drives the run, and whether that process lives; empty while nobody knows.
    """
    gone = bool(aside) and not (aside["alive"] or aside["here"]) and head["ended"] is None
    rest = {"rested": head["at"]} if gone else {}
    return {**head, **aside, **rest, "interrupted": head["flying"] if gone else 0}
