"""Finds what a plan makes take long: steps in a needless order, and many rounds."""

from __future__ import annotations

from typing import Final

from hocket.core.errors import ExprError
from hocket.core.expr import Reference, parse_expr
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.template import parse_template
from hocket.core.values import step_of
from hocket.insight.find_leads import (
    CAUSE,
    GUESSED,
    SYMPTOM,
    Ground,
    Lead,
    length,
    times,
)
from hocket.insight.find_reviews import review_of
from hocket.insight.find_usage import AGENT, capacity

_MOST_CHANGES: Final = 20
"""How many settings are proposed at most; nobody tries more of them by hand."""
_ROUNDS: Final = 4
_ROUNDS_REVIEWED: Final = 3
"""From so many rounds on it is asked whether they are worth it: two or three are what rounds are
for, but a review should let most through at once, and the rest once they are mended."""
_ROUNDS_SHARE: Final = 0.25
"""The share of the run's time from which on rounds are worth a finding."""


def rounds(ground: Ground) -> list[Lead]:
    """Tell of steps that were done again and again, each time with success."""
    parts: dict[str, dict[int, int]] = {}
    most: dict[str, int] = {}
    for place, segment, activity in ground.works():
        head, mark, number = activity.path.rpartition("~")
        if not mark or head.endswith("turn"):
            # A conversation has many turns by its nature.
            continue
        nth = number.partition("/")[0]
        step = ground.path_of(activity.step)
        if nth.isdigit():
            parts.setdefault(step, {})[place] = length(segment)
            most[step] = max(most.get(step, 1), int(nth))
    return [
        Lead(
            "many_rounds",
            step,
            f"{most[step] - 1} further rounds of {step}",
            explained,
            SYMPTOM,
            _ROUNDS_SHARE,
            advice="See what the first rounds lacked: say it in the prompt, or allow fewer rounds.",
            change=_fewer_rounds(ground, step, most[step]),
        )
        for step, explained in parts.items()
        if most[step] >= (_ROUNDS_REVIEWED if _is_reviewed(ground, step) else _ROUNDS)
    ]


def _is_reviewed(ground: Ground, step: str) -> bool:
    return review_of(ground.steps.get(step)) is not None


def _fewer_rounds(ground: Ground, step: str, most: int) -> tuple[str, ...]:
    spec = ground.steps.get(step)
    if spec is None or (spec.team is None and spec.review is None):
        return ()
    return (f"steps.{step}.max_rounds={most // 2}",)


# -- needless order -----------------------------------------------------------------------------


def needless(ground: Ground) -> list[Lead]:
    """Tell of steps that waited for others whose output they never read."""
    spec = ground.trace.spec
    if spec is None:
        return []
    spans = _spans(ground)
    leads = []
    for prefix, plan in _plans(spec.workflow, ""):
        leads += _in_plan(ground, prefix, plan, spans)
    return leads


def _plans(plan: PlanSpec, prefix: str) -> list[tuple[str, PlanSpec]]:
    found = [(prefix, plan)]
    for step in plan.steps:
        if step.plan is not None:
            found += _plans(step.plan, f"{prefix}{step.name}/")
    return found


def _spans(ground: Ground) -> dict[str, tuple[int, int]]:
    """Give when each step was first asked for and when it was over."""
    spans: dict[str, tuple[int, int]] = {}
    for activity in ground.trace.activities:
        ended = ground.trace.ended if activity.ended is None else activity.ended
        path = step_of(activity.path)
        while path:
            if path in ground.steps:
                since, until = spans.get(path, (activity.asked, ended))
                spans[path] = (min(since, activity.asked), max(until, ended))
            path = path.rpartition("/")[0]
    return spans


def _in_plan(
    ground: Ground, prefix: str, plan: PlanSpec, spans: dict[str, tuple[int, int]]
) -> list[Lead]:
    steps = {step.name: step for step in plan.steps}
    harmless = {name: None for name, step in steps.items() if _harmless(ground, step)}
    free: dict[str, list[str]] = {}
    reads: dict[str, dict[str, None]] = {}
    for name, step in steps.items():
        if f"{prefix}{name}" not in spans or step.input is None or name not in harmless:
            # What is given nothing does what it does for another reason than its input.
            continue
        quiet = [need for need in step.needs if need in harmless]
        if not quiet or _plainly_reads(step, quiet):
            continue
        reads[name] = _read_by(step)
        unread = [steps[need] for need in quiet if need not in reads[name]]
        needless = [need.name for need in unread if _beside(ground, step, need)]
        if needless:
            free[name] = needless
    if not free:
        return []
    needs = {
        name: _waits_for(step, reads[name] if name in reads else _read_by(step), steps)
        for name, step in steps.items()
    }
    took = {name: _took(spans.get(f"{prefix}{name}")) for name in steps}
    order = _in_order(needs)
    gain = _length(order, needs, took, {}) - _length(order, needs, took, free)
    return _needless_lead(ground, prefix, steps, free, gain)


