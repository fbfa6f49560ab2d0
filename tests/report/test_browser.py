"""The page of an explanation in a real browser: what moves, what is chosen, what is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from tests.report.browser import browser, opened
from tests.report.explained import NASTY, call, explained, gain, many, seven

from hocket.insight.explain import explain
from hocket.report.html import explain_html


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.html"
    path.write_text(explain_html(explained(), [gain(why=NASTY)]), "utf-8")
    return path


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.html"
    path.write_text(explain_html(explain(many(1_000))), "utf-8")
    return path


def view(page: Page) -> dict[str, Any]:
    return page.evaluate("window.__timeline.view")


_TWO_FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"


def drawn(page: Page) -> int:
    """Wait until nothing is left to be drawn; gives how many bars the last picture had."""
    page.evaluate(
        "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )
    return page.evaluate("window.__timeline.drawn")


def chosen(page: Page, href: str | None = None) -> None:
    """Wait until the page shows what its address chooses."""
    if href is not None:
        page.evaluate("href => { location.hash = href }", href)
    page.wait_for_function("() => document.body.dataset.chosen === location.hash")


def hit(page: Page, x: float, y: float) -> dict[str, Any] | None:
    return page.evaluate("([x, y]) => window.__timeline.hit(x, y)", [x, y])


def rows(page: Page) -> list[str]:
    return page.locator("#rows tr td:first-child").all_inner_texts()


def test_the_page_loads_nothing_and_has_no_complaints(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, seen):
        page.locator("#canvas").hover()
        assert page.locator("#rows tr").count() == 5
        assert drawn(page) > 10
        assert seen.requests == [small.as_uri()]
        assert seen.complaints == []


def test_the_policy_of_the_page_lets_nothing_else_be_loaded_or_run(
    chromium: Browser, small: Path
) -> None:
    with opened(chromium, small) as (page, seen):
        page.evaluate(
            """() => {
                document.body.insertAdjacentHTML("beforeend", "<img src='https://127.0.0.1:9/x.png'>");
                const script = document.createElement("script");
                script.textContent = "window.intruded = true";
                document.body.append(script);
                return fetch("https://127.0.0.1:9/").catch(() => null);
            }"""
        )
        assert page.evaluate("window.intruded") is None
        assert seen.requests == [small.as_uri()]
        assert all("Content Security Policy" in text for text in seen.complaints)
        assert len(seen.complaints) >= 3


def test_what_models_and_people_wrote_is_text(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        shown = NASTY.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        assert page.locator("main img").count() == 0
        assert shown[:30] in page.locator("#rows").inner_text()
        assert "</script><img src=x" in page.locator("#findings").inner_text()
        page.locator("#rows a", has_text="ask/pro").first.click()
        chosen(page)
        assert "</script><img src=x" in page.locator("#selection").inner_text()
        assert page.locator("main img").count() == 0


def test_panning_and_zooming_draw_only_what_is_in_view(chromium: Browser, thousand: Path) -> None:
    with opened(chromium, thousand) as (page, seen):
        canvas = page.locator("#canvas")
        canvas.scroll_into_view_if_needed()
        whole = drawn(page)
        merged = page.evaluate("window.__timeline.merged")
        bars = page.evaluate(
            "JSON.parse(document.getElementById('data').textContent).views.agent"
            ".reduce((sum, lane) => sum + lane[1].length / 4, 0)"
        )
        assert whole + merged >= bars, "the whole run is drawn, or merged, or both"
        canvas.focus()
        for _ in range(12):
            page.keyboard.press("+")
        near = drawn(page)
        assert 0 < near < whole / 10
        at = view(page)
        y = 24 + 22 * 1.5
        before = hit(page, at["left"] + 40, y)
        for _ in range(60):
            page.keyboard.press("ArrowRight")
            assert drawn(page) < whole / 10
        moved = view(page)
        assert moved["from"] > at["from"]
        assert moved["to"] - moved["from"] == pytest.approx(at["to"] - at["from"])
        assert hit(page, at["left"] + 40, y) != before
        page.keyboard.press("0")
        assert drawn(page) == whole
        assert view(page)["from"] == 0
        assert seen.complaints == []


def test_no_move_draws_more_than_once_a_frame(chromium: Browser, thousand: Path) -> None:
    with opened(chromium, thousand) as (page, _):
        drawn(page)
        before = page.evaluate("window.__timeline.redraws")
        page.evaluate(
            """() => {
              const press = () => new KeyboardEvent("keydown", {key: "d"});
              for (let i = 0; i < 50; i++) document.getElementById("canvas").dispatchEvent(press());
            }"""
        )
        drawn(page)
        assert page.evaluate("window.__timeline.redraws") - before == 1


def test_the_pointer_drags_and_the_wheel_zooms_once_the_timeline_is_chosen(
    chromium: Browser, thousand: Path
) -> None:
    with opened(chromium, thousand) as (page, _):
        page.locator("#canvas").scroll_into_view_if_needed()
        box = page.locator("#canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + 600, box["y"] + 100
        page.mouse.move(x, y)
        before = view(page)
        page.mouse.wheel(0, -300)
        drawn(page)
        assert view(page)["to"] == before["to"], "the page scrolls past a timeline not chosen"
        page.locator("#canvas").focus()
        page.locator("#canvas").scroll_into_view_if_needed()
        box = page.locator("#canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + 600, box["y"] + 100
        page.mouse.move(x, y)
        under = hit(page, 600, 100)
        page.mouse.wheel(0, -300)
        page.wait_for_function("before => window.__timeline.view.to < before", arg=before["to"])
        assert hit(page, 600, 100) == under, "the wheel zooms around the pointer"
        zoomed = view(page)
        page.mouse.down()
        page.mouse.move(x + 200, y, steps=5)
        page.mouse.up()
        drawn(page)
        dragged = view(page)
        shift = 200 / (dragged["width"] - dragged["left"]) * (zoomed["to"] - zoomed["from"])
        assert dragged["from"] == pytest.approx(zoomed["from"] - shift, rel=1e-6, abs=1e-3 * shift)
        assert page.evaluate("location.hash") == "", "a drag chooses nothing"


def test_every_key_does_what_the_page_says(chromium: Browser, thousand: Path) -> None:
    with opened(chromium, thousand) as (page, _):
        page.locator("#canvas").focus()
        span = lambda: view(page)["to"] - view(page)["from"]  # noqa: E731
        whole = span()
        for key, grows in (("+", False), ("w", False), ("-", True), ("s", True)):
            before = span()
            page.keyboard.press(key)
            assert (span() > before) is grows, key
        page.keyboard.press("+")
        page.keyboard.press("+")
        for key, right in (("ArrowRight", True), ("d", True), ("ArrowLeft", False), ("a", False)):
            start = view(page)["from"]
            page.keyboard.press(key)
            assert (view(page)["from"] > start) is right, key
        page.keyboard.press("0")
        assert span() == pytest.approx(whole)
        page.keyboard.press("n")
        assert page.evaluate("location.hash") == "#call-0"
        page.keyboard.press("n")
        assert page.evaluate("location.hash") == "#call-1"
        page.keyboard.press("p")
        assert page.evaluate("location.hash") == "#call-0"
        page.keyboard.press("Escape")
        chosen(page)
        assert page.locator("#selection").is_hidden()


def test_the_timeline_cannot_be_moved_off_the_run(chromium: Browser, thousand: Path) -> None:
    with opened(chromium, thousand) as (page, _):
        page.locator("#canvas").focus()
        whole = view(page)["to"]
        for keys in ("-" * 3, "+" * 4 + "a" * 40, "d" * 40, "-" * 3, "n", "+" * 6 + "n", "p" * 3):
            for key in keys:
                page.keyboard.press(key)
            at = view(page)
            assert 0 <= at["from"] < at["to"] <= whole * (1 + 1e-9), keys
        assert page.locator("#status").inner_text()[0].isdigit()


def test_a_column_of_nothing_is_not_there_and_all_others_fit(
    chromium: Browser, small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bare.html"
    bare = [call("a", 0, 0, 100, model="", usage=None, events=(3, 4))]
    path.write_text(explain_html(explained(activities=bare, finish=0)), "utf-8")
    for one, hidden in ((small, []), (path, ["model", "for", "tokens", "cost"])):
        with opened(chromium, one) as (page, _):
            heads = page.locator("#calls thead th")
            names = [
                heads.nth(n).text_content()
                for n in range(heads.count())
                if not heads.nth(n).is_visible()
            ]
            assert names == hidden
            cells = page.locator("#rows tr").first.locator("td")
            assert sum(cells.nth(n).is_visible() for n in range(cells.count())) == 12 - len(hidden)
    with opened(chromium, path, width=1280) as (page, _):
        tall = "document.querySelector('.tall')"
        assert page.evaluate(f"{tall}.scrollWidth <= {tall}.clientWidth")


def test_a_click_on_a_bar_chooses_its_call(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        at = view(page)
        x = at["left"] + 0.4 * (at["width"] - at["left"])
        y = 24 + 22 * 2.5
        found = hit(page, x, y)
        assert found is not None
        assert found["lane"] == "pro"
        assert found["call"] == "ask/pro#1"
        assert found["kind"] == "model"
        page.locator("#canvas").click(position={"x": x, "y": y})
        chosen(page)
        assert page.evaluate("location.hash") == "#call-1"
        panel = page.locator("#selection").inner_text()
        assert "30.0 s for rate limit flash from 0.00 s" in panel
        assert "4, 6, 7" in panel
        assert page.locator("#rows tr.selected").inner_text().startswith("ask/pro#1")


def test_hovering_says_what_a_bar_is(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        at = view(page)
        x = at["left"] + 0.1 * (at["width"] - at["left"])
        page.locator("#canvas").hover(position={"x": x, "y": 24 + 22 * 2.5})
        tip = page.locator("#tip").inner_text()
        assert "ask/pro#1" in tip
        assert "rate limit flash" in tip
        assert "0.00 s to 30.00 s: 30.0 s" in tip
        page.locator("h1").hover()
        assert page.locator("#tip").is_hidden()


def test_rows_can_be_by_agent_slot_step_or_limit(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        lanes = {}
        for by in ("agent", "slot", "step", "limit"):
            page.get_by_role("button", name=f"by {by}").click()
            count = view(page)["rows"]
            found = [
                hit(page, view(page)["left"] + 2 + n, 24 + 22 * (row + 0.5))
                for row in range(count)
                for n in range(0, 900, 30)
            ]
            lanes[by] = {one["lane"] for one in found if one}
        assert {"coder", "pro", "people"} <= lanes["agent"]
        assert {"ask", "vote", "sign", "publish"} <= lanes["step"]
        assert "run" in lanes["slot"]
        assert "flash" in lanes["limit"]


def test_every_number_leads_to_its_calls_and_events(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        hrefs = page.locator("main a").evaluate_all(
            "(all) => all.map((a) => a.getAttribute('href'))"
        )
        choices = sorted({href for href in hrefs if re.match(r"#[a-z]+-", href)})
        assert {"#chain-0", "#path-0", "#cause-0", "#finding-0", "#fate-stale", "#spent-0"} <= {
            *choices
        }
        for href in choices:
            chosen(page, href)
            assert page.locator("#selection").is_visible(), href
            shown = page.locator("#details dd").all_inner_texts()
            assert re.search(r"\d", shown[-1]), f"{href} names no events: {shown}"


def test_a_share_leads_to_its_stretches(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        page.locator("#shares tr", has_text="rate limit flash").locator("a").first.click()
        chosen(page)
        assert page.locator("#details td").all_inner_texts() == [
            "0.00 s",
            "30.00 s",
            "30.0 s",
            "rate limit flash",
            "ask/pro#1",
        ]
        assert rows(page) == ["ask/pro#1"]
        page.get_by_role("button", name="Show all calls").click()
        chosen(page)
        assert len(rows(page)) == 5


def test_a_link_into_the_page_opens_with_its_choice(chromium: Browser, small: Path) -> None:
    with opened(chromium, small) as (page, _):
        page.goto(f"{small.as_uri()}#fate-stale")
        page.reload()
        assert rows(page) == ["vote/coder#1"]
        assert "calls that were stale" in page.locator("#selection").inner_text()


def test_what_an_answer_made_void_is_a_choice(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "seven.html"
    told = seven()
    path.write_text(explain_html(told), "utf-8")
    void = [answer.void for answer in told.chains.teams[0].answers if answer.void]
    with opened(chromium, path) as (page, seen):
        links = page.locator("#teams a[href^='#list-']")
        assert links.count() == 1 + len(void), "the sum of all, and each"
        for place, calls in enumerate([sorted(chain(*void)), *void]):
            links.nth(place).click()
            chosen(page)
            assert rows(page) == [told.trace.activities[index].name for index in calls]
        assert seen.complaints == []


def test_the_table_sorts_finds_and_turns_pages(chromium: Browser, thousand: Path) -> None:
    with opened(chromium, thousand) as (page, _):
        assert len(rows(page)) == 100
        page.get_by_role("button", name="Next").click()
        assert rows(page)[0].startswith("work4/item-100/")
        page.get_by_role("button", name="took").click()
        head = page.locator("#calls th", has_text="took")
        assert head.get_attribute("aria-sort") == "descending"
        longest = page.locator("#rows tr").first.locator("td").nth(6).inner_text()
        assert longest == "9.49 s"
        page.get_by_role("button", name="took").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert page.locator("#rows tr").first.locator("td").nth(6).inner_text() == "500 ms"
        page.locator("#find").fill("item-77/")
        assert rows(page) == ["work5/item-77/answer#1"]
        page.locator("#find").fill("")
        page.locator("#fate").select_option("failed")
        fates = page.locator("#rows tr td:nth-child(8)").all_inner_texts()
        assert set(fates) == {"✗ failed"}


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(
    chromium: Browser, small: Path, thousand: Path, dark: bool
) -> None:
    for path in (small, thousand):
        with opened(chromium, path, width=360, height=740, dark=dark) as (page, seen):
            for hash_ in ("", "#call-1", "#chain-0"):
                chosen(page, hash_)
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= 360, hash_
            assert view(page)["width"] <= 340
            pictures = page.locator(".picture svg:visible")
            assert pictures.count() == 3
            for n in range(3):
                box = pictures.nth(n).bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= 360
            assert drawn(page) > 10
            assert seen.complaints == []


def test_a_dark_page_is_dark_and_idle_is_its_paper(chromium: Browser, small: Path) -> None:
    paper = {}
    for dark in (False, True):
        with opened(chromium, small, dark=dark) as (page, _):
            drawn(page)
            ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            # In the row of `pro` nothing is ready at the end of the run.
            pixel = page.evaluate(
                """() => {
                  const view = window.__timeline.view;
                  const x = view.left + 0.63 * (view.width - view.left), y = 24 + 22 * 2.5;
                  const paint = document.getElementById("canvas").getContext("2d");
                  return [...paint.getImageData(x, y, 1, 1).data];
                }"""
            )
            paper[dark] = (ground, pixel[:3])
    assert paper[False] == ("rgb(255, 255, 255)", [255, 255, 255])
    assert paper[True] == ("rgb(20, 23, 28)", [20, 23, 28])


def test_ten_thousand_calls_are_drawn_by_what_can_be_seen(
    chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "huge.html"
    path.write_text(explain_html(explain(many(10_000, 40))), "utf-8")
    with opened(chromium, path) as (page, seen):
        at = view(page)
        most = (at["width"] - at["left"]) * ((at["height"] - 24) / 22 + 2)
        assert 0 < drawn(page) < most
        assert page.evaluate("window.__timeline.merged") > 0
        assert "thinner than a pixel merged" in page.locator("#status").inner_text()
        assert "10,000 calls, 1 to 100 shown" in page.locator("#shown").inner_text()
        assert seen.complaints == []
