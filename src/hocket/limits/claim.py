"""What a call takes of its limits, what it has spent, and why it cannot start yet."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from hocket.core.events import LimitNews
from hocket.core.values import Call

Key: TypeAlias = str
"""Names a call over all runs of a state folder and their owners: ``run~epoch/path#attempt``."""

EndingKind: TypeAlias = Literal["done", "refused", "down", "other"]


def room_of(run: str, epoch: int) -> str:
    """Name a run as one of its owners has it.

    What one owner has reserved and not begun its heir may do under the same attempt's number.
    """
    return f"{run}~{epoch}"


def run_of(key: Key) -> str:
    """Give the run that a key is of."""
    return key.partition("/")[0].rpartition("~")[0]


def key_of(run: str, call: Call) -> Key:
    """Name a call over all runs."""
    return f"{run}/{call.path}#{call.attempt}"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What a call takes of its limits.

    Fields:
        units: The limits and how many units of each, sorted by name. A request window and spacing
            count one start whatever the units; a concurrency limit counts the units.
        tokens_in: How many tokens it is expected to read.
        tokens_out: How many tokens it is expected to write.
        most_tokens: The most tokens that it may read and write, or 0 if nothing bounds them.
        most_cost: The most pico-dollars that it may cost, or 0 if it is free or nobody knows.
    """

    units: tuple[tuple[str, int], ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    most_tokens: int = 0
    most_cost: int = 0


class Spent(msgspec.Struct, frozen=True, gc=False):
    """What a call has spent; None for what is unknown, which counts as what was reserved."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None


class Block(msgspec.Struct, frozen=True, gc=False):
    """Why a claim does not fit now.

    Fields:
        cause: As in `hocket.core.events.Wait`: ``rate:NAME``, ``slot:NAME`` and so on.
        until: The instant from which it will fit if nothing else happens; None if only the end of
            a call in flight can help.
        hopeless: Whether even the end of all calls in flight would not make it fit: a budget is
            used up, or the claim is larger than the whole limit.
    """

    cause: str
    until: int | None = None
    hopeless: bool = False


class Quota(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a provider's headers say of one of its windows.

    Fields:
        kind: ``requests``, ``tokens``, ``tokens_in`` or ``tokens_out``.
        limit: How much it allows in a window, if it says so.
        remaining: How much is left, if it says so.
        reset: In how many nanoseconds the window is empty again, if it says so.
    """

    kind: str
    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one call holds of one limit, as processes of a state folder tell each other.

    Fields:
        limit: The limit's name.
        key: The call.
        units: How many units it holds, or held.
        claim: What was reserved; once it is over, what was spent. Its `units` are empty.
        sent: When it was sent, or None if it has not been, as far as anybody knows.
        over: Whether it has ended: its units are free, its tokens and its cost are final.
        clear: From when the server has counted it for certain, if its answer has shown that.
    """

    limit: str
    key: Key
    units: int
    claim: Claim
    sent: int | None = None
    over: bool = False
    clear: int | None = None


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a call ended, as far as its limits are concerned.

    Fields:
        kind: ``done`` for an answer; ``refused`` for a 429; ``down`` for an endpoint that did not
            answer or answered 5xx, time-outs included; ``other`` for what says nothing about the
            endpoint: a cancelled call, an answer that did not fit, a lost call.
        spent: What it spent; None if nobody knows, and then it counts as all that was reserved.
        retry_after: How long the refusing peer asked us to wait, in nanoseconds.
        round_trip: How long the peer took to begin its answer, in nanoseconds, if it is known.
    """

    kind: EndingKind
    spent: Spent | None = None
    retry_after: int | None = None
    round_trip: int | None = None


class News(msgspec.Struct, frozen=True, gc=False):
    """What has become of a limit, for `hocket.core.events.LimitChanged`."""

    limit: str
    what: LimitNews
    message: str
    until: int | None = None
