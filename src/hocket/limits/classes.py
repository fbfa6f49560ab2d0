"""A waiting call, and the class in which it waits: those of a run that claim the same."""

from __future__ import annotations

import msgspec

from hocket.core.events import Wait
from hocket.core.values import Call
from hocket.limits.claim import Claim


class Waiting(msgspec.Struct, frozen=True, order=True, gc=False):
    """A call that waits; the lower of two goes first.

    Fields:
        behind: Its rank, negated.
        number: Counts the calls in the order in which they came; it is never the same twice.
        kind: The place of its class among those of its run.
        since: Since when it waits.
        call: Its name.
        claim: What it takes.
        lasts: How long it is expected to last, if that is known.
        before: What it has waited for before it was put back.
    """

    behind: int
    number: int
    kind: int
    since: int
    call: Call
    claim: Claim
    lasts: int | None
    before: tuple[Wait, ...]


def steps_up(number: int) -> int:
    """Round up to 1, 2 or 5 times a power of ten."""
    if number <= 2:
        return number
    power: int = 10 ** (len(str(number - 1)) - 1)
    for step in (1, 2, 5):
        if number <= step * power:
            return step * power
    return 10 * power


def kind_of(claim: Claim) -> tuple[object, ...]:
    """Name the class of a claim within its run."""
    if not (claim.tokens_in or claim.tokens_out or claim.most_tokens or claim.most_cost):
        return claim.units
    return (
        claim.units,
        steps_up(claim.tokens_in),
        steps_up(claim.tokens_out),
        steps_up(claim.most_tokens),
        steps_up(claim.most_cost),
    )
