"""Tables of steps and calls, and all about one step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import Served, serving
from tests.server.pages import journal_says, live_of

from hocket.server.settings import Settings
from hocket.server.steps import MOST_SHOWN

PLANS = """
version: 1
agents:
  one: {scripted: {replies: [{output: "{prompt}", cost: 0.01, tokens_in: 2}]}}
  long: {scripted: {replies: [{output: {text: LONG}}]}}
  bad: {scripted: {replies: [{error: {kind: permanent, message: cannot}}]}}
plans:
  below:
    inputs: {x: {}}
    steps:
      deep: {agent: one, prompt: "deep {{inputs.x}}"}
  all:
    inputs: {who: {default: Ada}}
    steps:
      hello: {agent: one, prompt: "hello {{inputs.who}}"}
      items: {agent: one, each: "[1, 2, 3]", prompt: "item {{item}} of {{hello}}"}
      inner: {run: below, with: {x: "{{hello}}"}}
      much: {agent: long, prompt: "much"}
      sad: {agent: bad, prompt: "x", on_failure: continue}
      after: {agent: one, prompt: "end", needs: [much, items, sad]}
""".replace("LONG", "x" * 30_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("steps")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        server.post("/api/runs", {"file": "plans.yaml", "plan": "all", "run_id": "r"})
        server.until("r", "succeeded", "failed")
        yield server


def step(served: Served, path: str) -> Any:
    return served.get(f"/api/runs/r/step?path={path}", token="view")


def test_steps_come_in_pages_and_are_all_there(served: Served) -> None:
    rows: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = served.get(f"/api/runs/r/steps?limit=3&after={after}", token="view")
        assert len(page["rows"]) <= 3
        rows += page["rows"]
        after = page["next"]
    assert {row["id"]: row for row in rows} == journal_says(served, "r")[0]
    assert [row["id"] for row in rows][:4] == ["hello", "items", "inner", "inner/deep"]
    assert page["total"] == len(rows) and page["seq"] > 10


def test_steps_are_filtered(served: Served) -> None:
    found = served.get("/api/runs/r/steps?status=failed")["rows"]
    assert [row["id"] for row in found] == ["sad"] and found[0]["d"] == "cannot"
    found = served.get("/api/runs/r/steps?q=DEEP")["rows"]
    assert [row["id"] for row in found] == ["inner/deep"]
    page = served.get("/api/runs/r/steps?status=succeeded&limit=2")
    more = served.get(f"/api/runs/r/steps?status=succeeded&limit=9&after={page['next']}")
    assert len(page["rows"]) == 2 and len(page["rows"]) + len(more["rows"]) == 6


def test_all_about_a_step(served: Served) -> None:
    told = step(served, "hello")
    assert told["prompt"] == told["output"] == "hello Ada" and not told["cut"]
    assert told["output_bytes"] == 9 and told["row"]["n"] == 1 and told["row"]["usd"] == 0.01
    assert [call["c"] for call in told["calls"]] == ["hello#1"]
    assert told["calls"][0]["tk"] == [2, 0] and told["spec"]["agent"] == "one"
    assert step(served, "inner/deep")["output"] == "deep hello Ada"
    assert step(served, "inner")["spec"]["plan"] == {"name": "below", "steps": 1}
    item = step(served, "items/1")
    assert item["row"] is None and item["output"] == "item 2 of hello Ada"
    assert [call["c"] for call in item["calls"]] == ["items/1#1"]
    several = step(served, "items")
    assert several["prompt"] is None and len(several["calls"]) == several["row"]["n"] == 3
    assert step(served, "sad")["problem"] == "cannot"
    assert step(served, "after")["needs"] == ["much", "items", "sad"]


def test_what_is_much_is_cut_and_said_to_be(served: Served) -> None:
    told = step(served, "much")
    assert told["cut"] and len(told["output"]) == MOST_SHOWN and told["output_bytes"] > 30_000
    assert served.ask("GET", "/api/runs/r/output?path=much").body.count(b"x") > 29_000


def test_calls_come_in_pages(served: Served) -> None:
    first = served.get("/api/runs/r/calls?limit=4", token="view")
    rest = served.get(f"/api/runs/r/calls?after={first['next']}", token="view")
    assert rest["next"] is None and first["total"] == 8
    calls = {call["c"]: call for call in first["calls"] + rest["calls"]}
    assert calls == journal_says(served, "r")[1]


@pytest.mark.parametrize(
    "path",
    ["nobody/steps", "nobody/step?path=a", "nobody/calls", "r/step?path=nothing", "nobody/events"],
)
def test_what_is_not_there_is_not_found(served: Served, path: str) -> None:
    assert served.ask("GET", f"/api/runs/{path}").status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=-1", "what=1"])
def test_wrong_queries_are_refused(served: Served, query: str) -> None:
    assert served.ask("GET", f"/api/runs/r/steps?{query}").status == 400
