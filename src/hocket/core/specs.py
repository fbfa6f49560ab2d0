"""What a run is asked to do, as plain data.

A spec is made by `hocket.config` from a file or from Python, is checked once, and is pinned by its
digest in the run's first event.
Texts inside may hold templates, ``{{step.field}}``; `hocket.core.template` renders them.
Defaults are left out of the encoding, so a plan of 100,000 steps stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import FaultKind
from hocket.core.teams import CacheSpec, ReviewSpec, TeamSpec, ToolSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND, Json, canonical, digest

OnFailure: TypeAlias = Literal["stop", "skip", "continue"]
OnTimeout: TypeAlias = Literal["pause", "reject", "approve"]
OnExceed: TypeAlias = Literal["wait", "pause", "fail", "fallback"]
StepKind: TypeAlias = Literal["call", "approve", "input", "plan", "consensus", "review", "gather"]
AgentKind: TypeAlias = Literal[
    "function", "command", "model", "local", "scripted", "mcp", "session", "population"
]

CALL_TIMEOUT: Final = HOUR
PERSON_TIMEOUT: Final = DAY
"""How long calls may take, and how long people are waited for, where nobody says otherwise."""
PATIENCE: Final = 5 * MINUTE
PATIENCE_PER_STEP: Final = 30 * SECOND
"""How long an approval is waited for: the first at least, the second for each step of the plan."""

RETRIED: tuple[FaultKind, ...] = (
    "failed",
    "timeout",
    "unavailable",
    "rate_limited",
    "invalid_output",
)
"""The faults that a retry policy covers unless it names its own; never ``permanent``."""


class Rate(msgspec.Struct, frozen=True, array_like=True):
    """So much in any stretch of so many nanoseconds; `per` 0 means in all, for ever."""

    amount: int
    per: int


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named bound shared by calls; several bounds under one name all hold.

    Fields:
        requests: Calls that start.
        tokens: Tokens read and written together; reserved by estimate, settled by usage.
        tokens_in: Tokens read.
        tokens_out: Tokens written.
        cost: Pico-dollars; a call's maximum is reserved, settled by usage.
        concurrency: Units in use at once; a call holds its units from its start to its end.
        spacing: The least time between two starts, in nanoseconds.
        margin: How much later than it was sent a request may be counted by the server, in
            nanoseconds; None begins with 250 ms and learns from round trips.
        shared: Whether all runs of all processes on the state folder share it; if not, each run
            has its own.
        adaptive: Whether refusals, the provider's headers and failures of the endpoint narrow it.
        on_exceed: What becomes of a call that does not fit and will not by waiting for calls in
            flight: it waits, the run is paused, the call fails, or its step's fallback takes over.
    """

    requests: tuple[Rate, ...] = ()
    tokens: tuple[Rate, ...] = ()
    tokens_in: tuple[Rate, ...] = ()
    tokens_out: tuple[Rate, ...] = ()
    cost: tuple[Rate, ...] = ()
    concurrency: int | None = None
    spacing: int = 0
    margin: int | None = None
    shared: bool = True
    adaptive: bool = True
    on_exceed: OnExceed = "wait"


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a failed call is tried again.

    Fields:
        tries: How many tries an agent has in all; 1 means no retry.
        on: The faults worth another try.
        first: The first back-off in nanoseconds; each further one is `factor` times longer.
        factor: Growth of the back-off.
        longest: The longest back-off in nanoseconds.
        jitter: The share of a back-off that is drawn at random, from the run's seed.
    """

    tries: int = 1
    on: tuple[FaultKind, ...] = RETRIED
    first: int = SECOND
    factor: float = 2.0
    longest: int = MINUTE
    jitter: float = 0.5


class Repeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Do a step again until an expression holds.

    Fields:
        until: The expression; it sees the step's own new output by the step's name.
        max: The most rounds; a step that does not get there has failed.
    """

    until: str
    max: int


