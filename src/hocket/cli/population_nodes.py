"""``population run --cluster``: the same on nodes of a Ray cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Protocol

from cyclopts import Parameter

from hocket.config.place import read_place
from hocket.core.errors import PeerError, Refused
from hocket.core.specs import PlaceSpec
from hocket.core.values import Json
from hocket.population.files import try_folder

_LOOK: Final = 0.1
"""Seconds between two looks whether it shall end."""


@dataclass(frozen=True, kw_only=True)
class OnNodes:
    """Where a population runs, if not on this machine; its options are those of the command."""

    cluster: Annotated[
        str | None,
        Parameter(help="Run it on this cluster of Ray: auto, HOST:PORT, ray://…, or local."),
    ] = None
    nodes: Annotated[
        int | None, Parameter(help="How many nodes of it share the work: 1, 2, 4 or 8; else 1.")
    ] = None
    place: Annotated[
        list[str] | None,
        Parameter(
            help="What each node must have, as gpu=1, cpu=8, memory=16GB or tag=NAME; repeatable.",
            negative=(),
        ),
    ] = None

    def check(self) -> None:
        """Refuse what makes no sense without a cluster."""
        if self.cluster is None and (self.nodes is not None or self.place):
            raise Refused("--nodes and --place are for a cluster: say which, by --cluster ADDRESS")


class Files(NamedTuple):
    """Where a run reads and writes, each if it does."""

    checkpoint: Path | None
    out: Path | None
    picture: Path | None


class Shown(Protocol):
    """Shows how far a run is, and takes Ctrl-C."""

    stopped: bool

    def say(self, text: str) -> None:
        """Say a line."""

    def show(self, share: float, line: str) -> None:
        """Show how far it is."""


class Performed(NamedTuple):
    """What came of it.

    Fields:
        output: The output of such a step; None if nobody knows it.
        files: What was written, by name.
        tick: How far it came.
        stopped: Whether it was stopped before its end.
    """

    output: dict[str, Any] | None
    files: dict[str, Path]
    tick: int
    stopped: bool


def perform_on_nodes(
    given: dict[str, Json],
    on: OnNodes,
    processes: int,
    show: Shown,
    within: AbstractContextManager[Any],
    files: Files,
    *,
    resume: bool,
    again: str,
) -> Performed:
    """Run a population on a cluster.

    Args:
        given: What it is told.
        on: Where it runs.
        processes: How many processes share the work; 1 for one on each node.
        show: Is told how far it is.
        within: Is entered while it runs.
        files: Where it reads and writes.
        resume: Whether it goes on from what is saved.
        again: The command that goes on.

    Raises:
        Refused: What it is told makes no sense, or there are no such nodes.
        PeerError: Nodes were lost too often.
    """
    nodes = on.nodes or 1
    many = nodes if processes == 1 else processes
    if many % nodes:
        raise Refused(f"{many} processes cannot be shared evenly by {nodes} nodes")
    attempt = import_module("hocket.cluster.population_attempt")
    saved_in = import_module("hocket.cluster.population_seat").saved_in
    _try(files, None if files.checkpoint is None else saved_in(files.checkpoint), resume=resume)
    written: dict[str, Path] = {}
    job = attempt.Job(
        settings=given,
        base=Path(),
        nodes=nodes,
        each=many // nodes,
        place=_place(on.place or ()),
        checkpoint=files.checkpoint,
        resume="yes" if resume else "no",
        target=lambda name, _there: _target(name, files, written),
    )
    listener = _Listener(show)
    connection = import_module("hocket.cluster.connection").connect(on.cluster)
    try:
        with within:
            ended = asyncio.run(_perform(connection, job, listener))
    except attempt.GroupLost as error:
        if files.checkpoint is None or saved_in(files.checkpoint) is None:
            raise
        raise PeerError(f"{error}; go on from the last checkpoint with: {again}") from error
    finally:
        connection.close()
    if ended.stopped:
        return Performed(None, {}, listener.tick, True)
    return Performed(_output(ended.answer), written, listener.tick, False)


def _output(given: bytes) -> dict[str, Any]:
    """Give the output of an answer.

    Raises:
        Refused: What the population was told made no sense.
    """
    answer: dict[str, Any] = json.loads(given)
    if answer.get("problems"):
        raise Refused("\n".join(answer["problems"]))
    output: dict[str, Any] = answer["output"]
    return output


def _try(files: Files, saved: Any, *, resume: bool) -> None:
    """See before a long run that all can be written, and nothing is lost by it."""
    if saved is not None and not resume:
        raise Refused(
            f"tick {saved.tick:,} of a run is saved in {files.checkpoint}: go on with --resume, or "
            "give another folder"
        )
    for folder in (files.checkpoint, files.out, files.picture and files.picture.parent):
        if folder is not None:
            try_folder(folder)
    if files.picture is not None and files.picture.is_dir():
        raise Refused(f"{files.picture} is a folder: give the picture another name")


def _target(name: str, files: Files, written: dict[str, Path]) -> Path | None:
    """Tell where a file of the results goes."""
    path = files.picture if name.startswith("world.") else files.out and files.out / name
    if path is not None:
        written[name] = path
    return path


async def _perform(connection: Any, job: Any, listener: _Listener) -> Any:
    stop = asyncio.Event()
    asking = asyncio.create_task(listener.until_stopped(stop))
    try:
        perform = import_module("hocket.cluster.populations").perform
        return await perform(connection, job, listener, stop)
    finally:
        asking.cancel()


class _Listener:
    """Shows what nodes say.

    Args:
        show: Where.
    """

    def __init__(self, show: Shown) -> None:
        self._show = show
        self.tick = 0

    def say(self, text: str) -> None:
        """Show a line."""
        self._show.say(text)

    def note(self, line: str, progress: Mapping[str, Json]) -> None:
        """Show how far it is."""
        tick, ticks = progress["tick"], progress["ticks"]
        assert isinstance(tick, int) and isinstance(ticks, int)
        self.tick = tick
        self._show.show(tick / max(ticks, 1), line)

    async def until_stopped(self, stop: asyncio.Event) -> None:
        """Tell when it shall end."""
        while True:
            if self._show.stopped:
                stop.set()
                return
            await asyncio.sleep(_LOOK)


def _place(given: Sequence[str]) -> PlaceSpec:
    """Read ``key=value``, as a file has it."""
    found: dict[str, Any] = {}
    tags: list[str] = []
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise Refused(f"--place {one!r}: write it as gpu=1, cpu=8, memory=16GB or tag=NAME")
        if key == "tag":
            tags.append(value)
            continue
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return read_place(("--place",), {**found, "tag": tags}) or PlaceSpec()
