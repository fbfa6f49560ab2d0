"""Random plans for the world of the shell: every kind of step, small enough to come to an end."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    Repeat,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.values import SECOND, Json
from hocket.workflows.check import complete, problems

MOST = 10
"""The most that a call may cost, in pico-dollars."""

AGENTS = {
    "a": AgentSpec(kind="scripted"),
    "b": AgentSpec(kind="scripted"),
    "shell": AgentSpec(kind="command", options={"run": ["true"]}, effects=True),
}


def random_run(seed: int) -> tuple[RunSpec, dict[str, Json]]:
    """Make a run's spec and its inputs."""
    draw = Random(f"{seed}/spec")
    steps = [_step(draw, i) for i in range(draw.randrange(18, 40))]
    workflow = PlanSpec(
        name="world",
        steps=tuple(steps),
        inputs={"list": InputSpec()},
        timeout=draw.choice((100, 10_000, 10_000)) * SECOND,
    )
    spec = complete(RunSpec(workflow=workflow, agents=AGENTS, max_parallel=draw.randrange(1, 8)))
    hedged = tuple(_hedged(step, draw) for step in spec.workflow.steps)
    workflow = msgspec.structs.replace(spec.workflow, steps=hedged)
    spec = msgspec.structs.replace(spec, workflow=workflow)
    bad = {problem.where[1] for problem in problems(spec)}
    if bad:
        # A step whose text cannot mean anything, as a field of a list, does without one.
        steps = [
            msgspec.structs.replace(step, input=None, when=None) if step.name in bad else step
            for step in spec.workflow.steps
        ]
        workflow = msgspec.structs.replace(workflow, steps=tuple(steps))
        spec = complete(msgspec.structs.replace(spec, workflow=workflow))
    spec = complete(_limited(spec, draw))
    found = problems(spec)
    assert found == [], found
    return spec, {"list": list(range(draw.randrange(6)))}


def _hedged(step: StepSpec, draw: Random) -> StepSpec:
    """Let some calls that may be repeated have a second one beside a late one."""
    names = {step.agent, *step.fallback}
    harmless = step.kind == "call" and not step.effects and "shell" not in names
    if not harmless or draw.random() < 0.6:
        return step
    return msgspec.structs.replace(step, hedge=0.95)


def _limited(spec: RunSpec, draw: Random) -> RunSpec:
    """Put limits on some agents of a run."""
    limits: dict[str, LimitSpec] = {}
    if draw.random() < 0.5:
        rate = Rate(draw.randrange(2, 9), draw.choice((1, 5)) * SECOND)
        limits["api"] = LimitSpec(requests=(rate,), margin=0)
    if draw.random() < 0.4:
        limits["seats"] = LimitSpec(concurrency=draw.randrange(1, 3))
    if draw.random() < 0.4:
        cost = (Rate(MOST * draw.randrange(3, 40), 0),)
        on_exceed = draw.choice(("fail", "fallback"))
        limits["money"] = LimitSpec(cost=cost, shared=False, on_exceed=on_exceed)
    agents = {
        name: msgspec.structs.replace(agent, limits=tuple(limits)) if name == "a" else agent
        for name, agent in spec.agents.items()
    }
    return msgspec.structs.replace(spec, agents=agents, limits=limits)


def changed(spec: RunSpec, draw: Random) -> RunSpec:
    """Change some steps of a run's spec."""
    steps = tuple(
        msgspec.structs.replace(step, timeout=step.timeout + SECOND)
        if draw.random() < 0.2
        else step
        for step in spec.workflow.steps
    )
    workflow = msgspec.structs.replace(spec.workflow, steps=steps)
    return msgspec.structs.replace(spec, workflow=workflow)


def _step(draw: Random, number: int) -> StepSpec:
    earlier = [f"s{i}" for i in range(max(0, number - 8), number)]
    draw.shuffle(earlier)
    needs = tuple(earlier[: draw.choice((0, 1, 1, 2))])
    fields: dict[str, Any] = {
        "name": f"s{number}",
        "needs": needs,
        "timeout": draw.choice((2, 5, 20)) * SECOND,
        "on_failure": draw.choice(("continue", "continue", "continue", "skip", "skip", "stop"))
        if draw.random() < 0.9
        else "stop",
    }
    kind = draw.random()
    if kind < 0.06:
        how = draw.choice(("pause", "reject", "approve"))
        # Without effects behind it, it means nothing; with some it has to be said.
        meant = how == "approve"
        return StepSpec(
            kind="approve", input="fine?", on_timeout=how, confirm_effects=meant, **fields
        )
    if kind < 0.12:
        how = draw.choice(("pause", "reject"))
        return StepSpec(kind="input", input="what?", on_timeout=how, **fields)
    if draw.random() < 0.1 and needs:
        fields["when"] = f"{needs[0]}.n != 1"
    if kind < 0.2:
        inner = tuple(_plain(draw, f"i{i}", (f"i{i - 1}",) if i else ()) for i in range(3))
        fields.pop("timeout")
        return StepSpec(kind="plan", plan=PlanSpec(name="inner", steps=inner), **fields)
    if kind < 0.4:
        fields.update(each="inputs.list", input="{{item}}")
    elif kind < 0.5:
        fields["repeat"] = Repeat(until=f"s{number}.n > 1", max=draw.randrange(2, 6))
    elif needs and kind < 0.7:
        fields["input"] = "{{" + needs[0] + draw.choice((".n", ".text", ".missing")) + "}}"
    others = earlier[2:4]
    if others and draw.random() < 0.2:
        fields["wants"] = tuple(others)
        if draw.random() < 0.5:
            fields["within"] = draw.choice((0, 1, 5)) * SECOND
        if draw.random() < 0.3:
            fields["quorum"] = 1
        if draw.random() < 0.3:
            kept = ("name", "needs", "wants", "within", "quorum", "on_failure")
            given = {key: fields[key] for key in kept if key in fields}
            return StepSpec(kind="gather", **given)
    return StepSpec(**fields, **_doing(draw))


def _plain(draw: Random, name: str, needs: tuple[str, ...]) -> StepSpec:
    return StepSpec(name=name, needs=needs, timeout=5 * SECOND, **_doing(draw))


def _doing(draw: Random) -> dict[str, Any]:
    """Say who does a step and how often it is tried."""
    names = list(AGENTS)
    draw.shuffle(names)
    retry = Retry(
        tries=draw.choice((1, 2, 2, 3, 4)),
        first=draw.choice((0, SECOND // 10, SECOND)),
        factor=draw.choice((1.0, 2.0)),
        jitter=draw.choice((0.0, 0.5)),
    )
    fallback = tuple(names[1:2]) if draw.random() < 0.3 else ()
    return {"agent": names[0], "fallback": fallback, "retry": retry}
