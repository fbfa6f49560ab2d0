"""The two tokens: where they are kept, and what each allows."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served

from hocket.core.errors import Refused
from hocket.server.app import ROUTES
from hocket.server.public import check, is_loopback
from hocket.server.settings import Settings
from hocket.server.tokens import Tokens, tokens_of

ACTS = {
    ("POST", "/api/runs"),
    ("POST", "/api/runs/{run}/pause"),
    ("POST", "/api/runs/{run}/resume"),
    ("POST", "/api/runs/{run}/cancel"),
    ("POST", "/api/runs/{run}/retry"),
    ("POST", "/api/runs/{run}/approve"),
    ("POST", "/api/runs/{run}/send"),
    ("POST", "/api/runs/{run}/fork"),
    ("POST", "/api/plan"),
    ("POST", "/api/plan/{run}/start"),
}
LOOKS_BY_POST = {
    ("POST", "/api/plans/check"),
    ("POST", "/api/plan/{run}/check"),
    ("POST", "/api/runs/{run}/simulate"),
}


def test_whatever_is_not_known_to_look_only_takes_the_token_that_acts() -> None:
    """A new route that changes something cannot be left to those who may only look."""
    roles = {(route.method, route.path): route.role for route in ROUTES}
    assert {one for one in ACTS if roles[one] != "operate"} == set()
    lax = {one for one, role in roles.items() if role == "view" and one[0] != "GET"}
    assert lax == LOOKS_BY_POST
    assert roles["GET", "/api/audit"] == "operate"


def test_the_audit_is_for_those_who_act(served: Served) -> None:
    assert served.ask("GET", "/api/audit", token="view").status == 403
    assert served.ask("GET", "/api/audit", token="operate").status == 200


def test_tokens_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    first = tokens_of(tmp_path)
    file = tmp_path / "server" / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert tokens_of(tmp_path) == first
    assert first.view != first.operate and min(map(len, (first.view, first.operate))) >= 43
    second = tokens_of(tmp_path, new=True)
    assert {second.view, second.operate}.isdisjoint({first.view, first.operate})
    assert tokens_of(tmp_path) == second
    assert [entry.name for entry in file.parent.iterdir()] == ["token"]


def test_servers_that_begin_at_once_agree(tmp_path: Path) -> None:
    found: list[Tokens] = []
    threads = [threading.Thread(target=lambda: found.append(tokens_of(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({(t.view, t.operate) for t in found}) == 1


def test_a_file_of_tokens_that_others_read_or_placed_is_refused(tmp_path: Path) -> None:
    tokens_of(tmp_path)
    file = tmp_path / "server" / "token"
    file.chmod(0o644)
    with pytest.raises(Refused, match="can be read by others: chmod 600"):
        tokens_of(tmp_path)
    file.unlink()
    (tmp_path / "elsewhere").write_bytes(b"{}")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        tokens_of(tmp_path)
    file.unlink()
    for text in (
        "",
        "{}",
        '{"view":"a","operate":"b"}',
        f'{{"view":"{"x" * 43}","operate":"{"x" * 43}"}}',
    ):
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(Refused, match="--new-tokens"):
            tokens_of(tmp_path)
    assert os.access(file, os.R_OK)


def test_what_a_token_allows() -> None:
    tokens = Tokens(view="v" * 43, operate="o" * 43)
    assert tokens.role_of("v" * 43) == "view"
    assert tokens.role_of("o" * 43) == "operate"
    for given in ("", "v", "v" * 44, "V" * 43, "é" * 43, "\udcff"):
        assert tokens.role_of(given) is None
    assert "v" * 43 not in repr(tokens)


TLS: Any = {"cert": Path("c"), "key": Path("k"), "public": True}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(host="0.0.0.0"), "add --public"),
        (Settings(host="192.0.2.7"), "add --public"),
        (Settings(host="hocket.example.org"), "add --public"),
        (Settings(host="::"), "add --public"),
        (Settings(host="0.0.0.0", public=True), "--public needs TLS"),
        (Settings(public=True), "--public needs TLS"),
        (Settings(public=True, names=("a.example",)), "--public needs TLS"),
        (Settings(public=True, behind_proxy=True), "--name NAME"),
        (Settings(behind_proxy=True), "--name NAME"),
        (Settings(proxies=("192.0.2.1",)), "add --behind-proxy"),
        (Settings(behind_proxy=True, names=("a.b",), proxies=("there",)), "is no address"),
        (Settings(cert=Path("c.pem")), "--cert needs --key"),
        (Settings(key=Path("k.pem")), "--key needs --cert"),
        (Settings(cert=Path("no.pem"), key=Path("no.pem")), "no.pem"),
        (Settings(names=("https://a.example",)), "is no name of a server"),
        (Settings(names=("*.example",)), "is no name of a server"),
        (Settings(names=("*",)), "is no name of a server"),
        (Settings(names=("a b",)), "is no name of a server"),
        (Settings(names=("",)), "is no name of a server"),
    ],
)
def test_what_others_may_reach_needs_tls_and_a_name(settings: Settings, said: str) -> None:
    with pytest.raises(Refused, match=said):
        check(settings)


def test_what_may_be_reached() -> None:
    check(Settings())
    check(Settings(host="::1"))
    check(Settings(names=("devbox", "devbox:8437", "[fd00::1]:80")))
    check(Settings(public=True, behind_proxy=True, names=("hocket.example.org",)))
    check(Settings(host="0.0.0.0", public=True, behind_proxy=True, names=("a.example",)))
    assert is_loopback("127.8.8.8") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("127.0.0.1.example.org")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "http://127.0.0.1:8437"),
        (Settings(host="::1"), "http://[::1]:8437"),
        (Settings(host="0.0.0.0", behind_proxy=True, names=("a.b",)), "https://a.b"),
        (Settings(behind_proxy=True, names=("a.b:8443", "c.d")), "https://a.b:8443"),
        (Settings(host="0.0.0.0", names=("a.b",), **TLS), "https://a.b:8437"),
        (Settings(host="0.0.0.0", names=("a.b:444",), **TLS), "https://a.b:444"),
        (Settings(host="::", names=("[fd00::1]",), **TLS), "https://[fd00::1]:8437"),
    ],
)
def test_the_address_that_is_told_is_one_that_is_answered(settings: Settings, url: str) -> None:
    assert settings.url == url
    assert url in settings.origins(proxied=settings.behind_proxy)


def test_a_key_with_a_passphrase_is_told_of(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "openssl req -x509 -newkey rsa:2048 -passout pass:word -subj /CN=x -days 1"
    where = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made.split(), *where], check=True, capture_output=True)
    with pytest.raises(Refused, match=r"has a passphrase.*openssl pkey"):
        check(Settings(cert=cert, key=key))


def test_the_names_that_are_answered() -> None:
    proxied = Settings(public=True, behind_proxy=True, names=("Hocket.example.org",))
    assert proxied.hosts(proxied=True) == {"hocket.example.org"}
    assert proxied.origins(proxied=True) == {"https://hocket.example.org"}
    assert proxied.hosts() == Settings().hosts() and proxied.origins() == Settings().origins()
    assert Settings().hosts(proxied=True) == frozenset()
    assert Settings().hosts() == {"127.0.0.1:8437", "localhost:8437", "[::1]:8437"}
    assert Settings().origins() == {f"http://{host}" for host in Settings().hosts()}
    assert Settings(host="::1").hosts() == Settings().hosts()
    own = Settings(host="192.0.2.7", port=443, cert=Path("c"), key=Path("k"), public=True)
    assert {"192.0.2.7", "192.0.2.7:443"} <= own.hosts()
    assert "https://192.0.2.7" in own.origins() and "http://192.0.2.7" not in own.origins()
    named = Settings(port=9000, names=("devbox", "other:80", "[fd00::1]"))
    loopback = {"127.0.0.1:9000", "localhost:9000", "[::1]:9000"}
    assert named.hosts() - loopback == {
        *("devbox", "devbox:9000", "other:80", "[fd00::1]", "[fd00::1]:9000"),
    }
