"""On which nodes of a cluster a supervisor may have workers, as far as it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hocket.cluster.connection import Node
from hocket.cluster.placing import fits
from hocket.core.specs import PlaceSpec


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
