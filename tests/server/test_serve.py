"""``hocket serve`` as a person starts and ends it: real processes, real sockets."""

import asyncio
import gc
import json
import os
import signal
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.kit import Home, ended
from tests.faults.test_kill import hangs, notes
from tests.postgres import Server as Postgres

from hocket.app.engine import Engine
from hocket.app.host import Host
from hocket.server.serve import Ready, _site, serve
from hocket.server.settings import Settings
from hocket.server.tokens import tokens_of
from hocket.server.webhooks import SIGNATURE, signature

STARTS = 6.0
"""Seconds within which it answers on a busy machine; bench/server.py measures what it takes."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    try:
        yield made
    finally:
        made.end()


class Server:
    """A server of its own process, and what it says of itself."""

    def __init__(self, home: Home, *args: str) -> None:
        self.child = home.start("serve", "--port", "0", "--json", *args)
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.communicate()
        self.said: dict[str, Any] = json.loads(line)
        self.home = home

    def ask(self, path: str, body: Any = None, token: str = "") -> Any:
        """Ask something, as an operator unless another token is given."""
        request = urllib.request.Request(
            self.said["url"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token or self.said['tokens']['operate']}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def start(self, plan: str = "p", **inputs: Any) -> str:
        body = {"file": "hocket.yaml", "plan": plan, "inputs": inputs}
        return str(self.ask("/api/runs", body)["run"])

    def stop(self) -> str:
        """End it as Ctrl-C does; gives what it said."""
        self.child.send_signal(signal.SIGINT)
        done = ended(self.child)
        assert done.status == 0, done
        return done.err


def test_it_answers_soon_says_where_it_is_and_takes_that_back(home: Home) -> None:
    home.write(notes("a"))
    began = time.monotonic()
    server = Server(home)
    assert server.ask("/api/runs")["runs"] == []
    assert time.monotonic() - began < STARTS
    assert psutil.Process(server.child.pid).memory_info().rss < 100 << 20
    where = home.state / "server.json"
    assert json.loads(where.read_bytes())["url"] == server.said["url"]
    assert server.said["tokens"]["operate"].encode() not in where.read_bytes()
    assert stat.S_IMODE(where.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o700
    assert [plan["plan"] for plan in server.ask("/api/plans")["plans"]] == ["p"]
    assert server.stop() == "stopping; Ctrl-C again stops at once\n"
    assert not where.exists()


def test_the_banner_has_the_token_behind_the_hash(home: Home) -> None:
    child = home.start("serve", "--port", "0")
    assert child.stdout is not None
    page, look = child.stdout.readline(), child.stdout.readline()
    assert "page       http://127.0.0.1:" in page and "/#token=" in page
    assert look.startswith("look only  ") and look.split("=")[1] != page.split("=")[1]
    child.send_signal(signal.SIGTERM)
    assert ended(child).status == 0


def test_a_journal_that_it_cannot_use_ends_it_before_it_answers(
    home: Home, postgres: Postgres, database: str
) -> None:
    """As hocket work: a server that stays and does nothing is noticed by nobody."""
    name = database.rpartition("/")[2]
    there = {"HOCKET_JOURNAL": database}
    assert home.hocket("journal", "migrate", env=there).status == 0
    postgres.sql("UPDATE hocket.meta SET value = '99' WHERE key IN ('format', 'least')", name)
    nobody = {"HOCKET_JOURNAL": database.replace("hocket@", "nobody@")}
    said = {}
    for command in (("serve", "--port", "0", "--drive", "0"), ("work",)):
        newer = home.hocket(*command, env=there)
        unknown = home.hocket(*command, env=nobody)
        assert (newer.status, newer.out, unknown.status, unknown.out) == (5, "", 5, "")
        assert "made by a newer Hocket" in newer.err and "does not let us in" in unknown.err
        said[command[0]] = newer.err, unknown.err
    assert said["serve"] == said["work"]


def test_its_runs_stop_with_it_and_go_on_with_the_next(home: Home) -> None:
    home.write(notes("first") + hangs("slow", effects=False) + notes("last", "slow"))
    server = Server(home)
    run = server.start()
    home.until(lambda: home.lines("begun.txt") and "first" in home.lines("done.txt"))
    home.until(lambda: "call_finished" in home.kinds(run))
    assert f"stopped {run}: hocket serve goes on with them" in server.stop()
    assert home.status(run) == "running"
    home.file("go").touch()
    again = Server(home)
    home.until(lambda: home.status(run) == "succeeded")
    assert sorted(home.lines("done.txt")) == ["first", "last", "slow"]
    again.stop()


def test_a_second_interrupt_ends_it_at_once_with_all_that_it_runs(home: Home) -> None:
    home.write("a:\n  shell: 'trap \"\" TERM; echo a >> begun.txt; sleep 987'\n")
    server = Server(home)
    server.start()
    home.until(lambda: home.lines("begun.txt"))
    family = psutil.Process(server.child.pid).children(recursive=True)
    server.child.send_signal(signal.SIGINT)
    assert server.child.stderr is not None
    assert server.child.stderr.readline().startswith("stopping")
    server.child.send_signal(signal.SIGINT)
    assert ended(server.child).status == 130
    home.until(lambda: not [p for p in family if p.is_running() and p.status() != "zombie"])
    assert not (home.state / "server.json").exists()


def test_a_run_of_hocket_run_is_there_too_and_can_be_asked(home: Home) -> None:
    home.write("ok:\n  approve: 'Ship it?'\n")
    server = Server(home)
    child = home.running()
    home.until(lambda: "approval_asked" in home.kinds())
    (row,) = server.ask("/api/runs")["runs"]
    assert (row["id"], row["here"], row["alive"]) == ("r", False, True)
    asked = next(event for event in home.events() if event["type"] == "approval_asked")
    answer = {"step": "ok", "digest": asked["digest"], "approved": True, "note": ""}
    server.ask("/api/runs/r/approve", answer)
    assert ended(child).status == 0
    server.stop()


def test_a_port_that_is_taken_and_a_file_that_is_not_there_are_refused(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = home.hocket("serve", "--port", str(taken.getsockname()[1]))
    assert done.status == 2 and "--port 0 takes any that is free" in done.err, done
    done = home.hocket("serve", "none.yaml")
    assert done.status == 2 and "there is no file none.yaml" in done.err
    done = home.hocket("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.status == 2 and "--public" in done.err
    assert not (home.state / "server.json").exists()


def test_mistakes_in_an_offered_file_are_shown_and_the_rest_is_served(home: Home) -> None:
    home.put("bad.yaml", "version: 1\nplans: {p: {steps: {a: {nonsense: 1}}}}\n")
    home.write(notes("a"))
    server = Server(home, "hocket.yaml", "bad.yaml")
    assert server.child.stderr is not None
    assert "bad.yaml:2:21: a step is" in server.child.stderr.readline()
    run = server.start()
    home.until(lambda: home.status(run) == "succeeded")
    server.stop()


def test_nothing_that_it_says_or_logs_holds_a_token(home: Home) -> None:
    home.write(notes("a"))
    server = Server(home)
    with pytest.raises(urllib.error.HTTPError):
        server.ask("/api/runs", token="x" * 43)
    server.start()
    said = server.stop()
    tokens = server.said["tokens"].values()
    assert not [token for token in tokens if token in said]
    for folder, _, names in os.walk(home.state):
        for name in names:
            path = Path(folder) / name
            if path.name != "token":
                assert not [t for t in tokens if t.encode() in path.read_bytes()], path


def test_a_server_of_another_process_keeps_its_word(home: Home) -> None:
    first = Server(home)
    second = Server(home)
    first.stop()
    found = json.loads((home.state / "server.json").read_bytes())
    assert found["pid"] == second.child.pid
    second.stop()


class Decider(BaseHTTPRequestHandler):
    """Approves of what is posted, if it is signed."""

    secret = "canary"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = self.headers[SIGNATURE]
        signed = said == signature(self.secret, int(said.split(",")[0][2:]), body)
        reply = {"approved": signed, "digest": json.loads(body)["digest"], "by": "bot"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_webhook_approves_of_a_plan_that_another_process_drives(home: Home) -> None:
    home.write("ship: {command: [tee, shipped.txt], stdin: all}", plan="approve: true")
    home.env["HOOK_SECRET"] = Decider.secret
    with ThreadingHTTPServer(("127.0.0.1", 0), Decider) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_port}/hook"
        server = Server(home, "--webhook", url, "--webhook-secret-env", "HOOK_SECRET")
        child = home.running()
        assert ended(child).status == 0
        server.stop()
        receiver.shutdown()
    assert (home.folder / "shipped.txt").read_text() == "all"
    given = [event for event in home.events() if event["type"] == "approval_given"]
    assert [(event["path"], event["by"]) for event in given] == [("run", "webhook:bot")]
    assert Decider.secret not in json.dumps(home.events())


def test_a_webhook_without_its_secret_or_with_an_unsafe_address_does_not_start(home: Home) -> None:
    done = home.hocket("serve", "--webhook", "http://example.org/")
    assert (done.status, "use https" in done.err) == (2, True)
    done = home.hocket(
        "serve", "--webhook", "https://example.org/", "--webhook-secret-env", "NOT_SET"
    )
    assert (done.status, "the variable NOT_SET is not set" in done.err) == (2, True)


def test_it_sweeps_old_bells_and_seldom_looks_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full look through the memory of many runs would hold them all."""
    monkeypatch.setenv("HOCKET_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "bell-1-00000000"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.bind("bell-1-00000000")
    assert old.exists()
    before = gc.get_threshold()
    found: list[Any] = []

    def ready(told: Ready) -> None:
        found.append((gc.get_threshold(), gc.get_freeze_count() > 0, old.exists()))
        os.kill(os.getpid(), signal.SIGINT)

    asyncio.run(serve(Settings(port=0), ready=ready))
    ((thresholds, frozen, left),) = found
    assert thresholds[2] >= 10 * before[2] and frozen and not left
    assert gc.get_threshold() == before


async def _odd() -> None:
    raise RuntimeError("odd")


def test_what_cannot_be_closed_leaves_nothing_else_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    async def whole() -> None:
        async with Engine(tmp_path / "state") as engine:
            host = Host(engine)
            with pytest.raises(RuntimeError, match="odd"):
                async with _site(host, Settings(), tokens_of(engine.state), ()) as site:
                    ends = site.cli.close

                    async def close() -> None:
                        closed.append("cli")
                        await ends()

                    monkeypatch.setattr(site.cli, "close", close)
                    monkeypatch.setattr(site.live, "close", _odd)
                    site.closing.append(_odd)
            left = {task.get_name() for task in asyncio.all_tasks()}
            assert closed == ["cli"] and host.draining
            assert not left & {"watch", "pulse", "hosted runs"}

    asyncio.run(whole())
