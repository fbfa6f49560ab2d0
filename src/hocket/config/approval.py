"""What a plan or a step says of being approved of first, and how long people are waited for.

Where nobody says how long, the time grows with the plan, so it is filled in once all steps are
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict, get_args

import msgspec

from hocket.config.functions import mistake
from hocket.core.errors import suggest
from hocket.core.specs import Approval, OnTimeout, StepSpec, patience, steps_of
from hocket.core.values import parse_duration

UNSAID: Final = -1
"""Stands for a time that nobody has stated, until the size of the plan is known."""


class Approving(TypedDict, total=False):
    """What can be said of an approval.

    Fields:
        timeout: How long it is waited for, in seconds or as in ``"2h"``.
        on_timeout: What no answer means.
        confirm_effects: Whether ``approve`` is meant, although what begins then may do harm.
    """

    timeout: str | int | float
    on_timeout: OnTimeout
    confirm_effects: bool


def read_approval(name: str, given: Any) -> Approval | None:
    """Read what a Python program says: true, false, or a dict of settings.

    Raises:
        SpecError: It is none of these.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Approval(timeout=UNSAID)
    known = tuple(Approving.__annotations__)
    if not isinstance(given, Mapping):
        raise mistake(name, f"approve is True, False or a dict of settings, not {given!r}")
    for key in given:
        if key not in known:
            raise mistake(name, f"approve has no setting {key!r}", suggest(str(key), known))
    told = dict(given)
    try:
        told["timeout"] = UNSAID if "timeout" not in given else parse_duration(given["timeout"])
    except (TypeError, ValueError) as error:
        raise mistake(name, f"approve.timeout: {error}") from error
    if told.get("on_timeout", "pause") not in get_args(OnTimeout):
        raise mistake(name, "approve.on_timeout is pause, reject or approve")
    return Approval(**told)


def size_of(steps: Iterable[StepSpec]) -> int:
    """Count steps, those of nested plans with them."""
    return sum(1 if step.plan is None else 1 + steps_of(step.plan) for step in steps)


def filled(approval: Approval | None, size: int) -> Approval | None:
    """Give an approval with the time that a plan of so many steps gives it, if it has none."""
    if approval is None or approval.timeout != UNSAID:
        return approval
    return msgspec.structs.replace(approval, timeout=patience(size))


def patient_steps(steps: Iterable[StepSpec], size: int) -> tuple[StepSpec, ...]:
    """Give steps with the times that a plan of that size gives to their approvals."""
    return tuple([_patient(step, size) for step in steps])


def _patient(step: StepSpec, size: int) -> StepSpec:
    changes: dict[str, Any] = {}
    if step.timeout == UNSAID:
        changes["timeout"] = patience(size)
    if step.approval is not None and step.approval.timeout == UNSAID:
        changes["approval"] = filled(step.approval, size)
    if step.plan is not None and any(map(_unsaid, step.plan.steps)):
        # What a panel has become has the size of the plan that it is in.
        inner = patient_steps(step.plan.steps, size)
        changes["plan"] = msgspec.structs.replace(step.plan, steps=inner)
    return msgspec.structs.replace(step, **changes) if changes else step


def _unsaid(step: StepSpec) -> bool:
    said = step.approval is None or step.approval.timeout != UNSAID
    return step.timeout == UNSAID or not said
