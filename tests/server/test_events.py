"""Events of a run: as JSON that may wait, and as server-sent events that go on after a break."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import PLANS, Served, serving
from tests.server.pages import live_of

from hocket.server.settings import Settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("events")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        yield server


def begin(served: Served, plan: str, run: str, **inputs: str) -> None:
    what = {"file": "plans.yaml", "plan": plan, "run_id": run, "inputs": inputs}
    served.post("/api/runs", what)


def streamed(served: Served, path: str, last: str = "") -> Iterator[tuple[str, Any]]:
    """The messages of a stream, with their ids, until it ends."""
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {served.tokens.view}",
    }
    if last:
        headers["Last-Event-ID"] = last
    link.request("GET", path, headers=headers)
    answer = link.getresponse()
    assert answer.status == 200 and answer.getheader("content-type") == "text/event-stream"
    number = ""
    try:
        while line := answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                number = value
            elif name == "data":
                yield number, json.loads(value)
    finally:
        link.close()


def test_events_since_a_number(served: Served) -> None:
    begin(served, "say", "since", who="Ada" * 200)
    served.until("since", "succeeded")
    page = served.get("/api/runs/since/events?limit=3", token="view")
    assert [event["seq"] for event in page["events"]] == [1, 2, 3] and page["next"] == 3
    first = page["events"][0]
    assert first["type"] == "run_started" and "spec" not in first and len(first["digest"]) == 64
    rest = served.get("/api/runs/since/events?after=3", token="view")
    assert rest["ended"] and rest["seq"] == rest["next"] == rest["events"][-1]["seq"]
    assert rest["events"][-1]["type"] == "run_ended"
    assert 1e12 < rest["events"][-1]["at"] < 1e14
    none = served.get(f"/api/runs/since/events?after={rest['next']}&wait=0.01", token="view")
    assert none["events"] == [] and none["next"] == rest["next"]


def test_who_waits_is_told_when_something_happens(served: Served) -> None:
    begin(served, "tell", "waits")
    asked = served.get("/api/runs/waits/events?after=1&wait=20")
    assert asked["events"][0]["type"] == "input_asked"
    seq = asked["next"]
    found: list[Any] = []

    def ask() -> None:
        found.append(served.get(f"/api/runs/waits/events?after={seq}&wait=20"))

    asking = threading.Thread(target=ask)
    asking.start()
    served.post("/api/runs/waits/send", {"step": "word", "value": "hey"})
    asking.join(20)
    assert found[0]["events"][0] | {"at": 0} == {
        "seq": seq + 1,
        "type": "input_given",
        "at": 0,
        "path": "word",
        "value": "hey",
        "by": found[0]["events"][0]["by"],
    }


def test_a_stream_goes_on_where_it_was_broken_off(served: Served) -> None:
    begin(served, "tell", "broken")
    seen: list[Any] = []
    for number, event in streamed(served, "/api/runs/broken/events"):
        assert number == str(event["seq"])
        seen.append(event)
        if event["type"] == "input_asked":
            break
    served.post("/api/runs/broken/send", {"step": "word", "value": "hey"})
    last = str(seen[-1]["seq"])
    for _, event in streamed(served, "/api/runs/broken/events", last):
        seen.append(event)
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["type"] == "run_ended"


def test_a_wrong_last_event_is_refused(served: Served) -> None:
    begin(served, "say", "wrong")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "x"}
    assert served.ask("GET", "/api/runs/wrong/events", headers=headers).status == 400
    assert served.ask("GET", "/api/runs/wrong/events?wait=51").status == 400


def test_who_has_had_more_events_than_there_are_is_told_so(served: Served) -> None:
    begin(served, "tell", "fewer")
    stream = {"Accept": "text/event-stream"}
    for path, headers in (
        ("/api/runs/fewer/events?after=900&wait=50", {}),
        ("/api/runs/fewer/events?after=900", stream),
        ("/api/runs/fewer/events", {**stream, "Last-Event-ID": "900"}),
    ):
        reply = served.ask("GET", path, headers=headers)
        assert (reply.status, reply.kind) == (400, "bad_input")
        assert "begin anew" in reply.json()["error"]["message"]
