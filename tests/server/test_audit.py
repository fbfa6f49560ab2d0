"""Who did what is kept, bounded, and without a secret in it; secrets come out nowhere."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import PLANS, Served, serving
from tests.server.places import requests

from hocket.server.app import Router
from hocket.server.audit import Audit, Entry
from hocket.server.gate import Gate
from hocket.server.routing import Asked, Route
from hocket.server.settings import Settings
from hocket.server.site import Site

CANARY = "canary-4f2a9c-do-not-tell"
SECRETS = {
    "ANTHROPIC_API_KEY": f"sk-ant-{CANARY}",
    "OPENAI_API_KEY": f"sk-{CANARY}",
    "MY_TOKEN": f"tok-{CANARY}",
    "DB_PASSWORD": f"pw-{CANARY}",
}


def audit(folder: Path, most: int = 1 << 20, clock: float = 0.0) -> Audit:
    return Audit(folder, most, lambda: 1.5, lambda: clock)


def line(**more: object) -> Entry:
    return Entry(seq=0, at=0.0, **more)  # type: ignore[arg-type]


def test_lines_are_numbered_for_their_owner_alone(tmp_path: Path) -> None:
    one, other = audit(tmp_path), audit(tmp_path)
    for number in range(5):
        (one if number % 2 else other).add(line(path=f"/{number}"))
    assert [(e.seq, e.path, e.at) for e in one.read(2, 2)] == [(3, "/2", 1500.0), (4, "/3", 1500.0)]
    assert one.read(5, 10) == []
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_files_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    kept = audit(tmp_path, most=1000)
    for number in range(300):
        kept.add(line(path=f"/{number}"))
    names = {path.name for path in tmp_path.glob("audit*.jsonl")}
    assert names == {"audit.jsonl", *(f"audit.{n}.jsonl" for n in range(1, 5))}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 7_000
    entries = kept.read(0, 1000)
    assert [e.seq for e in entries] == list(range(entries[0].seq, 301))
    assert entries[0].seq > 1


def test_a_line_that_a_crash_has_cut_hurts_nobody(tmp_path: Path) -> None:
    kept = audit(tmp_path)
    kept.add(line(path="/a"))
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b'{"seq":2,"at":1.0,"pa\n')
    kept.add(line(path="/b"))
    assert [e.path for e in kept.read(0, 10)] == ["/a", "/b"]


def test_a_flood_of_refusals_is_counted_and_not_written(tmp_path: Path) -> None:
    kept = audit(tmp_path)
    for _ in range(1000):
        kept.refused(line(reason="token", address="10.0.0.1:5"))
    assert len(kept.read(0, 2000)) == 50
    kept.refused(line(reason="token", address="10.0.0.2:5"))
    assert kept.read(50, 10)[0].unwritten == 950


def test_a_disk_that_is_full_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    audit(tmp_path).add(line(path="/a"))
    assert "the audit cannot be written" in caplog.text


async def _break(site: Site, asked: Asked) -> None:
    raise RuntimeError(f"it holds {SECRETS['OPENAI_API_KEY']} and {site.tokens.operate}")


BROKEN = Route(method="POST", path="/break", role="operate", handler=_break, about="Breaks.")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "plans.yaml").write_text(PLANS)

    def app(site: Site) -> Gate:
        from hocket.server import app as real

        return Gate(Router(site, [*real.ROUTES, BROKEN], (), ()), site, None)

    settings = Settings(quotas=ROOMY)
    with serving(
        tmp_path / "state", [tmp_path / "plans.yaml"], settings=settings, app=app
    ) as served:
        yield served


def test_no_secret_comes_out_anywhere(
    watched: Served, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[bytes] = []
    tokens = watched.tokens
    watched.post("/api/runs", {"plan": "say", "run_id": "r"})
    watched.until("r", "succeeded")
    for place in requests():
        for path in (place.path, place.path.replace("nothing-here", "r")):
            for body in (None, {"plan": "say", "task": "x", "step": "a"}):
                for token in ("operate", "view", None):
                    if place.path.endswith("/agui"):
                        continue
                    reply = watched.ask(place.method, path, body, token=token)
                    answers.append(reply.body + json.dumps(reply.headers).encode())
    reply = watched.ask("POST", "/break")
    assert (reply.status, reply.kind) == (500, "bug")
    name = reply.json()["error"]["message"].partition("(")[2][:8]
    answers.append(reply.body)
    # What broke is in the log, under the name that the client was told, and without the secrets.
    assert name in caplog.text and "RuntimeError" in caplog.text
    kept = b"".join(
        path.read_bytes()
        for path in (tmp_path / "state").rglob("*")
        if path.is_file() and path.name != "token"
    )
    everything = b"".join(answers) + caplog.text.encode() + kept
    for secret in (CANARY, tokens.view, tokens.operate):
        assert secret.encode() not in everything
    told = watched.get("/api/audit?limit=1000")["entries"]
    assert {
        key: value
        for key, value in told[-1].items()
        if key in {"by", "role", "method", "path", "status"}
    } == {
        "by": "api (operate, 127.0.0.1)",
        "role": "operate",
        "method": "POST",
        "path": "/break",
        "status": 500,
    }


def test_who_did_what_and_who_was_turned_away(watched: Served) -> None:
    named = {"Hocket-By": "anna", "Sec-Fetch-Site": "same-origin"}
    watched.post("/api/runs", {"plan": "say", "run_id": "by-anna"}, headers=named)
    watched.ask("POST", "/api/runs", {"plan": "nope"})
    watched.ask("POST", "/api/runs", {"plan": "say"}, token="view")
    watched.ask("GET", "/api/runs?q=private", token=None)
    watched.ask("GET", "/api/runs", headers={"Host": "evil.example"})
    watched.ask("GET", "/api/runs", headers={"Origin": "http://evil.example"})
    watched.get("/api/runs")
    told = watched.get("/api/audit?limit=1000")["entries"]
    found = [
        (e.get("by", ""), e["method"], e["path"], e["status"], e.get("reason", "")) for e in told
    ]
    assert found == [
        ("page:anna", "POST", "/api/runs", 201, ""),
        ("api (operate, 127.0.0.1)", "POST", "/api/runs", 404, "not_found"),
        ("api (view, 127.0.0.1)", "POST", "/api/runs", 403, "role"),
        ("", "GET", "/api/runs", 401, "token"),
        ("", "GET", "/api/runs", 421, "host"),
        ("", "GET", "/api/runs", 403, "origin"),
    ]
    assert all(e["address"].startswith("127.0.0.1:") for e in told)
    later = watched.get(f"/api/audit?after={told[3]['seq']}&limit=1")
    assert [e["seq"] for e in later["entries"]] == [5] and later["next"] == 5
