"""Whether verdicts approve, whether that can still change, and how many it takes to tell.

The score is the share of approvals in all verdicts, each weighed by its reviewer's weight and by
its own confidence; who has failed has rejected with full confidence, or, where reviews fail open,
approved with a little weight.
Approval wants a score of at least the threshold, and one reviewer at least who has not failed.

Weights are counted in whole grains, so sums and shares are exact.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.teams import ReviewSpec
from hocket.workflows.ballot import grains, reaches


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer has found.

    Fields:
        approves: Whether it is for the artefact.
        weight: What it weighs at full confidence.
        confidence: From 0 to 1.
        reason: Why.
        issues: What is to be mended.
        failed: Whether the reviewer has failed, so that this is only what stands for a verdict.
    """

    approves: bool
    weight: float
    confidence: float = 1.0
    reason: str = ""
    issues: tuple[str, ...] = ()
    failed: bool = False


class Poll:
    """Some verdicts, and those that are still to come.

    Args:
        spec: How reviewers are counted.
        verdicts: What there is.
        open_: The weights of the reviewers who have not given a verdict.
    """

    __slots__ = ("_against", "_approving", "_for", "_heard", "_total", "spec")

    def __init__(
        self, spec: ReviewSpec, verdicts: Iterable[Verdict], open_: Iterable[float]
    ) -> None:
        self.spec = spec
        self._approving = self._total = 0
        self._heard = False
        for verdict in verdicts:
            weight = grains(verdict.weight * verdict.confidence)
            self._total += weight
            self._approving += weight if verdict.approves else 0
            self._heard = self._heard or not verdict.failed
        least = grains(spec.open_weight) if spec.fail_open else 0
        self._against = sorted([grains(weight) for weight in open_], reverse=True)
        """What each open one can weigh against the artefact, the heaviest first."""
        self._for = [max(weight, least) for weight in self._against]
        """What each can weigh for it, be it by failing."""

    @property
    def score(self) -> float:
        """The share of approvals so far; 0 without any weight, and if nobody was heard."""
        return self._approving / self._total if self._total and self._heard else 0.0

    def settled(self) -> bool | None:
        """Say whether it is approved or not, if nothing that is still to come can change that."""
        if not self._against:
            return self._heard and self._passes(0, 0)
        most, least = sum(self._for), sum(self._against)
        if not self._passes(most, most):
            return False
        return True if self._heard and self._passes(0, least) else None

    def needed(self) -> int:
        """Give the fewest verdicts that could settle it if all of them came out alike.

        0 if it is settled; the heaviest are taken first.
        It is never more than the fewest; it can be less where failing would weigh more than
        approving.
        """
        if self.settled() is not None:
            return 0
        rest_for, rest_against = sum(self._for), sum(self._against)
        gone_for = gone_against = 0
        for number, (for_, against) in enumerate(zip(self._for, self._against, strict=True), 1):
            gone_for, rest_for = gone_for + for_, rest_for - for_
            gone_against, rest_against = gone_against + against, rest_against - against
            approved = self._passes(gone_for, gone_for + rest_against)
            rejected = not self._passes(rest_for, gone_against + rest_for)
            if approved or rejected:
                return number
        raise EngineBug("a review is settled once all verdicts are in")

    def _passes(self, approving: int, total: int) -> bool:
        """Tell whether it would be approved with so much more weight."""
        approving, total = self._approving + approving, self._total + total
        return total > 0 and reaches(self.spec.threshold, approving, total)
