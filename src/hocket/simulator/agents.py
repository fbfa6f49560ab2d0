"""Simulated agents: what a call takes, and what it gives, drawn from a seed.

Everything is drawn by `hocket.core.values.fraction_of` from the seed and the call's own name, so
a call turns out alike whatever else happens: policies and limits are compared by common random
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp
from statistics import NormalDist
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from hocket.agents.base import Estimate
from hocket.core.errors import Fault
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    InputAsked,
    InputGiven,
    RetryRequested,
    Usage,
)
from hocket.core.machine import JobSpec
from hocket.core.values import MS, SECOND, Json, fraction_of

_inverse: Final = NormalDist().inv_cdf
"""Gives how many standard deviations a share of a normal distribution lies below."""
_EDGE: Final = 1e-9
_CHARACTERS: Final = 4
"""How many characters a token is taken to have."""


class Asked(NamedTuple):
    """A call as its agent sees it.

    Fields:
        run: The run's id.
        agent: Who is called.
        path: Where in the run.
        attempt: Which call at that path.
        input: What it gets, rendered as for a real agent of its kind.
        job: What is wanted: the schema of the output, settings, tools.
        seed: The run's seed.
        at: The instant at which it leaves, or would.
    """

    run: str
    agent: str
    path: str
    attempt: int
    input: Json
    job: JobSpec
    seed: int
    at: int = 0

    def draw(self, what: str) -> float:
        """Draw a number in [0, 1) that this call alone has, for one purpose."""
        return fraction_of(
            f"{self.seed}\x1f{self.agent}\x1f{self.path}\x1f{self.attempt}\x1f{what}"
        )


class Act(msgspec.Struct, frozen=True, gc=False):
    """How a call turns out.

    Fields:
        lasts: How long it takes, in nanoseconds.
        gives: The output, or why there is none.
        usage: What it spends.
        heard: After how long the peer begins to answer; None for only at the end.
    """

    lasts: int
    gives: Json | Fault = None
    usage: Usage | None = None
    heard: int | None = None


class SimulatedAgents(Protocol):
    """All agents of a simulation."""

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out; it depends on what is asked, and when, alone."""

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take, for limits on tokens and money."""


class Latency(msgspec.Struct, frozen=True):
    """How long calls take: lognormal, so that half of them take less than the median.

    Fields:
        median: In nanoseconds.
        sigma: The standard deviation of the logarithm; 0 for always the same.
        least: What no call is faster than.
    """

    median: int
    sigma: float = 0.0
    least: int = MS

    def at(self, share: float) -> int:
        """Give the duration below which that share of the calls stays."""
        least = self.least
        if not self.sigma:
            return max(least, self.median)
        if not _EDGE < share < 1 - _EDGE:
            share = min(max(share, _EDGE), 1 - _EDGE)
        lasts = round(self.median * exp(self.sigma * _inverse(share)))
        return lasts if lasts > least else least


Behaviour: TypeAlias = Callable[[Asked], Json | Fault]
"""Says what an agent gives."""


def echo(asked: Asked) -> Json:
    """Give what was asked."""
    return asked.input


class Player(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated agent.

    Fields:
        latency: How long it takes.
        gives: What it gives.
        failing: The share of its calls that fail.
        fault: How they fail.
        tokens_out: How many tokens an answer has.
        price: Pico-dollars for a token read and for one written; None for unpriced.
    """

    latency: Latency = Latency(SECOND)
    gives: Behaviour = echo
    failing: float = 0.0
    fault: Fault = Fault(kind="unavailable", message="a simulated failure")
    tokens_out: int = 200
    price: tuple[int, int] | None = None


class Cast:
    """Simulated agents by name.

    Args:
        players: Them.
        other: Who stands in for an agent that is not named; None refuses it.
    """

    def __init__(self, players: Mapping[str, Player], other: Player | None = None) -> None:
        self._players = players
        self._other = other

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out."""
        player = self._players.get(asked.agent) or self._player(asked.agent)
        lasts = player.latency.at(asked.draw("latency"))
        usage = _usage(player, asked)
        if player.failing and asked.draw("fails") < player.failing:
            return Act(lasts, player.fault, usage)
        return Act(lasts, player.gives(asked), usage)

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take: what it then does take."""
        usage = _usage(self._player(asked.agent), asked)
        read, written = usage.tokens_in or 0, usage.tokens_out or 0
        return Estimate(
            tokens_in=read, tokens_out=written, most_tokens=read + written, most_cost=usage.cost
        )

    def _player(self, name: str) -> Player:
        player = self._players.get(name, self._other)
        if player is None:
            raise KeyError(f"nobody plays the agent {name!r}; there are {sorted(self._players)}")
        return player


class People(msgspec.Struct, frozen=True):
    """How people answer.

    Fields:
        after: How long they take, in nanoseconds; None if they never answer.
        approve: Whether they approve of what they are shown.
        value: What they write where an input is asked for.
        again: Whether a call with effects that was lost with its process is done again; else they
            say that it was done, and gave `value`.
    """

    after: int | None = 0
    approve: bool = True
    value: Json = None
    again: bool = True

    def answer(
        self, asked: ApprovalAsked | InputAsked, at: int
    ) -> ApprovalGiven | InputGiven | None:
        """Give their answer; None if they never answer this."""
        if isinstance(asked, InputAsked):
            return InputGiven(at=at, path=asked.path, value=self.value, by="somebody")
        return ApprovalGiven(
            at=at, path=asked.path, approved=self.approve, digest=asked.digest, by="somebody"
        )

    def decide(self, path: str, at: int) -> RetryRequested | InputGiven:
        """Say what is to become of a call of which nobody knows whether it was done."""
        if self.again:
            return RetryRequested(at=at, path=path, by="somebody")
        return InputGiven(at=at, path=path, value=self.value, by="somebody")


def _usage(player: Player, asked: Asked) -> Usage:
    given = asked.input
    text = given if isinstance(given, str) else msgspec.json.encode(given)
    read, written = max(1, len(text) // _CHARACTERS), player.tokens_out
    cost = None
    if player.price is not None:
        cost = read * player.price[0] + written * player.price[1]
    return Usage(tokens_in=read, tokens_out=written, cost=cost)
