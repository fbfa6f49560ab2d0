"""The command ``population bench``: what it hands on, what it says, what it refuses."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hocket.cli.main import main
from hocket.population.bench import study as study_


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the study was asked, which is not made."""
    calls: list[Any] = []

    def study(extent: study_.Extent, *, platform: Any, tell: Any) -> Any:
        calls.append((extent, platform))
        tell("something")
        return {"found": 1}, {}

    def write(results: Any, raw: Any, folder: Path) -> list[Path]:
        calls.append(folder)
        return [folder / "report.html"]

    monkeypatch.setattr(study_, "study", study)
    monkeypatch.setattr(study_, "write", write)
    return calls


def test_it_measures_up_to_a_million_agents_a_hundred_times(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["population", "bench", "--out", str(tmp_path)]) == 0
    (extent, platform), folder = asked
    assert (extent.most, extent.iterations, platform, folder) == (1_000_000, 100, None, tmp_path)
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'report.html'}\n"
    assert said.err == "measuring something\n"


def test_options_are_handed_on(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quick", "--most", "5000", "--iterations", "7", "--device", "cpu", "--json"]
    assert main(["population", "bench", "--out", str(tmp_path), *options]) == 0
    extent, platform = asked[0]
    assert extent == study_.Extent.quick(5_000, 7)
    assert extent.seconds < study_.Extent().seconds
    assert platform == "cpu"
    assert json.loads(capsys.readouterr().out) == {"found": 1}


@pytest.mark.parametrize("option", [["--most", "0"], ["--iterations", "1"], ["--device", "tpu"]])
def test_what_cannot_be_measured_is_refused(option: list[str], asked: list[Any]) -> None:
    assert main(["population", "bench", *option]) == 2
    assert asked == []


def test_without_matplotlib_it_says_what_to_install_before_it_measures(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["population", "bench"]) == 2
    assert "pip install 'hocket[population,plots]'" in capsys.readouterr().err
    assert asked == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(study_.Refused, match="cannot write"):
        study_.write({"machine": {}, "settings": {}}, {}, tmp_path / "file" / "report")
