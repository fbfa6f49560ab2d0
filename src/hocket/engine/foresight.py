"""Looks ahead for a run: forecasts its end, adopts a better order, looks again after a surprise.

The run never waits for it: it starts by longest path at once, and an order is taken over when it
comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from hocket.core.events import (
    AnyEvent,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Forecasted,
    Recorded,
)
from hocket.core.specs import LimitSpec, PlanSpec
from hocket.core.values import SECOND, Call, step_of
from hocket.engine.lookahead import WORTH_IT, Answer, Question
from hocket.engine.outlook import Prospect
from hocket.engine.runner import Runner
from hocket.forecast.search import BUDGET
from hocket.limits.claim import Entry

MOST_EVENTS: Final = 20_000
"""A run that has had more events is looked ahead for no more: telling them would take too long."""
_AGAIN: Final = 3 * SECOND
"""How long after one look the next may come at the soonest."""
_OFF: Final = 4
"""A call is a surprise that is off by a second and by more than this part of what was expected."""

Ask: TypeAlias = Callable[[Question], Awaitable[Answer | None]]
Past: TypeAlias = dict[tuple[str, str, str], list[int]]


class Foresight:
    """An observer of one run that looks ahead for it.

    Args:
        runner: What drives the run.
        prospect: What is expected of its calls; it takes over the order that is found.
        past: How long earlier calls took, by plan, step and agent; this run's own are added.
        ask: Answers questions, beside the loop.
        before: The events that the run has had before anybody watched.
        budget: How many events a look may simulate.
    """

    def __init__(
        self,
        runner: Runner,
        prospect: Prospect,
        past: Mapping[tuple[str, str, str], Sequence[int]],
        ask: Ask,
        before: Sequence[AnyEvent],
        budget: int = BUDGET,
    ) -> None:
        self._runner = runner
        self._prospect = prospect
        self._past: Past = {key: list(samples) for key, samples in past.items()}
        self._ask = ask
        self._budget = budget
        self._events: list[AnyEvent] = list(before)
        self._begun: dict[Call, tuple[str, int]] = {}
        self._given_up = False
        """Whether the run has had so many events that it is looked ahead for no more."""
        self._surprised = True
        """Whether something has happened that the last look did not expect."""
        self._looked = 0
        self._finish: int | None = None
        self._task: asyncio.Task[None] | None = None

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Take in what has happened, and look if it was not expected."""
        if self._given_up:
            return
        for recorded in events:
            event = recorded.event
            self._events.append(event)
            if isinstance(event, CallStarted):
                self._begun[event.call] = event.agent, event.at
            elif isinstance(event, CallFinished | CallFailed | CallLost):
                self._compare(event)
        if len(self._events) > MOST_EVENTS:
            self._given_up = True
            for known in (self._events, self._begun, self._past):
                known.clear()
        elif self._surprised and self._task is None and self._worth_it():
            self._looked = self._runner.now()
            self._surprised = False
            self._task = asyncio.get_running_loop().create_task(self._look())

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say tells nothing of the end."""

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- within -----------------------------------------------------------------------------

    def _compare(self, event: CallFinished | CallFailed | CallLost) -> None:
        agent, since = self._begun.pop(event.call, ("", 0))
        if isinstance(event, CallFinished) and event.saved is not None:
            # An answer that was kept says nothing of how long one takes.
            self._surprised = True
            return
        if not isinstance(event, CallFinished):
            self._surprised = True
            return
        path, took = event.call.path, event.at - since
        expected = self._prospect.quantile(path, agent, 0.5) or self._prospect.lasts(path, agent)
        if expected is None or abs(took - expected) > max(SECOND, expected // _OFF):
            self._surprised = True
        key = (self._runner.machine.spec.name, step_of(path), agent)
        self._past.setdefault(key, []).append(took)

    def _worth_it(self) -> bool:
        machine, now = self._runner.machine, self._runner.now()
        if self._runner.over or machine.phase != "running":
            return False
        if not self._looked:
            return may_last(self._prospect, machine.spec.workflow, machine.spec.limits)
        late = self._finish is None or self._finish - now >= WORTH_IT
        return late and now - self._looked >= max(_AGAIN, (now - machine.started_at) // 20)

    async def _look(self) -> None:
        runner = self._runner
        try:
            if self._runner.over:
                # It has ended between the wish to look and the look.
                return
            found = await self._ask(self._question())
            machine = runner.machine
            if found is None or found.finish is None or found.finish - self._looked < WORTH_IT:
                return
            if runner.over or machine.phase not in ("running", "pausing"):
                return
            self._finish = found.finish
            self._adopt(found)
        finally:
            self._task = None

    def _adopt(self, found: Answer) -> None:
        runner, line = self._runner, self._runner.line
        assert found.finish is not None
        if found.order is not None:
            self._prospect.adopt(found.order)
            line.desk.admission.rerank(line.room, lambda call: self._prospect.rank(call.path))
        runner.record(
            Forecasted(
                at=runner.now(),
                finish=found.finish,
                low=found.finish if found.low is None else found.low,
                high=found.finish if found.high is None else found.high,
                binds=found.binds,
                tried=found.tried,
                order=found.order,
            )
        )

    def _question(self) -> Question:
        runner, machine = self._runner, self._runner.machine
        slots = {
            name: limit.concurrency
            for agent in machine.spec.agents
            if (limit := runner.line.claims.limits.get(name := f"agent:{agent}")) is not None
            and limit.concurrency is not None
        }
        return Question(
            # Others may be asked about first, and more happens until then.
            events=list(self._events),
            at=runner.now(),
            past=[(*key, samples) for key, samples in self._past.items()],
            slots={name.removeprefix("agent:"): count for name, count in slots.items()},
            held=self._held(),
            ranks=dict(self._prospect.ranks),
            budget=self._budget,
            seed=machine.calls.seed,
        )

    def _held(self) -> list[Entry]:
        """Give what others hold of the limits that the run claims."""
        line, now = self._runner.line, self._runner.line.desk.clock.now()
        own = f"{line.room}/"
        return [
            entry
            for name in line.claims.limits
            for entry in line.desk.admission.limit(name, line.room).entries(now)
            if not entry.key.startswith(own)
        ]


def may_last(prospect: Prospect, plan: PlanSpec, limits: Mapping[str, LimitSpec]) -> bool:
    """Tell whether a run may last so long that looking ahead is worth it.

    It cannot, if all its calls one after the other would not, and no window can hold them up.
    """
    if prospect.blind:
        return False
    if any(limit.requests or limit.tokens or limit.spacing for limit in limits.values()):
        return True
    return work_of(prospect, plan, "") >= WORTH_IT


def work_of(prospect: Prospect, plan: PlanSpec, prefix: str) -> int:
    """Sum what a plan's calls are expected to take; an ``each`` counts as if it were long."""
    total = 0
    for step in plan.steps:
        path = prefix + step.name
        if step.each is not None or step.repeat is not None:
            return WORTH_IT
        if step.plan is not None:
            total += work_of(prospect, step.plan, f"{path}/")
        elif step.team is not None or step.review is not None:
            return WORTH_IT
        elif step.kind == "call":
            total += prospect.lasts(path, step.agent) or WORTH_IT
        if total >= WORTH_IT:
            break
    return total
