"""What the routes of runs do, from beginning to end."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from tests.server.kit import PLANS, Served, serving

from hocket.app.engine import Engine
from hocket.app.load import load_plan
from hocket.core.events import RunEnded, RunStarted


def begin(served: Served, plan: str, **more: object) -> str:
    return str(served.post("/api/runs", {"plan": plan, **more})["run"])


def test_what_a_hanging_owner_has_not_answered_is_only_noted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second engine stands for the other process; its loop does nothing while we ask."""
    monkeypatch.setattr("hocket.app.host._PATIENCE", 0.05)

    async def other() -> None:
        async with Engine(served.site.host.engine.state, look_ahead=0) as engine:
            plans = served.site.host.engine.state.parent / "plans.yaml"
            run = await engine.begin(load_plan(plans, "tell"), {}, run_id="hangs")
            reply = served.ask("POST", "/api/runs/hangs/cancel", {})
            assert (reply.status, reply.json()["noted"]) == (202, True)
            assert reply.json()["status"] != "cancelled"
            for name in ("pause", "resume"):
                assert served.ask("POST", f"/api/runs/hangs/{name}", {}).status == 202
            await run.result()

    asyncio.run(other())
    assert served.until("hangs", "cancelled")
    assert "noted" not in served.post("/api/runs", {"plan": "tell", "run_id": "here"})
    assert served.post("/api/runs/here/cancel", {}).keys() == {"status"}


def test_a_run_from_its_start_to_its_output(served: Served) -> None:
    run = begin(served, "say", file="plans.yaml", inputs={"who": "Ada"}, run_id="hello")
    assert run == "hello"
    assert served.until(run, "succeeded") == "succeeded"
    head = served.get(f"/api/runs/{run}", token="view")
    assert (head["id"], head["status"], head["inputs"]) == (run, "succeeded", {"who": "Ada"})
    assert head["steps"] == {"succeeded": 2} and head["waits"] == [] and head["eta"] is None
    reply = served.ask("GET", f"/api/runs/{run}/output?path=a", token="view")
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("given", "status", "data", "where"),
    [
        ("bytes=0-1", 206, b"he", "bytes 0-1/5"),
        ("bytes=3-", 206, b"lo", "bytes 3-4/5"),
        ("bytes=-2", 206, b"lo", "bytes 3-4/5"),
        ("bytes=-99", 206, b"hello", "bytes 0-4/5"),
        ("bytes=0-99", 206, b"hello", "bytes 0-4/5"),
        ("bytes=5-", 416, None, "bytes */5"),
        ("bytes=-0", 416, None, "bytes */5"),
        ("bytes=3-1", 200, b"hello", None),
        ("bytes=0-1,3-4", 200, b"hello", None),
        ("lines=1-2", 200, b"hello", None),
        ("bytes=-", 200, b"hello", None),
        ("bytes=٣-", 200, b"hello", None),
    ],
)
def test_ranges(
    served: Served, given: str, status: int, data: bytes | None, where: str | None
) -> None:
    if not any(row["id"] == "ranges" for row in served.get("/api/runs")["runs"]):
        begin(served, "say", run_id="ranges")
        served.until("ranges", "succeeded")
    header = given.encode().decode("latin-1")
    reply = served.ask("GET", "/api/runs/ranges/output?path=a", headers={"Range": header})
    assert reply.status == status
    assert data is None or reply.body == data
    assert reply.headers.get("content-range") == where


def test_an_approval_is_of_what_was_shown(served: Served) -> None:
    run = begin(served, "ask")
    served.until(run, "running", "waiting")
    asked = _question(served, run)
    wrong = {"step": "sure", "digest": "0" * 64, "approved": True}
    assert served.ask("POST", f"/api/runs/{run}/approve", wrong).status == 409
    right = {"step": "sure", "digest": asked["digest"], "approved": True, "note": "go"}
    served.post(f"/api/runs/{run}/approve", right, headers={"Hocket-By": "anna"})
    served.until(run, "succeeded")
    told = served.ask("POST", f"/api/runs/{run}/approve", right)
    assert (told.status, told.kind) == (409, "refused")
    events = list(served.site.host.engine.journal.read(run))
    given = [one.event for one in events if type(one.event).__name__ == "ApprovalGiven"]
    assert [(event.by, event.note) for event in given] == [("api:anna", "go")]


