"""Time limits that are learned, of the duration book when a run begins, and pinned in its spec.

A machine never reads the book, so a run that is taken up again keeps the limits that it began with.

Calls that were cut off took longer than anybody knows, and are counted as such (Kaplan and Meier's
way): taken for what they lasted, or left out, each run would cut off more of them than the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import TypeAlias

import msgspec

from hocket.app.history import known_as, learns
from hocket.core.specs import Learned, PlanSpec, RunSpec, StepSpec
from hocket.core.values import Json
from hocket.journal.base import KEPT_SAMPLES, Book
from hocket.workflows.check import complete_plan

Lasted: TypeAlias = tuple[int, bool]
"""How long a call was in flight, and whether it was cut off then."""

_Known: TypeAlias = Mapping[tuple[str, str], Sequence[Lasted]]
"""What is known of earlier calls, by step and agent."""


def resolve(spec: RunSpec, book: Book) -> RunSpec:
    """Put the time limits in that a spec learns; one that learns none is given back as it is.

    Raises:
        JournalError: The book cannot be read.
    """
    if not learns(spec.workflow):
        return spec
    names = {known: name for name, known in known_as(spec.agents).items()}
    lasted: dict[tuple[str, str], list[Lasted]] = {}
    for past in book.read(spec.name):
        for sample in past.samples:
            if sample.agent in names:
                key = (sample.step, names[sample.agent])
                lasted.setdefault(key, []).append((sample.took, sample.cut))
    return msgspec.structs.replace(spec, workflow=_plan(spec.workflow, "", lasted))


def bound(lasted: Sequence[Lasted], learned: Learned) -> int | None:
    """Give how long all but the slowest calls take; None if too few are known to say so.

    Where more than the slowest were cut off it is twice as long as any is known to have lasted, so
    that a limit that has become too short grows again.
    """
    rest = 1 - Fraction(str(learned.quantile))
    if len(lasted) < min(ceil(1 / rest), KEPT_SAMPLES):
        return None
    still, left = Fraction(1), len(lasted)
    # Of calls that lasted alike those come first that had ended by themselves.
    for took, cut in sorted(lasted):
        if not cut:
            still *= Fraction(left - 1, left)
        left -= 1
        if still <= rest:
            return took
    return 2 * max(took for took, _ in lasted)


def _plan(plan: PlanSpec, prefix: str, lasted: _Known) -> PlanSpec:
    if not learns(plan):
        return plan
    known = _Plan(plan, prefix, lasted)
    return msgspec.structs.replace(plan, steps=tuple([known.step(step) for step in plan.steps]))


class _Plan:
    """A plan and what is known of its calls."""

    def __init__(self, plan: PlanSpec, prefix: str, lasted: _Known) -> None:
        self._steps = {step.name: step for step in complete_plan(plan).steps}
        self._prefix = prefix
        self._lasted = lasted

    def step(self, step: StepSpec) -> StepSpec:
        """Put in what a step learns."""
        changes: dict[str, Json] = {}
        for field, learned in step.learned.items():
            if field == "timeout":
                found = self._takes(step, learned)
            else:
                found = self._until_in(self._steps[step.name], learned)
            longest = learned.cap if found is None else found
            changes[field] = max(learned.floor, min(longest, learned.cap))
        if step.plan is not None:
            changes["plan"] = _plan(step.plan, f"{self._prefix}{step.name}/", self._lasted)
        return msgspec.structs.replace(step, **changes) if changes else step

    def _takes(self, step: StepSpec, learned: Learned) -> int | None:
        """Give how long a step's calls take."""
        return bound(self._lasted.get((self._prefix + step.name, step.agent), ()), learned)

    def _until_in(self, step: StepSpec, learned: Learned) -> int | None:
        """Give how long it takes until all that a step wants is in, counted from its own needs.

        None if nobody knows of one of them how long it takes.
        """
        there: dict[str, int | None] = dict.fromkeys(self._before(step.needs), 0)
        order = [name for name in self._before(step.wants) if name not in there]
        for name in order:
            before = [there[need] for need in (*self._steps[name].needs, *self._steps[name].wants)]
            own = self._takes(self._steps[name], learned)
            known = [time for time in before if time is not None]
            unknown = own is None or len(known) < len(before)
            there[name] = None if unknown or own is None else own + max(known, default=0)
        wanted = [there[name] for name in step.wants]
        return None if None in wanted else max((time for time in wanted if time), default=0)

    def _before(self, names: Sequence[str]) -> list[str]:
        """Give these steps and all that they wait for, each behind those that it waits for."""
        found: dict[str, None] = {}
        stack = [(name, False) for name in reversed(names)]
        while stack:
            name, waited = stack.pop()
            if waited:
                found[name] = None
            elif name not in found:
                step = self._steps[name]
                stack.append((name, True))
                stack.extend((other, False) for other in (*step.needs, *step.wants))
        return list(found)
