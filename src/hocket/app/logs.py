"""Opens the logs of other programs, and finds which of several runs in a folder is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from hocket.config.yaml import YamlError, parse
from hocket.core.errors import LogError, NotFound, Refused, suggest
from hocket.core.values import Json
from hocket.insight.logs.chrome import read_chrome
from hocket.insight.logs.massgen import CALLS, Files, read_massgen
from hocket.insight.logs.otlp import read_otlp
from hocket.insight.trace import Trace

LogKind: TypeAlias = Literal["massgen", "otlp", "chrome"]

KINDS: Final[tuple[str, ...]] = get_args(LogKind)

_PIECE: Final = 1 << 20
_COORDINATION: Final = "coordination_events.json"
_LIVE: Final = "events.jsonl"
_METADATA: Final = "execution_metadata.yaml"
_NUMBERED: Final = re.compile(r"(?:turn|attempt)_(\d+)\Z")
_INNER: Final = ("massgen_logs", ".massgen")
_SHOWN: Final = 8


def read_log(
    kind: LogKind, path: Path, *, calls: Path | None = None, turn: str | None = None
) -> Trace:
    """Read another program's log of a run.

    Args:
        kind: Which program's it is.
        path: The file; of MassGen, the folder of a log, a turn or an attempt, or one around them.
        calls: What the server recorded of MassGen's calls, as lines of JSON.
        turn: Which of several: of MassGen ``2`` or ``turn_2/attempt_1``; of OTLP the number of a
            trace, the beginning of its id, or ``all``.

    Raises:
        NotFound: There is no such file or folder, or no such turn.
        Refused: An option does not go with this kind, or several logs are there.
        LogError: It cannot be read, or is no such log.
    """
    if kind not in KINDS:
        hint = suggest(kind, KINDS) or f"there are {', '.join(KINDS)}"
        raise Refused(f"no logs of kind {kind!r} can be read; {hint}")
    if calls is not None and kind != "massgen":
        raise Refused(f"a record of calls goes with MassGen's logs only, not with {kind}")
    if turn is not None and kind == "chrome":
        raise Refused("trace events hold one run: leave the turn out")
    if not path.exists():
        raise NotFound(f"there is no file or folder {path}")
    if kind == "massgen":
        return _massgen(path, calls, turn)
    if not path.is_file():
        raise LogError("it is no file", hint="give the file itself", file=str(path))
    try:
        if kind == "otlp":
            return read_otlp(lambda: _pieces(path), path.name, turn)
        return read_chrome(_pieces(path), path.name)
    except LogError as error:
        raise error.within(str(path)) from None


def _pieces(path: Path) -> Iterator[bytes]:
    """Give a file's bytes piece by piece.

    Raises:
        LogError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise LogError(f"it cannot be read: {error.strerror or error}", file=str(path)) from None


# -- MassGen --------------------------------------------------------------------------------------


def _massgen(path: Path, calls: Path | None, turn: str | None) -> Trace:
    if calls is not None and not calls.is_file():
        raise NotFound(f"there is no file {calls}")
    attempt, said = _attempt(path, turn)
    version, models, unread = _metadata(attempt)

    def part(name: str) -> Iterator[bytes] | None:
        file = attempt / name
        return _pieces(file) if file.is_file() else None

    files = Files(
        name=_name(attempt),
        version=version,
        models=models,
        coordination=part(_COORDINATION),
        live=part(_LIVE),
        metrics=part("metrics_events.json"),
        summary=part("metrics_summary.json"),
        status=part("status.json"),
        calls=None if calls is None else _pieces(calls),
        said=(*said, *unread),
    )
    try:
        return read_massgen(files)
    except LogError as error:
        place = calls if error.file == CALLS else attempt / error.file
        raise LogError(
            error.problem,
            hint=error.hint,
            file=str(place),
            line=error.line,
            column=error.column,
            cut=error.cut,
        ) from None


def _attempt(path: Path, turn: str | None) -> tuple[Path, tuple[str, ...]]:
    """Find the folder of the attempt that is meant, and what to say about the others."""
    folder = _folder(path)
    attempts = _attempts(folder)
    if not attempts:
        raise LogError(
            f"there is no {_COORDINATION} and no {_LIVE} in it",
            hint="give MassGen's folder log_…, or a folder turn_… or attempt_… in it",
            file=str(folder),
        )
    names = [attempt.relative_to(folder).as_posix() for attempt in attempts]
    if turn is None:
        chosen = len(attempts) - 1
    else:
        chosen = _chosen(names, folder, turn)
    if len(attempts) == 1:
        return attempts[0], ()
    others = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    why = ", the last" if turn is None else ""
    return attempts[chosen], (
        f"There are {len(names)} attempts ({others}); this is {names[chosen]}{why}.",
    )


