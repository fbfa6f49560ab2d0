"""The engine as a Python program uses it: plans in, results out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from hocket.agents.embeddings import Embedder
from hocket.agents.population import folder_of
from hocket.app.adapters import KINDS, Links
from hocket.app.files import StoredFiles
from hocket.app.history import History, keep, past_of
from hocket.app.journals import open_journal
from hocket.app.learned import resolve
from hocket.app.livelog import LiveLog
from hocket.app.mistakes import refuse_mistakes
from hocket.app.result import Result
from hocket.app.run import Run
from hocket.app.state import check_run_id, lease_seconds, new_run_id, new_seed, state_folder
from hocket.app.stream import Item
from hocket.app.telemetry import Telemetry, sink_of_environment
from hocket.app.watched import Watched
from hocket.app.what import What, parts_of
from hocket.config.builder import Plan
from hocket.config.diff import spec_diff
from hocket.config.handles import Step
from hocket.core.errors import Refused, RunFailed
from hocket.core.requests import AnyRequest, Retry
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import Json
from hocket.engine.desk import Desks
from hocket.engine.engine import Engine as Shell
from hocket.engine.engine import Parts
from hocket.engine.engine import Run as Driven
from hocket.engine.lookahead import LookAhead
from hocket.engine.memo import Memo
from hocket.engine.replay import Checked
from hocket.engine.runner import Observer
from hocket.engine.takeover import rehearse
from hocket.forecast.search import BUDGET
from hocket.insight.tally import Tally
from hocket.journal.base import Store
from hocket.journal.memory import MemoryJournal
from hocket.journal.slices import aside
from hocket.journal.store import no_such_run


class Engine:
    """Runs plans, with their journal in a state folder.

    One engine may run many plans at once.
    Use it as ``async with Engine() as engine:``, or call `close` at the end.

    Args:
        state: The state folder; by default ``HOCKET_HOME`` or the user's own.
        memory: Keep the journal in memory: nothing can be resumed after the process.
        journal: Another journal than the state folder's: one that is open, or its address, as
            ``postgresql://user@host:port/database``; by default what ``HOCKET_JOURNAL`` names.
        lease: Seconds after which another process may take a run over from this one if it gives no
            sign of life; by default ``HOCKET_LEASE`` or 15.
        look_ahead: How many simulated events one look for a better order of calls may cost; 0 for
            none. It happens in a process beside this one, where a run lasts three seconds or more
            and it is known how long calls take.
        cluster: The address of a cluster of Ray whose workers do the calls, as ``auto``.
    """

    def __init__(
        self,
        state: str | Path | None = None,
        *,
        memory: bool = False,
        journal: Store | str | None = None,
        lease: float | None = None,
        look_ahead: int = BUDGET,
        cluster: str | None = None,
    ) -> None:
        self.state: Final = state_folder() if state is None else Path(state).absolute()
        self.links: Final = Links(cluster)
        lease = lease_seconds() if lease is None else lease
        if memory:
            journal = MemoryJournal(wall=time.time_ns)
        elif journal is None or isinstance(journal, str):
            journal = open_journal(journal, self.state, lease)
        self.journal: Final[Store] = journal
        self._desks = Desks(self.journal.wall, self.journal.ledger)
        self._embedder = Embedder()
        self._memo = Memo(self.journal.answers, self._embedder, self.journal)
        self._ahead = LookAhead()
        self.sessions: Final = self.links.sessions
        self._spans = sink_of_environment()
        self._budget = look_ahead
        self.files: Final = StoredFiles(self.journal.blobs, self.state)

    async def run(self, what: What, /, *, run_id: str | None = None, **inputs: Json) -> Result:
        """Run a plan to its end.

        With the `run_id` of a run that this state folder knows, that run is taken up, and what it
        has finished is not done again: one that has succeeded gives its result, and of one that
        has failed the failed steps are done again.

        Args:
            what: The plan.
            run_id: The run's id; by default a new one.
            **inputs: The plan's inputs.

        Raises:
            SpecError: The plan has mistakes.
            Refused: An input is missing, or the run is of another plan or was cancelled.
            RunFailed: It did not succeed; the error holds the result so far.
            JournalError: It could not be recorded.
        """
        if run_id is not None and await _status(self.journal, run_id) == "succeeded":
            plan, spec, _ = parts_of(what)
            await self._check_same(run_id, spec, inputs)
            return await aside(self.journal, lambda: self.result(run_id, plan))
        async with self.start(what, run_id=run_id, **inputs) as run:
            result = await run.result()
        if result.status != "succeeded":
            raise RunFailed(f"run {result.id} {result.status}: {result.reason}", result)
        return result

    def run_sync(self, what: What, /, *, run_id: str | None = None, **inputs: Json) -> Result:
        """Do as `run` does, from code that is not asynchronous.

        Raises:
            Refused: An event loop is running in this thread: use ``await engine.run(...)``.
        """
        refuse_in_loop("run")

        async def whole() -> Result:
            async with self:
                return await self.run(what, run_id=run_id, **inputs)

        return asyncio.run(whole())

    @asynccontextmanager
    async def start(
        self, what: What, /, *, run_id: str | None = None, **inputs: Json
    ) -> AsyncIterator[Run]:
        """Start a plan and give its run; leaving the block early stops it, resumably.

        Raises:
            SpecError: The plan has mistakes.
            Refused: An input is missing, the run is of another plan, or it has ended otherwise than
                by a failure.
            JournalError: It could not be recorded.
        """
        status = None if run_id is None else await _status(self.journal, run_id)
        if run_id is not None and status is not None:
            await self._check_same(run_id, parts_of(what)[1], inputs)
            again = [Retry(by="program", path="")] if status == "failed" else []
            run = await self.resume(run_id, what, requests=again)
        else:
            run = await self.begin(what, inputs, run_id=run_id)
        async with run:
            yield run

    async def stream(
        self,
        what: What,
        step: Step[Any] | str | None = None,
        /,
        *,
        run_id: str | None = None,
        **inputs: Json,
    ) -> AsyncIterator[Item]:
        """Start a plan and give what one of its steps says; see `Run.stream`.

        The run goes on to its end behind the last item; leaving early stops it, resumably.

        Args:
            what: The plan.
            step: Whose text; by default that of the step that the plan ends with.
            run_id: The run's id; by default a new one.
            **inputs: The plan's inputs.

        Raises:
            SpecError: The plan has mistakes.
            Refused: As `start`; or there is no such step.
            JournalError: It could not be recorded.
        """
        async with self.start(what, run_id=run_id, **inputs) as run:
            async for item in run.stream(step):
                yield item
            await run.result()

    async def begin(
        self,
        what: What,
        inputs: Mapping[str, Json],
        *,
        run_id: str | None = None,
        seed: int | None = None,
        observers: Sequence[Observer] = (),
        stay: bool = True,
        wait: bool = True,
    ) -> Run:
        """Start a plan and give its run.

        Args:
            what: The plan.
            inputs: Its inputs.
            run_id: The run's id; by default a new one.
            seed: Where jitter comes from; by default drawn.
            observers: Who watches.
            stay: Keep a paused run here, so that it can go on.
            wait: Wait for people; else pause the run when only they are waited for.

        Raises:
            SpecError: The plan has mistakes.
            Refused: An input is missing or unknown.
            JournalError: It could not be recorded.
        """
        plan, spec, live = parts_of(what)
        refuse_mistakes(spec)
        run_id = await self._new_id(run_id, spec.name)
        watch = self._watch(run_id, observers)
        run = await self.shell(live).start(
            await aside(self.journal, lambda: resolve(spec, self.journal.book)),
            dict(inputs),
            run=run_id,
            seed=new_seed() if seed is None else seed,
            observers=watch.observers,
            stay=stay,
            wait=wait,
        )
        return self._lead(run, watch, plan)

    async def _new_id(self, given: str | None, name: str) -> str:
        """Check a chosen id, or make one.

        Raises:
            Refused: There is a run of that id, or it cannot be one.
        """
        if given is None:
            return new_run_id(name)
        check_run_id(given)
        if await _status(self.journal, given) is not None:
            raise Refused(
                f"there is a run {given} already: take it up with hocket resume {given}, "
                "or choose another id"
            )
        return given

    def _watch(self, run_id: str, observers: Sequence[Observer]) -> Watched:
        return Watched(LiveLog(self.journal.logs, run_id), observers, folder_of(self.state, run_id))

    def _lead(self, run: Driven, watch: Watched, plan: Plan | None) -> Run:
        history = History(run.machine.spec)
        watch.also.append(history)
        if self._spans is not None:
            watch.also.append(Telemetry(run.machine, self._spans))
        kept = partial(keep, history, self.journal.book, run.id)
        return Run(run, watch.tally, watch.log, plan, kept)

    async def resume(
        self,
        run_id: str,
        what: What | None = None,
        *,
        new_spec: bool = False,
        requests: Sequence[AnyRequest] = (),
        observers: Sequence[Observer] = (),
        stay: bool = True,
        wait: bool = True,
        hosted: bool | None = False,
        check: Checked | None = None,
    ) -> Run:
        """Take up a run whose owner is gone.

        Args:
            run_id: The run's id.
            what: The plan, if it may have changed, or if its functions cannot be imported.
            new_spec: Go on with a changed plan; steps that are equal in both keep their results.
            requests: What to ask of it at once, as a retry.
            observers: Who watches.
            stay: Keep a paused run here, so that it can go on.
            wait: Wait for people; else pause the run when only they are waited for.
            hosted: Whether servers are to go on with it later; None for what is noted of that.
            check: Is shown the run as it was left, and may refuse to go on with it.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive, it has ended, or the plan has changed.
            SpecError: The changed plan has mistakes.
            JournalError: It could not be read or recorded.
        """
        plan, spec, live = parts_of(what) if what is not None else (None, None, {})
        if spec is not None:
            if not new_spec:
                await self._check_same(run_id, spec, {})
            spec = await aside(self.journal, partial(_changed, self, run_id, spec))
        watch = self._watch(run_id, observers)
        run = await self.shell(live).resume(
            run_id,
            spec=spec,
            requests=requests,
            observers=watch.observers,
            also=watch.tally.add,
            check=check,
            stay=stay,
            wait=wait,
        )
        try:
            note = self.journal.hosted
            if hosted is not None and hosted != await note.has(run_id):
                await (note.add if hosted else note.drop)(run_id)
        except BaseException:
            await run.stop()
            raise
        return self._lead(run, watch, plan)

    async def fork(
        self,
        source: str,
        *,
        run_id: str | None = None,
        after: int | None = None,
        inputs: Mapping[str, Json] = MappingProxyType({}),
        by: str = "program",
        observers: Sequence[Observer] = (),
        stay: bool = True,
        wait: bool = True,
        check: Checked | None = None,
    ) -> Run:
        """Start a run that goes on from a point of another, which stays as it is.

        What had finished by then stays as it is and is not paid again; calls in flight count as
        lost. What has failed is done again.

        Args:
            source: The other run's id.
            run_id: The new run's id; by default a new one.
            after: The number of the last event that counts; None for the last one that there is.
            inputs: Inputs that are different for all that has not finished by then.
            by: Who asks.
            observers: Who watches.
            stay: Keep a paused run here, so that it can go on.
            wait: Wait for people; else pause the run when only they are waited for.
            check: Is shown the run as it begins, and may refuse to go on with it.

        Raises:
            NotFound: No such run.
            Refused: There is no such event or input, or the id is taken.
            JournalError: It could not be read or recorded.
        """
        row = await aside(self.journal, partial(self.journal.find, source))
        if row is None:
            raise no_such_run(source)
        run_id = await self._new_id(run_id, row.name)
        watch = self._watch(run_id, observers)
        run = await self.shell().fork(
            source,
            run=run_id,
            after=after,
            inputs=inputs,
            by=by,
            observers=watch.observers,
            also=watch.tally.add,
            check=check,
            stay=stay,
            wait=wait,
        )
        return self._lead(run, watch, None)

    def fold(self, run_id: str) -> RunMachine:
        """Rebuild a run's state from its journal, to be looked at.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read.
        """
        return self.look(run_id)[0]

    def look(self, run_id: str) -> tuple[RunMachine, Tally]:
        """Rebuild a run's state and what it has spent.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read.
        """
        tally = Tally()
        return self.shell().fold(run_id, tally.add), tally

    def result(self, run_id: str, plan: Plan | None = None) -> Result:
        """Give what a run has so far.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read.
        """
        return Result(*self.look(run_id), plan)

    def rehearse(self, run_id: str, request: AnyRequest) -> None:
        """Try a request on a run that nobody drives, and leave the run as it is.

        Raises:
            NotFound: No such run.
            Refused: It would be refused.
        """
        machine, posts = self.fold(run_id), self.journal.waiting(run_id)
        rehearse(machine, posts, request, max(self.journal.wall(), machine.at))

    async def _check_same(self, run_id: str, spec: RunSpec, inputs: Mapping[str, Json]) -> None:
        """Check that a run is of this plan and began with these inputs, if any are given.

        Raises:
            Refused: It is not, or did not.
        """
        machine = await aside(self.journal, partial(self.fold, run_id))
        if inputs and inputs != machine.inputs:
            raise Refused(f"run {run_id} began with other inputs: leave them out, or start anew")
        if spec_digest(spec) != machine.digest:
            raise Refused(
                f"the plan has changed since run {run_id} began:\n"
                f"{spec_diff(machine.spec, spec)}\nresume(…, new_spec=True) goes on with it"
            )

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    async def __aenter__(self) -> Self:
        """Give the engine itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all of it, whatever of it goes wrong, and the journal at the end."""
        async with AsyncExitStack() as closing:
            closing.callback(self.close)
            if self._spans is not None:
                closing.push_async_callback(asyncio.to_thread, self._spans.shutdown)
            closing.push_async_callback(self._desks.settled)
            closing.push_async_callback(self._embedder.close)
            closing.push_async_callback(self.links.close)
            closing.push_async_callback(self._ahead.close)

    def shell(self, live: Mapping[str, Any] = MappingProxyType({})) -> Shell:
        """Give what starts and resumes runs, for a plan that holds these functions."""
        return Shell(
            Parts(
                journal=self.journal,
                files=self.files,
                hire=partial(self.links.hire, self.state, dict(live)),
                capacity=self.links.capacity,
                kinds=KINDS,
                wall=self.journal.wall,
                desks=self._desks,
                memo=self._memo,
                past=partial(past_of, self.journal.book),
                look_ahead=self._ahead.ask,
                budget=self._budget,
                prepare=self.links.prepare,
            )
        )


async def run(what: What, /, *, run_id: str | None = None, **inputs: Json) -> Result:
    """Run a plan to its end, on the user's state folder; see `Engine.run`."""
    async with Engine() as engine:
        return await engine.run(what, run_id=run_id, **inputs)


def run_sync(what: What, /, *, run_id: str | None = None, **inputs: Json) -> Result:
    """Run a plan to its end from code that is not asynchronous; see `Engine.run`."""
    return Engine().run_sync(what, run_id=run_id, **inputs)


def refuse_in_loop(name: str) -> None:
    """Refuse to block a running event loop.

    Raises:
        Refused: An event loop is running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise Refused(f"{name}_sync() would block the running event loop; use `await {name}(...)`")


def _changed(engine: Engine, run_id: str, spec: RunSpec) -> RunSpec | None:
    """Give what a run is to go on with; None if that is what it has."""
    if spec_digest(spec) == engine.fold(run_id).digest:
        return None
    refuse_mistakes(spec)
    return resolve(spec, engine.journal.book)


async def _status(journal: Store, run_id: str) -> str | None:
    """Give how a run stands; None if there is none of that id."""
    row = await aside(journal, partial(journal.find, run_id))
    return None if row is None else row.status
