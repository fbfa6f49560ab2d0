"""Drives many runs in one process, each until it ends, and takes up what nobody drives.

The journal is the queue between those who begin runs and those who drive them: whoever has room
takes the oldest that are nobody's, a few at a time, so that several processes share.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside
from hocket.app.questions import open_questions
from hocket.app.run import Run, leave
from hocket.app.state import check_run_id
from hocket.core.errors import (
    EngineBug,
    HocketError,
    JournalError,
    NotFound,
    OwnershipLost,
    Refused,
)
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.engine.replay import Checked
from hocket.journal.base import RunRow
from hocket.journal.schema import Passing

_WATCH: Final = 1.0
"""After how many seconds it is looked for runs that are nobody's, if nobody rings before."""
_AT_ONCE: Final = 4
_AMONG: Final = 16
"""Of so many that are the oldest some are taken by chance: others look at the same ones."""
_HELD: Final = 10
"""How many times as many runs as may be at work are held, where the others wait for people."""
_YIELD: Final = 0.001
"""How many seconds, for each run that is driven here, are left to others before taking more."""
_FIRST_REST: Final = 2.0
_LONGEST_REST: Final = 600.0


class Full(Refused):
    """So many runs are driven here that no other one may begin."""


class Driving:
    """The runs that are driven in this process.

    Args:
        engine: Who runs them.
        most: How many may be driven at once.

    Attributes:
        runs: The runs, by id; paused ones, too.
        resting: Runs that are let be for a while.
        stirred: Set when there may be a run to take up, or room for one.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._runs: dict[str, Run] = {}
        self.runs: Final[Mapping[str, Run]] = MappingProxyType(self._runs)
        self.resting: Final = Resting()
        self.stirred: Final = asyncio.Event()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._beginning = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closed = False

    @property
    def room(self) -> int:
        """How many more runs may be driven here.

        One that waits for people takes nothing but memory: the place of another one only where
        very many do.
        """
        if self._closed:
            return 0
        at_work = sum(not _idle(run.machine) for run in self._runs.values()) + self._beginning
        held = len(self._runs) + self._beginning
        return max(0, min(self._most - at_work, _HELD * self._most - held))

    def lock(self, run: str) -> asyncio.Lock:
        """Give the lock of whoever finds out where a run is driven, and changes that."""
        return self._locks.setdefault(run, asyncio.Lock())

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
        hosted = self._engine.journal.hosted
        async with self._room(), self._unknown(run):
            await hosted.add(run)
            try:
                self._drive(await begin())
            except Exception:
                await hosted.drop(run)
                raise

    async def lay(self, run: str, lay: Callable[[], Awaitable[None]]) -> None:
        """Have a new run recorded that any process with room is to drive.

        Raises:
            Refused: There is a run of that id; or as `lay`.
        """
        self._check_open()
        async with self._unknown(run):
            await lay()
        await self.announce()

    @asynccontextmanager
    async def _unknown(self, run: str) -> AsyncIterator[None]:
        """Keep an id for a run that is about to be recorded.

        Raises:
            Refused: There is a run of that id, or it cannot be one.
        """
        check_run_id(run)
        async with self.lock(run):
            if await asyncio.to_thread(self._engine.journal.find, run) is not None:
                raise Refused(f"there is a run {run} already; choose another id")
            yield

    async def announce(self) -> None:
        """Wake all who have room: there are runs that nobody drives."""
        self.stirred.set()
        await asyncio.to_thread(self._engine.journal.announce)

    async def take_up(
        self,
        run: str,
        requests: Sequence[AnyRequest] = (),
        *,
        anyhow: bool = False,
        noted: bool | None = True,
        check: Checked = lambda machine: None,
    ) -> None:
        """Drive a run from now on whose owner is gone, with the run's lock held.

        Args:
            run: The run's id.
            requests: What to ask of it at once.
            anyhow: Do it also if so many runs are driven that no other one may begin.
            noted: None if it is noted already that servers drive it.
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
                await self._engine.resume(run, requests=requests, hosted=noted, check=checked)
            )
            self.resting.end(run)

    async def leave(self, seconds: float) -> None:
        """Begin no more calls, and let those in flight end for so many seconds.

        A run is given up as soon as none of its calls is in flight, and others may take it up.
        """
        self._closed = True
        for run in list(self._runs.values()):
            leave(run)
        if self._followers:
            await asyncio.wait(list(self._followers.values()), timeout=seconds)

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
        self._check_open()
        if not self.room and not anyhow:
            raise Full(
                f"this server drives {self._most} runs, as many as it may: wait until one has "
                "ended or waits for people, or start it with a larger --most"
            )
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    def _check_open(self) -> None:
        if self._closed:
            raise Refused("this server is ending; start it again, or run it with hocket run")

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
        except Passing as error:
            # It is taken up again as soon as that is over.
            _say(f"run {run.id} rests", error)
        except Exception as error:
            _say(f"run {run.id} is driven here no more", error)
            with suppress(JournalError):
                row = await asyncio.to_thread(self._engine.journal.find, run.id)
                self.resting.broke(run.id, row)
        finally:
            self._runs.pop(run.id, None)
            self._followers.pop(run.id, None)
            self.stirred.set()
            if self._closed and run.machine.phase != "ended":
                with suppress(JournalError):
                    await self.announce()


class _Rest(NamedTuple):
    """Why a run is let be.

    Fields:
        events: How many events it had.
        until: Until when it is let be also if it has more by now.
        pause: How long that is; 0 if nothing was wrong with it.
    """

    events: int
    until: float
    pause: float


