"""What calls say is followed at any server of a PostgreSQL journal, whoever drives the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ROOMY
from tests.server.kit import Served, serving
from tests.server.pages import Page, live_of
from tests.server.test_agui import WHOLE, follow, joined

from hocket.cli.main import main
from hocket.server.settings import Settings

PLANS = """
version: 1
agents:
  slow: {scripted: {replies: [{output: WHOLE, after: 1200ms, stream: true}]}}
  loud: {command: [python3, -c, "print('x' * 300_000)"]}
plans:
  talk:
    steps:
      a: {agent: slow, prompt: hi}
      b: {agent: loud}
"""


@pytest.fixture
def servers(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Served, Served]]:
    """Two servers of one journal, each with a state folder of its own, as on two machines."""
    monkeypatch.setenv("HOCKET_JOURNAL", database)
    file = tmp_path / "plans.yaml"
    file.write_text(PLANS.replace("WHOLE", WHOLE))
    settings = Settings(quotas=ROOMY)
    with (
        serving(tmp_path / "one", [file], settings=settings, live=live_of) as one,
        serving(tmp_path / "two", [], settings=settings, live=live_of) as two,
    ):
        yield one, two


def test_a_log_is_followed_and_read_at_another_server(
    servers: tuple[Served, Served], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, elsewhere = servers
    here.post("/api/runs", {"file": "plans.yaml", "plan": "talk", "run_id": "r"})
    page = Page(elsewhere, "r", "a", "b")
    page.connect()
    halfway: list[str] = []

    def over() -> bool:
        if page.logs.get("a"):
            halfway.append(page.logs["a"])
        return bool(page.logs_over.get("a") and page.logs_over.get("b"))

    page.until(over)
    page.drop()
    assert page.logs["a"] == WHOLE and page.logs["b"] == f"{'x' * 300_000}\n"
    assert halfway[0] != WHOLE, "it came while the call was in flight"
    reply = elsewhere.ask("GET", "/api/runs/r/log?path=a&attempt=1")
    assert (reply.status, reply.body.decode()) == (200, WHOLE)
    part = elsewhere.ask(
        "GET", "/api/runs/r/log?path=b&attempt=1", headers={"Range": "bytes=65530-65540"}
    )
    assert (part.status, part.body) == (206, b"x" * 11)
    none = elsewhere.ask("GET", "/api/runs/r/log?path=a&attempt=2")
    assert (none.status, none.kind) == (404, "not_found")
    assert not (tmp_path / "one" / "logs").exists(), "no file is beside it"
    # And on the command line of a third machine.
    capsys.readouterr()
    assert main(["logs", "r", "a"]) == 0
    assert capsys.readouterr().out == f"== a#1\n{WHOLE}\n"


def test_a_stream_of_messages_loses_nothing_of_what_comes_in_batches(
    servers: tuple[Served, Served],
) -> None:
    here, elsewhere = servers
    here.post("/api/runs", {"file": "plans.yaml", "plan": "talk", "run_id": "s"})
    told: list[Any] = follow(elsewhere, "s")
    texts = joined(told)[0]
    assert texts["a#1"] == WHOLE
    assert sum(said["type"] == "TEXT_MESSAGE_CONTENT" for said in told) > 1
    middle = next(said["id"] for said in told if said["type"] == "TEXT_MESSAGE_CONTENT")
    place = next(n for n, said in enumerate(told) if said["id"] == middle)
    rest = follow(elsewhere, "s", middle)
    assert joined(told[: place + 1] + rest)[0]["a#1"] == WHOLE
