"""The other screens in a real browser: answers to questions, what-if, and how all of them look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.server.kit import Served
from tests.server.looking import elsewhere, faults, go, looking, pages

_TABS = ("graph", "cost", "explain", "whatif")
_SCREENS = ("inbox", "limits", "alerts", "stats", "plan")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pages(tmp_path_factory.mktemp("screens")) as server:
        yield server


def asking(served: Served, goal: str) -> str:
    """Start a run, and wait until it asks."""
    run = str(served.post("/api/runs", {"plan": "release", "inputs": {"goal": goal}})["run"])
    for _ in range(2000):
        if served.get(f"/api/runs/{run}")["asked"]:
            return run
    raise AssertionError("nothing was asked")


def status(page: Page) -> Any:
    return page.locator(".facts [role=status]")


def test_an_approval_is_given_on_the_page(chromium: Browser, served: Served) -> None:
    run = asking(served, "approve")
    with looking(chromium, served, f"#/run/{run}/table?step=sure") as (page, seen):
        page.locator("#step").get_by_role("link", name="read and answer it").click()
        card = page.get_by_role("article").filter(has_text="publish hello")
        expect(card).to_have_count(1)
        card.get_by_role("button", name="Approve").click()
        served.until(run, "succeeded")
        go(page, f"#/run/{run}/table")
        expect(status(page)).to_contain_text("succeeded")
        assert seen.complaints == []
        assert elsewhere(served, seen) == []


def test_a_rejection_is_given_on_the_page(chromium: Browser, served: Served) -> None:
    run = asking(served, "reject")
    with looking(chromium, served, f"#/inbox?run={run}") as (page, seen):
        card = page.get_by_role("article").filter(has_text="publish hello")
        expect(card).to_have_count(1)
        card.get_by_role("textbox").first.fill("not yet")
        card.get_by_role("button", name="Reject").click()
        served.until(run, "failed")
        go(page, f"#/run/{run}/log")
        expect(page.get_by_role("log")).to_contain_text("rejected")
        expect(page.get_by_role("log")).to_contain_text("not yet")
        assert seen.complaints == []


def test_what_if_is_simulated_and_compared(chromium: Browser, served: Served) -> None:
    run = asking(served, "what if")
    with looking(chromium, served, f"#/run/{run}/whatif") as (page, seen):
        page.locator(".knob").filter(has_text="max_parallel").click()
        page.get_by_label("Runs of each").fill("5")
        page.get_by_role("button", name="Simulate").click()
        result = page.get_by_role("region", name="Result")
        expect(result.get_by_role("table")).to_be_visible(timeout=60_000)
        expect(result).to_contain_text("max_parallel")
        assert seen.complaints == []
        assert elsewhere(served, seen) == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(chromium: Browser, served: Served, dark: bool) -> None:
    run = asking(served, "axe")
    places = [f"#/{name}" for name in _SCREENS] + [f"#/run/{run}/{tab}" for tab in _TABS]
    for width in (1280, 360):
        with looking(chromium, served, width=width, dark=dark) as (page, seen):
            for place in places:
                go(page, place)
                shown(page, place)
                assert faults(page) == [], place
            assert seen.complaints == []


def test_a_phone_needs_no_sideways_scrolling(chromium: Browser, served: Served) -> None:
    run = asking(served, "phone")
    places = [f"#/{name}" for name in _SCREENS] + [f"#/run/{run}/{tab}" for tab in _TABS]
    with looking(chromium, served, width=320, height=640) as (page, _):
        for place in places:
            go(page, place)
            shown(page, place)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, place


def shown(page: Page, place: str) -> None:
    """Wait until a place is what the page shows."""
    if place.startswith("#/run/"):
        tab = page.get_by_role("navigation", name="Views of this run").locator("[aria-current]")
        expect(tab).to_have_attribute("href", place)
        expect(page.locator(".view > *").first).to_be_visible()
    else:
        at = page.get_by_role("navigation", name="Screens").locator("[aria-current]")
        expect(at).to_have_attribute("href", place)
        expect(page.locator("main h1")).to_be_visible()
    page.evaluate(
        "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )
