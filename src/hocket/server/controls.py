"""What people do with runs: start, pause, go on, cancel, retry, approve, answer, fork."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec

from hocket.core.requests import AnyRequest, Approve, Cancel, Pause, Send
from hocket.core.values import Json
from hocket.server.answers import encoded
from hocket.server.routing import Asked, Bytes, Handler, Route
from hocket.server.site import Site

_MOST_NOTE: Final = 2000
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
NewId = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Note = Annotated[str, msgspec.Meta(max_length=_MOST_NOTE)]


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that says nothing."""


class StartBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to start.

    Fields:
        plan: The plan's name.
        file: The offered file's name; it may be left out if only one file is offered.
        inputs: The plan's inputs.
        run_id: The run's id; by default a new one.
    """

    plan: str
    file: str | None = None
    inputs: dict[str, Json] = {}
    run_id: NewId | None = None


class CancelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to end a run.

    Fields:
        now: Leave calls in flight no time to end by themselves.
    """

    now: bool = False


class RetryBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do again.

    Fields:
        step: The failed or held step; "" for all that have failed.
    """

    step: str = ""


class ApproveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision about exactly what was shown.

    Fields:
        step: The step that asks.
        digest: The digest of what was shown.
        approved: Whether it may go on.
        note: A word to whoever comes after.
    """

    step: str
    digest: Sha256
    approved: bool
    note: Note = ""


class SendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A waiting step's input.

    Fields:
        step: The step.
        value: The input.
    """

    step: str
    value: Json


class ForkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where to begin anew.

    Fields:
        after: The last event that counts in the new run; None for what steps have finished.
        inputs: Inputs that are to be others.
        run_id: The new run's id; by default a new one.
    """

    after: Annotated[int, msgspec.Meta(ge=1)] | None = None
    inputs: dict[str, Json] = {}
    run_id: NewId | None = None


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What was begun.

    Fields:
        run: The run's id.
    """

    run: str


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of a run.

    Fields:
        status: The run's status now.
        noted: Whether it was asked of the process that drives the run, and has not answered yet;
            the HTTP status is 202 then.
    """

    status: str
    noted: bool = False


async def _start(site: Site, asked: Asked) -> Begun:
    body: StartBody = asked.body
    file = body.file if body.file is not None else _only_file(site)
    run = await site.host.start(file, body.plan, body.inputs, run_id=body.run_id)
    return Begun(run=run)


def _only_file(site: Site) -> str:
    files = dict.fromkeys(offer.file for offer in site.host.offers())
    return next(iter(files)) if len(files) == 1 else ""


async def _pause(site: Site, asked: Asked) -> Bytes | Done:
    return await _ask(site, asked, Pause(by=asked.caller.by))


async def _resume(site: Site, asked: Asked) -> Bytes | Done:
    run = asked.path["run"]
    return await _done(site, run, await site.host.resume(run, by=asked.caller.by))


async def _cancel(site: Site, asked: Asked) -> Bytes | Done:
    return await _ask(site, asked, Cancel(by=asked.caller.by, hard=asked.body.now))


async def _retry(site: Site, asked: Asked) -> Bytes | Done:
    run = asked.path["run"]
    return await _done(site, run, await site.host.retry(run, asked.body.step, by=asked.caller.by))


async def _approve(site: Site, asked: Asked) -> Bytes | Done:
    body: ApproveBody = asked.body
    request = Approve(
        by=asked.caller.by,
        path=body.step,
        approved=body.approved,
        digest=body.digest,
        note=body.note,
    )
    return await _ask(site, asked, request)


async def _send(site: Site, asked: Asked) -> Bytes | Done:
    return await _ask(
        site, asked, Send(by=asked.caller.by, path=asked.body.step, value=asked.body.value)
    )


async def _fork(site: Site, asked: Asked) -> Begun:
    body: ForkBody = asked.body
    run = await site.host.fork(
        asked.path["run"],
        after=body.after,
        inputs=body.inputs,
        by=asked.caller.by,
        run_id=body.run_id,
    )
    return Begun(run=run)


async def _ask(site: Site, asked: Asked, request: AnyRequest) -> Bytes | Done:
    run = asked.path["run"]
    return await _done(site, run, await site.host.ask(run, request))


async def _done(site: Site, run: str, answered: bool) -> Bytes | Done:
    driven = site.host.driven(run)
    if driven is None:
        status = (await asyncio.to_thread(site.host.row, run)).status
    else:
        status = driven.machine.said
    if answered:
        return Done(status=status)
    noted = Done(status=status, noted=True)
    return Bytes(data=encoded(noted), media="application/json", status=202)


def _control(name: str, handler: Handler, body: type[msgspec.Struct], about: str) -> Route:
    return Route(
        method="POST",
        path=f"/api/runs/{{run}}/{name}",
        role="operate",
        handler=handler,
        about=about,
        body=body,
        gives=Done,
        notes=True,
    )


ROUTES: Final = [
    Route(
        method="POST",
        path="/api/runs",
        role="operate",
        handler=_start,
        about="Start a plan of those that the operator offers.",
        body=StartBody,
        gives=Begun,
        status=201,
    ),
    _control("pause", _pause, Nothing, "Let calls in flight finish, and start nothing new."),
    _control("resume", _resume, Nothing, "Go on with a run that is paused, or that nobody drives."),
    _control("cancel", _cancel, CancelBody, "End a run."),
    _control("retry", _retry, RetryBody, "Do failed or held steps again."),
    _control("approve", _approve, ApproveBody, "Decide about exactly what a step shows."),
    _control("send", _send, SendBody, "Give a waiting step its input."),
    Route(
        method="POST",
        path="/api/runs/{run}/fork",
        role="operate",
        handler=_fork,
        about="Begin a new run from an event of this one, with other inputs if they are given.",
        body=ForkBody,
        gives=Begun,
        status=201,
    ),
]
