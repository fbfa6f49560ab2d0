"""A run's further views in a real browser: graph, teams, reasons, what-if; the inbox's care."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.app.planning import changed, file_with
from tests.server.kit import Served, serving
from tests.server.looking import ROOMY, elsewhere, faults, go, looking
from tests.server.pages import live_of

from hocket.server.settings import Settings

NASTY = "</pre><img src=x onerror=alert(1)>"
_VOTE = "{output: {vote: A, confidence: 0.9, reason: It survives.}, after: 20ms, tokens_in: 100}"
FILE = f"""
version: 1
limits:
  api: {{requests: 4/s}}
agents:
  red:
    scripted:
      replies: [{{output: "Keep a log. {NASTY}", after: 60ms, tokens_in: 90, tokens_out: 10}}]
      by: {{Vote for the one: [{_VOTE}]}}
  slow:
    scripted:
      replies: [{{output: "A table.", after: 400ms, tokens_in: 80, tokens_out: 5}}]
      by: {{Vote for the one: [{_VOTE}]}}
  talker: {{scripted: {{replies: [{{output: "one two three four", after: 2s, stream: true}}]}}}}
  gone: {{scripted: {{replies: [{{error: {{kind: permanent, message: no such model}}}}]}}}}
  never: {{scripted: {{replies: [{{output: late, after: 90s}}]}}}}
  held: {{scripted: {{replies: [{{output: done, after: 10ms, tokens_in: 5, cost: 0.01}}]}},
    limits: api}}
plans:
  vote:
    steps:
      answer:
        consensus:
          question: Which store?
          agents: [{{agent: red, count: 2}}, {{agent: slow, count: 1}}]
          policy: restart_all
          decide: unanimous
          max_rounds: 3
  talk:
    steps:
      reply:
        panel:
          question: How?
          agents: {{one: talker, two: {{agent: gone, fallback: [talker]}}, three: never}}
          quorum: 2
          within: 30s
          synthesis: {{agent: talker}}
  build:
    steps:
      first: {{agent: held, prompt: go}}
      left: {{agent: held, prompt: "{{{{first}}}}"}}
      each: {{each: "[1, 2, 3, 4, 5, 6]", agent: held, prompt: "{{{{item}}}} {{{{first}}}}"}}
      nested: {{run: inner, with: {{what: "{{{{left}}}}"}}}}
      last: {{agent: held, prompt: "{{{{nested}}}} {{{{each}}}}"}}
  inner:
    inputs: {{what: {{}}}}
    steps:
      x: {{agent: held, prompt: "{{{{inputs.what}}}}"}}
      y: {{agent: held, prompt: "{{{{x}}}}"}}
  ask:
    steps:
      sure: {{approve: "Publish {NASTY}?"}}
      also: {{approve: And this?}}
      who:
        input: Who?
        output:
          type: object
          required: [team]
          properties: {{team: {{enum: [all, core]}}, count: {{type: integer}}}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("views")
    file = folder / "views.yaml"
    file.write_text(FILE)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [file], settings=settings, live=live_of) as server:
        for plan in ("vote", "build", "talk"):
            server.post("/api/runs", {"plan": plan, "run_id": plan})
        for plan in ("vote", "build"):
            server.until(plan, "succeeded", "failed")
        yield server


def asking(served: Served, run: str) -> None:
    """Start a run that asks three things, and wait until it has."""
    served.post("/api/runs", {"plan": "ask", "run_id": run})
    for _ in range(2000):
        if len(served.get(f"/api/inbox?run={run}")["questions"]) == 3:
            return
    raise AssertionError("nothing was asked")


def card(page: Page, run: str, path: str) -> Locator:
    return page.locator(f'[data-question="{run} {path}"]')


# ---- graph ----


def on_graph(page: Page, step: str) -> dict[str, Any]:
    """Where a step is drawn, once it is."""
    page.wait_for_function("step => window.__graph?.place(step)", arg=step)
    found: dict[str, Any] = page.evaluate("step => window.__graph.place(step)", step)
    return found


