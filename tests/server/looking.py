"""A page of a real server in the system's Chromium, and what went on while it was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request
from tests.server.kit import Served, serving

from hocket.app.host import Host
from hocket.server.live import Live
from hocket.server.settings import Quotas, Settings

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
ROOMY = Quotas(
    rate=1e6, burst=10**6, acting=1e6, acting_burst=10**6, refusals=1e6, refusals_burst=10**6
)
NASTY = "</script><img src=x onerror=alert(1)>&amp;"
MANY = 400

_STEPS = "\n".join(
    f"      s{n:03d}: {{agent: {'one' if n % 7 else 'two'}, prompt: do {n}}}" for n in range(MANY)
)
PLANS = f"""
version: 1
agents:
  one: {{scripted: {{replies: [{{output: "hello {NASTY}", tokens_in: 12, tokens_out: 3,
    cost: 0.001}}]}}}}
  two: {{scripted: {{replies: [{{output: well}}]}}}}
  bad: {{scripted: {{replies: [{{error: {{kind: permanent, message: "cannot {NASTY}"}}}}]}}}}
plans:
  release:
    inputs: {{goal: {{about: what to build}}, who: {{default: you}}}}
    steps:
      draft: {{agent: one, prompt: "draft {{{{inputs.goal}}}} for {{{{inputs.who}}}}"}}
      other: {{agent: two, prompt: beside}}
      sure: {{approve: "publish {{{{draft}}}}"}}
      publish: {{agent: one, prompt: done, needs: [sure]}}
  fails:
    inputs: {{goal: {{default: this}}}}
    steps:
      good: {{agent: two, prompt: "hi {{{{inputs.goal}}}}"}}
      broken: {{agent: bad, prompt: "{{{{good}}}}"}}
  many:
    max_parallel: 8
    steps:
{_STEPS}
"""


class Seen(NamedTuple):
    """What went on: whom the page asked, what its console says, what its socket got."""

    requests: list[str]
    complaints: list[str]
    frames: list[str]


@contextmanager
def pages(folder: Path) -> Iterator[Served]:
    """Serve the plans and the page."""
    file = folder / "plans.yaml"
    file.write_text(PLANS)

    def live(host: Host) -> Live:
        return Live(host.engine.journal, host.engine.state, host.driven)

    with serving(folder / "state", [file], settings=Settings(quotas=ROOMY), live=live) as server:
        yield server


@contextmanager
def looking(
    browser: Browser,
    served: Served,
    place: str = "#/runs",
    *,
    width: int = 1280,
    height: int = 860,
    dark: bool = False,
    token: str | None = None,
) -> Iterator[tuple[Page, Seen]]:
    """Open a place of the page as somebody who has the token."""
    seen = Seen([], [], [])
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )

    def ask(request: Request) -> None:
        seen.requests.append(request.url)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            seen.complaints.append(message.text)

    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("request", ask)
    page.on("console", hear)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: seen.frames.append(str(data))),
    )
    given = served.tokens.operate if token is None else token
    page.goto(f"{served.url}/#token={given}&{place.removeprefix('#')}")
    try:
        yield page, seen
    finally:
        context.close()


def go(page: Page, place: str) -> None:
    """Go to another place of the page, as a link would."""
    page.evaluate("place => { location.hash = place }", place)


def elsewhere(served: Served, seen: Seen) -> list[str]:
    """Name the requests that went anywhere but to the server."""
    home = urlsplit(served.url).netloc
    return [url for url in seen.requests if urlsplit(url).netloc not in (home, "")]


def faults(page: Page) -> list[Any]:
    """Give what axe-core finds to be seriously wrong with what is shown."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `npm ci` within web/")
    # By way of the debugger: the page's own policy lets nothing else run.
    page.evaluate(f"{AXE.read_text('utf-8')};0")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"][:300])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
