"""The workers of one supervisor: processes on nodes that do its calls, each begun when needed.

A worker is chosen for each call here, by what the call needs and how many each is doing.
What no worker has room for waits here, never in Ray.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from hocket.agents import base
from hocket.agents.base import Context
from hocket.cluster.connection import Connection, Node, has_ended
from hocket.cluster.grounds import LOOK, Grounds, Lookout
from hocket.cluster.placing import crowded, exclusive, free, lacking, wish
from hocket.cluster.seat import Crowded, Fallen, Gone, Seated, begin
from hocket.cluster.versions import Hello
from hocket.core.errors import AgentError, Fault, Refused
from hocket.core.specs import PlaceSpec

PATIENCE: Final = 60.0
"""Seconds for which a call waits for a node that offers what it needs."""

WARM: Final = 2
"""On how many nodes a supervisor has a worker before there is a call for it."""

SILENCE: Final = 30.0
"""Seconds without a word from a worker after which it counts as gone."""

_ENTRY: Final = "hocket.cluster.hands:Hands"
_START: Final = 30.0
_IDLE: Final = 5.0
"""Seconds after which a worker gives back what it holds: others may wait for it."""

_REST: Final = 10.0
_FALLEN: Final = 30.0
_PAUSE: Final = 2.0
_TRIES: Final = 3
_CLOSE: Final = 10.0
_MESSAGE: Final = 500

Room: TypeAlias = Callable[[int], int | None]
"""Says how many calls of an agent a machine with so many cores takes; None for any number."""


class Need(msgspec.Struct, frozen=True, eq=False):
    """What the calls of one agent need.

    Fields:
        crew: The agent, over all supervisors.
        place: What they need of a node.
        room: How many of them a machine takes.
    """

    crew: str
    place: PlaceSpec
    room: Room


class Worker:
    """A process on a node that does calls.

    Args:
        seat: The handle to it.
        node: Where it is.
        place: What it holds of that node.

    Attributes:
        calls: How many calls it is doing, or is about to.
        of: How many of each agent.
        hello: Who it is, once it is there.
        ended: Calls whose ends have come home, which it is not told yet.
        crews: The agents that it may have made.
        idle: The loop's time at which its last call ended.
    """

    def __init__(self, seat: Seated, node: Node, place: PlaceSpec) -> None:
        self.seat: Final = seat
        self.node: Final = node
        self.place: Final = place
        self.calls = 0
        self.of: Counter[str] = Counter()
        self.hello: Hello | None = None
        self.ended: list[str] = []
        self.crews: set[str] = set()
        self.idle = 0.0
        self.ready: asyncio.Task[Hello] | None = None

    def takes(self, need: Need) -> bool:
        """Tell whether it has room for another call."""
        if exclusive(self.place) or exclusive(need.place):
            return need.place == self.place and not self.calls
        # What a node offers to all who are there, any worker on it has.
        room = need.room(max(1, int(self.node.resources.get("CPU", 1))))
        return room is None or self.of[need.crew] < room


class Workers:
    """The workers of this process.

    Args:
        connection: The cluster.
        crew: ``module:attribute`` of what makes agents in a worker.
        patience: Seconds for which a call waits for a node that offers what it needs.
        silence: Seconds without a word after which a worker counts as gone.

    Attributes:
        connection: The cluster.
        silence: Seconds without a word after which a worker counts as gone.
    """

    def __init__(
        self,
        connection: Connection,
        crew: str,
        *,
        patience: float = PATIENCE,
        silence: float = SILENCE,
    ) -> None:
        self.connection: Final = connection
        self.silence: Final = silence
        self._crew = crew
        self._patience = patience
        self._grounds = Grounds(connection.nodes())
        self._workers: list[Worker] = []
        self._waiting: dict[Need, deque[asyncio.Event]] = {}
        self._kindling: set[asyncio.Task[None]] = set()
        self._lookout: Lookout | None = None

    @property
    def there(self) -> list[Worker]:
        """The workers that are there, or about to be."""
        return list(self._workers)

    def warm(self, most: int = WARM) -> None:
        """Begin workers for calls that need nothing special, so that the first need not wait.

        Args:
            most: On how many nodes; on others they begin when there are calls for them.
        """
        anywhere = PlaceSpec()
        good = [node for node in self._grounds.nodes.values() if self._grounds.good(node, anywhere)]
        # This machine's own dies with it, and is then of no use to whoever takes over.
        good.sort(key=lambda node: node.host != self.connection.here.host)
        for node in good[:most]:
            if not any(worker.node.id == node.id for worker in self._workers):
                self._kindle(self._begin(node, anywhere))

    def _kindle(self, worker: Worker) -> None:
        """Have a worker begin that no call waits for."""
        task = asyncio.create_task(self._kindled(worker), name="a worker ahead")
        self._kindling.add(task)
        task.add_done_callback(self._kindling.discard)

    async def _kindled(self, worker: Worker) -> None:
        try:
            await self._begun(worker)
        except Refused as error:
            self._grounds.refused[worker.node.id] = str(error)
            self.drop(worker)
        except Gone:
            self._grounds.rest(worker.node, _PAUSE)
            self.drop(worker)
        else:
            self._wake()

    async def take(self, need: Need, context: Context) -> Worker:
        """Give a worker that does a call; it is to be given back by `free`.

        Args:
            need: What the call needs.
            context: Is told what is waited for.

        Raises:
            AgentError: ``unavailable``: no node offers what it needs, and none has joined in time;
                ``permanent``: those that do are of other versions.
        """
        if self._lookout is None:
            self._lookout = Lookout(self.connection, asyncio.get_running_loop(), self._seen)
        patience, tries = _Patience(self._patience), 0
        while True:
            worker = await self._chosen(need, patience, context)
            try:
                if worker.hello is None:
                    base.waits(context, _awaited(need.place))
                    await self._begun(worker)
            except Refused as error:
                # That node gets no other try, so there is no end of them to fear.
                context.emit(f"{error}\n", "err")
                self._grounds.refused[worker.node.id] = str(error)
                self.drop(worker)
            except Fallen:
                # That node is let go of for a while, so there is no end of tries to fear.
                self.drop(worker)
            except Gone as error:
                # The node may be gone as well, which Ray knows only later: others come first.
                self._grounds.rest(worker.node, _PAUSE)
                self.drop(worker)
                if isinstance(error, Crowded):
                    patience.say(f"waits for room: {error}", context)
                    continue
                tries += 1
                if tries == _TRIES:
                    raise _unavailable(f"no worker could be begun: {error}") from error
            except BaseException:
                self.free(worker, need)
                raise
            else:
                base.waits(context, "")
                return worker

    def free(self, worker: Worker, need: Need) -> None:
        """Give a worker back whose call is over."""
        worker.calls -= 1
        worker.of[need.crew] -= 1
        if not worker.of[need.crew]:
            del worker.of[need.crew]
        if not worker.calls:
            worker.idle = asyncio.get_running_loop().time()
            if not self._grounds.stays(worker.node):
                self.drop(worker)
        self._wake()

    def drop(self, worker: Worker) -> None:
        """Let go of a worker and end its process; its calls find out by themselves."""
        if worker in self._workers:
            self._workers.remove(worker)
            worker.seat.end()
            self._wake()

    def fell(self, node: Node) -> None:
        """Let go of a node whose Ray is gone, before Ray has noticed."""
        self._grounds.fell(node, _FALLEN)
        for worker in self.there:
            if worker.node.id == node.id:
                self.drop(worker)

    async def dismiss(self, crew: str) -> None:
        """Have an agent closed wherever it is."""
        there = [worker for worker in self._workers if crew in worker.crews]
        for worker in there:
            worker.crews.discard(crew)
        await _all(worker.seat.ask("dismiss", crew) for worker in there)

    async def close(self) -> None:
        """End all workers, and the connection."""
        if self._lookout is not None:
            self._lookout.stop()
        for task in self._kindling:
            task.cancel()
        workers, self._workers = self._workers, []
        for worker in workers:
            if worker.hello is None and worker.ready is not None:
                worker.ready.cancel()
        await _all(worker.seat.ask("close") for worker in workers if worker.hello is not None)
        for worker in workers:
            worker.seat.end()
        self.connection.close()

    # -- who does it ------------------------------------------------------------------------

    def _choose(self, need: Need) -> Worker | None:
        """Choose the worker that does the fewest calls, or begin one; None if none has room.

        One that is there comes before one that has yet to begin.
        """
        good = partial(self._grounds.good, place=need.place)
        found = [w for w in self._workers if good(w.node) and w.takes(need)]
        best = min(found, key=_load, default=None)
        if best is None or best.calls:
            node = self._vacant(need)
            if node is not None:
                fresh = self._begin(node, need.place)
                if best is None or best.hello is None:
                    best = fresh
                else:
                    # The call need not wait for it; those that come later find it there.
                    self._kindle(fresh)
        if best is not None:
            best.calls += 1
            best.of[need.crew] += 1
            best.crews.add(need.crew)
        return best

    def _vacant(self, need: Need) -> Node | None:
        """Choose a node for another worker: that with the fewest calls; None if there is none."""
        found: list[tuple[int, str, Node]] = []
        for node in self._grounds.nodes.values():
            here = [worker for worker in self._workers if worker.node.id == node.id]
            if not self._grounds.good(node, need.place) or self._grounds.rests(node):
                continue
            if exclusive(need.place):
                held = [worker.place for worker in here]
                kept = [worker.place for worker in here if worker.calls]
                if not free(node, held, need.place):
                    if not free(node, kept, need.place):
                        continue
                    # What others have left there stands in the way.
                    for worker in [worker for worker in here if not worker.calls]:
                        self.drop(worker)
            elif any(not exclusive(worker.place) for worker in here):
                continue
            found.append((sum(worker.calls for worker in here), node.id, node))
        return min(found)[2] if found else None

    def _begin(self, node: Node, place: PlaceSpec) -> Worker:
        options = {"crew": self._crew, "beat": self.silence / 3}
        worker = Worker(begin(_ENTRY, options, node=node.id, place=place), node, place)
        self._workers.append(worker)
        return worker

    async def _begun(self, worker: Worker) -> None:
        """Wait until a worker is there.

        Raises:
            Refused: It is of another version.
            Gone: It could not be begun in time.
        """
        if worker.hello is not None:
            return
        if worker.ready is None:
            worker.ready = asyncio.create_task(self._greet(worker), name="a worker")
        worker.hello = await asyncio.shield(worker.ready)

    async def _greet(self, worker: Worker) -> Hello:
        if await has_ended(worker.node):
            self.fell(worker.node)
            raise Fallen(f"the Ray of {worker.node.host} has ended")
        try:
            async with asyncio.timeout(_START):
                return await worker.seat.hello(self.connection.here)
        except TimeoutError:
            node, place = worker.node, worker.place
            if exclusive(place):
                # What it may hold itself is not to be taken for others'.
                worker.seat.end()
                await asyncio.sleep(LOOK)
                if await asyncio.to_thread(crowded, node, place):
                    raise Crowded(f"others hold {wish(place)} of {node.host}") from None
            self._grounds.rest(node, _REST)
            raise Gone(f"no worker began on {node.host} within {_START:g} s") from None

    # -- who waits --------------------------------------------------------------------------

    def _bear(self, need: Need, patience: _Patience, context: Context) -> bool:
        """Tell whether a node offers what is waited for; if none does, say so, and not for ever.

        Raises:
            AgentError: It has been waited for long enough.
        """
        if any(self._grounds.good(node, need.place) for node in self._grounds.nodes.values()):
            patience.rest()
            return True
        if (skew := self._grounds.skew(need.place)) is not None:
            raise AgentError(Fault(kind="permanent", message=skew))
        lack = lacking(self._grounds.standing, need.place)
        if patience.begins():
            context.emit(f"waits for a node: {lack}\n", "err")
        elif patience.over():
            raise _unavailable(f"{lack}; none has joined within {self._patience:g} s")
        return False

    async def _chosen(self, need: Need, patience: _Patience, context: Context) -> Worker:
        """Wait until a worker has room, behind those who came before.

        Raises:
            AgentError: As `_bear`.
        """
        queue, turn = self._waiting.setdefault(need, deque()), asyncio.Event()
        queue.append(turn)
        try:
            while True:
                if queue[0] is turn and (worker := self._choose(need)) is not None:
                    return worker
                offered = self._bear(need, patience, context)
                base.waits(context, _awaited(need.place, offered=offered))
                try:
                    async with asyncio.timeout(LOOK):
                        await turn.wait()
                except TimeoutError:
                    # Patience may be over.
                    continue
                turn.clear()
        finally:
            queue.remove(turn)
            if queue:
                queue[0].set()
            else:
                del self._waiting[need]

    def _wake(self) -> None:
        """Let the first of each kind look again."""
        for queue in self._waiting.values():
            queue[0].set()

    # -- what is there ----------------------------------------------------------------------

    def _seen(self, nodes: list[Node]) -> None:
        """Take in which nodes there are."""
        self._grounds.nodes = {node.id: node for node in nodes}
        idle = asyncio.get_running_loop().time() - _IDLE
        for worker in list(self._workers):
            spare = exclusive(worker.place) and worker.idle < idle
            if not worker.calls and (spare or not self._grounds.stays(worker.node)):
                self.drop(worker)
        self._wake()


class _Patience:
    """How long something has been waited for that is not there."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._since: float | None = None
        self._said = ""

    def say(self, what: str, context: Context) -> None:
        """Say what is waited for, unless that was said last."""
        if what != self._said:
            self._said = what
            context.emit(f"{what}\n", "err")

    def rest(self) -> None:
        """It is there."""
        self._since = None

    def begins(self) -> bool:
        """Tell whether the wait begins now."""
        if self._since is not None:
            return False
        self._since = asyncio.get_running_loop().time()
        return True

    def over(self) -> bool:
        """Tell whether it has lasted long enough."""
        now = asyncio.get_running_loop().time()
        return self._since is not None and now - self._since >= self._most


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    """Wait for all, but not for ever: a worker that is gone is to be asked nothing."""
    done = asyncio.gather(*work, return_exceptions=True)
    try:
        async with asyncio.timeout(_CLOSE):
            await done
    except TimeoutError:
        return


def _load(worker: Worker) -> tuple[bool, int, str]:
    return worker.hello is None, worker.calls, worker.node.id


def _awaited(place: PlaceSpec, *, offered: bool = True) -> str:
    """Say in a few words what a call waits for."""
    if not offered:
        return f"a node that offers {wish(place)}"
    return f"room for {wish(place)} on the cluster" if exclusive(place) else "a worker"


def _unavailable(message: str) -> AgentError:
    return AgentError(Fault(kind="unavailable", message=message[:_MESSAGE]))
