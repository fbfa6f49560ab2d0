"""Supervisors in a cluster: begun, replaced, drained, and away with the cluster for a while."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.kit import Home, ended

from hocket.cluster import supervisors
from hocket.cluster.supervisors import Orders, Supervisors
from hocket.core.errors import Refused

pytestmark = pytest.mark.anyio

JOURNAL = "postgresql://x@127.0.0.1:1/x"
ORDERS = Orders(address="local", entry="a:B", journal=JOURNAL, lease=15.0, most=7)
POST = '{"nodes":1,"posts":[{"node":"n","host":"h","pid":1,"driven":0}]}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has the child be a script, which finds what it was told in `told` and its turn in `turn`."""
    monkeypatch.setattr(supervisors, "_PAUSES", (0.01,))
    monkeypatch.setattr(supervisors, "_LAST_WORDS", 20.0)

    def act(script: str) -> Path:
        path = tmp_path / "child.py"
        path.write_text(
            "import json, pathlib, sys, time\n"
            "here = pathlib.Path(__file__).parent\n"
            "told = json.loads(sys.stdin.readline())\n"
            "turns = here / 'turns'\n"
            "turn = len(turns.read_text()) if turns.exists() else 0\n"
            "turns.write_text('x' * (turn + 1))\n"
            "(here / 'told').write_text(json.dumps(told))\n"
            "say = lambda text: print(text, flush=True)\n"
            f"POST = {POST!r}\n" + script
        )
        monkeypatch.setattr(supervisors, "_CHILD", (sys.executable, str(path)))
        return tmp_path

    return act


async def soon(check: Callable[[], bool]) -> None:
    """Wait for what another process will bring about."""
    async with asyncio.timeout(30):
        while not check():  # noqa: ASYNC110 - a process brings it about, without an event
            await asyncio.sleep(0.01)


async def turns(folder: Path, count: int) -> None:
    file = folder / "turns"
    await soon(lambda: file.exists() and len(file.read_text()) >= count)


async def test_what_cannot_be_is_told_before_anybody_serves(acting: Any) -> None:
    acting("""say('{"nodes":2,"refused":"node n has Hocket 0.1"}')\nsys.stdin.read()""")
    with pytest.raises(Refused, match=r"node n has Hocket 0\.1"):
        await Supervisors(ORDERS).open()
    acting("sys.exit(3)")
    with pytest.raises(Refused, match="without a word"):
        await Supervisors(ORDERS).open()


async def test_the_child_is_told_what_to_do_and_begun_anew_when_it_has_ended(acting: Any) -> None:
    folder = acting("say(POST)\nif turn: sys.stdin.read()")
    there = Supervisors(ORDERS)
    await there.open()
    await turns(folder, 2)
    await soon(lambda: there.there)
    assert json.loads((folder / "told").read_text())["most"] == 7
    await there.close()
    assert not there.there and len((folder / "turns").read_text()) == 2


@pytest.mark.parametrize("script", ["say(POST)\ntime.sleep(600)", "say(POST)\nsay('nonsense')"])
async def test_a_child_that_is_stuck_or_talks_nonsense_is_replaced(
    acting: Any, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "_SILENCE", 0.2)
    monkeypatch.setattr(supervisors, "_LAST_WORDS", 0.2)
    note = "with (here / 'pids').open('a') as pids: print(os.getpid(), file=pids)\n"
    folder = acting("import os\n" + note + script)
    there = Supervisors(ORDERS)
    await there.open()
    await turns(folder, 3)
    stuck = [int(pid) for pid in (folder / "pids").read_text().split()[:2]]
    assert len(stuck) == 2 and not any(map(psutil.pid_exists, stuck)), "none is left behind"
    await there.close()


async def test_a_child_that_cannot_be_started_is_told_and_tried_again(
    acting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = acting("say(POST)\nif turn: sys.stdin.read()")
    child = supervisors._CHILD
    monkeypatch.setattr(supervisors, "_CHILD", (str(folder / "nothing"),))
    async with asyncio.timeout(30):
        with pytest.raises(Refused, match=r"cannot be started: .*nothing"):
            await Supervisors(ORDERS).open()
    # One that was there comes again, however often it cannot.
    monkeypatch.setattr(supervisors, "_CHILD", child)
    there = Supervisors(ORDERS)
    await there.open()
    monkeypatch.setattr(supervisors, "_CHILD", (str(folder / "nothing"),))
    await soon(lambda: not there.there)
    monkeypatch.setattr(supervisors, "_CHILD", child)
    await turns(folder, 2)
    await soon(lambda: there.there)
    await there.close()


async def test_a_child_that_is_busy_beginning_is_asked_to_end_before_it_is_killed(
    acting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "_LAST_WORDS", 5.0)
    folder = acting(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: (here / 'asked').touch() or sys.exit(0))\n"
        "(here / 'ready').touch()\n"
        "time.sleep(600)"
    )
    there = Supervisors(ORDERS)
    opening = asyncio.create_task(there.open())
    await soon((folder / "ready").exists)
    await there.close()
    assert (folder / "asked").exists()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


async def test_all_are_asked_to_leave_and_what_they_leave_is_told(acting: Any) -> None:
    folder = acting(
        "say(POST)\n"
        "leave = json.loads(sys.stdin.readline())\n"
        "say(json.dumps({'left': ['r1', str(leave['seconds'])]}))"
    )
    there = Supervisors(ORDERS)
    await there.open()
    assert await there.drain(1.5) == ("r1", "1.5")
    assert len((folder / "turns").read_text()) == 1 and not there.there


