"""What another site's page can do in a real browser: nothing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import PLANS, Served, serving

from hocket.server.settings import Settings

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

TRY = """
async ([base, socket, token, run]) => {
  const found = {};
  const told = async (name, work) => {
    try { found[name] = await work(); } catch (error) { found[name] = "failed: " + error.name; }
  };
  const auth = {Authorization: "Bearer " + token, "Content-Type": "application/json"};
  const start = {method: "POST", body: JSON.stringify({plan: "say", run_id: run})};
  const ask = async (path, more) => (await fetch(base + path, more)).status;
  await told("read", () => ask("/api/about", {headers: auth}));
  await told("page", () => ask("/", {}));
  await told("start", () => ask("/api/runs", {...start, headers: auth}));
  await told("simple", async () => {
    await ask("/api/runs", {...start, mode: "no-cors"});
    return "sent";
  });
  const open = (protocols) => new Promise((resolve) => {
    const one = new WebSocket(socket + "/api/live", protocols);
    one.onopen = () => { resolve("open"); one.close(); };
    one.onerror = () => resolve("refused");
  });
  await told("socket", () => open(["hocket", "token." + token]));
  await told("bare socket", () => open([]));
  const load = (kind, path) => new Promise((resolve) => {
    const one = document.createElement(kind);
    one.onload = () => resolve("loaded");
    one.onerror = () => resolve("refused");
    one.src = base + path;
    document.body.append(one);
  });
  await told("image", () => load("img", "/favicon.svg"));
  await told("script", () => load("script", "/api/runs"));
  const form = document.createElement("form");
  form.method = "post"; form.action = base + "/api/runs"; form.target = "sink";
  const sink = document.createElement("iframe"); sink.name = "sink";
  document.body.append(sink, form);
  const sent = new Promise((resolve) => { sink.onload = resolve; });
  form.submit();
  await sent;
  return found;
}
"""
"""What a page tries, with the token in its hands: it could have been told it by somebody."""


@contextmanager
def another_site() -> Iterator[int]:
    """Serve an empty page on another port, for whatever name it is asked by."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

        def log_message(self, *given: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("rebound")
    (folder / "plans.yaml").write_text(PLANS)
    settings = Settings(quotas=ROOMY)
    with serving(folder / "state", [folder / "plans.yaml"], settings=settings) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    rules = "MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[f"--host-resolver-rules={rules}", "--no-sandbox", "--no-proxy-server"],
        )
        yield opened
        opened.close()


def tried(browser: Any, page_at: str, served: Served, host: str, run: str) -> dict[str, Any]:
    page = browser.new_page()
    try:
        page.goto(page_at)
        base, socket = f"http://{host}:{served.port}", f"ws://{host}:{served.port}"
        found = page.evaluate(TRY, [base, socket, served.tokens.operate, run])
        assert isinstance(found, dict)
        return found
    finally:
        page.close()


def refused(served: Served) -> set[str]:
    entries = served.get("/api/audit?limit=1000")["entries"]
    return {str(entry.get("reason", "")) for entry in entries}


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1", "localhost"])
def test_another_sites_page_gets_nothing(there: Served, browser: Any, name: str) -> None:
    """It reads nothing, starts nothing and opens no socket, even with the token in its hands."""
    run = f"by-{name.replace('.', '-')}"
    with another_site() as port:
        found = tried(browser, f"http://{name}:{port}/", there, "127.0.0.1", run)
    told = json.dumps(found)
    assert found["read"] == "failed: TypeError", told
    assert found["page"] == "failed: TypeError", told
    assert found["start"] == "failed: TypeError", told
    assert found["socket"] == found["bare socket"] == "refused", told
    assert found["image"] == found["script"] == "refused", told
    assert there.get("/api/runs")["runs"] == []
    assert refused(there) & {"origin", "cross_site"}


def test_a_name_that_was_bound_anew_is_not_ours(there: Served, browser: Any) -> None:
    """For the browser the page is of the same origin; the name gives it away."""
    page = browser.new_page()
    try:
        answer = page.goto(f"http://rebound.example:{there.port}/")
        assert answer is not None and answer.status == 421
    finally:
        page.close()
    at = f"http://rebound.example:{there.port}/"
    found = tried(browser, at, there, "rebound.example", "rebound")
    assert found["read"] == found["page"] == found["start"] == 421, found
    assert found["socket"] == found["bare socket"] == "refused"
    assert there.get("/api/runs")["runs"] == []
    assert "host" in refused(there)


def test_a_link_or_a_file_opens_the_page(there: Served, browser: Any, tmp_path: Path) -> None:
    """So ``hocket serve --open`` does it, for a browser's arguments are there for all to read."""
    file = tmp_path / "open.html"
    at = f"http://127.0.0.1:{there.port}/"
    file.write_text(f'<meta http-equiv="refresh" content="0; url={at}#token=x">')
    page = browser.new_page()
    try:
        page.goto(file.as_uri())
        page.wait_for_url(f"{at}**")
        assert page.evaluate("document.querySelectorAll('script[src]').length") > 0
        assert page.evaluate("window.opener") is None
    finally:
        page.close()


def test_our_own_page_can_do_all_that(there: Served, browser: Any) -> None:
    """So it is not the trying that fails."""
    at = f"http://127.0.0.1:{there.port}/favicon.svg"
    page = browser.new_page()
    try:
        page.goto(at)
        page.goto(f"http://127.0.0.1:{there.port}/")
        found = page.evaluate(
            """async ([token]) => {
              const auth = {Authorization: "Bearer " + token};
              const about = await (await fetch("/api/about", {headers: auth})).json();
              const url = location.origin.replace("http", "ws") + "/api/live";
              const open = await new Promise((resolve) => {
                const one = new WebSocket(url, ["hocket", "token." + token]);
                one.onopen = () => { resolve(one.protocol); one.close(); };
                one.onerror = () => resolve("refused");
              });
              return [about.role, about.by, open];
            }""",
            [there.tokens.operate],
        )
        assert found == ["operate", "page (operate, 127.0.0.1)", "hocket"]
    finally:
        page.close()
