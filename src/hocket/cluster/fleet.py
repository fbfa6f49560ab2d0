"""The child that keeps supervisors in a cluster; see `hocket.cluster.supervisors`.

It is told what to do on its standard input, and says how it goes on its standard output, in lines
of JSON. It ends when its input does, or when the cluster does not answer, and its supervisors with
it: what they drive is nobody's then, and taken up by others.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Set
from typing import Any, Final, NamedTuple

import msgspec

from hocket.cluster.connection import Connection, Node, connect
from hocket.cluster.seat import Gone, Seated, Unreachable, begin
from hocket.cluster.supervisors import Leave, Orders, Post, Word
from hocket.core.errors import HocketError, Refused

_EVERY: Final = 1.0
_BIRTH: Final = 90.0
"""Seconds within which a process of Ray is there."""
_ANSWER: Final = 10.0
"""Seconds within which the cluster, and a supervisor, says how it goes."""
_AGAIN: Final = 10.0
"""Seconds before another supervisor is begun on a node where one could not be."""
_DRAIN: Final = 20.0
"""Seconds that calls in flight have on a node that is drained, of the thirty that Ray gives it."""


class _Placed(NamedTuple):
    """A supervisor on a node."""

    node: str
    host: str
    pid: int
    seated: Seated


class Fleet:
    """Keeps supervisors in a cluster.

    Args:
        connection: The connection to it.
        orders: How many, and of which journal.
        tell: Is told how it goes.
    """

    def __init__(
        self, connection: Connection, orders: Orders, tell: Callable[[Word], None]
    ) -> None:
        self._connection = connection
        self._orders = orders
        self._tell = tell
        self._placed: list[_Placed] = []
        self._beginning: dict[asyncio.Task[None], str] = {}
        self._parting: set[asyncio.Task[tuple[str, ...]]] = set()
        self._not_before: dict[str, float] = {}
        self._refused = ""

    async def keep(self) -> None:
        """Begin what is missing, and say how it goes, for ever.

        Raises:
            Refused: The cluster does not answer.
        """
        found: tuple[Post, ...] = ()
        while True:
            nodes = await self._nodes()
            # A word between: a slow head and a slow supervisor together are no silence.
            self._tell(Word(nodes=len(nodes), posts=found))
            self._part({node.id for node in nodes if node.leaving})
            for node in self._wanted(nodes):
                task = asyncio.create_task(self._begin(node))
                self._beginning[task] = node.id
                task.add_done_callback(lambda done: self._beginning.pop(done, None))
            posts = await asyncio.gather(*(self._ask(placed) for placed in self._placed))
            found = tuple(post for post in posts if post is not None)
            self._tell(Word(nodes=len(nodes), posts=found, refused="" if found else self._refused))
            await asyncio.sleep(_EVERY)

    async def leave(self, seconds: float) -> tuple[str, ...]:
        """Have every supervisor give its runs up; gives the runs."""
        asked = [one.seated.ask("drain", seconds) for one in self._placed]
        given = await asyncio.gather(*asked, *self._parting, return_exceptions=True)
        return tuple(run for left in given if not isinstance(left, BaseException) for run in left)

    async def _nodes(self) -> list[Node]:
        try:
            async with asyncio.timeout(_ANSWER):
                return await asyncio.to_thread(self._connection.nodes)
        except TimeoutError as error:
            raise Refused(f"the cluster at {self._orders.address} does not answer") from error

    def _part(self, leaving: Set[str]) -> None:
        """Have supervisors on nodes that are drained give their runs up, which others take up."""
        for placed in [one for one in self._placed if one.node in leaving]:
            self._placed.remove(placed)
            task = asyncio.create_task(_drain(placed.seated))
            self._parting.add(task)
            task.add_done_callback(self._parting.discard)

    def _wanted(self, nodes: list[Node]) -> list[Node]:
        """Give the nodes on which one more is to begin, one each at most."""
        held = Counter([one.node for one in self._placed] + list(self._beginning.values()))
        now = time.monotonic()
        free = [node for node in nodes if not node.leaving]
        able = [node for node in free if self._not_before.get(node.id, 0.0) <= now]
        if self._orders.count is None:
            return [node for node in able if not held[node.id]]
        missing = max(0, self._orders.count - held.total())
        return sorted(able, key=lambda node: held[node.id])[:missing]

    async def _begin(self, node: Node) -> None:
        orders = self._orders
        told: dict[str, Any] = {
            "lease": orders.lease,
            "most": orders.most,
            # It belongs to the cluster that has begun it, whatever the address from outside.
            "cluster": "auto",
        }
        seated = begin(orders.entry, told, node=node.id)
        try:
            async with asyncio.timeout(_BIRTH):
                hello = await seated.hello(self._connection.here)
                # Ray keeps what a process begins with: the address is told to the process alone.
                await seated.ask("open", orders.journal)
        except (HocketError, TimeoutError) as error:
            named = isinstance(error, Refused) and node.host in str(error)
            why = f"no supervisor can begin on node {node.host}: {error}"
            self._refused = str(error) if named else why
            self._not_before[node.id] = time.monotonic() + _AGAIN
            seated.end()
            return
        self._refused = ""
        self._placed.append(_Placed(node.id, hello.host, hello.pid, seated))

    async def _ask(self, placed: _Placed) -> Post | None:
        """Ask a supervisor what it is at; one that is gone is struck off."""
        try:
            async with asyncio.timeout(_ANSWER):
                driven = (await placed.seated.ask("report")).driven
        except Unreachable:
            # Ray decides whether it is dead; let go of, it would end, and it may hold runs.
            return None
        except Gone:
            self._placed.remove(placed)
            return None
        except (HocketError, TimeoutError):
            return None
        return Post(node=placed.node, host=placed.host, pid=placed.pid, driven=driven)


async def _drain(seated: Seated) -> tuple[str, ...]:
    """Have a supervisor leave, and end it; gives the runs that it gave up, as far as is known."""
    try:
        async with asyncio.timeout(_DRAIN + _ANSWER):
            return tuple(await seated.ask("drain", _DRAIN))
    except (HocketError, TimeoutError):
        # It went with its node: its runs are nobody's once its lease has lapsed.
        return ()
    finally:
        seated.end()


def main() -> None:
    """Work until the input ends, or the cluster does not answer."""
    # Whatever else writes to the standard output must not be taken for ours.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def tell(word: Word) -> None:
        try:
            out.write(msgspec.json.encode(word) + b"\n")
        except OSError:
            os._exit(1)

    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    try:
        connection = connect(orders.address)
        asyncio.run(_work(connection, orders, tell))
    except HocketError as error:
        tell(Word(refused=str(error)))
    except Exception as error:
        tell(Word(refused=f"supervisors cannot be kept: {error!r}"))
    # Ray's own end may wait for a head that is gone.
    os._exit(0)


async def _work(connection: Connection, orders: Orders, tell: Callable[[Word], None]) -> None:
    fleet = Fleet(connection, orders, tell)
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[Leave | None] = loop.create_future()
    threading.Thread(target=_listen, args=(loop, asked), daemon=True).start()
    keeping = asyncio.create_task(fleet.keep())
    either: list[asyncio.Future[Any]] = [keeping, asked]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not asked.done():
        # It ends only with an error.
        await keeping
        return
    keeping.cancel()
    leave = asked.result()
    if leave is not None:
        tell(Word(left=await fleet.leave(leave.seconds)))
    connection.close()


def _listen(loop: asyncio.AbstractEventLoop, asked: asyncio.Future[Leave | None]) -> None:
    """Wait for the word to leave, or for the end of whoever could say it."""
    line = sys.stdin.buffer.readline()
    leave = msgspec.json.decode(line, type=Leave) if line else None
    loop.call_soon_threadsafe(asked.set_result, leave)


if __name__ == "__main__":
    main()