def test_one_choice_in_graph_table_and_address(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/graph") as (page, seen):
        canvas = page.get_by_label("Graph of 7 steps")
        expect(canvas).to_be_visible()
        place = on_graph(page, "left")
        assert place["state"] == "succeeded"
        canvas.click(position={"x": place["x"], "y": place["y"]})
        page.wait_for_url("**/graph?step=left")
        expect(page.locator("#step")).to_contain_text("left")
        page.get_by_role("link", name="Table", exact=True).click()
        row = page.get_by_role("row", selected=True)
        expect(row).to_contain_text("left")
        # The other way round: what is chosen in the table is chosen in the graph.
        page.get_by_role("grid").press("ArrowDown")
        page.wait_for_url("**/table?step=each")
        page.get_by_role("link", name="Graph", exact=True).click()
        page.wait_for_function("() => window.__graph?.chosen === 'each'")
        assert seen.complaints == []
        assert elsewhere(served, seen) == []


def test_the_graph_is_walked_by_keys_into_nested_plans(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/graph?step=first") as (page, seen):
        canvas = page.get_by_label("Graph of 7 steps")
        page.wait_for_function("() => window.__graph?.chosen === 'first'")
        canvas.focus()
        canvas.press("ArrowRight")
        page.wait_for_function("() => ['left', 'each'].includes(window.__graph.chosen)")
        go(page, "#/run/build/graph?step=nested/x")
        page.wait_for_function("() => window.__graph?.chosen === 'nested/x'")
        canvas.focus()
        canvas.press("ArrowRight")
        page.wait_for_function("() => window.__graph.chosen === 'nested/y'")
        page.get_by_role("button", name="close nested plans").click()
        expect(page.get_by_label("Graph of 5 steps")).to_be_visible()
        # What is within a closed group chooses the group.
        page.wait_for_function("() => window.__graph.chosen === 'nested'")
        assert seen.complaints == []


def test_the_critical_path_is_marked(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/graph") as (page, seen):
        on_graph(page, "first")
        page.get_by_role("button", name="critical path").click()
        page.wait_for_function("() => window.__graph.chain > 1", timeout=60_000)
        assert seen.complaints == []


# ---- teams ----


def test_a_consensus_is_told_as_it_went(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/vote/team") as (page, seen):
        answers = page.get_by_role("region", name="Answers")
        expect(answers.get_by_role("listitem")).to_have_count(3)
        expect(answers).to_contain_text("✓ stands")
        # What agents write is text, whatever it looks like.
        expect(answers).to_contain_text(NASTY)
        votes = page.get_by_role("region", name="Votes").get_by_role("table")
        expect(votes.get_by_role("columnheader", name="A ✓")).to_be_visible()
        expect(votes).to_contain_text("It survives.")
        when = page.get_by_role("region", name="Who did what when")
        for name in ("red-1", "red-2", "slow"):
            expect(when.get_by_role("columnheader", name=name)).to_be_visible()
        # The slow one's answer made the others' votes void.
        expect(when.locator(".event.void").first).to_contain_text("votes")
        expect(when).to_contain_text("tokens wasted")
        when.get_by_role("button", name="answers").first.click()
        page.wait_for_url("**call=answer*")
        fates = page.get_by_role("region", name="What became of the calls")
        expect(fates).to_contain_text("In vain")
        page.get_by_role("button", name="find restart chains").click()
        restarts = page.get_by_role("region", name="Restarts")
        expect(restarts.get_by_role("row", name="red-1")).to_be_visible(timeout=60_000)
        assert seen.complaints == []


def test_a_panel_streams_into_cards(chromium: Browser, served: Served) -> None:
    served.post("/api/runs", {"plan": "talk", "run_id": "stream"})
    with looking(chromium, served, "#/run/stream/panel") as (page, seen):
        one = page.get_by_role("article", name="one")
        expect(one).to_contain_text("one two")
        expect(page.get_by_role("timer")).to_contain_text("left, until")
        expect(page.get_by_role("article", name="two")).to_contain_text("talker stood in")
        expect(page.get_by_role("article", name="synthesis")).to_contain_text(
            "one two three four", timeout=20_000
        )
        three = page.get_by_role("article", name="three")
        expect(three).to_contain_text("Missing from the reply")
        expect(page.get_by_role("region", name="Contributions")).to_contain_text("1 missing")
        assert seen.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(chromium: Browser, served: Served, dark: bool) -> None:
    asking(served, f"axe-{dark}")
    served.until("talk", "succeeded")
    places = {
        "#/run/vote/team": "Who did what when",
        "#/run/talk/panel": "Contributions",
        "#/run/vote/cost": "tokens by fate",
        f"#/inbox?run=axe-{dark}": "May this be done?",
    }
    for width in (1280, 360):
        with looking(chromium, served, width=width, dark=dark) as (page, seen):
            for place, word in places.items():
                go(page, place)
                expect(page.get_by_text(word).first).to_be_visible()
                assert faults(page) == [], place
                assert page.evaluate("document.documentElement.scrollWidth") <= width, place
            assert seen.complaints == []


# ---- cost, reasons, what if ----


def test_costs_stand_by_agent_and_step(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/cost") as (page, seen):
        expect(page.get_by_text("$0.11 for 11 calls")).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="by step").click()
        page.wait_for_url("**/cost?of=step")
        page.get_by_role("button", name="each").click()
        page.wait_for_url("**step=each**")
        assert seen.complaints == []


def test_from_a_finding_to_what_its_change_would_bring(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/explain") as (page, seen):
        advice = page.get_by_role("region", name="What to change")
        first = advice.get_by_role("listitem").filter(has_text="limits.api.requests").first
        first.get_by_role("link", name="What if").click(timeout=60_000)
        page.wait_for_url("**/whatif?change=limits.api.requests*")
        expect(page.get_by_label("Setting 1")).to_have_value("limits.api.requests")
        page.get_by_label("Runs of each").fill("20")
        page.get_by_role("button", name="Simulate").click()
        result = page.get_by_role("region", name="Result")
        expect(result).to_contain_text("the real one took", timeout=60_000)
        expect(result.get_by_role("img")).to_be_visible()
        expect(result.locator("tr[data-variant^=limits]")).to_contain_text("✓")
        assert seen.complaints == []
        assert elsewhere(served, seen) == []


def test_a_setting_that_is_none_is_told(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/run/build/whatif?change=max_parallell%3D2") as (page, _):
        page.get_by_role("button", name="Simulate").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("did you mean 'max_parallel'", timeout=30_000)


# ---- inbox ----


def test_the_second_who_answers_is_told_who_was_first(chromium: Browser, served: Served) -> None:
    asking(served, "race")
    with looking(chromium, served, "#/inbox?run=race") as (page, _):
        mine = card(page, "race", "sure")
        expect(mine).to_contain_text(NASTY)
        # It is answered elsewhere while this page is looked at; what is shown here is old.
        page.evaluate("window.__live.drop()")
        (asked,) = served.get("/api/inbox?run=race&path=sure")["questions"]
        body = {"step": "sure", "digest": asked["digest"], "approved": False, "note": "no"}
        mine.focus()
        page.route("**/api/runs/race/approve", lambda route: _after(served, body, route))
        mine.get_by_role("button", name="Approve").click()
        expect(mine.get_by_role("alert")).to_contain_text(re.compile("already|rejected by"))
        expect(mine).to_contain_text("Nothing was done here.")
        expect(mine.get_by_role("button", name="Approve")).to_have_count(0)


def _after(served: Served, body: dict[str, Any], route: Any) -> None:
    """Let somebody else answer just before this page's answer arrives."""
    assert served.ask("POST", "/api/runs/race/approve", body).status == 200
    route.continue_()


def test_one_key_approves_and_never_by_accident(chromium: Browser, served: Served) -> None:
    asking(served, "key")
    with looking(chromium, served, "#/inbox?run=key") as (page, seen):
        sure, also = card(page, "key", "sure"), card(page, "key", "also")
        expect(also).to_be_visible()
        # Nothing has the focus, then a field has it: the key is just a letter.
        page.keyboard.press("a")
        sure.get_by_role("textbox").press("a")
        expect(sure.get_by_role("textbox")).to_have_value("a")
        sure.get_by_role("button", name="Reject").focus()
        page.keyboard.press("a")
        assert len(served.get("/api/inbox?run=key")["questions"]) == 3
        # Not before it could be read, either.
        shown = page.evaluate("performance.now()")
        page.wait_for_function("shown => performance.now() > shown + 750", arg=shown)
        sure.focus()
        page.keyboard.press("a")
        expect(page.get_by_text("Approved: ask, sure")).to_be_visible()
        # The same key pressed again decides nothing else.
        page.keyboard.press("a")
        expect(also.get_by_role("button", name="Approve")).to_be_visible()
        assert {one["path"] for one in served.get("/api/inbox?run=key")["questions"]} == {
            "also",
            "who",
        }
        assert seen.complaints == []


def test_an_input_is_a_form_of_its_schema(chromium: Browser, served: Served) -> None:
    asking(served, "form")
    with looking(chromium, served, "#/inbox?run=form") as (page, seen):
        who = card(page, "form", "who")
        who.get_by_label("team").select_option("core")
        who.get_by_label("count").fill("many")
        who.get_by_role("button", name="Send").click()
        expect(who.get_by_role("alert")).to_contain_text("a whole number")
        who.get_by_label("count").fill("3")
        who.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Answered: ask, who")).to_be_visible()
        # The page hears that it is on record; its run acts on it a moment later.
        fold = served.site.host.engine.fold
        served.wait_for(lambda: fold("form").workflow.result("who") is not None)
        assert fold("form").workflow.result("who") == {"team": "core", "count": 3}
        assert seen.complaints == []


# ---- limits ----


def test_limits_show_their_windows(chromium: Browser, served: Served) -> None:
    with looking(chromium, served, "#/limits") as (page, seen):
        api = page.get_by_role("region", name="api")
        expect(api).to_contain_text("4/s requests")
        expect(api.get_by_role("meter")).to_have_attribute("aria-valuemax", "4")
        assert seen.complaints == []


# ---- plan ----


def test_a_plan_is_drafted_mended_approved_and_started(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "hocket.yaml"
    file.write_text(file_with(changed(risks=[{"what": "all is lost", "severity": "critical"}])))
    settings = Settings(quotas=ROOMY)
    with (
        serving(tmp_path / "state", [file], settings=settings, live=live_of) as served,
        looking(chromium, served, "#/plan") as (page, seen),
    ):
        page.get_by_label("Task").fill("mend the parser")
        page.get_by_role("button", name="Draft a plan").click()
        text = page.get_by_label("The plan, in YAML")
        expect(text).to_be_visible()
        sure = page.get_by_role("region", name="How sure the planner is")
        expect(sure.get_by_role("meter")).to_have_count(4)
        expect(page.get_by_role("region", name="What may go wrong")).to_contain_text("all is lost")
        start = page.get_by_role("button", name="Start", exact=True)
        good = text.input_value()
        text.fill(good.replace("agent: coder", "agent: codr", 1))
        # What was changed cannot be started before it is checked, nor what has mistakes.
        expect(start).to_be_disabled()
        page.get_by_role("button", name="Check", exact=True).click()
        mistake = page.get_by_role("button", name="unknown agent 'codr'")
        mistake.click()
        line = page.evaluate(
            "() => { const a = document.activeElement;"
            " return a.value.slice(a.selectionStart, a.selectionEnd); }"
        )
        assert "codr" in line
        expect(start).to_be_disabled()
        text.fill(good)
        page.get_by_role("button", name="Check", exact=True).click()
        page.get_by_label("I have read this text").check()
        start.click()
        page.wait_for_url("**/run/*")
        run = page.url.rpartition("/run/")[2].partition("/")[0].partition("?")[0]
        assert served.until(run, "succeeded", "failed") == "succeeded"
        assert seen.complaints == []
