"""Runs that append as fast as they can, and count what they were promised."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hocket.core import events as ev
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import Call
from hocket.journal.base import Log, Store

EACH = 3
LARGE = 40_000


def started(run: str) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="load", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="t"
    )


def batch(run: str, number: int) -> list[ev.CallFinished]:
    """Each event says its run, its batch and its place in it; some are large."""
    text = "x" * (LARGE if number % 11 == 10 else 100)
    return [
        ev.CallFinished(at=number, call=Call(f"{run}-{number}", place), output=text)
        for place in range(1, EACH + 1)
    ]


class Load:
    """Some runs of one journal.

    Args:
        journal: The journal.
        runs: How many runs.

    Attributes:
        acked: How many batches of each run were said to be durable.
        begun: How many batches of each run were appended.
    """

    def __init__(self, journal: Store, runs: int = 6) -> None:
        self.journal = journal
        self.acked = {f"r{number}": 0 for number in range(runs)}
        self.begun = dict(self.acked)
        self.tasks: list[asyncio.Task[None]] = []
        self._stop = False
        self._more = asyncio.Event()

    async def __aenter__(self) -> Load:
        await self.begin()
        return self

    async def begin(self) -> None:
        """Start the runs."""
        logs = [await self.journal.start(started(run)) for run in self.acked]
        self.tasks = [
            asyncio.create_task(self._write(run, log))
            for run, log in zip(self.acked, logs, strict=True)
        ]

    async def __aexit__(self, *about: object) -> None:
        await self.stop()

    async def _write(self, run: str, log: Log) -> None:
        while not self._stop:
            number = self.begun[run]
            self.begun[run] += 1
            await log.durable(log.append(batch(run, number)))
            self.acked[run] += 1
            self._more.set()
        await log.close()

    async def more(self, batches: int) -> None:
        """Wait until each run has been promised so many more batches."""
        wanted = {run: count + batches for run, count in self.acked.items()}
        async with asyncio.timeout(50):
            while any(self.acked[run] < count for run, count in wanted.items()):
                self._more.clear()
                more = asyncio.create_task(self._more.wait())
                done, _ = await asyncio.wait(
                    [more, *self.tasks], return_when=asyncio.FIRST_COMPLETED
                )
                more.cancel()
                for task in done - {more}:
                    await task

    async def stop(self) -> None:
        """Have all runs end after what they are writing."""
        self._stop = True
        await asyncio.gather(*self.tasks)


def check(journal: Store, load: Load) -> None:
    """See that all that was promised is there, once, in order, and batches are whole."""
    for run, acked in load.acked.items():
        recorded = list(journal.read(run))
        assert [item.seq for item in recorded] == list(range(1, len(recorded) + 1))
        batches, rest = divmod(len(recorded) - 1, EACH)
        assert rest == 0, "a batch is not whole"
        assert acked <= batches <= load.begun[run]
        wanted: Sequence[ev.AnyEvent] = [
            event for number in range(batches) for event in batch(run, number)
        ]
        assert [item.event for item in recorded] == [started(run), *wanted]
