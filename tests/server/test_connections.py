"""Who opens connections and asks nothing takes no place from those who do."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served, serving
from tests.server.test_quotas import open_socket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from hocket.server.app import Router, make_app
from hocket.server.connections import Connection, Socket, protocols
from hocket.server.gate import Gate
from hocket.server.routing import Asked, Route, Stream
from hocket.server.settings import Quotas, Settings
from hocket.server.site import Site

SEEN: list[str] = []
"""What became of requests that wait."""


async def _wait(site: Site, asked: Asked) -> dict[str, Any]:
    SEEN.append("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        SEEN.append("ended")
        raise
    return {}


async def _act(site: Site, asked: Asked) -> dict[str, Any]:
    SEEN.append("began")
    # Long enough for the server to hear that its client has gone.
    for _ in range(200):
        await asyncio.sleep(0.001)
    SEEN.append("done")
    return {}


async def _tick(site: Site, asked: Asked) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: here\n\n"
        await asyncio.Event().wait()

    return Stream(chunks=chunks())


ROUTES = [
    Route(method="GET", path="/wait", role="view", handler=_wait, about="Waits."),
    Route(method="GET", path="/sum", role="view", handler=_wait, about="Sums.", computes=True),
    Route(method="GET", path="/tick", role="view", handler=_tick, about="Ticks."),
    Route(method="POST", path="/act", role="operate", handler=_act, about="Acts."),
]


@contextmanager
def bounded(
    tmp_path: Path,
    quotas: Quotas | None = None,
    app: Callable[[Site], Any] | None = None,
    **most: Any,
) -> Iterator[Served]:
    """Serve with other bounds of connections."""
    SEEN.clear()
    bounds = type("Bounds", (Connection,), most)

    def routed(site: Site) -> Gate:
        return Gate(Router(site, ROUTES, (), ()), site, None)

    with serving(
        tmp_path / "state",
        settings=Settings(quotas=quotas or Quotas()),
        app=app or routed,
        protocols=lambda: {"http": bounds, "ws": Socket},
    ) as served:
        yield served


def opened(served: Served, said: str = "") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", served.port), 20)
    one.sendall(said.encode())
    return one


def is_over(one: socket.socket) -> bool:
    """Whether a connection comes to its end; a test's time-out says that it does not."""
    try:
        while one.recv(4096):
            pass
    except ConnectionResetError:
        # What we had sent was not read any more.
        pass
    return True


def head(served: Served, path: str, method: str = "GET", token: str = "view") -> str:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {served.token(token)}\r\n\r\n"
    )


def until(served: Served, done: Callable[[], bool]) -> None:
    for _ in range(2000):
        if done():
            return
        served.ask("GET", "/nothing")
    raise AssertionError("it never was")


ROOMY = Quotas(rate=1e6, burst=10**6, refusals=1e6, refusals_burst=10**6)


@pytest.mark.parametrize("said", ["", "GET /api/about HTTP/1.1\r\nHost: 127"])
def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path, said: str) -> None:
    with bounded(tmp_path, head_seconds=0.05) as served, opened(served, said) as one:
        assert is_over(one)


def test_a_head_that_comes_bit_by_bit_has_no_more_time(tmp_path: Path) -> None:
    with bounded(tmp_path, ROOMY, head_seconds=0.2) as served, opened(served) as one:
        # What it sends every now and then keeps it no longer: it ends while there is more to say.
        with pytest.raises(OSError):
            for letter in "GET /wait HTTP/1.1\r\nX: " + "x" * 5000:
                one.sendall(letter.encode())
                served.ask("GET", "/nothing")
        # An answer has as long as it takes.
        with opened(served, head(served, "/wait")) as other:
            other.settimeout(0.4)
            with pytest.raises(TimeoutError):
                other.recv(10)


def test_the_next_head_on_a_connection_has_to_come_soon_once_it_has_begun(tmp_path: Path) -> None:
    with bounded(tmp_path, head_seconds=0.05) as served, ExitStack() as stack:
        one = stack.enter_context(opened(served, head(served, "/nothing")))
        assert one.recv(4096).startswith(b"HTTP/1.1 404")
        one.sendall(b"GET /no")
        assert is_over(one)


