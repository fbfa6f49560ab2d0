"""The journal is the queue: runs begun by one process and driven by whoever has room."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.kit import Home, ended

from hocket.app import driving
from hocket.app.driving import Heir, Resting
from hocket.app.engine import Engine
from hocket.app.host import Full, Host
from hocket.app.supervisor import Supervisor
from hocket.core.errors import EngineBug, Refused
from hocket.core.events import ApprovalAsked, CallLost, CallStarted, RunResumed
from hocket.core.requests import Approve, Cancel, Continue, Pause
from hocket.insight.alerts import rules_with
from hocket.journal.base import RunRow
from hocket.server.watch import Watch

pytestmark = pytest.mark.anyio

FILE = """
version: 1
plans:
  gate:
    steps:
      good: {command: [echo, done], effects: false}
      ok: {approve: "Ship?", needs: [good]}
      after: {command: [echo, shipped], effects: false, needs: [ok]}
  slow:
    inputs: [go]
    steps:
      first:
        shell: 'echo begun >> "$1.log"; until [ -e "$1" ]; do sleep 0.02; done'
        args: ["{{inputs.go}}"]
        effects: false
      last: {command: [echo, last], effects: false, needs: [first]}
  quick:
    steps:
      hi: {command: [echo, hi], effects: false}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a journal that several processes share."""
    if request.param == "sqlite":
        return str(tmp_path / "journal")
    return str(request.getfixturevalue("database"))


Making = Callable[..., Any]


@pytest.fixture
async def make(tmp_path: Path, journal: str) -> AsyncIterator[Making]:
    """Makes hosts as processes of their own would have them, each with its own state folder."""
    file = tmp_path / "plans.yaml"
    file.write_text(FILE)
    async with AsyncExitStack() as stack:
        count = 0

        @asynccontextmanager
        async def hosting(**how: Any) -> AsyncIterator[Host]:
            nonlocal count
            count += 1
            async with Engine(tmp_path / f"state{count}", journal=journal, look_ahead=0) as engine:
                host = Host(engine, [file], **how)
                await host.open()
                try:
                    yield host
                finally:
                    await host.close()

        async def making(**how: Any) -> Host:
            return await stack.enter_async_context(hosting(**how))

        yield making


async def soon(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for something that another thread or process will bring about."""
    async with asyncio.timeout(seconds):
        while not (found := check()):  # noqa: ASYNC110 - a thread brings it about, without an event
            await asyncio.sleep(0.01)
    return found


def status(host: Host, run: str) -> str:
    return host.row(run).status


def events(host: Host, run: str, kind: type) -> list[Any]:
    return [one.event for one in host.engine.journal.read(run) if isinstance(one.event, kind)]


async def asked(host: Host, run: str) -> Approve:
    (found,) = await soon(lambda: events(host, run, ApprovalAsked))
    return Approve(by="anna", path="ok", approved=True, digest=found.digest)


async def test_what_a_front_begins_is_driven_by_whoever_has_room(make: Making) -> None:
    front = await make(drive=0)
    run = await front.start("plans.yaml", "quick", {})
    row = front.row(run)
    assert (row.status, row.owner, row.events) == ("running", "", 1)
    assert front.driven(run) is None and front.engine.journal.hosted.all() == [run]
    with pytest.raises(Refused, match="already"):
        await front.start("plans.yaml", "quick", {}, run_id=run)
    await make(most=5)
    await soon(lambda: status(front, run) == "succeeded")
    assert [event.epoch for event in events(front, run, RunResumed)] == [2]
    await soon(lambda: front.engine.journal.hosted.all() == [])
    forked = await front.fork(run, after=1, inputs={}, by="anna")
    assert front.driven(forked) is None
    await soon(lambda: status(front, forked) == "succeeded")


async def test_mistakes_are_told_by_the_front_and_nothing_is_left_of_them(make: Making) -> None:
    front = await make(drive=0)
    with pytest.raises(Refused, match="needs the input"):
        await front.start("plans.yaml", "slow", {})
    assert await front.rows() == [] and front.engine.journal.hosted.all() == []