def _chosen(names: list[str], folder: Path, turn: str) -> int:
    """Find the last attempt that a turn's name or number means."""
    wanted = turn.strip("/").split("/")
    for above in ([], [folder.name]):
        for place in reversed(range(len(names))):
            inner = [part for part in names[place].split("/") if part != "."]
            if _means(wanted, [*above, *inner]):
                return place
    known = ", ".join(names[:_SHOWN])
    raise NotFound(f"there is no turn {turn!r} in {folder}; there are {known}")


def _means(wanted: list[str], parts: list[str]) -> bool:
    """Tell whether words name the first parts of a place: ``2`` or ``turn_2`` for ``turn_2``."""
    if not wanted or len(wanted) > len(parts):
        return False
    pairs = zip(wanted, parts, strict=False)
    return all(word in {part, part.rpartition("_")[2]} for word, part in pairs)


def _folder(path: Path) -> Path:
    """Go down from what was given to the folder of one log."""
    if path.is_file():
        if path.name in {_COORDINATION, _LIVE}:
            return path.parent
        raise LogError(
            "this is no log of MassGen",
            hint="give its folder log_…, or a folder turn_… or attempt_… in it",
            file=str(path),
        )
    if _attempts(path):
        return path
    for name in _INNER:
        if (path / name).is_dir():
            return _folder(path / name)
    logs = [inner for inner in _inside(path) if inner.name.startswith("log_")]
    if len(logs) > 1:
        known = ", ".join(inner.name for inner in logs[-_SHOWN:])
        raise Refused(f"there are {len(logs)} logs in {path}: give one of them ({known})")
    return _folder(logs[0]) if logs else path


def _inside(folder: Path) -> list[Path]:
    """Give the folders in a folder: those with numbers by these, others by their names."""

    def place(inner: Path) -> tuple[int, str]:
        found = _NUMBERED.match(inner.name)
        return (int(found[1][:9]) if found else 0), inner.name

    try:
        return sorted((inner for inner in folder.iterdir() if inner.is_dir()), key=place)
    except OSError as error:
        problem = f"it cannot be read: {error.strerror or error}"
        raise LogError(problem, file=str(folder)) from None


def _attempts(folder: Path) -> list[Path]:
    """Give the folders with the files of an attempt: this one, or those in its turns."""
    if (folder / _COORDINATION).is_file() or (folder / _LIVE).is_file():
        return [folder]
    found: list[Path] = []
    for inner in _inside(folder):
        if _NUMBERED.match(inner.name):
            found += _attempts(inner)
    return found


def _name(attempt: Path) -> str:
    """Name a log by its folder and those within it."""
    parts = attempt.resolve().parts
    start = next((i for i, part in enumerate(parts) if part.startswith("log_")), len(parts) - 1)
    return "/".join(parts[start:])


def _metadata(attempt: Path) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Read the version and the agents' models from the nearest file that has them."""
    folder = attempt
    for folder in (attempt, *attempt.resolve().parents[:2]):
        if (folder / _METADATA).is_file():
            break
    file = folder / _METADATA
    if not file.is_file():
        return "", {}, (f"{_METADATA} is not there.",)
    try:
        tree = parse(b"".join(_pieces(file))).tree
    except YamlError as error:
        place = f"{_METADATA}:{error.mark.line + 1}:{error.mark.column + 1}"
        return "", {}, (f"{place} cannot be read: {error.message}.",)
    if not isinstance(tree, dict):
        return "", {}, (f"{_METADATA} holds no object.",)
    version = tree.get("massgen_version")
    return "" if version is None else str(version)[:40], _models(tree.get("config")), ()


def _models(config: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    config = config if isinstance(config, dict) else {}
    agents = config.get("agents", [config.get("agent")])
    for agent in agents if isinstance(agents, list) else ():
        if isinstance(agent, dict) and isinstance(agent.get("id"), str):
            backend = agent.get("backend")
            model = backend.get("model") if isinstance(backend, dict) else None
            found[agent["id"]] = model if isinstance(model, str) else ""
    return found
