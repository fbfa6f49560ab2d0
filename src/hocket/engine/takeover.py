"""Taking a run up whose owner is gone: what has become of it, in the order in which it happened.

What people had posted comes before time passes: nobody was there to read it, and an answer counts
by when it was posted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hocket.core.errors import Refused
from hocket.core.events import (
    AnyEvent,
    CallLost,
    ContinueRequested,
    RunResumed,
    SpecReplaced,
    TimePassed,
)
from hocket.core.people import asking_call
from hocket.core.requests import AnyRequest, Approve, Send
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, spec_digest
from hocket.engine.inbox import event_of, event_of_post
from hocket.journal.base import Posted, Taken


class Opening(NamedTuple):
    """What a new owner records first.

    Fields:
        events: What has happened.
        taken: What has become of what was posted meanwhile.
    """

    events: list[AnyEvent]
    taken: list[Taken]


def take_over(
    machine: RunMachine,
    epoch: int,
    at: int,
    *,
    posts: Sequence[Posted] = (),
    spec: RunSpec | None = None,
    requests: Sequence[AnyRequest] = (),
) -> Opening:
    """Bring a machine up to its new owner.

    A question whose time went by meanwhile, and which only pauses the run, is asked anew: that is
    what a resume is for.

    Args:
        machine: The run's machine, folded; it takes in all that is given back.
        epoch: The epoch of the new owner.
        at: The present instant.
        posts: What was posted and not answered.
        spec: A changed spec to go on with.
        requests: What whoever takes it up asks of it.

    Raises:
        Refused: The spec or a request of who takes it up does not fit.
    """
    lost = [CallLost(at=at, call=call) for call in machine.calls.in_flight()]
    opening = Opening([], [])

    def take(event: AnyEvent) -> None:
        machine.apply(event)
        opening.events.append(event)

    take(RunResumed(at=at, epoch=epoch))
    for event in lost:
        take(event)
    if spec is not None:
        take(SpecReplaced(at=at, spec=spec, digest=spec_digest(spec)))
    for post in posts:
        try:
            take(event_of_post(machine, post, at))
            opening.taken.append(Taken(post.id))
        except Refused as error:
            opening.taken.append(Taken(post.id, str(error)))
    for request in requests:
        take(event_of_post(machine, Posted(0, request, at), at))
    # Of equal calls those go first that were under way: all that follows them waits for them.
    machine.calls.out.again_first()
    due = machine.deadline()
    if due is not None and due <= at:
        was = machine.phase
        take(TimePassed(at=at))
        if was == "running" and machine.phase == "pausing":
            take(ContinueRequested(at=at, by="resume"))
    return opening


def rehearse(machine: RunMachine, posts: Sequence[Posted], request: AnyRequest, at: int) -> None:
    """Try a request on a run that nobody drives, as its next owner would take it in.

    Args:
        machine: The run's machine, folded; it is of no use afterwards.
        posts: What was posted before and not answered.
        request: What is asked.
        at: The present instant.

    Raises:
        Refused: It would be refused, or somebody else has answered already.
    """
    path = request.path if isinstance(request, Approve | Send) else None
    if path is not None and path in machine.calls.people.open:
        raise Refused(
            f"{asking_call(path)} died with its process, and what it asked with it; if it "
            f"is made again it asks anew: hocket resume {machine.run}"
        )
    taken = take_over(machine, machine.epoch + 1, at, posts=posts).taken
    for post, answer in zip(posts, taken, strict=True):
        first = post.request
        if isinstance(first, Approve | Send) and first.path == path and not answer.refusal:
            raise Refused(
                f"{path!r} was {_answered(first)} by {first.by or 'somebody'} already; that "
                f"is noted, and is taken in with: hocket resume {machine.run}"
            )
    machine.apply(event_of(machine, request, at))


def _answered(request: Approve | Send) -> str:
    if isinstance(request, Send):
        return "answered"
    return "approved" if request.approved else "rejected"
