"""A run in a few lines: how far it is, what it has spent, what people are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from hocket.core.events import ApprovalAsked, InputAsked, Origin
from hocket.core.people import asking_call
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, RunSpec
from hocket.core.values import Json
from hocket.insight.tally import Tally
from hocket.report.board_rows import cut, ms
from hocket.workflows.open import still_open
from hocket.workflows.teams import kind_of

MOST_ASKED: Final = 20
"""The most questions in a head; the inbox has all."""
_MOST_SHOWN: Final = 400
_MOST_INPUT: Final = 1_000
_MOST_NAMES: Final = 100
_MOST_REASON: Final = 1_000


def standing(machine: RunMachine, program: str, forked: Origin | None) -> dict[str, Json]:
    """Give what stays the same as long as the spec does."""
    spec = machine.spec
    agents = list(spec.agents.items())
    return {
        "id": machine.run,
        "name": spec.name,
        "created": ms(machine.started_at),
        "inputs": {
            name: _brief(value) for name, value in list(machine.inputs.items())[:_MOST_NAMES]
        },
        "source": cut(spec.source, _MOST_REASON),
        "program": program,
        "forked": None if forked is None else {"run": forked.run, "seq": forked.seq},
        "max_parallel": spec.max_parallel,
        "kinds": kinds_of(spec),
        "agents": {
            name: {"kind": agent.kind, "model": cut(str(agent.options.get("model") or ""), 100)}
            for name, agent in agents[:_MOST_NAMES]
        },
        "agents_more": max(len(agents) - _MOST_NAMES, 0),
    }


def moving(machine: RunMachine, tally: Tally) -> dict[str, Json]:
    """Give what changes as the run goes on."""
    end, ended = machine.end, machine.phase == "ended"
    reason = end.reason if end is not None else machine.pause_reason
    counts = machine.counts()
    return {
        "status": machine.said,
        "reason": cut(reason, _MOST_REASON),
        "began": ms(machine.started_at),
        "ended": ms(end.at) if ended and end is not None else None,
        "rested": ms(machine.at) if ended or machine.paused else None,
        "at": ms(machine.at),
        "flying": machine.calls.running,
        "steps": {status: count for status, count in counts.items() if count},
        "total": sum(counts.values()),
        "calls": {
            "started": tally.started,
            "finished": tally.finished,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "lost": tally.lost,
            "kept": tally.kept,
        },
        "tokens": {
            "in": tally.tokens_in,
            "out": tally.tokens_out,
            "cached": tally.tokens_cached,
        },
        "usd": tally.dollars,
        "unpriced": tally.unpriced,
        "eta": eta(machine),
    }


def eta(machine: RunMachine) -> dict[str, Json] | None:
    """Give when a run will end by its last forecast, in milliseconds since the epoch.

    None while nothing but people is waited for, or it does not go on: no time is promised then.
    What was forecast may have passed.
    """
    forecast = machine.forecast
    if forecast is None or machine.phase != "running" or _waits_for_people(machine):
        return None
    return {name: ms(getattr(forecast, name)) for name in ("low", "high", "finish")}


def _waits_for_people(machine: RunMachine) -> bool:
    """Tell whether somebody is asked, and no call is under way but those that ask."""
    calls = machine.calls
    asking = {call.path for path in calls.people.open if (call := asking_call(path)) is not None}
    waits = all(job.state == "held" or path in asking for path, job in calls.jobs.items())
    return waits and bool(asking or machine.questions or calls.jobs)


def asked(machine: RunMachine) -> list[dict[str, Json]]:
    """Give what people are asked now, each cut to a few lines."""
    return [_question(path, question) for path, question in open_now(machine)][:MOST_ASKED]


def open_now(machine: RunMachine) -> Iterator[tuple[str, ApprovalAsked | InputAsked]]:
    """Give the questions that still wait for somebody, by path."""
    if machine.phase == "ended":
        return
    for path, question in machine.questions.items():
        if still_open(machine, path):
            yield path, question
    yield from machine.calls.people.open.items()


def kinds_of(spec: RunSpec) -> list[str]:
    """Name the kinds of teams that a run has."""
    found: dict[str, None] = {}
    plans: list[PlanSpec] = [spec.workflow]
    while plans:
        for step in plans.pop().steps:
            kind = kind_of(step, spec.agents)
            if kind is not None:
                found[kind] = None
            if step.kind == "gather":
                found["panel"] = None
            if step.plan is not None:
                plans.append(step.plan)
    return sorted(found)


def _question(path: str, question: ApprovalAsked | InputAsked) -> dict[str, Json]:
    approve = isinstance(question, ApprovalAsked)
    shown = question.shown if isinstance(question, ApprovalAsked) else question.prompt
    return {
        "path": path,
        "kind": "approve" if approve else "input",
        "shown": cut(shown, _MOST_SHOWN),
        "digest": question.digest if isinstance(question, ApprovalAsked) else "",
        "asked_at": ms(question.at),
    }


def _brief(value: Any) -> Json:
    """Give an input whole if it is small, else the beginning of its text."""
    if isinstance(value, str):
        return cut(value, _MOST_INPUT)
    data = msgspec.json.encode(value)
    return value if len(data) <= _MOST_INPUT else cut(data.decode(), _MOST_INPUT)
