"""An agent whose calls are done on other machines, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final

from hocket.agents import base
from hocket.agents.base import Agent, Context, Estimate, Reply, Request
from hocket.cluster.connection import connect, has_ended
from hocket.cluster.frames import (
    PIECE,
    Answer,
    Ask,
    Batch,
    Cancelled,
    Emitted,
    Failed,
    Fetch,
    Finished,
    Order,
    Said,
    Sent,
    Spent,
    Store,
    Told,
    Unmade,
    batch_of,
    encode,
    reply_of,
)
from hocket.cluster.populations import NodeGroups
from hocket.cluster.seat import Fallen, Gone, Unreachable
from hocket.cluster.workers import Need, Room, Worker, Workers
from hocket.core.errors import AgentError, Fault, PeerError, Refused, WorkerLost
from hocket.core.people import Consent
from hocket.core.specs import AgentSpec, PlaceSpec

LOSSES: Final = 3
"""After how many workers that died with it in a row a call has failed."""

_AGAIN: Final = 0.5
_NUMBERS: Final = itertools.count(1)
_PROCESS: Final = uuid.uuid4().hex[:12]
_ANYWHERE: Final = PlaceSpec()


class RemoteAgent:
    """Has an agent's calls done by workers; what is said of it beforehand is said here.

    Args:
        name: The agent's name.
        spec: Its spec.
        here: The same agent in this process: it estimates, and does nothing.
        workers: Who does the calls.
        room: How many of them a machine takes.
    """

    def __init__(
        self, name: str, spec: AgentSpec, here: Agent, workers: Workers, room: Room
    ) -> None:
        self._name = name
        self._spec = spec
        self._here = here
        self._workers = workers
        self._need = Need(f"{_PROCESS}-{next(_NUMBERS)}", spec.place or _ANYWHERE, room)
        self._paths = tuple(path for path in sys.path if path and not _installed(path))
        self._losses: dict[tuple[str, str], int] = {}
        self.announces: Final = base.announces(here)

    def estimate(self, request: Request) -> Estimate:
        """Estimate a call."""
        return base.estimate(self._here, request)

    async def ready(self) -> None:
        """Find out what estimates need."""
        await base.ready(self._here)

    def content(self) -> str | None:
        """Name by content what the spec does not hold."""
        return base.content(self._here)

    async def call(self, request: Request, context: Context) -> Reply:
        """Have one call done.

        Raises:
            AgentError: It failed there, or no node offers what it needs.
            WorkerLost: The worker died with it.
            asyncio.CancelledError: It was cancelled, and everything it had begun is stopped.
        """
        key = request.run, request.call.path
        losses = self._losses.pop(key, 0)
        worker = await self._workers.take(self._need, context)
        ended, worker.ended = tuple(worker.ended), []
        crew, spec = self._need.crew, self._spec
        order = Order(crew, self._name, spec, self._paths, request, ended)
        errand = _Errand(worker, f"{_PROCESS}-{next(_NUMBERS)}", context, self._workers.silence)
        try:
            return await errand.run(encode(order))
        except Gone as error:
            if isinstance(error, Fallen):
                self._workers.fell(worker.node)
            self._workers.drop(worker)
            raise self._lost(errand, key, losses + 1, error) from error
        except Refused as error:
            # It lives, but has given this call up: it had not been asked for it for too long.
            raise self._lost(errand, key, losses + 1, error) from error
        finally:
            self._workers.free(worker, self._need)

    async def close(self) -> None:
        """Close the agent, here and wherever it is."""
        await self._here.close()
        await self._workers.dismiss(self._need.crew)

    def _lost(
        self, errand: _Errand, key: tuple[str, str], count: int, error: Exception
    ) -> PeerError:
        """Say that a worker has died with a call, so many in a row."""
        context, host = errand.context, errand.worker.node.host
        if self.announces and not errand.sent:
            # It may have left, and nobody has heard of it.
            context.sent()
        said = f"its worker on {host} is gone: {error}"
        context.emit(f"{said}\n", "err")
        if count < LOSSES:
            self._losses[key] = count
            return WorkerLost(said)
        message = f"{count} workers in a row died while they did it; the last one: {said}"
        return AgentError(Fault(kind="lost", message=message[:500]))


class _Errand:
    """One call on its way: asks its worker for what it says, and does what it asks for.

    Args:
        worker: Who does it.
        call: Names it over all calls of this process and others.
        context: What the engine lends to it.
        silence: Seconds without a word from the worker after which it counts as gone.

    Attributes:
        sent: Whether its request is known to have left.
    """

    def __init__(self, worker: Worker, call: str, context: Context, silence: float) -> None:
        self.worker: Final = worker
        self.context: Final = context
        self.sent = False
        self._call = call
        self._silence = silence
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, order: bytes) -> Reply:
        """Do it.

        Raises:
            AgentError: It failed.
            Gone: Its worker died, or says nothing any more.
            Refused: Its worker has given it up.
            asyncio.CancelledError: It was cancelled, and has ended.
        """
        listening = asyncio.create_task(self._listen(order))
        try:
            while True:
                try:
                    return await asyncio.shield(listening)
                except asyncio.CancelledError:
                    if listening.done():
                        return listening.result()
                    self._spawn(self._stop(self.context.hard))
        finally:
            for task in (listening, *self._tasks):
                task.cancel()

    async def _listen(self, order: bytes) -> Reply:
        got = 0
        while True:
            batch = await self._batch(order, got)
            if batch.number <= got:
                continue
            got = batch.number
            for said in batch.said:
                reply = self._hear(said, batch.now)
                if reply is not None:
                    return reply

    async def _batch(self, order: bytes, got: int) -> Batch:
        """Ask for what the call says next; a short call needs to be asked once."""
        method, args = ("more", (self._call, got)) if got else ("call", (self._call, order))
        clock = asyncio.get_running_loop().time
        heard = clock()
        while True:
            try:
                async with asyncio.timeout(self._silence * 2 / 3):
                    return batch_of(await self.worker.seat.ask(method, *args))
            except TimeoutError:
                # What it does may hold up all else there.
                if not await self.worker.seat.alive(self._silence / 3):
                    raise Gone(f"it has said nothing for {clock() - heard:.0f} s") from None
                heard = clock()
            except Unreachable:
                await self._bear(heard)

    def _hear(self, said: Said, now: int) -> Reply | None:
        """Do what a frame says; gives the reply, if it is that."""
        context = self.context
        match said:
            case Emitted():
                context.emit(said.text, said.stream)
            case Spent():
                context.spend(said.usage)
            case Sent():
                self.sent = True
                context.sent(max(0, now - said.at))
            case Told():
                context.told(said.quotas)
            case Store() | Fetch() | Ask():
                self._spawn(self._serve(said))
            case Finished():
                self.worker.ended.append(self._call)
                return reply_of(said.reply)
            case Failed():
                self.worker.ended.append(self._call)
                raise AgentError(said.fault, said.usage)
            case Unmade():
                self.worker.ended.append(self._call)
                message = f"{said.message} (on {self.worker.node.host})"
                raise AgentError(Fault(kind="permanent", message=message[:500]))
            case Cancelled():
                self.worker.ended.append(self._call)
                raise asyncio.CancelledError
        return None

    # -- what the call asks for ---------------------------------------------------------------

    async def _serve(self, wish: Store | Fetch | Ask) -> None:
        """Give a call what it asks for, or say why not."""
        answer = Answer(wish.number)
        try:
            if isinstance(wish, Store):
                answer = await self._store(wish)
            elif isinstance(wish, Fetch):
                await self._fetch(wish)
            else:
                consent: Consent = await self.context.ask(wish.shown)
                answer = Answer(wish.number, yes=bool(consent), why=consent.why)
        except AgentError as error:
            answer = Answer(wish.number, fault=error.fault)
        except (OSError, Refused) as error:
            answer = Answer(wish.number, fault=Fault(kind="permanent", message=str(error)))
        except Gone:
            # Whoever listens finds out as well.
            return
        await self._ask("answer", encode(answer))

    async def _store(self, wish: Store) -> Answer:
        with tempfile.TemporaryDirectory(prefix="hocket-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "file"
            with await asyncio.to_thread(path.open, "wb") as file:
                for start in range(0, wish.size, PIECE):
                    size = min(PIECE, wish.size - start)
                    data: bytes = await self._ask("read", wish.number, start, size)
                    if len(data) != size:
                        raise OSError(f"{wish.name} became shorter while it was read")
                    await asyncio.to_thread(file.write, data)
            return Answer(wish.number, ref=await self.context.store(path, wish.name))

    async def _fetch(self, wish: Fetch) -> None:
        path = await self.context.fetch(wish.ref)
        for start in range(0, wish.ref.size, PIECE):
            data = await asyncio.to_thread(_piece, path, start)
            await self._ask("write", wish.number, wish.ref.name, start, data)

    async def _stop(self, hard: bool) -> None:
        await self._ask("stop", hard)

    async def _ask(self, method: str, *args: Any) -> Any:
        """Ask the worker something about the call, again while it cannot be reached.

        Raises:
            Gone: It is gone.
            Refused: It will not.
        """
        since = asyncio.get_running_loop().time()
        while True:
            try:
                return await self.worker.seat.ask(method, self._call, *args)
            except Unreachable:
                await self._bear(since)

    async def _bear(self, since: float) -> None:
        """Wait a little for a worker that cannot be reached, if there is hope.

        Raises:
            Gone: There is none.
        """
        node = self.worker.node
        if await has_ended(node):
            raise Fallen(f"the Ray of {node.host} has ended")
        if asyncio.get_running_loop().time() - since >= self._silence:
            raise Gone(f"it could not be reached for {self._silence:g} s")
        await asyncio.sleep(_AGAIN)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            try:
                await work
            except (Gone, Refused):
                # Whoever listens finds out as well.
                return

        task = asyncio.create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _piece(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(PIECE)


def _installed(path: str) -> bool:
    """Tell whether a folder of modules belongs to this Python, which every node has its own of."""
    return any(path.startswith(prefix + os.sep) for prefix in {sys.prefix, sys.base_prefix})


class OnCluster:
    """Has the calls of this process done on a cluster.

    Args:
        address: The cluster, as for `hocket.cluster.connection.connect`.
        crew: ``module:attribute`` of what makes agents in its workers.

    Raises:
        Refused: There is no such cluster, or it is of another version.
    """

    def __init__(self, address: str, crew: str) -> None:
        connection = connect(address)
        try:
            self._workers = Workers(connection, crew)
        except BaseException:
            connection.close()
            raise
        self.groups: Final = NodeGroups(connection)

    def warm(self) -> None:
        """Begin some workers before there are calls for them."""
        self._workers.warm()

    def agent(self, name: str, spec: AgentSpec, here: Agent, room: Room) -> RemoteAgent:
        """Give an agent whose calls are done by workers."""
        return RemoteAgent(name, spec, here, self._workers, room)

    async def close(self) -> None:
        """End the workers, and the connection."""
        await self._workers.close()
