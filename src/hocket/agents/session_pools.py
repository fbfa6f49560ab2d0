"""All pools of warm processes that an engine has, and how they stand; light to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool stands.

    Fields:
        agent: The agent that it was made for.
        size: How many calls it can do at once.
        busy: How many it is doing.
        idle: How many processes do nothing.
        waiting: How many calls wait for a place.
        exhausted: How many calls had to wait since it was made.
        spawned: How many processes were started.
        retired: How many were replaced in good order, or ended for want of calls.
        failed: How many died, hung or misbehaved.
        jobs: How many calls were begun.
        memory: The bytes that its processes took when last looked at, after a call.
        warm: Whether processes serve call after call, or one call each.
    """

    agent: str
    size: int
    busy: int
    idle: int
    waiting: int
    exhausted: int
    spawned: int
    retired: int
    failed: int
    jobs: int
    memory: int
    warm: bool


class Pooled(Protocol):
    """A pool of processes."""

    def state(self) -> PoolState:
        """Say how it stands."""

    def pids(self) -> Sequence[int]:
        """Give the ids of its processes."""

    async def close(self) -> None:
        """End all processes."""


class SessionPools:
    """The pools by what their processes are; for one event loop, and to be closed in it."""

    def __init__(self) -> None:
        self._pools: dict[str, Pooled] = {}

    def pool(self, key: str, make: Callable[[], Pooled]) -> Any:
        """Give the pool of a key; it is made when it is first asked for."""
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = make()
        return found

    def state(self) -> list[PoolState]:
        """Say how all pools stand."""
        return [pool.state() for pool in self._pools.values()]

    def pids(self) -> list[int]:
        """Give the ids of all processes."""
        return [pid for pool in self._pools.values() for pid in pool.pids()]

    async def close(self) -> None:
        """End all processes."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.close()
