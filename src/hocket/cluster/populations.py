"""Populations on groups of nodes: one program over the devices of several machines.

Whoever asks has a seat on each node, which starts the processes there; they talk to each other.
JAX cannot go on when one of them dies: all of them are ended then, and begun again on nodes that
are there, from the last checkpoint, which is kept where it was asked for and on no node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from hocket.agents.base import Context
from hocket.agents.process import Finished
from hocket.cluster.connection import Connection, Node
from hocket.cluster.placing import fits, wish
from hocket.cluster.population_attempt import (
    Attempt,
    Ended,
    GroupLost,
    Job,
    Listener,
    all_of,
    aside,
    ask,
    start,
)
from hocket.cluster.population_seat import Saved, saved_in
from hocket.cluster.seat import TAG, TAG_SHARE, Gone, Seated, begin
from hocket.config.population import ANSWER, NODES
from hocket.core.errors import CallerError, Refused, SpecError
from hocket.core.specs import PlaceSpec
from hocket.core.values import Json
from hocket.population.files import held
from hocket.population.settings import kept_in, read_settings

TRIES: Final = 3
"""How often a population is begun that comes no further."""

_ENTRY: Final = "hocket.cluster.population_seat:PopulationSeat"
_BIRTH: Final = 90.0
"""Seconds within which the seats are there."""
_CLOSING: Final = 10.0
"""Seconds that a seat has to end what it holds."""
_SAVING: Final = 10.0
"""Seconds that a cancelled step has to save what it has done."""
_LOOK: Final = 0.5
"""Seconds between two looks at which nodes there are."""
_PERIOD: Final = 1.0
"""The least seconds between two lines of a step's log."""


class _Stopped(Exception):
    """It was told to stop before it had begun."""


async def perform(
    connection: Connection,
    job: Job,
    listener: Listener,
    stop: asyncio.Event,
    *,
    patience: float = 20.0,
) -> Ended:
    """Run a population on nodes, and again where one of them is lost.

    It gives the same, to the last bit, on any number of nodes, and however often it begins.
    Cancelled, it ends everything at once.

    Args:
        connection: The cluster.
        job: The population.
        listener: Is told how far it is, and what is lost.
        stop: Is set when it shall end after the ticks that are being done, and save them.
        patience: Seconds that it waits, where a node is lost, for another one to come.

    Raises:
        SpecError: What it is told makes no sense.
        Refused: There are no such nodes, another process uses its checkpoint, or it cannot be kept.
        GroupLost: Nodes or processes were lost too often.
    """
    if job.nodes not in NODES or job.nodes * job.each not in NODES:
        raise Refused(
            f"{job.nodes} nodes with {job.each} processes each cannot share a population evenly: "
            f"give {', '.join(map(str, NODES))} in all"
        )
    async with AsyncExitStack() as stack:
        if job.checkpoint is not None:
            job.checkpoint.mkdir(parents=True, exist_ok=True)
            await stack.enter_async_context(aside(held(job.checkpoint)))
        saved, lost, nodes = _saved(job), 0, job.nodes
        while True:
            try:
                wait = patience if lost else None
                nodes = await _enough(connection, job, nodes, listener, stop, wait)
                return await _perform(connection, job, nodes, listener, stop)
            except _Stopped:
                return Ended(stopped=True)
            except (Gone, GroupLost) as error:
                before, saved = saved, _saved(job)
                lost = lost + 1 if saved == before else 1
                if lost == TRIES:
                    why = f"{error}; it was begun {TRIES} times and came no further"
                    raise GroupLost(why) from error
                if stop.is_set():
                    raise GroupLost(f"{error}, while it was to end") from error
                listener.say(f"{error}; {_way_on(saved)} (try {lost + 1} of {TRIES})")
                job = msgspec.structs.replace(job, resume="if same")


def _saved(job: Job) -> Saved | None:
    return None if job.checkpoint is None else saved_in(job.checkpoint)


def _way_on(saved: Saved | None) -> str:
    if saved is None:
        return "it begins with the first tick, as nothing is saved"
    return f"it goes on after tick {saved.tick:,}, where it was saved"


async def _perform(
    connection: Connection, job: Job, nodes: int, listener: Listener, stop: asyncio.Event
) -> Ended:
    """Run it once.

    Raises:
        Gone, GroupLost: A node or a process is.
    """
    async with _placed(connection, job, nodes, listener, stop) as seats:
        about = await all_of(ask(seat, "about") for seat in seats)
        await start(job, seats, about)
        attempt = Attempt(job, seats, [each["host"] for each in about], listener)
        return await attempt.finish(stop)


# ---- which nodes ----


async def _enough(
    connection: Connection,
    job: Job,
    nodes: int,
    listener: Listener,
    stop: asyncio.Event,
    patience: float | None,
) -> int:
    """See that there are nodes enough; gives how many to take.

    Args:
        connection: The cluster.
        job: What is asked of each.
        nodes: How many there were until now.
        listener: Is told of fewer.
        stop: Is set when it is waited for no longer.
        patience: Seconds to wait for others; None if all must be there.

    Raises:
        Refused: There are not, or none is left.
    """
    until = time.monotonic() + (patience or 0)
    while True:
        there = await asyncio.to_thread(connection.nodes)
        able = _able(there, job.place)
        if able >= nodes:
            return nodes
        if patience is None or (not able and time.monotonic() > until):
            raise Refused(
                f"a population of {nodes} {'node' if nodes == 1 else 'nodes'} needs as many that "
                f"offer {wish(_needs(job.place))}; there are {able} among the {len(there)} of the "
                "cluster: ask for fewer, or have more join"
            )
        if able and time.monotonic() > until:
            fewer = max(many for many in NODES if many <= able)
            listener.say(f"{nodes} nodes are no longer there: it goes on with {fewer}")
            return fewer
        if stop.is_set():
            raise _Stopped
        await asyncio.sleep(_LOOK)


