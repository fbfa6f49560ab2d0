"""Starts and resumes runs on one journal."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from hocket.agents.base import ready
from hocket.core.errors import JournalError, NotFound, Refused
from hocket.core.events import (
    AnyEvent,
    Recorded,
    RunStarted,
)
from hocket.core.machine import WorkflowFactory
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import Json
from hocket.engine.audience import Observer
from hocket.engine.claims import Claims
from hocket.engine.clock import Clock
from hocket.engine.crew import Crew, Hire
from hocket.engine.desk import Desk, Desks
from hocket.engine.driven import Run
from hocket.engine.flight import Files
from hocket.engine.foresight import Ask, Foresight
from hocket.engine.forking import fork_of
from hocket.engine.memo import Memo
from hocket.engine.opening import PROGRAM, first_of
from hocket.engine.outlook import Prospect
from hocket.engine.replay import Checked, Replay, Replayed
from hocket.engine.runner import Runner
from hocket.engine.takeover import Opening, take_over
from hocket.forecast.durations import Durations
from hocket.forecast.search import BUDGET
from hocket.journal.base import Log, Store
from hocket.journal.slices import aside, in_slices
from hocket.limits.spending import Spending
from hocket.workflows.teams import VERSIONS, versions_of

__all__ = ["Engine", "Kind", "Parts", "Run"]


class Kind(msgspec.Struct, frozen=True):
    """A kind of workflow: the version of its rules, and how its machine is made."""

    version: int
    make: WorkflowFactory


async def _nothing(spec: RunSpec) -> None:
    """Nothing has to be there before a run's calls begin."""


class Parts(msgspec.Struct, frozen=True):
    """What an engine is put together from.

    Fields:
        journal: Where runs are recorded.
        files: Where calls keep files.
        hire: Makes an agent of its name and spec.
        capacity: Gives how many calls of an agent may be in flight, or None for any number.
        kinds: The kinds of workflow, by the tag of their specs.
        wall: Gives the wall's time in nanoseconds since the epoch.
        desks: Where calls wait for their limits; None for one desk of this engine alone.
        memo: What runs know of each other's questions; None for what the runs of this engine know.
        past: Gives how long earlier calls of a spec took, by plan, step and agent.
        look_ahead: Looks for a better order beside the loop; None to go by longest path.
        budget: How many events one look may simulate.
        prepare: Has beside the loop what all calls of a spec would else wait for; a run begins
            only then, so that no call is blamed for it.
    """

    journal: Store
    files: Files
    hire: Hire
    capacity: Callable[[str, AgentSpec], int | None]
    kinds: Mapping[str, Kind]
    wall: Callable[[], int]
    desks: Desks | None = None
    memo: Memo | None = None
    past: Callable[[RunSpec], Mapping[tuple[str, str, str], Sequence[int]]] = lambda spec: {}
    look_ahead: Ask | None = None
    budget: int = BUDGET
    prepare: Callable[[RunSpec], Awaitable[None]] = _nothing


class _Opened(NamedTuple):
    """How a run was taken up: what was recorded, the number of its last event, and its clock."""

    opening: Opening
    last: int
    clock: Clock


