"""What is closed in a row: one that cannot be closed keeps none of the others open."""

from pathlib import Path

import pytest

from hocket.app.adapters import Links
from hocket.app.engine import Engine

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Part:
    """Notes that it was closed, and cannot be."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self._name = name
        self._closed = closed

    def shutdown(self) -> None:
        self._closed.append(self._name)
        raise RuntimeError(f"{self._name} is stuck")

    async def close(self) -> None:
        self.shutdown()

    settled = close


async def test_an_engine_closes_its_journal_at_the_end_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    parts = ("_ahead", "links", "_embedder", "_desks", "_spans", "journal")
    with pytest.raises(RuntimeError, match="is stuck"):
        async with Engine(tmp_path) as engine:
            engine.journal.close()
            for name in parts[:-1]:
                monkeypatch.setattr(engine, name, Part(name, closed))
            monkeypatch.setattr(engine.journal, "close", lambda: closed.append("journal"))
    assert closed == list(parts)


async def test_links_close_all_that_agents_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    links, parts = Links(), ("_away", "_clients", "_servers", "sessions")
    for name in parts:
        monkeypatch.setattr(links, name, Part(name, closed))
    with pytest.raises(RuntimeError, match="is stuck"):
        await links.close()
    assert closed == list(parts)
