"""On which nodes of a cluster a supervisor may have workers, as far as it knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from hocket.cluster.connection import Connection, Node, Renewed
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
        self._fallen: dict[str, float] = {}
        """Nodes whose Ray is gone though they are told of, and until when that is believed."""

    def stays(self, node: Node) -> bool:
        """Tell whether a node is there, and is not about to go."""
        here = self.nodes.get(node.id)
        return here is not None and not here.leaving

    def good(self, node: Node, place: PlaceSpec) -> bool:
        """Tell whether a node may get calls of a place."""
        held = node.id in self.refused or self._has_fallen(node)
        return self.stays(node) and not held and fits(node, place)

    @property
    def standing(self) -> list[Node]:
        """The nodes that are not known to have fallen."""
        return [node for node in self.nodes.values() if not self._has_fallen(node)]

    def fell(self, node: Node, seconds: float) -> None:
        """Take a node for gone, for a while: others may tell of it for longer."""
        self._fallen[node.id] = asyncio.get_running_loop().time() + seconds

    def _has_fallen(self, node: Node) -> bool:
        until = self._fallen.get(node.id)
        return until is not None and asyncio.get_running_loop().time() < until

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

    def _leave(self) -> None:
        """Give up all that is there, as the head has: the next look joins another cluster."""
        # In the loop, so that nobody there asks anything of Ray meanwhile.
        self._connection.leave()
        self._seen([])

    def _look(self) -> None:
        while not self._over.wait(LOOK):
            try:
                nodes = self._connection.nodes()
                if not self._over.is_set():
                    self._loop.call_soon_threadsafe(self._seen, nodes)
            except Renewed:
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._leave)
            except (Refused, RuntimeError):
                # Workers that are there need no head; without a loop nobody is to be told.
                continue
