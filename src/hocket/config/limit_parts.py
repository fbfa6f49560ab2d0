"""The shape of limits and budgets in a file, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from hocket.config.amounts import (
    NUMBER,
    PERIOD,
    read_count,
    read_money,
    read_quantile,
    read_rate,
    read_spending,
)
from hocket.config.basics import STRICT, TAG, Count, Duration, Text, by_type
from hocket.core.specs import OnExceed, Rate

_RATE_SCHEMA: dict[str, Any] = {"type": "string", "pattern": rf"^{NUMBER} ?[kKM]? ?/ ?{PERIOD}$"}
_COUNT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": rf"^{NUMBER} ?[kKM]?$"},
    ]
}
_MONEY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": rf"^\$? ?{NUMBER}$"},
    ]
}
_SPENDING_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": rf"^\$? ?{NUMBER} ?(/ ?{PERIOD})?$"},
    ]
}


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _several(one: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one}]})


Rates: TypeAlias = Annotated[
    list[Annotated[Rate, PlainValidator(read_rate)]],
    Field(min_length=1),
    BeforeValidator(_listed),
    _several(_RATE_SCHEMA),
]
Spendings: TypeAlias = Annotated[
    list[Annotated[Rate, PlainValidator(read_spending)]],
    Field(min_length=1),
    BeforeValidator(_listed),
    _several(_SPENDING_SCHEMA),
]
Amount: TypeAlias = Annotated[int, PlainValidator(read_count), WithJsonSchema(_COUNT_SCHEMA)]
Money: TypeAlias = Annotated[int, PlainValidator(read_money), WithJsonSchema(_MONEY_SCHEMA)]
Quantile: TypeAlias = Annotated[
    float,
    PlainValidator(read_quantile),
    WithJsonSchema({"type": "string", "pattern": "^p[5-9][0-9]$"}),
]


class LimitPart(BaseModel):
    """A bound that calls share; several bounds in one all hold."""

    model_config = STRICT

    preset: Annotated[Text | None, Field(description="A provider's tier to begin with.")] = None
    requests: Annotated[Rates | None, Field(description="Calls that start, like 9/min.")] = None
    tokens: Annotated[
        Rates | None, Field(description="Tokens read and written together, like 32k/min.")
    ] = None
    tokens_in: Annotated[Rates | None, Field(description="Tokens read.")] = None
    tokens_out: Annotated[Rates | None, Field(description="Tokens written.")] = None
    cost: Annotated[Spendings | None, Field(description="Dollars, like 0.50/day.")] = None
    concurrency: Annotated[Count | None, Field(description="Units in use at once.")] = None
    spacing: Annotated[Duration | None, Field(description="The least time between two starts.")] = (
        None
    )
    margin: Annotated[
        Duration | None,
        Field(description="How much later than it was sent a request may be counted."),
    ] = None
    shared: Annotated[
        bool | None, Field(description="Whether all runs of the state folder share it.")
    ] = None
    adaptive: Annotated[
        bool | None, Field(description="Whether refusals and headers may narrow it.")
    ] = None
    on_exceed: Annotated[
        OnExceed | None, Field(description="What becomes of a call that does not fit.")
    ] = None

    @model_validator(mode="after")
    def _spent_at_last(self) -> LimitPart:
        if self.shared is not False and any(not rate.per for rate in self.cost or ()):
            raise ValueError(
                "money that all runs share is gone for ever: say per what, like 1.00/day, "
                "or shared: false for that much in each run"
            )
        return self


class BudgetPart(BaseModel):
    """The most that may be spent; a call's maximum is reserved before it is made."""

    model_config = STRICT

    cost: Annotated[Money | None, Field(description="Dollars.")] = None
    tokens: Annotated[Amount | None, Field(description="Tokens read and written.")] = None
    per: Annotated[
        Literal["run", "day"], Field(description="Each run has it, or all runs within 24 hours.")
    ] = "run"
    on_exceed: Annotated[
        Literal["pause", "fail", "fallback"],
        Field(description="What becomes of a call that does not fit."),
    ] = "pause"

    @model_validator(mode="after")
    def _of_something(self) -> BudgetPart:
        if self.cost is None and self.tokens is None:
            raise ValueError("a budget says how much: cost in dollars, or tokens, or both")
        return self


def _dollars(value: object) -> object:
    return value if isinstance(value, dict) else {"cost": value}


def _one_inline(value: list[Any]) -> list[Any]:
    if sum(isinstance(item, LimitPart) for item in value) > 1:
        raise ValueError("a list of limits has names and one limit of its own at most")
    return value


def _one_each(value: list[BudgetPart]) -> list[BudgetPart]:
    if len({budget.per for budget in value}) < len(value):
        raise ValueError("a list of budgets has one per run and one per day")
    return value


_Limit: TypeAlias = Annotated[
    Annotated[Text, Tag(TAG + "name")] | Annotated[LimitPart, Tag(TAG + "limit")],
    by_type({str: "name", dict: "limit"}, "a limit is a name under limits, or an object"),
]
_Dollars: TypeAlias = Annotated[
    BudgetPart,
    BeforeValidator(_dollars),
    WithJsonSchema(_MONEY_SCHEMA),
    Tag(TAG + "dollars"),
]
_Budget: TypeAlias = Annotated[
    _Dollars | Annotated[BudgetPart, Tag(TAG + "budget")],
    by_type(
        {str: "dollars", int: "dollars", float: "dollars", dict: "budget"},
        "a budget is dollars, or an object like {cost: 1.00, per: day}",
    ),
]
LimitsOf: TypeAlias = Annotated[
    Annotated[Text, Tag(TAG + "name")]
    | Annotated[LimitPart, Tag(TAG + "limit")]
    | Annotated[list[_Limit], Field(min_length=1), AfterValidator(_one_inline), Tag(TAG + "list")],
    by_type(
        {str: "name", dict: "limit", list: "list"},
        "limits are a name under limits, an object like {requests: 9/min}, or a list of these",
    ),
]
"""A limit's name, a limit of its own, or a list of names and one of its own."""
BudgetsOf: TypeAlias = Annotated[
    _Dollars
    | Annotated[BudgetPart, Tag(TAG + "budget")]
    | Annotated[list[_Budget], Field(min_length=1), AfterValidator(_one_each), Tag(TAG + "list")],
    by_type(
        {str: "dollars", int: "dollars", float: "dollars", dict: "budget", list: "list"},
        "a budget is dollars, an object like {cost: 1.00, per: day}, or a list of these",
    ),
]
"""Dollars, a budget, or one per run and one per day."""
