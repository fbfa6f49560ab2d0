"""The facts of a run: each event is something that has happened.

Events are what the journal holds, what every view is folded from, and the only thing that changes a
machine.
`at` is the instant in nanoseconds since the epoch; it never goes back within a run.
A kind of event, once released, keeps its tag and the meaning of its fields.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

from hocket.core.errors import Fault
from hocket.core.specs import RunSpec
from hocket.core.values import Call, Json

Status: TypeAlias = Literal["succeeded", "failed", "cancelled"]
ENDED: Final[tuple[str, ...]] = get_args(Status)
"""What the status of a run is that has ended."""
LimitNews: TypeAlias = Literal["closed", "narrowed", "widened", "tripped", "mended", "warned"]


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call spent.

    Fields:
        tokens_in: Tokens read, or None if unknown.
        tokens_out: Tokens written, or None if unknown.
        cost: Pico-dollars (1e-12 $), or None for unpriced; 0 means that it is free.
        tokens_cached: How many of the tokens read came from the provider's own cache of prompts,
            and were priced as such; None if unknown.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    tokens_cached: int | None = None


class Wait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stretch of time that a call spent waiting, and for what.

    Fields:
        cause: ``slot:NAME`` for a full concurrency limit (``slot:run`` and ``slot:agent:NAME`` are
            the run's and an agent's own), ``rate:NAME`` for a full window, ``spacing:NAME``,
            ``closed:NAME`` after a refusal, ``breaker:NAME`` while an endpoint is down,
            ``budget:NAME``, ``reserved:NAME`` for units kept for a larger call, ``share`` for
            having given way to another run, ``claim`` for the journal's word on a shared limit,
            ``cache`` for the answer to the same question, which is being asked already, or for what
            the question means, ``backoff``, ``commit``, ``pause``.
        since: When the wait began.
        until: When it ended.
    """

    cause: str
    since: int
    until: int


class Reserved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The most that a call in flight may spend.

    Fields:
        tokens: Tokens read and written, or 0 if nothing bounds them.
        cost: Pico-dollars, or 0 if nothing bounds them.
    """

    tokens: int
    cost: int


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The base of all events; never recorded itself."""

    at: int


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a forked run comes from.

    Fields:
        run: The other run.
        seq: The last of its events that counted.
        kept: How many of this run's own events, from its first on, are copies.
    """

    run: str
    seq: int
    kept: int


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """A run exists.

    Fields:
        run: Its id.
        spec: What to do, pinned.
        digest: `spec_digest` of it.
        inputs: The workflow's inputs.
        seed: Where jitter and ties come from.
        versions: The version of each workflow kind's rules, as in ``{"plan": 1}``.
        program: Who wrote this, as in ``hocket 0.1.0``.
        forked: Where it was forked from, if it was.
    """

    run: str
    spec: RunSpec
    digest: str
    inputs: dict[str, Json]
    seed: int
    versions: dict[str, int]
    program: str
    forked: Origin | None = None


class RunResumed(Event, frozen=True, kw_only=True, tag="run_resumed"):
    """A process took the run up again; `epoch` counts its owners."""

    epoch: int


class SpecReplaced(Event, frozen=True, kw_only=True, tag="spec_replaced"):
    """The spec was changed on request; steps that are equal in both keep their results."""

    spec: RunSpec
    digest: str


class PauseRequested(Event, frozen=True, kw_only=True, tag="pause_requested"):
    """Nothing new is to start; what is in flight may finish.

    Fields:
        by: Who asked.
        reason: Why, if nobody asked: what the run would have to spend.
    """

    by: str
    reason: str = ""


class ContinueRequested(Event, frozen=True, kw_only=True, tag="continue_requested"):
    """A paused run is to go on. `by` says who asked."""

    by: str


class CancelRequested(Event, frozen=True, kw_only=True, tag="cancel_requested"):
    """The run is to end. `hard` leaves calls in flight no time to end by themselves."""

    by: str
    hard: bool = False


class RetryRequested(Event, frozen=True, kw_only=True, tag="retry_requested"):
    """A failed or held step is to be done again, and with it what was skipped for its sake."""

    path: str
    by: str


class CallStarted(Event, frozen=True, kw_only=True, tag="call_started"):
    """A call is about to leave the process, or has.

    Fields:
        call: Its name.
        agent: Who does it.
        waits: All that it waited for since it was ready.
        reserved: The most that it may spend, where a budget counts it.
        hedge_after: After how many nanoseconds a second call begins beside it, if ever.
        hedge: Whether it is such a second call.
    """

    call: Call
    agent: str
    waits: tuple[Wait, ...] = ()
    reserved: Reserved | None = None
    hedge_after: int | None = None
    hedge: bool = False


class CallFinished(Event, frozen=True, kw_only=True, tag="call_finished"):
    """A call gave an output.

    Fields:
        call: Its name.
        output: JSON; a large one stands in the journal by its digest.
        usage: What it spent.
        notes: What its reader must know: that an output was cut, that a model is a demo model.
        saved: What the call would have spent, had its answer not been kept from an earlier one;
            None if the call was made.
    """

    call: Call
    output: Json = None
    usage: Usage | None = None
    notes: tuple[str, ...] = ()
    saved: Usage | None = None


class CallFailed(Event, frozen=True, kw_only=True, tag="call_failed"):
    """A call gave no output; `fault` says why."""

    call: Call
    fault: Fault
    usage: Usage | None = None


TAKEN_BACK: Final = "taken back"
"""Why a call was stopped that had nobody to do it when its run was paused or left."""


class CallCancelled(Event, frozen=True, kw_only=True, tag="call_cancelled"):
    """A call was stopped before its end.

    `reason`: ``timeout``, ``cancel``, ``stop``, ``hedge`` where the call beside it was faster, or
    ``taken back`` where nothing of it had been done yet, which costs no try.
    """

    call: Call
    reason: str
    usage: Usage | None = None


class CallLost(Event, frozen=True, kw_only=True, tag="call_lost"):
    """The process that did the call died, the owner's or a worker's; nobody knows how it ended."""

    call: Call


class ApprovalAsked(Event, frozen=True, kw_only=True, tag="approval_asked"):
    """A person is asked to approve exactly `shown`, whose digest is `digest`.

    Fields:
        path: The step, ``run`` for the whole plan, or ``STEP#ATTEMPT@NUMBER`` for a question that a
            call in flight asks.
        shown: What will be done.
        digest: Its SHA-256.
        expires: When a call's question counts as unanswered; a step's follows from its spec.
    """

    path: str
    shown: str
    digest: str
    expires: int | None = None


class ApprovalGiven(Event, frozen=True, kw_only=True, tag="approval_given"):
    """A person decided about exactly the bytes named by `digest`."""

    path: str
    approved: bool
    digest: str
    by: str
    note: str = ""


class InputAsked(Event, frozen=True, kw_only=True, tag="input_asked"):
    """A step waits for a person's text or an outside event.

    Fields:
        path: Which.
        prompt: What people are told.
        output: JSON Schema that the answer must fit, or None for anything.
    """

    path: str
    prompt: str
    output: Json = None


class InputGiven(Event, frozen=True, kw_only=True, tag="input_given"):
    """The awaited text or event came; for a held call it is that call's output."""

    path: str
    value: Json
    by: str


