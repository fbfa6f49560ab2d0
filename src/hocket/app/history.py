"""How long the calls of a run took, for the duration book of later runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from hocket.core.errors import JournalError
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Usage,
)
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec
from hocket.core.values import Call, canonical, digest, step_of
from hocket.journal.base import KEPT_SAMPLES, Book, Sample
from hocket.journal.book import MemoryBook

MOST_STEPS: Final = 2_000
"""Further steps of a plan are known by their agents alone."""

_UNKNOWN: Final = Usage()
_log = logging.getLogger(__name__)


def known_as(agents: Mapping[str, AgentSpec]) -> dict[str, str]:
    """Name agents by what they are, so that another agent of the same name is none of them."""
    return {name: f"{name}@{digest(canonical(spec))[:8]}" for name, spec in agents.items()}


class History:
    """Collects samples of the calls that gave an output; costs O(1) for each event.

    Where a plan learns its time limits, calls that were cut off count too: what is learned from
    those alone that were quick enough would get shorter from run to run.

    Args:
        spec: The run's spec.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._plan = spec.name
        self._names = known_as(spec.agents)
        self._learns = learns(spec.workflow)
        self._flying: dict[Call, tuple[str, int]] = {}
        self._samples: dict[tuple[str, str], list[Sample]] = {}

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        if isinstance(event, CallStarted):
            self._flying[event.call] = event.agent, event.at
        elif isinstance(event, CallFinished):
            agent, since = self._flying.pop(event.call, ("", 0))
            # An answer that was kept from an earlier call says nothing of how long one takes.
            if agent and event.saved is None:
                step = step_of(event.call.path)
                self._keep(step, agent, event.at - since, event.usage or _UNKNOWN)
        elif isinstance(event, CallFailed | CallCancelled | CallLost):
            agent, since = self._flying.pop(event.call, ("", 0))
            timed_out = isinstance(event, CallFailed) and event.fault.kind == "timeout"
            if self._learns and agent and (timed_out or isinstance(event, CallCancelled)):
                step = step_of(event.call.path)
                self._keep(step, agent, event.at - since, _UNKNOWN, cut=True)

    def _keep(self, step: str, agent: str, took: int, usage: Usage, *, cut: bool = False) -> None:
        kept = self._samples.get((step, agent))
        if kept is None:
            step = step if len(self._samples) < MOST_STEPS else ""
            kept = self._samples.setdefault((step, agent), [])
        kept.append(
            Sample(
                plan=self._plan,
                step=step,
                agent=self._names.get(agent, agent),
                took=took,
                cut=cut,
                tokens_in=usage.tokens_in,
                tokens_out=usage.tokens_out,
                cost=usage.cost,
            )
        )
        if len(kept) > 2 * KEPT_SAMPLES:
            del kept[:KEPT_SAMPLES]

    def write(self, book: Book) -> None:
        """Add what was collected to the book, and forget it.

        Raises:
            JournalError: It could not be written.
        """
        samples = [sample for kept in self._samples.values() for sample in kept]
        self._samples.clear()
        if samples:
            book.record(samples)


async def keep(history: History, book: Book, run: str) -> None:
    """Write what was collected of a run beside the loop; if that cannot be, the run stands."""
    try:
        if isinstance(book, MemoryBook):
            # It keeps to the loop that uses it, and that may be one whose time is simulated.
            history.write(book)
        else:
            await asyncio.to_thread(history.write, book)
    except JournalError as error:
        _log.warning("later runs will not know how long the calls of run %s took: %s", run, error)


def learns(plan: PlanSpec) -> bool:
    """Tell whether a plan learns any time limit."""
    return any(step.learned or (step.plan is not None and learns(step.plan)) for step in plan.steps)


def past_of(book: Book, spec: RunSpec) -> dict[tuple[str, str, str], list[int]]:
    """Give how long earlier calls took in nanoseconds, by plan, step and agent.

    Those that were cut off are left out.

    Raises:
        JournalError: The book cannot be read.
    """
    names = {known: name for name, known in known_as(spec.agents).items()}
    past: dict[tuple[str, str, str], list[int]] = {}
    for known in book.read(spec.name):
        for sample in known.samples:
            if sample.agent in names and not sample.cut:
                key = (spec.name, sample.step, names[sample.agent])
                past.setdefault(key, []).append(sample.took)
    return past
