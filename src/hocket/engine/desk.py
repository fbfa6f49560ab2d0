"""Where the calls of all runs of a process wait for their limits.

The pure `Admission` decides who may start; the desk carries that out.
A call that claims a limit which other processes share is first reserved in the journal's ledger,
all that are ready in one commit; if another process was faster the call goes back to its place.
Nobody waits here but calls: no run, no loop, no thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from hocket.core.specs import LimitSpec
from hocket.engine.clock import EARLY, Alarm, Clock
from hocket.engine.shares import OpenLedger, Shares
from hocket.journal.sharing import Told
from hocket.limits.admission import Admission, Admitted, Hopeless, Queue
from hocket.limits.claim import Ending, Entry, Key, News, Quota

CLAIM: Final = "claim"
"""What a call waits for while the journal is asked for its units."""


class Client(Protocol):
    """A run whose calls wait at the desk."""

    def start(self, item: Admitted) -> bool:
        """Start an admitted call; False if it was given back, or put back, instead."""

    def exceeded(self, item: Hopeless) -> None:
        """A call waits for what will never come."""

    def fail(self, error: Exception) -> None:
        """The ledger of shared limits cannot be read or written."""


class Desk:
    """The admission of all runs of one loop.

    Args:
        clock: What time it is.
        ledger: Opens the ledger of shared limits; None where there is no other process.
    """

    def __init__(self, clock: Clock, ledger: OpenLedger | None = None) -> None:
        self.clock: Final = clock
        self.admission: Final = Admission()
        self._loop = asyncio.get_running_loop()
        self._clients: dict[str, Client] = {}
        self._shares = None
        if ledger is not None:
            opened = ledger(lambda: self._spawn(self._sync()))
            self._shares = Shares(self.admission, opened, clock.now)
        self._granting: list[Admitted] = []
        """Admitted calls of which the ledger is to be asked."""
        self._asked: list[Admitted] = []
        """Admitted calls that wait for its word."""
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._asking = False
        self._pumping = False
        self._again = False
        self._early = 0
        """The instant that the loop has rung for a little too early."""
        self._alarm = Alarm(self._loop, clock, self._rung)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it belongs to."""
        return self._loop

    async def open(
        self,
        run: str,
        client: Client,
        limits: Mapping[str, LimitSpec],
        *,
        past: Iterable[Entry] = (),
        priority: int = 0,
        weight: float = 1.0,
        deadline: int | None = None,
    ) -> None:
        """Let a run's calls wait here, or leave no trace of it.

        Args:
            run: The run's id.
            client: Who starts them.
            limits: The limits that they claim, by name.
            past: What the run has spent of its own limits.
            priority: Runs of a higher one go first.
            weight: The share beside runs of the same priority.
            deadline: The instant at which the run should be over.

        Raises:
            JournalError: The ledger cannot be read.
        """
        self.admission.open(
            run, limits, self.clock.now(), priority=priority, weight=weight, deadline=deadline
        )
        self._clients[run] = client
        try:
            for entry in past:
                self.admission.limit(entry.limit, run).sync(entry)
            if self._shares is not None and self._shares.name(limits):
                self._learn(await self._shares.sync(self.clock.now()))
        except BaseException:
            self.close(run)
            raise

    def close(self, run: str) -> None:
        """Forget a run's waiting calls; those in flight are settled when they land."""
        self._clients.pop(run, None)
        self.admission.close(run)
        if not self._clients:
            self._alarm.stop()
            if self._shares is not None:
                self._shares.tell(self.clock.now())
        else:
            # What it waited for, or in front of, is free for others.
            self.pump()

    # -- for runs ---------------------------------------------------------------------------

    def pump(self) -> bool:
        """Let through whoever fits now; tells whether anybody was.

        Starting a call may bring about others: they are seen to before this returns.
        """
        if self._pumping:
            self._again = True
            return False
        self._pumping = True
        moved = False
        shares = self._shares if self._shares is not None and self._shares.limits else None
        try:
            while True:
                self._again = False
                at, self._early = max(self.clock.now(), self._early), 0
                if shares is not None:
                    shares.deal((*self._asked, *self._granting), at)
                admitted = self.admission.admit(at)
                for item in admitted:
                    if item.shared and shares is not None:
                        self._granting.append(item)
                    else:
                        self._start(item)
                hopeless = self.admission.hopeless()
                for one in hopeless:
                    client = self._clients.get(one.run)
                    if client is not None:
                        client.exceeded(one)
                moved = moved or bool(admitted) or bool(hopeless)
                if not self._again:
                    break
        finally:
            self._pumping = False
        if shares is not None:
            if self._granting and not self._asking:
                self._asking = True
                self._spawn(self._ask(shares))
            shares.tell(at)
        self._alarm.set(self._next())
        return moved

    def sent(self, key: Key, ago: int = 0) -> None:
        """Note that a call leaves, or left so many nanoseconds ago."""
        at = self.clock.now() - ago
        self.admission.sent(key, at)
        # Only now it may be known when the next one fits.
        self._alarm.set(self.admission.next())
        if self._shares is not None:
            self._shares.sent(key, at)

    def settle(self, key: Key, ending: Ending) -> list[News]:
        """Note how a call ended; gives what that means for its limits."""
        at = self.clock.now()
        news = self.admission.settle(key, ending, at)
        if self._shares is not None:
            self._shares.settle(key, ending, at)
        return news

    def release(self, key: Key) -> None:
        """Give back what a call holds that never left."""
        self.admission.release(key, self.clock.now())
        if self._shares is not None:
            self._shares.release(key)

    def put_back(self, item: Admitted, cause: str) -> None:
        """Let an admitted call that cannot start now wait in its old place."""
        self.admission.put_back(item.key, cause, self.clock.now())
        if self._shares is not None:
            self._shares.release(item.key)

    def quota(self, key: Key, quotas: Sequence[Quota]) -> list[News]:
        """Take in what a provider's headers say."""
        news = self.admission.quota(key, quotas, self.clock.now())
        if self._shares is not None:
            self._shares.learned(key)
        return news

    def waiting(self, run: str = "") -> list[Queue]:
        """Tell what calls wait for, until when and how many."""
        if run and run not in self._clients:
            return []
        queues = self.admission.waiting(run)
        asking = (*self._asked, *self._granting)
        asked = sum(not run or item.run == run for item in asking)
        return [*queues, Queue(CLAIM, None, asked)] if asked else queues

    async def settled(self) -> None:
        """Wait until nothing is under way any more."""
        self._alarm.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- within -----------------------------------------------------------------------------

    def _rung(self) -> None:
        due, at = self._next(), self.clock.now()
        if due is not None and at < due <= at + EARLY:
            self._early = due
        self.pump()

    def _next(self) -> int | None:
        """Give the instant at which to pump again though nothing happens."""
        due = self.admission.next()
        if self._shares is None or not self._shares.limits:
            return due
        again = self._shares.next()
        return again if due is None else due if again is None else min(due, again)

    def _start(self, item: Admitted) -> None:
        client = self._clients.get(item.run)
        if client is None:
            self.release(item.key)
        elif not client.start(item):
            self._again = True

    async def _ask(self, shares: Shares) -> None:
        """Ask the ledger for what is ready, as long as there is any."""
        ready: deque[Admitted] = deque()
        try:
            while self._granting:
                self._asked, self._granting = self._granting, []
                granted, told = await shares.reserve(self._asked, self.clock.now())
                asked, self._asked = self._asked, []
                at = self.clock.now()
                for item, good in zip(asked, granted, strict=True):
                    if good:
                        ready.append(item)
                    else:
                        self.admission.put_back(item.key, CLAIM, at)
                self._learn(told)
                while ready:
                    item = ready.popleft()
                    if shares.closed(item, at):
                        self.put_back(item, CLAIM)
                    else:
                        self._start(item)
                self.pump()
        except Exception as error:
            # Another program may have written what cannot be read here, and no run must hang on it.
            idle = (*ready, *self._asked, *self._granting)
            self._asked.clear()
            self._granting.clear()
            for item in idle:
                self.release(item.key)
            self._fail(error)
        finally:
            self._asking = False

    async def _sync(self) -> None:
        """Learn what another process has changed."""
        if self._shares is None or not self._clients:
            return
        try:
            self._learn(await self._shares.sync(self.clock.now()))
            self.pump()
        except Exception as error:
            self._fail(error)

    def _learn(self, told: Told) -> None:
        """Take in what others have changed, and decide anew what was decided without it."""
        if self._shares is None:
            return
        if self._granting and self._shares.takes(told):
            # The ledger would grant these: it takes for known what it has told.
            at = self.clock.now()
            for item in self._granting:
                self.admission.put_back(item.key, CLAIM, at)
            self._granting.clear()
        self._shares.learn(told)

    def _fail(self, error: Exception) -> None:
        for client in list(self._clients.values()):
            client.fail(error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)


class Desks:
    """Gives the desk of the loop that runs, so that all runs of a process wait at one.

    Args:
        wall: Gives the wall's time in nanoseconds since the epoch.
        ledger: Opens the ledger of shared limits; None where there is no other process.
    """

    def __init__(self, wall: Callable[[], int], ledger: OpenLedger | None = None) -> None:
        self._wall = wall
        self._ledger = ledger
        self._desk: Desk | None = None

    def __call__(self) -> Desk:
        """Give the desk of this loop."""
        loop = asyncio.get_running_loop()
        if self._desk is None or self._desk.loop is not loop:
            self._desk = Desk(Clock(loop, self._wall()), self._ledger)
        return self._desk

    async def settled(self) -> None:
        """Wait until nothing is under way at the desk of this loop."""
        if self._desk is not None and self._desk.loop is asyncio.get_running_loop():
            await self._desk.settled()
