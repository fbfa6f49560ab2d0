"""How soon the live page shows a run of 10,000 steps, and how smoothly it moves.

The run is done first, by scripted agents that share limits, so that there are waits to be drawn.
Then ``hocket serve`` shows it to the system's Chromium, which asks for a new page each time.
Timed within the browser: when the first rows stand there, when all calls have come, and how many
frames a second are drawn while the timeline is panned and the table is scrolled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

SECONDS = 2
WIDE = {"width": 1280, "height": 800}

PLAN = """
version: 1
agents:
  fast: {{scripted: {{replies: [{{output: done, after: 40ms, tokens_in: 100, tokens_out: 20}}]}}}}
  slow: {{scripted: {{replies: [{{output: done, after: 90ms, tokens_in: 400, tokens_out: 90}}]}}}}
plans:
  many:
    max_parallel: 64
    steps:
{steps}
"""

_PAN = """([seconds, zoom]) => new Promise((done) => {
  const timeline = window.__timeline, {whole} = timeline.view, span = whole / zoom;
  const box = document.querySelector("canvas").parentElement.parentElement;
  const began = performance.now(), before = timeline.redraws;
  let frames = 0, last = began, worst = 0;
  (function frame() {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    if (now - began > 1000 * seconds) {
      done({fps: frames / seconds, drawn: (timeline.redraws - before) / seconds, worst});
      return;
    }
    const from = (whole - span) * (0.5 + 0.5 * Math.sin(frames / 15));
    timeline.move(from, from + span);
    box.scrollTop = (frames * 9) % 2000;
    frames++;
    requestAnimationFrame(frame);
  })();
})"""

_SCROLL = """(seconds) => new Promise((done) => {
  const box = document.querySelector(".virtual"), began = performance.now();
  let frames = 0, last = began, worst = 0;
  (function frame() {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    if (now - began > 1000 * seconds) { done({fps: frames / seconds, worst}); return; }
    box.scrollTop += 90;
    frames++;
    requestAnimationFrame(frame);
  })();
})"""


def hocket(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOCKET_HOME": str(state)}
    return subprocess.run(
        [sys.executable, "-m", "hocket", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )


@contextmanager
def served(state: Path) -> Iterator[dict[str, Any]]:
    """Serve a state folder until the block ends."""
    environment = {**os.environ, "HOCKET_HOME": str(state)}
    command = [sys.executable, "-m", "hocket", "serve", "--port", "0", "--json"]
    with subprocess.Popen(
        command, cwd=state, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()


def opened(browser: Browser, url: str, place: str, ready: str) -> tuple[Page, dict[str, float]]:
    """Open a place anew; gives when what is waited for was there, in milliseconds."""
    page = browser.new_context(viewport=WIDE).new_page()
    page.goto(f"{url}&{place}")
    page.wait_for_function(ready, polling="raf")
    now = page.evaluate("performance.now()")
    paint = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
    )
    return page, {"paint": paint, "rows": now}


def measured(browser: Browser, url: str, run: str, steps: int, repeats: int) -> list[list[str]]:
    lines: list[list[str]] = []

    def line(what: str, values: list[float], unit: str, most: str) -> None:
        middle = statistics.median(values)
        lines.append([what, f"{middle:.0f} {unit}", f"{max(values):.0f} {unit}", most])

    shown = "() => document.querySelectorAll('[data-step]').length > 5"
    drawn = "() => window.__timeline && window.__timeline.drawn > 50"
    for tab, ready in (("table", shown), ("timeline", drawn)):
        times = []
        for _ in range(repeats):
            page, time = opened(browser, url, f"/run/{run}/{tab}", ready)
            times.append(time)
            page.context.close()
        line(f"{tab}: first paint", [one["paint"] for one in times], "ms", "1,000 ms")
        line(f"{tab}: first rows", [one["rows"] for one in times], "ms", "1,000 ms")
    every = f"() => window.__timeline && window.__timeline.view.calls === {steps}"
    page, time = opened(browser, url, f"/run/{run}/timeline", every)
    line("timeline: all calls", [time["rows"]], "ms", "")
    for by in ("slot", "agent", "step"):
        page.get_by_role("button", name=f"by {by}").click()
        page.wait_for_function(f"() => window.__timeline.view.by === '{by}'")
        for zoom in (1, 8):
            pans = [page.evaluate(_PAN, [SECONDS, zoom]) for _ in range(repeats)]
            zoomed = "" if zoom == 1 else f", zoomed {zoom} x"
            line(f"pan by {by}{zoomed}", [one["drawn"] for one in pans], "fps", "30 fps")
    page.get_by_role("link", name="Table").click()
    page.wait_for_function(shown)
    scrolls = [page.evaluate(_SCROLL, SECONDS) for _ in range(repeats)]
    line("table: scroll", [one["fps"] for one in scrolls], "fps", "30 fps")
    page.context.close()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        steps = "\n".join(
            f"      s{n:05d}: {{agent: {'slow' if n % 5 == 0 else 'fast'}, prompt: do {n}}}"
            for n in range(given.steps)
        )
        (state / "hocket.yaml").write_text(PLAN.format(steps=steps))
        hocket(state, "run", str(state / "hocket.yaml"), "--id", "many", "--quiet")
        with served(state) as told, sync_playwright() as play:
            browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
            url = f"{told['url'].rstrip('/')}/#token={told['tokens']['view']}"
            lines = measured(browser, url, "many", given.steps, given.repeats)
            browser.close()
    for line in [["what", "median", "worst", "wanted"], *lines]:
        print(f"{line[0]:28}{line[1]:>10}{line[2]:>10}{line[3]:>10}")


if __name__ == "__main__":
    main()
