"""The shape of consensus and review in a file: who takes part, and how it is decided."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from hocket.config.basics import Count, Duration, Names, Strict, Text
from hocket.core.errors import suggest
from hocket.core.teams import Final, Policy, Protocol, Rule, Tie, Weighing

MOST: int = 100
"""The most seats that one entry can stand for."""

_RULES: tuple[Literal["plurality", "majority", "unanimous"], ...] = (
    "plurality",
    "majority",
    "unanimous",
)


class Decision(NamedTuple):
    """What decides: a rule, and the share that it asks for if it is a threshold."""

    rule: Rule
    threshold: float | None = None


def read_decision(value: object) -> Decision:
    """Say what is meant by ``majority``, or by 0.6.

    Raises:
        ValueError: Nothing is meant by it.
    """
    if isinstance(value, Decision):
        return value
    known = f"{', '.join(_RULES)}, or a share of the weight like 0.6"
    if isinstance(value, str):
        for rule in _RULES:
            if value == rule:
                return Decision(rule)
        raise ValueError(f"unknown rule {value[:40]!r}; {suggest(value, _RULES) or known}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value <= 1:
            raise ValueError(f"a share lies above 0 and is 1 at most, not {value}")
        return Decision("threshold", float(value))
    raise ValueError(f"it is {known}")


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
        {"anyOf": [{"enum": list(_RULES)}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
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
