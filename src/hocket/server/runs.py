"""The runs of the state folder: the list, one run's head, its outputs and logs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from hocket.app.questions import open_questions
from hocket.app.run import Run
from hocket.core.errors import CallerError, NotFound, Refused
from hocket.core.values import Call, Json
from hocket.journal.base import RunRow as Kept
from hocket.journal.base import Wanted
from hocket.journal.logs import CallLog
from hocket.limits.words import limit_labels
from hocket.report.board_head import eta
from hocket.server.answers import ranged
from hocket.server.heads import Head, joined
from hocket.server.routing import Asked, Bytes, Route
from hocket.server.site import Site

_MOST: Final = 200
_TEXT: Final = "text/plain; charset=utf-8"
Count = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of calls wait for.

    Fields:
        cause: As in the journal.
        name: What is behind its kind, as people call it: a limit by its label.
        count: How many calls.
        until: Until when at least, in milliseconds since the epoch, if that is known.
    """

    cause: str
    name: str
    count: int
    until: float | None


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a list shows it.

    Fields:
        id: The run's id.
        name: The plan's name.
        status: ``running``, ``paused``, ``succeeded``, ``failed`` or ``cancelled``.
        created: When it started, in milliseconds since the epoch.
        updated: When its last event happened.
        events: How many events it has.
        owner: Who drives it, as ``host:pid``, or "".
        alive: Whether that process lives, as far as this machine can tell.
        here: Whether this server drives it; only then all of the rest is known.
        steps: How many steps there are of each status.
        usd: Dollars spent, as far as priced; of other runs as far as they were looked after.
        unpriced: Calls of unknown price.
        calls: Calls that were made.
        waits: What its calls wait for.
        asked: How many questions wait for people.
        eta: When it will end by the last forecast, in milliseconds since the epoch; null while
            nothing but people is waited for. It may have passed.
        source: The file that it is of.
    """

    id: str
    name: str
    status: str
    created: float
    updated: float
    events: int
    owner: str
    alive: bool
    here: bool
    steps: dict[str, int] | None = None
    usd: float | None = None
    unpriced: int | None = None
    calls: int | None = None
    waits: list[Waiting] | None = None
    asked: int = 0
    eta: dict[str, float] | None = None
    source: str | None = None


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs.

    Fields:
        status: Only those of this status.
        q: Only those whose id or name has this text in it.
        after: Only those behind this cursor.
        limit: The most runs.
    """

    status: str = ""
    q: str = ""
    after: str = ""
    limit: Count = 50


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some runs, newest first.

    Fields:
        runs: The runs.
        next: The cursor for those behind them; None if there are none.
        counts: How many there are of each status, whatever status was asked for.
    """

    runs: list[RunRow]
    next: str | None
    counts: dict[str, int]


class OutputQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose output.

    Fields:
        path: The step.
    """

    path: str


class LogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose log.

    Fields:
        path: The call's path.
        attempt: Which attempt.
    """

    path: str
    attempt: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 1


def run_row(site: Site, kept: Kept) -> RunRow:
    """Give a run as a list shows it."""
    run = site.host.driven(kept.id)
    common = RunRow(
        id=kept.id,
        name=kept.name,
        status=kept.status,
        created=kept.created / 1e6,
        updated=kept.updated / 1e6,
        events=kept.events,
        owner=kept.owner,
        alive=kept.alive,
        here=run is not None,
    )
    if run is None:
        known = site.watch.known(kept.id)
        if known is None:
            return common
        return msgspec.structs.replace(
            common, usd=known.cost / 1e12, unpriced=known.unpriced, calls=known.calls
        )
    machine = run.machine
    return msgspec.structs.replace(
        common,
        status="paused" if machine.paused else kept.status,
        steps={status: count for status, count in machine.counts().items() if count},
        usd=run.tally.dollars,
        unpriced=run.tally.unpriced,
        calls=run.tally.made,
        waits=waiting(run),
        asked=len(open_questions(machine)) if machine.questions else 0,
        eta=eta(machine),
        source=machine.spec.source,
    )


def waiting(run: Run) -> list[Waiting]:
    """Say what the calls of a run wait for that is driven here."""
    if not run.queued:
        return []
    labels = limit_labels(run.machine.spec.limits)
    return [
        Waiting(
            cause=queue.cause,
            name=_called(queue.cause.removesuffix(f" of {run.id}"), labels),
            count=queue.count,
            until=None if queue.until is None else queue.until / 1e6,
        )
        for queue in run.queued
    ]


def _called(cause: str, labels: Mapping[str, str]) -> str:
    name = cause.partition(":")[2]
    return labels.get(name, name)


async def _runs(site: Site, asked: Asked) -> RunsPage:
    query: RunsQuery = asked.query
    wanted = Wanted(
        sought=query.q,
        status=(query.status,) if query.status else (),
        before=_place(query.after),
        most=query.limit + 1,
    )
    rows = await site.host.rows(wanted)
    shown, more = rows[: query.limit], len(rows) > query.limit
    counts = await site.host.counts(Wanted(sought=query.q))
    return RunsPage(
        runs=[run_row(site, row) for row in shown],
        next=f"{shown[-1].created}.{shown[-1].id}" if more else None,
        counts=dict(sorted(counts.items())),
    )


def _place(cursor: str) -> tuple[int, str] | None:
    """Read a cursor.

    Raises:
        CallerError: It is none.
    """
    if not cursor:
        return None
    created, dot, run = cursor.partition(".")
    if not (dot and run and created.isascii() and created.isdecimal() and len(created) < 20):
        raise CallerError("'after' is no cursor; take it from 'next' of the page before")
    return int(created), run


async def _head(site: Site, asked: Asked) -> dict[str, Any]:
    kept = await asyncio.to_thread(site.host.row, asked.path["run"])
    board = await site.live.board(kept.id)
    return joined(board.head(), outside(site.host.driven(kept.id), kept))


def outside(run: Run | None, kept: Kept | None) -> dict[str, Any]:
    """Give what a run's events don't say: who drives it, and what its calls wait for now."""
    return {
        "owner": "" if kept is None else kept.owner,
        "alive": kept is not None and kept.alive,
        "here": run is not None,
        "waits": [] if run is None else msgspec.to_builtins(waiting(run)),
    }


async def _output(site: Site, asked: Asked) -> Bytes:
    """Give a step's output, or a part of its bytes."""
    run = (await asyncio.to_thread(site.host.row, asked.path["run"])).id
    board = await site.live.board(run)
    value = _result(board.machine, asked.query.path)
    data, media = output_bytes(value)
    return ranged(asked.range, len(data), lambda start, size: data[start : start + size], media)


def _result(machine: Any, path: str) -> Json:
    """Give what a step gave.

    Raises:
        NotFound: There is no such step, or it has given nothing.
    """
    try:
        value = machine.workflow.result(path)
    except Refused as error:
        raise NotFound(str(error)) from error
    if value is None:
        raise NotFound(f"step {path[:200]!r} has no output")
    return value


def output_bytes(value: Json) -> tuple[bytes, str]:
    """Give an output's bytes and what they are: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace"), _TEXT
    return msgspec.json.encode(value), "application/json"


async def _log(site: Site, asked: Asked) -> Bytes:
    """Give what a call has said, or a part of its bytes."""
    run = (await asyncio.to_thread(site.host.row, asked.path["run"])).id
    call = Call(asked.query.path, asked.query.attempt)
    logs = site.host.engine.journal.logs
    if logs.period:
        return await asyncio.to_thread(log_bytes, CallLog(logs, run, call), call, asked.range)
    return log_bytes(CallLog(logs, run, call), call, asked.range)


def log_bytes(log: CallLog, call: Call, given: str) -> Bytes:
    """Give a log's bytes.

    Raises:
        NotFound: There is no such log.
    """
    size = log.size()
    if size is None:
        raise NotFound(f"call {str(call)[:200]!r} has no log")
    return ranged(given, size, log.read, _TEXT)


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/runs",
        role="view",
        handler=_runs,
        about="The runs of the state folder, newest first.",
        query=RunsQuery,
        gives=RunsPage,
    ),
    Route(
        method="GET",
        path="/api/runs/{run}",
        role="view",
        handler=_head,
        about="A run as a whole: its state, its steps and calls counted, what is waited for.",
        gives=Head,
    ),
    Route(
        method="GET",
        path="/api/runs/{run}/output",
        role="view",
        handler=_output,
        about="What a step gave: a text as it is, all else as JSON; by ranges of bytes, too.",
        query=OutputQuery,
        media="application/octet-stream",
    ),
    Route(
        method="GET",
        path="/api/runs/{run}/log",
        role="view",
        handler=_log,
        about="What a call has said while it ran; by ranges of bytes, too.",
        query=LogQuery,
        media=_TEXT,
    ),
]
