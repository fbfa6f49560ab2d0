"""Drives the runs of a server process, and asks anything of any run on its state folder.

Runs are started by the names of plans that the operator offers.
What servers drive is noted in the journal, so that any server on it goes on with what one of them
was driving, whatever became of that one.
A server may begin runs and leave it to others to drive them: the journal is the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from hocket.app.driving import Driving, Full, Heir, with_functions
from hocket.app.engine import Engine
from hocket.app.laying import hand, lay, lay_fork
from hocket.app.load import find_functions_beside
from hocket.app.offers import Offer, Offers
from hocket.app.questions import already
from hocket.app.run import Run, ask_of
from hocket.app.state import new_run_id
from hocket.core.errors import NotFound, Refused
from hocket.core.events import ENDED
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.journal.base import ALL, RunRow, Wanted

__all__ = ["MOST", "Full", "Host"]

MOST: Final = 200
"""How many runs one host drives at once, unless it is told otherwise."""

_PATIENCE: Final = 5.0
_LOOK: Final = 0.05
_NONE: Final = "-"
"""A status that no run has."""


class Host:
    """Drives runs, many at once, and answers for every run on the state folder.

    Args:
        engine: Who runs them; it stays open as long as the host.
        offered: The files whose plans may be started by name.
        most: How many runs may be driven at once; with `drive`, how many may wait for somebody who
            drives them before no other one may begin.
        drive: How many runs are driven here at once, while those beyond are left to other
            processes; None if this process drives all that it begins.

    Raises:
        Refused: A file is offered twice.
    """

    def __init__(
        self,
        engine: Engine,
        offered: Sequence[Path] = (),
        *,
        most: int = MOST,
        drive: int | None = None,
    ) -> None:
        self.engine: Final = engine
        self.most: Final = most
        self.draining = False
        """Whether nothing more is taken up, because the process is about to end."""
        self.shares: Final = drive is not None
        """Whether others are to drive what is begun here and finds no room."""
        self._offers = Offers(offered)
        self._driving = Driving(engine, most if drive is None else drive)
        self.runs: Final[Mapping[str, Run]] = self._driving.runs
        """The runs that are driven here, paused ones, too."""
        self._heir = Heir(engine, self._driving)
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take up, in the background, the runs that servers are to drive and nobody does.

        Those whose owner is alive are looked at again now and then: it may die.
        A paused run stays paused, and is taken up when somebody has it go on.
        """
        self._watching = asyncio.create_task(self._heir.watch(), name="hosted runs")

    async def drain(self, seconds: float) -> tuple[str, ...]:
        """Take nothing more up, let calls in flight end, and give every run up.

        Others may take a run up as soon as none of its calls is in flight.

        Args:
            seconds: How long to wait for calls in flight; those still in flight then are cut off.

        Returns:
            The runs that were given up.
        """
        self.draining = True
        runs = list(self.runs.values())
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._driving.leave(seconds)
        await self._driving.close()
        return tuple(sorted(run.id for run in runs if run.machine.phase != "ended"))

    async def close(self) -> None:
        """Stop driving; every run can be resumed, and the next host's `open` does."""
        await self.drain(0)

    # -- what there is ----------------------------------------------------------------------

    def offers(self) -> list[Offer]:
        """Give the offered plans, as their files are now."""
        return self._offers.all()

    def driven(self, run: str) -> Run | None:
        """Give a run if it is driven here."""
        return self.runs.get(run)

    async def rows(self, wanted: Wanted = ALL) -> list[RunRow]:
        """List runs of the journal, newest first.

        Raises:
            JournalError: The journal cannot be read.
        """
        if wanted.status:
            side = "also" if "paused" in wanted.status else "but"
            wanted = msgspec.structs.replace(wanted, **{side: tuple(self._paused())})
        rows = await asyncio.to_thread(self.engine.journal.runs, wanted)
        return [_as_driven(row, self.runs.get(row.id)) for row in rows]

    async def counts(self, wanted: Wanted = ALL) -> dict[str, int]:
        """Count runs of the journal by their status.

        Raises:
            JournalError: The journal cannot be read.
        """
        journal, paused = self.engine.journal, tuple(self._paused())
        if not paused:
            return await asyncio.to_thread(journal.counts, wanted)
        but = msgspec.structs.replace(wanted, but=paused)
        also = msgspec.structs.replace(wanted, status=(_NONE,), also=paused)
        counts = Counter(await asyncio.to_thread(journal.counts, but))
        counts["paused"] += sum((await asyncio.to_thread(journal.counts, also)).values())
        return {status: count for status, count in counts.items() if count}

    def _paused(self) -> list[str]:
        """Name the runs that are driven here and paused, by their plans, too."""
        return [id for id, run in self.runs.items() if run.machine.paused]

    def row(self, run: str) -> RunRow:
        """Give a run as a list shows it.

        Raises:
            NotFound: No such run.
            JournalError: The journal cannot be read.
        """
        row = self.engine.journal.find(run)
        if row is None:
            raise NotFound(f"there is no run {run!r}")
        return _as_driven(row, self.runs.get(run))

    # -- what may be begun ------------------------------------------------------------------

    async def start(
        self,
        file: str,
        plan: str,
        inputs: Mapping[str, Json],
        *,
        run_id: str | None = None,
    ) -> str:
        """Start an offered plan; gives the run's id.

        Args:
            file: The file's name, as `offers` gives it.
            plan: The plan's name.
            inputs: The plan's inputs.
            run_id: The run's id; by default a new one.

        Raises:
            NotFound: It is not offered.
            SpecError: Its file has mistakes.
            Refused: An input is missing or unknown, the id is taken, or too many runs are driven.
            JournalError: It could not be recorded.
        """
        return await self.start_spec(self._offers.find(file, plan), inputs, run_id=run_id)

    async def start_spec(
        self,
        spec: RunSpec,
        inputs: Mapping[str, Json],
        *,
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
        begin = partial(self.engine.begin, spec, inputs, run_id=run_id)
        await self._begin(run_id, begin, partial(lay, self.engine, spec, inputs, run_id))
        return run_id

    async def _begin(
        self, run: str, begin: Callable[[], Awaitable[Run]], lay: Callable[[], Awaitable[None]]
    ) -> None:
        """Begin a run here, or leave it to others if they are to drive what is beyond the room.

        Raises:
            Full: No other one may begin.
        """
        if not self.shares or self._driving.room:
            await self._driving.begin(run, begin)
            return
        waiting = await asyncio.to_thread(self.engine.journal.orphans, self.most)
        if len(waiting) >= self.most:
            raise Full(
                f"{self.most} runs wait for a process that drives them: begin one more with "
                "hocket work, or wait until some were taken up"
            )
        await self._driving.lay(run, lay)

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
        row = await asyncio.to_thread(self.row, run)
        run_id = run_id or new_run_id(row.name)
        begin = partial(
            self.engine.fork,
            run,
            run_id=run_id,
            after=after,
            inputs=inputs,
            by=by,
            check=with_functions,
        )
        laid = partial(lay_fork, self.engine, run, run_id, after=after, inputs=dict(inputs), by=by)
        await self._begin(run_id, begin, laid)
        return run_id

    # -- what may be asked ------------------------------------------------------------------

    async def ask(self, run: str, request: AnyRequest) -> bool:
        """Ask something of a run, wherever it is driven; tells whether it was answered already.

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
            return await self._ask(run, request)
        except Refused as error:
            told = None
            if isinstance(request, Approve | Send):
                told = await asyncio.to_thread(already, self.engine.journal, run, request.path)
            if told is None:
                raise
            raise Refused(told) from error

    async def _ask(self, run: str, request: AnyRequest) -> bool:
        async with self._driving.lock(run):
            here = await self._driving.under_way(run)
            if here is not None:
                ask_of(here, request)
                return True
            row = await asyncio.to_thread(self.row, run)
            if not row.alive:
                try:
                    await self._take_up_with(row, request)
                    return True
                except Refused:
                    # Another process may have been faster: then that one is to judge.
                    row = await asyncio.to_thread(self.row, run)
                    if not row.alive:
                        raise
        return await self._post(row, request)

    async def _take_up_with(self, row: RunRow, request: AnyRequest) -> None:
        """Take a run up that nobody drives, or leave it to others if there is no room for it here.

        If it refuses the request, it stays as it is.
        """
        if row.status in ENDED and not isinstance(request, Retry):
            raise Refused(f"run {row.id} has ended: {row.status}")
        if isinstance(request, Pause):
            raise Refused(f"no process is running {row.id}; there is nothing to pause")
        # To be taken up is to go on.
        requests = () if isinstance(request, Continue) else (request,)
        if self.shares and not self._driving.room and not isinstance(request, Cancel):
            await self.engine.journal.hosted.add(row.id)
            await hand(self.engine, row.id, requests)
            await self._driving.announce()
            return
        await self._driving.take_up(row.id, requests, anyhow=isinstance(request, Cancel))

    async def _post(self, row: RunRow, request: AnyRequest) -> bool:
        """Leave a request for a run's owner, and wait a little; tells whether it has answered."""
        journal = self.engine.journal
        number = await asyncio.to_thread(journal.post, row.id, request)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = await asyncio.to_thread(journal.answer, number)
            if answer is not None and answer.refusal:
                raise Refused(answer.refusal)
            if answer is not None:
                return True
            await asyncio.sleep(_LOOK)
        return False

    async def resume(self, run: str, *, by: str) -> bool:
        """Have a run go on that is paused, or that nobody drives; tells the same as `ask`.

        Raises:
            NotFound: No such run.
            Refused: It is under way, has ended, or too many runs are driven here.
            JournalError, OwnershipLost: It could not be read or recorded.
        """
        return await self.ask(run, Continue(by=by))

    async def retry(self, run: str, path: str, *, by: str) -> bool:
        """Do a failed or held step again, or with "" all that have failed; tells as `ask` does.

        Raises:
            NotFound: No such run.
            Refused: Nothing of that path has failed, or too many runs are driven here.
            JournalError, OwnershipLost: It could not be read or recorded.
        """
        return await self.ask(run, Retry(by=by, path=path))


def _as_driven(row: RunRow, run: Run | None) -> RunRow:
    """Give a run's row: where its plan has paused it, that stands in no event of its own."""
    if run is None or not run.machine.paused:
        return row
    return msgspec.structs.replace(row, status="paused")
