"""A real server on a free port of 127.0.0.1, in a thread, and a client for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from hocket.app.engine import Engine
from hocket.app.host import Host
from hocket.server import connections
from hocket.server.app import make_app
from hocket.server.live import Live
from hocket.server.settings import Settings
from hocket.server.site import Site
from hocket.server.tokens import Tokens, tokens_of

PLANS = """
version: 1
agents:
  one: {scripted: {replies: [{output: hello}]}}
  bad: {scripted: {replies: [{error: {kind: permanent, message: cannot}}]}}
plans:
  say:
    inputs: {who: {default: you}}
    steps:
      a: {agent: one, prompt: "hi {{inputs.who}}"}
      b: {agent: one, prompt: "again {{a}}"}
  ask:
    steps:
      sure: {approve: "rm -rf nothing"}
      after: {agent: one, prompt: done, needs: [sure]}
  tell:
    steps:
      word: {input: "say a word"}
      after: {agent: one, prompt: "{{word}}"}
  fail:
    steps:
      a: {agent: bad, prompt: hi}
"""
"""Plans that do what they are called, for a server to offer."""


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        return str(self.json()["error"]["kind"])


@dataclass
class Served:
    """A server under test."""

    site: Site
    tokens: Tokens
    loop: asyncio.AbstractEventLoop
    port: int
    logged: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "operate",
        headers: Mapping[str, str | None] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Ask over HTTP; `token` is "view", "operate", another text, or None for none at all."""
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}"}
        if token is not None:
            given["Authorization"] = f"Bearer {self.token(token)}"
        data = raw
        if data is None and body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            given["Content-Type"] = "application/json"
            given["Content-Length"] = str(len(data))
        given.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            read = answer.read()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, read)
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Any:
        """Get JSON; anything but success fails."""
        reply = self.ask("GET", path, **more)
        assert reply.status == 200, reply.body
        return reply.json()

    def post(self, path: str, body: Any, **more: Any) -> Any:
        """Post JSON; anything but success fails."""
        reply = self.ask("POST", path, body, **more)
        assert reply.status in {200, 201}, reply.body
        return reply.json()

    def token(self, role: str) -> str:
        known = {"view": self.tokens.view, "operate": self.tokens.operate}
        return known.get(role, role)

    def do(self, work: Callable[[], Any]) -> Any:
        """Await something in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(30)

    def wait_for(self, done: Callable[[], bool], tries: int = 600) -> None:
        """Wait until something holds."""
        tick = threading.Event()
        for _ in range(tries):
            if done():
                return
            tick.wait(0.02)
        raise AssertionError("it never was")

    def until(self, run: str, *statuses: str, tries: int = 600) -> str:
        """Ask until a run has one of these statuses."""
        tick = threading.Event()
        for _ in range(tries):
            row = next(r for r in self.get("/api/runs?limit=200")["runs"] if r["id"] == run)
            if row["status"] in statuses:
                return str(row["status"])
            tick.wait(0.02)
        raise AssertionError(f"{run} never was {statuses}")


@contextmanager
def serving(
    state: Path,
    offered: Sequence[Path] = (),
    *,
    settings: Settings | None = None,
    live: Callable[[Any], Any] | None = None,
    app: Callable[[Site], Any] = make_app,
    buffer: int = 0,
    protocols: Callable[[], dict[str, Any]] | None = None,
) -> Iterator[Served]:
    """Serve a state folder until the block ends.

    Args:
        state: The state folder.
        offered: Files whose plans may be started.
        settings: How to listen; the port is a free one.
        live: Makes what folds the watched runs, given the host.
        app: Makes the application.
        buffer: The most bytes that the kernel keeps for a client that does not read; 0 for what it
            likes, which is megabytes.
        protocols: Gives what connections are, as uvicorn's options; by default the server's own.
    """
    port_taken = socket.create_server(("127.0.0.1", 0))
    if buffer:
        port_taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    port = port_taken.getsockname()[1]
    wanted = msgspec.structs.replace(settings or Settings(), port=port)
    ready = threading.Event()
    made: dict[str, Any] = {}

    async def whole() -> None:
        async with Engine(state, look_ahead=0) as engine:
            host = Host(engine, offered)
            await host.open()
            tokens = tokens_of(state)
            site = Site(host, wanted, tokens, (live or live_of)(host))
            config = uvicorn.Config(
                app(site),
                lifespan="off",
                log_config=None,
                server_header=False,
                proxy_headers=False,
                **(protocols() if protocols else connections.protocols(wanted)),
                timeout_graceful_shutdown=1,
            )
            server = uvicorn.Server(config)
            made.update(site=site, tokens=tokens, server=server, loop=asyncio.get_running_loop())
            # The port is being listened on: who comes before the server does waits a little.
            ready.set()
            try:
                await server.serve([port_taken])
            finally:
                await site.close()
                await host.close()

    def run() -> None:
        try:
            asyncio.run(whole())
        except BaseException as error:
            made["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        if "error" in made:
            raise made["error"]
        yield Served(made["site"], made["tokens"], made["loop"], port)
    finally:
        if "server" in made:
            made["server"].should_exit = True
        thread.join(30)
        port_taken.close()
    if "error" in made:
        raise made["error"]


def live_of(host: Host) -> Live:
    """Make what folds the watched runs."""
    return Live(host.engine.journal, host.engine.state, host.driven)
