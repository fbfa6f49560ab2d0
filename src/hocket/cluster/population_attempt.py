"""A population at work on nodes: what they read goes there, what they make comes back."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from hocket.cluster.population_seat import PIECE, saved_in
from hocket.cluster.seat import Gone, Seated, Unreachable
from hocket.core.errors import PeerError, Refused
from hocket.core.specs import PlaceSpec
from hocket.core.values import Json
from hocket.population.files import HEAD, whole
from hocket.population.place import Place
from hocket.population.settings import kept_in, read_settings

Resume: TypeAlias = Literal["no", "yes", "if same"]

_STOPPED: Final = 143
_GRACE: Final = 10.0
"""Seconds that processes have to end when one of them has."""
_AGAIN: Final = 0.5
"""Seconds between two times that processes are told to end."""

_ALIVE: Final = 5.0
"""Seconds in which a node gives a sign of life."""
_SILENCE: Final = 30.0
"""Seconds after which a node that cannot be reached counts as lost."""

_T = TypeVar("_T")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A population that nodes shall run.

    Fields:
        settings: What it is told; see `hocket.population.settings.Settings`.
        base: The folder that names of files are meant from.
        nodes: How many nodes share it.
        each: How many processes each of them has.
        place: What each node needs to have.
        checkpoint: The folder of its checkpoint, if it is kept.
        resume: Whether it goes on from that; ``if same`` begins anew if that is of another.
        target: Where a file of its results goes, by its name and its path there; None for nowhere.
    """

    settings: dict[str, Json]
    base: Path
    nodes: int
    each: int = 1
    place: PlaceSpec = PlaceSpec()
    checkpoint: Path | None = None
    resume: Resume = "if same"
    target: Callable[[str, str], Path | None]


class Listener(Protocol):
    """Who is told how far a population is."""

    def say(self, text: str) -> None:
        """Hear a line."""

    def note(self, line: str, progress: Mapping[str, Json]) -> None:
        """Hear how far it is: as a line, and the fields of `hocket.population.running.Progress`."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended.

    Fields:
        stopped: Whether it was told to, and has not come to its end.
        answer: What its first process has answered, as JSON; nothing if it was stopped.
    """

    stopped: bool
    answer: bytes = b""


class GroupLost(PeerError):
    """A node or a process of a group is gone, and the others were ended."""


async def start(job: Job, seats: Sequence[Seated], about: Sequence[Mapping[str, Any]]) -> None:
    """Put what they read on all nodes, and start their processes."""
    settings = dict(job.settings)
    files = _files(settings, job.base)
    if job.checkpoint is not None and (saved := saved_in(job.checkpoint)) is not None:
        for name in (*saved.files, HEAD):
            files[f"{kept_in(read_settings(settings))}/{name}"] = job.checkpoint / name
    kept = kept_in(read_settings(settings))
    for name, path in files.items():
        await _put(seats, name, path)
    if settings.get("devices") is None and settings.get("device") != "gpu":
        cores = min(int(job.place.cpu) or each["cores"] for each in about) // job.each
        settings["devices"] = 1 << (max(cores, 1).bit_length() - 1)
    processes = len(seats) * job.each
    places = [
        Place(number, processes, about[0]["address"]).environment for number in range(processes)
    ]
    given = msgspec.json.encode(settings)
    await all_of(
        ask(seat, "start", given, kept, job.resume, places[first : first + job.each])
        for first, seat in zip(range(0, processes, job.each), seats, strict=True)
    )


def _files(settings: dict[str, Json], base: Path) -> dict[str, Path]:
    """Find the files that settings name, and have them name what these are called on nodes."""
    files: dict[str, Path] = {}

    def called(said: str) -> str:
        path = Path(said)
        within = not path.is_absolute() and ".." not in path.parts
        name = f"read/{said}" if within else f"read-{len(files)}/{path.name}"
        files[name] = base / path
        return name

    def moved(told: Mapping[str, Json], *names: str) -> dict[str, Json]:
        return {
            key: called(value) if key in names and isinstance(value, str) else value
            for key, value in told.items()
        }

    settings |= moved(settings, "model")
    groups, before = settings.get("groups"), settings.get("continues")
    if isinstance(groups, dict):
        settings["groups"] = {
            name: moved(told, "model") if isinstance(told, dict) else told
            for name, told in groups.items()
        }
    if isinstance(before, dict):
        settings["continues"] = moved(before, "population", "settings")
    return files


async def _put(seats: Sequence[Seated], name: str, path: Path) -> None:
    """Put a file on all nodes, a piece at a time; one that is not there is missed by its reader."""
    import ray

    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        return
    begin = 0
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            shared = ray.put(piece)
            await all_of(ask(seat, "put", name, begin, shared) for seat in seats)
            begin += len(piece)


