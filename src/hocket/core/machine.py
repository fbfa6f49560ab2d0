"""What every workflow is to the run that drives it, and what the two say to each other.

A workflow decides which jobs there are; the run machine (`hocket.core.run`) turns a job into calls,
with their retries, back-offs, time-outs and fallbacks, and tells the workflow how the job ended.
Both are pure: time arrives as an argument, and what follows is drained as moves or commands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, Protocol, Self, TypeAlias

import msgspec

from hocket.core.errors import Fault
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    InputAsked,
    InputGiven,
    Status,
    StepFailed,
    StepSkipped,
    Usage,
)
from hocket.core.reports import Report
from hocket.core.specs import AgentSpec, Retry, StepKind, WorkflowSpec
from hocket.core.teams import Tool
from hocket.core.values import Json

StepStatus: TypeAlias = Literal[
    "pending", "running", "waiting", "succeeded", "failed", "skipped", "held", "stopped"
]
"""How far a step is.

waiting: for a person's approval or input.
held: a call of it was lost with its process, has effects, and a person has to decide.
stopped: the run has ended before the step has.
The last two are the run's to say; a workflow gives the others.
"""


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the jobs of one step are done; shared by all of them.

    Fields:
        agents: The agent, then its fallbacks.
        effects: For each agent, whether repeating a call could do harm.
        retry: When a failed call is tried again.
        timeout: The longest that one call may take.
        output: JSON Schema that the output must fit.
        options: The step's own settings for the agent.
        uses: Units of named limits that each call holds while it runs.
        limited: For each agent, whether a limit does the waiting after a refusal.
        hedge: The quantile of past durations after which a second call begins beside the first.
        tools: What a model may call instead of giving its answer.
        sample: What tells apart, for kept answers, those who are asked the same on purpose: a
            member's path within its team. None for a plain step, whose rounds tell apart; "" for
            what is the same whoever asks, as the call of a tool.
    """

    agents: tuple[str, ...]
    effects: tuple[bool, ...]
    retry: Retry
    timeout: int
    output: Json
    options: dict[str, Json]
    uses: tuple[tuple[str, int], ...] = ()
    limited: tuple[bool, ...] = ()
    hedge: float | None = None
    tools: tuple[Tool, ...] = ()
    sample: str | None = None


class Departure(msgspec.Struct, frozen=True, gc=False):
    """One call has left; `attempt` says which of those at its path."""

    attempt: int


class Landing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one call ended.

    Fields:
        attempt: Which of those at its path.
        agent: Who did it.
        how: ``refused`` is a failure for which the provider would not have the call.
        usage: What it spent, if that is known.
        cached: Whether its answer was kept from an earlier call, and it was never made.
    """

    attempt: int
    agent: str
    how: Literal["finished", "failed", "refused", "cancelled", "lost"]
    usage: Usage | None = None
    cached: bool = False


class Do(msgspec.Struct, frozen=True, gc=False):
    """There is a job at this path; `anew` says that there may have been others that succeeded."""

    path: str
    spec: JobSpec
    anew: bool = False


class Drop(msgspec.Struct, frozen=True, gc=False):
    """The job at this path is pointless now, if there still is one."""

    path: str


class Say(msgspec.Struct, frozen=True):
    """Record a fact for those who read the journal."""

    event: ApprovalAsked | InputAsked | StepSkipped | StepFailed


class Halt(msgspec.Struct, frozen=True):
    """Pause the run: a wait has expired and nobody has decided."""

    reason: str


class End(msgspec.Struct, frozen=True):
    """The workflow is over."""

    status: Status
    reason: str = ""
    output: Json = None


Move: TypeAlias = Do | Drop | Say | Halt | End


class StepView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step as people see it.

    Fields:
        path: Where it is, nested ones with their outer's path before theirs.
        kind: What kind of step it is.
        status: How far it is.
        agent: Who does it, for a call.
        detail: Why it failed or was skipped, or what it waits for.
        done: How many items of its ``each`` are done.
        total: How many there are; None without ``each``.
    """

    path: str
    kind: StepKind
    status: StepStatus
    agent: str = ""
    detail: str = ""
    done: int = 0
    total: int | None = None


class Workflow(Protocol):
    """A pure machine that decides what is to be done.

    Paths that reach it are its own, without the prefix of an outer workflow.
    """

    moves: list[Move]
    """What follows from the last calls; whoever drives it takes them and clears the list."""
    listens: bool
    """Whether anything in it wants to be `told` of calls."""

    def start(self, at: int) -> None:
        """Begin."""

    def told(self, path: str, news: Departure | Landing, at: int) -> None:
        """A call of the job at `path` has left, or is over; told of nested paths alone.

        A call leaves with what `request` gave at that very moment.
        Of its end it is told before what that means for the job, also where the job was dropped
        and after the workflow's own end.
        """

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A job has given an output, or has failed for good."""

    def keep(self, path: str, output: Json) -> None:
        """A job that was dropped has given an output all the same.

        Nothing follows from it now, but a retry need not do that again.
        """

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person or an outside event has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """

    def retry(self, path: str, at: int) -> None:
        """Do a failed step again, and what was skipped for its sake.

        "" means all failed ones, and what was cut short; no job may be under way then.

        Raises:
            Refused: The step has not failed.
        """

    def wake(self, at: int) -> None:
        """The deadline has come."""

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""

    def deadline(self) -> int | None:
        """When to `wake` it at the latest, if ever."""

    def request(self, path: str) -> Json:
        """Render what the agent gets for the job at `path`.

        Raises:
            ExprError: A template asks for what is not there.
        """

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that it waits for."""

    def adopt(self, old: Self, agents: frozenset[str], at: int) -> None:
        """Begin with what `old` has finished, where definition and inputs are equal.

        `agents` names the agents whose specs are equal.
        """

    def view(self, only: Collection[str] | None = None) -> list[StepView]:
        """Give every step's state, nested ones after theirs.

        With `only`, that of its steps of these names and of what is nested in them.
        """

    def counts(self) -> dict[StepStatus, int]:
        """Count the steps by their state, nested ones within theirs; costs O(1)."""

    def result(self, path: str) -> Json:
        """Give a step's output; None if it has none yet.

        Raises:
            Refused: There is no such step.
        """

    def reports(self) -> dict[str, Report]:
        """Give what teams have done so far, by the path of their steps."""

    def fork(self) -> Self:
        """Copy it, sharing what is finished."""

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """


WorkflowFactory: TypeAlias = Callable[
    [WorkflowSpec, Mapping[str, AgentSpec], Mapping[str, Json], Mapping[str, Json]], Workflow
]
"""Makes a workflow of a spec, the agents, the inputs, and what ``run.NAME`` means."""
