"""The tables of the page are what the script makes of the figures that are committed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs.pages import ROOT

SCRIPT = ROOT / "bench/how_far.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("how_far", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(script: ModuleType) -> dict[str, str]:
    return dict(script.texts())


def test_the_page_has_the_tables_of_the_script(script: ModuleType, made: dict[str, str]) -> None:
    page = script.PAGE.read_text("utf-8")
    assert script.put(page, made) == page, "run: python bench/how_far.py --write"


def test_other_figures_make_another_page(script: ModuleType, tmp_path: Path) -> None:
    found = script.measured()
    found["curve"][-1]["writes"] *= 2
    found["fits"]["bytes_a_busy_run"]["slope"] *= 2
    path = tmp_path / "capacity.json"
    path.write_text(json.dumps(found))
    team = script.Team(100.0, 20.0)
    before = script.Costs(script.measured(), team)
    after = script.Costs(script.measured(path), team)
    assert script.day_table(before) != script.day_table(after)
    assert after.writes == pytest.approx(2 * before.writes)
    assert after.memory == pytest.approx(2 * before.memory)
    assert [part.runs for part in script.parts(after)] == sorted(
        part.runs for part in script.parts(after)
    )


def test_every_figure_says_where_it_is_from(made: dict[str, str]) -> None:
    for name in ("node", "day", "parts", "agents"):
        head, _, *rows = made[name].splitlines()
        source = [cell.strip() for cell in head.strip("|").split("|")].index("From")
        assert rows
        for row in rows:
            assert row.strip("|").split("|")[source].strip(), row
