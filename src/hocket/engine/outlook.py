"""What is expected of the calls of a run, by what earlier ones took and what the plan declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.values import step_of
from hocket.forecast.durations import Durations
from hocket.forecast.paths import rank_of, ranks
from hocket.forecast.world import node_at
from hocket.workflows.plan import PlanMachine

ENOUGH: Final = 5
"""From so many samples on a quantile means something."""
_SURE: Final = 0.95


class Prospect:
    """The outlook of a run: its order is by longest remaining path until a better one is adopted.

    Args:
        machine: The run's machine.
        durations: What is known of how long calls take.

    Attributes:
        ranks: The rank of each step by its path, higher ones first.
        blind: Whether nothing at all is known of how long calls take.
    """

    def __init__(self, machine: RunMachine, durations: Durations) -> None:
        self.durations: Final = durations
        workflow = machine.workflow
        self._shape = workflow.shape if isinstance(workflow, PlanMachine) else None
        self.ranks: Mapping[str, int] = {}
        self.blind = durations.empty and (self._shape is None or not _declares(self._shape.spec))
        if self._shape is not None:
            self.ranks = ranks(self._shape, self._expected)

    def adopt(self, order: Mapping[str, int]) -> None:
        """Let calls go by another order from now on."""
        self.ranks = order

    def rank(self, path: str) -> int:
        """Give how early the call should go, beside others of its run: higher ones first."""
        return rank_of(self.ranks, path)

    def lasts(self, path: str, agent: str) -> int | None:
        """Give how long it will take, in nanoseconds; None if nobody knows."""
        return self._quantile(path, agent, _SURE, 1)

    def quantile(self, path: str, agent: str, share: float) -> int | None:
        """Give how long all but the slowest take; None if too few are known."""
        return self._quantile(path, agent, share, ENOUGH)

    def _quantile(self, path: str, agent: str, share: float, least: int) -> int | None:
        if self._shape is None or self.blind:
            return None
        node = node_at(self._shape, path)[1]
        where = (self._shape.spec.name, step_of(path), node.spec, agent)
        if len(self.durations.samples(*where)) < least:
            return None
        return self.durations.quantile(*where, share)

    def _expected(self, path: str, step: StepSpec, agent: str) -> int:
        assert self._shape is not None
        return self.durations.expected(self._shape.spec.name, path, step, agent)


def _declares(plan: PlanSpec) -> bool:
    """Tell whether a plan says of any call how long it takes."""
    return any(
        step.takes is not None or (step.plan is not None and _declares(step.plan))
        for step in plan.steps
    )
