"""Asks a person through the MCP client, in both eras of the protocol.

The functions here that a tool's parameters name are done again in each round of the newer protocol:
they only look, and whatever follows from an answer happens in the tool.
What a person decides is bound to what was shown: the tool gets both from the same look.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, NamedTuple

from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from hocket.agents.terminal import visible
from hocket.app.planner import drafted, with_text
from hocket.app.planning_run import is_planning
from hocket.config.drafts import Drafted
from hocket.core.errors import HocketError, NotFound, Refused
from hocket.core.events import ApprovalAsked
from hocket.server.mcp_desk import Desk
from hocket.server.routing import Caller

MOST_SHOWN: Final = 16_000
"""The most characters that a person is shown through a client; nothing is approved of unseen."""


class Decision(BaseModel):
    """What a person says."""

    approved: bool = Field(description="Whether exactly what is shown may be done.")
    note: str = Field(default="", description="A word to whoever comes after.")


class Open(NamedTuple):
    """What a person is to approve of, at one look."""

    run: str
    plan: str
    asked: ApprovalAsked


def desk_of(ctx: Context) -> Desk:
    """Give what the server's tools work with."""
    desk = ctx.request_context.lifespan_context
    assert isinstance(desk, Desk)
    return desk


def caller_of(ctx: Context) -> Caller:
    """Give who asks: whom the gate has let in, or the one who has started this process."""
    request = ctx.request_context.request
    if request is None:
        return Caller(role="operate", by=desk_of(ctx).by)
    caller = request.scope["hocket.caller"]
    assert isinstance(caller, Caller)
    return caller


def acting(ctx: Context, tool: str) -> str:
    """Let the caller act, and give the name that what is done is recorded under.

    Raises:
        CallerError: The caller may only look, or acts too often.
    """
    caller = caller_of(ctx)
    desk_of(ctx).door(caller, tool)
    return caller.by


def may_act(ctx: Context, tool: str) -> None:
    """Keep a question from whoever could not answer it.

    Raises:
        ToolError: The caller may only look.
    """
    caller = caller_of(ctx)
    if caller.role != "operate":
        try:
            desk_of(ctx).door(caller, tool)
        except HocketError as error:
            raise ToolError(str(error)) from error


def can_ask(ctx: Context) -> bool:
    """Tell whether the client can ask its person something."""
    known = ctx.client_capabilities
    form = None if known is None else known.elicitation
    return form is not None and (form.form is not None or form.url is None)


def undecided(action: str) -> str:
    """Say that a person was asked, and has not answered."""
    return {
        "decline": "the person was asked, and declined to answer",
        "cancel": "the person was asked, and put the question away without an answer",
    }[action]


async def asked_now(ctx: Context, run: str, step: str) -> Open | None:
    """Find the approval that is meant; None if none is waited for.

    Raises:
        ToolError: There is no such run, or several steps could be meant.
    """
    may_act(ctx, "approve")
    desk = desk_of(ctx)
    try:
        run_id = await desk.meant(run)
        found = await desk.glance(run_id)
    except HocketError as error:
        raise ToolError(str(error)) from error
    open_ = {one.path: one for one in found.asked if isinstance(one, ApprovalAsked)}
    if not step and len(open_) > 1:
        raise ToolError(f"which step of run {run_id}? These wait: {', '.join(open_)}")
    asked = open_.get(step) if step else next(iter(open_.values()), None)
    return None if asked is None else Open(run_id, found.machine.spec.name, asked)


async def person_decides(
    ctx: Context, shown: Annotated[Open | None, Resolve(asked_now)]
) -> Elicit[Decision] | None:
    """Ask the client's person about a step, where the client can."""
    if shown is None or not can_ask(ctx):
        return None
    text = visible(shown.asked.shown)
    if len(text) > MOST_SHOWN:
        raise ToolError(
            f"what {shown.asked.path} shows is too long for here ({len(text):,} characters); "
            f"approve of it on the page, or by: hocket approve {shown.run} {shown.asked.path}"
        )
    about = f"Run {shown.run} of {shown.plan}: may {shown.asked.path} do exactly this?"
    return Elicit(f"{about}\n\n{text}\n\n{shown.asked.digest}", Decision)


async def draft_now(ctx: Context, plan: str, file: str, text: str) -> Drafted | None:
    """Give the drafted plan that is to be run; None if one of a file's own is meant.

    Raises:
        ToolError: It is not drafted yet, or the text has mistakes.
    """
    may_act(ctx, "execute_task")
    desk = desk_of(ctx)
    try:
        found = None if file else await draft_of(desk, plan)
        if found is None:
            if text:
                raise Refused("text is for a drafted plan, which plan_task gives")
            return None
        if found.draft is None:
            said = f"plan {found.run} is not drafted: it is {found.status}"
            raise Refused(f"{said}; {found.reason or f'plan_task(plan={found.run!r}) waits'}")
        if text and text != found.text:
            store = desk.host.engine.journal
            found = await asyncio.to_thread(with_text, store, found, text)
    except HocketError as error:
        raise ToolError(str(error)) from error
    if found.problems:
        raise ToolError("\n".join(["the plan has mistakes:", *found.problems]))
    return found


async def draft_of(desk: Desk, plan: str) -> Drafted | None:
    """Give what a planning run has come to; None if there is none of that name.

    Raises:
        CallerError: The operator's file has mistakes by now.
        JournalError: It cannot be read.
    """
    try:
        run = await desk.meant(plan)
    except NotFound:
        return None
    found = await desk.glance(run)
    if not is_planning(found.machine):
        return None
    # It is predicted, too, which starts a loop of its own.
    return await asyncio.to_thread(drafted, desk.host.engine, run)


async def person_starts(
    ctx: Context, draft: Annotated[Drafted | None, Resolve(draft_now)]
) -> Elicit[Decision] | None:
    """Ask the client's person whether a drafted plan may run, where that is to be asked."""
    if draft is None or not draft.why or not can_ask(ctx):
        return None
    why = "\n".join(f"- {reason}" for reason in draft.why)
    who = "\n".join(f"- {agent}" for agent in draft.agents)
    text = visible(
        f"May this plan run? It needs your approval:\n{why}\n\n"
        f"{draft.text}\n\nIts agents:\n{who}\n\n{draft.digest}"
    )
    if len(text) > MOST_SHOWN:
        # Its run will wait for the approval, which other ways can show in full.
        return None
    return Elicit(text, Decision)
