"""Reads what single agents have out of arrays of blocks, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Final, TypeAlias

import jax
import numpy as np
from numpy.typing import NDArray

from hocket.population.devices import fetch, kind_of

Places: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Where agents are: their blocks and their lanes, [agents] each."""

AT_ONCE: Final = 2**20
"""How many numbers are read at once: 4 MB of 32-bit floats."""


class Rows:
    """An array [blocks, ..., lanes], of which some agents at a time are read.

    Whoever reads an array as a whole that lies on several devices makes a copy that stays as long
    as the array does; this reads each device's share where it is.
    With several processes each has to ask for the same, as it is a step that they take together.

    Args:
        array: The array.

    Fields:
        size: How many numbers an agent has of it.
    """

    def __init__(self, array: jax.Array) -> None:
        self._shape = tuple(array.shape[1:-1])
        self._dtype = array.dtype
        self.size = prod(self._shape)
        self._shares = shares_of(array)

    def of(self, places: Places) -> NDArray[Any]:
        """The rows of some agents, [agents, ...]."""
        blocks, lanes = places
        rows = np.empty((len(blocks), *self._shape), self._dtype)
        for begin, share in self._shares:
            here = (blocks >= begin) & (blocks < begin + share.shape[0])
            if here.any():
                # Elsewhere than on the processor the device picks them, and they alone are copied.
                rows[here] = np.asarray(share[blocks[here] - begin, ..., lanes[here]])
        return rows


def shares_of(array: jax.Array) -> list[tuple[int, Any]]:
    """What each device has of an array, with the number of its first block.

    On the processor this is no copy.
    """
    if array.is_fully_replicated:
        shares = {0: array.addressable_data(0)}
    elif array.is_fully_addressable:
        shares = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    else:
        return [(0, fetch(array))]
    return [
        (begin, np.asarray(data) if kind_of(next(iter(data.devices()))) == "cpu" else data)
        for begin, data in sorted(shares.items())
    ]


def places_of(ids: jax.Array, alive: jax.Array) -> Places:
    """Where the living agents are, in the order of their numbers.

    Args:
        ids: [blocks, lanes].
        alive: [blocks, lanes].
    """
    blocks, lanes = np.nonzero(fetch(alive))
    order = np.argsort(fetch(ids)[blocks, lanes])
    return blocks[order], lanes[order]


def stretches(places: Places, size: int) -> Iterator[Places]:
    """Some agents after the other, so that at most `AT_ONCE` numbers are read at once.

    Args:
        places: Where all of them are.
        size: How many numbers each has.
    """
    blocks, lanes = places
    many = max(1, AT_ONCE // max(1, size))
    for begin in range(0, len(blocks), many):
        yield blocks[begin : begin + many], lanes[begin : begin + many]
