"""Every journal that a released version has left behind is read as that version meant it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.histories.make import RUNS, events_of, outcome, read_shared
from tests.machines import fold

from hocket._version import __version__
from hocket.core.events import AnyEvent
from hocket.journal.codec import encode
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / FILE).exists())
RELEASED = [
    (version, name)
    for version in VERSIONS
    for name in json.loads((HERE / version / "expected.json").read_text(encoding="utf-8"))
]


def expected(version: str, name: str) -> dict[str, Any]:
    text = (HERE / version / "expected.json").read_text(encoding="utf-8")
    return dict(json.loads(text)[name])


@pytest.fixture
def journal(version: str, tmp_path: Path) -> SqliteJournal:
    shutil.copy(HERE / version / FILE, tmp_path / FILE)
    return SqliteJournal(tmp_path)


@pytest.mark.parametrize(("version", "name"), RELEASED)
def test_an_old_run_is_what_it_was(journal: SqliteJournal, version: str, name: str) -> None:
    machine = fold([recorded.event for recorded in journal.read(name)])
    journal.close()
    machine.check()
    assert json.loads(json.dumps(outcome(machine))) == expected(version, name)


@pytest.mark.parametrize("version", [v for v in VERSIONS if (HERE / v / "shared.json").exists()])
def test_what_calls_held_and_how_long_they_took_is_still_known(
    journal: SqliteJournal, version: str
) -> None:
    with journal:
        shared = asyncio.run(read_shared(journal))
    text = (HERE / version / "shared.json").read_text(encoding="utf-8")
    assert json.loads(json.dumps(shared)) == json.loads(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_run_can_be_taken_up(journal: SqliteJournal, version: str) -> None:
    rows = {row.id: row.status for row in journal.runs()}
    journal.close()
    assert rows["whole"] == "succeeded"
    assert rows["unfinished"] == "running"
    assert not rows.keys() - RUNS.keys()


def test_the_present_version_has_left_its_journal() -> None:
    assert __version__ in VERSIONS


@pytest.mark.parametrize("version", [__version__])
def test_the_present_version_s_runs_go_through_every_kind_of_event(
    journal: SqliteJournal, version: str
) -> None:
    with journal:
        events = [recorded.event for row in journal.runs() for recorded in journal.read(row.id)]
    seen = {type(event).__name__ for event in events}
    assert {kind.__name__ for kind in get_args(AnyEvent)} == seen
    used = {
        f"{type(event).__name__}.{field.name}"
        for event in events
        for field in msgspec.structs.fields(event)
        if getattr(event, field.name) != field.default
    }
    fields = {f"{kind.__name__}.{f}" for kind in get_args(AnyEvent) for f in kind.__struct_fields__}
    assert fields - used == set(), "a field that has only its default was not written"


def test_the_runs_are_the_same_at_every_writing() -> None:
    texts = [[encode(event) for name in RUNS for event in events_of(name)] for _ in range(2)]
    assert texts[0] == texts[1]
