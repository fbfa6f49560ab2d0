"""The shape of the steps that several agents do together: consensus, review and panel."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, Tag, WithJsonSchema

from hocket.config.basics import TAG, Count, Duration, Strict, Text, by_key, by_type
from hocket.config.limit_parts import Quantile
from hocket.config.shorthand import read_revise
from hocket.config.step_parts import (
    AgentStep,
    CommandStep,
    FunctionStep,
    NestedStep,
    Output,
    Retries,
    ShellStep,
    WorkPart,
)
from hocket.config.team_parts import Asked, ConsensusPart, ReviewOfPart


class TeamStep(WorkPart):
    """What steps have that several agents do; it holds for each call."""

    retry: Retries | None = None
    uses: Annotated[
        dict[str, Count], Field(description="Units of limits that a call holds while it runs.")
    ] = {}
    hedge: Annotated[
        Quantile | None, Field(description="When a call gets a second one beside it.")
    ] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Count | None = None
    settings: dict[str, Any] | None = None


class ConsensusStep(TeamStep):
    """Lets several agents answer one question, and decide by votes whose answer stands."""

    consensus: ConsensusPart
    output: Output = None


class ReviewStep(TeamStep):
    """Lets reviewers judge an artefact."""

    review: ReviewOfPart


# ---- panels ----


def _named(value: object) -> object:
    return {"agent": value} if isinstance(value, str) else value


WORKERS = ("agent", "command", "shell", "call")
CONTRIBUTORS = (*WORKERS, "run")

_Worker: TypeAlias = (
    Annotated[AgentStep, Tag(TAG + "agent")]
    | Annotated[CommandStep, Tag(TAG + "command")]
    | Annotated[ShellStep, Tag(TAG + "shell")]
    | Annotated[FunctionStep, Tag(TAG + "call")]
)
_Contributor: TypeAlias = Annotated[
    _Worker | Annotated[NestedStep, Tag(TAG + "run")],
    by_key(CONTRIBUTORS, "a contributor is an agent's name, or it"),
]
_Writer: TypeAlias = Annotated[
    _Worker, by_key(WORKERS, "whoever replies is an agent's name, or it")
]
Contributor: TypeAlias = Annotated[
    _Contributor, BeforeValidator(_named, json_schema_input_type=str | _Contributor)
]
Writer: TypeAlias = Annotated[
    _Writer, BeforeValidator(_named, json_schema_input_type=str | _Writer)
]


class LearnedPart(Strict):
    """A time limit that is learned from earlier runs."""

    learned: Annotated[Quantile, Field(description="The share of earlier calls that took less.")]
    floor: Annotated[Duration, Field(description="The shortest that it may be.")] = 0
    cap: Annotated[Duration, Field(gt=0, description="The longest, and where nothing is known.")]


Within: TypeAlias = Annotated[
    Annotated[Duration, Tag(TAG + "duration")] | Annotated[LearnedPart, Tag(TAG + "learned")],
    by_type(
        {str: "duration", int: "duration", float: "duration", dict: "learned"},
        "within is a duration like 4s, or an object like {learned: p95, cap: 10s}",
    ),
]
"""How long contributions are waited for: so long, or as earlier runs have shown."""
Selects: TypeAlias = Annotated[
    Annotated[Text, Tag(TAG + "expression")]
    | Annotated[_Worker, by_key(WORKERS, "a router"), Tag(TAG + "router")],
    by_type(
        {str: "expression", dict: "router"},
        "select is an expression, or a step like {agent: router}",
    ),
]
"""Who says which contributors are needed."""


class PanelPart(Strict):
    """Specialists contribute side by side, and one reply is made of what is there in time."""

    question: Asked
    agents: Annotated[dict[str, Contributor], Field(min_length=1)]
    quorum: Count | None = None
    within: Within | None = None
    select: Selects | None = None
    about: dict[str, str] = {}
    synthesis: Writer
    revise: Annotated[
        int | None,
        PlainValidator(read_revise),
        WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "number"}]}),
    ] = None
    revision: Writer | None = None


class PanelStep(WorkPart):
    """Lets specialists contribute side by side to one reply."""

    panel: PanelPart
