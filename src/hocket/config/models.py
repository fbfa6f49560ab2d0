"""The shape of a `hocket.yaml`, as pydantic models.

They judge shape and types alone; whether names exist and plans make sense is judged of the spec.
Every union is told apart by the keys that are there, so that a mistake gives one message and not
one for each way in which something else could have been meant.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, Tag, WithJsonSchema

from hocket.config.basics import STRICT, TAG, Count, Duration, Names, Text, by_key
from hocket.config.limit_parts import BudgetsOf, LimitPart, LimitsOf, Quantile
from hocket.config.shorthand import Wanted, read_output
from hocket.core.specs import OnFailure, OnTimeout


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


class Strict(BaseModel):
    """What every part of the file keeps to: no unknown keys, no guessing at types."""

    model_config = STRICT


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


# ---- models and agents ----


class PricePart(Strict):
    """Dollars for a million tokens."""

    in_: Annotated[float, Field(alias="in", ge=0)]
    out: Annotated[float, Field(ge=0)]


class ModelPart(Strict):
    """A model of a provider, or of any server that speaks OpenAI's protocol."""

    id: Annotated[Text, Field(description="provider:model, as in openai:gpt-5.2.")]
    base_url: Annotated[Text | None, Field(description="A server of OpenAI's protocol.")] = None
    key_env: Annotated[Text | None, Field(description="The variable that holds the key.")] = None
    price: PricePart | None = None
    limits: LimitsOf | None = None
    settings: dict[str, Any] = {}


class AgentPart(Strict):
    """What all agents have."""

    concurrency: Annotated[Count | None, Field(description="The most calls at once.")] = None
    effects: Annotated[
        bool | None, Field(description="Whether repeating a call could do harm.")
    ] = None
    limits: LimitsOf | None = None
    budget: BudgetsOf | None = None


class ModelAgent(AgentPart):
    """Asks a model."""

    model: Annotated[Text, Field(description="A name under models, or provider:model.")]
    system: str | None = None
    temperature: Annotated[float | None, Field(ge=0)] = None
    max_tokens: Count | None = None
    stream: bool | None = None
    structured: Structured | None = None
    settings: dict[str, Any] = {}


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


class CommandAgent(AgentPart, CommandSettings):
    """Runs a program; its prompt comes on stdin, arguments follow the command."""

    command: Annotated[list[Text], Field(min_length=1)]


class FunctionAgent(AgentPart):
    """Calls a Python function."""

    function: Annotated[Text, Field(description="module:qualname")]
    mode: Literal["auto", "thread", "process"] | None = None


class LocalAgent(AgentPart):
    """Asks the embedded demo model."""

    local: Literal["smollm2-135m"]
    system: str | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1024)] = None
    seed: Annotated[int | None, Field(ge=0)] = None
    threads: Count | None = None


class ScriptedAgent(AgentPart):
    """Answers from a script: for tests and documentation."""

    scripted: dict[str, Any]


AGENT_KINDS = ("model", "command", "function", "local", "scripted")


AgentUnion: TypeAlias = Annotated[
    Annotated[ModelAgent, Tag(TAG + "model")]
    | Annotated[CommandAgent, Tag(TAG + "command")]
    | Annotated[FunctionAgent, Tag(TAG + "function")]
    | Annotated[LocalAgent, Tag(TAG + "local")]
    | Annotated[ScriptedAgent, Tag(TAG + "scripted")],
    by_key(AGENT_KINDS, "an agent"),
]


# ---- plans ----


class InputPart(Strict):
    """A named input of a plan; without a default a run must give it."""

    default: Any = None
    about: str = ""
    required: bool | None = None


def _inputs(value: object) -> object:
    if isinstance(value, list):
        names = [name for name in value if isinstance(name, str)]
        if len(names) < len(value) or len(set(names)) < len(names):
            raise ValueError("a list of inputs has different names in it")
        return {name: {} for name in names}
    if isinstance(value, dict):
        return {name: {} if part is None else part for name, part in value.items()}
    return value


