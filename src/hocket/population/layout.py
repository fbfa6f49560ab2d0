"""Where agents are kept: in blocks of lanes, of which each device has its share.

A block has as many lanes as a core's cache likes, and always as many for one model.
Arithmetic on a block is then the same, to the last bit, however many blocks and devices there are.
Blocks form parts, which devices share; what is added up over agents is added up part by part, so
that its order does not depend on the devices either.
How many parts there are depends on the agents alone: eight for most, up to 64 for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hocket.population.model import Model

LANES = 128
"""Agents in a block: one of them has 50 kB of beliefs for 100 states."""

NEAR = 650_000
"""The most numbers of a block's beliefs: 2.6 MB, which stay in a core's share of the cache."""

PARTS = 8
"""Parts of a population of at least so many blocks."""

MOST_PARTS = 64
"""The most parts, and so the most devices that share a population."""

EACH = 32
"""Parts of more blocks than so many are halved: so few blocks are empty where there are many."""


@dataclass(frozen=True)
class Layout:
    """How one group's agents are kept.

    Fields:
        lanes: Agents in a block.
        blocks: How many blocks there are.
        parts: Into how many parts they are divided; a power of two that divides `blocks`.
    """

    lanes: int
    blocks: int
    parts: int

    @property
    def slots(self) -> int:
        """How many agents there is room for."""
        return self.lanes * self.blocks


def layouts_of(
    models: Sequence[Model], capacities: Sequence[int], *, wide: bool = False
) -> tuple[Layout, ...]:
    """The layouts of all groups, in as many parts each, so that devices share all of them.

    Args:
        models: The groups' models; lanes depend on the model alone.
        capacities: The most agents of each group that live at once.
        wide: Whether the device wants wide blocks and no long loop, as GPUs do.
    """
    lanes = [
        -(-most // (LANES * PARTS)) * LANES if wide else lanes_of(model)
        for model, most in zip(models, capacities, strict=True)
    ]
    blocks = [-(-most // row) for most, row in zip(capacities, lanes, strict=True)]
    parts = parts_of(max(blocks))
    return tuple(
        Layout(row, -(-many // parts) * parts, parts)
        for row, many in zip(lanes, blocks, strict=True)
    )


def parts_of(blocks: int) -> int:
    """Into how many parts so many blocks are divided; rounded up to these they give as many.

    A population that was saved, and rounded up, goes on with the same parts.
    """
    parts = min(PARTS, 1 << (blocks - 1).bit_length())
    while parts < MOST_PARTS and blocks > EACH * parts:
        parts *= 2
    return parts


def lanes_of(model: Model) -> int:
    """Agents in a block of this model: fewer where beliefs are long, so that a block stays near."""
    lanes = LANES
    while lanes > 16 and lanes * sum(model.states) > NEAR:
        lanes //= 2
    return lanes
