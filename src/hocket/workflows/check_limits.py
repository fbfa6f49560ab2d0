"""Finds what is wrong with a spec's limits, and with what steps claim of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hocket.core.errors import Problem, suggest
from hocket.core.specs import LimitSpec, RunSpec, StepSpec
from hocket.core.template import Place
from hocket.core.values import DAY, HOUR

MAX_PRIORITY: Final = 1_000
MAX_WEIGHT: Final = 1_000
MAX_NAME: Final = 400
LONGEST_MARGIN: Final = HOUR
LONGEST: Final = 3_650 * DAY

_OF_THE_RUN: Final = "run"
_WINDOWS: Final = ("requests", "tokens", "tokens_in", "tokens_out", "cost")
_IN_ALL: Final = ("tokens", "cost")
"""What can be bounded for good, as a budget is."""


def limit_problems(spec: RunSpec) -> Iterator[Problem]:
    """Find what is wrong with the limits of a run, and with who claims them."""
    own = {_OF_THE_RUN, *(f"agent:{name}" for name in spec.agents)}
    for name, limit in spec.limits.items():
        where: Place = ("limits", name)
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            said = f"a limit's name is one line of at most {MAX_NAME} characters"
            yield Problem(where=where, message=said)
        elif name in own:
            yield Problem(where=where, message=f"{name!r} names a run's own slots: rename it")
        yield from _values(where, limit)
    for i, name in enumerate(spec.claims):
        yield from _known(("claims", i), name, spec)
    for agent, about in spec.agents.items():
        for i, name in enumerate(about.limits):
            yield from _known(("agents", agent, "limits", i), name, spec)
    yield from _order(spec)


def _known(where: Place, name: str, spec: RunSpec) -> Iterator[Problem]:
    if name not in spec.limits:
        hint = suggest(name, spec.limits)
        yield Problem(where=where, message=f"unknown limit {name!r}", hint=hint)


def _values(where: Place, limit: LimitSpec) -> Iterator[Problem]:
    for key in _WINDOWS:
        for i, rate in enumerate(getattr(limit, key)):
            place: Place = (*where, key, i)
            if rate.amount < 1 or rate.per < 0:
                yield Problem(where=place, message=f"{key} is at least 1, in some time")
            elif not rate.per and key not in _IN_ALL:
                yield Problem(where=place, message=f"{key} are so many in some time, as 9/min")
            elif not rate.per and limit.shared:
                said = f"{key} that all runs share is gone for ever: say in what time"
                yield Problem(where=place, message=said, hint="or shared=False for each run")
    if limit.concurrency is not None and limit.concurrency < 1:
        yield Problem(where=(*where, "concurrency"), message="concurrency is at least 1")
    if not 0 <= limit.spacing <= LONGEST:
        yield Problem(where=(*where, "spacing"), message="spacing lies between 0 and 10 years")
    if limit.margin is not None and not 0 <= limit.margin <= LONGEST_MARGIN:
        yield Problem(where=(*where, "margin"), message="margin lies between 0 and an hour")


def _order(spec: RunSpec) -> Iterator[Problem]:
    if not -MAX_PRIORITY <= spec.priority <= MAX_PRIORITY:
        said = f"priority lies between -{MAX_PRIORITY:,} and {MAX_PRIORITY:,}"
        yield Problem(where=("priority",), message=f"{said}, not {spec.priority:,}")
    if not 0 < spec.weight <= MAX_WEIGHT:
        said = f"weight lies above 0 and is {MAX_WEIGHT:,} at most"
        yield Problem(where=("weight",), message=f"{said}, not {spec.weight:g}")
    if spec.deadline is not None and not 0 < spec.deadline <= LONGEST:
        yield Problem(where=("deadline",), message="deadline is longer than 0, 10 years at most")


def claim_problems(step: StepSpec, spec: RunSpec, where: Place) -> Iterator[Problem]:
    """Find what is wrong with the units that a step uses, its expected time and its hedge."""
    for key in ("uses", "takes", "hedge"):
        calls = step.kind in ("call", "consensus", "review")
        if not calls and getattr(step, key) not in ({}, None):
            said = f"a step of kind {step.kind!r} calls nobody, so {key} means nothing"
            yield Problem(where=(*where, key), message=said)
            return
    for name, units in step.uses.items():
        yield from _units(name, units, spec, (*where, "uses", name))
    if step.takes is not None and not 0 < step.takes <= LONGEST:
        yield Problem(where=(*where, "takes"), message="takes must be longer than 0")
    if step.hedge is not None:
        yield from _hedge(step, step.hedge, spec, (*where, "hedge"))


def learned_problems(step: StepSpec, where: Place) -> Iterator[Problem]:
    """Find what is wrong with the time limits that a step learns."""
    for field, learned in step.learned.items():
        place = (*where, "learned", field)
        if field not in ("within", "timeout"):
            yield Problem(where=place, message=f"{field!r} is not learned: within and timeout are")
        elif field == "timeout" and step.kind != "call":
            said = f"a step of kind {step.kind!r} calls nobody, so its timeout cannot be learned"
            yield Problem(where=place, message=said)
        if not 0 < learned.quantile < 1:
            said = f"what is learned is a quantile like p95, not {learned.quantile:g}"
            yield Problem(where=place, message=said)
        if not 0 <= learned.floor <= learned.cap:
            yield Problem(where=place, message="floor lies between 0 and cap")


def _units(name: str, units: int, spec: RunSpec, where: Place) -> Iterator[Problem]:
    limit = spec.limits.get(name)
    if limit is None:
        hint = suggest(name, spec.limits) or "name it under limits, with a concurrency"
        yield Problem(where=where, message=f"unknown limit {name!r}", hint=hint)
    elif limit.concurrency is None:
        said = f"limit {name!r} has no units: it has no concurrency"
        yield Problem(where=where, message=said, hint="agents claim such a limit by 'limits'")
    elif not 1 <= units <= limit.concurrency:
        said = f"limit {name!r} has {limit.concurrency:,} units: {units:,} are never free"
        yield Problem(where=where, message=said if units > 0 else "units are at least 1")


def _hedge(step: StepSpec, quantile: float, spec: RunSpec, where: Place) -> Iterator[Problem]:
    if not 0 < quantile < 1:
        yield Problem(where=where, message=f"a hedge is a quantile like 0.95, not {quantile:g}")
    if step.effects is False:
        return
    members = () if step.team is None else step.team.members
    seated = [name for member in members for name in (member.agent, *member.fallback)]
    for name in (step.agent, *step.fallback, *seated):
        agent = spec.agents.get(name)
        if step.effects or (agent is not None and agent.effects):
            said = f"a second call beside the first could do harm twice: agent {name!r} has effects"
            hint = "say effects: false if it may be repeated"
            yield Problem(where=where, message=said, hint=hint)
            return