async def test_questions_are_answered_at_a_front_whoever_drives_the_run(make: Making) -> None:
    front, other = await make(drive=0), await make(drive=0)
    worker = await make(most=5)
    run = await front.start("plans.yaml", "gate", {})
    answer = await asked(front, run)
    await other.ask(run, Pause(by="bert"))
    await soon(lambda: status(front, run) == "paused")
    await worker.close()
    assert not front.row(run).alive
    # Nobody drives it: the answer is taken in by the front, and the next worker goes on from there.
    await other.ask(run, answer)
    with pytest.raises(Refused, match="anna"):
        await front.ask(run, answer)
    assert (front.row(run).status, front.row(run).owner) == ("running", "")
    await make(most=5)
    await soon(lambda: status(front, run) == "succeeded")
    assert len(events(front, run, CallStarted)) == 2, "what had finished is not done again"


async def test_a_front_alone_can_cancel_and_leave_a_paused_run_for_others(make: Making) -> None:
    front = await make(drive=0)
    run = await front.start("plans.yaml", "gate", {})
    await front.ask(run, Cancel(by="anna"))
    await soon(lambda: status(front, run) == "cancelled")
    worker = await make(most=1)
    second = await front.start("plans.yaml", "gate", {})
    await asked(front, second)
    await front.ask(second, Pause(by="anna"))
    await soon(lambda: status(front, second) == "paused")
    await worker.close()
    # A paused run is nobody's to take up before somebody says so.
    assert front.engine.journal.orphans(9) == []
    await front.ask(second, Continue(by="anna"))
    assert [row.id for row in front.engine.journal.orphans(9)] == [second]


async def test_no_more_runs_may_wait_than_are_allowed(make: Making) -> None:
    front = await make(drive=0, most=2)
    for _ in range(2):
        await front.start("plans.yaml", "quick", {})
    with pytest.raises(Full, match="hocket work"):
        await front.start("plans.yaml", "quick", {})
    await make(most=5)
    await soon(lambda: not front.engine.journal.orphans(9))
    await front.start("plans.yaml", "quick", {})


