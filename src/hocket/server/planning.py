"""Routes of the planner: have a plan drafted, look at it, edit and check it, start it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from hocket.app.planner import draft, drafted, start_draft, with_text
from hocket.config.drafts import Drafted
from hocket.report.draft import draft_document
from hocket.server.routing import Asked, Route
from hocket.server.site import Site


class Task(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be planned.

    Fields:
        task: It, in words.
        agent: Who plans; by default the file's first agent that can.
        file: The offered file whose agents may be used; by default the first one.
    """

    task: str
    agent: str | None = None
    file: str | None = None


class Text(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A draft's text, as it was edited."""

    text: str


class Start(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A draft's text to run.

    Fields:
        text: It, as it was edited.
        digest: The digest that was shown with it; if it is given, what runs has to be that,
            agents included.
        approved: Whether whoever asks has approved of exactly that; it takes the digest.
    """

    text: str
    digest: str = ""
    approved: bool = False


class Begun(msgspec.Struct, kw_only=True):
    """The id of a run that has begun."""

    run: str


class DraftDocument(msgspec.Struct, kw_only=True):
    """What a planning run has come to; see ``hocket plan --json``."""

    run: str
    status: str
    reason: str
    ready: bool
    draft: dict[str, Any] | None
    confidence: dict[str, float] | None
    risks: list[dict[str, Any]]
    text: str
    digest: str
    agents: list[str]
    problems: list[str]
    needs_approval: bool
    why: list[str]
    prediction: dict[str, Any] | None


async def _draft(site: Site, asked: Asked) -> Begun:
    body: Task = asked.body
    run = await draft(site.host, body.task, file=body.file, agent=body.agent)
    return Begun(run=run)


async def _found(site: Site, run: str) -> Drafted:
    return await asyncio.to_thread(drafted, site.host.engine, run)


async def _drafted(site: Site, asked: Asked) -> Any:
    return draft_document(await _found(site, asked.path["run"]), time.time_ns())


async def _check(site: Site, asked: Asked) -> Any:
    found = await _found(site, asked.path["run"])
    journal = site.host.engine.journal
    edited = await asyncio.to_thread(with_text, journal, found, asked.body.text)
    return draft_document(edited, time.time_ns())


async def _start(site: Site, asked: Asked) -> Begun:
    body: Start = asked.body
    found = await _found(site, asked.path["run"])
    run = await start_draft(
        site.host,
        found,
        body.text,
        shown=body.digest,
        approved=body.approved,
    )
    return Begun(run=run)


ROUTES = [
    Route(
        method="POST",
        path="/api/plan",
        role="operate",
        handler=_draft,
        about="Have an agent draft a plan for a task.",
        body=Task,
        gives=Begun,
        status=201,
    ),
    Route(
        method="GET",
        path="/api/plan/{run}",
        role="view",
        handler=_drafted,
        about="Give what a planning run has come to.",
        gives=DraftDocument,
    ),
    Route(
        method="POST",
        path="/api/plan/{run}/check",
        role="view",
        handler=_check,
        about="Check and predict a draft's text, as it was edited.",
        body=Text,
        gives=DraftDocument,
        computes=True,
    ),
    Route(
        method="POST",
        path="/api/plan/{run}/start",
        role="operate",
        handler=_start,
        about="Run a draft's text; it waits for approval first where the draft needs that.",
        body=Start,
        gives=Begun,
        status=201,
    ),
]
"""The planner's routes."""
