"""The facts of a run: each event is something that has happened.

Events are what the journal holds, what every view is folded from, and the only thing that changes a
machine.
`at` is the instant in nanoseconds since the epoch; it never goes back within a run.
A kind of event, once released, keeps its tag and the meaning of its fields.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from hocket.core.errors import Fault
from hocket.core.specs import RunSpec
from hocket.core.values import Call, Json

Status: TypeAlias = Literal["succeeded", "failed", "cancelled"]


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call spent.

    Fields:
        tokens_in: Tokens read, or None if unknown.
        tokens_out: Tokens written, or None if unknown.
        cost: Pico-dollars (1e-12 $), or None for unpriced; 0 means that it is free.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None


class Wait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stretch of time that a call spent waiting, and for what.

    Fields:
        cause: ``slot:run``, ``slot:agent:NAME``, ``backoff``, ``commit``, ``pause``.
        since: When the wait began.
        until: When it ended.
    """

    cause: str
    since: int
    until: int


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The base of all events; never recorded itself."""

    at: int


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
    """

    run: str
    spec: RunSpec
    digest: str
    inputs: dict[str, Json]
    seed: int
    versions: dict[str, int]
    program: str


class RunResumed(Event, frozen=True, kw_only=True, tag="run_resumed"):
    """A process took the run up again; `epoch` counts its owners."""

    epoch: int


class SpecReplaced(Event, frozen=True, kw_only=True, tag="spec_replaced"):
    """The spec was changed on request; steps that are equal in both keep their results."""

    spec: RunSpec
    digest: str


class PauseRequested(Event, frozen=True, kw_only=True, tag="pause_requested"):
    """Nothing new is to start; what is in flight may finish. `by` says who asked."""

    by: str


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
    """

    call: Call
    agent: str
    waits: tuple[Wait, ...] = ()


class CallFinished(Event, frozen=True, kw_only=True, tag="call_finished"):
    """A call gave an output.

    Fields:
        call: Its name.
        output: JSON; a large one stands in the journal by its digest.
        usage: What it spent.
        notes: What its reader must know: that an output was cut, that a model is a demo model.
    """

    call: Call
    output: Json = None
    usage: Usage | None = None
    notes: tuple[str, ...] = ()


class CallFailed(Event, frozen=True, kw_only=True, tag="call_failed"):
    """A call gave no output; `fault` says why."""

    call: Call
    fault: Fault
    usage: Usage | None = None


class CallCancelled(Event, frozen=True, kw_only=True, tag="call_cancelled"):
    """A call was stopped before its end. `reason`: ``timeout``, ``cancel`` or ``stop``."""

    call: Call
    reason: str
    usage: Usage | None = None


class CallLost(Event, frozen=True, kw_only=True, tag="call_lost"):
    """The owner died while the call was in flight; nobody knows how it ended."""

    call: Call


class ApprovalAsked(Event, frozen=True, kw_only=True, tag="approval_asked"):
    """A person is asked to approve exactly `shown`, whose digest is `digest`."""

    path: str
    shown: str
    digest: str


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
    | TimePassed
    | RunEnded
)


class Recorded(msgspec.Struct, frozen=True):
    """An event in its place in a run's journal: `seq` counts from 1 without gaps."""

    seq: int
    event: AnyEvent