class DefaultsPart(Strict):
    """What holds for every step of a plan that says nothing else."""

    retry: Retries | None = None
    timeout: Duration | None = None
    on_failure: OnFailure | None = None


class StepPart(Strict):
    """What all steps have."""

    needs: Annotated[Names, Field(description="Steps that must have succeeded.")] = []
    wants: Annotated[Names, Field(description="Steps waited for, without which it goes on.")] = []
    within: Annotated[Duration | None, Field(description="How long wants are waited for.")] = None
    quorum: Annotated[Count | None, Field(description="How many wants are enough.")] = None
    when: Annotated[Text | None, Field(description="Skip the step unless this holds.")] = None
    timeout: Duration | None = None
    on_failure: OnFailure | None = None


class WorkPart(StepPart):
    """What steps have that do work."""

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


class ShellStep(CallPart, CommandSettings):
    """Lets a shell read a text; values come as arguments, `$1` and so on, never into the text."""

    shell: Text
    args: list[str] = []
    stdin: str | None = None
    concurrency: Count | None = None
    limits: LimitsOf | None = None


class FunctionStep(CallPart):
    """Calls a Python function."""

    call: Annotated[Text, Field(description="module:qualname")]
    with_: Annotated[Any, Field(alias="with")] = None
    mode: Literal["auto", "thread", "process"] | None = None
    concurrency: Count | None = None
    limits: LimitsOf | None = None


class ApproveStep(StepPart):
    """Waits until a person approves of the text."""

    approve: Any
    on_timeout: OnTimeout | None = None


class InputStep(StepPart):
    """Waits for a person's text or an outside event."""

    input: Any
    output: Output = None
    on_timeout: OnTimeout | None = None


class NestedStep(WorkPart):
    """Runs another plan of the file."""

    run: Annotated[Text, Field(description="A name under plans.")]
    with_: Annotated[dict[str, Any] | str, Field(alias="with")] = {}


STEP_KINDS = ("agent", "command", "shell", "call", "approve", "input", "run")

StepUnion: TypeAlias = Annotated[
    Annotated[AgentStep, Tag(TAG + "agent")]
    | Annotated[CommandStep, Tag(TAG + "command")]
    | Annotated[ShellStep, Tag(TAG + "shell")]
    | Annotated[FunctionStep, Tag(TAG + "call")]
    | Annotated[ApproveStep, Tag(TAG + "approve")]
    | Annotated[InputStep, Tag(TAG + "input")]
    | Annotated[NestedStep, Tag(TAG + "run")],
    by_key(STEP_KINDS, "a step"),
]


class PlanPart(Strict):
    """A workflow of steps, each started the moment its inputs are there."""

    inputs: Annotated[
        dict[str, InputPart],
        BeforeValidator(_inputs, json_schema_input_type=list[str] | dict[str, InputPart | None]),
    ] = {}
    max_parallel: Annotated[int, Field(ge=1, description="The most calls at once.")] = 16
    timeout: Duration | None = None
    limits: LimitsOf | None = None
    budget: BudgetsOf | None = None
    priority: Annotated[
        int, Field(ge=-1000, le=1000, description="Runs of a higher one go first.")
    ] = 0
    weight: Annotated[
        float, Field(gt=0, le=1000, description="The share beside others of its priority.")
    ] = 1.0
    deadline: Annotated[
        Duration | None, Field(description="When a run should be over; nearer ones go first.")
    ] = None
    defaults: DefaultsPart = DefaultsPart()
    steps: Annotated[dict[str, StepUnion], Field(min_length=1)]
    output: Any = None


class FilePart(Strict):
    """A file of plans, and of the agents and models that do their work."""

    version: Literal[1]
    limits: dict[str, LimitPart] = {}
    models: dict[str, ModelPart] = {}
    agents: dict[str, AgentUnion] = {}
    plans: Annotated[dict[str, PlanPart], Field(min_length=1)]
