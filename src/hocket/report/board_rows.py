"""The rows of a run's page: one for each step, one for each call, small enough to be sent often."""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.core.machine import StepView
from hocket.core.values import MS

MOST_DETAIL: Final = 400
"""The most characters of a fault's message, or of what a step waits for, in a row."""


def ms(instant: int) -> float:
    """Write nanoseconds as milliseconds, to the microsecond."""
    return round(instant / MS, 3)


def cut(text: str, most: int) -> str:
    """Cut a text at a length, and say so."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}… ({left:,} more characters)"


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step.

    Fields:
        id: Its path.
        k: What kind of step it is.
        st: How far it is.
        ag: Who does it, for a call.
        t0: When its first call was asked for, or its question asked.
        t1: When it came to its end.
        n: How many calls it has made, also within it.
        w: How long these have waited, in milliseconds.
        usd: What they cost in dollars, as far as priced.
        up: How many of them nobody knows the price of.
        d: Why it failed or was skipped, or what it waits for.
        done: How many of its items are done.
        of: How many items there are.
    """

    id: str
    k: str
    st: str
    ag: str = ""
    t0: float | None = None
    t1: float | None = None
    n: int = 0
    w: float = 0.0
    usd: float = 0.0
    up: int = 0
    d: str = ""
    done: int = 0
    of: int | None = None


class CallRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A call. With `q` alone it waits; with `t0` and no `t1` it is in flight.

    Fields:
        c: Its name, ``path#attempt``.
        ag: Who does it.
        m: With which model.
        q: Since when it waits, in all.
        t0: When it left.
        t1: When it came to its end.
        how: ``finished``, ``failed``, ``cancelled`` or ``lost``.
        why: How it failed, or why it was stopped.
        w: What it waited for: cause, with a limit's label, since, until.
        tk: Tokens read and written, as far as known.
        usd: What it cost in dollars; None for a price that nobody knows.
        kept: Whether its answer was kept from an earlier call.
        h: Whether it is a second call beside one that was late.
    """

    c: str
    ag: str = ""
    m: str = ""
    q: float | None = None
    t0: float | None = None
    t1: float | None = None
    how: str = ""
    why: str = ""
    w: list[tuple[str, float, float]] = []
    tk: tuple[int, int] | None = None
    usd: float | None = None
    kept: bool = False
    h: bool = False


class Sums(msgspec.Struct, gc=False):
    """What the calls of one step add up to; instants and durations in nanoseconds.

    Fields:
        began: When the first of them was asked for.
        last: When one last ended, or a person last answered.
        calls: How many have left.
        waited: How long they had waited.
        cost: Pico-dollars, as far as priced.
        unpriced: How many have tokens and no price.
    """

    began: int | None = None
    last: int | None = None
    calls: int = 0
    waited: int = 0
    cost: int = 0
    unpriced: int = 0


_DONE: Final = frozenset({"succeeded", "failed", "skipped", "stopped"})


def row_of(view: StepView, sums: Sums | None) -> Row:
    """Write a step's row."""
    row = Row(
        id=view.path,
        k=view.kind,
        st=view.status,
        ag=view.agent,
        d=cut(view.detail, MOST_DETAIL) if view.detail else "",
        done=view.done,
        of=view.total,
    )
    if sums is not None:
        row.n, row.up = sums.calls, sums.unpriced
        if sums.cost:
            row.usd = sums.cost / 1e12
        if sums.waited:
            row.w = ms(sums.waited)
        row.t0 = None if sums.began is None else ms(sums.began)
        if sums.last is not None and view.status in _DONE:
            row.t1 = ms(sums.last)
    return row