class Resting:
    """Runs that are let be: something is wrong with them, or they wait for people.

    One is looked at again when it has more events, as when somebody has asked something of it.
    Where something was wrong with it, another process may have tried, too: so it is let be for a
    while then, and longer each time.
    """

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def __len__(self) -> int:
        return len(self._rests)

    def waits(self, row: RunRow) -> None:
        """Let a run be that waits for people."""
        self._rests[row.id] = _Rest(row.events, 0.0, 0.0)

    def broke(self, run: str, row: RunRow | None) -> None:
        """Let a run be that cannot be driven here."""
        before = self._rests.get(run)
        pause = _FIRST_REST if before is None else min(2 * before.pause, _LONGEST_REST)
        events = 0 if row is None else row.events
        self._rests[run] = _Rest(events, time.monotonic() + pause, pause)

    def has(self, row: RunRow) -> bool:
        """Tell whether a run is to be let be."""
        rest = self._rests.get(row.id)
        if rest is None:
            return False
        return row.events == rest.events or time.monotonic() < rest.until

    def end(self, run: str) -> None:
        """A run is driven here, and something may be wrong with it again."""
        rest = self._rests.get(run)
        if rest is not None and not rest.pause:
            del self._rests[run]

    def keep(self, runs: set[str]) -> None:
        """Forget all but these, which are still nobody's."""
        for run in self._rests.keys() - runs:
            del self._rests[run]


def _idle(machine: RunMachine) -> bool:
    """Tell whether a run is paused, or nothing of it can happen before somebody answers."""
    if not machine.waits_for_people:
        return machine.paused
    return bool(machine.calls.held() or open_questions(machine))


class _Pausing(Refused):
    """A run is about to pause, and waits for people."""


def _not_pausing(machine: RunMachine) -> None:
    """Leave a run alone that only people can have go on.

    Raises:
        _Pausing: This is one.
    """
    if machine.phase == "pausing":
        raise _Pausing(f"run {machine.run} waits for people")


def _any(machine: RunMachine) -> None:
    """Let any run be taken up."""


def with_functions(machine: RunMachine) -> None:
    """Let the functions of a run's plan be imported before it is driven."""
    find_functions_beside(machine.spec.source)


class Heir:
    """Takes up what servers are to drive and nobody drives.

    Args:
        engine: Whose journal says so.
        driving: Drives it from then on.
    """

    def __init__(self, engine: Engine, driving: Driving) -> None:
        self._engine = engine
        self._driving = driving
        self._no_room = False
        self._blind = False

    async def watch(self) -> None:
        """See that what servers drive is driven, for ever."""
        driving = self._driving
        try:
            await asyncio.to_thread(self._engine.journal.listen, _stirring(driving.stirred))
        except JournalError as error:
            # It is a courtesy: runs are looked for now and then all the same.
            _say("this server cannot be woken when there are runs to take up", error)
        while True:
            driving.stirred.clear()
            more = True
            try:
                while more:
                    more = await self.look()
                    # Whoever drives less is to be faster.
                    await asyncio.sleep(_YIELD * len(driving.runs))
            except Exception as error:
                # The next look may work: it may last, so its beginning and its end are said.
                if not self._blind:
                    self._blind = True
                    _say("the runs that servers drive cannot be taken up for now", error)
            else:
                if self._blind:
                    self._blind = False
                    _say("the runs that servers drive can be taken up again")
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH):
                    await driving.stirred.wait()

    async def look(self) -> bool:
        """Take up a few that nobody drives; tells whether there may be more to take up.

        A paused run stays paused.

        Raises:
            JournalError: The journal cannot be read.
        """
        driving, resting = self._driving, self._driving.resting
        if not driving.room:
            return False
        wanted = _AMONG + len(resting)
        rows = await asyncio.to_thread(self._engine.journal.orphans, wanted)
        if len(rows) < wanted:
            resting.keep({row.id for row in rows})
        left = [row for row in rows if row.id not in driving.runs and not resting.has(row)]
        # The oldest first, as others may wait for them.
        few = left[: min(_AMONG, driving.room)]
        some = random.sample(few, min(_AT_ONCE, len(few)))
        self._no_room = False
        await asyncio.gather(*(self._go_on(row) for row in some))
        return len(left) > len(some) and not self._no_room

    async def _go_on(self, row: RunRow) -> None:
        driving, run = self._driving, row.id
        async with driving.lock(run):
            if self._no_room or run in driving.runs:
                return
            try:
                # Whoever has answered since nobody drives it has asked for it.
                asked = await asyncio.to_thread(self._engine.journal.waiting, run)
                check = _any if asked else _not_pausing
                await driving.take_up(run, noted=None, check=check)
            except _Pausing:
                # Nobody has asked for it: an answer has not come in time.
                driving.resting.waits(row)
            except Passing:
                # Neither for this one nor for the others: the next look may find some.
                self._no_room = True
            except (NotFound, Refused):
                # Another process was faster, or there is no room for it any more.
                return
            except Exception as error:
                driving.resting.broke(run, row)
                _say(f"run {run} cannot be taken up; see hocket resume {run}", error)


def _stirring(stirred: asyncio.Event) -> Callable[[], None]:
    """Give what sets an event of this loop from any thread."""
    loop = asyncio.get_running_loop()

    def stir() -> None:
        with suppress(RuntimeError):
            # Once the loop was closed, nobody waits for it.
            loop.call_soon_threadsafe(stirred.set)

    return stir


def _say(message: str, error: Exception | None = None) -> None:
    """Have something noted that nobody waits for; how it came about only if it is a mistake."""
    told: dict[str, object] = {"message": message if error is None else f"{message}: {error}"}
    if not isinstance(error, HocketError | None) or isinstance(error, EngineBug):
        told["exception"] = error
    asyncio.get_running_loop().call_exception_handler(told)
