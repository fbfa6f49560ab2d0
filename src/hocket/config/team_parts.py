"""The shape of consensus and review in a file: who takes part, and how it is decided."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from hocket.config.basics import Count, Duration, Names, Strict, Text
from hocket.config.seats import MOST
from hocket.config.shorthand import RULES, Decision, read_decision
from hocket.core.teams import Final, Policy, Protocol, Tie, Weighing


def _something(value: object) -> object:
    if value is None or value == "":
        raise ValueError("cannot be empty")
    return value


def _seat(value: object) -> object:
    return {"agent": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Asked: TypeAlias = Annotated[
    Any, BeforeValidator(_something), WithJsonSchema({"description": "A text, or other JSON."})
]
Decides: TypeAlias = Annotated[
    Decision,
    PlainValidator(read_decision),
    WithJsonSchema(
        {"anyOf": [{"enum": list(RULES)}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
    ),
]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class SeatPart(Strict):
    """An agent's seat in a team, or several of one agent."""

    agent: Annotated[Text, Field(description="A name under agents.")]
    count: Annotated[int, Field(ge=1, le=MOST, description="How many seats it has.")] = 1
    weight: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    name: Annotated[Text | None, Field(description="What the seat is called.")] = None
    fallback: Names = []


Seats: TypeAlias = Annotated[
    list[Annotated[SeatPart, BeforeValidator(_seat, json_schema_input_type=str | SeatPart)]],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=str | SeatPart | list[str | SeatPart]),
]


class ConsensusPart(Strict):
    """Several agents answer one question and decide by votes whose answer stands."""

    question: Asked
    agents: Seats
    policy: Policy | None = None
    rounds: Count | None = None
    batch: Duration | None = None
    decide: Annotated[
        Decides | None, Field(description="plurality, majority, unanimous, or a share like 0.6.")
    ] = None
    weigh: Weighing | None = None
    of: Literal["all", "cast"] | None = None
    tie: Tie | None = None
    votes: Literal["together", "as_needed"] | None = None
    early: bool | None = None
    max_rounds: Count | None = None
    max_duration: Duration | None = None
    lead: Annotated[int | None, Field(ge=0)] = None
    soft: Duration | None = None
    hard: Duration | None = None
    quorum: Count | None = None
    final: Final | None = None
    presenter: Text | None = None


class ReviewPart(Strict):
    """Reviewers judge what a step has given, and stop when the verdict cannot change."""

    by: Seats
    swarm: Annotated[int | None, Field(ge=1, le=1_000)] = None
    protocol: Protocol | None = None
    threshold: Share | None = None
    criteria: str | None = None
    fail_open: bool | None = None
    open_weight: Annotated[float | None, Field(gt=0, le=1)] = None
    waves: bool | None = None
    early: bool | None = None
    max_rounds: Count | None = None
    fixer: Text | None = None


class ReviewOfPart(ReviewPart):
    """Reviewers judge an artefact."""

    of: Asked