class Engine:
    """Starts and resumes runs.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._desks = parts.desks or Desks(parts.wall)
        self._memo = parts.memo or Memo(parts.journal.answers, journal=parts.journal)

    @property
    def desk(self) -> Desk:
        """Where the calls of all its runs wait."""
        return self._desks()

    async def start(
        self,
        spec: RunSpec,
        inputs: dict[str, Json],
        *,
        run: str,
        seed: int,
        observers: Sequence[Observer] = (),
        stay: bool = True,
        wait: bool = True,
    ) -> Run:
        """Start a run; its first event is on disk when this returns.

        Args:
            spec: What to do; it has been checked.
            inputs: The workflow's inputs.
            run: The run's id.
            seed: Where jitter comes from.
            observers: Who watches.
            stay: Keep a paused run in this process, so that it can go on here.
            wait: Wait for people; else pause the run when only they are waited for.

        Raises:
            JournalError: It could not be recorded.
            Refused: An input is missing or unknown.
        """
        await self.parts.prepare(spec)
        machine, first = self._begin(spec, inputs, run, seed)
        log = await self.parts.journal.start(first)
        runner, foresight = await self._runner(machine, log, self.desk.clock, Spending(), [])
        watching = observers if foresight is None else [*observers, foresight]
        runner.audience.admit(watching, [Recorded(1, first)])
        runner.stay, runner.wait = stay, wait
        return Run(runner, foresight)

    async def lay(self, spec: RunSpec, inputs: dict[str, Json], *, run: str, seed: int) -> None:
        """Record a run that somebody else is to drive; it is on disk, and nobody's, afterwards.

        Raises:
            JournalError: It could not be recorded.
            Refused: An input is missing or unknown.
        """
        _, first = self._begin(spec, inputs, run, seed)
        await self.parts.journal.lay(first)

    def fold(self, run: str, also: Replayed | None = None) -> RunMachine:
        """Rebuild a run's machine from its journal.

        Args:
            run: The run's id.
            also: Who else is shown each event, so that it is read only once.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read, or the run began under newer rules than ours.
        """
        machine = self._machine()
        for recorded in self._events(run):
            machine.apply(recorded.event)
            if also is not None:
                also(recorded.event)
        return machine

    def _read(self, run: str) -> AsyncIterator[Recorded]:
        """Do as `_events` does, and hold nobody up meanwhile."""
        return in_slices(self._events(run), self.parts.journal)

    def _events(self, run: str) -> Iterator[Recorded]:
        """Give a run's events, if they can be judged here."""
        empty = True
        for recorded in self.parts.journal.read(run):
            if isinstance(recorded.event, RunStarted):
                _check_rules(recorded.event, self.parts.kinds)
            empty = False
            yield recorded
        if empty:
            raise NotFound(f"run {run!r} has no events")

    async def resume(
        self,
        run: str,
        *,
        spec: RunSpec | None = None,
        requests: Sequence[AnyRequest] = (),
        observers: Sequence[Observer] = (),
        also: Replayed | None = None,
        check: Checked | None = None,
        stay: bool = True,
        wait: bool = True,
    ) -> Run:
        """Take up a run whose owner is gone.

        Args:
            run: The run's id.
            also: Who is shown the events that there are; observers see only what follows.
            check: Is shown the run as it was left, and may refuse to go on with it.
            spec: A changed spec to go on with; steps that are equal in both keep their results.
            requests: What to ask of it at once, as a retry.
            observers: Who watches.
            stay: Keep a paused run in this process, so that it can go on here.
            wait: Wait for people; else pause the run when only they are waited for.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive, it has ended, or a request makes no sense.
            JournalError: It could not be read or recorded.
        """
        log = await self.parts.journal.resume(run)
        replay = self._replay(also, check)
        return await self._go_on(
            log, replay, self._read(run), spec, requests, observers, stay, wait
        )

    async def fork(
        self,
        source: str,
        *,
        run: str,
        after: int | None = None,
        inputs: Mapping[str, Json] = MappingProxyType({}),
        by: str = "",
        observers: Sequence[Observer] = (),
        also: Replayed | None = None,
        check: Checked | None = None,
        stay: bool = True,
        wait: bool = True,
    ) -> Run:
        """Start a run that goes on from a point of another, which stays as it is.

        Calls that were in flight at that point count as lost.

        Args:
            source: The other run's id.
            run: The new run's id.
            after: The number of the last event that counts; None for the last one that there is.
            inputs: Inputs that are different for all that has not finished by then.
            by: Who asks.
            observers: Who watches.
            also: Who is shown the events that are taken over; observers see only what follows.
            check: Is shown the run as it begins, and may refuse to go on with it.
            stay: Keep a paused run in this process, so that it can go on here.
            wait: Wait for people; else pause the run when only they are waited for.

        Raises:
            NotFound: No such run.
            Refused: There is no such event or input, or what has failed cannot be done again.
            JournalError: It could not be read or recorded.
        """
        first, events = await self._forked(source, run, after, inputs, by)
        log = await self.parts.journal.start(first, events)
        replay = self._replay(also, check)
        begun = (Recorded(*it) for it in enumerate((first, *events), 1))
        return await self._go_on(log, replay, in_slices(begun), None, (), observers, stay, wait)

    async def lay_fork(
        self, source: str, *, run: str, after: int | None, inputs: Mapping[str, Json], by: str
    ) -> None:
        """Record what `fork` would begin, for somebody else to drive.

        Raises:
            NotFound: No such run.
            Refused: There is no such event or input, or what has failed cannot be done again.
            JournalError: It could not be read or recorded.
        """
        first, events = await self._forked(source, run, after, inputs, by)
        await self.parts.journal.lay(first, events)

    async def _forked(
        self, source: str, run: str, after: int | None, inputs: Mapping[str, Json], by: str
    ) -> tuple[RunStarted, list[AnyEvent]]:
        """Give the first event of a fork, and those that follow at once."""
        machine, now = self._machine(), self.desk.clock.now()
        found = await fork_of(
            self._read(source), machine, run, after=after, inputs=inputs, by=by, now=now
        )
        versions = self._versions(found.spec)
        first = msgspec.structs.replace(found.first, versions=versions, program=PROGRAM)
        return first, found.events

    async def _go_on(
        self,
        log: Log,
        replay: Replay,
        events: AsyncIterable[Recorded],
        spec: RunSpec | None,
        requests: Sequence[AnyRequest],
        observers: Sequence[Observer],
        stay: bool,
        wait: bool,
    ) -> Run:
        """Drive a run from what its journal holds on, which is read once."""
        machine = replay.machine
        opening, last, clock = await self._open(log, replay, events, spec, requests)
        for event in opening.events:
            replay.spending.add(event)
        runner, foresight = await self._runner(machine, log, clock, replay.spending, replay.before)
        watching = observers if foresight is None else [*observers, foresight]
        first = last - len(opening.events) + 1
        runner.audience.admit(watching, [Recorded(*it) for it in enumerate(opening.events, first)])
        runner.taken = frozenset(answer.id for answer in opening.taken)
        runner.stay, runner.wait = stay, wait
        return Run(runner, foresight)

    async def hand(
        self, run: str, requests: Sequence[AnyRequest], *, check: Checked | None = None
    ) -> None:
        """Ask something of a run whose owner is gone, and leave it for somebody else to drive.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive, it has ended, or a request makes no sense.
            JournalError: It could not be read or recorded.
        """
        log = await self.parts.journal.resume(run)
        await self._open(log, self._replay(None, check), self._read(run), None, requests)
        await log.close()

    async def _open(
        self,
        log: Log,
        replay: Replay,
        events: AsyncIterable[Recorded],
        spec: RunSpec | None,
        requests: Sequence[AnyRequest],
    ) -> _Opened:
        """Bring a run up to its new owner; if that is refused, it is given up again."""
        machine = replay.machine
        try:
            async for recorded in events:
                replay.add(recorded.event)
            run = machine.run
            if machine.phase == "ended" and spec is None and not requests:
                raise Refused(f"run {run} has ended: {machine.said}")
            replay.check()
            clock = self._clock(machine.at)
            posts = await aside(self.parts.journal, partial(self.parts.journal.waiting, run))
            opening = take_over(
                machine, log.epoch, clock.now(), posts=posts, spec=spec, requests=requests
            )
            # All of it fits, or nothing is recorded.
            return _Opened(opening, log.append(opening.events, opening.taken), clock)
        except BaseException:
            await log.close()
            raise

    def _replay(self, also: Replayed | None, check: Checked | None) -> Replay:
        return Replay(self._machine(), also, check)

    def _begin(
        self, spec: RunSpec, inputs: dict[str, Json], run: str, seed: int
    ) -> tuple[RunMachine, RunStarted]:
        """Give a new run's machine, and its first event.

        Raises:
            Refused: An input is missing or unknown.
        """
        versions, now = self._versions(spec), self.desk.clock.now()
        first = first_of(spec, inputs, run=run, seed=seed, versions=versions, at=now)
        machine = self._machine()
        machine.apply(first)
        return machine, first

    def _versions(self, spec: RunSpec) -> dict[str, int]:
        return {_tag(spec): self.parts.kinds[_tag(spec)].version, **versions_of(spec)}

    def _machine(self) -> RunMachine:
        return RunMachine({tag: kind.make for tag, kind in self.parts.kinds.items()})

    def _clock(self, at: int) -> Clock:
        """Give a clock that is not behind a run, whose wall's clock may have been put back."""
        clock = self.desk.clock
        return clock if clock.now() >= at else Clock(clock.loop, at)

    async def _runner(
        self,
        machine: RunMachine,
        log: Log,
        clock: Clock,
        spending: Spending,
        before: Sequence[AnyEvent],
    ) -> tuple[Runner, Foresight | None]:
        """Put together what drives a run, and let its calls wait at the desk.

        Raises:
            JournalError: The duration book or the ledger of shared limits cannot be read.
        """
        async with AsyncExitStack() as undo:
            # Whatever goes wrong here, nobody drives the run: others must be able to take it up.
            undo.push_async_callback(log.close)
            spec, desk, crew = machine.spec, self.desk, Crew(machine.spec.agents, self.parts.hire)
            undo.push_async_callback(crew.close)
            claims = Claims(machine.run, spec, self.parts.capacity)
            files, memo = self.parts.files, self._memo
            runner = Runner(machine, log, clock, crew, files, desk, claims, memo)
            past = await aside(self.parts.journal, partial(self.parts.past, spec))
            prospect = runner.line.outlook = Prospect(machine, Durations(past))
            foresight = None
            if self.parts.look_ahead is not None and self.parts.budget and not prospect.blind:
                ask, budget = self.parts.look_ahead, self.parts.budget
                foresight = Foresight(runner, prospect, past, ask, before, budget)
            await self.parts.prepare(spec)
            await _make_ready(crew, claims)
            await desk.open(
                runner.line.room,
                runner.departures,
                claims.limits,
                past=claims.past(spending),
                priority=spec.priority,
                weight=spec.weight,
                deadline=None if spec.deadline is None else machine.started_at + spec.deadline,
            )
            undo.pop_all()
        return runner, foresight


def _check_rules(first: RunStarted, kinds: Mapping[str, Kind]) -> None:
    """Refuse to judge a run by older rules than those that it began under."""
    for tag, version in first.versions.items():
        kind = kinds.get(tag)
        known = VERSIONS.get(tag, 0) if kind is None else kind.version
        if version > known:
            raise JournalError(
                f"run {first.run} was begun by {first.program} under version {version} of the "
                f"rules for a {tag}; this is {PROGRAM} and knows {known}: use a newer one"
            )


async def _make_ready(crew: Crew, claims: Claims) -> None:
    """Let agents look their prices up whose calls are going to be estimated."""
    for agent in crew.able(claims.weighed):
        await ready(agent)


def _tag(spec: RunSpec) -> str:
    return str(spec.workflow.__struct_config__.tag)
