"""The shape of the steps of a plan that one agent, one person or one other plan does."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from hocket.config.approval import UNSAID
from hocket.config.basics import Count, Duration, Names, Strict, Text
from hocket.config.limit_parts import LimitsOf, Quantile
from hocket.config.place_parts import Places
from hocket.config.shorthand import Wanted, read_output
from hocket.config.team_parts import ReviewPart
from hocket.core.specs import Approval, OnFailure, OnTimeout


def _retry(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("retry counts tries after the first one: 0 or more")
        return {"tries": value + 1}
    return value


_OUTPUT_SCHEMA: dict[str, Any] = {
    "anyOf": [{"enum": ["text", "json", "lines"]}, {"type": "object"}],
    "description": "text, json, lines, fields like {title: str, tags: [str]}, or a JSON Schema.",
}

Output: TypeAlias = Annotated[
    Wanted | None, PlainValidator(read_output), WithJsonSchema(_OUTPUT_SCHEMA)
]
Structured: TypeAlias = Literal["auto", "native", "tool"]


class RetryPart(Strict):
    """When a failed call is tried again."""

    tries: Annotated[Count, Field(description="Tries in all; 1 means no retry.")] = 3
    on: Annotated[list[str] | None, Field(description="The faults worth another try.")] = None
    first: Annotated[Duration | None, Field(description="The first back-off.")] = None
    factor: float | None = None
    longest: Annotated[Duration | None, Field(description="The longest back-off.")] = None
    jitter: Annotated[float | None, Field(ge=0, le=1)] = None


Retries: TypeAlias = Annotated[
    RetryPart, BeforeValidator(_retry, json_schema_input_type=int | RetryPart)
]


class RepeatPart(Strict):
    """Do a step again until an expression holds."""

    until: Text
    max: Count


class CommandSettings(Strict):
    """How a command is run; a step's own settings win over the agent's."""

    cwd: Annotated[Text | None, Field(description="The working folder.")] = None
    env: Annotated[dict[str, str] | None, Field(description="Variables to set.")] = None
    env_pass: Annotated[Names | None, Field(description="Variables to hand on.")] = None
    files: Annotated[Names | None, Field(description="Files to keep, by pattern.")] = None
    keep: Annotated[int | None, Field(ge=0, description="The most bytes of output kept.")] = None
    quota: Annotated[int | None, Field(ge=0, description="The most bytes before the kill.")] = None
    allow_dashes: Annotated[
        bool | None, Field(description="Let values from templates begin with '-'.")
    ] = None
    grace: Annotated[Duration | None, Field(description="From the request to end to the kill.")] = (
        None
    )
    ok: Annotated[list[int] | None, Field(description="Exit statuses that are a success.")] = None


class StepPart(Strict):
    """What all steps have."""

    needs: Annotated[Names, Field(description="Steps that must have succeeded.")] = []
    wants: Annotated[Names, Field(description="Steps waited for, without which it goes on.")] = []
    within: Annotated[Duration | None, Field(description="How long wants are waited for.")] = None
    quorum: Annotated[Count | None, Field(description="How many wants are enough.")] = None
    when: Annotated[Text | None, Field(description="Skip the step unless this holds.")] = None
    timeout: Duration | None = None
    on_failure: OnFailure | None = None


_APPROVES = (
    "a step that does work is approved of with true, or with timeout, on_timeout and "
    "confirm_effects; one that shows a text does nothing else"
)


def _approval(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    if value is not None and not isinstance(value, dict):
        raise ValueError(_APPROVES)
    return value


class ApprovalPart(Strict):
    """A person approves of what will be done, before it is done."""

    timeout: Annotated[Duration | None, Field(description="How long that is waited for.")] = None
    on_timeout: Annotated[OnTimeout, Field(description="What no answer means.")] = "pause"
    confirm_effects: Annotated[
        bool, Field(description="Whether approve is meant although what begins has effects.")
    ] = False

    def spec(self) -> Approval:
        """Give it as a spec; a time that is not stated is still to be filled in."""
        return Approval(
            timeout=UNSAID if self.timeout is None else self.timeout,
            on_timeout=self.on_timeout,
            confirm_effects=self.confirm_effects,
        )


Approves: TypeAlias = Annotated[
    ApprovalPart | None,
    BeforeValidator(_approval, json_schema_input_type=bool | ApprovalPart | None),
]


class WorkPart(StepPart):
    """What steps have that do work."""

    approve: Annotated[
        Approves, Field(description="Whether a person approves of what it will do first.")
    ] = None

    each: Annotated[Text | None, Field(description="A list: once for each item.")] = None
    repeat: RepeatPart | None = None


class CallPart(WorkPart):
    """What steps have that call an agent."""

    output: Output = None
    retry: Retries | None = None
    fallback: Names = []
    effects: bool | None = None
    uses: Annotated[
        dict[str, Count], Field(description="Units of limits that a call holds while it runs.")
    ] = {}
    takes: Annotated[Duration | None, Field(description="How long a call is expected to take.")] = (
        None
    )
    hedge: Annotated[
        Quantile | None, Field(description="When a call gets a second one beside it.")
    ] = None
    review: Annotated[
        ReviewPart | None, Field(description="How the output is reviewed before it is the step's.")
    ] = None


class AgentStep(CallPart, CommandSettings):
    """Asks an agent."""

    agent: Text
    prompt: str | None = None
    with_: Annotated[Any, Field(alias="with")] = None
    system: str | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Count | None = None
    seed: Annotated[int | None, Field(ge=0)] = None
    stream: bool | None = None
    structured: Structured | None = None
    settings: dict[str, Any] | None = None


class CommandStep(CallPart, CommandSettings):
    """Runs a program with arguments; no shell reads them."""

    command: Annotated[list[Text], Field(min_length=1)]
    stdin: str | None = None
    concurrency: Count | None = None
    limits: LimitsOf | None = None
    place: Places = None


class ShellStep(CallPart, CommandSettings):
    """Lets a shell read a text; values come as arguments, `$1` and so on, never into the text."""

    shell: Text
    args: list[str] = []
    stdin: str | None = None
    concurrency: Count | None = None
    limits: LimitsOf | None = None
    place: Places = None


class FunctionStep(CallPart):
    """Calls a Python function."""

    call: Annotated[Text, Field(description="module:qualname")]
    with_: Annotated[Any, Field(alias="with")] = None
    mode: Literal["auto", "thread", "process"] | None = None
    concurrency: Count | None = None
    limits: LimitsOf | None = None
    place: Places = None


class ApproveStep(StepPart):
    """Waits until a person approves of the text."""

    approve: Any
    on_timeout: OnTimeout | None = None
    confirm_effects: Annotated[
        bool, Field(description="Whether approve is meant although what begins has effects.")
    ] = False


class InputStep(StepPart):
    """Waits for a person's text or an outside event."""

    input: Any
    output: Output = None
    on_timeout: OnTimeout | None = None


class NestedStep(WorkPart):
    """Runs another plan of the file."""

    run: Annotated[Text, Field(description="A name under plans.")]
    with_: Annotated[dict[str, Any] | str, Field(alias="with")] = {}
