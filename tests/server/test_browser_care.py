"""What the page does when things are not as usual: too late, too early, gone, hidden, far away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, WebSocketRoute, expect
from tests.server.kit import Served, serving
from tests.server.looking import MANY, ROOMY, go, looking
from tests.server.pages import live_of

from hocket.server.settings import Settings

_STEPS = "\n".join(f"      s{n:03d}: {{agent: one, prompt: do {n}}}" for n in range(MANY))
FILE = f"""
version: 1
agents:
  one: {{scripted: {{replies: [{{output: "well\\u202edone", cost: 0.7, tokens_in: 2}}]}}}}
  bad: {{scripted: {{replies: [{{error: {{kind: permanent, message: cannot}}}}]}}}}
  never: {{scripted: {{replies: [{{output: late, after: 900s}}]}}}}
plans:
  short:
    inputs: {{who: {{default: you}}, also: {{default: null}}}}
    steps:
      first: {{agent: one, prompt: "for {{{{inputs.who}}}}"}}
      last: {{agent: one, prompt: "{{{{first}}}}"}}
  ask:
    steps:
      sure: {{approve: "Send \\u202Egpj.exe\\u200b?"}}
      also: {{approve: And this?}}
      after: {{agent: one, prompt: done, needs: [sure]}}
  quick:
    steps:
      sure: {{approve: Really?, timeout: 50ms}}
      after: {{agent: one, prompt: done, needs: [sure]}}
  fails:
    steps:
      broken: {{agent: bad, prompt: hi}}
  hang:
    steps:
      slow: {{agent: never, prompt: hi}}
  many:
    max_parallel: 8
    steps:
{_STEPS}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("care")
    file = folder / "care.yaml"
    file.write_text(FILE)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        for plan in ("short", "fails", "many", "hang"):
            server.post("/api/runs", {"plan": plan, "run_id": plan})
        for plan in ("short", "fails", "many"):
            server.until(plan, "succeeded", "failed")
        yield server


def asking(served: Served, plan: str, run: str, questions: int) -> None:
    """Start a run, and wait until it asks."""
    served.post("/api/runs", {"plan": plan, "run_id": run})
    for _ in range(2000):
        if len(served.get(f"/api/inbox?run={run}")["questions"]) == questions:
            return
    raise AssertionError("nothing was asked")


def card(page: Page, run: str, path: str) -> Locator:
    return page.locator(f'[data-question="{run} {path}"]')


def passes(page: Page, ms: int) -> None:
    """Let the page's own clock go on."""
    at = page.evaluate("performance.now()")
    page.wait_for_function("([at, ms]) => performance.now() > at + ms", arg=[at, ms])


def covered(page: Page, selector: str) -> bool:
    """Whether something else lies upon what is looked for, or it is out of sight."""
    return bool(
        page.evaluate(
            """selector => {
                const box = document.querySelector(selector).getBoundingClientRect();
                const at = document.elementFromPoint(box.x + 30, box.y + box.height / 2);
                return !at?.closest(selector);
            }""",
            selector,
        )
    )


# ---- questions ----


def test_a_card_that_came_too_late_stays_until_it_is_dismissed(
    chromium: Browser, served: Served
) -> None:
    asking(served, "ask", "late", 2)
    (asked,) = served.get("/api/inbox?run=late&path=sure")["questions"]
    body = {"step": "sure", "digest": asked["digest"], "approved": True, "note": ""}

    def first(route: Route) -> None:
        assert served.ask("POST", "/api/runs/late/approve", body).status == 200
        route.continue_()

    with looking(chromium, served, "#/inbox?run=late") as (page, _):
        mine = card(page, "late", "sure")
        page.route("**/api/runs/late/approve", first)
        mine.get_by_role("button", name="Reject").click()
        # The server has told that the question is over; what came of this answer still stands.
        expect(page.get_by_text("1 open question", exact=True)).to_be_visible()
        expect(mine.get_by_role("alert")).to_contain_text(re.compile("already|approved by"))
        expect(mine).to_contain_text("Nothing was done here.")
        expect(mine.get_by_role("timer")).to_have_count(0)
        mine.get_by_role("button", name="Dismiss").click()
        expect(mine).to_have_count(0)
        expect(card(page, "late", "also")).to_be_visible()


def test_what_cannot_be_seen_is_shown(chromium: Browser, served: Served) -> None:
    asking(served, "ask", "hidden", 2)
    with looking(chromium, served, "#/inbox?run=hidden") as (page, seen):
        mine = card(page, "hidden", "sure")
        expect(mine).to_contain_text(r"Send \u202egpj.exe\u200b?")
        expect(mine.get_by_title("a character that cannot be seen")).to_have_count(2)
        go(page, "#/run/short/table?step=last")
        expect(page.get_by_label("Output of last")).to_contain_text(r"well\u202edone")
        expect(page.get_by_label("Prompt of last")).to_contain_text(r"well\u202edone")
        assert "\u202e" not in page.locator("main").inner_text()
        assert seen.complaints == []