class StepSkipped(Event, frozen=True, kw_only=True, tag="step_skipped"):
    """A step will not be done; `reason` says why. Recorded for readers."""

    path: str
    reason: str


class StepFailed(Event, frozen=True, kw_only=True, tag="step_failed"):
    """A step has failed for good; `fault` is the last one. Recorded for readers."""

    path: str
    fault: Fault


class LimitChanged(Event, frozen=True, kw_only=True, tag="limit_changed"):
    """A limit was closed, narrowed, widened or warned of. Recorded for readers.

    Fields:
        limit: Its name.
        what: ``closed``, ``narrowed``, ``widened``, ``tripped``, ``mended`` or ``warned``.
        message: One line for a person.
        until: The instant at which that ends, if it is known.
    """

    limit: str
    what: LimitNews
    message: str
    until: int | None = None


class Forecasted(Event, frozen=True, kw_only=True, tag="forecasted"):
    """The end of the run was forecast, and maybe an order of calls adopted.

    Recovery does not need it: without it calls go by their longest remaining path.

    Fields:
        finish: When the run is expected to end.
        low: An instant before which it ends in one of twenty forecasts.
        high: An instant after which it ends in one of twenty forecasts.
        binds: The limit that the run waits for most, or "" for its own longest path.
        tried: How many orders were tried.
        order: The adopted rank of steps by path, higher ones first; None keeps the present one.
    """

    finish: int
    low: int
    high: int
    binds: str = ""
    tried: int = 0
    order: dict[str, int] | None = None


class TimePassed(Event, frozen=True, kw_only=True, tag="time_passed"):
    """The machine's next deadline has come."""


class RunEnded(Event, frozen=True, kw_only=True, tag="run_ended"):
    """The run is over, unless a retry is asked for.

    Fields:
        status: How it ended.
        reason: Why, in words; "" for success.
        output: The workflow's output.
    """

    status: Status
    reason: str = ""
    output: Json = None


AnyEvent: TypeAlias = (
    RunStarted
    | RunResumed
    | SpecReplaced
    | PauseRequested
    | ContinueRequested
    | CancelRequested
    | RetryRequested
    | CallStarted
    | CallFinished
    | CallFailed
    | CallCancelled
    | CallLost
    | ApprovalAsked
    | ApprovalGiven
    | InputAsked
    | InputGiven
    | StepSkipped
    | StepFailed
    | LimitChanged
    | Forecasted
    | TimePassed
    | RunEnded
)


class Recorded(msgspec.Struct, frozen=True):
    """An event in its place in a run's journal: `seq` counts from 1 without gaps."""

    seq: int
    event: AnyEvent
