"""What came out of many simulated runs, of a baseline and of variants of it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

BESIDES: Final = "+ "
"""Begins the name of a variant that has other settings besides, which all such variants have."""

LITTLE: Final = 0.05
"""By how much of all runs a variant may succeed less often and still be as good."""


class Spread(msgspec.Struct, frozen=True):
    """How a number is spread over runs.

    Fields:
        median: Half of the runs have less.
        low: One in forty has less: with `high`, 95 % of the runs.
        high: One in forty has more.
    """

    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came out of the runs of one variant.

    Fields:
        name: What the variant is called: its settings, or ``baseline``.
        settings: What it has otherwise, ``KEY=VALUE`` each.
        runs: How many runs there were.
        figures: Which runs the figures are of: those that ``succeeded``; where none did, all, of
            which most ``failed``, or ``stand still`` and never end.
        seconds: How long they took; where they stand still, until they did.
        calls: How many calls left.
        usd: What they cost in dollars; None if no call has a price.
        unpriced: Whether some calls that read tokens have no price, so that `usd` is a part.
        tokens: Tokens read and written.
        refused: How many calls were refused.
        wasted: How many calls gave something stale or discarded.
        success: The share of the runs that succeeded.
        faster: By how many seconds a run took less than the baseline's run with the same chance:
            the differences of pairs in which both succeeded; None for the baseline, and where
            there is no such pair.
        cheaper: The same in dollars.
        pairs: How many such pairs there are.
        certain: The 95 % interval of the median of `faster`, by order statistics; None for the
            baseline.
        binds: What the finish waited for longest, by the runs' accounts: a limit, a slot, a model.
        against: With which row it is compared, where that is not the baseline: the one with the
            same faults and nothing else.
        why: Why it could not be simulated; "" if it could.
        frontier: Whether no other variant is both quicker and cheaper, of those that succeed
            nearly as often as the baseline.
    """

    name: str
    settings: tuple[str, ...] = ()
    runs: int = 0
    figures: Literal["succeeded", "failed", "stand still"] = "succeeded"
    seconds: Spread = Spread(0.0, 0.0, 0.0)
    calls: Spread = Spread(0.0, 0.0, 0.0)
    usd: Spread | None = None
    unpriced: bool = False
    tokens: Spread = Spread(0.0, 0.0, 0.0)
    refused: Spread = Spread(0.0, 0.0, 0.0)
    wasted: Spread = Spread(0.0, 0.0, 0.0)
    success: float = 0.0
    faster: Spread | None = None
    cheaper: Spread | None = None
    pairs: int = 0
    certain: tuple[float, float] | None = None
    binds: str = ""
    against: str = ""
    why: str = ""
    frontier: bool = False


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """How well simulated runs of the baseline match the run that they were made of.

    Fields:
        run: The recorded run.
        seconds: How long it took, without what a pause or the absence of any process took of it.
        simulated: How long the simulated ones took that ended as it did.
        calls: How many calls it made.
        simulated_calls: How many the simulated ones made.
        verdict: ``good``: figures may be given. ``rough``: they are given without decimals and
            with a warning. ``bad``: only directions are given.
        reasons: Why it is not good, a sentence each: what the record cannot tell, where it differs.
    """

    run: str
    seconds: float
    simulated: Spread
    calls: int
    simulated_calls: Spread
    verdict: Literal["good", "rough", "bad"]
    reasons: tuple[str, ...] = ()


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline beside its variants, by common random numbers.

    Fields:
        name: What was simulated: a run's id or a file.
        plan: The plan's name.
        seed: Where chance came from.
        baseline: The baseline.
        variants: The others, in the order in which they were asked for.
        match: How well the baseline matches the recorded run; None where there is none.
        assumed: What was assumed because nothing says it, a sentence each.
    """

    name: str
    plan: str
    seed: int
    baseline: Row
    variants: tuple[Row, ...] = ()
    match: Match | None = None
    assumed: tuple[str, ...] = ()


class Gain(msgspec.Struct, frozen=True):
    """What a change that a finding proposes does to a run, by simulation.

    Fields:
        finding: The place of the finding in its explanation, from 0.
        row: What came out of the simulated runs; its differences are to the simulated baseline.
        verdict: How well the simulated baseline matches the run.
        baseline: What came out of the runs without the change; None if there were none.
        unknown: Why simulations say nothing of what the change gains; "" if they do.
    """

    finding: int
    row: Row
    verdict: Literal["good", "rough", "bad"]
    baseline: Row | None = None
    unknown: str = ""
