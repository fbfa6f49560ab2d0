"""A page's side of the live connection: it keeps what it is sent, and checks each frame."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
from tests.server.kit import Served
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.report.board import Board
from hocket.server.feed import new_machine
from hocket.server.live import Live
from hocket.workflows.check import complete

MOST = 50_000


def live_of(host: Any) -> Live:
    """What folds the watched runs of a test's server."""
    return Live(host.engine.journal, host.engine.state, host.driven)


class Page:
    """A page that watches one run: its head, steps, calls, and logs."""

    def __init__(self, served: Served, run: str, *logs: str, calls: bool = True) -> None:
        self.served = served
        self.run = run
        self.head: dict[str, Any] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.log_ends: dict[str, int] = {}
        self.logs_over: dict[str, bool] = {}
        self.seen: dict[str, int | None] = {"run": None, "calls": None}
        self.halfway: dict[str, bool] = {}
        self.kinds = ("run", "calls") if calls else ("run",)
        self.watched_logs = list(logs)
        self.bytes = self.frames = self.largest = self.lags = self.snapshots = 0
        self.errors: list[dict[str, Any]] = []
        self.socket: ClientConnection | None = None

    def connect(self, **more: Any) -> None:
        # It is closed by whoever drops it, and at the latest by the server.
        self.socket = open_socket(self.served, **more).__enter__()
        self.watch()

    def watch(self) -> None:
        topics: list[dict[str, Any]] = [
            {
                "topic": kind,
                "run": self.run,
                "after": None if self.halfway.get(kind) else self.seen[kind],
            }
            for kind in self.kinds
        ]
        for path in self.watched_logs:
            start = self.log_ends.get(path, 0)
            topics.append(
                {"topic": "log", "run": self.run, "path": path, "attempt": 0, "from": start}
            )
        assert self.socket is not None
        self.socket.send(json.dumps({"watch": topics}))

    def drop(self) -> None:
        """Lose the connection without a word."""
        assert self.socket is not None
        self.socket.socket.shutdown(2)
        self.socket.close()

    def take(self, timeout: float = 10.0) -> dict[str, Any]:
        """Take the next frame in."""
        assert self.socket is not None
        data = self.socket.recv(timeout)
        size = len(data.encode() if isinstance(data, str) else data)
        assert size < MOST, f"a frame of {size} bytes"
        self.bytes += size
        self.frames += 1
        self.largest = max(self.largest, size)
        frame: dict[str, Any] = json.loads(data)
        self._apply(frame)
        return frame

    def until(self, done: Callable[[], bool], timeout: float = 30.0) -> None:
        """Take frames until something holds."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, "it never came to that"
            self.take(timeout)

    def _apply(self, frame: dict[str, Any]) -> None:
        kind = frame.get("t")
        if kind == "error":
            self.errors.append(frame)
        elif kind == "lag":
            self.lags += 1
        elif kind == "log":
            self._log(frame)
        elif kind in self.seen:
            if frame.get("snap") and frame["page"] == 0:
                self.snapshots += 1
                (self.rows if kind == "run" else self.calls).clear()
            else:
                assert frame["p"] == self.seen[kind], (frame["p"], self.seen)
            self.seen[kind] = frame["s"]
            self.halfway[kind] = bool(frame.get("more"))
            self.head |= frame.get("head", {})
            for row in frame.get("rows", []):
                self.rows[row["id"]] = row
            for gone in frame.get("gone", []):
                self.rows.pop(gone, None)
            for call in frame.get("calls", []):
                self.calls[call["c"]] = call

    def _log(self, frame: dict[str, Any]) -> None:
        path = frame["c"].rpartition("#")[0]
        assert frame["o"] == self.log_ends.get(path, 0)
        self.logs[path] = self.logs.get(path, "") + frame["d"]
        self.log_ends[path] = frame["e"]
        self.logs_over[path] = frame.get("end", False)


def open_socket(served: Served, **more: Any) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{served.port}/api/live",
        subprotocols=[Subprotocol("hocket"), Subprotocol(f"token.{served.tokens.view}")],
        compression=None,
        **more,
    )


def layered(steps: int, width: int, *, words: int = 20, seconds: float = 0.03) -> RunSpec:
    """A plan of layers whose calls say something, word by word."""
    text = " ".join(f"word{n:04d}" for n in range(words))
    reply = {"output": text, "after": f"{seconds}s", "stream": True, "tokens_in": 3, "cost": 0.001}
    agents = {"a": AgentSpec(kind="scripted", options={"replies": [reply]})}
    needs = [
        dict.fromkeys((f"s{i - width}", f"s{i - width - i % width}")) if i >= width else ()
        for i in range(steps)
    ]
    plan = PlanSpec(
        name="layers",
        steps=tuple(
            StepSpec(name=f"s{i}", agent="a", input=f"do {i}", needs=tuple(needs[i]))
            for i in range(steps)
        ),
    )
    return complete(RunSpec(workflow=plan, agents=agents, max_parallel=2 * width))


def start(served: Served, spec: RunSpec, run: str) -> str:
    """Start a spec in the server's process."""
    host = served.site.host
    return str(served.do(lambda: host.start_spec(spec, {}, run_id=run)))


def journal_says(served: Served, run: str) -> tuple[Any, Any, Any]:
    """The rows, the calls and the head of a run, folded anew from its journal."""
    board = Board(new_machine())
    for recorded in served.site.host.engine.journal.read(run):
        board.add(recorded)
    rows, calls = {row.id: row for row in board.rows()}, board.calls
    return (
        json.loads(msgspec.json.encode(rows)),
        json.loads(msgspec.json.encode(calls)),
        json.loads(msgspec.json.encode(board.head())),
    )


def is_equal(page: Page) -> None:
    """A page shows what the journal says."""
    rows, calls, head = journal_says(page.served, page.run)
    assert page.rows == rows
    if "calls" in page.kinds:
        assert page.calls == calls
    assert {name: page.head[name] for name in head} == head