class Learned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time limit that is learned from earlier runs when a run begins.

    Fields:
        cap: The longest that it may be; it holds where nothing is known.
        floor: The shortest.
        quantile: The share of earlier calls that took less.
    """

    cap: int
    floor: int = 0
    quantile: float = 0.95


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named input of a plan.

    Fields:
        required: Whether a run must give it.
        default: Its value when it is not given.
        about: What it means, for a person.
    """

    required: bool = True
    default: Json = None
    about: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person has to approve of something before it begins.

    Fields:
        timeout: How long that is waited for, in nanoseconds.
        on_timeout: What no answer means: ``pause`` the run, count as rejected, or as approved.
        confirm_effects: Whether ``approve`` is meant, although what begins then may do harm.
    """

    timeout: int = PATIENCE
    on_timeout: OnTimeout = "pause"
    confirm_effects: bool = False


class StepSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node of a plan.

    Fields:
        name: Unique in its plan; letters, digits, ``_`` and ``-``, first a letter.
        kind: ``call`` an agent, ask a person to ``approve``, wait for an ``input``, do a ``plan``,
            let a team do a ``consensus`` or a ``review``, or ``gather`` what its wants have given
            by the time it begins.
        agent: Who does a ``call``.
        input: What the agent gets, what an approval shows, what an input asks, or a nested
            plan's inputs: JSON whose texts are templates.
        needs: Steps that must have succeeded.
        wants: Steps waited for, whose failure or lateness does not block.
        within: How long after the needs the wants are waited for, in nanoseconds.
        quorum: How many wants are enough to start.
        when: An expression; if it is false the step is skipped.
        each: An expression that gives a list; the step is done for each item, in parallel.
        output: JSON Schema that the output must fit.
        retry: When a failed call is tried again.
        timeout: The longest that one call, approval or input may take, in nanoseconds; a nested
            plan has its own.
        fallback: Agents to turn to, in order, when one has used up its tries.
        on_failure: ``stop`` the run, ``skip`` what needs this step, or ``continue`` with null.
        repeat: Do the step again until an expression holds.
        on_timeout: What an unanswered approval or input does: ``pause`` the run, count as
            rejected, or as approved.
        effects: Whether repeating a call could do harm; None means what the agent says.
        options: Settings for the agent that hold for this step alone.
        uses: Units of named limits that each call of the step holds while it runs.
        takes: How long a call is expected to take, in nanoseconds; None asks the duration book.
        hedge: The quantile of its own past durations after which a call that may be repeated gets
            a second one beside it; None for never.
        plan: The nested plan of a ``plan`` step.
        team: What the team of a ``consensus`` or ``review`` step does.
        review: How the output of a ``call`` is reviewed before the step has succeeded.
        approval: Whether a person has to approve of what the step will do before it does it.
        confirm_effects: For an ``approve`` step: whether ``on_timeout: approve`` is meant, although
            what waits for it may do harm.
    """

    name: str
    kind: StepKind = "call"
    agent: str = ""
    input: Json = None
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    within: int | None = None
    quorum: int | None = None
    when: str | None = None
    each: str | None = None
    output: Json = None
    retry: Retry = Retry()
    timeout: int = CALL_TIMEOUT
    fallback: tuple[str, ...] = ()
    on_failure: OnFailure = "stop"
    repeat: Repeat | None = None
    on_timeout: OnTimeout = "pause"
    effects: bool | None = None
    options: dict[str, Json] = {}
    uses: dict[str, int] = {}
    takes: int | None = None
    hedge: float | None = None
    learned: dict[str, Learned] = {}
    plan: PlanSpec | None = None
    team: TeamSpec | None = None
    review: ReviewSpec | None = None
    approval: Approval | None = None
    confirm_effects: bool = False


class PlanSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan"):
    """A workflow of steps, each started the moment its inputs are there.

    Fields:
        name: What people call it.
        steps: The nodes; their order breaks ties and nothing else.
        inputs: What a run may or must be given.
        output: JSON whose texts are templates, or None for the outputs of the last steps.
        timeout: The longest that the whole may take, in nanoseconds.
        approval: Whether a person has to approve of a run of it before anything of it begins.
    """

    name: str
    steps: tuple[StepSpec, ...]
    inputs: dict[str, InputSpec] = {}
    output: Json = None
    timeout: int = 7 * DAY
    approval: Approval | None = None


