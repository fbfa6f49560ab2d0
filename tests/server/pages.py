"""A page's side of the live connection: it keeps what it is sent, and checks each frame."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.server.kit import Served
from websockets.sync.client import ClientConnection, connect

from hocket.server.live import Live

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

    def connect(self) -> None:
        self.socket = open_socket(self.served)
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


def open_socket(served: Served, *protocols: Any, **more: Any) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{served.port}/api/live",
        subprotocols=list(protocols) or ["hocket", f"token.{served.tokens.view}"],
        compression=None,
        **more,
    )
