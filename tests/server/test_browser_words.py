"""How the page puts things: forecasts, names of limits, heads of columns, signs of more."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, WebSocketRoute, expect
from tests.server.kit import Served, serving
from tests.server.looking import ROOMY, go, looking
from tests.server.pages import live_of

from hocket.server.settings import Settings

FILE = """
version: 1
agents:
  own: {scripted: {replies: [{output: well, after: 20ms, cost: 0.01, tokens_in: 5}]},
    limits: {requests: 4/s}}
  slow: {scripted: {replies: [{output: well, after: 1s}]}}
  never: {scripted: {replies: [{output: late, after: 900s}]}}
plans:
  mine:
    steps:
      each: {each: "[1, 2, 3, 4, 5, 6]", agent: own, prompt: "{{item}}"}
      last: {agent: slow, prompt: "{{each}}"}
  hang:
    steps:
      slow: {agent: never, prompt: hi}
  row:
    steps:
      one: {agent: slow, prompt: hi}
      two: {agent: slow, prompt: "{{one}}"}
      three: {approve: "Go on after {{two}}?"}
      four: {agent: slow, prompt: "{{three}}"}
      five: {agent: slow, prompt: "{{four}}"}
  ask:
    steps:
      sure: {approve: Really?}
      also: {approve: And this?}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("words")
    file = folder / "words.yaml"
    file.write_text(FILE)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        for plan in ("mine", "hang", "row"):
            server.post("/api/runs", {"plan": plan, "run_id": plan})
        server.until("mine", "succeeded", "failed")
        yield server


def asking(served: Served, run: str) -> None:
    """Start a run that asks two things, and wait until it has."""
    served.post("/api/runs", {"plan": "ask", "run_id": run})
    for _ in range(2000):
        if len(served.get(f"/api/inbox?run={run}")["questions"]) == 2:
            return
    raise AssertionError("nothing was asked")


# ---- ends that are forecast ----


