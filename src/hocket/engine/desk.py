"""Where the calls of all runs of a process wait for their limits.

The pure `Admission` decides who may start; the desk carries that out.
A call that claims a limit which other processes share is first reserved in the journal's ledger,
all that are ready in one commit; if another process was faster the call goes back to its place.
Nobody waits here but calls: no run, no loop, no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from hocket.core.errors import HocketError
from hocket.core.specs import LimitSpec
from hocket.core.values import MINUTE, SECOND
from hocket.engine.clock import EARLY, Alarm, Clock
from hocket.journal.base import Ledger, Told
from hocket.limits.claim import Claim, Ending, Entry, Key, News, Quota
from hocket.limits.lobby import Admission, Admitted, Hopeless, Queue
from hocket.limits.pace import LimitState

CLAIM: Final = "claim"
"""What a call waits for while the journal is asked for its units."""

_SLACK: Final = MINUTE
_LONGEST_MARGIN: Final = SECOND
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LimitState).decode

OpenLedger: TypeAlias = Callable[[Callable[[], None]], Ledger]
"""Opens the ledger of shared limits; the callback is told when another process changes it."""


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
        self._shared: dict[str, LimitSpec] = {}
        """The shared limits of open runs."""
        self._ledger = None if ledger is None else ledger(self._changed)
        self._granting: list[Admitted] = []
        """Admitted calls that wait for the ledger's word."""
        self._held: dict[Key, tuple[Admitted, int | None]] = {}
        """What calls in flight hold of shared limits, and when they were sent."""
        self._versions: dict[str, int] = {}
        """Which state of each shared limit others have been told."""
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._asking = False
        self._pumping = False
        self._again = False
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
        """Let a run's calls wait here.

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
        for entry in past:
            self.admission.limit(entry.limit, run).sync(entry)
        fresh = {n: spec for n, spec in limits.items() if spec.shared}
        self._shared.update(fresh)
        if fresh and self._ledger is not None:
            self._learn(await self._ledger.sync(list(fresh), self.clock.now()))

    def close(self, run: str) -> None:
        """Forget a run's waiting calls; those in flight are settled when they land."""
        self._clients.pop(run, None)
        self.admission.close(run)
        if not self._clients:
            self._alarm.stop()
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
        try:
            while True:
                self._again = False
                admitted = self.admission.admit(self._now())
                for item in admitted:
                    if item.shared and self._ledger is not None:
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
        if self._granting and not self._asking:
            self._asking = True
            self._spawn(self._ask())
        self._alarm.set(self.admission.next())
        return moved

    def sent(self, key: Key) -> None:
        """Note that a call leaves now."""
        at = self.clock.now()
        self.admission.sent(key, at)
        held = self._held.get(key)
        if held is not None and self._ledger is not None:
            self._held[key] = held[0], at
            self._ledger.sent(key, at)

    def settle(self, key: Key, ending: Ending) -> list[News]:
        """Note how a call ended; gives what that means for its limits."""
        at = self.clock.now()
        news = self.admission.settle(key, ending, at)
        held = self._held.pop(key, None)
        if held is not None and self._ledger is not None:
            item, sent = held
            limits = (self.admission.limit(name) for name in item.shared)
            if any(limit.entry(key) is not None for limit in limits):
                self._ledger.settle(_entries(item, sent, ending), at)
            else:
                # A peer does not count what it has refused.
                self._ledger.release([key])
            self._tell_states(item)
        return news

    def release(self, key: Key) -> None:
        """Give back what a call holds that never left."""
        self.admission.release(key, self.clock.now())
        if self._held.pop(key, None) is not None and self._ledger is not None:
            self._ledger.release([key])

    def put_back(self, item: Admitted, cause: str) -> None:
        """Let an admitted call that cannot start now wait in its old place."""
        self.admission.put_back(item.key, cause, self.clock.now())
        if self._held.pop(item.key, None) is not None and self._ledger is not None:
            self._ledger.release([item.key])

    def quota(self, key: Key, quotas: Sequence[Quota]) -> list[News]:
        """Take in what a provider's headers say."""
        news = self.admission.quota(key, quotas, self.clock.now())
        held = self._held.get(key)
        if held is not None:
            self._tell_states(held[0])
        return news

    def waiting(self, run: str = "") -> list[Queue]:
        """Tell what calls wait for, until when and how many."""
        if run and run not in self._clients:
            return []
        queues = self.admission.waiting(run)
        asked = sum(not run or item.run == run for item in self._granting)
        return [*queues, Queue(CLAIM, None, asked)] if asked else queues

    async def settled(self) -> None:
        """Wait until nothing is under way any more."""
        self._alarm.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- within -----------------------------------------------------------------------------

    def _now(self) -> int:
        """Give the present instant, or the one that the loop has rung for a little early."""
        at = self.clock.now()
        due = self.admission.next()
        return at if due is None or not at < due <= at + EARLY else due

    def _start(self, item: Admitted) -> None:
        client = self._clients.get(item.run)
        if client is None:
            self.release(item.key)
        elif not client.start(item):
            self._again = True

    async def _ask(self) -> None:
        """Ask the ledger for what is ready, as long as there is any."""
        ledger = self._ledger
        assert ledger is not None
        try:
            while self._granting:
                asked = list(self._granting)
                entries = [entry for item in asked for entry in _entries(item, None, None)]
                granted, told = await ledger.reserve(entries, self.clock.now(), self._keep(asked))
                del self._granting[: len(asked)]
                self._grant(asked, granted, told)
        except HocketError as error:
            self._granting.clear()
            for client in list(self._clients.values()):
                client.fail(error)
        finally:
            self._asking = False

    def _grant(self, asked: Sequence[Admitted], granted: Sequence[bool], told: Told) -> None:
        """Start what was granted; the rest goes back to its place, seen with what we know now."""
        at = self.clock.now()
        ready = []
        for item, good in zip(asked, granted, strict=True):
            if good:
                self._held[item.key] = item, None
                ready.append(item)
            else:
                self.admission.put_back(item.key, CLAIM, at)
        self._learn(told)
        for item in ready:
            if any(self.admission.limit(name).state().closed > at for name in item.shared):
                # Its peer has refused another call meanwhile.
                self.put_back(item, CLAIM)
            else:
                self._start(item)
        self.pump()

    def _keep(self, asked: Sequence[Admitted]) -> dict[str, int]:
        """Say for how long the ledger must remember what is claimed of each limit."""
        names = {name: None for item in asked for name in item.shared}
        return {name: _memory(self._shared[name]) for name in names}

    def _learn(self, told: Told) -> None:
        states = {name: _decode(raw) for name, raw in told.states.items()}
        self.admission.sync(told.entries, states)
        for limit, key in told.forgotten:
            self.admission.forget(limit, key)

    def _tell_states(self, item: Admitted) -> None:
        """Tell other processes what the limits of a call have learned from it."""
        if self._ledger is None:
            return
        for name in item.shared:
            state = self.admission.limit(name).state()
            if state.version > self._versions.get(name, 0):
                self._versions[name] = state.version
                self._ledger.state(name, _encode(state), state.version)

    def _changed(self) -> None:
        """Another process has changed what it holds of a shared limit."""
        if self._shared and self._clients:
            self._spawn(self._sync())

    async def _sync(self) -> None:
        assert self._ledger is not None
        try:
            self._learn(await self._ledger.sync(list(self._shared), self.clock.now()))
        except HocketError as error:
            for client in list(self._clients.values()):
                client.fail(error)
            return
        self.pump()

    def _rung(self) -> None:
        self.pump()

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


