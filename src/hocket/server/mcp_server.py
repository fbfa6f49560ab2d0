"""The MCP server itself: its tools, its resources, and what it says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import cleandoc
from typing import Any, Final

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from hocket._version import __version__
from hocket.agents.terminal import visible
from hocket.core.errors import CallerError, HocketError, NotFound
from hocket.core.events import ApprovalAsked
from hocket.core.values import format_duration
from hocket.report.text import one_line
from hocket.server.mcp_arguments import Server
from hocket.server.mcp_desk import Desk
from hocket.server.mcp_people import desk_of, draft_of
from hocket.server.mcp_replies import ExplainReply, asked_words, cut, words
from hocket.server.mcp_tools import (
    RunId,
    approve,
    ask,
    cancel_run,
    execute_task,
    list_plans,
    list_runs,
    plan_task,
    review_code,
    run_status,
    send_input,
    told,
)

_MOST: Final = 400_000
"""The most characters of a resource."""
_INSTRUCTIONS: Final = """\
Hocket runs the operator's agents as plans: crash-safe, and within their limits.
plan_task drafts a plan, execute_task runs one, run_status waits for it, explain says why it took
what it took. ask and review_code let other agents answer or judge. Each reply says what to do next.
A question to a person is for the person: never answer it yourself.
"""
_LOOKS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ACTS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
_ENDS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


@told
async def explain(ctx: Context, run: RunId) -> ExplainReply:
    """Say why a run took as long, and cost as much, as it did, and what would change that."""
    desk = desk_of(ctx)
    run_id = await desk.meant(run)
    found = await desk.explainer(run_id)
    shares = [
        f"{one['share']:.0%} {one['name']} ({format_duration(one['ns'])})"
        for one in found["shares"][:8]
    ]
    findings = [_finding(one) for one in found["findings"][:8]]
    return ExplainReply(
        run=run_id,
        headline=cut(found["headline"], 600)[0],
        shares=shares,
        findings=findings,
        more=f"hocket explain {run_id} shows the timeline and all findings",
        next="" if findings else "nothing was found that would have made it faster or cheaper",
    )


def _finding(one: dict[str, Any]) -> str:
    parts = [cut(one["title"], 300)[0]]
    if one["advice"]:
        parts.append(f"Advice: {cut(one['advice'], 300)[0]}")
    simulated = one["simulated"]
    if simulated is not None:
        parts.append(f"By simulation: {cut(simulated['words'], 200)[0]}")
    return " ".join(parts)


async def _output(run: str, ctx: Context) -> str:
    """All that a run gave, a text or JSON."""
    return await _of_run(ctx, run, "")


async def _step_output(run: str, step: str, ctx: Context) -> str:
    """All that a step of a run gave, a text or JSON."""
    return await _of_run(ctx, run, step)


async def _of_run(ctx: Context, run: str, step: str) -> str:
    try:
        found = await desk_of(ctx).glance(run)
        end = found.machine.end
        if step:
            value = found.machine.workflow.result(step)
        else:
            value = None if end is None else end.output
    except CallerError as error:
        raise ResourceNotFoundError(str(error)) from error
    except HocketError as error:
        raise ResourceError(str(error)) from error
    if value is None:
        raise ResourceNotFoundError(f"there is no output of {step or 'the run'} yet")
    return cut(words(value), _MOST)[0]


async def _questions(run: str, ctx: Context) -> str:
    """All that people are asked in a run now, a line each."""
    try:
        found = await desk_of(ctx).glance(run)
    except NotFound as error:
        raise ResourceNotFoundError(str(error)) from error
    lines = [
        f"{'approve' if isinstance(asked, ApprovalAsked) else 'input'} {asked.path}: "
        f"{one_line(visible(asked_words(asked)))}"
        for asked in found.asked
    ]
    return cut("\n".join(lines), _MOST)[0]


async def _shown(run: str, step: str, ctx: Context) -> str:
    """All that a step shows to be approved of, or asks for."""
    try:
        found = await desk_of(ctx).glance(run)
    except NotFound as error:
        raise ResourceNotFoundError(str(error)) from error
    for asked in found.asked:
        if asked.path == step:
            return cut(asked_words(asked), _MOST)[0]
    raise ResourceNotFoundError(f"step {step!r} of run {run} asks nothing now")


async def _plan(plan: str, ctx: Context) -> str:
    """The whole text of a drafted plan, as YAML."""
    try:
        found = await draft_of(desk_of(ctx), plan)
    except HocketError as error:
        raise ResourceError(str(error)) from error
    if found is None or not found.text:
        raise ResourceNotFoundError(f"there is no drafted plan {plan!r}")
    return found.text


_TOOLS: Final[list[tuple[Callable[..., Any], ToolAnnotations]]] = [
    (plan_task, _ACTS),
    (execute_task, _ACTS),
    (ask, _ACTS),
    (review_code, _ACTS),
    (run_status, _LOOKS),
    (approve, _ACTS),
    (send_input, _ACTS),
    (cancel_run, _ENDS),
    (explain, _LOOKS),
    (list_plans, _LOOKS),
    (list_runs, _LOOKS),
]


def make_server(desk: Desk) -> MCPServer[Desk]:
    """Make the server for one host's runs."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Desk]) -> AsyncIterator[Desk]:
        yield desk

    server = Server(
        [
            Tool.from_function(tool, description=cleandoc(tool.__doc__ or ""), annotations=kind)
            for tool, kind in _TOOLS
        ],
        name="hocket",
        title="Hocket",
        version=__version__,
        instructions=_INSTRUCTIONS,
        lifespan=lifespan,
        log_level="WARNING",
    )
    server.resource("hocket://run/{run}/output", name="output")(_output)
    server.resource("hocket://run/{run}/output/{+step}", name="step-output")(_step_output)
    server.resource("hocket://run/{run}/questions", name="questions")(_questions)
    server.resource("hocket://run/{run}/shown/{+step}", name="shown")(_shown)
    server.resource("hocket://plan/{plan}", name="plan", mime_type="application/yaml")(_plan)
    return server


async def serve_stdio(desk: Desk) -> None:
    """Speak MCP on standard input and output until the client closes them, or is gone."""
    try:
        await make_server(desk).run_stdio_async()
    except* (BrokenPipeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        # Nobody reads any more: that is how a client goes whose process has died.
        pass
