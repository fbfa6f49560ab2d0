"""Finds what is wrong with approvals: silence must not let through what could do harm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hocket.core.errors import Problem
from hocket.core.specs import AgentSpec, Approval, PlanSpec, StepSpec, agents_of
from hocket.core.template import Place

_HINT = "let it be pause or reject, or say confirm_effects: true"


def approval_problems(
    plan: PlanSpec,
    agents: Mapping[str, AgentSpec],
    edges: Mapping[str, Iterable[str]],
    where: Place,
    longest: int,
) -> Iterator[Problem]:
    """Say what is wrong with the approvals of a plan and of its steps.

    Args:
        plan: The plan.
        agents: All agents of the run.
        edges: For each step, what it waits for.
        where: Where the plan is.
        longest: The longest that anything may wait.
    """
    if plan.approval is not None:
        harm = next((step.name for step in plan.steps if harmful(step, agents)), "")
        yield from _problems(plan.approval, harm, (*where, "approve"), longest)
    for step in plan.steps:
        place = (*where, "steps", step.name)
        if step.approval is not None:
            if step.kind in ("approve", "input", "gather"):
                message = f"a step of kind {step.kind!r} does nothing to be approved of first"
                yield Problem(where=(*place, "approve"), message=message)
            harm = step.name if harmful(step, agents) else ""
            yield from _problems(step.approval, harm, (*place, "approve"), longest)
        if step.confirm_effects and step.kind != "approve":
            message = "confirm_effects is about steps that wait for an approval"
            yield Problem(where=(*place, "confirm_effects"), message=message)
        if step.kind == "approve" and step.on_timeout == "approve" and not step.confirm_effects:
            behind = _behind(step.name, edges)
            harm = next((s.name for s in plan.steps if s.name in behind and harmful(s, agents)), "")
            if harm:
                yield _silent(harm, (*place, "on_timeout"))


def harmful(step: StepSpec, agents: Mapping[str, AgentSpec]) -> bool:
    """Tell whether doing a step could do harm."""
    if step.plan is not None:
        return any(harmful(inner, agents) for inner in step.plan.steps)
    if step.effects is not None:
        return step.effects
    return any(agents[name].effects for name in agents_of(step, agents) if name in agents)


def _problems(approval: Approval, harm: str, place: Place, longest: int) -> Iterator[Problem]:
    if not 0 < approval.timeout <= longest:
        message = "an approval is waited for longer than 0, and 10 years at most"
        yield Problem(where=(*place, "timeout"), message=message)
    if harm and approval.on_timeout == "approve" and not approval.confirm_effects:
        yield _silent(harm, (*place, "on_timeout"))


def _silent(harm: str, place: Place) -> Problem:
    message = f"nobody's answer would let step {harm!r} go on, which has effects"
    return Problem(where=place, message=message, hint=_HINT)


def _behind(name: str, edges: Mapping[str, Iterable[str]]) -> dict[str, None]:
    """Name every step that waits for one, be it through others."""
    waiting: dict[str, list[str]] = {}
    for step, needs in edges.items():
        for need in needs:
            waiting.setdefault(need, []).append(step)
    found: dict[str, None] = {}
    left = [name]
    while left:
        for step in waiting.get(left.pop(), ()):
            if step not in found:
                found[step] = None
                left.append(step)
    return found
