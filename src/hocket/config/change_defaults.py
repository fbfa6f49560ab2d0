"""What holds of steps where a file says nothing: for null, and for settings ``defaults.KEY``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from hocket.config.change_text import Setting
from hocket.config.file import Loaded
from hocket.config.models import DefaultsPart
from hocket.config.overrides import read_part
from hocket.config.settings import retry_of
from hocket.core.errors import suggest
from hocket.core.specs import PERSON_TIMEOUT, PlanSpec, RunSpec, StepSpec, patience, steps_of
from hocket.core.values import Json

_KEYS: Final = tuple(DefaultsPart.model_fields)
_DEFAULTS: Final = StepSpec(name="x")


def usual(step: StepSpec, key: str, spec: RunSpec, defaults: DefaultsPart) -> Any:
    """Give what holds for a step where its file says nothing.

    Args:
        step: The step.
        key: Which of its fields.
        spec: The run's spec.
        defaults: What its plan says of all steps.
    """
    if key == "timeout" and step.kind == "input":
        return PERSON_TIMEOUT
    if key == "timeout" and step.kind == "approve":
        return patience(steps_of(_plan_of(step, spec.workflow) or spec.workflow))
    if key == "retry":
        members = () if step.team is None else step.team.members
        names = [member.agent for member in members] or [step.agent]
        return retry_of(defaults.retry, *(spec.agents.get(name) for name in names))
    said = getattr(defaults, key, None)
    return getattr(_DEFAULTS, key) if said is None else said


def _plan_of(step: StepSpec, plan: PlanSpec) -> PlanSpec | None:
    """Find the plan that a step is in."""
    if any(one is step for one in plan.steps):
        return plan
    nested = (_plan_of(step, one.plan) for one in plan.steps if one.plan is not None)
    return next((found for found in nested if found is not None), None)


def defaults_of(loaded: Loaded | None, plan: str) -> DefaultsPart:
    """Give what a file says of all steps of a plan."""
    known = None if loaded is None else loaded.file.plans.get(plan)
    return DefaultsPart() if known is None else known.defaults


def change_defaults(spec: RunSpec, setting: Setting, loaded: Loaded | None) -> RunSpec:
    """Change what holds for all steps of the plan that say nothing else themselves.

    Raises:
        Refused: There is no such key, the value means nothing there, or there is no file any more
            that tells which steps say it themselves.
    """
    if len(setting.names) != 2:
        raise setting.refused("write defaults.KEY=VALUE, as in defaults.timeout=5m")
    key = setting.names[1]
    if key not in _KEYS:
        hint = suggest(key, _KEYS) or f"there are {', '.join(_KEYS)}"
        raise setting.refused(f"of defaults there is nothing called {key!r} to set; {hint}")
    value = getattr(read_part(setting.told, DefaultsPart, {key: setting.value}), key)
    if loaded is None or spec.name not in loaded.file.plans:
        said = f"without its file nobody knows which steps have a {key} of their own"
        raise setting.refused(f"{said}: write steps.PATH.{key}")
    plan = loaded.file.plans[spec.name]
    others = plan.defaults.model_copy(update={key: value})
    plans = {**loaded.file.plans, spec.name: plan.model_copy(update={"defaults": others})}
    file = loaded.file.model_copy(update={"plans": plans})
    before = dict(_walk(loaded.spec(spec.name).workflow))
    after = dict(_walk(loaded._replace(file=file).spec(spec.name).workflow))
    workflow = _with(spec.workflow, key, before, after, "")
    return msgspec.structs.replace(spec, workflow=workflow)


def _walk(plan: PlanSpec, prefix: str = "") -> Iterator[tuple[str, StepSpec]]:
    for step in plan.steps:
        yield prefix + step.name, step
        if step.plan is not None:
            yield from _walk(step.plan, f"{prefix}{step.name}/")


def _with(
    plan: PlanSpec, key: str, before: dict[str, StepSpec], after: dict[str, StepSpec], prefix: str
) -> PlanSpec:
    """Give a plan in which steps that have what the file's have, have what those have then."""
    steps = []
    for step in plan.steps:
        path = prefix + step.name
        changes: dict[str, Json] = {}
        if step.plan is not None:
            changes["plan"] = _with(step.plan, key, before, after, f"{path}/")
        if path in before and path in after:
            old, new = getattr(before[path], key), getattr(after[path], key)
            # Another setting may have said it of this one.
            if old != new and getattr(step, key) == old:
                changes[key] = new
        steps.append(msgspec.structs.replace(step, **changes) if changes else step)
    return msgspec.structs.replace(plan, steps=tuple(steps))
