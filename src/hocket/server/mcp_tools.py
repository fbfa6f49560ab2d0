"""The tools of the MCP server.

Only the operator's plans and agents are run; what a client gives is data and never a command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, Final, ParamSpec, TypeVar

from mcp.server.mcpserver import Context, ElicitationResult, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from hocket.app.planner import draft as draft_plan
from hocket.app.planner import start_draft
from hocket.app.questions import already
from hocket.app.spot import load_spot
from hocket.config.drafts import Drafted
from hocket.config.file import Loaded
from hocket.config.overrides import Overrides
from hocket.config.spot import Seats, one_step, read_seats
from hocket.core.errors import HocketError, NotFound, Refused, suggest
from hocket.core.requests import Approve, Cancel, Send
from hocket.core.values import Json
from hocket.journal.base import Wanted
from hocket.report.prediction import prediction_lines
from hocket.server.mcp_desk import Desk, Glance, ended, speakers
from hocket.server.mcp_people import (
    Decision,
    Open,
    acting,
    asked_now,
    can_ask,
    desk_of,
    draft_now,
    draft_of,
    person_decides,
    person_starts,
    undecided,
)
from hocket.server.mcp_replies import (
    MANY,
    PlanReply,
    PlanRow,
    PlansReply,
    RunReply,
    RunRow,
    RunsReply,
    VerdictReply,
    Whole,
    cut,
    fill,
    fitted,
    questions,
)

P = ParamSpec("P")
R = TypeVar("R", bound=Whole)
Reply = TypeVar("Reply", bound=RunReply)

Wait = Annotated[
    float, Field(ge=0, le=50, description="The longest to wait for it, in seconds; at most 50.")
]
RunId = Annotated[str, Field(description="The run's id, its beginning, or last.")]
Agents = Annotated[
    str,
    Field(description="Agents of the operator's files, as flash*3,pro; all of the first, if none."),
]
Skip = Annotated[int, Field(ge=0, description="How many of the first to leave out.")]

_STATUSES: Final = ("running", "paused", "succeeded", "failed", "cancelled")
_QUESTION: Final = "{{inputs.question}}"
_CHANGE: Final = "{{inputs.change}}"


def told(tool: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Have a tool give replies of their size, and say what is wrong where that can be mended."""

    @wraps(tool)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fitted(await tool(*args, **kwargs))
        except HocketError as error:
            raise ToolError(str(error)) from error

    return wrapped


# ---- plans ----


@told
async def plan_task(
    ctx: Context,
    task: Annotated[str, Field(description="What is to be done, in a sentence or a page.")] = "",
    agent: Annotated[str, Field(description="Who plans: an agent of the operator's.")] = "",
    plan: Annotated[str, Field(description="A plan's handle, to look at one again.")] = "",
    wait_s: Wait = 45,
) -> PlanReply:
    """Draft a plan for a task that takes several steps or agents; nothing is done yet.

    Use it before execute_task. It gives the plan as text, with how confident the planner is, its
    risks, and what it is expected to take and cost.
    """
    desk = desk_of(ctx)
    if bool(task.strip()) == bool(plan):
        raise Refused("give either a task, or the handle of a plan")
    if plan:
        run = await desk.meant(plan)
    else:
        acting(ctx, "plan_task")
        file, _ = desk.loaded(agent)
        run = await draft_plan(desk.host, task, file=file, agent=agent or None)
    await desk.settle(run, wait_s, _progress(ctx))
    found = await draft_of(desk, run)
    if found is None:
        raise Refused(f"run {run} is no planning run; see run_status(run={run!r})")
    return _plan_reply(found)


def _plan_reply(found: Drafted) -> PlanReply:
    reply = PlanReply(plan=found.run, ready=found.draft is not None, status=found.status)
    if found.draft is None:
        reply.why = cut(found.reason, 500)[0]
        over = ended(found.status)
        again = f"plan_task(plan={found.run!r}) waits on"
        reply.next = f"it came to nothing: explain(run={found.run!r})" if over else again
        return reply
    reply.text, short = cut(found.text, 4_000)
    reply.more = f"hocket://plan/{found.run}" if short else ""
    reply.digest, reply.agents = found.digest, [cut(one, 300)[0] for one in found.agents]
    confidence = found.draft.confidence
    reply.confidence = {n: getattr(confidence, n) for n in confidence.__struct_fields__}
    reply.risks = [f"{one.severity}: {cut(one.what, 200)[0]}" for one in found.draft.risks[:MANY]]
    reply.problems = [cut(line, 300)[0] for line in found.problems[:MANY]]
    if found.prediction is not None:
        reply.prediction = prediction_lines(found.prediction, time.time_ns())
    reply.needs_approval, reply.why = bool(found.why), cut("; ".join(found.why), 500)[0]
    if found.problems:
        reply.next = f"mend the text: execute_task(plan={found.run!r}, text=…)"
    else:
        asks = "; a person is asked first" if found.why else ""
        reply.next = f"execute_task(plan={found.run!r}){asks}"
    return reply