def test_an_expired_question_says_that_its_run_is_paused(chromium: Browser, served: Served) -> None:
    asking(served, "quick", "expired", 1)
    served.until("expired", "paused")
    with looking(chromium, served, "#/inbox?run=expired") as (page, seen):
        mine = card(page, "expired", "sure")
        expect(mine).to_contain_text("This has expired")
        expect(mine).not_to_contain_text("waits as long as it takes")
        expect(mine.get_by_role("button", name="Resume without an answer")).to_be_visible()
        mine.get_by_role("button", name="Approve").click()
        expect(mine).to_contain_text("✓ Approved.")
        expect(mine).to_contain_text("The run stays paused")
        mine.get_by_role("button", name="Resume the run").click()
        expect(mine).to_contain_text("Approved, and resumed")
        assert served.until("expired", "succeeded", "failed") == "succeeded"
        assert seen.complaints == []


# ---- addresses and tokens ----


@pytest.mark.parametrize("place", ["#/run/%E0%A4%A", "#/nowhere"])
def test_an_address_that_leads_nowhere_says_so(
    chromium: Browser, served: Served, place: str
) -> None:
    with looking(chromium, served, place) as (page, seen):
        expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
        page.get_by_role("link", name="All runs").click()
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert seen.complaints == []


def test_a_token_that_is_no_text_is_asked_for_again(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, token="%") as (page, _):
        expect(page.get_by_role("heading", name="does not know this token")).to_be_visible()


def test_a_forgotten_token_is_asked_for_and_nothing_is_tried_meanwhile(
    chromium: Browser, served: Served
) -> None:
    knows = True

    def socket(route: WebSocketRoute) -> None:
        if knows:
            route.connect_to_server()
        else:
            route.close()

    def ask(route: Route) -> None:
        if knows:
            route.continue_()
            return
        error = {"kind": "unauthorized", "message": "no such token", "hint": ""}
        route.fulfill(status=401, json={"error": error})

    with looking(chromium, served, token="none") as (page, seen):
        page.route_web_socket("**/api/live", socket)
        page.route("**/api/**", ask)
        form = page.get_by_role("heading", name="does not know this token")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_contain_text("the token that was just given")
        page.get_by_label("Token").fill(served.tokens.operate)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.wait_for_function("() => window.__live.state.state === 'open'")
        knows = False
        page.evaluate("window.__live.drop()")
        expect(form).to_be_visible()
        before = len(seen.requests)
        passes(page, 1500)
        assert len(seen.requests) == before
        knows = True
        page.get_by_label("Token").fill(served.tokens.operate)
        page.get_by_role("button", name="Open").click()
        page.wait_for_function("() => window.__live.state.state === 'open'")
        expect(page.locator("[data-run=many]")).to_be_visible()


def test_a_screen_whose_code_does_not_come_can_be_tried_again(
    chromium: Browser, served: Served
) -> None:
    with looking(chromium, served, "#/run/short/table") as (page, _):
        expect(page.get_by_role("grid")).to_be_visible()
        page.route("**/assets/Graph-*", lambda route: route.abort())
        page.get_by_role("link", name="Graph", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("could not be loaded: the server does")
        page.unroute("**/assets/Graph-*")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_label("Graph of 2 steps")).to_be_visible()


# ---- what is drawn and asked for ----


def test_an_open_step_is_asked_for_once(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/short/table?step=last") as (page, seen):
        expect(page.get_by_label("Output of last")).to_be_visible()
        before = [url for url in seen.requests if "/step?" in url]
        passes(page, 1500)
        assert [url for url in seen.requests if "/step?" in url] == before
        assert len(before) <= 2


def test_views_that_are_left_draw_no_more(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/short/graph") as (page, seen):
        for _ in range(5):
            for view, hook in (("graph", "__graph"), ("timeline", "__timeline")):
                go(page, f"#/run/short/{view}")
                page.wait_for_function(f"() => window.{hook}?.drawn > 0")
                page.evaluate(
                    "() => { window.dispatchEvent(new Event('resize'));"
                    " window.__graph?.zoom(1.5); window.__timeline?.move(0, 1);"
                    " document.querySelector('nav a[href*=table]').click(); }"
                )
                expect(page.get_by_role("grid")).to_be_visible()
        assert seen.complaints == []


@pytest.mark.parametrize("width", [1280, 380])
def test_what_is_chosen_is_brought_into_sight(
    chromium: Browser, served: Served, width: int
) -> None:
    last = f"s{MANY - 1}"
    with looking(chromium, served, f"#/run/many/table?step={last}", width=width) as (page, seen):
        row = f"[data-step={last}]"
        expect(page.locator(row)).to_be_visible()
        page.wait_for_function("row => document.querySelector('.virtual').scrollTop > 0", arg=row)
        assert not covered(page, row)
        # Heads stand over their columns, also beside a scroll bar.
        ends = page.locator(".c-took").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().right)"
        )
        assert max(ends) - min(ends) < 0.5
        go(page, f"#/run/many/timeline?by=step&step={last}")
        page.wait_for_function("() => document.querySelector('.scroll')?.scrollTop > 1000")
        expect(page.get_by_label(f"Timeline of {MANY} calls")).to_be_visible()
        # The whole run stays in sight.
        view = page.evaluate("window.__timeline.view")
        assert (view["from"], view["to"]) == (0, view["whole"])
        assert seen.complaints == []