def _question(served: Served, run: str) -> dict[str, object]:
    for _ in range(500):
        asked = served.get(f"/api/runs/{run}")["asked"]
        if asked:
            return dict(asked[0])
    raise AssertionError("nobody was asked")


def test_pause_resume_send_cancel_retry(served: Served) -> None:
    run = begin(served, "tell")
    _question(served, run)
    served.post(f"/api/runs/{run}/pause", {})
    served.until(run, "paused")
    served.post(f"/api/runs/{run}/resume", {})
    served.post(f"/api/runs/{run}/send", {"step": "word", "value": "yes"})
    served.until(run, "succeeded")
    assert served.ask("POST", f"/api/runs/{run}/pause", {}).status == 409
    other = begin(served, "tell")
    served.post(f"/api/runs/{other}/cancel", {"now": True})
    assert served.until(other, "cancelled")
    failing = begin(served, "fail")
    served.until(failing, "failed")
    served.post(f"/api/runs/{failing}/retry", {"step": "a"})
    served.until(failing, "failed")
    assert served.ask("POST", f"/api/runs/{failing}/retry", {"step": "b"}).status in {404, 409}
    forked = served.post(f"/api/runs/{run}/fork", {"inputs": {}, "run_id": "again"})
    assert forked == {"run": "again"}
    served.until("again", "succeeded")


def test_what_cannot_be_started_is_said(served: Served) -> None:
    def said(body: dict[str, object]) -> tuple[int, str]:
        reply = served.ask("POST", "/api/runs", body)
        return reply.status, reply.json()["error"]["message"]

    assert said({"plan": "sya"}) == (404, "plans.yaml has no plan 'sya'; did you mean 'say'?")
    assert said({"plan": "say", "file": "/etc/passwd"})[0] == 404
    assert said({"plan": "say", "file": "../plans.yaml"})[0] == 404
    assert said({"plan": "say", "inputs": {"whom": 1}})[0] == 409
    for run_id in ("../x", "a/b", "", "a\0b", "x" * 81, ".x", "last", "a b", "ä"):
        status, words = said({"plan": "say", "run_id": run_id})
        assert status in {400, 409}, run_id
        assert "cannot be a run's id" in words or "run_id" in words, run_id


def test_a_plan_is_checked_beside_the_server(served: Served) -> None:
    body = {"file": "plans.yaml", "plan": "say", "inputs": {"who": "--help"}}
    found = served.post("/api/plans/check", body, token="view")
    assert found["problems"] == [] and found["prediction"]["calls"] == 2
    unknown = served.post("/api/plans/check", {**body, "inputs": {"--json": 1}})
    assert unknown["prediction"] is None and "no input" in unknown["problems"][0]
    assert served.ask("POST", "/api/plans/check", {"file": "x", "plan": "say"}).status == 404


