"""The shape of a `hocket.yaml`, as pydantic models.

They judge shape and types alone; whether names exist and plans make sense is judged of the spec.
Every union is told apart by the keys that are there, so that a mistake gives one message and not
one for each way in which something else could have been meant.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, Tag

from hocket.config.basics import TAG, Count, Duration, Names, Strict, Text, by_key
from hocket.config.limit_parts import BudgetsOf, LimitPart, LimitsOf
from hocket.config.mcp_parts import McpUnion
from hocket.config.panel_parts import ConsensusStep, PanelStep, ReviewStep
from hocket.config.place_parts import Places
from hocket.config.population_parts import PopulationStep
from hocket.config.price import PricePart
from hocket.config.simulate_parts import SimulatePart
from hocket.config.step_parts import (
    AgentStep,
    Approves,
    ApproveStep,
    CommandSettings,
    CommandStep,
    FunctionStep,
    InputStep,
    NestedStep,
    Retries,
    ShellStep,
    Structured,
)
from hocket.config.tool_parts import Caches, ToolUnion
from hocket.core.specs import OnFailure

# ---- models and agents ----


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
    cache: Annotated[
        Caches, Field(description="Whether its answers are given again: off, exact, similar, 1h.")
    ] = None
    place: Places = None


class ToolUser(AgentPart):
    """What agents have that may call tools."""

    tools: Annotated[Names, Field(description="Names under tools.")] = []
    max_turns: Annotated[int | None, Field(ge=1, le=1_000)] = None


class ModelAgent(ToolUser):
    """Asks a model."""

    model: Annotated[Text, Field(description="A name under models, or provider:model.")]
    system: str | None = None
    temperature: Annotated[float | None, Field(ge=0)] = None
    max_tokens: Count | None = None
    stream: bool | None = None
    structured: Structured | None = None
    settings: dict[str, Any] = {}


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


class SessionAgent(AgentPart):
    """Asks a coding agent whose process stays warm, in a session for each call."""

    session: Annotated[
        Literal["claude", "codex", "acp"], Field(description="What the program speaks.")
    ]
    command: Annotated[
        list[Text] | None, Field(min_length=1, description="The program; needed for acp.")
    ] = None
    model: Annotated[Text | None, Field(description="As the program names it.")] = None
    args: Annotated[list[str] | None, Field(description="More arguments for the program.")] = None
    system: str | None = None
    permissions: Annotated[
        Literal["ask", "allow", "deny"] | None,
        Field(description="Who decides what it asks for: a person, always yes, always no."),
    ] = None
    one_shot: Annotated[
        Literal["auto", "never", "always"] | None,
        Field(description="Whether each call gets a new process: auto where it must."),
    ] = None
    pool: Annotated[Count | None, Field(description="How many processes are kept.")] = None
    turns: Annotated[Count | None, Field(description="How many calls at once in each.")] = None
    max_jobs: Annotated[Count | None, Field(description="Calls until a process is replaced.")] = (
        None
    )
    max_memory: Annotated[
        Count | None, Field(description="Bytes of a process and its own above which it is.")
    ] = None
    max_age: Annotated[Duration | None, Field(description="The age at which it is.")] = None
    idle: Annotated[Duration | None, Field(description="How long it is kept without a call.")] = (
        None
    )
    silence: Annotated[
        Duration | None, Field(description="How long a call may say nothing before it has hung.")
    ] = None
    grace: Annotated[Duration | None, Field(description="From a cancellation to the kill.")] = None
    cwd: Annotated[
        Text | None, Field(description="The working folder; by default an empty one a call.")
    ] = None
    worktree: Annotated[
        bool | None, Field(description="Whether each call gets a git worktree at HEAD.")
    ] = None
    branch: Annotated[
        Text | None, Field(description="How the names of branches begin that keep its changes.")
    ] = None
    env: Annotated[dict[str, str] | None, Field(description="Variables to set.")] = None
    env_pass: Annotated[Names | None, Field(description="Variables to hand on.")] = None


class ScriptedAgent(ToolUser):
    """Answers from a script: for tests and documentation."""

    scripted: dict[str, Any]


AGENT_KINDS = ("session", "model", "command", "function", "local", "scripted")
"""The first that is there counts: a session names a model and a command besides."""


AgentUnion: TypeAlias = Annotated[
    Annotated[ModelAgent, Tag(TAG + "model")]
    | Annotated[CommandAgent, Tag(TAG + "command")]
    | Annotated[FunctionAgent, Tag(TAG + "function")]
    | Annotated[LocalAgent, Tag(TAG + "local")]
    | Annotated[ScriptedAgent, Tag(TAG + "scripted")]
    | Annotated[SessionAgent, Tag(TAG + "session")],
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


STEP_KINDS = (
    *("agent", "command", "shell", "call"),
    *("consensus", "review", "panel", "population"),
    *("run", "approve", "input"),
)

StepUnion: TypeAlias = Annotated[
    Annotated[AgentStep, Tag(TAG + "agent")]
    | Annotated[CommandStep, Tag(TAG + "command")]
    | Annotated[ShellStep, Tag(TAG + "shell")]
    | Annotated[FunctionStep, Tag(TAG + "call")]
    | Annotated[ConsensusStep, Tag(TAG + "consensus")]
    | Annotated[ReviewStep, Tag(TAG + "review")]
    | Annotated[PanelStep, Tag(TAG + "panel")]
    | Annotated[PopulationStep, Tag(TAG + "population")]
    | Annotated[NestedStep, Tag(TAG + "run")]
    | Annotated[ApproveStep, Tag(TAG + "approve")]
    | Annotated[InputStep, Tag(TAG + "input")],
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
    approve: Annotated[
        Approves, Field(description="Whether a person approves of a run before it begins.")
    ] = None
    defaults: DefaultsPart = DefaultsPart()
    steps: Annotated[dict[str, StepUnion], Field(min_length=1)]
    output: Any = None


class FilePart(Strict):
    """A file of plans, and of the agents and models that do their work."""

    version: Literal[1]
    extends: Annotated[
        Text | None, Field(description="A file beside it, whose agents and all else it uses.")
    ] = None
    limits: dict[str, LimitPart] = {}
    models: dict[str, ModelPart] = {}
    mcp: dict[str, McpUnion] = {}
    tools: dict[str, ToolUnion] = {}
    agents: dict[str, AgentUnion] = {}
    plans: Annotated[dict[str, PlanPart], Field(min_length=1)]
    simulate: SimulatePart | None = None