def _entries(item: Admitted, sent: int | None, ending: Ending | None) -> list[Entry]:
    """Say what a call holds of each shared limit, or held and spent."""
    units = dict(item.claim.units)
    claim = msgspec.structs.replace(item.claim, units=())
    if ending is not None and ending.spent is not None:
        claim = _spent(claim, ending)
    over = ending is not None
    return [Entry(name, item.key, units[name], claim, sent, over) for name in item.shared]


def _spent(claim: Claim, ending: Ending) -> Claim:
    spent = ending.spent
    assert spent is not None
    read = claim.tokens_in if spent.tokens_in is None else spent.tokens_in
    written = claim.tokens_out if spent.tokens_out is None else spent.tokens_out
    known = spent.tokens_in is not None and spent.tokens_out is not None
    return Claim(
        tokens_in=read,
        tokens_out=written,
        most_tokens=read + written if known else claim.most_tokens,
        most_cost=claim.most_cost if spent.cost is None else spent.cost,
    )


def _memory(spec: LimitSpec) -> int:
    windows = (*spec.requests, *spec.tokens, *spec.tokens_in, *spec.tokens_out, *spec.cost)
    longest = max((rate.per for rate in windows), default=0)
    return max(longest, spec.spacing) + max(spec.margin or 0, _LONGEST_MARGIN) + _SLACK