def test_a_run_that_nobody_drives_stands_still(chromium: Browser, served: Served) -> None:
    def gone(head: dict[str, Any]) -> dict[str, Any]:
        return head | {"alive": False, "here": False, "rested": head["at"], "interrupted": 1}

    def socket(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def tell(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame.get("t") == "run" and "head" in frame:
                frame["head"] = gone(frame["head"])
            route.send(json.dumps(frame))

        server.on_message(tell)

    with looking(chromium, served, "#/inbox") as (page, seen):
        page.route_web_socket("**/api/live", socket)
        page.route("**/api/runs/hang", lambda route: route.fulfill(json=gone(route.fetch().json())))
        page.reload()
        go(page, "#/run/hang/table")
        row = page.locator("[data-step=slow]")
        expect(row).to_contain_text("interrupted")
        expect(page.get_by_text("1 call went down with the one that did")).to_be_visible()
        told = page.locator("main").inner_text()
        passes(page, 1500)
        assert page.locator("main").inner_text() == told
        go(page, "#/run/hang/graph")
        page.wait_for_function("() => window.__graph?.place('slow')?.state === 'interrupted'")
        go(page, "#/run/hang/timeline")
        page.wait_for_function("() => window.__timeline?.drawn > 0")
        whole = page.evaluate("window.__timeline.view.whole")
        passes(page, 500)
        assert page.evaluate("window.__timeline.view.whole") == whole < 5000
        assert seen.complaints == []


def test_a_run_keeps_its_bar_and_its_cost_when_it_ends(chromium: Browser, served: Served) -> None:
    asking(served, "ask", "ends", 2)
    with looking(chromium, served, "#/runs?q=ends") as (page, seen):
        row = page.locator("[data-run=ends]")
        expect(row).to_contain_text("2 waiting")
        # Runs are told apart by those who hear their links, too.
        expect(row.get_by_role("link", name="ask run ends")).to_be_visible()
        for asked in served.get("/api/inbox?run=ends")["questions"]:
            body = {"step": asked["path"], "digest": asked["digest"], "approved": True, "note": ""}
            served.post("/api/runs/ends/approve", body)
        expect(row).to_contain_text("✓ succeeded")
        expect(row).to_contain_text("3 succeeded")
        expect(row).to_contain_text("$0.70")
        assert seen.complaints == []


def test_failed_calls_are_not_nothing(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/fails/cost") as (page, _):
        expect(page.get_by_text("1 call failed")).to_be_visible()
        expect(page.get_by_text("Nothing in vain")).to_have_count(0)


def test_a_fork_proposes_what_is_worth_making_anew(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/short/table?step=last") as (page, seen):
        page.get_by_role("button", name="Fork").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("is the last before last began")
        whole = served.get("/api/runs/short")["seq"]
        after = dialog.get_by_label("After event")
        assert 1 < int(after.input_value()) < whole
        expect(dialog.get_by_label("also (may be left out)")).to_have_value("")
        after.fill(str(whole))
        expect(dialog).to_contain_text("nothing is left to do")
        after.fill("1")
        expect(dialog.get_by_text("nothing is left to do")).to_have_count(0)
        dialog.get_by_label("who (may be left out)").fill("{")
        dialog.get_by_role("checkbox", name="as JSON").first.check()
        dialog.get_by_role("button", name="Fork").click()
        expect(dialog.get_by_role("alert")).to_have_count(1)
        expect(dialog.get_by_role("alert")).to_contain_text("This is no JSON.")
        dialog.get_by_label("who (may be left out)").fill('"them"')
        dialog.get_by_role("button", name="Fork").click()
        page.wait_for_url(re.compile(r"#/run/(?!short/)"))
        made = page.url.split("#/run/")[1].split("/")[0].split("?")[0]
        assert served.get(f"/api/runs/{made}")["inputs"] == {"who": "them"}
        assert seen.complaints == []
