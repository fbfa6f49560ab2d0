"""The live connection: whatever happens to it, a page comes to show what the journal says."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocketState
from tests.server.conftest import ROOMY
from tests.server.kit import PLANS, Served, serving
from tests.server.pages import (
    Page,
    is_equal,
    journal_says,
    layered,
    live_of,
    open_socket,
    start,
)
from websockets.exceptions import ConnectionClosed

from hocket.core.requests import Pause, Send
from hocket.core.values import Call
from hocket.journal.logs import FileLogs
from hocket.server.events import News
from hocket.server.frames import MOST_BYTES
from hocket.server.live import MOST_TOPICS, Client, Live, Watched
from hocket.server.settings import Settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("live")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    settings = Settings(quotas=ROOMY)
    state = folder / "state"
    with serving(state, [file], settings=settings, live=live_of, buffer=16_384) as server:
        yield server


def ended(page: Page) -> bool:
    return page.head.get("ended") is not None and page.head["seq"] == page.seen["run"]


def whole(page: Page) -> bool:
    """Whether a page has all of a run that has ended."""
    both = [page.seen[kind] for kind in page.kinds]
    return ended(page) and both == [page.head["seq"]] * len(both) and not any(page.halfway.values())


def test_pages_equal_the_journal_though_they_are_disconnected_and_stall(served: Served) -> None:
    run = start(served, layered(600, 40, words=8, seconds=0.1), "often")
    draw = Random(7)
    steady, broken = Page(served, run), Page(served, run, "s30")
    small = socket.create_connection(("127.0.0.1", served.port))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stalled = Page(served, run)
    stalled.connect(sock=small, max_queue=1)
    steady.connect()
    drops = 0
    broken.connect()
    while not (whole(broken) and broken.logs_over.get("s30") and drops >= 20):
        broken.take()
        if draw.random() < 0.3 and drops < 20:
            broken.drop()
            broken.connect()
            drops += 1
        elif drops < 20 and whole(broken):
            broken.drop()
            broken.connect()
            drops += 1
            if drops == 20:
                break
            # Nothing is new: it goes on where it was, and is sent no snapshot again.
    steady.until(lambda: whole(steady))
    # Only now it reads on: what it is sent from here on is the run as it is, not as it was.
    stalled.until(lambda: whole(stalled))
    assert drops == 20 and stalled.frames < steady.frames
    for page in (steady, broken, stalled):
        is_equal(page)
        assert page.largest <= MOST_BYTES and not page.errors
    assert steady.snapshots == 2
    said = FileLogs(served.site.host.engine.state).file(run, Call("s30", 1)).read_text()
    assert broken.logs["s30"] == said and len(said) > 50


def test_who_goes_on_from_an_event_gets_only_what_has_changed_since(served: Served) -> None:
    run = start(served, layered(60, 6), "onward")
    page = Page(served, run, calls=False)
    page.connect()
    page.until(lambda: ended(page))
    later = Page(served, run, calls=False)
    later.seen["run"], later.head, later.rows = page.head["seq"] - 4, dict(page.head), {}
    later.connect()
    frame = later.take()
    assert "snap" not in frame and 0 < len(frame["rows"]) < 30
    beyond = Page(served, run, calls=False)
    beyond.seen["run"] = 10**9
    beyond.connect()
    assert beyond.take()["snap"] is True


def test_a_snapshot_comes_in_pages_with_the_head_first(served: Served) -> None:
    run = start(served, layered(1_200, 1_200, words=1, seconds=0.0), "wide")
    served.until(run, "succeeded")
    page = Page(served, run, calls=False)
    page.connect()
    first = page.take()
    assert first["page"] == 0 and first["more"] and first["head"]["total"] == 1_200
    page.until(lambda: not page.halfway["run"])
    is_equal(page)
    assert page.frames >= 3


def test_a_run_of_another_process_is_followed(served: Served) -> None:
    """Its journal is asked again and again; here a second engine stands for the other process."""
    from hocket.app.engine import Engine

    state = served.site.host.engine.state
    page = Page(served, "elsewhere")

    async def other() -> None:
        async with Engine(state, look_ahead=0) as engine:
            run = await engine.begin(layered(40, 4, seconds=0.02), {}, run_id="elsewhere")
            page.connect()
            await asyncio.to_thread(page.take)
            assert page.head["here"] is False
            await run.result()

    asyncio.run(other())
    page.until(lambda: whole(page))
    is_equal(page)


def test_the_list_of_runs_tells_what_has_changed(served: Served) -> None:
    before = start(served, layered(2, 2), "listed")
    served.until(before, "succeeded")
    with open_socket(served) as link:
        link.send(json.dumps({"watch": [{"topic": "runs"}]}))
        first = json.loads(link.recv(10))
        rows = {row["id"]: row for row in first["rows"]}
        assert first["snap"] is True
        while before not in rows or rows[before]["status"] != "succeeded":
            # Somebody else watches the list, who saw it last before the run was there.
            rows |= {row["id"]: row for row in json.loads(link.recv(10))["rows"]}
        run = start(served, layered(2, 2), "news")
        while rows.get(run, {}).get("status") != "succeeded":
            frame = json.loads(link.recv(10))
            assert frame["snap"] is False and before not in [row["id"] for row in frame["rows"]]
            rows |= {row["id"]: row for row in frame["rows"]}


def test_events_come_as_they_happen(served: Served) -> None:
    run = start(served, layered(10, 5), "told")
    with open_socket(served) as link:
        link.send(json.dumps({"watch": [{"topic": "events", "run": run, "after": 0}]}))
        seen, kinds = 0, []
        while "run_ended" not in kinds:
            frame = json.loads(link.recv(10))
            assert frame["p"] == seen and [e["seq"] for e in frame["events"]] == list(
                range(seen + 1, frame["s"] + 1)
            )
            seen = frame["s"]
            kinds += [event["type"] for event in frame["events"]]
    assert kinds[0] == "run_started" and kinds.count("call_finished") == 10


def test_who_has_had_more_events_than_there_are_is_told_so(served: Served) -> None:
    run = start(served, layered(2, 2), "fewer")
    with open_socket(served) as link:
        link.send(json.dumps({"watch": [{"topic": "events", "run": run, "after": 900}]}))
        told = json.loads(link.recv(10))
        assert (told["t"], told["topic"]["run"]) == ("error", run)
        assert "begin anew" in told["message"]


def test_calls_go_on_from_where_their_reader_is(served: Served) -> None:
    """What happens without any call is not told of, and is no gap for who hears of the next."""
    body = {"file": "plans.yaml", "plan": "tell", "run_id": "gap"}
    served.post("/api/runs", body)
    served.until("gap", "waiting", "running")
    live = served.site.live

    async def work() -> tuple[Any, Any]:
        client = Client(live, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
        feed = live.feeds.of("gap")
        await feed.fresh()
        topic = client._open(Watched(topic="calls", run="gap"))
        first = json.loads(await topic.take(100.0) or "")
        board = await feed.fresh()
        async with News(feed) as news:
            await served.site.host.ask("gap", Pause(by="test"))
            assert await news.wait_for(board.seq, 20)
            assert await topic.take(200.0) is None
            await served.site.host.resume("gap", by="test")
            await served.site.host.ask("gap", Send(by="test", path="word", value="hey"))
            while not board.calls:
                assert await news.wait_for(board.seq, 20)
        second = json.loads(await topic.take(300.0) or "")
        topic.close()
        return first, second

    first, second = served.do(work)
    assert second["p"] == first["s"] < second["s"]
    assert second["calls"][0]["c"] == "after#1" and "snap" not in second


def test_limits_are_not_sent_because_time_has_passed(served: Served) -> None:
    asked: list[int] = []
    full = [1]

    def ask() -> dict[str, Any]:
        asked.append(0)
        return {"at": len(asked), "limits": list(full)}

    served.site.live.provide("limits", ask, 0.01)
    with open_socket(served) as link:
        link.send(json.dumps({"watch": [{"topic": "limits"}]}))
        assert json.loads(link.recv(10)) == {"t": "limits", "at": 1, "limits": [1]}
        for number in range(5):
            link.send(json.dumps({"ping": number}))
            assert json.loads(link.recv(10)) == {"pong": number}
            since = len(asked)
            while len(asked) == since:
                served.get("/api/about")
        assert served.site.live.polled["limits"].changes == 1
        full[:] = [2]
        assert json.loads(link.recv(10))["limits"] == [2]


def test_small_topics_are_sent_when_they_have_changed(served: Served) -> None:
    questions: list[dict[str, Any]] = [{"run": "r", "shown": "x" * 3_000} for _ in range(40)]
    served.site.live.provide("inbox", lambda: {"questions": list(questions), "alerts": []}, 0.02)
    with open_socket(served) as link:
        link.send(json.dumps({"watch": [{"topic": "inbox"}]}))
        data = link.recv(10)
        first = json.loads(data)
        # It is too large for a frame, and says by how much.
        assert len(data) <= MOST_BYTES and len(first["questions"]) + first["more"] == 40
        questions[:] = [{"run": "r", "shown": "y"}]
        assert json.loads(link.recv(10))["questions"] == questions


def test_what_is_no_message_is_answered_and_then_not(served: Served) -> None:
    with open_socket(served) as link:
        for wrong in ("{", '{"watch": [{"topic": "all"}]}', '{"look": []}', '{"watch": 1}', "[]"):
            link.send(wrong)
            assert json.loads(link.recv(10))["t"] == "error"
        link.send('{"ping": 7}')
        assert json.loads(link.recv(10)) == {"pong": 7}
        many = [{"topic": "run", "run": f"r{n}"} for n in range(MOST_TOPICS + 1)]
        link.send(json.dumps({"watch": many}))
        assert json.loads(link.recv(10))["t"] == "error"
        link.send(json.dumps({"watch": [{"topic": "run", "run": "nobody"}]}))
        told = json.loads(link.recv(10))
        assert told["t"] == "error" and "nobody" in told["message"]
        assert told["topic"]["run"] == "nobody"
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(50):
                link.send("{")
                link.recv(10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


@pytest.mark.parametrize("data", ["x" * 70_000, b"\xff" * 70_000])
def test_a_message_that_is_too_large_ends_it(served: Served, data: str | bytes) -> None:
    with open_socket(served) as link:
        link.send(data)
        with pytest.raises(ConnectionClosed) as closed:
            link.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009


def test_too_many_messages_end_it(served: Served) -> None:
    with open_socket(served) as link, pytest.raises(ConnectionClosed) as closed:
        for _ in range(2_000):
            link.send('{"ping": 1}')
        while True:
            link.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


class Stuck:
    """A socket whose client says what it watches, and then never reads."""

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.closed: tuple[int, str] | None = None
        self.sent = 0

    async def receive(self) -> dict[str, Any]:
        if self.said:
            return {"type": "websocket.receive", "text": self.said.pop(0)}
        await asyncio.Event().wait()
        raise AssertionError

    async def send_text(self, text: str) -> None:
        self.sent += 1
        await asyncio.Event().wait()

    async def close(self, code: int, why: str) -> None:
        self.closed = code, why


def test_who_does_not_read_at_all_is_let_go(served: Served) -> None:
    run = start(served, layered(4, 2), "stuck")
    live = served.site.live
    stuck = Stuck(json.dumps({"watch": [{"topic": "run", "run": run}]}))

    async def work() -> None:
        mine = Live(live.store, live.state, live.driven, stalled=0.05)
        given: Any = stuck
        await asyncio.wait_for(Client(mine, served.site, given).serve(), 20)
        assert not mine.feeds.of(run).listened
        await mine.close()

    served.do(work)
    assert stuck.closed is not None and stuck.closed[0] == 1008 and stuck.sent == 1


class Closed(Stuck):
    """A socket that the server has closed by itself, because nobody answered its pings."""

    application_state = WebSocketState.CONNECTED

    async def send_text(self, text: str) -> None:
        raise RuntimeError("Unexpected ASGI message 'websocket.send', after 'websocket.close'")


def test_whom_the_server_has_let_go_by_itself_is_gone(served: Served) -> None:
    run = start(served, layered(4, 2), "closed")
    live = served.site.live
    closed = Closed(json.dumps({"watch": [{"topic": "run", "run": run}]}))

    async def work() -> None:
        given: Any = closed
        await asyncio.wait_for(Client(live, served.site, given).serve(), 20)

    served.do(work)
    # Nobody is to close it once more.
    assert closed.application_state is WebSocketState.DISCONNECTED and closed.closed is None


def test_who_was_far_behind_is_told_so_and_gets_it_all_anew(served: Served) -> None:
    """The clock of a topic is given to it, so nobody has to wait for real."""
    run = start(served, layered(700, 350, words=1, seconds=0.05), "far")
    live = served.site.live

    async def work() -> list[dict[str, Any]]:
        await live.board(run)
        client = Client(live, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
        topic = client._open(Watched(topic="run", run=run))
        frames: list[dict[str, Any]] = []
        now = 100.0
        while len(frames) < 2 or frames[-1].get("more"):
            text = await topic.take(now)
            if text is not None:
                frames.append(json.loads(text))
        await live.driven(run).result()
        frames.clear()
        while True:
            text = await topic.take(now + 60)
            if text is None:
                break
            frames.append(json.loads(text))
        topic.close()
        return frames

    frames = served.do(work)
    assert frames[0]["t"] == "lag" and frames[1]["snap"] and frames[1]["page"] == 0
    rows = {row["id"]: row for frame in frames[1:] for row in frame["rows"]}
    assert rows == journal_says(served, run)[0]