def _needs(place: PlaceSpec) -> PlaceSpec:
    """What a group holds of each of its nodes: a core at least, so that heads are spared."""
    return msgspec.structs.replace(place, cpu=place.cpu or 1)


def _able(nodes: Sequence[Node], place: PlaceSpec) -> int:
    """How many nodes offer what is needed, if nobody else were there."""
    return sum(not node.leaving and fits(node, _needs(place)) for node in nodes)


def _bundle(place: PlaceSpec) -> dict[str, float]:
    """The same in Ray's words."""
    wanted = {"CPU": place.cpu, "GPU": place.gpu, "memory": float(place.memory)}
    wanted |= {TAG + tag: TAG_SHARE for tag in place.tags}
    return {name: number for name, number in wanted.items() if number}


@asynccontextmanager
async def _placed(
    connection: Connection, job: Job, nodes: int, listener: Listener, stop: asyncio.Event
) -> AsyncIterator[list[Seated]]:
    """Take a seat on each of so many nodes; nothing is left of them afterwards.

    Raises:
        Gone: One of the nodes is.
        Refused: One of them is of another version.
    """
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    place = _needs(job.place)
    group = placement_group([_bundle(place)] * nodes, strategy="STRICT_SPREAD")
    seats: list[Seated] = []
    try:
        told = False
        while not await asyncio.to_thread(group.wait, 1):
            if _able(await asyncio.to_thread(connection.nodes), job.place) < nodes:
                raise Gone("a node went before it could begin")
            if stop.is_set():
                raise _Stopped
            if not told:
                listener.say(f"waits until {nodes} nodes have room for it")
                told = True
        for number in range(nodes):
            part = PlacementGroupSchedulingStrategy(group, number)
            seats.append(begin(_ENTRY, {}, place=place, strategy=part))
        await _meet(seats, connection)
        yield seats
    finally:
        try:
            await _leave(seats)
        finally:
            remove_placement_group(group)


async def _meet(seats: Sequence[Seated], connection: Connection) -> None:
    """Wait until all seats are there.

    Raises:
        Gone: One does not come.
        Refused: One is of another version.
    """
    try:
        async with asyncio.timeout(_BIRTH):
            await asyncio.gather(*(seat.hello(connection.here) for seat in seats))
    except TimeoutError as error:
        raise Gone(f"a node has begun no process within {_BIRTH:.0f} s") from error


async def _leave(seats: Sequence[Seated]) -> None:
    """End all processes at once, and the seats."""
    closing = [asyncio.ensure_future(seat.ask("close")) for seat in seats]
    try:
        if closing:
            # One on a lost node never answers, and whatever was there ends by itself.
            await asyncio.wait(closing, timeout=_CLOSING)
    finally:
        # Whoever cannot wait leaves nobody there either.
        for task, seat in zip(closing, seats, strict=True):
            if not task.cancel() and not task.cancelled():
                task.exception()
            seat.end()


# ---- steps of plans ----


class NodeGroups:
    """Runs the populations of a plan's steps on a cluster; see `hocket.agents.population.Groups`.

    Args:
        connection: The cluster.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(
        self,
        given: Mapping[str, Json],
        folder: Path,
        base: Path,
        place: PlaceSpec | None,
        context: Context,
    ) -> Finished:
        """Run a population; its answer and its files lie in the folder then, as from one process.

        Raises:
            PeerError: Nodes or processes were lost too often.
            asyncio.CancelledError: The call was cancelled, and nothing of it is left.
        """
        stop = asyncio.Event()
        work = asyncio.create_task(self._ended(given, folder, base, place, context, stop))
        try:
            ended = await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            until = time.monotonic() + _SAVING
            while not (work.done() or context.hard or time.monotonic() > until):
                await asyncio.wait({work}, timeout=0.1)
            raise
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if ended.answer:
            await asyncio.to_thread((folder / ANSWER).write_bytes, ended.answer)
        status = 0 if ended.answer else 1
        return Finished(status=status, out=b"", err=b"", cut=False, notes=())

    async def _ended(
        self,
        given: Mapping[str, Json],
        folder: Path,
        base: Path,
        place: PlaceSpec | None,
        context: Context,
        stop: asyncio.Event,
    ) -> Ended:
        try:
            settings = read_settings(given)
            job = Job(
                settings=dict(given),
                base=base,
                nodes=settings.nodes or 1,
                place=place or PlaceSpec(),
                checkpoint=folder / kept_in(settings),
                target=lambda name, there: folder / there,
            )
            return await perform(self._connection, job, _Log(context), stop)
        except CallerError as error:
            lines = error.lines if isinstance(error, SpecError) else (str(error),)
            return Ended(stopped=False, answer=msgspec.json.encode({"problems": lines}))


class _Log:
    """Tells a step's log how far a population is, now and then."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told = float("-inf")

    def say(self, text: str) -> None:
        """Write a line."""
        self._context.emit(f"{text}\n")

    def note(self, line: str, progress: Mapping[str, Json]) -> None:
        """Write how far it is, if that was told a while ago or this is the end."""
        now = time.monotonic()
        if now - self._told >= _PERIOD or progress["tick"] == progress["ticks"]:
            self._told = now
            self.say(line)
