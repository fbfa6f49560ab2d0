"""The inbox over all runs: each question as it is, cut only where it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served, serving

from hocket.journal.base import RunRow, Wanted
from hocket.server.inbox import provide
from hocket.server.questions import _brief

FILE = """
version: 1
plans:
  ask:
    steps:
      ok:
        approve: "Publish this?\\n--- a\\n+++ b\\n@@ -1 +1 @@\\n-old\\n+new\\n"
        timeout: 1h
        on_timeout: reject
      age: {input: "How old?", output: {type: integer}}
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    path = tmp_path / "ask.yaml"
    path.write_text(FILE)
    with serving(tmp_path / "state", [path]) as found:
        yield found


def questions(served: Served, query: str = "") -> list[dict[str, Any]]:
    for _ in range(200):
        found = served.get(f"/api/inbox{query}")["questions"]
        if found:
            return list(found)
        served.do(lambda: asyncio.sleep(0.01))
    raise AssertionError("nobody is asked anything")


def test_questions_of_all_runs_are_told_whole(served: Served) -> None:
    for run in ("one", "two"):
        served.post("/api/runs", {"plan": "ask", "run_id": run})
    questions(served, "?run=two&path=ok")
    found = questions(served)
    assert [(one["run"], one["path"]) for one in found] == sorted(
        ((one["run"], one["path"]) for one in found),
        key=lambda pair: next(q["asked_at"] for q in found if (q["run"], q["path"]) == pair),
    )
    assert {(one["run"], one["path"]) for one in found} == {
        (run, path) for run in ("one", "two") for path in ("ok", "age")
    }
    (ok,) = questions(served, "?run=one&path=ok")
    assert ok["kind"] == "approve" and ok["on_timeout"] == "reject"
    assert ok["detail"]["diff"].splitlines()[-2:] == ["-old", "+new"]
    assert ok["expires"] > ok["asked_at"] > 1.6e12
    (age,) = questions(served, "?run=one&path=age")
    assert age["output"] == {"type": "integer"}


def test_what_is_answered_is_gone_and_the_second_is_told_who_was_first(served: Served) -> None:
    served.post("/api/runs", {"plan": "ask", "run_id": "one"})
    (ok,) = questions(served, "?path=ok")
    body = {"step": "ok", "digest": ok["digest"], "approved": True}
    served.post("/api/runs/one/approve", body)
    assert [one["path"] for one in questions(served)] == ["age"]
    late = served.ask("POST", "/api/runs/one/approve", {**body, "approved": False})
    assert late.status == 409
    told = late.json()["error"]["message"]
    assert "approved" in told
    assert "by api" in told or told.startswith("api")


def test_long_texts_are_cut_and_say_so() -> None:
    question: dict[str, Any] = {
        "shown": "x" * 50_000,
        "detail": {"diff": "y" * 9_000, "stdin": None, "command": ["z"] * 9_000, "estimate": None},
    }
    told = _brief(question)
    assert told["cut"] and len(told["shown"]) < 7_000 and "more characters" in told["shown"]
    assert len(told["detail"]["diff"]) < 7_000 and told["detail"]["command"] is None
    assert len(question["shown"]) == 50_000 and question["detail"]["command"]
    short = {"shown": "x", "detail": {"diff": None, "stdin": "s", "command": None}}
    assert _brief(short) == short


def test_pages_can_watch_it(served: Served) -> None:
    served.post("/api/runs", {"plan": "ask", "run_id": "one"})
    questions(served)
    given: dict[str, Any] = {}

    class Listens:
        def provide(self, topic: str, ask: Any, every: float = 1.0) -> None:
            given[topic] = ask

    provide(Listens(), served.site)  # type: ignore[arg-type]
    told = served.do(given["inbox"])
    assert {one["path"] for one in told["questions"]} == {"ok", "age"}
    assert told["alerts"] == []
    assert served.do(given["limits"])["limits"] == []


def test_a_question_tells_why_its_run_is_paused(served: Served) -> None:
    served.post("/api/runs", {"plan": "ask", "run_id": "one"})
    assert {one["paused"] for one in questions(served)} == {""}
    served.post("/api/runs/one/pause", {})
    paused = questions(served)
    assert all(one["paused"] for one in paused) and len(paused) == 2
    (ok,) = questions(served, "?path=ok")
    body = {"step": "ok", "digest": ok["digest"], "approved": True}
    assert served.post("/api/runs/one/approve", body)["status"] == "paused"
    assert len(questions(served)) == 1
    served.post("/api/runs/one/resume", {})
    assert {one["paused"] for one in questions(served)} == {""}


def test_runs_that_are_driven_here_are_never_too_many_to_be_asked(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.server.questions.MOST_RUNS", 0)
    for number in range(3):
        served.post("/api/runs", {"plan": "ask", "run_id": f"r{number}"})
    assert {one["run"] for one in questions(served)} == {"r0", "r1", "r2"}
    assert served.get("/api/inbox")["unasked"] == 0


def test_runs_that_have_ended_are_not_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("over", "paused", "open"):
        served.post("/api/runs", {"plan": "ask", "run_id": run})
    served.post("/api/runs/over/cancel", {})
    served.until("over", "cancelled")
    served.post("/api/runs/paused/pause", {})
    journal = served.site.host.engine.journal
    read: list[str] = []

    def runs(wanted: Wanted) -> list[RunRow]:
        rows = list_runs(wanted)
        read.extend(row.id for row in rows)
        return rows

    list_runs = journal.runs
    monkeypatch.setattr(journal, "runs", runs)
    assert {one["run"] for one in questions(served)} == {"paused", "open"}
    assert set(read) == {"paused", "open"}