def test_silent_connections_keep_nobody_out(tmp_path: Path) -> None:
    with bounded(tmp_path, ROOMY, most_each=20, most=60) as served, ExitStack() as stack:
        known = stack.enter_context(opened(served, head(served, "/wait")))
        until(served, lambda: SEEN == ["began"])
        silent = [stack.enter_context(opened(served, "GET /")) for _ in range(200)]
        assert served.ask("GET", "/nothing").status == 404
        server_side = served.do(_count(served))
        assert server_side <= 25
        # The oldest went, and the one that is answered did not.
        assert is_over(silent[0])
        silent[-1].settimeout(0.05)
        known.settimeout(0.05)
        for one in (silent[-1], known):
            with pytest.raises(TimeoutError):
                one.recv(10)
        guesses = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(100):
            stack.enter_context(opened(served, guesses))
        assert served.ask("GET", "/nothing").status == 404


def test_where_each_address_has_one_the_oldest_goes(tmp_path: Path) -> None:
    bounds = {"head_seconds": 60.0, "most_loose": 1, "_host": property(id)}
    with bounded(tmp_path, ROOMY, **bounds) as served, ExitStack() as stack:
        silent = [stack.enter_context(opened(served, "GET /")) for _ in range(30)]
        assert all(is_over(one) for one in silent[:-1])
        silent[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            silent[-1].recv(10)


def _count(served: Served) -> Callable[[], Any]:
    async def count() -> int:
        import gc

        return sum(
            not one.transport.is_closing()
            for one in gc.get_objects()
            if isinstance(one, Connection) and one.transport is not None
        )

    return count


def test_who_has_not_even_begun_tls_keeps_nobody_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -days 1"
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    where = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made.split(), *alternative, *where], check=True, capture_output=True)
    settings = Settings(public=True, cert=cert, key=key)
    encrypted = protocols(settings)["http"]
    # Long enough for a handshake on a busy machine: who is silent is let go of for another one.
    bounds = type("Bounds", (encrypted,), {"most_each": 20, "most": 60, "head_seconds": 5.0})
    with (
        serving(
            tmp_path / "state", settings=settings, protocols=lambda: {"http": bounds, "ws": Socket}
        ) as served,
        ExitStack() as stack,
    ):
        known = ssl.create_default_context(cafile=cert)
        beginnings = ("", "\x16\x03\x01", "GET / HTTP/1.1\r\n")
        silent = [stack.enter_context(opened(served, beginnings[n % 3])) for n in range(150)]
        link = http.client.HTTPSConnection("127.0.0.1", served.port, timeout=20, context=known)
        stack.callback(link.close)
        for _ in range(2):
            link.request("GET", "/openapi.json", headers=_bearer(served))
            assert json.loads(link.getresponse().read())["openapi"]
        protocol = [Subprotocol("hocket"), Subprotocol(f"token.{served.tokens.view}")]
        address = f"wss://127.0.0.1:{served.port}/api/live"
        with connect(address, subprotocols=protocol, ssl=known) as one:
            one.send('{"ping": 1}')
            assert json.loads(one.recv(20)) == {"pong": 1}
        assert all(is_over(one) for one in silent)
    # All of them are over for the server, too, so that it has not waited for any at its end.
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text


def _bearer(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.tokens.view}"}


def test_when_it_is_full_it_says_so_in_json(tmp_path: Path) -> None:
    with bounded(tmp_path, ROOMY, most=2) as served, ExitStack() as stack:
        for _ in range(2):
            one = stack.enter_context(opened(served, head(served, "/wait")))
        until_full = threading.Event()
        while len(SEEN) < 2:
            until_full.wait(0.01)
        reply = served.ask("GET", "/nothing")
        assert (reply.status, reply.kind) == (503, "unavailable")
        one.close()
        for _ in range(500):
            if served.ask("GET", "/nothing").status == 404:
                break
        else:
            raise AssertionError("its place never came back")


