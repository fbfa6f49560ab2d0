"""Drives the runs that servers have begun, without a server: as a process, or in a cluster.

It keeps nothing that is not in the journal: when it dies, others take up what it was driving.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from hocket.app.engine import Engine
from hocket.app.host import MOST, Host
from hocket.journal.bell import sweep


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor is at.

    Fields:
        driven: How many runs it drives.
        most: How many it may drive.
        draining: Whether it takes no more.
    """

    driven: int
    most: int
    draining: bool


class Supervisor:
    """Takes up runs that nobody drives, as many as it has room for.

    It belongs to the loop that opens it.

    Args:
        journal: The journal's address; None for the usual one.
        state: The state folder; None for the usual one.
        most: How many runs it drives at once.
        lease: Seconds after which others may take its runs if it gives no sign of life; None for
            what is usual.
        cluster: The address of a cluster whose workers do the calls; None for this process.

    Attributes:
        engine: Who runs them.
        host: Drives them.
    """

    def __init__(
        self,
        *,
        journal: str | None = None,
        state: str | None = None,
        most: int = MOST,
        lease: float | None = None,
        cluster: str | None = None,
    ) -> None:
        self.engine = Engine(
            None if state is None else Path(state), journal=journal, lease=lease, cluster=cluster
        )
        self.host = Host(self.engine, most=most)
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to take runs up; once is enough."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        self.engine.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self.engine.state)
        # Who takes a run over from the dead is in a hurry.
        self.engine.links.warm()
        await self.host.open()

    def report(self) -> Report:
        """Say what it is at."""
        host = self.host
        return Report(driven=len(host.runs), most=host.most, draining=host.draining)

    async def drain(self, seconds: float) -> tuple[str, ...]:
        """Take no more, let calls in flight end for so many seconds, and give every run up.

        Returns:
            The runs that were given up; others may drive them.
        """
        return await self.host.drain(seconds)

    async def close(self) -> None:
        """Give every run up at once, and close the journal."""
        await self.host.close()
        await self.engine.__aexit__(None, None, None)
