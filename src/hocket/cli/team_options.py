"""Options of the commands that let a team do something: who takes part, and how it decides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from cyclopts import Parameter

from hocket.core.teams import Final as FinalAnswer
from hocket.core.teams import Policy, Protocol, Tie, Weighing
from hocket.core.values import Json

Agents: TypeAlias = Annotated[
    str,
    Parameter(
        name="--agents",
        help="Who takes part, as flash*5,pro: agents or models of the file, provider:model, or "
        "local, the embedded model; else all agents of the file that can speak, scripted ones too.",
    ),
]
File: TypeAlias = Annotated[
    Path, Parameter(name="--file", help="The file with agents; else hocket.yaml, if it is here.")
]


def stated(options: Any) -> dict[str, Json]:
    """Give the options that were given, as a file would state them."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    # A flag that was not set is no number of 0.
    silent = (type(None), bool)
    return {name: value for name, value in values.items() if value or type(value) not in silent}


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """How a consensus comes about; each is left to the default where nothing is said."""

    policy: Annotated[
        Policy | None, Parameter(help="What a new answer does to the others; once by default.")
    ] = None
    rounds: Annotated[
        int | None, Parameter(help="How often an agent may revise its answer; policy rounds.")
    ] = None
    batch: Annotated[
        str | None, Parameter(help="How long new answers are collected, as 5s; policy batch.")
    ] = None
    decide: Annotated[
        str | None, Parameter(help="plurality, majority, unanimous, or a share as 0.6.")
    ] = None
    weigh: Annotated[
        Weighing | None, Parameter(help="What a vote weighs: all alike by default.")
    ] = None
    of: Annotated[
        Literal["all", "cast"] | None,
        Parameter(help="Whether shares are of all or of the votes cast."),
    ] = None
    tie: Annotated[Tie | None, Parameter(help="What breaks a tie; order by default.")] = None
    votes: Annotated[
        Literal["together", "as_needed"] | None,
        Parameter(help="Ask for all votes at once, or never for more than could decide."),
    ] = None
    early: Annotated[
        bool,
        Parameter(
            name="--all-votes", negative=(), help="Wait for every vote, also of a decided outcome."
        ),
    ] = False
    final: Annotated[
        FinalAnswer | None, Parameter(help="What is given in the end; reuse by default.")
    ] = None
    presenter: Annotated[
        str | None, Parameter(help="Who writes the final answer, with --final synthesize.")
    ] = None
    quorum: Annotated[int | None, Parameter(help="The fewest who must have answered.")] = None
    max_rounds: Annotated[int | None, Parameter(help="The most rounds of votes.")] = None
    max_duration: Annotated[
        str | None, Parameter(help="The longest that it may take, as 5m; then it decides.")
    ] = None
    soft: Annotated[
        str | None, Parameter(help="After how long a round goes on without who is late.")
    ] = None
    hard: Annotated[
        str | None, Parameter(help="After how long in a round who is late is cut off.")
    ] = None
    lead: Annotated[
        int | None, Parameter(help="The most revisions ahead of the slowest member.")
    ] = None

    def data(self) -> dict[str, Json]:
        """Give what was stated, as a file would."""
        found = stated(self)
        if self.early:
            found["early"] = False
        if self.decide is not None:
            found["decide"] = _number(self.decide)
        if self.policy is None:
            # What belongs to one policy alone asks for it.
            wanted = [name for name in ("rounds", "batch") if getattr(self, name) is not None]
            if wanted:
                found["policy"] = wanted[0]
        return found


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How a swarm of reviewers judges; each is left to the default where nothing is said."""

    swarm: Annotated[int | None, Parameter(help="How many reviewers; 3 by default.")] = None
    protocol: Annotated[
        Protocol | None, Parameter(help="One call each, or assess, correct and vote.")
    ] = None
    threshold: Annotated[
        float | None, Parameter(help="The share of confidence that approval needs; 0.6.")
    ] = None
    criteria: Annotated[str | None, Parameter(help="What to judge by.")] = None
    fail_open: Annotated[
        bool,
        Parameter(negative=(), help="A reviewer who fails counts as a weak approval."),
    ] = False
    waves: Annotated[
        bool,
        Parameter(name="--at-once", negative=(), help="Start all reviewers at once, not in waves."),
    ] = False
    early: Annotated[
        bool,
        Parameter(
            name="--all-verdicts", negative=(), help="Wait for every verdict, also when decided."
        ),
    ] = False

    def data(self) -> dict[str, Json]:
        """Give what was stated, as a file would."""
        found = stated(self)
        for name in ("waves", "early"):
            if found.get(name):
                found[name] = False
        return found


@dataclass(frozen=True, kw_only=True)
class Speaking:
    """How a panel comes to its reply."""

    within: Annotated[
        str | None, Parameter(help="How long the others are waited for, as 4s; else for all.")
    ] = None
    quorum: Annotated[
        int | None, Parameter(help="How many contributions are enough; else all.")
    ] = None
    revise: Annotated[
        bool,
        Parameter(negative=(), help="Revise the reply once the late ones are there."),
    ] = False

    def data(self) -> dict[str, Json]:
        """Give what was stated, as a file would."""
        return stated(self)


DECIDING: Final = Deciding()
JUDGING: Final = Judging()
SPEAKING: Final = Speaking()


def _number(text: str) -> Json:
    try:
        return float(text)
    except ValueError:
        return text
