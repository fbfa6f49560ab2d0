"""Every route and every socket refuses whoever has no business there."""

from __future__ import annotations

import base64
import json
import re
import socket

import pytest
from tests.server.kit import Reply, Served
from tests.server.places import Place, fields, requests, sockets

from hocket.server.app import MOUNTS, ROUTES, SOCKETS, Router
from hocket.server.gate import POLICY
from hocket.server.health import PROBES
from hocket.server.public import check
from hocket.server.routing import Mount, Route
from hocket.server.settings import Settings

REQUESTS = requests()
PLACES = [*REQUESTS, *sockets()]


def enter(
    served: Served, place: Place, *, token: str | None = "operate", **headers: str | None
) -> Reply:
    """Come to a place as its own client would, but for what is given."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if place in REQUESTS:
        body = None
        if isinstance(place.what, Route) and place.what.body is not None:
            body = fields(place.what.body)
        return served.ask(place.method, place.path, body, token=token, headers=named)
    protocols = ["hocket"] if token is None else ["hocket", f"token.{served.token(token)}"]
    given = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
        "Sec-WebSocket-Protocol": ", ".join(protocols),
        **named,
    }
    return served.ask("GET", place.path, token=None, headers=given)


def test_all_that_is_served_is_in_the_tables(served: Served) -> None:
    """What the tests below go through is what there is."""
    router = served.do(_router(served))
    assert [route for _, route in router._table] == list(ROUTES)
    assert list(router._sockets.values()) == list(SOCKETS)
    assert [mount for mount, _ in router._mounts] == list(MOUNTS)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES) > 15


def _router(served: Served):
    async def find() -> Router:
        from hocket.server.app import make_app

        router = make_app(served.site)._app
        assert isinstance(router, Router)
        return router

    return find


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize(
    ("token", "headers", "status", "kind"),
    [
        (None, {}, 401, "unauthorized"),
        ("x" * 43, {}, 401, "unauthorized"),
        ("", {}, 401, "unauthorized"),
        ("operate", {"Host": "evil.example"}, 421, "forbidden"),
        ("operate", {"Host": "127.0.0.1"}, 421, "forbidden"),
        ("operate", {"Host": "127.0.0.1.evil.example"}, 421, "forbidden"),
        ("operate", {"Origin": "http://evil.example"}, 403, "forbidden"),
        ("operate", {"Origin": "null"}, 403, "forbidden"),
        ("operate", {"Origin": "http://127.0.0.1:1"}, 403, "forbidden"),
        ("operate", {"Sec_Fetch_Site": "cross-site"}, 403, "forbidden"),
        ("operate", {"Sec_Fetch_Site": "same-site"}, 403, "forbidden"),
    ],
)
def test_nobody_comes_in_who_may_not(
    served: Served,
    place: Place,
    token: str | None,
    headers: dict[str, str],
    status: int,
    kind: str,
) -> None:
    reply = enter(served, place, token=token, **headers)
    assert (reply.status, reply.kind) == (status, kind)
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("place", [p for p in PLACES if p.role == "operate"], ids=str)
def test_who_may_look_may_not_act(served: Served, place: Place) -> None:
    reply = enter(served, place, token="view")
    assert (reply.status, reply.kind) == (403, "forbidden")


@pytest.mark.parametrize("place", REQUESTS, ids=str)
def test_whoever_may_come_in_is_answered(served: Served, place: Place) -> None:
    """The refusals above are not what everybody gets."""
    if isinstance(place.what, Mount):
        return
    reply = enter(served, place, Origin=served.url, Sec_Fetch_Site="same-origin")
    assert reply.status not in {401, 403, 405, 421, 500}, reply.body
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "X-Y"])
def test_other_methods_are_told_which_there_are(served: Served, method: str) -> None:
    for route in ROUTES:
        known = {r.method for r in ROUTES if r.path == route.path}
        reply = served.ask(method, route.path.replace("{run}", "r"))
        if method not in known:
            assert reply.status == 405, (method, route.path)
            assert set(reply.headers["allow"].split(", ")) == known


@pytest.mark.parametrize("place", [p for p in REQUESTS if p.most and p.method == "POST"], ids=str)
def test_bodies_are_bounded(served: Served, place: Place) -> None:
    large = b'{"x":"' + b"x" * place.most + b'"}'
    told = served.ask(place.method, place.path, raw=large)
    assert (told.status, told.kind) == (413, "too_large")
    # What does not say how long it is, is counted as it comes.
    if isinstance(place.what, Route):
        assert chunked(served, place, large).startswith(b"HTTP/1.1 413")


def chunked(served: Served, place: Place, data: bytes) -> bytes:
    head = (
        f"{place.method} {place.path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {served.tokens.operate}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
        try:
            connection.sendall(head.encode())
            for start in range(0, len(data), 1 << 16):
                piece = data[start : start + (1 << 16)]
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # It was refused before all had been sent.
            pass
        return connection.recv(4096)


WRITTEN = [p for p in REQUESTS if isinstance(p.what, Route) and p.what.body is not None]


@pytest.mark.parametrize("place", WRITTEN, ids=str)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"\xff": 1}',
        b"[" * 200_000,
        b'{"value": ' + b"[" * 200_000,
        b'{"inputs": {"x": ' + b'{"x":' * 100_000,
        b"NaN",
        b"\x00",
        b'{"nobody_knows_this": 1}',
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_bodies_that_are_no_json_or_say_what_nobody_knows(
    served: Served, place: Place, raw: bytes
) -> None:
    reply = served.ask(place.method, place.path, raw=raw[: place.most])
    assert (reply.status, reply.kind) == (400, "bad_input"), reply.body


@pytest.mark.parametrize("place", WRITTEN, ids=str)
def test_unknown_fields_are_refused(served: Served, place: Place) -> None:
    assert isinstance(place.what, Route)
    body = {**fields(place.what.body), "nobody_knows_this": 1}
    reply = served.ask(place.method, place.path, body)
    assert (reply.status, reply.kind) == (400, "bad_input")
    assert "nobody_knows_this" in reply.json()["error"]["message"] or len(body) > 1


@pytest.mark.parametrize("place", WRITTEN, ids=str)
@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_only_json_is_read(served: Served, place: Place, media: str | None) -> None:
    reply = served.ask(place.method, place.path, {}, headers={"Content-Type": media})
    assert reply.status == 415


READ = [p for p in REQUESTS if isinstance(p.what, Route)]


@pytest.mark.parametrize("place", READ, ids=str)
@pytest.mark.parametrize("query", ["nobody_knows_this=1", "=", "a", "%ff=1", "x=%ff", "&&"])
def test_queries_that_nobody_knows(served: Served, place: Place, query: str) -> None:
    assert isinstance(place.what, Route)
    body = None if place.what.body is None else fields(place.what.body)
    reply = served.ask(place.method, f"{place.path}?{query}", body)
    assert (reply.status, reply.kind) == (400, "bad_input"), reply.body


@pytest.mark.parametrize("place", [p for p in READ if p not in WRITTEN], ids=str)
def test_what_takes_no_body_refuses_one(served: Served, place: Place) -> None:
    assert served.ask(place.method, place.path, {}).status == 400


def test_unknown_places_are_unknown_only_to_those_who_may_come_in(served: Served) -> None:
    for path in ("/nothing", "/api/nothing", "/api/runs/a/b/c", "/api/runs/", "/api//runs"):
        assert served.ask("GET", path, token=None).status == 401
        assert served.ask("GET", path, token="view").status == 404


def test_one_header_of_each_kind(served: Served) -> None:
    """Two that differ could be read one way here and another way before."""
    twice = (
        f"Host: 127.0.0.1:{served.port}\r\nHost: 127.0.0.1:{served.port}\r\n",
        f"Host: 127.0.0.1:{served.port}\r\nOrigin: {served.url}\r\nOrigin: http://evil\r\n",
        f"Host: 127.0.0.1:{served.port}\r\nAuthorization: Bearer x\r\n",
    )
    for lines in twice:
        head = (
            f"GET /api/about HTTP/1.1\r\nAuthorization: Bearer {served.tokens.view}\r\n{lines}\r\n"
        )
        with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
            connection.sendall(head.encode())
            first = connection.recv(4096).split(b"\r\n")[0]
        assert first.split()[1] in {b"400", b"401", b"403", b"421"}, lines


def test_a_token_in_an_address_is_no_token(served: Served) -> None:
    reply = served.ask("GET", f"/api/about?token={served.tokens.view}", token=None)
    assert reply.status == 401
    assert served.ask("GET", "/api/about", token=served.tokens.view + "x").status == 401
    assert served.ask("GET", "/api/about", token=served.tokens.view[:-1]).status == 401


@pytest.mark.parametrize(
    ("scheme", "status"), [("Bearer", 200), ("bearer", 200), ("Basic", 401), ("", 401)]
)
def test_only_bearers(served: Served, scheme: str, status: int) -> None:
    given = f"{scheme} {served.tokens.view}".strip()
    reply = served.ask("GET", "/api/about", token=None, headers={"Authorization": given})
    assert reply.status == status


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_the_names_of_this_machine(served: Served, host: str) -> None:
    assert served.get("/api/about", headers={"Host": f"{host}:{served.port}"})["role"] == "operate"


def test_large_heads_and_long_addresses_are_refused(served: Served) -> None:
    assert served.ask("GET", "/" + "a" * 3000).status == 414
    assert served.ask("GET", "/api/runs?q=" + "a" * 9000).status == 414
    assert served.ask("GET", "/api/about", headers={"X": "a" * 60_000}).status == 200
    try:
        assert served.ask("GET", "/api/about", headers={"X": "a" * 500_000}).status == 400
    except ConnectionError:
        # It was cut off while it still spoke.
        pass


def test_what_is_done_has_a_name_that_draws_nothing(served: Served) -> None:
    def by(name: str, **more: str) -> str:
        given = {"Hocket-By": name, **more}
        return str(served.get("/api/about", headers=given)["by"])

    assert by("anna") == "api:anna"
    assert by("anna", **{"Sec-Fetch-Site": "same-origin"}) == "page:anna"
    # Without a name it says at least what is known: who has answered first is asked later.
    assert by("") == "api (operate, 127.0.0.1)"
    assert by("", **{"Sec-Fetch-Site": "same-origin"}) == "page (operate, 127.0.0.1)"
    assert by("a\tb\x1b[31mc") == "api:ab[31mc"
    assert by("x" * 100) == "api:" + "x" * 40
    assert by("Zoë".encode().decode("latin-1")) == "api:Zoë"


def test_every_route_is_in_the_document(served: Served) -> None:
    found = served.get("/openapi.json", token="view")
    told = {(m.upper(), path) for path, item in found["paths"].items() for m in item}
    probes = {("GET", probe.path) for probe in PROBES}
    assert told == {(route.method, route.path) for route in ROUTES} | probes


def test_only_how_it_is_may_be_asked_without_a_token_and_under_any_name(served: Served) -> None:
    assert {probe.path for probe in PROBES} == {"/health", "/ready"}
    for probe in PROBES:
        for headers in ({}, {"Host": "10.0.0.7:1"}, {"Origin": "http://evil.example"}):
            reply = served.ask("GET", probe.path, token=None, headers=headers)
            assert reply.status == 200
            # What it says is all that may be known without a token.
            kind = {"/health": {"alive", "lag_ms"}, "/ready": {"ready", "missing"}}[probe.path]
            assert set(reply.json()) == kind
            assert reply.headers["content-security-policy"] == POLICY
            assert reply.headers["cache-control"] == "no-store"
            assert "set-cookie" not in reply.headers
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "X-Y"):
            reply = served.ask(method, probe.path)
            assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert served.ask("HEAD", probe.path, token=None).body == b""
        for path in (probe.path + "/", probe.path.upper(), probe.path + "/x"):
            assert served.ask("GET", path, token=None).status == 401


def test_the_page_has_no_way_out(served: Served) -> None:
    """Nothing inline, nothing from elsewhere, and no other site can frame or read it."""
    reply = served.ask("GET", "/", token=None)
    assert reply.status == 200
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


def test_the_pages_files_need_no_token_but_the_right_name(served: Served) -> None:
    index = served.ask("GET", "/", token=None).body.decode()
    paths = re.findall(r'(?:src|href)="(/[^"]+)"', index)
    assert len(paths) > 1
    for path in ("/", *paths):
        assert served.ask("GET", path, token=None).status == 200
        assert served.ask("HEAD", path, token=None).body == b""
        assert served.ask("GET", path, token=None, headers={"Host": "evil.example"}).status == 421
        assert served.ask("POST", path, token=None).status == 401
        cross = {"Sec-Fetch-Site": "cross-site"}
        assert served.ask("GET", path, token=None, headers=cross).status == 403
    assert served.ask("GET", "/assets/index-gone.js", token=None).status == 404


@pytest.mark.parametrize(
    ("path", "mode", "dest", "status"),
    [
        ("/", "navigate", "document", 200),
        ("/", "navigate", "iframe", 403),
        ("/", "no-cors", "document", 403),
        ("/", "cors", "empty", 403),
        ("/favicon.svg", "navigate", "document", 403),
        ("/api/about", "navigate", "document", 403),
    ],
)
def test_a_link_elsewhere_opens_the_page_and_nothing_else(
    served: Served, path: str, mode: str, dest: str, status: int
) -> None:
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert served.ask("GET", path, headers=sent).status == status
    assert served.ask("GET", path, headers={**sent, "Origin": "null"}).status == 403
    assert served.ask("GET", path, headers={**sent, "Host": "evil.example"}).status == 421


def test_what_this_test_serves_could_be_started() -> None:
    check(Settings())
    assert json.dumps(sorted(Settings(port=80).hosts())).count(":80") == 3