def forecast(page: Page, run: str, low: float, high: float) -> None:
    """Have the end of a run forecast, from now on, in so many seconds."""
    now = 1e3 * time.time()
    eta = {"low": now + 1e3 * low, "high": now + 1e3 * high, "finish": now + 500 * (low + high)}

    def socket(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def tell(message: str | bytes) -> None:
            frame = json.loads(message)
            for told in (frame.get("head"), *(frame.get("rows") or [])):
                take(told)
            route.send(json.dumps(frame))

        server.on_message(tell)

    def take(told: dict[str, Any] | None) -> None:
        if told is not None and told.get("id") == run:
            told["eta"] = eta

    def ask(route: Route) -> None:
        told = route.fetch().json()
        for one in (told, *told.get("runs", [])):
            take(one)
        route.fulfill(json=told)

    page.route_web_socket("**/api/live", socket)
    page.route(f"**/api/runs/{run}", ask)
    page.route("**/api/runs?*", ask)
    page.reload()


@pytest.mark.parametrize(
    ("low", "high", "said", "in_list"),
    [
        (3600, 7200, r"likely done .+ \(.+ to .+\)$", r"^.+ to .+$"),
        (-60, 7200, r"likely done by ", r"^by "),
        (-120, -60, r"^later than forecast$", r"^later than forecast$"),
    ],
)
def test_an_end_is_never_promised_for_before_now(
    chromium: Browser, served: Served, low: float, high: float, said: str, in_list: str
) -> None:
    with looking(chromium, served, "#/inbox") as (page, seen):
        forecast(page, "hang", low, high)
        go(page, "#/run/hang/table")
        expect(page.locator(".facts .eta")).to_have_text(re.compile(said))
        go(page, "#/runs?q=hang")
        expect(page.locator("[data-run=hang] .eta")).to_have_text(re.compile(in_list))
        assert seen.complaints == []


# ---- names ----


def test_limits_are_called_by_whoever_states_them(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/limits") as (page, seen):
        own = page.get_by_role("region", name="own")
        expect(own.get_by_role("heading")).to_have_text("own")
        go(page, "#/run/mine/timeline")
        page.wait_for_function("() => window.__timeline?.view.rows > 3")
        view = page.evaluate("window.__timeline.view")
        causes = {
            found["cause"]
            for row in range(view["rows"])
            for x in range(int(view["left"]) + 1, int(view["width"]), 3)
            for found in [
                page.evaluate(
                    "([x, y]) => window.__timeline.hit(x, y)",
                    [x, view["top"] + (row + 0.5) * view["row"]],
                )
            ]
            if found is not None and found["wait"]
        }
        assert "rate:own" in causes
        assert not any(".yaml" in cause for cause in causes)
        go(page, "#/run/mine/explain")
        chain = page.get_by_role("region", name="The chain that the finish waited for")
        expect(chain).to_contain_text("rate limit own", timeout=30_000)
        expect(page.get_by_role("region", name="How good")).to_contain_text("the rate of own")
        # How long it took stands in the head and in the sentence, and not a third way beside them.
        expect(page.get_by_text(re.compile("^As of event"))).to_be_visible()
        assert ".yaml" not in page.locator("main").inner_text()
        assert seen.complaints == []


def test_what_calls_wait_for_has_a_short_name(served: Served) -> None:
    served.post("/api/runs", {"plan": "mine", "run_id": "waits"})
    found: dict[str, str] = {}

    def look() -> bool:
        found.update((one["cause"], one["name"]) for one in served.get("/api/runs/waits")["waits"])
        return "own" in found.values()

    served.wait_for(look)
    assert {cause for cause, name in found.items() if name == "own"} == {
        cause for cause in found if cause.startswith("rate:agent:own limits in /")
    }


def test_what_is_drafted_is_not_called_like_what_is_started(
    chromium: Browser, served: Served
) -> None:
    with looking(chromium, served) as (page, _):
        screens = page.get_by_role("navigation", name="Screens")
        expect(page.get_by_role("button", name="Start a plan")).to_be_visible()
        expect(screens.get_by_role("link", name="Plan")).to_have_count(0)
        screens.get_by_role("link", name="Draft").click()
        expect(page.get_by_role("heading", name="Draft a plan")).to_be_visible()


# ---- what is not there ----


def test_that_a_run_is_not_there_is_said_once(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/nobody") as (page, _):
        expect(page.get_by_role("alert")).to_contain_text("nobody")
        page.wait_for_function("() => window.__live.state.state === 'open'")
        watched = page.evaluate("window.__live.cursors().map(([key]) => key)")
        assert [key for key in watched if "nobody" in key] == []
        expect(page.get_by_role("alert")).to_have_count(1)


def test_commands_in_messages_are_quoted(chromium: Browser, served: Served) -> None:
    def refuse(route: Route) -> None:
        error = {"kind": "not_found", "message": "it is gone; `hocket runs` lists those there are"}
        route.fulfill(status=404, json={"error": error})

    with looking(chromium, served, "#/inbox") as (page, _):
        page.route("**/api/runs/gone", refuse)
        go(page, "#/run/gone")
        expect(page.get_by_role("alert")).to_contain_text("“hocket runs” lists")


# ---- the list of runs ----


def test_the_list_of_runs_has_heads_over_low_rows(chromium: Browser, served: Served) -> None:
    with looking(chromium, served) as (page, seen):
        table = page.get_by_role("table", name="Runs")
        heads = ["Run", "State", "Steps", "Waits for", "Cost", "Likely done"]
        expect(table.get_by_role("columnheader")).to_have_text(heads)
        row = page.locator("[data-run=mine]")
        expect(row.get_by_role("cell")).to_have_count(len(heads))
        box = row.bounding_box()
        assert box is not None and box["height"] < 50
        for head, cell in zip(
            table.get_by_role("columnheader").all(), row.get_by_role("cell").all(), strict=True
        ):
            one, other = head.bounding_box(), cell.bounding_box()
            assert one is not None and other is not None
            assert abs(one["x"] - other["x"]) < 1
        assert seen.complaints == []


def test_a_run_of_another_process_takes_until_now(chromium: Browser, served: Served) -> None:
    def elsewhere(route: Route) -> None:
        told = route.fetch().json()
        now = 1e3 * time.time()
        other = told["runs"][0] | {
            "id": "other",
            "status": "running",
            "created": now - 3_700_000,
            "updated": now - 3_600_000,
            "alive": True,
            "here": False,
            "steps": None,
            "calls": 43,
        }
        stopped = other | {"id": "stopped", "alive": False}
        route.fulfill(json=told | {"runs": [*told["runs"], other, stopped]})

    with looking(chromium, served, "#/inbox") as (page, _):
        page.route("**/api/runs?*", elsewhere)
        go(page, "#/runs")
        expect(page.locator("[data-run=other]")).to_contain_text("43 calls in 1 h 01 m")
        expect(page.locator("[data-run=stopped]")).to_contain_text("43 calls in 1 m 40 s")


# ---- the inbox ----


def card(page: Page, run: str, path: str) -> Locator:
    return page.locator(f'[data-question="{run} {path}"]')


def test_what_is_answered_moves_nothing_and_is_a_line_in_the_end(
    chromium: Browser, served: Served
) -> None:
    asking(served, "folds")
    with looking(chromium, served, "#/inbox?run=folds") as (page, seen):
        first, second = card(page, "folds", "sure"), card(page, "folds", "also")
        if (first.bounding_box() or {"y": 0})["y"] > (second.bounding_box() or {"y": 0})["y"]:
            first, second = second, first
        at = second.bounding_box()
        first.get_by_role("button", name="Approve").click()
        expect(first).to_contain_text("✓ Approved.")
        expect(page.get_by_text("1 open question", exact=True)).to_be_visible()
        assert second.bounding_box() == at
        second.get_by_role("button", name="Reject").click()
        expect(page.get_by_text("No open questions", exact=True)).to_be_visible()
        expect(page.get_by_text("in run folds")).to_be_visible()
        for one, said in ((first, "✓ Approved."), (second, "✓ Rejected.")):
            expect(one).to_contain_text(said)
            expect(one).not_to_contain_text("bound to")
            box = one.bounding_box()
            assert box is not None and box["height"] < 60
        assert seen.complaints == []


# ---- what is drawn ----


def test_what_goes_on_out_of_sight_says_so(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/row/graph", width=400) as (page, seen):
        page.wait_for_function("() => window.__graph?.drawn > 0")
        expect(page.get_by_text("5 steps, some out of sight")).to_be_visible()
        expect(page.locator(".beyond.right")).to_have_count(1)
        expect(page.locator(".beyond.left")).to_have_count(0)
        page.get_by_role("button", name="whole plan").click()
        expect(page.get_by_text("5 steps", exact=True)).to_be_visible()
        expect(page.locator(".beyond")).to_have_count(0)
        go(page, "#/run/mine/cost")
        box = page.locator(".view .wide")
        expect(box).to_have_attribute("aria-label", "wider than the screen: scroll sideways")
        # Two shades, and two covers that are scrolled with the table.
        style = box.evaluate("box => getComputedStyle(box)['backgroundAttachment']")
        assert style == "local, local, scroll, scroll"
        assert seen.complaints == []


def test_bars_lie_upon_the_lines_of_the_axis(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/hang/timeline") as (page, seen):
        page.wait_for_function("() => window.__timeline?.drawn > 0")
        found = page.evaluate(
            """() => {
                const canvas = document.querySelector('canvas'), view = window.__timeline.view;
                const rows = [...Array(view.rows).keys()].map((n) => view.top + n * view.row);
                const middle = (view.left + view.width) / 2;
                const of = (y) => window.__timeline.hit(middle, y + view.row / 2);
                const y = rows.find((y) => of(y) && !of(y).wait);
                const ratio = canvas.width / canvas.clientWidth;
                const data = canvas.getContext('2d').getImageData(
                    (view.left + 20) * ratio, (y + 4) * ratio,
                    (view.width - view.left - 60) * ratio, 1).data;
                const colours = new Set();
                for (let n = 0; n < data.length; n += 4) colours.add(data.slice(n, n + 3).join());
                return {colours: [...colours], long: data.length / 4};
            }"""
        )
        assert found["long"] > 600
        assert len(found["colours"]) == 1
        assert seen.complaints == []
