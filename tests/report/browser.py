"""The system's Chromium, which looks at pages from disk and reaches nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Seen(NamedTuple):
    """What went on while a page was looked at."""

    requests: list[str]
    complaints: list[str]


def needed() -> None:
    """Skip where there is no Chromium, but in CI there is one."""
    if PROGRAM is None:
        assert not os.environ.get("CI"), "CI has no Chromium: .ci/run should have installed it"
        pytest.skip("there is no Chromium on this system: apt-get install chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    needed()
    with sync_playwright() as play:
        # Within a container the kernel gives no sandbox; the pages are our own.
        found = play.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


@contextmanager
def opened(
    browser: Browser, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False
) -> Iterator[tuple[Page, Seen]]:
    """Open a page from disk without a network."""
    seen = Seen([], [])
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        offline=True,
    )

    def gate(route: Route, request: Request) -> None:
        seen.requests.append(request.url)
        if request.url.startswith("file:"):
            route.continue_()
        else:
            route.abort()

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            seen.complaints.append(message.text)

    context.route("**/*", gate)
    page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.goto(path.as_uri())
    try:
        yield page, seen
    finally:
        context.close()
