"""Models in files: GMN as text or JSON, and arrays as .npz, which keeps grids and lists as such."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import NotFound, Problem, Refused, SpecError
from hocket.population.checks import inspect
from hocket.population.files import whole
from hocket.population.gmn import Reading, read_gmn
from hocket.population.gmn_values import MOST_BYTES as MOST_TEXT
from hocket.population.gmn_write import to_gmn
from hocket.population.model import SETTINGS, Model, Names
from hocket.population.transitions import MOST_BYTES, Dense, Grid, Lists, Transition

VERSION: Final = 1
"""Of the .npz format."""

_TUPLES: Final = ("A", "C", "D", "pA", "pB", "pD")
_PARTS: Final = ("factors", "states", "modalities", "observations", "actions")


def load_model(path: str | Path) -> Model:
    """Read a model from a file: .gmn or .txt, .json (GMN in JSON) or .npz.

    Raises:
        NotFound: if there is no such file.
        SpecError: if it is broken, or no model; GMN has a line for each problem, and is refused
            if the model is of no use (`inspect` finds an error).
        Refused: if nobody can tell from its name what it is.
    """
    path = Path(path)
    return _arrays(path) if path.suffix == ".npz" else _gmn(path).model


def read_model(path: str | Path) -> Reading:
    """Read a model as `load_model` does, with all that is odd about it.

    Raises:
        NotFound, SpecError, Refused: as there.
    """
    path = Path(path)
    if path.suffix != ".npz":
        return _gmn(path)
    model = _arrays(path)

    def place(where: tuple[str | int, ...]) -> str:
        return f"{path}: {'.'.join(map(str, where))}"

    return Reading(model, tuple(inspect(model)), place)


def save_model(model: Model, path: str | Path) -> None:
    """Write a model to a file, which is there whole or not at all; its name says in which format.

    Args:
        model: The model.
        path: Ends in .npz, .gmn or .json; only .npz keeps large models.

    Raises:
        Refused: if the name says no format, the model is too large for GMN, or it cannot be
            written.
    """
    path = Path(path)
    _known(path)
    text = "" if path.suffix == ".npz" else to_gmn(model, _form(path))
    try:
        with whole(path) as file:
            if path.suffix == ".npz":
                np.savez_compressed(file, **_parts(model))  # type: ignore[arg-type]
            else:
                file.write(text.encode())
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error


def _form(path: Path) -> Any:
    return "json" if path.suffix == ".json" else "text"


def _known(path: Path) -> None:
    if path.suffix not in (".gmn", ".txt", ".json", ".npz"):
        raise Refused(
            f"{path} does not say what it is; a model's file ends in .gmn, .json (GMN) or .npz"
        )


def _gmn(path: Path) -> Reading:
    _known(path)
    try:
        with path.open("rb") as file:
            # One byte more than may be tells that there is too much.
            content = file.read(MOST_TEXT + 1)
    except OSError as error:
        raise _missing(path, error) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _broken(f"{path}:{line}:1", "this is no UTF-8", "save it as UTF-8") from error
    return read_gmn(text, str(path))


def _missing(path: Path, error: OSError) -> NotFound | Refused:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"there is no file {path}")
    return Refused(f"cannot read {path}: {error.strerror or error}")


def _broken(place: str, message: str, hint: str) -> SpecError:
    return SpecError(
        [Problem(where=(), message=message, hint=hint)], [f"{place}: {message}; {hint}"]
    )


def _arrays(path: Path) -> Model:
    hint = "write it anew with save_model"
    try:
        with path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > 2 * MOST_BYTES:
            message = f"its arrays would take {size / 1e9:,.1f} GB"
            raise _broken(str(path), message, "keep transitions as Grid or Lists")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(bytes(arrays["head"]))
        if head["version"] != VERSION:
            message = f"it is of version {head['version']}, and this program reads {VERSION}"
            raise _broken(str(path), message, hint)
        fields = _fields(head, arrays)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, IndexError) as error:
        raise _broken(str(path), f"this is no whole model: {error}", hint) from error
    except OSError as error:
        raise _missing(path, error) from error
    try:
        return Model.of(**fields)
    except SpecError as error:
        raise SpecError(error.problems, [f"{path}: {line}" for line in error.lines]) from error


def _parts(model: Model) -> dict[str, NDArray[Any]]:
    """A model as arrays by name, and a head that says what they are."""
    arrays: dict[str, NDArray[Any]] = {"E": model.E, "policies": model.policies}
    for name in _TUPLES:
        for number, array in enumerate(getattr(model, name) or ()):
            arrays[f"{name}/{number}"] = array
    moves = [_move_parts(move, f"B/{f}", arrays) for f, move in enumerate(model.B)]
    head = {
        "version": VERSION,
        "B": moves,
        "counts": {name: len(getattr(model, name) or ()) for name in _TUPLES},
        "A_dependencies": model.A_dependencies,
        "B_dependencies": model.B_dependencies,
        "settings": {name: getattr(model, name) for name in SETTINGS},
        "names": {part: getattr(model.names, part) for part in _PARTS},
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    return arrays


def _move_parts(move: Transition, name: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    match move:
        case Dense():
            arrays[name] = move.table
            return {"kind": "table"}
        case Lists():
            arrays[f"{name}/next"], arrays[f"{name}/weight"] = move.next, move.weight
            return {"kind": "lists"}
        case Grid():
            if move.walls is not None:
                arrays[f"{name}/walls"] = np.asarray(move.walls, bool)
            return {
                "kind": "grid",
                "height": move.height,
                "width": move.width,
                "moves": [list(map(int, step)) for step in move.moves],
                "slip": float(move.slip),
            }


def _fields(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What `Model.of` takes."""
    fields: dict[str, Any] = {
        name: [arrays[f"{name}/{number}"] for number in range(count)]
        for name, count in head["counts"].items()
        if name in _TUPLES and count
    }
    names = {part: _frozen(head["names"][part]) for part in _PARTS}
    settings = {name: head["settings"][name] for name in SETTINGS}
    return {
        **fields,
        **settings,
        "B": [_move(about, f"B/{f}", arrays) for f, about in enumerate(head["B"])],
        "E": arrays["E"],
        "policies": arrays["policies"],
        "A_dependencies": head["A_dependencies"],
        "B_dependencies": head["B_dependencies"],
        "names": Names(**names),
    }


def _move(about: Mapping[str, Any], name: str, arrays: Mapping[str, NDArray[Any]]) -> Transition:
    match about["kind"]:
        case "table":
            return Dense(arrays[name])
        case "lists":
            return Lists(arrays[f"{name}/next"], arrays[f"{name}/weight"])
        case "grid":
            return Grid(
                about["height"],
                about["width"],
                tuple((int(down), int(right)) for down, right in about["moves"]),
                about["slip"],
                arrays.get(f"{name}/walls"),
            )
        case kind:
            raise ValueError(f"there is no transition of kind {kind!r}")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
