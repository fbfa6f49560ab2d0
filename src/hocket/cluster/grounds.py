"""On which nodes of a cluster a supervisor may have workers, as far as it knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Final

from hocket.cluster.connection import Connection, Node
from hocket.cluster.placing import fits
from hocket.core.errors import Refused
from hocket.core.specs import PlaceSpec

LOOK: Final = 1.0
"""Seconds between two looks at which nodes there are."""


class Grounds:
    """The nodes that there are, and what stands against them.

    Args:
        nodes: The nodes.

    Attributes:
        nodes: The nodes by id.
        refused: Nodes whose versions differ, and what was said of it.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.refused: dict[str, str] = {}
        self._resting: dict[str, float] = {}
        """Nodes on which no worker could be begun, and the loop's time of the next attempt."""

    def stays(self, node: Node) -> bool:
        """Tell whether a node is there, and is not about to go."""
        here = self.nodes.get(node.id)
        return here is not None and not here.leaving

    def good(self, node: Node, place: PlaceSpec) -> bool:
        """Tell whether a node may get calls of a place."""
        return self.stays(node) and node.id not in self.refused and fits(node, place)

    def rests(self, node: Node) -> bool:
        """Tell whether no worker is to be begun on a node for now."""
        return self._resting.get(node.id, 0.0) > asyncio.get_running_loop().time()

    def rest(self, node: Node, seconds: float) -> None:
        """Begin no worker on a node for a while."""
        until = asyncio.get_running_loop().time() + seconds
        self._resting[node.id] = max(until, self._resting.get(node.id, 0.0))

    def skew(self, place: PlaceSpec) -> str | None:
        """Give what was said of the versions of nodes that would do; None if there is none."""
        found = (node for node in self.nodes.values() if node.id in self.refused)
        return next((self.refused[node.id] for node in found if fits(node, place)), None)


class Lookout:
    """Sees which nodes there are, in a thread of its own: a head that is gone answers nobody.

    Args:
        connection: The cluster.
        loop: Where it is told.
        seen: Is told the nodes, once a second.
    """

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        seen: Callable[[list[Node]], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._seen = seen
        self._over = threading.Event()
        threading.Thread(target=self._look, name="hocket nodes", daemon=True).start()

    def stop(self) -> None:
        """See no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(LOOK):
            try:
                nodes = self._connection.nodes()
                if not self._over.is_set():
                    self._loop.call_soon_threadsafe(self._seen, nodes)
            except (Refused, RuntimeError):
                # Workers that are there need no head; without a loop nobody is to be told.
                continue
