"""What a step can be told in Python, as the keyword arguments of the builder's methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from hocket.config.agent import Agent
from hocket.config.handles import Handle, Step
from hocket.config.limit import Limit
from hocket.core.specs import OnFailure, Repeat, Retry
from hocket.core.values import Json

Duration: TypeAlias = str | int | float
"""A number of seconds, or a text like ``"90s"`` or ``"1h30m"``."""


class Waits(TypedDict, total=False):
    """What every step can be told: what it waits for, and what becomes of it."""

    needs: Sequence[Step[Any] | str] | Step[Any] | str
    wants: Sequence[Step[Any] | str] | Step[Any] | str
    within: Duration
    quorum: int
    when: str | Handle
    timeout: Duration
    on_failure: OnFailure


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


class Call(Work, total=False):
    """What a step can be told that calls a function."""

    kwargs: Mapping[str, Any]
    mode: Literal["auto", "thread", "process"]
    concurrency: int
    limits: Sequence[Limit] | Limit