def test_what_is_no_http_is_refused_in_json(tmp_path: Path) -> None:
    with bounded(tmp_path) as served, opened(served, "nonsense\r\n\r\n") as one:
        said = b""
        while more := one.recv(4096):
            said += more
        assert said.startswith(b"HTTP/1.1 400")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["kind"] == "bad_input"


def test_who_goes_is_not_worked_for(tmp_path: Path) -> None:
    with bounded(tmp_path, ROOMY) as served:
        one = opened(served, head(served, "/wait"))
        until(served, lambda: SEEN == ["began"])
        one.close()
        until(served, lambda: SEEN == ["began", "ended"])
        until(served, lambda: not served.site.doors.under_way._open)


def test_what_changes_something_is_done_though_its_client_has_gone(tmp_path: Path) -> None:
    with bounded(tmp_path, ROOMY) as served:
        one = opened(served, head(served, "/act", "POST", "operate"))
        until(served, lambda: SEEN == ["began"])
        one.close()
        until(served, lambda: SEEN[1:] == ["done"])


def test_one_client_has_only_so_much_under_way(tmp_path: Path) -> None:
    quotas = Quotas(rate=1e6, burst=10**6, under_way=3, computing=2)
    with bounded(tmp_path, quotas) as served, ExitStack() as stack:
        for number in range(2):
            stack.enter_context(opened(served, head(served, "/sum")))
            until(served, lambda so_far=number + 1: len(SEEN) == so_far)
        reply = served.ask("GET", "/sum", token="view")
        assert (reply.status, reply.kind) == (429, "too_many")
        stack.enter_context(opened(served, head(served, "/wait")))
        until(served, lambda: len(SEEN) == 3)
        assert served.ask("GET", "/wait", token="view").status == 429
        assert served.ask("POST", "/act").status == 200


def test_who_looks_computes_no_more_often_than_others_act(tmp_path: Path) -> None:
    with bounded(tmp_path, Quotas(acting=0.01, acting_burst=1)) as served:
        with opened(served, head(served, "/sum")):
            until(served, lambda: SEEN == ["began"])
        assert served.ask("GET", "/sum", token="view").status == 429
        # Those who act have lost nothing by it.
        assert served.ask("POST", "/act").status == 200


