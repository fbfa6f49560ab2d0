"""Small logs of other programs, made by hand, and how to read and show them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hocket.core.values import SECOND
from hocket.insight.account import account
from hocket.insight.trace import Trace

START = 1_000 * SECOND


def shared(*parts: str) -> Path:
    """Find shared test data beside the project, or where HOCKET_DATA says; skip without it."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    path = Path(os.environ.get("HOCKET_DATA", beside)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the data {'/'.join(parts)} is not there: set HOCKET_DATA to its folder")
    return path


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def sound(trace: Trace) -> Trace:
    """Check what must hold of every trace, and that its time can be accounted for."""
    assert trace.began <= trace.ended
    for index, activity in enumerate(trace.activities):
        assert activity.asked <= activity.began
        assert activity.ended is None or activity.began <= activity.ended
        assert -1 <= activity.after < index
        assert all(0 <= need < index for need in activity.needs)
        assert activity.after == -1 or activity.after in activity.needs
        since = activity.asked
        for wait in activity.waits:
            assert since <= wait.since < wait.until <= activity.began
            since = wait.until
    names = [activity.name for activity in trace.activities]
    assert len(set(names)) == len(names)
    found = account(trace)
    assert sum(found.shares.values()) == trace.took
    return trace


def shares(trace: Trace) -> dict[str, float]:
    """Give what the time went to, in seconds."""
    return {
        f"{cause.kind}:{cause.detail}".rstrip(":"): ns / SECOND
        for cause, ns in account(trace).shares.items()
    }


def at(trace: Trace, instant: int | None) -> float | None:
    return None if instant is None else (instant - trace.began) / SECOND


# -- OTLP -----------------------------------------------------------------------------------------


def chat(model: str = "gpt", **more: Any) -> dict[str, Any]:
    tokens = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    return {"gen_ai.operation.name": "chat", "gen_ai.request.model": model, **tokens} | {
        key.replace("__", "."): value for key, value in more.items()
    }


def span(
    name: str,
    began: float,
    ended: float | None,
    attributes: dict[str, Any] | None = None,
    *,
    of: int = 0,
    number: int,
    trace: int = 1,
    status: dict[str, Any] | None = None,
) -> dict[str, Any]:
    found = {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": f"{of:016x}" if of else "",
        "name": name,
        "startTimeUnixNano": str(START + round(began * SECOND)),
        "attributes": [
            {
                "key": key,
                "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v},
            }
            for key, v in (attributes or {}).items()
        ],
    }
    if ended is not None:
        found["endTimeUnixNano"] = str(START + round(ended * SECOND))
    if status is not None:
        found["status"] = status
    return found


def document(spans: Sequence[dict[str, Any]]) -> bytes:
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scopes = [{"scope": {"name": "x"}, "spans": list(spans)}]
    return json.dumps({"resourceSpans": [{"resource": service, "scopeSpans": scopes}]}).encode()


# -- MassGen --------------------------------------------------------------------------------------

ZERO = 1_795_290_000.0


class Log:
    """Writes MassGen's coordination_events.json."""

    def __init__(self, agents: Sequence[str] = ("a1", "a2")) -> None:
        self.agents = list(agents)
        self.events: list[dict[str, Any]] = []
        self.note(0, "session_start", None)

    def note(self, at: float, kind: str, agent: str | None, said: str = "", **context: Any) -> None:
        self.events.append(
            {
                "timestamp": ZERO + at,
                "event_type": kind,
                "agent_id": agent,
                "details": said,
                "context": context,
            }
        )

    def asked(self, at: float, agent: str, *labels: str) -> None:
        self.note(at, "context_received", agent, available_answer_labels=list(labels))

    def answered(self, at: float, agent: str, label: str) -> None:
        self.note(at, "new_answer", agent, label=label)
        self.note(at, "restart_triggered", agent, affected_agents=self.agents)

    def voted(self, at: float, agent: str, label: str, *seen: str) -> None:
        self.note(
            at, "vote_cast", agent, voted_for_label=label, available_answers=list(seen or [label])
        )

    def data(self, winner: str | None = "a1") -> bytes:
        session = {
            "user_prompt": "why?",
            "agent_ids": self.agents,
            "start_time": ZERO,
            "final_winner": winner,
        }
        return json.dumps({"session_metadata": session, "events": self.events}).encode()


def two_agents() -> Log:
    """Two agents answer; the first one's vote is void because the second answers late."""
    log = Log()
    log.asked(0.1, "a1")
    log.asked(0.2, "a2")
    log.answered(2.0, "a1", "agent1.1")
    log.asked(2.1, "a1", "agent1.1")
    log.answered(5.0, "a2", "agent2.1")
    log.note(6.0, "vote_ignored", "a1", "VOTE_IGNORED")
    log.asked(6.1, "a1", "agent1.1", "agent2.1")
    log.asked(5.1, "a2", "agent1.1", "agent2.1")
    log.events.sort(key=lambda event: event["timestamp"])
    log.voted(8.0, "a2", "agent1.1", "agent1.1", "agent2.1")
    log.voted(9.0, "a1", "agent1.1", "agent1.1", "agent2.1")
    log.note(9.2, "final_round_start", "a1")
    log.note(11.0, "final_answer", "a1", label="agent1.final")
    log.note(11.5, "session_end", None, "Session completed")
    return log


def lines(*calls: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(call).encode() + b"\n" for call in calls)
