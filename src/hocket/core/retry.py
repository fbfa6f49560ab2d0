"""Whether and when a failed call is done again; decided here and nowhere else."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import Fault, FaultKind
from hocket.core.specs import AgentSpec, Retry, RunSpec
from hocket.core.values import HOUR, SECOND, Call, unit_fraction

MAX_REFUSALS: Final = 50
"""How often a peer may say "not now" before that counts as its last word."""
MAX_LIMITED_REFUSALS: Final = 1_000
"""The same where a limit waits for the peer: one that many calls share may be refused often."""
LONGEST_RETRY_AFTER: Final = HOUR
"""A peer that asks for a longer wait is taken to mean this."""
_IN_VAIN: Final[frozenset[FaultKind]] = frozenset({"permanent", "over_budget"})
"""Faults that stay however often the call is repeated, whatever a policy names."""


class Again(msgspec.Struct, frozen=True):
    """Try again after a back-off of `delay` nanoseconds; `counts` tells if this cost a try."""

    delay: int
    counts: bool


Decision: TypeAlias = Again | Literal["give_up"]


def decide(
    retry: Retry,
    fault: Fault,
    tries: int,
    refusals: int,
    seed: int,
    call: Call,
    *,
    limited: bool = False,
) -> Decision:
    """Decide after a failed call.

    Args:
        retry: The policy.
        fault: Why the call failed.
        tries: The tries that this agent has used, this one included unless it was refused.
        refusals: How often it was refused in a row, this time included.
        seed: The run's seed; with the call's name it fixes the jitter.
        call: The call that failed.
        limited: Whether the agent's limit does the waiting after a refusal: it closes for all, and
            the next call stands in its queue until it opens.
    """
    if fault.kind in _IN_VAIN or fault.kind not in retry.on:
        return "give_up"
    if limited and fault.kind == "rate_limited":
        return "give_up" if refusals > MAX_LIMITED_REFUSALS else Again(0, counts=False)
    least = min(fault.retry_after or 0, LONGEST_RETRY_AFTER)
    if fault.kind == "rate_limited":
        if refusals > MAX_REFUSALS:
            return "give_up"
        # Never before the peer's word, and spread out behind it so that callers don't herd.
        spread = unit_fraction(seed, call.path, call.attempt) * max(SECOND, least // 10)
        return Again(max(least, _backoff(retry, refusals)) + round(spread), counts=False)
    if tries >= retry.tries:
        return "give_up"
    delay = _backoff(retry, tries)
    share = retry.jitter * unit_fraction(seed, call.path, call.attempt)
    return Again(max(round(delay * (1 - share)), least), counts=True)


def _backoff(retry: Retry, nth: int) -> int:
    grown = retry.first * retry.factor ** min(nth - 1, 64)
    return int(min(grown, retry.longest))


def patient(spec: RunSpec) -> dict[str, AgentSpec]:
    """Give the agents with those of their limits alone that do the waiting after a refusal."""
    if not spec.limits:
        return spec.agents
    closing = {
        name: limit.adaptive and limit.on_exceed == "wait" for name, limit in spec.limits.items()
    }
    return {
        name: msgspec.structs.replace(
            agent, limits=tuple(n for n in (*agent.limits, *spec.claims) if closing.get(n))
        )
        for name, agent in spec.agents.items()
    }
