"""What the calls of one run claim of which limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec.structs import replace

from hocket.core.specs import AgentSpec, LimitSpec, RunSpec
from hocket.limits.claim import Claim, Entry
from hocket.limits.spending import Spending

RUN: Final = "run"
PAST: Final = "past"
"""Names what a run had spent before this process took it up."""


class Wanted(NamedTuple):
    """What a call claims, and what is known of that whatever the call is.

    Fields:
        claim: What it claims, before its tokens are known.
        weighs: Whether tokens or money matter to any of its limits.
        plain: Whether it claims slots of its run alone: nothing else of it matters to them.
    """

    claim: Claim
    weighs: bool
    plain: bool


class Claims:
    """The limits of a run, and what each of its calls takes of them.

    Args:
        run: The run's id.
        spec: The run's spec.
        capacity: Gives how many calls of an agent may be in flight, or None for any number.

    Attributes:
        limits: All limits of the run by name, its own slots included.
    """

    def __init__(
        self, run: str, spec: RunSpec, capacity: Callable[[str, AgentSpec], int | None]
    ) -> None:
        self._run = run
        self._names = {name: _name(name, run, limit) for name, limit in spec.limits.items()}
        self.limits: dict[str, LimitSpec] = {RUN: _slots(spec.max_parallel)}
        for name, limit in spec.limits.items():
            scoped = self._names[name] != name
            self.limits[self._names[name]] = replace(limit, shared=True) if scoped else limit
        self._of_agent: dict[str, dict[str, int]] = {}
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], Wanted] = {}
        self._late: dict[tuple[tuple[str, int], ...], bool] = {}
        self._plain: dict[tuple[tuple[str, int], ...], bool] = {}
        for name, agent in spec.agents.items():
            claimed = (self._names[limit] for limit in (*spec.claims, *agent.limits))
            units = dict.fromkeys((RUN, *claimed), 1)
            slots = capacity(name, agent)
            if slots is not None:
                own = f"agent:{name}"
                self.limits[own] = _slots(slots)
                units[own] = 1
            self._of_agent[name] = units
        self._weighed = frozenset(n for n, limit in self.limits.items() if _weighs(limit))

    def of(self, agent: str, uses: tuple[tuple[str, int], ...]) -> Claim:
        """Give what a call claims, before its tokens are known."""
        return self.wanted(agent, uses).claim

    def wanted(self, agent: str, uses: tuple[tuple[str, int], ...]) -> Wanted:
        """Give what a call claims, and what is known of that; looked up once for all alike."""
        wanted = self._known.get((agent, uses))
        if wanted is None:
            own = {self._names[name]: count for name, count in uses}
            units = self._of_agent[agent] | own
            claim = Claim(units=tuple(sorted(units.items())))
            wanted = Wanted(claim, self.weighs(claim), self.plain(claim))
            self._known[agent, uses] = wanted
        return wanted

    @property
    def weighed(self) -> list[str]:
        """Name the agents whose calls claim a limit to which tokens or money matter."""
        return [name for name in self._of_agent if self.weighs(self.of(name, ()))]

    def weighs(self, claim: Claim) -> bool:
        """Tell whether tokens or money matter to any of its limits."""
        return bool(self._weighed) and any(name in self._weighed for name, _ in claim.units)

    def leaves_late(self, claim: Claim) -> bool:
        """Tell whether a rate or a budget counts the call, so that its start must be on disk."""
        late = self._late.get(claim.units)
        if late is None:
            late = any(_counts(self.limits[name]) for name, _ in claim.units)
            self._late[claim.units] = late
        return late

    def plain(self, claim: Claim) -> bool:
        """Tell whether a call claims slots of its run alone: nothing else of it matters to them."""
        plain = self._plain.get(claim.units)
        if plain is None:
            limits = [self.limits[name] for name, _ in claim.units]
            plain = not any(limit.shared or limit.adaptive or _counts(limit) for limit in limits)
            self._plain[claim.units] = plain
        return plain

    def past(self, spending: Spending) -> list[Entry]:
        """Give what the run has spent, for those of its own limits that count in all."""
        entries: list[Entry] = []
        for name, limit in self.limits.items():
            if limit.shared or name not in self._weighed:
                continue
            agents = [agent for agent, units in self._of_agent.items() if name in units]
            tokens = sum(spending.tokens.get(agent, 0) for agent in agents)
            cost = sum(spending.cost.get(agent, 0) for agent in agents)
            spent = Claim(tokens_in=tokens, most_tokens=tokens, most_cost=cost)
            entries.append(Entry(name, f"{self._run}/{PAST}", 0, spent, sent=0, over=True))
        return entries


def _name(name: str, run: str, limit: LimitSpec) -> str:
    """Name a limit; a run's own windows are kept by the ledger, since they outlive a process."""
    rates = (*limit.requests, *limit.tokens, *limit.tokens_in, *limit.tokens_out, *limit.cost)
    windows = limit.spacing > 0 or any(rate.per for rate in rates)
    return f"{name} of {run}" if windows and not limit.shared else name


def _slots(count: int) -> LimitSpec:
    return LimitSpec(concurrency=count, shared=False, adaptive=False)


def _weighs(limit: LimitSpec) -> bool:
    return bool(limit.tokens or limit.tokens_in or limit.tokens_out or limit.cost)


def _counts(limit: LimitSpec) -> bool:
    return bool(limit.requests or limit.spacing) or _weighs(limit)
