"""The live page in a real browser, before a real server: what people do with runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.server.kit import Served
from tests.server.looking import MANY, NASTY, elsewhere, faults, go, looking, pages


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pages(tmp_path_factory.mktemp("page")) as server:
        yield server


def started(served: Served, plan: str, **inputs: Any) -> str:
    """Start a plan beside the page, and wait until nothing more happens by itself."""
    run = served.post("/api/runs", {"plan": plan, "inputs": inputs})["run"]
    if plan == "release":
        _until_asked(served, run)
    else:
        served.until(run, "succeeded", "failed")
    return str(run)


def _until_asked(served: Served, run: str) -> dict[str, Any]:
    for _ in range(2000):
        head = served.get(f"/api/runs/{run}")
        if head["asked"] and head["steps"].get("running", 0) == 0:
            return dict(head)
    raise AssertionError("nothing was asked")


def approve(served: Served, run: str) -> None:
    question = served.get(f"/api/runs/{run}")["asked"][0]
    body = {"step": question["path"], "digest": question["digest"], "approved": True, "note": ""}
    served.post(f"/api/runs/{run}/approve", body)


def status(page: Page) -> Any:
    return page.locator(".facts [role=status]")


def hit(page: Page, x: float, y: float) -> dict[str, Any] | None:
    return page.evaluate("([x, y]) => window.__timeline.hit(x, y)", [x, y])


def drawn(page: Page) -> None:
    page.wait_for_function("() => window.__timeline && window.__timeline.drawn > 0")


# ---- who may look -----------------------------------------------------------------------------


def test_the_token_leaves_the_address_and_stays_in_the_tab(
    chromium: Browser, served: Served
) -> None:
    with looking(chromium, served) as (page, seen):
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert served.tokens.operate not in page.url
        page.reload()
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        assert elsewhere(served, seen) == []
        assert seen.complaints == []
        assert all(served.tokens.operate not in url for url in seen.requests)


def test_a_wrong_token_is_asked_for_again(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, token="wrong") as (page, _):
        expect(page.get_by_role("heading", name="does not know this token")).to_be_visible()
        page.get_by_label("Token").fill(served.tokens.operate)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_whoever_may_only_look_has_nothing_to_press(chromium: Browser, served: Served) -> None:
    run = started(served, "release", goal="look")
    with looking(chromium, served, f"#/run/{run}", token=served.tokens.view) as (page, _):
        expect(status(page)).to_contain_text("running")
        assert page.get_by_role("button", name="Pause").count() == 0
        assert page.get_by_role("button", name="Cancel").count() == 0
        assert page.get_by_role("button", name="Fork").count() == 0


# ---- what people do with runs -----------------------------------------------------------------


def test_a_plan_is_started_watched_and_ends_without_being_asked_again(
    chromium: Browser, served: Served
) -> None:
    with looking(chromium, served) as (page, seen):
        page.get_by_role("button", name="Start a plan").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Plan").select_option(label="release (plans.yaml)")
        dialog.get_by_label("goal", exact=False).first.fill("a job queue")
        dialog.get_by_role("button", name="Start").click()
        expect(page).to_have_url(re.compile(r"#/run/release-"))
        run = page.url.split("#/run/")[1].split("/")[0].split("?")[0]
        expect(status(page)).to_contain_text("running")
        expect(page.get_by_role("link", name="to answer")).to_be_visible()
        assert served.get(f"/api/runs/{run}")["inputs"]["goal"] == "a job queue"
        approve(served, run)
        expect(status(page)).to_contain_text("succeeded")
        expect(page.get_by_role("link", name="to answer")).to_have_count(0)
        assert seen.complaints == []
        assert elsewhere(served, seen) == []
        assert max(len(frame.encode()) for frame in seen.frames) < 50_000


def test_pause_resume_and_cancel(chromium: Browser, served: Served) -> None:
    run = started(served, "release", goal="stop")
    with looking(chromium, served, f"#/run/{run}/table") as (page, seen):
        page.get_by_role("button", name="Pause").click()
        expect(status(page)).to_contain_text("paused")
        page.get_by_role("button", name="Resume").click()
        expect(status(page)).to_contain_text("running")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Let it go on").click()
        expect(status(page)).to_contain_text("running")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel the run").click()
        expect(status(page)).to_contain_text("cancelled")
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        served.until(run, "cancelled")
        assert seen.complaints == []


def test_what_failed_says_why_and_is_tried_again(chromium: Browser, served: Served) -> None:
    run = started(served, "fails")
    with looking(chromium, served, f"#/run/{run}/table") as (page, seen):
        expect(status(page)).to_contain_text("failed")
        page.locator("[data-step=broken]").click()
        step = page.locator("#step")
        expect(step).to_contain_text(f"cannot {NASTY}")
        expect(step).to_contain_text("attempt 1")
        step.get_by_role("button", name="Retry this step").click()
        expect(step.locator(".calls > li")).to_have_count(2)
        page.get_by_role("button", name="Retry what failed").click()
        expect(step.locator(".calls > li")).to_have_count(3)
        assert page.locator("main img").count() == 0
        assert seen.complaints == []


def test_a_fork_takes_over_and_has_other_inputs(chromium: Browser, served: Served) -> None:
    run = started(served, "release", goal="first")
    with looking(chromium, served, f"#/run/{run}/log") as (page, seen):
        page.get_by_role("button", name="Fork").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("After event").fill("1")
        dialog.get_by_label("goal", exact=False).first.fill("second")
        # What has a default is offered, too.
        expect(dialog.get_by_label("who (may be left out)")).to_have_value("you")
        dialog.get_by_label("who (may be left out)").fill("them")
        dialog.get_by_role("button", name="Fork").click()
        page.wait_for_function("run => !location.hash.includes(run)", arg=run)
        expect(page.get_by_role("link", name=run)).to_be_visible()
        made = page.url.split("#/run/")[1].split("/")[0].split("?")[0]
        assert served.get(f"/api/runs/{made}")["inputs"] == {"goal": "second", "who": "them"}
        assert seen.complaints == []


def test_runs_are_found_by_state_and_name(chromium: Browser, served: Served) -> None:
    failed, waiting = started(served, "fails"), started(served, "release", goal="find")
    with looking(chromium, served) as (page, seen):
        expect(page.locator(f"[data-run={failed}]")).to_be_visible()
        expect(page.locator(f"[data-run={waiting}]")).to_be_visible()
        page.get_by_role("button", name=re.compile("^failed")).click()
        expect(page.locator(f"[data-run={waiting}]")).to_have_count(0)
        expect(page.locator(f"[data-run={failed}]")).to_be_visible()
        page.get_by_role("button", name="all").click()
        page.get_by_placeholder("find").fill(waiting)
        expect(page.locator("[data-run]")).to_have_count(1)
        assert "q=" in page.url
        page.reload()
        expect(page.locator("[data-run]")).to_have_count(1)
        assert seen.complaints == []


def test_a_run_that_is_not_there_is_told(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/nobody") as (page, _):
        expect(page.get_by_role("alert").first).to_contain_text("nobody")


# ---- a run's steps ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(served: Served) -> str:
    return started(served, "many")


def test_a_large_run_opens_as_a_table_of_what_can_be_seen(
    chromium: Browser, served: Served, many: str
) -> None:
    with looking(chromium, served, f"#/run/{many}") as (page, seen):
        expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY + 1))
        assert page.locator("[data-step]").count() < 80
        page.locator(".virtual").evaluate("box => { box.scrollTop = box.scrollHeight }")
        expect(page.locator(f"[data-step=s{MANY - 1}]")).to_be_visible()
        assert seen.complaints == []


def test_the_table_sorts_and_filters_by_keys_and_by_pointer(
    chromium: Browser, served: Served, many: str
) -> None:
    with looking(chromium, served, f"#/run/{many}/table") as (page, _):
        expect(page.locator("[data-step=s000]")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("s39")
        expect(page.locator("[data-step]")).to_have_count(10)
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("[aria-selected=true]")).to_have_attribute("data-step", "s391")
        assert "step=s391" in page.url
        expect(page.locator("#step")).to_contain_text("s391")
        page.keyboard.press("k")
        expect(page.locator("[aria-selected=true]")).to_have_attribute("data-step", "s390")
        page.keyboard.press("Enter")
        expect(page.locator("#step")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#step")).to_have_count(0)
        page.get_by_role("columnheader", name="step").get_by_role("button").click()
        page.get_by_role("columnheader", name="step").get_by_role("button").click()
        expect(page.locator("[data-step]").first).to_have_attribute("data-step", "s399")
        head = page.get_by_role("columnheader", name="step")
        expect(head).to_have_attribute("aria-sort", "descending")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("next and previous step")


def test_one_choice_for_all_views_and_for_the_address(
    chromium: Browser, served: Served, many: str
) -> None:
    with looking(chromium, served, f"#/run/{many}/table?step=s399") as (page, seen):
        expect(page.locator("#step")).to_contain_text("s399")
        page.get_by_role("link", name="Log").click()
        expect(page.locator("#step")).to_contain_text("s399")
        expect(page.locator(".line.chosen").first).to_be_attached()
        page.locator(".line:not(.chosen) button").last.click()
        first = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('step')")
        assert first != "s399"
        page.go_back()
        expect(page.locator("#step")).to_contain_text("s399")
        page.go_back()
        expect(page.get_by_role("grid")).to_be_visible()
        assert seen.complaints == []


def test_the_log_comes_in_pages(chromium: Browser, served: Served, many: str) -> None:
    whole = served.get(f"/api/runs/{many}")["seq"]
    with looking(chromium, served, f"#/run/{many}/log") as (page, seen):
        expect(page.locator(f"[data-seq='{whole}']")).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="earlier ones")).to_be_visible()
        while page.get_by_role("button", name="earlier events").count():
            page.get_by_role("button", name="earlier events").click()
            page.wait_for_function("() => !document.body.innerText.includes('loading …')")
        page.locator(".virtual").evaluate("box => { box.scrollTop = 0 }")
        expect(page.locator("[data-seq='1']")).to_contain_text("the run began")
        page.get_by_label("Kind of event").select_option("run")
        expect(page.locator("[data-seq]")).to_have_count(2)
        assert seen.complaints == []


def test_a_step_tells_its_log_prompt_and_output_as_text(chromium: Browser, served: Served) -> None:
    run = started(served, "release", goal=NASTY)
    with looking(chromium, served, f"#/run/{run}/table?step=draft") as (page, seen):
        step = page.locator("#step")
        expect(step).to_contain_text(f"draft {NASTY} for you")
        expect(step.get_by_label("Output of draft")).to_contain_text(f"hello {NASTY}")
        expect(step).to_contain_text("12 + 3 tokens")
        with page.expect_download() as got:
            step.get_by_role("button", name="save whole output").click()
        assert NASTY in got.value.path().read_text()
        assert page.locator("main img").count() == 0
        assert seen.complaints == []


# ---- the timeline -----------------------------------------------------------------------------


def test_a_click_on_a_bar_chooses_its_call(chromium: Browser, served: Served, many: str) -> None:
    with looking(chromium, served, f"#/run/{many}/timeline") as (page, seen):
        page.wait_for_function(f"() => window.__timeline?.view.calls === {MANY}")
        drawn(page)
        view = page.evaluate("window.__timeline.view")
        y = view["top"] + (view["rows"] - 0.5) * view["row"]
        found = next(
            (x, one)
            for x in range(int(view["left"]) + 2, int(view["width"]), 2)
            for one in [hit(page, x, min(y, view["height"] - 5))]
            if one is not None and not one["wait"]
        )
        page.locator("canvas").click(position={"x": found[0], "y": min(y, view["height"] - 5)})
        expect(page.locator("#step")).to_contain_text(found[1]["step"])
        assert f"step={found[1]['step']}" in page.url
        assert seen.complaints == []


def test_the_timeline_moves_within_the_run_and_draws_what_is_in_sight(
    chromium: Browser, served: Served, many: str
) -> None:
    with looking(chromium, served, f"#/run/{many}/timeline?by=step") as (page, seen):
        page.wait_for_function(f"() => window.__timeline?.view.rows === {MANY}")
        drawn(page)
        view = page.evaluate("window.__timeline.view")
        assert page.evaluate("window.__timeline.drawn") <= 3 * (view["height"] / view["row"] + 2)
        page.locator("canvas").focus()
        for keys in ("+++", "d" * 30, "-" * 20, "w" * 8, "a" * 40, "0"):
            for key in keys:
                page.keyboard.press(key)
            at = page.evaluate("window.__timeline.view")
            assert 0 <= at["from"] < at["to"] <= at["whole"] * (1 + 1e-9), keys
        for _ in range(4):
            page.keyboard.press("+")
        page.wait_for_function("() => /[?&]to=\\d/.test(location.hash)")
        page.reload()
        page.wait_for_function("() => window.__timeline?.view.rows > 0")
        at = page.evaluate("window.__timeline.view")
        assert at["to"] - at["from"] < 0.9 * at["whole"]
        assert seen.complaints == []


def test_a_question_stands_on_the_timeline(chromium: Browser, served: Served) -> None:
    run = started(served, "release", goal="wait")
    with looking(chromium, served, f"#/run/{run}/timeline") as (page, seen):
        drawn(page)
        expect(page.get_by_role("list", name="What the colours mean")).to_contain_text("approval")
        page.get_by_role("button", name="by agent").click()
        page.wait_for_function("() => window.__timeline.view.by === 'agent'")
        assert seen.complaints == []


# ---- the connection ---------------------------------------------------------------------------


def test_a_lost_connection_is_told_and_goes_on_where_it_was(
    chromium: Browser, served: Served
) -> None:
    run = started(served, "release", goal="drop")
    with looking(chromium, served, f"#/run/{run}/table") as (page, seen):
        expect(page.locator("[data-step=sure]")).to_contain_text("waiting")
        page.evaluate("window.__live.drop()")
        approve(served, run)
        expect(status(page)).to_contain_text("succeeded")
        expect(page.locator("[data-step=publish]")).to_contain_text("succeeded")
        frames = [json.loads(one) for one in seen.frames]
        snaps = [one for one in frames if one.get("t") == "run" and one.get("snap")]
        assert len(snaps) == 1, "after the loss only what is new is sent"
        assert seen.complaints == []


# ---- how it looks -----------------------------------------------------------------------------

_TABS = ("timeline", "timeline?by=agent", "table", "table?step={step}", "log")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(
    chromium: Browser, served: Served, many: str, dark: bool
) -> None:
    asked = started(served, "release", goal="axe")
    with looking(chromium, served, dark=dark) as (page, _):
        expect(page.locator(f"[data-run={asked}]")).to_be_visible()
        assert faults(page) == []
        page.get_by_role("button", name="Start a plan").click()
        expect(page.get_by_role("dialog")).to_contain_text("Plan")
        assert faults(page) == []
        page.keyboard.press("Escape")
        for run, step in ((asked, "draft"), (many, "s007")):
            for tab in _TABS:
                go(page, f"#/run/{run}/{tab.format(step=step)}")
                expect(status(page)).to_be_visible()
                expect(page.locator(".view .tools")).to_be_visible()
                assert faults(page) == [], tab


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(
    chromium: Browser, served: Served, many: str, width: int
) -> None:
    asked = started(served, "release", goal="phone")
    with looking(chromium, served, width=width, height=700) as (page, seen):
        expect(page.locator("[data-run]").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for run, step in ((asked, "draft"), (many, "s007")):
            for tab in _TABS:
                go(page, f"#/run/{run}/{tab.format(step=step)}")
                expect(status(page)).to_be_visible()
                expect(page.locator(".view .tools")).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        assert seen.complaints == []


def test_light_and_dark_can_be_chosen(chromium: Browser, served: Served) -> None:
    with looking(chromium, served) as (page, _):
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        page.get_by_role("button", name="Turn between light and dark").click()
        page.wait_for_function(f"() => {ground} === 'rgb(20, 23, 28)'")
        page.reload()
        page.wait_for_function(f"() => {ground} === 'rgb(20, 23, 28)'")
