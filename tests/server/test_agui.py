"""A run in AG-UI's words: what was begun is ended, and the state's patches add up.

The messages of both plans below were read by the protocol's own package, ``ag-ui-protocol`` 1.0,
when this was written; here are the rules that hold between messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import Served, serving
from tests.server.pages import live_of
from tests.server.test_events import streamed

from hocket.server.settings import Settings

PLANS = """
version: 1
agents:
  talker: {scripted: {replies: [{output: one two three, after: 30ms, stream: true}]}}
  quiet: {scripted: {replies: [{output: {n: 1}}]}}
  tool: {command: [echo, done]}
  bad: {scripted: {replies: [{error: {kind: permanent, message: cannot}}]}}
plans:
  good:
    steps:
      talk: {agent: talker, prompt: hi}
      still: {agent: quiet, prompt: hi}
      work: {agent: tool, needs: [talk]}
      sure: {approve: "all well?", needs: [work]}
  fails:
    steps:
      a: {agent: bad, prompt: hi}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("agui")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        yield server


def follow(served: Served, run: str, last: str = "") -> list[Any]:
    """Every message of a run; whoever is asked says yes."""
    told = []
    for number, said in streamed(served, f"/api/runs/{run}/agui", last):
        told.append({"id": number, **said})
        if not last and said.get("name") == "hocket.approval_asked":
            asked = said["value"]
            yes = {"step": asked["path"], "digest": asked["digest"], "approved": True}
            served.post(f"/api/runs/{run}/approve", yes)
    return told


def test_what_begins_ends_and_the_state_adds_up(served: Served) -> None:
    served.post("/api/runs", {"file": "plans.yaml", "plan": "good", "run_id": "good"})
    told = follow(served, "good")
    assert [said["type"] for said in told[:2]] == ["RUN_STARTED", "STATE_SNAPSHOT"]
    assert told[0]["runId"] == told[0]["threadId"] == "good"
    assert told[-1]["type"] == "RUN_FINISHED" and told[-1]["outcome"] == {"type": "success"}
    state, steps, texts, results = {}, [], {}, {}
    for said in told:
        kind = said["type"]
        if kind == "STATE_SNAPSHOT":
            state = said["snapshot"]
        elif kind == "STATE_DELTA":
            for patch in said["delta"]:
                assert patch["op"] == "replace"
                state[patch["path"][1:]] = patch["value"]
        elif kind == "STEP_STARTED":
            steps.append(said["stepName"])
        elif kind == "STEP_FINISHED":
            steps.remove(said["stepName"])
        elif kind == "TEXT_MESSAGE_START":
            texts[said["messageId"]] = ""
        elif kind == "TEXT_MESSAGE_CONTENT":
            assert said["delta"]
            texts[said["messageId"]] += said["delta"]
        elif kind == "TOOL_CALL_RESULT":
            results[said["toolCallId"]] = said["content"]
    assert state["status"] == "succeeded" and state["steps"] == {"succeeded": 4} and not steps
    assert texts == {"talk#1": "one two three", "still#1": '{"n":1}'}
    assert "done" in results["work#1"]
    assert {said["name"] for said in told if said["type"] == "CUSTOM"} == {
        "hocket.approval_asked",
        "hocket.approval_given",
    }


def test_who_has_had_some_of_it_gets_the_rest(served: Served) -> None:
    served.post("/api/runs", {"file": "plans.yaml", "plan": "good", "run_id": "rest"})
    told = follow(served, "rest")
    middle = told[len(told) // 2]["id"]
    rest = follow(served, "rest", middle)
    assert rest[-1] == told[-1] and len(rest) < len(told)
    assert "RUN_STARTED" not in [said["type"] for said in rest]


def test_a_run_that_fails_ends_with_an_error(served: Served) -> None:
    served.post("/api/runs", {"file": "plans.yaml", "plan": "fails", "run_id": "fails"})
    told = follow(served, "fails")
    assert told[-1]["type"] == "RUN_ERROR" and "cannot" in told[-1]["message"]