@told
async def execute_task(
    ctx: Context,
    draft: Annotated[Drafted | None, Resolve(draft_now)],
    decision: Annotated[ElicitationResult[Any], Resolve(person_starts)],
    plan: Annotated[str, Field(description="A plan's handle of plan_task, or a plan's name.")],
    file: Annotated[str, Field(description="The file whose plan of that name it is.")] = "",
    inputs: Annotated[
        dict[str, Any] | None, Field(description="The inputs of a file's plan, by name.")
    ] = None,
    text: Annotated[str, Field(description="A drafted plan's text, edited.")] = "",
    wait_s: Wait = 20,
) -> RunReply:
    """Run a plan: one that plan_task has drafted, or one of the operator's (see list_plans).

    It gives the run's handle at once or when it is done, whichever comes first. Where a drafted
    plan needs a person's approval, the person is asked, and nothing runs before.
    """
    acting(ctx, "execute_task")
    desk = desk_of(ctx)
    if draft is None:
        named = _offered(desk, file, plan)
        run = await desk.host.start(named, plan, inputs or {})
        return await _status(ctx, RunReply, run, wait_s)
    if inputs:
        raise Refused("a drafted plan takes no inputs")
    if decision.action != "accept":
        return _unstarted(draft, f"{undecided(decision.action)}, so nothing runs")
    said: Decision | None = decision.data
    if said is not None and not said.approved:
        note = f": {cut(said.note, 500)[0]}" if said.note else ""
        return _unstarted(draft, f"a person said no{note}; plan it anew by plan_task")
    approved = said is not None
    run = await start_draft(desk.host, draft, draft.text, shown=draft.digest, approved=approved)
    return await _status(ctx, RunReply, run, wait_s)


def _offered(desk: Desk, file: str, plan: str) -> str:
    """Name the file that a plan is of; without a file the only one that has such a plan."""
    if file:
        return file
    having = {offer.file for offer in desk.host.offers() if offer.plan == plan}
    if len(having) != 1:
        known = ", ".join(sorted(having)) or "none has: see list_plans"
        raise NotFound(f"which file's plan {plan!r}? {known}")
    return having.pop()


def _unstarted(draft: Drafted, why: str) -> RunReply:
    again = f"execute_task(plan={draft.run!r}) asks again"
    return RunReply(run="", plan=draft.run, status="not started", reason=why, next=again)


# ---- teams ----


@told
async def ask(
    ctx: Context,
    question: Annotated[str, Field(description="The question.", min_length=1)],
    agents: Agents = "",
    wait_s: Wait = 45,
) -> RunReply:
    """Ask other agents a question; several answer, vote, and one answer stands.

    Use it for a second opinion, or where a wrong answer would be dear.
    """
    acting(ctx, "ask")
    desk = desk_of(ctx)
    loaded, seats = _seats(desk, agents)
    if sum(seat.number for seat in seats.seats) == 1:
        step: dict[str, Json] = {"agent": seats.seats[0].agent, "prompt": _QUESTION}
        gives = "ask"
    else:
        step = {"consensus": {"question": _QUESTION, "agents": _members(seats)}}
        gives = "ask.answer"
    tree = one_step("ask", step, ["question"], gives, seats)
    spec = load_spot(tree, "ask", loaded, Overrides())
    run = await desk.host.start_spec(spec, {"question": question})
    return await _status(ctx, RunReply, run, wait_s)


@told
async def review_code(
    ctx: Context,
    change: Annotated[str, Field(description="The diff, or the text to judge.", min_length=1)],
    question: Annotated[str, Field(description="What to judge it by.")] = "",
    reviewers: Agents = "",
    wait_s: Wait = 45,
) -> VerdictReply:
    """Let reviewers judge a change before it counts as done; gives a verdict and their findings."""
    acting(ctx, "review_code")
    desk = desk_of(ctx)
    loaded, seats = _seats(desk, reviewers)
    about: dict[str, Json] = {"of": _CHANGE, "by": _members(seats)}
    if question:
        about["criteria"] = question
    tree = one_step("review", {"review": about}, ["change"], "review", seats)
    spec = load_spot(tree, "review", loaded, Overrides())
    run = await desk.host.start_spec(spec, {"change": change})
    return await _status(ctx, VerdictReply, run, wait_s)