def test_the_list_by_pages_status_and_text(served: Served) -> None:
    for number in range(7):
        begin(served, "say", run_id=f"page-{number}")
    for number in range(7):
        served.until(f"page-{number}", "succeeded")
    seen: list[str] = []
    cursor = ""
    while True:
        page = served.get(f"/api/runs?q=PAGE-&limit=3&after={cursor}")
        assert page["counts"] == {"succeeded": 7}
        seen += [row["id"] for row in page["runs"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert sorted(seen) == [f"page-{n}" for n in range(7)] and len(seen) == 7
    created = {row["id"]: row["created"] for row in served.get("/api/runs?limit=200")["runs"]}
    assert sorted(seen, key=created.__getitem__, reverse=True) == seen
    assert served.get("/api/runs?status=failed&q=page-")["runs"] == []
    for bad in ("limit=0", "limit=201", "limit=x", "after=x", "after=1", "after=1.", "after=.x"):
        assert served.ask("GET", f"/api/runs?{bad}").status == 400, bad


def test_a_list_of_two_thousand_runs_comes_at_once(tmp_path: Path) -> None:
    async def fill(engine: Engine) -> None:
        spec = None
        for number in range(2_000):
            if spec is None:
                async with engine.start(_plan(tmp_path), run_id="first") as run:
                    await run.result()
                    spec = run.machine
                continue
            log = await engine.journal.start(
                RunStarted(
                    at=number,
                    run=f"r{number}",
                    spec=spec.spec,
                    digest=spec.digest,
                    inputs={},
                    seed=0,
                    versions={},
                    program="",
                )
            )
            log.append([RunEnded(at=number, status="succeeded", output=None)])
            await log.close()

    with serving(tmp_path / "state") as served:
        engine = served.site.host.engine
        served.do(lambda: fill(engine))
        served.get("/api/runs")
        took = []
        for _ in range(5):
            start = time.perf_counter()
            page = served.get("/api/runs?limit=50")
            took.append(time.perf_counter() - start)
        assert page["counts"] == {"succeeded": 2_000} and len(page["runs"]) == 50
        assert min(took) < 0.5, took
        print("\n2,000 runs:", min(took))


def _plan(folder: Path):
    (folder / "plans.yaml").write_text(PLANS)
    return load_plan(folder / "plans.yaml", "say")


TRAVERSALS = [
    "..",
    "../..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2ftoken",
    "..%2f..%2fserver%2ftoken",
    "..%5c..%5cserver%5ctoken",
    "%252e%252e%252fserver",
    "....//server/token",
    "%00",
    "a%00.log",
    "%c0%ae%c0%ae%c0%af",
    "%e0%80%ae",
    "..;/server",
    "server/token",
    "/server/token",
    "//server/token",
    "%2fetc%2fpasswd",
    "a" * 1500,
    "~root",
    "con",
    ".",
    "%0d%0aSet-Cookie:a=b",
    "%F0%9F%92%A9",
    "%ED%A0%80",
]


@pytest.mark.parametrize("part", TRAVERSALS)
def test_no_name_leads_out_of_its_folder(served: Served, part: str) -> None:
    if not any(row["id"] == "here" for row in served.get("/api/runs?limit=200")["runs"]):
        begin(served, "say", run_id="here")
        served.until("here", "succeeded")
    for path in (
        f"/api/runs/{part}",
        f"/api/runs/{part}/log?path=a",
        f"/api/runs/{part}/output?path=a",
        f"/api/runs/here/log?path={part}",
        f"/api/runs/here/output?path={part}",
        f"/{part}",
        f"/assets/{part}",
        f"/api/{part}/about",
    ):
        reply = served.ask("GET", path)
        assert reply.status in {400, 404, 414}, (path, reply.status)
        text = reply.body.decode()
        assert served.tokens.view not in text and "root:" not in text
        assert "set-cookie" not in reply.headers


def test_a_log_that_is_a_link_is_none(served: Served, tmp_path: Path) -> None:
    begin(served, "say", run_id="linked")
    served.until("linked", "succeeded")
    logs = served.site.host.engine.state / "logs" / "linked"
    logs.mkdir(parents=True, exist_ok=True)
    (tmp_path / "secret").write_text("no")
    (logs / "x#1.log").symlink_to(tmp_path / "secret")
    (logs / "y#1.log").write_text("yes")
    assert served.ask("GET", "/api/runs/linked/log?path=x").status == 404
    reply = served.ask("GET", "/api/runs/linked/log?path=y", headers={"Range": "bytes=1-"})
    assert (reply.status, reply.body) == (206, b"es")


def test_ids_are_not_markup(served: Served) -> None:
    """What comes back of what was sent is JSON, and never a page."""
    reply = served.ask("GET", "/api/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert reply.status == 404 and reply.headers["content-type"] == "application/json"
    assert msgspec.json.decode(reply.body) == json.loads(reply.body)


@pytest.mark.parametrize("coded", ["a%00b", "a%ED%B3%BFb"])
def test_what_no_text_can_hold_is_not_found_or_refused(served: Served, coded: str) -> None:
    before = [run["id"] for run in served.get("/api/runs")["runs"]]
    assert served.ask("GET", f"/api/runs/{coded}").status == 404
    assert served.ask("POST", f"/api/runs/{coded}/cancel", {}).status == 404
    assert served.ask("GET", "/api/runs?q=a%00b").status == 400
    assert [run["id"] for run in served.get("/api/runs")["runs"]] == before
