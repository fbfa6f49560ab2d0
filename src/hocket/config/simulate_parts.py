"""The shape of a file's ``simulate``: what its runs are taken to be like where nobody has run them.

Its values are plain: durations in nanoseconds, prices in pico-dollars for a token.
"""

from __future__ import annotations

from math import log
from statistics import NormalDist
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, Tag, WithJsonSchema, model_validator

from hocket.config.basics import TAG, Count, Duration, Strict, Text, by_type
from hocket.config.price import PricePart
from hocket.core.values import parse_duration

Asking: TypeAlias = Literal[
    "answer",
    "vote",
    "present",
    "synthesize",
    "author",
    "fixer",
    "judge",
    "assess",
    "correct",
]
"""The kinds of calls of a team."""

Failing: TypeAlias = Literal["failed", "timeout", "unavailable", "invalid_output", "permanent"]
"""The ways in which a simulated call fails of itself."""

_P95: Final = NormalDist().inv_cdf(0.95)
_LATENCY: Final = (
    "latency is a duration like 3s, an object like {median: 3s, sigma: 0.3} or {p50: 3s, p95: 8s}, "
    "or a list of durations"
)
_MOST_RUNS: Final = 1_000_000


class LatencyPart(Strict):
    """How long calls take: lognormal, half of them less than the median."""

    median: Annotated[Duration | None, Field(description="Half of the calls take less.")] = None
    sigma: Annotated[
        float | None,
        Field(ge=0, le=5, description="The standard deviation of the logarithm. By default 0."),
    ] = None
    p50: Annotated[Duration | None, Field(description="The same as `median`.")] = None
    p95: Annotated[
        Duration | None, Field(description="One call in twenty takes longer; instead of `sigma`.")
    ] = None
    least: Annotated[Duration | None, Field(description="No call takes less.")] = None

    @model_validator(mode="after")
    def _one_way(self) -> LatencyPart:
        if (self.median is None) == (self.p50 is None):
            raise ValueError("a latency has either a median or a p50")
        if self.sigma is not None and self.p95 is not None:
            raise ValueError("a latency has either a sigma or a p95")
        if not self.middle:
            raise ValueError("the median of a latency is longer than 0")
        if self.p95 is not None and self.p95 < self.middle:
            raise ValueError("p95 is not shorter than the median")
        return self

    @property
    def middle(self) -> int:
        """The median in nanoseconds."""
        return self.median or self.p50 or 0

    @property
    def spread(self) -> float:
        """The standard deviation of the logarithm."""
        if self.p95 is not None:
            return log(self.p95 / self.middle) / _P95
        return self.sigma or 0.0


def _alone(value: object) -> object:
    if not isinstance(value, str | int | float):
        return value
    # What is wrong with it is to be said of what stands there.
    if not parse_duration(value):
        raise ValueError("a latency is longer than 0")
    return {"median": value}


def _in_order(value: list[int]) -> list[int]:
    return sorted(value)


_Same: TypeAlias = Annotated[
    LatencyPart,
    BeforeValidator(_alone, json_schema_input_type=Duration),
    Tag(TAG + "duration"),
]
_Samples: TypeAlias = Annotated[
    list[Duration], Field(min_length=1), AfterValidator(_in_order), Tag(TAG + "samples")
]
Lasts: TypeAlias = Annotated[
    _Same | Annotated[LatencyPart, Tag(TAG + "spread")] | _Samples,
    by_type(
        {str: "duration", int: "duration", float: "duration", dict: "spread", list: "samples"},
        _LATENCY,
    ),
]
"""How long calls take: always the same, spread round a median, or as samples are, in order."""
Portion: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class ActorPart(Strict):
    """How an agent behaves in simulations; what is not said is as it was in the record."""

    latency: Annotated[
        Lasts | None,
        Field(description="How long its calls take. Without a record a median of 5 s."),
    ] = None
    latencies: Annotated[
        dict[Asking, Lasts],
        Field(description="The same for one kind of a team's calls, as `{vote: 2s}`."),
    ] = {}
    first: Annotated[
        Duration | None, Field(description="After how long it begins to answer; else at the end.")
    ] = None
    tokens_out: Annotated[
        int | None, Field(ge=0, description="Tokens of an answer. Without a record 200.")
    ] = None
    price: Annotated[
        PricePart | None, Field(description="Dollars for a million tokens; else the model's.")
    ] = None
    failing: Annotated[Portion | None, Field(description="The share of its calls that fail.")] = (
        None
    )
    fault: Annotated[Failing | None, Field(description="How they fail: `unavailable`.")] = None
    refusing: Annotated[
        Portion | None, Field(description="The share of its calls that the provider refuses.")
    ] = None
    retry_after: Annotated[
        Duration | None, Field(description="How long a refusal says to wait.")
    ] = None
    hanging: Annotated[
        Portion | None,
        Field(description="The share of its calls that never end by themselves."),
    ] = None
    votes: Annotated[
        Literal["unanimous", "split", "random"] | None,
        Field(
            description="For whom it votes: the best answer, as everybody else (`unanimous`); the "
            "best or the second best, by its seat's number; any."
        ),
    ] = None
    revises: Annotated[
        Portion | None,
        Field(description="The share of its turns in which it gives a new answer, where it may."),
    ] = None
    accuracy: Annotated[
        Portion | None, Field(description="The share of its verdicts that are right.")
    ] = None
    faulty: Annotated[
        Portion | None, Field(description="The share of its first artefacts that are not sound.")
    ] = None
    turns: Annotated[
        Count | None, Field(description="How many turns it takes where it has tools.")
    ] = None


def _for_ever(value: object) -> object:
    return None if value == "never" else value


class PeoplePart(Strict):
    """How people answer in simulations."""

    after: Annotated[
        Duration | None,
        BeforeValidator(_for_ever),
        WithJsonSchema({"anyOf": [{"const": "never"}, {"type": "string"}, {"type": "number"}]}),
        Field(description="How long they take; `never` if they don't answer."),
    ] = 0
    approve: Annotated[bool, Field(description="Whether they approve.")] = True
    value: Annotated[Any, Field(description="What they write where an input is asked for.")] = None


class SimulatePart(Strict):
    """What simulations of the file's plans assume."""

    agents: Annotated[dict[str, ActorPart], Field(description="How agents behave, by name.")] = {}
    everybody: Annotated[
        ActorPart | None,
        Field(description="How all behave, as far as their own entries say nothing else."),
    ] = None
    people: Annotated[PeoplePart, Field(description="How people answer.")] = PeoplePart()
    faults: Annotated[
        list[Text],
        Field(description="What goes wrong, as `flash down 30s at 1m` or `5% hang`."),
    ] = []
    variants: Annotated[
        list[Text],
        Field(
            description="Settings with spaces between them, a variant each, as `max_parallel=2 "
            "timeout=1h`: what is simulated where the command asks for nothing."
        ),
    ] = []
    runs: Annotated[
        int | None, Field(ge=1, le=_MOST_RUNS, description="How many runs of each variant.")
    ] = None
    seed: Annotated[int | None, Field(ge=0, description="Where chance comes from.")] = None
