"""What a step can be told in Python, as the keyword arguments of the builder's methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from hocket.config.agent import Agent
from hocket.config.approval import Approving
from hocket.config.handles import Handle, Step
from hocket.config.limit import Limit
from hocket.config.team import Review
from hocket.core.specs import OnFailure, Repeat, Retry
from hocket.core.teams import Final, Policy, Protocol, Tie, Weighing
from hocket.core.values import Json

Duration: TypeAlias = str | int | float
"""A number of seconds, or a text like ``"90s"`` or ``"1h30m"``."""


class Begins(TypedDict, total=False):
    """What every step can be told: when it begins, and what becomes of it."""

    needs: Sequence[Step[Any] | str] | Step[Any] | str
    when: str | Handle
    timeout: Duration
    on_failure: OnFailure


class Waits(Begins, total=False):
    """What steps can be told that wait for others that may fail or be late."""

    wants: Sequence[Step[Any] | str] | Step[Any] | str
    within: Duration
    quorum: int


class Work(Waits, total=False):
    """What a step can be told that does work."""

    repeat: Repeat
    retry: int | Retry
    fallback: Sequence[Agent[Any]] | Agent[Any]
    effects: bool
    options: Mapping[str, Json]
    uses: Mapping[Limit, int]
    takes: Duration
    hedge: str
    review: Review
    approve: bool | Approving


class Call(Work, total=False):
    """What a step can be told that calls a function."""

    kwargs: Mapping[str, Any]
    mode: Literal["auto", "thread", "process"]
    concurrency: int
    limits: Sequence[Limit] | Limit


class Asking(Begins, total=False):
    """What a step can be told that a team does; it holds for each call."""

    repeat: Repeat
    retry: int | Retry
    uses: Mapping[Limit, int]
    hedge: str
    approve: bool | Approving
    temperature: float
    max_tokens: int
    settings: Mapping[str, Json]


class Agreeing(Asking, total=False):
    """What a consensus can be told."""

    policy: Policy
    rounds: int
    batch: Duration
    decide: Literal["plurality", "majority", "unanimous"] | float
    weigh: Weighing
    of: Literal["all", "cast"]
    tie: Tie
    votes: Literal["together", "as_needed"]
    early: bool
    max_rounds: int
    max_duration: Duration
    lead: int
    soft: Duration
    hard: Duration
    quorum: int
    final: Final
    presenter: Agent[Any]


class Reviewing(Asking, total=False):
    """What a review can be told."""

    swarm: int
    protocol: Protocol
    threshold: float
    criteria: str
    fail_open: bool
    open_weight: float
    waves: bool
    early: bool
    max_rounds: int
    fixer: Agent[Any]
