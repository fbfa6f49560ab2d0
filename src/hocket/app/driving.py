"""Drives many runs in one process, each until it ends, and takes up what servers have left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final
from weakref import WeakValueDictionary

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside
from hocket.app.run import Run
from hocket.app.state import check_run_id
from hocket.core.errors import JournalError, OwnershipLost, Refused
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.engine.replay import Checked
from hocket.journal.base import RunRow
from hocket.journal.schema import NoRoom

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
"""What the status of a run is that has ended."""

_WATCH: Final = 2.0
_AT_ONCE: Final = 4
_UNBORN: Final = 60.0


class Full(Refused):
    """So many runs are driven here that no other one may begin."""


class Driving:
    """The runs that are driven in this process.

    Args:
        engine: Who runs them.
        most: How many may be driven at once.

    Attributes:
        runs: The runs, by id; paused ones, too.
        let_be: Runs that are not taken up again before somebody asks something of them.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._runs: dict[str, Run] = {}
        self.runs: Final[Mapping[str, Run]] = MappingProxyType(self._runs)
        self.let_be: set[str] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._beginning = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closed = False

    def lock(self, run: str) -> asyncio.Lock:
        """Give the lock of whoever finds out where a run is driven, and changes that."""
        return self._locks.setdefault(run, asyncio.Lock())

    def busy(self, run: str) -> bool:
        """Tell whether a run is driven here, or somebody is about to change whether it is."""
        return run in self._runs or run in self._locks

    async def under_way(self, run: str) -> Run | None:
        """Give a run that is driven here and has not ended; one that just has is let go first."""
        here = self._runs.get(run)
        if here is not None and here.machine.phase == "ended":
            await asyncio.wait([self._followers[run]])
            return None
        return here

    async def begin(self, run: str, begin: Callable[[], Awaitable[Run]]) -> None:
        """Drive a new run, which is noted first: one that is on disk is never forgotten.

        Raises:
            Refused: There is a run of that id, or too many are driven; or as `begin`.
        """
        check_run_id(run)
        hosted = self._engine.journal.hosted
        async with self._room(), self.lock(run):
            if any(row.id == run for row in self._engine.journal.runs()):
                raise Refused(f"there is a run {run} already; choose another id")
            await hosted.add(run)
            try:
                self._drive(await begin())
            except Exception:
                await hosted.drop(run)
                raise

    async def take_up(
        self,
        run: str,
        requests: Sequence[AnyRequest] = (),
        *,
        anyhow: bool = False,
        check: Checked = lambda machine: None,
    ) -> None:
        """Drive a run from now on whose owner is gone, with the run's lock held.

        Args:
            run: The run's id.
            requests: What to ask of it at once.
            anyhow: Do it also if so many runs are driven that no other one may begin.
            check: Is shown the run as it was left, and may refuse to go on with it.

        Raises:
            NotFound: No such run.
            Refused: As `Engine.resume`, or too many runs are driven.
            JournalError: It could not be read or recorded.
        """
        async with self._room(anyhow=anyhow):

            def checked(machine: RunMachine) -> None:
                check(machine)
                with_functions(machine)

            self._drive(
                await self._engine.resume(run, requests=requests, hosted=True, check=checked)
            )
            self.let_be.discard(run)

    async def close(self) -> None:
        """Stop driving; every run can be resumed."""
        self._closed = True
        while followers := dict(self._followers):
            for follower in followers.values():
                follower.cancel()
            await asyncio.gather(*followers.values(), return_exceptions=True)
            for run in [run for run in followers if run in self._followers]:
                # One that was cancelled before its first step has not let its run go.
                del self._followers[run]
                async with self._runs.pop(run):
                    pass

    @asynccontextmanager
    async def _room(self, *, anyhow: bool = False) -> AsyncIterator[None]:
        """Keep room for a run that is about to be driven.

        Raises:
            Full: There is none.
            Refused: Nothing is driven any more.
        """
        if self._closed:
            raise Refused("this server is ending; start it again, or run it with hocket run")
        if len(self._runs) + self._beginning >= self._most and not anyhow:
            raise Full(
                f"this server drives {self._most} runs, as many as it may: wait until one has "
                "ended, or start it with a larger --most"
            )
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    def _drive(self, run: Run) -> None:
        self._runs[run.id] = run
        self._followers[run.id] = asyncio.create_task(self._follow(run), name=f"run {run.id}")

    async def _follow(self, run: Run) -> None:
        """Await a run's end; what goes wrong with one must not hurt the others."""
        try:
            async with run:
                await run.result()
            if run.machine.phase == "ended":
                await self._engine.journal.hosted.drop(run.id)
        except OwnershipLost:
            # Somebody else drives it by now.
            pass
        except NoRoom as error:
            # It is taken up again as soon as there is room.
            _say(f"run {run.id} rests", error)
        except Exception as error:
            self.let_be.add(run.id)
            _say(f"run {run.id} is driven here no more", error)
        finally:
            self._runs.pop(run.id, None)
            self._followers.pop(run.id, None)