def _seats(desk: Desk, line: str) -> tuple[Loaded, Seats]:
    """Give who takes part: agents of one of the operator's files, and nobody else."""
    _, loaded = desk.loaded(line)
    if not line.strip():
        line = ",".join(speakers(loaded))
    if not line:
        raise Refused(f"{loaded.source} has no agent that can speak; the operator has to add one")
    seats = read_seats(line, loaded.file.agents, (), loaded.source)
    if seats.agents:
        raise Refused(f"only agents of the operator's files can be asked, not {line}")
    return loaded, seats


def _members(seats: Seats) -> list[Json]:
    return [
        {"agent": seat.agent, "count": seat.number} if seat.number > 1 else seat.agent
        for seat in seats.seats
    ]


# ---- runs ----


@told
async def run_status(
    ctx: Context,
    run: RunId,
    after: Annotated[
        int, Field(ge=0, description="The seq of the last reply: return as soon as there is news.")
    ] = 0,
    wait_s: Wait = 0,
) -> RunReply:
    """Say how a run stands, what it gave, and whom it waits for.

    With wait_s it waits until the run is over or asks a person something; with after also until
    anything has happened. Call it again as long as next says so.
    """
    desk = desk_of(ctx)
    run_id = await desk.meant(run)
    return await _status(ctx, RunReply, run_id, wait_s, after)


@told
async def approve(
    ctx: Context,
    shown: Annotated[Open | None, Resolve(asked_now)],
    decision: Annotated[ElicitationResult[Any], Resolve(person_decides)],
    run: RunId,
    step: Annotated[str, Field(description="The step; not needed where only one waits.")] = "",
    digest: Annotated[str, Field(description="The digest of what the person was shown.")] = "",
    approved: Annotated[
        bool | None, Field(description="What the person said; only if they cannot be asked here.")
    ] = None,
    note: Annotated[str, Field(description="A word of the person's.")] = "",
) -> RunReply:
    """Have a person decide about what a step shows before it is done.

    Where the client can ask its person, it is the person's answer that counts, and approved is
    ignored. Elsewhere show the person exactly what the question shows, and pass on what they say
    with its digest; never decide it for them.
    """
    by, desk = acting(ctx, "approve"), desk_of(ctx)
    if shown is None:
        run_id = await desk.meant(run)
        reply = await _status(ctx, RunReply, run_id, 0)
        answered = await asyncio.to_thread(already, desk.host.engine.journal, run_id, step)
        what = f"{step} does not wait" if step else "nothing waits"
        reply.news = [cut(answered, 500)[0] if answered else f"{what} for an approval"]
        return reply
    asked = shown.asked
    if decision.action != "accept":
        reply = await _status(ctx, RunReply, shown.run, 0)
        reply.news = [f"{undecided(decision.action)}; the question stays open"]
        return reply
    said: Decision | None = decision.data
    if said is not None:
        approved, note, digest = said.approved, said.note, asked.digest
    if approved is None or not digest:
        reply = await _status(ctx, RunReply, shown.run, 0)
        reply.next = (
            "show the person the question word by word, then pass on the answer: "
            f"approve(run={shown.run!r}, step={asked.path!r}, digest=…, approved=…)"
        )
        return reply
    request = Approve(by=by, path=asked.path, approved=approved, digest=digest, note=note)
    taken = await desk.host.ask(shown.run, request)
    return _noted(await _status(ctx, RunReply, shown.run, 0), taken)


@told
async def send_input(
    ctx: Context,
    run: RunId,
    step: Annotated[str, Field(description="The step that waits for an input.")],
    value: Annotated[Any, Field(description="The text, or what the question's schema asks for.")],
) -> RunReply:
    """Give a step the input that it waits for, as the person said it."""
    by, desk = acting(ctx, "send_input"), desk_of(ctx)
    run_id = await desk.meant(run)
    answered = await desk.host.ask(run_id, Send(by=by, path=step, value=value))
    return _noted(await _status(ctx, RunReply, run_id, 0), answered)


@told
async def cancel_run(
    ctx: Context,
    run: RunId,
    now: Annotated[bool, Field(description="Kill what is in flight at once.")] = False,
) -> RunReply:
    """End a run that is not wanted any more; what has finished stays readable."""
    by, desk = acting(ctx, "cancel_run"), desk_of(ctx)
    run_id = await desk.meant(run)
    answered = await desk.host.ask(run_id, Cancel(by=by, hard=now))
    return _noted(await _status(ctx, RunReply, run_id, 5), answered)