class Attempt:
    """Processes at work on nodes.

    Args:
        job: What they do.
        seats: The seats on these nodes; the first one's first process leads.
        hosts: The names of the nodes.
        listener: Is told how far it is.
    """

    def __init__(
        self, job: Job, seats: Sequence[Seated], hosts: Sequence[str], listener: Listener
    ) -> None:
        self._job = job
        self._seats = seats
        self._hosts = hosts
        self._listener = listener
        self._saved: asyncio.Queue[dict[str, str] | None] = asyncio.Queue()
        self._codes: dict[int, int] = {}

    async def finish(self, stop: asyncio.Event) -> Ended:
        """Wait for the end, and take over what was saved and made.

        Raises:
            Gone, GroupLost: A node or a process is.
        """
        followers = [
            asyncio.create_task(self._follow(number)) for number in range(len(self._seats))
        ]
        keeper, stopper = asyncio.create_task(self._keep()), asyncio.create_task(self._stop(stop))
        try:
            await self._all_ended(followers, keeper, stopper)
            await self._last(keeper)
        except (Gone, GroupLost):
            with suppress(Gone):
                # The first node may still be there, with what was saved last.
                await self._last(keeper)
            raise
        finally:
            for task in (*followers, keeper, stopper):
                task.cancel()
            await asyncio.gather(*followers, keeper, stopper, return_exceptions=True)
        codes = set(self._codes.values())
        if self._codes[0] == 0:
            answer = await ask(self._seats[0], "answer")
            found = msgspec.json.decode(answer)
            # What makes no sense has ended all of them, as each of them could.
            if codes == {0} or found.get("problems"):
                await self._results(found.get("files", {}))
                return Ended(stopped=False, answer=answer)
        if stop.is_set() and codes <= {_STOPPED, -signal.SIGTERM}:
            return Ended(stopped=True)
        raise await self._loss()

    async def _all_ended(
        self, followers: Sequence[asyncio.Task[None]], *beside: asyncio.Task[None]
    ) -> None:
        """Wait until all processes have ended; one that has leaves the others little time."""
        left = {*followers, *beside}
        while left & {*followers}:
            first = not self._codes
            done, left = await asyncio.wait(
                left, timeout=None if first else _GRACE, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            if not done:
                raise await self._loss()

    async def _follow(self, number: int) -> None:
        """Hear what a seat has to say until its processes have ended."""
        seat, until = self._seats[number], float("inf")
        mine = range(number * self._job.each, (number + 1) * self._job.each)
        for question in count():
            try:
                news = await ask(seat, "follow", question)
            except Gone as error:
                raise Gone(f"node {self._hosts[number]} is gone") from error
            for line in news.get("said", ()):
                self._listener.say(line)
            if noted := news.get("noted"):
                self._listener.note(noted["line"], noted["progress"])
            if saved := news.get("saved"):
                self._saved.put_nowait(saved)
            codes = zip(mine, news.get("codes", ()), strict=False)
            self._codes |= {process: code for process, code in codes if code is not None}
            ended = self._codes.keys() & {*mine}
            if len(ended) == len(mine):
                return
            if ended:
                until = min(until, time.monotonic() + _GRACE)
            if time.monotonic() > until:
                raise await self._loss()

    async def _stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        while True:
            await all_of(ask(seat, "stop") for seat in self._seats)
            # One that was just joining the others has not heard it.
            await asyncio.sleep(_AGAIN)

    async def _keep(self) -> None:
        """Take over each checkpoint, one after the other, until there is none to come."""
        while (saved := await self._saved.get()) is not None:
            await self._take(saved)

    async def _last(self, keeper: asyncio.Task[None]) -> None:
        """Take over what is left of them at the end."""
        self._saved.put_nowait(None)
        await keeper
        if saved := await ask(self._seats[0], "saved"):
            await self._take(saved)

    async def _take(self, files: Mapping[str, str]) -> None:
        """Take over a checkpoint: what names it last, then what was there before is deleted."""
        seat, folder = self._seats[0], self._job.checkpoint
        if folder is not None:
            before = saved_in(folder)
            for name, there in files.items():
                await _fetch(seat, there, folder / name)
            for name in before.files if before else ():
                if name not in files:
                    (folder / name).unlink(missing_ok=True)
        await ask(seat, "let_go")

    async def _results(self, files: Mapping[str, str]) -> None:
        """Take over the files of the results."""
        for name, there in files.items():
            path = self._job.target(name, there)
            if path is not None:
                await _fetch(self._seats[0], there, path)

    async def _loss(self) -> GroupLost:
        """Tell which node is gone, or which process has likely died first, and its last words."""
        for node, seat in enumerate(self._seats):
            # Processes elsewhere notice that sooner than Ray does.
            mine = range(node * self._job.each, (node + 1) * self._job.each)
            if not self._codes.keys() & {*mine} and not await seat.alive(_ALIVE):
                return GroupLost(f"node {self._hosts[node]} is gone")
        order = {-signal.SIGKILL: 0, _STOPPED: 2, 0: 3}
        process = min(self._codes, key=lambda process: order.get(self._codes[process], 1))
        code, node = self._codes[process], process // self._job.each
        words = await ask(self._seats[node], "last_words")
        for line in words[process % self._job.each]:
            self._listener.say(f"{self._hosts[node]}: {line}")
        how = f"with status {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        many = len(self._seats) * self._job.each
        return GroupLost(
            f"process {process} of {many}, on node {self._hosts[node]}, ended {how}, and the "
            "others were ended with it"
        )


async def _fetch(seat: Seated, there: str, path: Path) -> None:
    """Take a file over from a node, a piece at a time; it is there whole or not at all.

    Raises:
        Refused: It cannot be written.
    """
    begin = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        async with aside(whole(path)) as file:
            while piece := await ask(seat, "read", there, begin):
                await asyncio.to_thread(file.write, piece)
                begin += len(piece)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error


@asynccontextmanager
async def aside(context: AbstractContextManager[_T]) -> AsyncIterator[_T]:
    """Enter and leave a context in a thread, as the disk may take its time."""
    value = await asyncio.to_thread(context.__enter__)
    try:
        yield value
    except BaseException:
        if not await asyncio.to_thread(context.__exit__, *sys.exc_info()):
            raise
    else:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def ask(seat: Seated, method: str, *args: Any) -> Any:
    """Ask a seat something that may be asked twice, again while it cannot be reached.

    Raises:
        Gone: It has died, or cannot be reached for too long.
    """
    until = time.monotonic() + _SILENCE
    while True:
        try:
            return await seat.ask(method, *args)
        except Unreachable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_AGAIN)


async def all_of(questions: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await all; the first error is raised when all have ended."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