WorkflowSpec: TypeAlias = PlanSpec
"""Any workflow's spec; each kind is a tagged struct."""


class PlaceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What calls need of the machine that they are done on, where there are several.

    Fields:
        gpu: How many GPUs each call has for itself; below 1 a share of one.
        cpu: How many processor cores each call has for itself.
        memory: How many bytes of memory each call has for itself.
        tags: What else a node has to offer; a node says its own.
    """

    gpu: float = 0
    cpu: float = 0
    memory: int = 0
    tags: tuple[str, ...] = ()


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who does work.

    Fields:
        kind: Which adapter runs it.
        options: The adapter's settings; never a secret, only the name of its variable.
        concurrency: The most calls of it at once over the run; None is the adapter's default.
        effects: Whether repeating a call could do harm; such a call is never repeated unasked.
        limits: The run's limits of which each call claims one unit.
        tools: The tools that it may call, by name.
        max_turns: The most turns of one conversation with tools.
        cache: For how long its answers are given again; None never.
        place: What its calls need of a machine, where there are several; None for any.
    """

    kind: AgentKind
    options: dict[str, Json] = {}
    concurrency: int | None = None
    effects: bool = False
    limits: tuple[str, ...] = ()
    tools: dict[str, ToolSpec] = {}
    max_turns: int = 10
    cache: CacheSpec | None = None
    place: PlaceSpec | None = None


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a run needs besides its inputs.

    Fields:
        workflow: What to do.
        agents: Who does it, by name.
        max_parallel: The most calls of this run at once.
        limits: The bounds that calls claim, by name.
        claims: The limits of which every call of the run claims one unit.
        priority: Runs of a higher one go first where limits are shared.
        weight: The share of a contended limit, beside other runs of the same priority.
        deadline: How long after its start the run should be over, in nanoseconds; nearer ones go
            first. It is a wish, not a time-out.
        source: The file it came from as the user named it, or "" for Python.
    """

    workflow: WorkflowSpec
    agents: dict[str, AgentSpec] = {}
    max_parallel: int = 16
    limits: dict[str, LimitSpec] = {}
    claims: tuple[str, ...] = ()
    priority: int = 0
    weight: float = 1.0
    deadline: int | None = None
    source: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.workflow.name


def steps_of(plan: PlanSpec) -> int:
    """Count the steps of a plan, those of nested plans with them."""
    return sum(1 if step.plan is None else 1 + steps_of(step.plan) for step in plan.steps)


def agents_of(step: StepSpec, agents: Mapping[str, AgentSpec]) -> frozenset[str]:
    """Name every agent that a step's calls may go to, those of tools included."""
    names = {name for name in (step.agent, *step.fallback) if name}
    for team in (step.team, step.review):
        if team is not None:
            for member in team.members:
                names.update((member.agent, *member.fallback))
            names.add(getattr(team, "presenter", ""))
            names.add(getattr(team, "fixer", ""))
    for name in list(names):
        if name in agents:
            names.update(tool.agent for tool in agents[name].tools.values())
    return frozenset(names - {""})


def patience(steps: int) -> int:
    """Say how long an approval is waited for in a plan of so many steps, in nanoseconds."""
    return max(PATIENCE, PATIENCE_PER_STEP * steps)


def spec_digest(spec: RunSpec) -> str:
    """Name a spec by content; where it came from does not count, nor what was learned for it."""
    workflow = unlearned(spec.workflow)
    return digest(canonical(msgspec.structs.replace(spec, source="", workflow=workflow)))


def unlearned(plan: PlanSpec) -> PlanSpec:
    """Give a plan with the time limits that hold where nothing is learned; often it is the same."""
    if not any(step.learned or step.plan is not None for step in plan.steps):
        return plan
    steps = tuple([unlearned_step(step) for step in plan.steps])
    return msgspec.structs.replace(plan, steps=steps)


def unlearned_step(step: StepSpec) -> StepSpec:
    """Give a step with the time limits that hold where nothing is learned."""
    changes: dict[str, Json] = {field: learned.cap for field, learned in step.learned.items()}
    if step.plan is not None:
        changes["plan"] = unlearned(step.plan)
    return msgspec.structs.replace(step, **changes) if changes else step
