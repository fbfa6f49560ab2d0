"""How long calls are expected to take: by what is declared, or by what earlier calls took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from hocket.core.specs import StepSpec
from hocket.core.values import SECOND, unit_fraction

UNKNOWN: Final = 10 * SECOND
"""How long a call is taken to last where nothing is known of any: orders depend on proportions."""

Key: TypeAlias = tuple[str, str, str]
"""A plan's name, a step's path in it and an agent's name."""


class Durations:
    """What is known of how long calls take.

    Args:
        past: How long earlier calls took in nanoseconds, by plan, step and agent.
    """

    def __init__(self, past: Mapping[Key, Sequence[int]] | None = None) -> None:
        given = past or {}
        self._past = {key: sorted(samples) for key, samples in given.items() if samples}
        agents: dict[str, list[int]] = {}
        for (_, _, agent), samples in self._past.items():
            agents.setdefault(agent, []).extend(samples)
        self._of_agent = {agent: sorted(samples) for agent, samples in agents.items()}
        everybody = sorted([value for samples in agents.values() for value in samples])
        self._typical = round(quantile(everybody, 0.5)) if everybody else None

    @property
    def empty(self) -> bool:
        """Whether nothing is known of earlier calls."""
        return not self._past

    def samples(self, plan: str, path: str, step: StepSpec, agent: str) -> Sequence[int]:
        """Give what is known of a step's calls, in ascending order; nothing if nothing is known.

        What is declared comes first, then earlier calls of the step, then the agent's others.
        """
        if step.takes is not None:
            return (step.takes,)
        own = self._past.get((plan, path, agent))
        return own if own is not None else self._of_agent.get(agent, ())

    def expected(self, plan: str, path: str, step: StepSpec, agent: str) -> int:
        """Give how long a call is expected to take: half of them took less.

        Where nothing is known it is what calls took in general, or as long as any other.
        """
        return self.quantile(plan, path, step, agent, 0.5)

    def quantile(self, plan: str, path: str, step: StepSpec, agent: str, share: float) -> int:
        """Give a duration below which that share of the calls stays."""
        known = self.samples(plan, path, step, agent)
        if known:
            length = round(quantile(known, share))
        else:
            length = UNKNOWN if self._typical is None else self._typical
        return min(length, step.timeout)


class Drawn(msgspec.Struct, frozen=True):
    """One of several ways in which calls may turn out.

    The same seed, number and path give the same draw, whatever else differs: forecasts under
    different limits are compared by common random numbers.

    Fields:
        durations: What is known.
        seed: Where chance comes from.
        number: Which of the ways.
    """

    durations: Durations
    seed: int
    number: int

    def takes(self, plan: str, path: str, step: StepSpec, agent: str, call: str) -> int:
        """Draw how long a call takes; `call` is its own path."""
        share = unit_fraction(self.seed, self.number, call)
        return self.durations.quantile(plan, path, step, agent, share)


def quantile(samples: Sequence[int], share: float) -> float:
    """Give a quantile of samples in ascending order, between two of them in proportion."""
    if len(samples) == 1:
        return samples[0]
    place = share * (len(samples) - 1)
    low = min(int(place), len(samples) - 2)
    return samples[low] + (samples[low + 1] - samples[low]) * (place - low)
