"""The port between the engine and whoever does the work.

An agent knows nothing of runs, retries, limits or journals: it gets one request and gives one
reply, or raises `AgentError` with a fault that says whether repeating could help.
It never retries by itself, and it ends when it is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hocket.core.events import Usage
from hocket.core.people import Consent
from hocket.core.specs import AgentSpec
from hocket.core.teams import Tool
from hocket.core.values import Call, FileRef, Json
from hocket.limits.claim import Quota


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Fields:
        run: The run's id.
        call: The call's name; with `run` it is an idempotency key.
        agent: The agent's name.
        input: What the step gives, rendered. A prompt's text, or a function's or command's
            arguments.
        output: JSON Schema that the output must fit, or None for anything.
        options: The step's own settings; they win over the agent's.
        tools: What a model may call instead of giving its answer; `input` is then a conversation,
            and the reply's output a turn (`hocket.workflows.conversation`).
    """

    run: str
    call: Call
    agent: str
    input: Json
    output: Json = None
    options: dict[str, Json] = {}
    tools: tuple[Tool, ...] = ()

    @property
    def key(self) -> str:
        """The idempotency key, for peers that take one."""
        return f"{self.run}/{self.call}"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave.

    Fields:
        output: JSON; it fits the request's schema.
        usage: What was spent, or None if nothing is counted.
        notes: What a reader must know: "output cut at 1 MB", "demo model".
    """

    output: Json
    usage: Usage | None = None
    notes: tuple[str, ...] = ()


class Estimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a call is going to take, as far as anybody can say before it is made.

    Fields:
        tokens_in: How many tokens it is expected to read.
        tokens_out: How many tokens it is expected to write.
        most_tokens: The most tokens that it can read and write; None if nothing bounds them.
        most_cost: The most pico-dollars that it can cost; 0 if it is free, None if nobody can say.
        why: Why nobody can say the most, and what to do about it, or "".
    """

    tokens_in: int = 0
    tokens_out: int = 0
    most_tokens: int | None = None
    most_cost: int | None = None
    why: str = ""


UNKNOWN = Estimate(why="an agent of this kind cannot say what a call will take")
"""What is said of a call by an agent that cannot estimate."""


class Context(Protocol):
    """What the engine lends to a call while it runs."""

    @property
    def hard(self) -> bool:
        """While being cancelled: whether to end at once, without time to end by itself."""

    def emit(self, text: str, stream: str = "out") -> None:
        """Show text while it comes: tokens, a process's output. Never blocks, never raises."""

    def spend(self, usage: Usage) -> None:
        """Say what has been spent until now; it counts if the call is cancelled or fails."""

    def sent(self, ago: int = 0) -> None:
        """Say that the request leaves: rate windows count from here. Never blocks or raises.

        Called again it is the later instant that counts.
        Whoever never calls it has sent when its call began, unless its agent is `Announcing`.

        Args:
            ago: How many nanoseconds ago it left, where the word of it has been on its way.
        """

    def told(self, quotas: Sequence[Quota]) -> None:
        """Say that the peer begins to answer, and what it says of its own limits."""

    async def store(self, path: Path, name: str) -> FileRef:
        """Store a file by content.

        Raises:
            AgentError: The file cannot be read or is too large.
        """

    async def fetch(self, ref: FileRef) -> Path:
        """Give a read-only copy of a stored file on disk."""

    async def ask(self, shown: str) -> Consent:
        """Ask a person to approve of exactly this, before it is done; true is yes, all else is no.

        The call's own time stands still until there is an answer.
        If nobody answers in time, or nobody is waited for, it is no, and `Consent.why` says so.

        Raises:
            AgentError: What is to be shown cannot be recorded.
        """


class Patient(Protocol):
    """What a context may have besides: it is told what a call waits for before it has begun."""

    def waits(self, what: str) -> None:
        """Say what is waited for; "" once the call begins, in the same step of its task.

        Until then nothing of it has been done, and it may be taken back.
        """


def waits(context: Context, what: str) -> None:
    """Tell any context what its call waits for, if it is `Patient`."""
    known = getattr(context, "waits", None)
    if known is not None:
        known(what)


class Agent(Protocol):
    """Whoever does work. Many calls may be in flight at once."""

    async def call(self, request: Request, context: Context) -> Reply:
        """Do one call.

        Raises:
            AgentError: The call failed; its fault says why.
            WorkerLost: The process that did it is gone, and nobody knows how it ended.
            asyncio.CancelledError: The call was cancelled and everything it had begun is stopped.
        """

    async def close(self) -> None:
        """Give back what is held between calls: pools, child processes, connections."""


class Announcing(Protocol):
    """What an agent may have besides: it says itself when a request leaves.

    A call of it that never said `Context.sent` has sent nothing.
    """

    announces: bool


class Estimating(Protocol):
    """What an agent may have besides: it can say beforehand what a call will take."""

    def estimate(self, request: Request) -> Estimate:
        """Estimate a call, by arithmetic alone: within 50 microseconds once `ready`. Never raises.

        Without `ready` the first one is as exact, but may take a while.
        """

    async def ready(self) -> None:
        """Find out what estimates need, such as a list of prices, off the loop."""


class Contained(Protocol):
    """What an agent may have besides: it knows what there is of it that its spec does not hold."""

    def content(self) -> str | None:
        """Name that by content; None if there is no telling, so that no answer is kept."""


def content(agent: Agent) -> str | None:
    """Name what there is of any agent besides its spec: nothing, if it is not `Contained`."""
    known = getattr(agent, "content", None)
    return "" if known is None else known()


def estimate(agent: Agent, request: Request) -> Estimate:
    """Estimate a call of any agent; `UNKNOWN` if the agent is not `Estimating`."""
    known = getattr(agent, "estimate", None)
    return UNKNOWN if known is None else known(request)


async def ready(agent: Agent) -> None:
    """Have an agent find out what its estimates need."""
    known = getattr(agent, "ready", None)
    if known is not None:
        await known()


class Preparable(Protocol):
    """What an agent may have besides: its first call has to wait for something of its own."""

    def prepare(self) -> None:
        """Begin with that, off the loop: a call may come soon. What fails, the call will say."""


def prepare(agent: Agent) -> None:
    """Have an agent that is `Preparable` begin with what its first call would wait for."""
    known = getattr(agent, "prepare", None)
    if known is not None:
        known()


def announces(agent: Agent) -> bool:
    """Tell whether an agent says itself when a request leaves."""
    return bool(getattr(agent, "announces", False))


class AgentFactory(Protocol):
    """Makes an agent of one kind from its spec.

    The instance serves all calls of that name in a run.
    `state` is the state folder.
    `live` holds what a Python program handed over and no file can say: the functions themselves,
    by reference.
    """

    def __call__(self, name: str, spec: AgentSpec, *, state: Path, live: dict[str, Any]) -> Agent:
        """Make the agent.

        Raises:
            SpecError: The options don't make sense.
        """