async def test_a_server_leaves_what_is_beyond_its_room_to_others(
    make: Making, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    server = await make(drive=1)
    first = await server.start("plans.yaml", "slow", {"go": str(go)})
    second = await server.start("plans.yaml", "quick", {})
    assert list(server.runs) == [first] and server.row(second).owner == ""
    go.touch()
    # It has room itself now.
    await soon(lambda: status(server, second) == "succeeded" == status(server, first))


async def test_several_share_what_waits_and_each_run_is_driven_once(
    make: Making, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    front = await make(drive=0)
    runs = [await front.start("plans.yaml", "slow", {"go": str(go)}) for _ in range(7)]
    workers = [await make(most=2) for _ in range(3)]
    await soon(lambda: sum(len(worker.runs) for worker in workers) == 6)
    driven = [run for worker in workers for run in worker.runs]
    assert [len(worker.runs) for worker in workers] == [2, 2, 2]
    assert len(set(driven)) == 6 and len(front.engine.journal.orphans(9)) == 1
    go.touch()
    await soon(lambda: all(status(front, run) == "succeeded" for run in runs))
    for run in runs:
        assert len(events(front, run, RunResumed)) == 1, run


async def test_a_front_looks_after_what_others_drive_for_it(make: Making, tmp_path: Path) -> None:
    go = tmp_path / "go"
    front = await make(drive=0)
    worker = await make(most=5)
    run = await front.start("plans.yaml", "slow", {"go": str(go)})
    await soon(lambda: events(front, run, CallStarted))
    watch = Watch(front, rules_with(("step > 1ms",)))
    # The process of the tests may hold so much memory that the server is alerted to that, too.
    found = [(alert.run, alert.step) for alert in await watch.look() if alert.run]
    assert found == [(run, "first")]
    assert front.driven(run) is None and worker.driven(run) is not None
    go.touch()
    await soon(lambda: status(front, run) == "succeeded")


async def test_whoever_drains_lets_calls_end_and_others_go_on_at_once(
    make: Making, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    first, second = await make(most=5), await make(most=5)
    run = await first.start("plans.yaml", "slow", {"go": str(go)})
    waits = await first.start("plans.yaml", "gate", {})
    await asked(first, waits)
    await soon(lambda: events(first, run, CallStarted))
    draining = asyncio.create_task(first.drain(60))
    # Without calls in flight it is given up at once, while the other still is waited for.
    await soon(lambda: second.driven(waits) is not None)
    assert first.driven(run) is not None and not draining.done()
    with pytest.raises(Refused, match="ending"):
        await first.start("plans.yaml", "quick", {})
    go.touch()
    assert await draining == tuple(sorted([run, waits]))
    await soon(lambda: status(second, run) == "succeeded")
    assert len(events(second, run, CallStarted)) == 2, "each step was called once"
    assert events(second, run, CallLost) == []


async def test_calls_that_do_not_end_in_time_are_cut_off_and_made_anew(
    make: Making, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    first, second = await make(most=5), await make(most=5)
    run = await first.start("plans.yaml", "slow", {"go": str(go)})
    await soon(lambda: events(first, run, CallStarted))
    assert await first.drain(0.1) == (run,)
    go.touch()
    await soon(lambda: status(second, run) == "succeeded")
    assert len(events(second, run, CallLost)) == 1
    assert len(events(second, run, CallStarted)) == 3


async def test_a_run_that_waits_for_people_is_taken_up_once_somebody_has_answered(
    make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = await make(drive=0)
    worker = await make(most=5)
    run = await front.start("plans.yaml", "gate", {})
    answer = await asked(front, run)
    await worker.close()
    looked = await make(most=5)
    await soon(lambda: looked.driven(run))
    await looked.close()
    # As if its owner had died between the post and its answer.
    front.engine.journal.post(run, answer)
    await make(most=5)
    await soon(lambda: status(front, run) == "succeeded")


async def test_a_run_that_cannot_be_taken_up_is_not_tried_without_end(
    make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "_WATCH", 0.01)
    front = await make(drive=0)
    tried: list[str] = []
    worker = await make(most=5)
    found = worker.engine.resume

    async def resume(run: str, **how: Any) -> Any:
        tried.append(run)
        if run == bad:
            raise EngineBug("it does not fit")
        return await found(run, **how)

    monkeypatch.setattr(worker.engine, "resume", resume)
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: said.append(told["message"]))
    bad = "bad"
    await front.start("plans.yaml", "quick", {}, run_id=bad)
    await soon(lambda: tried)
    good = await front.start("plans.yaml", "quick", {})
    await soon(lambda: status(front, good) == "succeeded")
    assert tried.count(bad) == 1 and said == [
        f"run bad cannot be taken up; see hocket resume bad: {EngineBug('it does not fit')}"
    ]


def test_what_rests_is_looked_at_again_when_it_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(driving.time, "monotonic", lambda: now)

    def row(events: int) -> RunRow:
        return RunRow(
            id="r", name="", status="running", created=0, updated=0, events=events, owner="",
            alive=False,
        )  # fmt: skip

    resting = Resting()
    assert not resting.has(row(3))
    resting.waits(row(3))
    assert resting.has(row(3)) and not resting.has(row(4))
    resting.end("r")
    assert not resting.has(row(3))
    pauses = []
    for _ in range(12):
        resting.broke("r", row(3))
        began = now
        # Others have tried it, too: that alone is no reason to try again at once.
        while resting.has(row(4)):
            now += 1.0
        assert resting.has(row(3)), "nothing has become of it"
        pauses.append(now - began)
        resting.end("r")
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0] and pauses[-1] == 600.0
    resting.keep(set())
    assert len(resting) == 0


async def test_a_supervisor_drives_and_says_what_it_is_at(
    tmp_path: Path, make: Making, journal: str
) -> None:
    front = await make(drive=0)
    go = tmp_path / "go"
    run = await front.start("plans.yaml", "slow", {"go": str(go)})
    own = str(tmp_path / "own")
    supervisor = Supervisor(journal=journal, state=own, most=3, lease=5.0)
    try:
        await asyncio.gather(supervisor.open(), supervisor.open())
        await soon(lambda: supervisor.report().driven == 1)
        assert (supervisor.report().most, supervisor.report().draining) == (3, False)
        assert await supervisor.drain(0) == (run,)
        assert supervisor.report().draining
    finally:
        await supervisor.close()


async def test_nothing_is_looked_for_where_there_is_no_room(
    make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = await make(drive=0)
    await front.start("plans.yaml", "quick", {})
    journal = front.engine.journal
    monkeypatch.setattr(type(journal), "orphans", lambda *_: pytest.fail("it was looked for"))
    assert await Heir(front.engine, front._driving).look() is False


# -- real processes ---------------------------------------------------------------------------


@pytest.fixture
def homes(tmp_path: Path, database: str) -> Iterator[list[Home]]:
    """Folders of several machines, as it were, on one journal."""
    made = []
    for name in ("a", "b", "c"):
        folder = tmp_path / name
        folder.mkdir()
        home = Home(folder)
        home.env |= {"HOCKET_JOURNAL": database, "HOCKET_LEASE": "2"}
        made.append(home)
    try:
        yield made
    finally:
        for home in made:
            home.end()


class Server:
    """A server of its own process."""

    def __init__(self, home: Home, *args: str) -> None:
        self.child = home.start("serve", "--port", "0", "--json", *args)
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.communicate()
        self.said: dict[str, Any] = json.loads(line)

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.said["url"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.said['tokens']['operate']}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read()) from error

    def start(self, plan: str, **inputs: str) -> str:
        body = {"file": "hocket.yaml", "plan": plan, "inputs": inputs}
        return str(self.ask("/api/runs", body)["run"])

    def row(self, run: str) -> dict[str, Any]:
        return next(row for row in self.ask("/api/runs")["runs"] if row["id"] == run)


def probe(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_second_server_goes_on_with_what_a_killed_one_was_driving(homes: list[Home]) -> None:
    one, two, _ = homes
    for home in (one, two):
        home.put("hocket.yaml", FILE)
    first, second = Server(one), Server(two)
    go = two.file("go")
    run = first.start("slow", go=str(go))
    gate = first.start("gate")
    assert {row["id"] for row in second.ask("/api/runs")["runs"]} == {run, gate}
    head = one.until(lambda: (got := second.ask(f"/api/runs/{gate}"))["asked"] and got)
    assert not head["here"] and head["alive"]
    # It is asked of a run that the other one drives.
    second.ask(f"/api/runs/{gate}/pause", {})
    one.until(lambda: second.row(gate)["status"] == "paused")
    one.until(lambda: go.with_name("go.log").exists())
    one.kill(first.child)
    two.until(lambda: second.row(run)["here"])
    go.touch()
    two.until(lambda: second.row(run)["status"] == "succeeded")
    assert go.with_name("go.log").read_text() == "begun\n" * 2, "the call in flight, once more"
    # A paused run is nobody's; whoever is asked takes it up.
    assert not second.row(gate)["alive"]
    second.ask(f"/api/runs/{gate}/resume", {})
    two.until(lambda: second.row(gate)["here"])


def test_a_worker_drains_when_it_is_asked_to_end_and_another_goes_on(homes: list[Home]) -> None:
    front, one, two = homes
    front.put("hocket.yaml", FILE)
    server = Server(front, "--drive", "0")
    worker = one.start("work", "--json", "--health-port", "0")
    assert worker.stdout is not None
    port = json.loads(worker.stdout.readline())["health_port"]
    assert (probe(port, "/health"), probe(port, "/ready"), probe(port, "/x")) == (200, 200, 404)
    go = front.file("go")
    run = server.start("slow", go=str(go))
    front.until(lambda: go.with_name("go.log").exists())
    assert server.row(run)["owner"].endswith(f":{worker.pid}")
    worker.send_signal(signal.SIGTERM)
    front.until(lambda: probe(port, "/ready") == 503)
    assert probe(port, "/health") == 200 and worker.poll() is None
    other = two.start("work", "--json")
    assert other.stdout is not None and other.stdout.readline()
    go.touch()
    front.until(lambda: server.row(run)["status"] == "succeeded")
    done = ended(worker)
    assert done.status == 0 and f"left {run} for others to drive" in done.err
    assert go.with_name("go.log").read_text() == "begun\n", "no call was made twice"


def test_a_second_signal_ends_a_worker_at_once(homes: list[Home]) -> None:
    front, one, _ = homes
    front.put("hocket.yaml", FILE)
    server = Server(front, "--drive", "0")
    worker = one.start("work", "--json", "--drain", "10m")
    assert worker.stdout is not None and worker.stdout.readline()
    go = front.file("go")
    run = server.start("slow", go=str(go))
    front.until(lambda: go.with_name("go.log").exists())
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    assert worker.stderr.readline().startswith("stopping")
    worker.send_signal(signal.SIGTERM)
    assert ended(worker).status == 130
    front.until(lambda: not server.row(run)["alive"])


def test_what_does_not_fit_together_is_refused(homes: list[Home]) -> None:
    home = homes[0]
    for args, said in (
        (("work", "--drain", "soon"), "'soon' is not a duration"),
        (("serve", "--supervisors", "2"), "add --cluster"),
        (("serve", "--cluster", "auto", "--drive", "2"), "leave --drive out"),
    ):
        done = home.hocket(*args)
        assert done.status == 2 and said in done.err, done
    done = home.hocket("serve", "--port", "0", "--cluster", "local", env={"HOCKET_JOURNAL": ""})
    assert done.status == 2 and "postgresql://" in done.err, done