def _noted(reply: RunReply, answered: bool) -> RunReply:
    """Say so where the run's owner has been asked and has not answered yet."""
    if not answered:
        said = "noted, but the process that drives the run has not answered yet"
        reply.news = [said, *(reply.news or [])]
    return reply


@told
async def list_plans(ctx: Context, skip: Skip = 0) -> PlansReply:
    """List the plans that execute_task can run, with their inputs."""
    offers = desk_of(ctx).host.offers()
    rows = [
        PlanRow(
            file=offer.file,
            plan=offer.plan,
            inputs={
                name: cut(about.about or "text or JSON", 100)[0]
                + ("" if about.required else " (optional)")
                for name, about in list(offer.inputs.items())[:MANY]
            },
            problems=[cut(line, 300)[0] for line in offer.problems[:5]],
        )
        for offer in offers[skip : skip + MANY]
    ]
    reply = PlansReply(plans=rows, skipped=skip, next="execute_task(plan=…, file=…, inputs=…)")
    if left := max(0, len(offers) - skip - MANY):
        reply.shortened("plans", left)
    return reply


@told
async def list_runs(
    ctx: Context,
    status: Annotated[str, Field(description="Only runs of this status, as running.")] = "",
    skip: Skip = 0,
) -> RunsReply:
    """List the newest runs, also those of other processes."""
    if status and status not in _STATUSES:
        hint = suggest(status, _STATUSES) or f"there are {', '.join(_STATUSES)}"
        raise Refused(f"runs have no status {status[:80]!r}; {hint}")
    host, statuses = desk_of(ctx).host, (status,) if status else ()
    rows = await host.rows(Wanted(status=statuses, most=skip + MANY))
    few = [
        RunRow(run=row.id, plan=row.name, status=row.status, alive=row.alive) for row in rows[skip:]
    ]
    reply = RunsReply(runs=few, skipped=skip, next="run_status(run=…)" if few else "list_plans()")
    counts = await host.counts()
    count = counts.get(status, 0) if status else sum(counts.values())
    if left := max(0, count - skip - MANY):
        reply.shortened("runs", left)
    return reply


# ---- within ----


async def _status(ctx: Context, kind: type[Reply], run: str, wait: float, after: int = 0) -> Reply:
    """Wait for a run, and say how it stands."""
    desk = desk_of(ctx)
    found = await desk.settle(run, wait, _progress(ctx), after)
    # What follows is of one moment: a run that is driven here goes on with each wait.
    lines, last = await desk.news(run, after) if after else (None, found.seq)
    machine = found.machine
    reply = kind(run=run, plan=machine.spec.name, status=machine.said, seq=last)
    fill(reply, machine, found.tally)
    if lines is not None:
        reply.news = [cut(line, 200)[0] for line in lines]
    reply.questions, reply.asked = questions(run, found.asked), len(found.asked)
    if isinstance(reply, VerdictReply) and machine.end is not None:
        output = machine.end.output
        verdict = output if isinstance(output, dict) else {}
        if "approved" in verdict:
            reply.approved = verdict["approved"] is True
            reply.findings = _findings(verdict)
            reply.output = ""
    reply.next = _next(ctx, found, reply)
    return reply


def _findings(verdict: dict[str, Any]) -> list[str]:
    """Say what reviewers found, or why none of them was heard."""
    said = [cut(str(one), 300)[0] for one in verdict.get("issues", ())[:MANY]]
    heard = [one for one in verdict.get("verdicts", ()) if not one["failed"]]
    if heard or said:
        return said
    why = dict.fromkeys(cut(one["reason"], 300)[0] for one in verdict.get("verdicts", ()))
    return [f"nobody was heard: {one}" for one in list(why)[:MANY]]


def _next(ctx: Context, found: Glance, reply: RunReply) -> str:
    run, machine = reply.run, found.machine
    if machine.phase == "ended":
        return f"explain(run={run!r}) says why, and what it took"
    if reply.questions:
        first = reply.questions[0]
        if first.kind == "input":
            return f"ask the person, then send_input(run={run!r}, step={first.step!r}, value=…)"
        how = f"approve(run={run!r}, step={first.step!r}"
        if can_ask(ctx):
            return f"{how}) asks the person"
        return f"show the person the question word by word, then {how}, digest=…, approved=…)"
    if machine.paused:
        return f"it is paused: {reply.reason or 'hocket resume'}; hocket resume {run} goes on"
    if not found.alive:
        return f"no process drives it; hocket resume {run} goes on"
    return f"run_status(run={run!r}, after={reply.seq}, wait_s=45)"


def _progress(ctx: Context) -> Callable[[int, int, str], Awaitable[None]]:
    async def report(done: int, total: int, said: str) -> None:
        await ctx.report_progress(done, total, said)

    return report
