"""The steps and the calls of a run: tables of them, page by page, and all about one step."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec

from hocket.core.errors import ExprError, NotFound, Refused
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import Json, step_of
from hocket.report.board import Board
from hocket.report.board_rows import CallRow, Row, cut
from hocket.server.routing import Asked, Route
from hocket.server.runs import output_bytes
from hocket.server.site import Site
from hocket.server.slim import short
from hocket.workflows.view import fates_at, view_at

MOST_SHOWN: Final = 20_000
"""The most characters of a prompt or an output."""
_MOST_CALLS: Final = 200
_MOST_SPEC: Final = 2_000
_SLICE: Final = 400

After = Annotated[int, msgspec.Meta(ge=0)]


class StepsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which steps.

    Fields:
        after: How many rows to pass over: ``next`` of the page before.
        limit: The most rows.
        status: Only those of this state.
        q: Only those whose path or agent has this text in it.
    """

    after: After = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200
    status: str = ""
    q: str = ""


class StepsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some steps, nested ones after theirs.

    Fields:
        rows: The rows.
        next: What the next page is after; None if there is none.
        total: How many rows there are without a filter.
        seq: The event up to which they are told.
    """

    rows: list[Row]
    next: int | None
    total: int
    seq: int


class StepQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which step.

    Fields:
        path: Its path; also that of an item, a round or a member of a team.
    """

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class StepTold(msgspec.Struct, frozen=True, kw_only=True):
    """All about a step.

    Fields:
        row: Its row; None for an item or a call that has none of its own.
        prompt: What its agent is asked, or what a person is shown, as far as it is known now.
        prompt_characters: How long that is in all.
        output: What it gave: a text, or JSON; of much the beginning, as a text.
        output_bytes: How much that is in all; None if there is none.
        output_media: What it is.
        cut: Whether the output is not all of it.
        calls: Its calls, the latest last, also those of all within it.
        calls_more: How many earlier calls are left out.
        needs: What it needs.
        wants: What it would like to have.
        fates: What became of its calls, where a team has made them.
        problem: Why it has failed, was skipped, or what it waits for.
        spec: What the plan says of it.
        seq: The event up to which this is told.
    """

    row: Row | None
    prompt: str | None
    prompt_characters: int
    output: Json
    output_bytes: int | None
    output_media: str
    cut: bool
    calls: list[CallRow]
    calls_more: int
    needs: list[str]
    wants: list[str]
    fates: dict[str, str]
    problem: str
    spec: Json
    seq: int


class CallsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls.

    Fields:
        after: How many calls to pass over: ``next`` of the page before.
        limit: The most calls.
    """

    after: After = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 1_000


class CallsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some calls, in the order in which they were asked for.

    Fields:
        calls: The calls.
        next: What the next page is after; None if there is none.
        total: How many calls there are.
        seq: The event up to which they are told.
    """

    calls: list[CallRow]
    next: int | None
    total: int
    seq: int


async def _steps(site: Site, asked: Asked) -> StepsPage:
    query: StepsQuery = asked.query
    board: Board = await site.live.board(asked.path["run"])
    names = board.names()
    sought = query.q.casefold()
    found: list[Row] = []
    at = query.after
    while at < len(names) and len(found) < query.limit:
        wanted = query.limit - len(found) if not (sought or query.status) else _SLICE
        part = names[at : at + min(wanted, _SLICE)]
        rows = {row.id: row for row in board.rows(part)}
        for name in part:
            at += 1
            row = rows.get(name)
            if row is None or (query.status and row.st != query.status):
                continue
            if sought and sought not in row.id.casefold() and sought not in row.ag.casefold():
                continue
            found.append(row)
            if len(found) == query.limit:
                break
        # A large run is gone through bit by bit.
        await asyncio.sleep(0)
    following = at if at < len(names) else None
    return StepsPage(rows=found, next=following, total=len(names), seq=board.seq)


