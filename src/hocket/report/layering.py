"""Layers for a graph without cycles: which node stands in which layer, and where.

Each node stands a layer behind all that lead to it.
Within a layer nodes stand in the order of what they hang on, found by sweeps to and fro, and then
as near to it as the space between them allows.
An edge over several layers runs along its source's trunk, a line that has a place of its own in
each layer that it passes.
The same graph gives the same places: nothing is drawn by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isqrt
from typing import Final, NamedTuple

import msgspec

BETWEEN: Final = 72
"""Pixels from one layer to the next."""
APART: Final = 14
"""Pixels between two nodes of a layer."""
LANE: Final = 10
"""How wide the lane of a trunk is, in pixels."""
_FOLD: Final = 24
"""A layer of no more nodes is never folded."""
_SWEEPS: Final = 8
_FEW_SWEEPS: Final = 4
_MANY: Final = 2_000
"""A graph of more nodes gets few sweeps."""
_PULLS: Final = 6
_TRUNK: Final = 8.0
"""How much stronger a trunk keeps straight than a node keeps to its neighbours."""


class Size(NamedTuple):
    """How much room a node takes, in pixels."""

    width: int
    height: int


class Layers(msgspec.Struct, kw_only=True):
    """Where everything stands.

    Fields:
        layer: The layer of each node, from 0.
        x: The left of each node, in pixels.
        y: The top of each node.
        trunks: Where the trunk of a node passes the layers behind it, one point for each.
        width: In pixels.
        height: In pixels.
    """

    layer: list[int]
    x: list[int]
    y: list[int]
    trunks: dict[int, list[tuple[int, int]]]
    width: int
    height: int


def arrange(sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> Layers:
    """Find a place for each node.

    The trunks of the longest edges are left out where there would be far more of them than nodes;
    such an edge has no way of its own.

    Args:
        sizes: The room that each node takes.
        edges: From which node to which, by their places in `sizes`; they make no cycle.
    """
    if not sizes:
        return Layers(layer=[], x=[], y=[], trunks={}, width=0, height=0)
    work = _Work(sizes, edges)
    work.sweep()
    work.pull()
    return work.placed()


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Give each node's layer: one behind the last of those that lead to it."""
    after: list[list[int]] = [[] for _ in range(count)]
    left = [0] * count
    for since, until in edges:
        after[since].append(until)
        left[until] += 1
    layer = [0] * count
    ready = [node for node in range(count) if not left[node]]
    for node in ready:
        behind = layer[node] + 1
        for until in after[node]:
            layer[until] = max(layer[until], behind)
            left[until] -= 1
            if not left[until]:
                ready.append(until)
    return layer


