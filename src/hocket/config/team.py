"""Who takes part in a team and how it works, as a Python program says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from hocket.config.agent import Agent
from hocket.core.teams import Protocol
from hocket.core.values import Json


class Seat:
    """An agent's seat in a team, or several of one agent.

    Args:
        agent: Who sits there.
        count: How many seats it has; several are called ``NAME-1``, ``NAME-2`` and so on.
        weight: What its vote or verdict weighs.
        name: What the seat is called, unique in the team; by default like the agent.
        fallback: Agents that take the seat, in order, when one has used up its tries.
    """

    __slots__ = ("agent", "count", "fallback", "name", "weight")

    def __init__(
        self,
        agent: Agent[Any],
        *,
        count: int = 1,
        weight: float = 1.0,
        name: str = "",
        fallback: Sequence[Agent[Any]] | Agent[Any] = (),
    ) -> None:
        self.agent = agent
        self.count = count
        self.weight = weight
        self.name = name
        self.fallback = (fallback,) if isinstance(fallback, Agent) else tuple(fallback)

    def __repr__(self) -> str:
        return f"Seat({self.agent.name!r}, count={self.count})"


Seats: TypeAlias = Sequence[Agent[Any] | Seat] | Agent[Any] | Seat


def seats_of(given: Any) -> Iterator[Seat]:
    """Give seats one by one, each as a `Seat`.

    Raises:
        TypeError: Something is neither an agent nor a seat.
    """
    single = isinstance(given, Agent | Seat | str) or not isinstance(given, Iterable)
    for one in (given,) if single else given:
        if isinstance(one, Agent):
            yield Seat(one)
        elif isinstance(one, Seat):
            yield one
        else:
            raise TypeError(f"{one!r} is neither an Agent nor a Seat(…)")


class Review:
    """How reviewers judge what a step has given, and stop when the verdict cannot change.

    Args:
        by: Who may review; reviewers take them in rotation.
        swarm: How many reviewers there are.
        protocol: ``single``: one structured call each. ``self-correct``: assess, correct, vote.
        threshold: The share of confidence that approval needs.
        criteria: What to judge by, for the reviewers.
        fail_open: Whether a reviewer who fails counts as a weak approval, not as a rejection.
        open_weight: What such an approval weighs.
        waves: Whether reviewers start in waves no larger than could decide, or all at once.
        early: Whether the swarm stops as soon as the verdict cannot change.
        max_rounds: The most rounds of review; between them the author fixes what was found.
        fixer: Who fixes; by default the step's own agent.
    """

    __slots__ = ("by", "fields", "fixer")

    def __init__(
        self,
        by: Seats,
        *,
        swarm: int = 3,
        protocol: Protocol = "single",
        threshold: float = 0.6,
        criteria: str = "",
        fail_open: bool = False,
        open_weight: float = 0.2,
        waves: bool = True,
        early: bool = True,
        max_rounds: int = 1,
        fixer: Agent[Any] | None = None,
    ) -> None:
        self.by = by
        self.fixer = fixer
        self.fields: dict[str, Json] = {
            "swarm": swarm,
            "protocol": protocol,
            "threshold": threshold,
            "criteria": criteria,
            "fail_open": fail_open,
            "open_weight": open_weight,
            "waves": waves,
            "early": early,
            "max_rounds": max_rounds,
        }