def _needless_lead(
    ground: Ground,
    prefix: str,
    steps: dict[str, StepSpec],
    free: dict[str, list[str]],
    gain: int,
) -> list[Lead]:
    """Tell of the gain, on the work of steps that were in a needless order, small ones first."""
    chained = dict.fromkeys([*free, *(need for needs in free.values() for need in needs)])
    paths = frozenset(f"{prefix}{name}" for name in chained)
    own = [
        (length(segment), place)
        for place, segment in enumerate(ground.segments)
        if segment.activity >= 0
        and ground.path_of(ground.trace.activities[segment.activity].step) in paths
    ]
    parts: dict[int, int] = {}
    left = gain
    for ns, place in sorted(own):
        parts[place] = min(ns, left)
        left -= parts[place]
    if gain <= 0 or not parts:
        return []
    change = []
    for name, needless in list(free.items())[:_MOST_CHANGES]:
        kept = [need for need in steps[name].needs if need not in needless]
        change.append(f"steps.{prefix}{name}.needs=[{','.join(kept)}]")
    first = next(iter(free))
    return [
        Lead(
            "serial_chain",
            f"{prefix}{first}",
            f"{times(len(free), 'step')} that waited for others whose output they never read, as "
            f"{prefix}{first} did for {', '.join(free[first])}",
            parts,
            CAUSE,
            GUESSED,
            advice="Drop the needs that nothing requires, so that these steps run side by side.",
            change=tuple(change),
        )
    ]


def _plainly_reads(step: StepSpec, needs: list[str]) -> bool:
    """Tell without reading its templates whether a step's text names all that it needs."""
    text = step.input
    return isinstance(text, str) and all([f"{{{{{need}}}}}" in text for need in needs])


def _read_by(step: StepSpec) -> dict[str, None]:
    """Name what a step's texts read."""
    found: list[Reference] = []
    try:
        if step.input is not None:
            found += [reference for _, reference in parse_template(step.input).references]
        for text in (step.when, step.each, step.repeat.until if step.repeat else None):
            if text is not None:
                found += parse_expr(text).references
    except ExprError:
        # The plan was checked before it ran; what cannot be read here is taken to read all.
        return dict.fromkeys(step.needs)
    names: dict[str, None] = {}
    for reference in found:
        if reference.root == "steps" and len(reference.names) == 1:
            return dict.fromkeys(step.needs)
        inner = reference.root == "steps"
        names[str(reference.names[1]) if inner else reference.root] = None
    return names


def _beside(ground: Ground, step: StepSpec, need: StepSpec) -> bool:
    """Tell whether there is room for a step beside one that it needs and does not read."""
    if ground.trace.max_parallel == 1:
        return False
    return step.agent != need.agent or capacity(ground, f"{AGENT}{step.agent}") != 1


def _harmless(ground: Ground, step: StepSpec) -> bool:
    """Tell whether a step does nothing but give an output, so that its place does not matter."""
    spec = ground.trace.spec
    if spec is None or step.kind != "call" or step.effects or step.when is not None:
        return False
    names = (step.agent, *step.fallback)
    agents = [spec.agents[name] for name in names if name in spec.agents]
    quiet = step.effects is False or not any(agent.effects for agent in agents)
    return quiet and all(not agent.tools for agent in agents)


def _took(span: tuple[int, int] | None) -> int:
    return 0 if span is None else span[1] - span[0]


def _waits_for(step: StepSpec, read: dict[str, None], steps: dict[str, StepSpec]) -> list[str]:
    """Name the steps that a step waits for, also those that it only reads."""
    names = dict.fromkeys([*step.needs, *step.wants, *read])
    return [name for name in names if name in steps and name != step.name]


def _in_order(needs: dict[str, list[str]]) -> list[str]:
    """Name all steps, none before what it waits for."""
    needed_by: dict[str, list[str]] = {}
    for name, own in needs.items():
        for need in own:
            needed_by.setdefault(need, []).append(name)
    left = {name: len(own) for name, own in needs.items()}
    order = [name for name, count in left.items() if not count]
    for name in order:
        for later in needed_by.get(name, ()):
            left[later] -= 1
            if not left[later]:
                order.append(later)
    return order


def _length(
    order: list[str],
    needs: dict[str, list[str]],
    took: dict[str, int],
    free: dict[str, list[str]],
) -> int:
    """Say how long all steps would take if nothing but what they wait for held them up."""
    ends: dict[str, int] = {}
    for name in order:
        dropped = free.get(name, ())
        before = [ends[need] for need in needs[name] if need not in dropped]
        ends[name] = max(before, default=0) + took[name]
    return max(ends.values(), default=0)
