"""Drives the runs of a server process, and asks anything of any run on its state folder.

Runs are started by the names of plans that the operator offers.
What a server drives is noted in the journal, so that the next server on the state folder goes on
with it, whatever became of the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from weakref import WeakValueDictionary

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside
from hocket.app.offers import Offer, Offers
from hocket.app.questions import already
from hocket.app.run import Run, ask_of
from hocket.app.state import check_run_id, new_run_id
from hocket.core.errors import JournalError, NotFound, OwnershipLost, Refused
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.journal.base import RunRow

MOST: Final = 200
"""How many runs one host drives at once, unless it is told otherwise."""

_PATIENCE: Final = 5.0
_LOOK: Final = 0.05
_WATCH: Final = 2.0
_AT_ONCE: Final = 4
_UNBORN: Final = 60.0
_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


class Full(Refused):
    """So many runs are driven here that no other one may begin."""


class Host:
    """Drives runs, many at once, and answers for every run on the state folder.

    Args:
        engine: Who runs them; it stays open as long as the host.
        offered: The files whose plans may be started by name.
        most: How many runs may be driven at once.

    Raises:
        Refused: A file is offered twice.
    """

    def __init__(self, engine: Engine, offered: Sequence[Path] = (), *, most: int = MOST) -> None:
        self.engine: Final = engine
        self.most: Final = most
        self._offers = Offers(offered)
        self._runs: dict[str, Run] = {}
        self.runs: Final[Mapping[str, Run]] = MappingProxyType(self._runs)
        """The runs that are driven here, paused ones, too."""
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._beginning = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._watcher: asyncio.Task[None] | None = None
        self._given_up: set[str] = set()
        self._unborn: dict[str, float] = {}
        self._closed = False

    async def open(self) -> None:
        """Take up, in the background, the runs that servers of this state folder were driving.

        Those whose owner is alive are looked at again now and then: it may die.
        A paused run stays paused, and is taken up when somebody has it go on.
        """
        self._watcher = asyncio.create_task(self._watch(), name="hosted runs")

    async def close(self) -> None:
        """Stop driving; every run can be resumed, and the next host's `open` does."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        while followers := list(self._followers.values()):
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    # -- what there is ----------------------------------------------------------------------

    def offers(self) -> list[Offer]:
        """Give the offered plans, as their files are now."""
        return self._offers.all()

    def driven(self, run: str) -> Run | None:
        """Give a run if it is driven here."""
        return self._runs.get(run)

    def rows(self) -> list[RunRow]:
        """List all runs of the state folder, newest first.

        Raises:
            JournalError: The journal cannot be read.
        """
        return self.engine.journal.runs()

    def row(self, run: str) -> RunRow:
        """Give a run as a list shows it.

        Raises:
            NotFound: No such run.
            JournalError: The journal cannot be read.
        """
        for row in self.rows():
            if row.id == run:
                return row
        raise NotFound(f"there is no run {run!r}")

    # -- what may be begun ------------------------------------------------------------------

    async def start(
        self,
        file: str,
        plan: str,
        inputs: Mapping[str, Json],
        *,
        by: str,
        run_id: str | None = None,
    ) -> str:
        """Start an offered plan; gives the run's id.

        Args:
            file: The file's name, as `offers` gives it.
            plan: The plan's name.
            inputs: The plan's inputs.
            by: Who asks.
            run_id: The run's id; by default a new one.

        Raises:
            NotFound: It is not offered.
            SpecError: Its file has mistakes.
            Refused: An input is missing or unknown, the id is taken, or too many runs are driven.
            JournalError: It could not be recorded.
        """
        return await self.start_spec(self._offers.find(file, plan), inputs, by=by, run_id=run_id)

    async def start_spec(
        self,
        spec: RunSpec,
        inputs: Mapping[str, Json],
        *,
        by: str,
        run_id: str | None = None,
    ) -> str:
        """Start a spec that did not come from a caller; gives the run's id.

        Raises:
            SpecError: It has mistakes.
            Refused: An input is missing or unknown, the id is taken, or too many runs are driven.
            JournalError: It could not be recorded.
        """
        find_functions_beside(spec.source)
        run_id = run_id or new_run_id(spec.name)
        await self._begin(run_id, partial(self.engine.begin, spec, inputs, run_id=run_id))
        return run_id

    async def fork(
        self,
        run: str,
        *,
        after: int | None,
        inputs: Mapping[str, Json],
        by: str,
        run_id: str | None = None,
    ) -> str:
        """Start a run that goes on from a point of another; gives its id.

        Args:
            run: The other run, which stays as it is.
            after: The number of the last event that counts; None for the last one that there is.
            inputs: Inputs that are different for all that has not finished by then.
            by: Who asks.
            run_id: The new run's id; by default a new one.

        Raises:
            NotFound: No such run.
            Refused: There is no such event or input, the id is taken, or too many runs are driven.
            JournalError: It could not be read or recorded.
        """
        spec = (await asyncio.to_thread(self.engine.fold, run)).spec
        find_functions_beside(spec.source)
        run_id = run_id or new_run_id(spec.name)
        begun = partial(self.engine.fork, run, run_id=run_id, after=after, inputs=inputs, by=by)
        await self._begin(run_id, begun)
        return run_id

    async def _begin(self, run_id: str, begin: Callable[[], Awaitable[Run]]) -> None:
        """Drive a new run, which is noted first: one that is on disk is never forgotten.

        Raises:
            Refused: There is a run of that id, or too many are driven; or as `begin`.
        """
        check_run_id(run_id)
        async with self._room(), self._lock(run_id):
            if any(row.id == run_id for row in self.rows()):
                raise Refused(f"there is a run {run_id} already; choose another id")
            await self.engine.journal.hosted.add(run_id)
            try:
                self._drive(await begin())
            except Exception:
                await self.engine.journal.hosted.drop(run_id)
                raise

    # -- what may be asked ------------------------------------------------------------------

    async def ask(self, run: str, request: AnyRequest) -> None:
        """Ask something of a run, wherever it is driven.

        One that is driven here is asked at once.
        One of another process gets the request into its inbox, and its answer is waited for a
        little; without one the request stands.
        One that nobody drives is taken up here with the request.

        Raises:
            NotFound: No such run.
            Refused: It does not fit the run's state; nothing has changed.
            JournalError, OwnershipLost: It could not be recorded.
        """
        try:
            await self._ask(run, request)
        except Refused as error:
            told = None
            if isinstance(request, Approve | Send):
                told = await asyncio.to_thread(already, self.engine.journal, run, request.path)
            if told is None:
                raise
            raise Refused(told) from error

    async def _ask(self, run: str, request: AnyRequest) -> None:
        async with self._lock(run):
            here = await self._under_way(run)
            if here is not None:
                return ask_of(here, request)
            row = self.row(run)
            if not row.alive:
                return await self._take_up_with(row, request)
        await self._post(row, request)

    async def _under_way(self, run: str) -> Run | None:
        """Give a run that is driven here and has not ended; one that just has is let go first."""
        here = self._runs.get(run)
        if here is not None and here.machine.phase == "ended":
            await asyncio.wait([self._followers[run]])
            return None
        return here

    async def _take_up_with(self, row: RunRow, request: AnyRequest) -> None:
        """Take a run up that nobody drives; if it refuses the request, it stays as it is."""
        if row.status in _ENDED and not isinstance(request, Retry):
            raise Refused(f"run {row.id} has ended: {row.status}")
        if isinstance(request, Pause):
            raise Refused(f"no process is running {row.id}; there is nothing to pause")
        # To be taken up is to go on.
        requests = () if isinstance(request, Continue) else (request,)
        await self._take_up(row.id, requests, anyhow=isinstance(request, Cancel))

    async def _post(self, row: RunRow, request: AnyRequest) -> None:
        """Leave a request for a run's owner, and wait a little for the answer."""
        journal = self.engine.journal
        number = await asyncio.to_thread(journal.post, row.id, request)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = journal.answer(number)
            if answer is not None and answer.refusal:
                raise Refused(answer.refusal)
            if answer is not None:
                return
            await asyncio.sleep(_LOOK)

    async def resume(self, run: str, *, by: str) -> None:
        """Have a run go on that is paused, or that nobody drives.

        Raises:
            NotFound: No such run.
            Refused: It is under way, has ended, or too many runs are driven here.
            JournalError, OwnershipLost: It could not be read or recorded.
        """
        await self.ask(run, Continue(by=by))

    async def retry(self, run: str, path: str, *, by: str) -> None:
        """Do a failed or held step again, or with "" all that have failed.

        Raises:
            NotFound: No such run.
            Refused: Nothing of that path has failed, or too many runs are driven here.
            JournalError, OwnershipLost: It could not be read or recorded.
        """
        await self.ask(run, Retry(by=by, path=path))

    # -- driving ----------------------------------------------------------------------------

    async def _take_up(
        self, run: str, requests: Sequence[AnyRequest], *, anyhow: bool = False
    ) -> None:
        """Drive a run from now on whose owner is gone; `anyhow` even if the host is full."""
        async with self._room(anyhow=anyhow):
            machine = await asyncio.to_thread(self.engine.fold, run)
            find_functions_beside(machine.spec.source)
            self._given_up.discard(run)
            self._drive(await self.engine.resume(run, requests=requests, hosted=True))

    async def _watch(self) -> None:
        """See that what servers drive is driven."""
        while True:
            try:
                await self._take_over()
            except JournalError as error:
                _say("the runs that servers drive cannot be read", error)
            await asyncio.sleep(_WATCH)

    async def _take_over(self) -> None:
        """Take up what servers were driving and nobody drives now, several at once."""
        hosted = self.engine.journal.hosted
        left = {run for run in await asyncio.to_thread(hosted.all) if run not in self._runs}
        left -= self._given_up
        if not left:
            return
        rows = {row.id: row for row in await asyncio.to_thread(self.rows)}
        gate = asyncio.Semaphore(_AT_ONCE)
        for run in sorted(left):
            if self._is_over(run, rows.get(run)):
                await hosted.drop(run)
        orphans = [
            row
            for run in left
            if (row := rows.get(run)) and row.status == "running" and not row.alive
        ]
        # The oldest first: others may wait for them.
        orphans.sort(key=lambda row: (row.created, row.id))
        await asyncio.gather(*(self._go_on(row.id, gate) for row in orphans))

    def _is_over(self, run: str, row: RunRow | None) -> bool:
        """Tell whether a noted run has ended, or has not begun for so long that it never will."""
        if run in self._runs or run in self._locks:
            return False
        if row is not None:
            return row.status in _ENDED
        return time.monotonic() - self._unborn.setdefault(run, time.monotonic()) > _UNBORN

    async def _go_on(self, run: str, gate: asyncio.Semaphore) -> None:
        async with gate, self._lock(run):
            if run in self._runs:
                return
            try:
                await self._take_up(run, ())
            except Full:
                # It is tried again when there is room.
                return
            except Refused:
                # Another process was faster, or somebody has ended it.
                return
            except Exception as error:
                self._given_up.add(run)
                _say(f"run {run} cannot be taken up; see hocket resume {run}", error)

    @asynccontextmanager
    async def _room(self, *, anyhow: bool = False) -> AsyncIterator[None]:
        """Keep room for a run that is about to be driven.

        Raises:
            Full: There is none.
            Refused: The host is closed.
        """
        if self._closed:
            raise Refused("this server is ending; start it again, or run it with hocket run")
        if len(self._runs) + self._beginning >= self.most and not anyhow:
            raise Full(
                f"this server drives {self.most} runs, as many as it may: wait until one has "
                "ended, or start it with a larger --most"
            )
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    def _lock(self, run: str) -> asyncio.Lock:
        """Give the lock of whoever finds out where a run is driven, and changes that."""
        return self._locks.setdefault(run, asyncio.Lock())

    def _drive(self, run: Run) -> None:
        self._runs[run.id] = run
        self._followers[run.id] = asyncio.create_task(self._follow(run), name=f"run {run.id}")

    async def _follow(self, run: Run) -> None:
        """Await a run's end; what goes wrong with one must not hurt the others."""
        try:
            async with run:
                await run.result()
            if run.machine.phase == "ended":
                await self.engine.journal.hosted.drop(run.id)
        except OwnershipLost:
            # Somebody else drives it by now.
            pass
        except Exception as error:
            self._given_up.add(run.id)
            _say(f"run {run.id} is driven here no more", error)
        finally:
            self._runs.pop(run.id, None)
            self._followers.pop(run.id, None)


def _say(message: str, error: Exception) -> None:
    """Have an error noted that nobody waits for."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"{message}: {error}", "exception": error}
    )