class _Work:
    """A graph on its way; what stands in a layer is a node, or where a trunk passes: a dummy."""

    def __init__(self, sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.count = len(sizes)
        self.layer = _layers(self.count, edges)
        self.heights = [size.height for size in sizes]
        self.trunks: dict[int, list[int]] = {}
        """The dummies of each trunk, in the order of their layers."""
        self._trunk(edges)
        total = len(self.heights)
        self.above: list[list[int]] = [[] for _ in range(total)]
        self.below: list[list[int]] = [[] for _ in range(total)]
        self._join(edges)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for node in range(total):
            self.rows[self.layer[node]].append(node)
        self.most = max(_FOLD, 2 * isqrt(self.count))
        """So many nodes of a layer stand below one another; more of them stand in columns."""
        self.centre = [0.0] * total
        self._stack()

    def _trunk(self, edges: Sequence[tuple[int, int]]) -> None:
        last = list(self.layer)
        for since, until in edges:
            last[since] = max(last[since], self.layer[until])
        spans = [(last[node] - self.layer[node] - 1, node) for node in range(self.count)]
        room = 2 * self.count + 200
        for span, node in sorted(spans):
            if span <= 0:
                continue
            if span > room:
                break
            room -= span
            first = len(self.heights)
            self.trunks[node] = list(range(first, first + span))
            self.heights += [LANE] * span
            self.layer += range(self.layer[node] + 1, self.layer[node] + 1 + span)

    def _join(self, edges: Sequence[tuple[int, int]]) -> None:
        for node, trunk in self.trunks.items():
            self._link(node, trunk[0])
            for one, other in pairwise(trunk):
                self._link(one, other)
        for since, until in edges:
            span = self.layer[until] - self.layer[since]
            if span == 1:
                self._link(since, until)
            elif since in self.trunks:
                self._link(self.trunks[since][span - 2], until)

    def _link(self, one: int, other: int) -> None:
        self.below[one].append(other)
        self.above[other].append(one)

    # ---- the order within layers ----

    def sweep(self) -> None:
        """Order each layer by the means of what its nodes hang on, to and fro."""
        sweeps = _SWEEPS if self.count <= _MANY else _FEW_SWEEPS
        place = [0.0] * len(self.heights)
        for row in self.rows:
            _number(row, place)
        for number in range(sweeps):
            beside = self.below if number % 2 else self.above
            rows = reversed(self.rows) if number % 2 else iter(self.rows)
            for row in rows:
                means = {
                    node: sum([place[other] for other in beside[node]]) / len(beside[node])
                    if beside[node]
                    else place[node]
                    for node in row
                }
                row.sort(key=means.__getitem__)
                _number(row, place)
        self._stack()

    def _stack(self) -> None:
        """Put the nodes of each layer below one another, and all layers on one middle."""
        for row in self.rows:
            y = 0.0
            for node in row:
                self.centre[node] = y + self.heights[node] / 2
                y += self.heights[node] + APART
            middle = (y - APART) / 2
            for node in row:
                self.centre[node] -= middle

    # ---- places within layers ----

    def pull(self) -> None:
        """Move nodes as near to their neighbours as the others in their layer allow."""
        for number in range(_PULLS):
            beside, last = (self.below, True) if number % 2 else (self.above, False)
            for row in reversed(self.rows) if last else self.rows:
                if self._nodes(row) <= self.most:
                    self._settle(row, beside)
        for row in self.rows:
            if self._nodes(row) <= self.most:
                self._settle(row, None)

    def _nodes(self, row: Sequence[int]) -> int:
        return sum([node < self.count for node in row]) if len(row) > self.most else 0

    def _settle(self, row: Sequence[int], beside: list[list[int]] | None) -> None:
        """Give the nodes of a layer the places that are nearest to what they wish, in order.

        That is a regression: nodes that would overlap are joined to a block, which stands where
        its nodes together wish it.

        Args:
            row: The layer.
            beside: What each node wishes to stand beside; None for both sides.
        """
        blocks: list[tuple[float, float, int, float]] = []
        """Of each block: the sum of wishes, of weights, how many nodes, and where it stands."""
        offset, offsets = 0.0, []
        for place, node in enumerate(row):
            if place:
                offset += (self.heights[row[place - 1]] + self.heights[node]) / 2 + APART
            offsets.append(offset)
            weight = 1.0 if node < self.count else _TRUNK
            wish = (self._wish(node, beside) - offset) * weight
            block = (wish, weight, 1, wish / weight)
            while blocks and blocks[-1][3] >= block[3]:
                one = blocks.pop()
                wishes, weights = one[0] + block[0], one[1] + block[1]
                block = (wishes, weights, one[2] + block[2], wishes / weights)
            blocks.append(block)
        place = 0
        for _, _, count, at in blocks:
            for _ in range(count):
                self.centre[row[place]] = at + offsets[place]
                place += 1

    def _wish(self, node: int, beside: list[list[int]] | None) -> float:
        if beside is None:
            others = self.above[node] + self.below[node]
        else:
            others = beside[node]
        if not others:
            return self.centre[node]
        return sum([self.centre[other] for other in others]) / len(others)

    # ---- the result ----

    def placed(self) -> Layers:
        """Give the places in whole pixels, none of them negative."""
        total = len(self.heights)
        x, y = [0] * total, [0] * total
        left = 0
        for row in self.rows:
            if self._nodes(row) > self.most:
                width = self._fold(row, left, x, y)
            else:
                width = max([self.sizes[node].width for node in row if node < self.count])
                for node in row:
                    own = self.sizes[node].width if node < self.count else width
                    x[node] = left + (width - own) // 2
                    y[node] = round(self.centre[node] - self.heights[node] / 2)
            left += width + BETWEEN
        top = min(y)
        y = [one - top for one in y]
        ends = [at + height for at, height in zip(y, self.heights, strict=True)]
        return Layers(
            layer=self.layer[: self.count],
            x=x[: self.count],
            y=y[: self.count],
            trunks={
                node: [(x[dummy], y[dummy] + LANE // 2) for dummy in trunk]
                for node, trunk in self.trunks.items()
            },
            width=left - BETWEEN,
            height=max(ends),
        )

    def _fold(self, row: Sequence[int], left: int, x: list[int], y: list[int]) -> int:
        """Put a long layer into columns of about equal height, its trunks below them."""
        nodes = [node for node in row if node < self.count]
        columns = -(-len(nodes) // self.most)
        each = -(-len(nodes) // columns)
        width = tall = 0
        for start in range(0, len(nodes), each):
            column = nodes[start : start + each]
            down = 0
            for node in column:
                x[node], y[node] = left + width, down
                down += self.heights[node] + APART
            tall = max(tall, down)
            width += max([self.sizes[node].width for node in column]) + APART
        lanes = [node for node in row if node >= self.count]
        middle = (tall - APART) // 2
        for node in nodes:
            y[node] -= middle
        for place, node in enumerate(lanes):
            x[node], y[node] = left, tall - middle + place * (LANE + APART)
        return width - APART


def _number(row: Sequence[int], place: list[float]) -> None:
    """Say how far down its layer each node stands, so that layers of any size can be compared."""
    for number, node in enumerate(row):
        place[node] = (number + 0.5) / len(row)
