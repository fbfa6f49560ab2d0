"""The shape of a step that runs a population of active-inference agents."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from hocket.config.basics import Count, Duration, Strict, Text
from hocket.config.limit_parts import LimitsOf
from hocket.config.place_parts import Places
from hocket.config.population import (
    AGENTS,
    EVERY,
    TICKS,
    Device,
    Dtype,
    Format,
    Picture,
    read_continued,
    read_count,
    read_preferences,
    read_seed,
)
from hocket.config.step_parts import Retries, WorkPart

_TEMPLATE: Final[dict[str, Any]] = {"type": "string", "pattern": r"\{\{"}
_COUNT: Final[dict[str, Any]] = {"anyOf": [{"type": "integer", "minimum": 1}, _TEMPLATE]}
_SEED: Final[dict[str, Any]] = {"anyOf": [{"type": "integer", "minimum": 0}, _TEMPLATE]}
_NUMBERS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "number"}, "minItems": 1}
_PREFERENCES: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "number"}, _TEMPLATE]},
            "minProperties": 1,
        },
        _NUMBERS,
        {"type": "array", "items": _NUMBERS, "minItems": 1},
        _TEMPLATE,
    ]
}

HowMany: TypeAlias = Annotated[Any, PlainValidator(read_count), WithJsonSchema(_COUNT)]
Seed: TypeAlias = Annotated[Any, PlainValidator(read_seed), WithJsonSchema(_SEED)]
Preferences: TypeAlias = Annotated[
    Any, PlainValidator(read_preferences), WithJsonSchema(_PREFERENCES)
]
Continued: TypeAlias = Annotated[Any, PlainValidator(read_continued), WithJsonSchema(_TEMPLATE)]


class GroupPart(Strict):
    """What a group has of its own, or a further group whose agents live in the same world."""

    model: Annotated[Text | None, Field(description="The file of its model.")] = None
    gmn: Annotated[Text | None, Field(description="Its model as GMN text.")] = None
    agents: Annotated[HowMany | None, Field(description="How many agents it has.")] = None
    preferences: Annotated[
        Preferences | None,
        Field(description="What its agents prefer to observe, in nats: by name, or as lists."),
    ] = None


class PopulationPart(Strict):
    """Who lives in a population, in which world, and for how long."""

    example: Annotated[
        Text | None, Field(description="A ready scenario; `hocket population list` names them.")
    ] = None
    model: Annotated[
        Text | None, Field(description="The file of a model; its agents live in what it says.")
    ] = None
    gmn: Annotated[
        Text | None, Field(description="The same as GMN text, which an agent may have written.")
    ] = None
    continues: Annotated[
        Continued | None,
        Field(description="The files of a step with `keep: true`, whose population goes on."),
    ] = None
    agents: Annotated[HowMany, Field(description="How many agents there are.")] = AGENTS
    ticks: Annotated[HowMany, Field(description="For how many ticks they live.")] = TICKS
    seed: Annotated[Seed, Field(description="Where chance comes from.")] = 0
    set: Annotated[dict[str, Any], Field(description="Options of the example, by name.")] = {}
    groups: Annotated[
        dict[str, GroupPart],
        Field(description="What groups have of their own; that of a model is called `agents`."),
    ] = {}
    checkpoint_every: Annotated[
        HowMany, Field(description="After how many ticks all is saved, to go on from.")
    ] = EVERY
    device: Annotated[Device | None, Field(description="Where it runs; else what JAX prefers.")] = (
        None
    )
    devices: Annotated[
        Count | None, Field(description="How many cores or GPUs it uses; else all.")
    ] = None
    nodes: Annotated[
        Literal[1, 2, 4, 8] | None,
        Field(description="How many nodes share it, on a cluster; one machine runs it all."),
    ] = None
    dtype: Annotated[Dtype, Field(description="How exactly it is computed.")] = "float32"
    format: Annotated[Format, Field(description="What the result files are.")] = "npz"
    picture: Annotated[
        Picture | None,
        Field(description="Which picture of the world is kept, if any."),
    ] = None
    keep: Annotated[
        bool, Field(description="Whether the population is kept, for another step to go on with.")
    ] = False


class PopulationStep(WorkPart):
    """Runs a population of active-inference agents, in a process of its own."""

    population: PopulationPart
    retry: Retries | None = None
    takes: Annotated[Duration | None, Field(description="How long a call is expected to take.")] = (
        None
    )
    uses: Annotated[
        dict[str, Count], Field(description="Units of limits that a call holds while it runs.")
    ] = {}
    concurrency: Annotated[
        Count | None, Field(description="The most at once; all others of a run go one by one.")
    ] = None
    limits: LimitsOf | None = None
    place: Places = None
