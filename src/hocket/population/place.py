"""Which of several processes this is that run one population together; it needs no JAX."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PLACE: Final = "HOCKET_POPULATION_PROCESS"
"""Which process this is: NUMBER/PROCESSES@ADDRESS, and the descriptor that ends with its parent."""


@dataclass(frozen=True)
class Place:
    """Which of the processes this is.

    Fields:
        process: Its number, from 0.
        processes: How many there are.
        address: Where the first one listens, as host:port.
        parent: A descriptor that reads to its end when whoever started it is gone; None if nobody
            watches, or somebody does from outside.
    """

    process: int
    processes: int
    address: str
    parent: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What tells it to the process."""
        told = f"{self.process}/{self.processes}@{self.address}"
        return {PLACE: told if self.parent is None else f"{told}#{self.parent}"}


def my_place(environment: Mapping[str, str] | None = None) -> Place | None:
    """Which of several processes this one is; None if it is alone.

    Args:
        environment: Where that is said; this process's own environment, if left out.
    """
    said = (os.environ if environment is None else environment).get(PLACE)
    if not said:
        return None
    number, _, rest = said.partition("/")
    many, _, rest = rest.partition("@")
    address, _, parent = rest.partition("#")
    return Place(int(number), int(many), address, int(parent) if parent else None)