def test_who_waits_for_events_has_a_stream(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(ASKS)
    settings = Settings(quotas=Quotas(rate=1e6, burst=10**6, streams=1))
    with serving(tmp_path / "state", [tmp_path / "plans.yaml"], settings=settings) as served:
        served.post("/api/runs", {"plan": "ask", "run_id": "r"})
        seq = served.get("/api/runs/r/events?after=1&wait=20")["next"]
        path = f"/api/runs/r/events?after={seq}&wait=50"
        with opened(served, head(served, path)):
            until(served, lambda: bool(served.site.doors.streams._open))
            reply = served.ask("GET", path, token="view")
            assert (reply.status, reply.kind) == (429, "too_many")
        until(served, lambda: not served.site.doors.streams._open)


ASKS = "version: 1\nplans: {ask: {steps: {word: {input: say a word}}}}\n"


def test_a_server_ends_though_requests_are_under_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        with bounded(tmp_path, ROOMY) as served:
            waits = stack.enter_context(opened(served, head(served, "/wait")))
            ticks = stack.enter_context(opened(served, head(served, "/tick")))
            acts = stack.enter_context(opened(served, head(served, "/act", "POST", "operate")))
            assert ticks.recv(4096).startswith(b"HTTP/1.1 200")
            until(served, lambda: sorted(SEEN)[:2] == ["began", "began"])
        assert waits.recv(4096).startswith(b"HTTP/1.1 503")
        said = b""
        while more := ticks.recv(4096):
            said += more
        assert said.endswith(b"0\r\n\r\n")
        # What is being done has a moment to be done.
        assert acts.recv(4096).startswith(b"HTTP/1.1 200")
    assert SEEN.count("done") == 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text


def test_a_refused_socket_is_no_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with bounded(tmp_path, ROOMY) as served:
        for token in ("", "wrong", "view"):
            with pytest.raises(InvalidStatus):
                open_socket(served, "/nothing", token)
        lines = (
            "GET /api/live HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        with opened(served, lines) as one:
            assert one.recv(4096).startswith(b"HTTP/1.1 421")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING], caplog.text


# ---- behind a proxy ----


@contextmanager
def proxied(tmp_path: Path, *proxies: str) -> Iterator[Served]:
    settings = Settings(
        public=True,
        behind_proxy=True,
        names=("a.b",),
        quotas=Quotas(refusals=0.001, refusals_burst=3),
    )
    if proxies:
        settings = Settings(**{**_fields(settings), "proxies": proxies})
    with serving(tmp_path / "state", settings=settings) as served:
        yield served


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


MARKED = {"Host": "a.b", "X-Forwarded-Proto": "https"}


def test_only_what_the_proxy_marks_comes_in_under_its_name(tmp_path: Path) -> None:
    with proxied(tmp_path) as served:
        assert served.ask("GET", "/api/about", headers=MARKED).status == 200
        assert served.ask("GET", "/api/about", headers={"Host": "a.b"}).status == 421
        plain = {**MARKED, "X-Forwarded-Proto": "http"}
        assert served.ask("GET", "/api/about", headers=plain).status == 421
        # On the machine itself it is called as ever.
        assert served.ask("GET", "/api/about").status == 200
        origin = {**MARKED, "Origin": "https://a.b"}
        assert served.ask("GET", "/api/about", headers=origin).status == 200
        origin["Origin"] = served.url
        assert served.ask("GET", "/api/about", headers=origin).status == 403
    with proxied(tmp_path, "192.0.2.1") as served:
        assert served.ask("GET", "/api/about", headers=MARKED).status == 421


def test_nobody_comes_past_the_proxy_from_another_machine(tmp_path: Path) -> None:
    with proxied(tmp_path) as served:
        assert told(served, "127.0.0.1", f"127.0.0.1:{served.port}") == 200
        assert told(served, "::ffff:127.0.0.1", f"127.0.0.1:{served.port}") == 200
        for host in (f"127.0.0.1:{served.port}", "a.b"):
            assert told(served, "192.0.2.9", host) == 421


def told(served: Served, peer: str, host: str) -> int:
    """Ask as if from another address; gives the status."""
    found: list[int] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def ask() -> None:
        named = [("host", host), ("authorization", f"Bearer {served.tokens.view}")]
        if host == "a.b":
            named.append(("x-forwarded-proto", "https"))
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/about",
            "raw_path": b"/api/about",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in named],
            "client": (peer, 5),
        }
        await make_app(served.site)(scope, receive, send)

    served.do(ask)
    return found[0]


def test_what_a_client_says_of_its_address_counts_only_from_the_proxy(tmp_path: Path) -> None:
    def ask(served: Served, host: dict[str, str], forwarded: str) -> int:
        headers = {**host, "X-Forwarded-For": forwarded}
        return served.ask("GET", "/api/about", token="wrong", headers=headers).status

    def addresses(served: Served) -> list[str]:
        entries = served.get("/api/audit?limit=100")["entries"]
        return [entry["address"].rpartition(":")[0] for entry in entries]

    with proxied(tmp_path) as served:
        # The proxy adds the last one; what stands before it its client has made up.
        made_up = [ask(served, MARKED, f"198.51.100.{n}, 203.0.113.7") for n in range(5)]
        assert made_up == [401, 401, 401, 429, 429]
        assert ask(served, MARKED, "203.0.113.8") == 401
        assert ask(served, MARKED, "203.0.113.9:4711, 127.0.0.1") == 401
        assert ask(served, MARKED, "[2001:db8::1]:80") == 401
        assert addresses(served) == [*["203.0.113.7"] * 5, *FAR]
    (tmp_path / "other").mkdir()
    with proxied(tmp_path / "other", "192.0.2.1") as served:
        made_up = [ask(served, {}, f"198.51.100.{n}") for n in range(5)]
        assert made_up == [401, 401, 401, 429, 429]
        assert set(addresses(served)) == {"127.0.0.1"}


FAR = ["203.0.113.8", "203.0.113.9", "2001:db8::1"]
