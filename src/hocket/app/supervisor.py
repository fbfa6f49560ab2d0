"""Drives the runs that servers have begun, without a server: as a process, or in a cluster.

It keeps nothing that is not in the journal: when it dies, others take up what it was driving.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from hocket.app.engine import Engine
from hocket.app.host import MOST, Host
from hocket.app.journals import VARIABLE
from hocket.core.errors import Refused
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


class Posted:
    """A supervisor on a node of a cluster, told its journal when it is opened.

    Ray keeps what a process begins with, and a journal's address may hold a password.

    Args:
        most: How many runs it drives at once.
        lease: The lease of runs, in seconds.
        cluster: The address of the cluster whose workers do the calls.
    """

    def __init__(self, *, most: int, lease: float, cluster: str) -> None:
        self._most = most
        self._lease = lease
        self._cluster = cluster
        self._made: Supervisor | None = None

    async def open(self, journal: str) -> None:
        """Begin to take runs up; once is enough.

        Args:
            journal: The journal's address, or ``@file`` that holds it here.

        Raises:
            Refused: The file cannot be read, or the cluster cannot be used.
        """
        if self._made is None:
            self._made = Supervisor(
                journal=journal, most=self._most, lease=self._lease, cluster=self._cluster
            )
        await self._made.open()

    def report(self) -> Report:
        """Say what it is at."""
        return self._there.report()

    async def drain(self, seconds: float) -> tuple[str, ...]:
        """Take no more, and give every run up; gives the runs."""
        return await self._there.drain(seconds)

    @property
    def _there(self) -> Supervisor:
        if self._made is None:
            raise Refused("the supervisor has not been opened")
        return self._made


def journal_told() -> str:
    """Give the journal that is meant as other machines are told it: a file's name stays one.

    They read it for themselves, so that a password in it does not travel.
    """
    said = os.environ.get(VARIABLE, "").strip()
    if not said.startswith("@"):
        return said
    return f"@{Path(said[1:]).expanduser().absolute()}"
