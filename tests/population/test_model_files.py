"""Models in files come back as they were, and broken files say what they are."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.population.gmn_texts import EXAMPLES, SMALL, random_model, same

from hocket.cli.main import main
from hocket.core.errors import NotFound, Refused, SpecError
from hocket.population.model import Model, Names
from hocket.population.model_files import load_model, read_model, save_model
from hocket.population.transitions import Grid, Lists


def large() -> Model:
    """A model on a grid of 10,000 cells, whose table would not fit."""
    seen = np.zeros((2, 10_000))
    seen[0], seen[:, 42] = 1, [0, 1]
    walls = np.zeros((100, 100), bool)
    walls[3, 4] = True
    return Model.of([seen], [Grid(100, 100, slip=0.1, walls=walls)], [[0, 1]])


@pytest.mark.parametrize("ending", ["npz", "gmn", "gmn.json", "txt"])
def test_what_is_saved_is_loaded_number_for_number(tmp_path: Path, ending: str) -> None:
    chance = np.random.default_rng(23)
    for number in range(8):
        model = random_model(chance)
        path = tmp_path / f"{number}.{ending}"
        save_model(model, path)
        same(model, load_model(path))


def test_grids_and_lists_are_kept_as_such_and_names_too(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    save_model(large(), path)
    assert path.stat().st_size < 20_000
    model = load_model(path)
    move = model.B[0]
    assert isinstance(move, Grid) and move.walls is not None and move.walls.sum() == 1
    assert move.slip == 0.1 and move.moves == Grid(1, 1).moves
    lists = Grid(2, 2, slip=0.3).lists()
    names = Names(factors=("place",), states=(("a", "b", "c", "d"),))
    small = Model.of([np.eye(4)], [lists], names=names)
    save_model(small, path)
    again = load_model(str(path))
    assert isinstance(again.B[0], Lists) and again.names == names
    same(small, again)
    assert [file.name for file in tmp_path.iterdir()] == ["large.npz"]


def broken(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_model(path)
    return str(caught.value)


def test_broken_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(NotFound, match=r"there is no file .*model\.npz"):
        load_model(path)
    with pytest.raises(NotFound, match="there is no file"):
        load_model(tmp_path / "model.gmn")
    with pytest.raises(Refused, match=r"ends in \.gmn, \.json \(GMN\) or \.npz"):
        load_model(tmp_path / "model.yaml")
    with pytest.raises(Refused, match="cannot read"):
        load_model(tmp_path.rename(tmp_path.with_name("folder.gmn")))
    path = tmp_path.with_name("folder.gmn") / "model.npz"
    for content in (b"", b"no archive", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        assert "this is no whole model" in broken(path)
    np.savez(path, A=np.eye(2))
    assert "this is no whole model" in broken(path)
    np.savez(path, head=np.array([{"a": 1}], object))
    assert "this is no whole model" in broken(path)
    text = path.with_suffix(".gmn")
    text.write_bytes(b"[nodes]\na: state {names: [\xff]}")
    assert f"{text}:2:1: this is no UTF-8" in broken(text)
    text.write_text(SMALL.replace("food: 2", "fod: 2"), encoding="utf-8")
    assert f"{text}:7:28: 'smell' has no 'fod'; did you mean 'food'?" in broken(text)


def rewritten(path: Path, **changes: Any) -> None:
    """Write a saved model again, with other arrays or another head."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    head = json.loads(bytes(arrays["head"]))
    for name, value in changes.items():
        if name in head:
            head[name] = value
        else:
            arrays[name.replace("_", "/")] = value
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 9}, "it is of version 9, and this program reads 1"),
        ({"B": [{"kind": "tree"}]}, "there is no transition of kind 'tree'"),
        ({"settings": {}}, "this is no whole model"),
        ({"A_0": np.eye(4) * 2}, "model.npz: A.0.column 0: sums to 2, not to 1"),
        ({"D_0": np.full(4, np.nan)}, "model.npz: D.0.[0]: is NaN"),
    ],
)
def test_a_file_of_something_else_is_no_model(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = tmp_path / "model.npz"
    save_model(Model.of([np.eye(4)], [Grid(2, 2)]), path)
    rewritten(path, **changes)
    assert said in broken(path)


def test_a_file_that_would_unpack_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("head.npy", b"")
        archive.infolist()[0].file_size = 5 * 10**9
    assert "its arrays would take 5.0 GB; keep transitions as Grid or Lists" in broken(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    model = Model.of([np.eye(4)], [Grid(2, 2)])
    with pytest.raises(Refused, match="cannot write"):
        save_model(model, tmp_path / "none" / "model.npz")
    with pytest.raises(Refused, match="does not say what it is"):
        save_model(model, tmp_path / "model.pkl")
    assert list(tmp_path.iterdir()) == []


def test_reading_gives_places(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save_model(Model.of([np.full((2, 4), 0.5)], [Grid(2, 2)]), path)
    reading = read_model(path)
    assert [(r.kind, reading.place(r.where)) for r in reading.remarks] == [
        ("error", f"{path}: A.0"),
        ("warning", f"{path}: C"),
    ]


def test_the_command_says_what_a_model_is(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / "tmaze.gmn")
    assert main(["population", "check", path]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{path}: 16 policies of 2 steps, inference fpi",
        "  factor place: 4 states, 4 actions, a table",
        "  factor food: 2 states, 1 action, a table",
        "  modality spot: 5 observations, depends on place, food",
        "  modality taste: 3 observations, depends on place, food",
        "  memory: 904 B, once for all agents; 904 B with every B as a table",
        "  memory of each agent's belief: 24 B",
        "no mistakes",
    ]
    assert said.err.startswith(f"{path}:33:10: warning: 2 of 4 states of factor 'place'")


def test_the_command_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "large.npz"
    save_model(large(), path)
    assert main(["population", "check", str(path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["factors"][0]["kept_as"] == "moves on a grid of 100 × 100"
    assert about["memory"]["as_tables"] - about["memory"]["kept"] == 2 * 10**9 - 200_000
    assert about["memory"]["belief"] == 40_000
    assert [remark["kind"] for remark in about["remarks"]] == ["warning"]


def test_the_command_fails_for_a_model_of_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.npz"
    save_model(Model.of([np.full((2, 4), 0.5)], [Grid(2, 2)], [[0, 1]]), path)
    assert main(["population", "check", str(path)]) == 2
    said = capsys.readouterr()
    assert f"{path}: A.0: observations of modality 0 carry no information" in said.err
    assert "no mistakes" not in said.out
    text = tmp_path / "model.gmn"
    text.write_text(SMALL.replace("gamma", "gama"), encoding="utf-8")
    assert main(["population", "check", str(text)]) == 2
    assert f"{text}:9:26: 'gama' is no property of a policy" in capsys.readouterr().err
    assert main(["population", "check", "--json", str(text)]) == 2
    (remark,) = json.loads(capsys.readouterr().out)["remarks"]
    assert (remark["kind"], remark["place"]) == ("error", f"{text}:9:26")
    assert remark["hint"] == "did you mean 'gamma'?"


def test_a_model_is_checked_without_jax(tmp_path: Path) -> None:
    text = tmp_path / "model.gmn"
    text.write_text(SMALL, encoding="utf-8")
    code = "import sys; sys.modules['jax'] = None\n"
    code += "from hocket.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for args in (["check", str(text)], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "population", *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
