"""Reads what MassGen noted during a run, in either of the files where it does so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from hocket.core.errors import LogError
from hocket.core.values import SECOND, Json
from hocket.insight.logs.spans import MAX_SPANS
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import iso, scaled, text

IDLE: Final = frozenset({"iteration_start", "evaluation_criteria_set", "text"})
"""Kinds of which there are many, and that say nothing about who did what."""

_CHUNK: Final = "final_presentation_chunk"
_LIVE: Final = {
    "round_start": "context_received",
    "answer_submitted": "new_answer",
    "vote": "vote_cast",
    "final_presentation_start": "final_round_start",
    "final_answer": "final_answer",
}
"""What the kinds of ``events.jsonl`` are called in ``coordination_events.json``."""


class Fact(NamedTuple):
    """One thing that MassGen noted.

    Fields:
        record: Which record of the file it is, from 1.
        at: When.
        kind: What happened, as ``coordination_events.json`` calls it.
        agent: Whose it is, or "".
        said: More in words.
        label: The label of an answer, or of what was voted for.
        sees: The labels of the answers that were given to an agent; None if it does not say.
        affected: The agents that were to begin anew.
    """

    record: int
    at: int
    kind: str
    agent: str
    said: str = ""
    label: str = ""
    sees: tuple[str, ...] | None = None
    affected: tuple[str, ...] = ()


class Facts(msgspec.Struct, kw_only=True):
    """What MassGen noted.

    Fields:
        facts: One thing after the other.
        agents: The agents in the order of the configuration, as far as known.
        question: What was asked.
        winner: Whose answer was taken, or "".
        cut: Where the file ends too early, if it does.
        left_out: How many were not kept.
    """

    facts: list[Fact] = []
    agents: list[str] = []
    question: str = ""
    winner: str = ""
    cut: LogError | None = None
    left_out: int = 0


def read_coordination(chunks: Iterable[bytes]) -> Facts:
    """Read ``coordination_events.json``.

    Raises:
        LogError: It is broken, or no such file.
    """
    source = Source(chunks)
    found = Facts()
    known = False
    if not source.peek():
        raise LogError("the file is empty", hint="was the disk full when MassGen ended?")
    try:
        for key in source.members():
            if key == "events" and source.peek() == "[":
                known = True
                _events(source, found)
            elif key == "session_metadata":
                known = True
                _session(source.value(), found)
            else:
                source.value()
        if source.peek():
            source.fail(f"the object has ended, and {source.start()!r} comes after it")
    except LogError as error:
        if not error.cut or not found.facts:
            raise
        found.cut = error
    if not known:
        raise LogError(
            "there are no 'events' in it", hint="MassGen's file is an object with 'events'"
        )
    return found


def read_live(chunks: Iterable[bytes]) -> Facts:
    """Read ``events.jsonl``, which MassGen writes while it runs.

    Raises:
        LogError: It is broken, or no such file.
    """
    source = Source(chunks)
    found = Facts()
    answers: dict[str, int] = {}
    record = 0
    try:
        while source.peek():
            record += 1
            if source.peek() != "{":
                source.fail("a line of MassGen's events.jsonl is an object")
            fact = _live(source.value(), record, found, answers)
            if fact is not None:
                _keep(found, fact)
    except LogError as error:
        if not error.cut or not found.facts:
            raise
        found.cut = error
    if not found.facts:
        raise LogError("there is no event in it", hint="was MassGen ended before it began?")
    return found


def _events(source: Source, found: Facts) -> None:
    record = 0
    for _ in source.elements():
        record += 1
        if source.peek() != "{":
            source.fail("an event of MassGen is an object")
        event = source.value()
        at = scaled(event.get("timestamp"), SECOND)
        kind = text(event.get("event_type"))
        if at is None or not kind:
            source.fail(f"event {record} has no 'event_type' or no 'timestamp' in seconds")
        if kind in IDLE:
            continue
        context = event.get("context")
        context = context if isinstance(context, dict) else {}
        _keep(
            found,
            Fact(
                record=record,
                at=at,
                kind=kind,
                agent=text(event.get("agent_id")),
                said=text(event.get("details")),
                label=text(context.get("label")) or text(context.get("voted_for_label")),
                sees=_labels(context),
                affected=_texts(context.get("affected_agents")),
            ),
        )


def _keep(found: Facts, fact: Fact) -> None:
    if len(found.facts) < MAX_SPANS:
        found.facts.append(fact)
    else:
        found.left_out += 1


def _labels(context: dict[str, Json]) -> tuple[str, ...] | None:
    for name in ("available_answer_labels", "context_labels", "available_answers"):
        if isinstance(context.get(name), list):
            return _texts(context[name])
    return None


def _texts(value: Json) -> tuple[str, ...]:
    items = value if isinstance(value, list) else ()
    return tuple(found for item in items if (found := text(item)))


def _session(value: Json, found: Facts) -> None:
    if isinstance(value, dict):
        found.question = text(value.get("user_prompt"))
        found.agents = list(_texts(value.get("agent_ids")))
        found.winner = text(value.get("final_winner"))


def _live(event: Json, record: int, found: Facts, answers: dict[str, int]) -> Fact | None:
    at = iso(event.get("timestamp"))
    kind = text(event.get("event_type"))
    agent = text(event.get("agent_id"))
    if at is None or not kind or kind in IDLE or kind == _CHUNK:
        return None
    data = event.get("data")
    data = data if isinstance(data, dict) else {}
    if kind == "context_received":
        return Fact(record, at, "context_told", agent, sees=_labels(data) or ())
    if kind == "round_start" and agent and agent not in found.agents:
        found.agents.append(agent)
    label = ""
    if kind == "answer_submitted":
        # The numbers of agents are those of their places.
        answers[agent] = answers.get(agent, 0) + 1
        place = found.agents.index(agent) + 1 if agent in found.agents else 0
        label = f"agent{place}.{answers[agent]}"
    if kind == "final_answer":
        found.winner = agent
    return Fact(record, at, _LIVE.get(kind, kind), agent, text(data.get("message")), label)