class _Pausing(Refused):
    """A run is about to pause, and waits for people."""


def _not_pausing(machine: RunMachine) -> None:
    """Leave a run alone that only people can have go on.

    Raises:
        _Pausing: This is one.
    """
    if machine.phase == "pausing":
        raise _Pausing(f"run {machine.run} waits for people")


def with_functions(machine: RunMachine) -> None:
    """Let the functions of a run's plan be imported before it is driven."""
    find_functions_beside(machine.spec.source)


class Heir:
    """Takes up what servers of the state folder were driving and nobody drives now.

    Args:
        engine: Whose journal says so.
        driving: Drives it from then on.
    """

    def __init__(self, engine: Engine, driving: Driving) -> None:
        self._engine = engine
        self._driving = driving
        self._unborn: dict[str, float] = {}
        self._no_room = False

    async def watch(self) -> None:
        """See that what servers drive is driven, for ever."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                _say("the runs that servers drive cannot be read", error)
            await asyncio.sleep(_WATCH)

    async def look(self) -> None:
        """Take up what nobody drives, several at once; a paused run stays paused.

        Raises:
            JournalError: The journal cannot be read.
        """
        journal, driving = self._engine.journal, self._driving
        noted = await asyncio.to_thread(journal.hosted.all)
        left = [run for run in noted if run not in driving.runs and run not in driving.let_be]
        if not left:
            return
        rows = {row.id: row for row in await asyncio.to_thread(journal.runs)}
        for run in left:
            if self._is_over(run, rows.get(run)):
                await journal.hosted.drop(run)
        orphans = [rows[run] for run in left if run in rows]
        orphans = [row for row in orphans if row.status == "running" and not row.alive]
        # The oldest first: others may wait for them.
        orphans.sort(key=lambda row: (row.created, row.id))
        gate = asyncio.Semaphore(_AT_ONCE)
        self._no_room = False
        await asyncio.gather(*(self._go_on(row.id, gate) for row in orphans))

    def _is_over(self, run: str, row: RunRow | None) -> bool:
        """Tell whether a noted run has ended, or has not begun for so long that it never will."""
        if self._driving.busy(run):
            return False
        if row is not None:
            return row.status in ENDED
        return time.monotonic() - self._unborn.setdefault(run, time.monotonic()) > _UNBORN

    async def _go_on(self, run: str, gate: asyncio.Semaphore) -> None:
        driving = self._driving
        async with gate, driving.lock(run):
            if self._no_room or run in driving.runs:
                return
            try:
                await driving.take_up(run, check=_not_pausing)
            except _Pausing:
                # Nobody has asked for it: an answer has not come in time.
                driving.let_be.add(run)
            except NoRoom:
                # Neither for this one nor for the others: the next look may find some.
                self._no_room = True
            except Refused:
                # Another process was faster, or there is no room for it yet.
                return
            except Exception as error:
                driving.let_be.add(run)
                _say(f"run {run} cannot be taken up; see hocket resume {run}", error)


def _say(message: str, error: Exception) -> None:
    """Have an error noted that nobody waits for."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"{message}: {error}", "exception": error}
    )