async def test_words_are_as_long_as_what_many_supervisors_leave(acting: Any) -> None:
    acting(
        "say(POST)\n"
        "sys.stdin.readline()\n"
        "say(json.dumps({'left': [f'20261122-{number:024}' for number in range(10_000)]}))"
    )
    there = Supervisors(ORDERS)
    await there.open()
    left = await there.drain(20.0)
    assert len(left) == 10_000 and left[-1].endswith("09999")


async def test_a_word_beyond_all_measure_is_nonsense(
    acting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "_LINE", 1024)
    folder = acting("say(POST)\nif not turn: say('x' * 100_000)\nsys.stdin.read()")
    there = Supervisors(ORDERS)
    await there.open()
    await turns(folder, 2)
    await soon(lambda: there.there)
    await there.close()


async def test_what_is_refused_is_warned_of_once_until_it_is_well_again(
    acting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    acting(
        """
no = '{"nodes":1,"refused":"node n is of another version"}'
say(POST)
for word in ['{"nodes":1}', no] * 5 + [POST] + ['{"nodes":1}', no] * 5:
    say(word)
sys.stdin.readline()
say('{"left":[]}')
"""
    )
    there = Supervisors(ORDERS)
    await there.open()
    await there.drain(20.0)
    assert [each.getMessage() for each in caplog.records] == [
        "supervisors: node n is of another version"
    ] * 2


# -- with Ray -----------------------------------------------------------------------------------

PLAN = """
version: 1
plans:
  p:
    inputs: [go]
    steps:
      who: {call: "steps:who", with: {go: "{{inputs.go}}"}}
      ok: {approve: "Go on?", needs: [who]}
      end: {call: "steps:who", with: {go: "{{inputs.go}}"}, needs: [ok]}
"""
STEPS = """
import asyncio, os, pathlib


async def who(go: str) -> int:
    with open(f"{go}.log", "a") as file:
        print(os.getpid(), file=file)
    while not pathlib.Path(go).exists():
        await asyncio.sleep(0.02)
    return os.getpid()
"""


@pytest.fixture
def home(tmp_path: Path, database: str) -> Iterator[Home]:
    made = Home(tmp_path)
    made.put("journal", f"{database}\n")
    made.env |= {
        # By a name that is meant from this folder, in which no other process works.
        "HOCKET_JOURNAL": "@journal",
        "HOCKET_LEASE": "3",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(made.folder), made.env["PYTHONPATH"]]),
    }
    made.put("hocket.yaml", PLAN)
    made.put("steps.py", STEPS)
    try:
        yield made
    finally:
        made.end()


class Server:
    def __init__(self, home: Home) -> None:
        self.home = home
        self.child = home.start("serve", "--port", "0", "--json", "--cluster", "local")
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.communicate()
        self.said: dict[str, Any] = json.loads(line)

    def ask(self, path: str, body: Any = None, *, token: bool = True) -> Any:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {self.said['tokens']['operate']}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.said["url"] + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return json.loads(error.read())
            raise AssertionError(error.read()) from error

    def missing(self) -> list[str]:
        return list(self.ask("/ready", token=False)["missing"])

    def row(self, run: str) -> dict[str, Any]:
        return next(row for row in self.ask("/api/runs")["runs"] if row["id"] == run)

    def owner(self, run: str) -> int:
        """The process that drives a run, 0 for none that lives."""
        row = self.row(run)
        return int(row["owner"].rpartition(":")[2]) if row["alive"] else 0


def test_runs_outlive_their_supervisor_and_the_cluster(home: Home) -> None:
    """One cluster of this machine: a supervisor is killed, then all of the cluster."""
    server = Server(home)
    assert server.missing() == []
    go = home.file("go")
    body = {"file": "hocket.yaml", "plan": "p", "inputs": {"go": str(go)}}
    run = server.ask("/api/runs", body)["run"]
    log = go.with_name("go.log")
    home.until(lambda: log.exists() and log.read_text(), seconds=60)
    first = server.owner(run)
    worker = int(log.read_text())
    assert len({first, worker, server.child.pid}) == 3, "driven, done and served by three"
    psutil.Process(first).kill()
    home.until(lambda: server.owner(run) not in (0, first), seconds=60)
    second = server.owner(run)
    # Its call is lost with it, and made anew.
    home.until(lambda: len(log.read_text().split()) == 2, seconds=60)
    # Another supervisor is begun in its place, which takes a moment.
    home.until(lambda: server.missing() == [], seconds=60)
    go.touch()
    asked = home.until(lambda: server.ask(f"/api/runs/{run}")["asked"], seconds=60)
    family = psutil.Process(server.child.pid).children()
    (keeper,) = [one for one in family if "hocket.cluster.fleet" in one.cmdline()]
    for process in [*keeper.children(recursive=True), keeper]:
        process.kill()
    home.until(lambda: server.missing() == ["cluster"], seconds=60)
    # The page and the journal are there all the same.
    assert server.row(run)["status"] == "running"
    answer = {"step": "ok", "digest": asked[0]["digest"], "approved": True, "note": ""}
    server.ask(f"/api/runs/{run}/approve", answer)
    home.until(lambda: server.missing() == [], seconds=90)
    home.until(lambda: server.row(run)["status"] == "succeeded", seconds=60)
    assert len(log.read_text().split()) == 3 and second not in (first, worker)
    server.child.terminate()
    assert ended(server.child, 60).status == 0