async def _step(site: Site, asked: Asked) -> StepTold:
    path: str = asked.query.path
    board: Board = await site.live.board(asked.path["run"])
    machine = board.machine
    rows = board.rows([path])
    calls = [row for name, row in board.calls.items() if _within(name, path)]
    spec = spec_at(machine.spec, path)
    if not rows and not calls and _unknown(machine, path):
        raise NotFound(f"there is no step {path[:200]!r} in run {machine.run}")
    prompt = prompt_of(machine, path)
    value = _output(machine, path)
    data, media = (b"", "") if value is None else output_bytes(value)
    shown, is_cut = _shown(value, data)
    view = view_at(machine.workflow, path)
    return StepTold(
        row=rows[0] if rows else None,
        prompt=None if prompt is None else cut(prompt, MOST_SHOWN),
        prompt_characters=len(prompt or ""),
        output=shown,
        output_bytes=None if value is None else len(data),
        output_media=media,
        cut=is_cut,
        calls=calls[-_MOST_CALLS:],
        calls_more=max(len(calls) - _MOST_CALLS, 0),
        needs=[] if spec is None else list(spec.needs),
        wants=[] if spec is None else list(spec.wants),
        fates=dict(fates_at(machine.workflow, path)),
        problem="" if view is None else cut(view.detail, MOST_SHOWN),
        spec=None if spec is None else spec_told(spec),
        seq=board.seq,
    )


async def _calls(site: Site, asked: Asked) -> CallsPage:
    query: CallsQuery = asked.query
    board: Board = await site.live.board(asked.path["run"])
    names = list(board.calls)
    part = names[query.after : query.after + query.limit]
    following = query.after + len(part)
    return CallsPage(
        calls=[board.calls[name] for name in part],
        next=following if following < len(names) else None,
        total=len(names),
        seq=board.seq,
    )


def prompt_of(machine: RunMachine, path: str) -> str | None:
    """Render what a step's agent is asked, with what is known now; None if that cannot be said."""
    try:
        given = machine.workflow.request(path)
    except (ExprError, Refused, KeyError, IndexError):
        # It has several units, or needs what is not there yet, or nobody asks for it any more.
        return None
    if given is None or isinstance(given, str):
        return given
    return msgspec.json.format(msgspec.json.encode(given), indent=2).decode("utf-8", "replace")


def spec_at(spec: RunSpec, path: str) -> StepSpec | None:
    """Give what the plan says of a step, however deep it is nested."""
    plan: PlanSpec | None = spec.workflow
    found: StepSpec | None = None
    for name in step_of(path).split("/"):
        if plan is None:
            # A member of a team, whose step is the last that the plan knows.
            return found
        found = next((step for step in plan.steps if step.name == name), None)
        plan = None if found is None else found.plan
    return found


def spec_told(spec: StepSpec) -> dict[str, Json]:
    """Write what the plan says of a step, without the plan that is nested in it."""
    plain = msgspec.structs.replace(spec, plan=None)
    told = {name: short(value, _MOST_SPEC) for name, value in msgspec.to_builtins(plain).items()}
    if spec.plan is not None:
        told["plan"] = {"name": spec.plan.name, "steps": len(spec.plan.steps)}
    return told


def _within(call: str, path: str) -> bool:
    return call.startswith(path) and call[len(path)] in "#/~"


def _unknown(machine: RunMachine, path: str) -> bool:
    try:
        machine.workflow.result(path)
    except Refused:
        return True
    return False


def _output(machine: RunMachine, path: str) -> Json:
    try:
        return machine.workflow.result(path)
    except Refused:
        # A member of a team: what it gave stands in its team's state.
        return None


def _shown(value: Json, data: bytes) -> tuple[Json, bool]:
    if len(data) <= MOST_SHOWN:
        return value, False
    text = value if isinstance(value, str) else data[: 4 * MOST_SHOWN].decode("utf-8", "replace")
    return text[:MOST_SHOWN], len(text) > MOST_SHOWN or len(data) > 4 * MOST_SHOWN


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/runs/{run}/steps",
        role="view",
        handler=_steps,
        about="The steps of a run, page by page.",
        query=StepsQuery,
        gives=StepsPage,
    ),
    Route(
        method="GET",
        path="/api/runs/{run}/step",
        role="view",
        handler=_step,
        about="All about one step: what it was asked, what it gave, its calls.",
        query=StepQuery,
        gives=StepTold,
    ),
    Route(
        method="GET",
        path="/api/runs/{run}/calls",
        role="view",
        handler=_calls,
        about="The calls of a run, page by page: what each waited for, when it left, how it ended.",
        query=CallsQuery,
        gives=CallsPage,
    ),
]
