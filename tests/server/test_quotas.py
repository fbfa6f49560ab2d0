"""No client takes the server from the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served, serving
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from hocket.server.app import Router
from hocket.server.gate import Gate
from hocket.server.quotas import Buckets, Places, TooMany, Total
from hocket.server.routing import Asked, Caller, Route, Socket, Stream
from hocket.server.settings import Quotas, Settings
from hocket.server.site import Site


def test_a_bucket_fills_again() -> None:
    now = 0.0
    buckets = Buckets(2.0, 3, lambda: now)
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0.0
    now = 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    now = 1e9
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a") > 0


def test_buckets_are_bounded_in_number() -> None:
    buckets = Buckets(1.0, 1, lambda: 0.0)
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._left) <= 4096


def test_places_are_given_back_whatever_happens() -> None:
    total = Total(3)
    places, others = Places(2, total), Places(2, total)
    with ExitStack() as stack:
        stack.enter_context(places.one("a"))
        stack.enter_context(places.one("a"))
        with pytest.raises(TooMany, match="you have 2"):
            stack.enter_context(places.one("a"))
        stack.enter_context(others.one("a"))
        with pytest.raises(TooMany, match="3 connections"):
            stack.enter_context(others.one("b"))
    assert total.open == 0 and not places._open and not others._open
    with pytest.raises(ZeroDivisionError), places.one("a"):
        raise ZeroDivisionError
    assert total.open == 0


async def _tick(site: Site, asked: Asked) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: here\n\n"
        await asyncio.Event().wait()

    return Stream(chunks=chunks())


async def _act(site: Site, asked: Asked) -> dict[str, Any]:
    return {}


async def _echo(site: Site, caller: Caller, socket: Any) -> None:
    async for text in socket.iter_text():
        await socket.send_text(f"{caller.role} {text}")


async def _break(site: Site, caller: Caller, socket: Any) -> None:
    raise ZeroDivisionError


ROUTES = [
    Route(method="GET", path="/tick", role="view", handler=_tick, about="Ticks."),
    Route(method="POST", path="/act", role="operate", handler=_act, about="Acts.", gives=dict),
]
SOCKETS = [
    Socket(path="/echo", role="view", handler=_echo, about="Says it again."),
    Socket(path="/break", role="view", handler=_break, about="Breaks."),
    Socket(path="/command", role="operate", handler=_echo, about="Obeys."),
]


@contextmanager
def small(tmp_path: Path, quotas: Quotas) -> Iterator[Served]:
    def app(site: Site) -> Gate:
        return Gate(Router(site, ROUTES, SOCKETS, ()), site, None)

    settings = Settings(quotas=quotas, page=False)
    with serving(tmp_path / "state", settings=settings, app=app) as served:
        yield served


def test_too_many_requests_wait_a_little(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(rate=0.01, burst=5)) as served:
        statuses = [served.ask("GET", "/nothing").status for _ in range(7)]
        assert statuses == [404] * 5 + [429] * 2
        reply = served.ask("GET", "/nothing")
        assert reply.kind == "too_many" and int(reply.headers["retry-after"]) > 30
        # Each role has its own bucket, so that lookers take nothing from those who act.
        assert served.ask("GET", "/nothing", token="view").status == 404


def test_too_much_is_done_too_fast(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(acting=0.01, acting_burst=2)) as served:
        statuses = [served.ask("POST", "/act").status for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert served.ask("GET", "/nothing").status == 404


def test_guessing_is_slow_and_hurts_nobody_else(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(refusals=0.01, refusals_burst=3)) as served:
        statuses = [served.ask("GET", "/nothing", token=f"guess{n}").status for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert served.ask("GET", "/nothing").status == 404


def test_streams_are_bounded_and_their_places_come_back(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(streams=2)) as served:
        lines = (
            f"GET /tick HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
            f"Authorization: Bearer {served.tokens.view}\r\n\r\n"
        ).encode()

        def tick() -> socket.socket:
            open_ = socket.create_connection(("127.0.0.1", served.port), 30)
            open_.sendall(lines)
            return open_

        first, second = tick(), tick()
        for one in (first, second):
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        third = served.ask("GET", "/tick", token="view")
        assert (third.status, third.kind) == (429, "too_many")
        first.close()
        second.close()
        for _ in range(500):
            if not served.site.doors.streams._open:
                break
            served.ask("GET", "/nothing")
        again = tick()
        assert again.recv(4096).startswith(b"HTTP/1.1 200")
        again.close()


def open_socket(served: Served, path: str, token: str, **more: Any) -> Any:
    protocols = [Subprotocol("hocket"), Subprotocol(f"token.{served.token(token)}")]
    return connect(f"ws://127.0.0.1:{served.port}{path}", subprotocols=protocols, **more)


def test_sockets_are_bounded_and_refused_before_they_are_accepted(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(sockets=2)) as served:
        with open_socket(served, "/echo", "view") as first, open_socket(served, "/echo", "view"):
            assert first.subprotocol == "hocket"
            first.send("hi")
            assert first.recv() == "view hi"
            with pytest.raises(InvalidStatus) as told:
                open_socket(served, "/echo", "view")
            assert told.value.response.status_code == 429
        for _ in range(500):
            if not served.site.doors.sockets._open:
                break
            served.ask("GET", "/nothing")
        with open_socket(served, "/echo", "view"):
            pass


@pytest.mark.parametrize(
    ("path", "token", "origin", "status"),
    [
        ("/echo", "wrong", None, 401),
        ("/echo", "", None, 401),
        ("/echo", "view", "http://evil.example", 403),
        ("/echo", "view", "null", 403),
        ("/command", "view", None, 403),
        ("/nothing", "view", None, 404),
        ("/tick", "view", None, 404),
    ],
)
def test_sockets_say_why_not(
    tmp_path: Path, path: str, token: str, origin: Any, status: int
) -> None:
    with small(tmp_path, Quotas()) as served:
        with pytest.raises(InvalidStatus) as told:
            open_socket(served, path, token, origin=origin)
        assert told.value.response.status_code == status
        assert b'"error"' in told.value.response.body
        with pytest.raises(InvalidStatus) as told:
            connect(f"ws://127.0.0.1:{served.port}{path}")
        assert told.value.response.status_code == 401


def test_a_token_comes_beside_the_protocol_that_is_answered_with(tmp_path: Path) -> None:
    with small(tmp_path, Quotas()) as served:
        alone = [Subprotocol(f"token.{served.tokens.view}")]
        with pytest.raises(InvalidStatus) as told:
            connect(f"ws://127.0.0.1:{served.port}/echo", subprotocols=alone)
        assert told.value.response.status_code == 401


def test_a_socket_that_breaks_is_closed_and_gives_its_place_back(tmp_path: Path) -> None:
    with small(tmp_path, Quotas(sockets=1)) as served:
        for _ in range(3):
            with open_socket(served, "/break", "view") as one:
                with pytest.raises(ConnectionClosedError):
                    one.recv()
                assert one.close_code == 1011
            for _ in range(500):
                if not served.site.doors.sockets._open:
                    break
                served.ask("GET", "/nothing")


def test_a_body_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "state", settings=Settings(quotas=Quotas(body_seconds=0.05))) as served:
        head = (
            f"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
            f"Authorization: Bearer {served.tokens.operate}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
            connection.sendall(head.encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")
