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

WHOLE = " ".join(["one two three four five six seven eight"] * 4)
PLANS = """
version: 1
agents:
  talker: {scripted: {replies: [{output: one two three, after: 30ms, stream: true}]}}
  slow: {scripted: {replies: [{output: WHOLE, after: 1500ms, stream: true}]}}
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
  slow:
    steps:
      a: {agent: slow, prompt: hi}
      b: {agent: slow, prompt: hi}
  fails:
    steps:
      a: {agent: bad, prompt: hi}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("agui")
    file = folder / "plans.yaml"
    file.write_text(PLANS.replace("WHOLE", WHOLE))
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        yield server


def test_wherever_it_is_broken_off_nothing_comes_twice_and_nothing_is_left_out(
    served: Served,
) -> None:
    run = "broken"
    served.post("/api/runs", {"file": "plans.yaml", "plan": "good", "run_id": run})
    told = follow(served, run)
    for had in range(1, len(told)):
        rest = follow(served, run, told[had - 1]["id"])
        assert joined(told[:had] + rest) == joined(told), told[had - 1]
        assert kinds(told[had:]) == kinds(rest)


def kinds(told: list[Any]) -> list[str]:
    return [said["type"] for said in told if said["type"] != "TEXT_MESSAGE_CONTENT"]


def joined(told: list[Any]) -> list[Any]:
    """What was told, but for how texts were cut into messages."""
    texts: dict[str, str] = {}
    rest = []
    for said in told:
        if said["type"] == "TEXT_MESSAGE_CONTENT":
            name = said["messageId"]
            texts[name] = texts.get(name, "") + said["delta"]
        else:
            rest.append({key: value for key, value in said.items() if key != "id"})
    return [texts, rest]


def test_what_a_model_in_flight_has_said_is_not_said_again(served: Served) -> None:
    """The reader breaks off in the middle of two texts, and goes on in the middle of both."""
    served.post("/api/runs", {"file": "plans.yaml", "plan": "slow", "run_id": "slow"})
    had: list[Any] = []
    for number, said in streamed(served, "/api/runs/slow/agui"):
        had.append({"id": number, **said})
        texts = joined(had)[0]
        if len(texts) == 2 and all("two" in text for text in texts.values()):
            break
    assert "/" in had[-1]["id"]
    rest = follow(served, "slow", had[-1]["id"])
    assert joined(had + rest)[0] == {"a#1": WHOLE, "b#1": WHOLE}
    assert joined(had)[0]["a#1"] not in ("", WHOLE)


@pytest.mark.parametrize("last", ["x", "1.", "1/", "1/2-", "-1", "1.2.3", "9999"])
def test_an_id_that_is_none_of_this_stream_is_refused(served: Served, last: str) -> None:
    run = served.post("/api/runs", {"file": "plans.yaml", "plan": "fails"})["run"]
    reply = served.ask("GET", f"/api/runs/{run}/agui", headers={"Last-Event-ID": last})
    assert (reply.status, reply.kind) == (400, "bad_input")


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
