"""What somebody assumes of agents: how long they take, what they write, how they vote and fail.

It stands for agents of which there is no record, and goes before a record where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from hocket.core.errors import Fault, FaultKind
from hocket.simulator.agents import Latency
from hocket.simulator.teams import Leaning


class Quantiles(msgspec.Struct, frozen=True):
    """How long calls take: drawn evenly from between values, or from one alone.

    Fields:
        values: Durations in nanoseconds, which lie at even shares from the shortest to the longest:
            of three the second one is the median.
    """

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what is no distribution.

        Raises:
            ValueError: There is no value, or they don't rise.
        """
        if not self.values or list(self.values) != sorted(self.values) or self.values[0] < 0:
            raise ValueError("give at least one duration, the shortest first")

    def at(self, share: float) -> int:
        """Give the duration below which that share of the calls stays."""
        place = min(max(share, 0.0), 1.0) * (len(self.values) - 1)
        below = min(int(place), len(self.values) - 1)
        above = min(below + 1, len(self.values) - 1)
        low, high = self.values[below], self.values[above]
        return low + round((high - low) * (place - below))


Lasting: TypeAlias = Latency | Quantiles
"""How long calls take."""


class Assumed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is assumed of one agent.

    What is None is taken from the record; without a record it is what each field says.

    Fields:
        latency: How long its calls take; without a record `LATENCY`.
        latencies: The same for one kind of call alone: ``answer``, ``vote``, ``present``,
            ``synthesize``, ``author``, ``fixer``, ``judge``, ``assess``, ``correct``; a call within
            a conversation is of the kind of the conversation.
            It goes before `latency`.
        first: After how many nanoseconds it begins to answer; without a record when it ends.
        tokens_out: How many tokens an answer has; without a record 200.
        price: Pico-dollars for a token read and for one written; without a record there is none.
        failing: The share of its calls that fail; without a record none.
        fault: How they fail.
        refusing: The share of its calls that the provider refuses; without a record none.
        retry_after: How long a refusal says to wait, in nanoseconds.
        hanging: The share of its calls that never end by themselves; without a record none.
        votes: For whom it votes; without a record `unanimous`, as everybody else.
        revises: The share of its turns in which it revises its answer instead of voting, where it
            may; without a record none.
        accuracy: The share of its verdicts that are right; without a record all.
        faulty: The share of its first artefacts that are not sound; without a record none.
        turns: How many turns it takes where it has tools: in all but the last it calls the first
            of them; without a record one.
    """

    latency: Lasting | None = None
    latencies: Mapping[str, Lasting] = {}
    first: int | None = None
    tokens_out: int | None = None
    price: tuple[int, int] | None = None
    failing: float | None = None
    fault: FaultKind = "unavailable"
    refusing: float | None = None
    retry_after: int | None = None
    hanging: float | None = None
    votes: Leaning | None = None
    revises: float | None = None
    accuracy: float | None = None
    faulty: float | None = None
    turns: int | None = None


LATENCY: Final = Latency(5_000_000_000, 0.3)
"""How long a call takes of which nobody says anything."""

TOKENS: Final = 200
"""How many tokens an answer has of which nobody says anything."""

EVERYBODY: Final = ""
"""The name under which `assumptions` say what holds for every agent that has none of its own."""


def fault_of(assumed: Assumed) -> Fault:
    """Say how its calls fail."""
    return Fault(kind=assumed.fault, message="a simulated failure")
