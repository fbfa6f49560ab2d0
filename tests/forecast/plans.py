"""What tests of forecasts share: plans whose calls take what is said, and random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from hocket.core.events import RunStarted
from hocket.core.run import RunMachine
from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    RunSpec,
    StepSpec,
    spec_digest,
)
from hocket.core.values import SECOND, Json
from hocket.forecast.chance import Chance
from hocket.forecast.terms import Terms
from hocket.limits.claim import Claim
from hocket.workflows.plan import make_plan

START = 1_000_000 * SECOND


def step(name: str, *needs: str, takes: float = 1, **more: Any) -> StepSpec:
    known = {"agent": "a"} if more.get("kind", "call") == "call" else {}
    more = {**known, **more}
    return StepSpec(name=name, needs=needs, takes=round(takes * SECOND), **more)


def plan(*steps: StepSpec, **more: Any) -> PlanSpec:
    return PlanSpec(name="p", steps=steps, **more)


def run(*steps: StepSpec, agents: Mapping[str, AgentSpec] | None = None, **more: Any) -> RunSpec:
    named = {s.agent: AgentSpec(kind="function") for s in steps if s.agent} | {
        "a": AgentSpec(kind="function")
    }
    known = {key: more.pop(key) for key in ("inputs", "output") if key in more}
    return RunSpec(workflow=plan(*steps, **known), agents={**named, **(agents or {})}, **more)


def machine(spec: RunSpec, inputs: Mapping[str, Json] | None = None, seed: int = 1) -> RunMachine:
    """Begin a run."""
    made = RunMachine({"plan": make_plan})
    made.apply(
        RunStarted(
            at=START,
            run="r",
            spec=spec,
            digest=spec_digest(spec),
            inputs=dict(inputs or {}),
            seed=seed,
            versions={"plan": 1},
            program="test",
        )
    )
    return made


def terms(spec: RunSpec, **more: Any) -> Terms:
    """Give the limits and the claims of a run, as the engine does."""
    slots = LimitSpec(concurrency=spec.max_parallel, shared=False, adaptive=False)

    def claim(agent: str, uses: tuple[tuple[str, int], ...]) -> Claim:
        names = ("run", *spec.claims, *spec.agents[agent].limits)
        return Claim(units=tuple(sorted((dict.fromkeys(names, 1) | dict(uses)).items())))

    return Terms(limits={"run": slots, **spec.limits}, claim=claim, **more)


LIMITS = {
    "gpu": LimitSpec(concurrency=3),
    "disk": LimitSpec(concurrency=5),
    "api": LimitSpec(requests=(Rate(3, 4 * SECOND), Rate(5, 11 * SECOND)), margin=0),
    "slow": LimitSpec(spacing=SECOND, margin=SECOND // 2),
}


@st.composite
def steps(
    draw: st.DrawFn, nested: bool = True, most: int = 9, plain: bool = False
) -> Sequence[StepSpec]:
    """Draw the steps of a plan; plain ones have neither ``each`` nor people."""
    found: list[StepSpec] = []
    for i in range(draw(st.integers(1, most))):
        names = [s.name for s in found]
        needs = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        kind = draw(st.sampled_from(["call"] * 6 + ["approve"] * (not plain) + ["plan"] * nested))
        more: dict[str, Any] = {}
        if kind == "call":
            more["takes"] = draw(st.integers(1, 6))
            units = {"gpu": 3, "disk": 5, "api": 1, "slow": 1}
            named = draw(st.lists(st.sampled_from(sorted(units)), unique=True, max_size=2))
            more["uses"] = {name: draw(st.integers(1, units[name])) for name in named}
        if kind == "plan":
            more["plan"] = plan(*draw(steps(nested=False, most=4, plain=plain)))
        if not plain and kind != "approve" and draw(st.integers(0, 5)) == 0:
            more["each"] = "inputs.things" if nested else "[1, 2]"
        others = [name for name in names if name not in needs]
        # What is late in a nested plan goes with it, which the quick model does not know.
        if nested and kind == "call" and others and draw(st.integers(0, 4)) == 0:
            wants = draw(st.lists(st.sampled_from(others), unique=True, min_size=1, max_size=3))
            more["wants"] = tuple(wants)
            more["quorum"] = draw(st.sampled_from([None, 1, 2]))
            more["within"] = draw(st.sampled_from([None, 2 * SECOND + 1]))
        found.append(step(f"s{i}", *needs, kind=kind, **more))
    return found


@st.composite
def runs(draw: st.DrawFn, plain: bool = False) -> RunSpec:
    """Draw a run; no two calls of different steps take the same time, nor do chains of them."""
    return run(
        *_apart(draw(steps(plain=plain)), Chance(1)),
        limits=LIMITS,
        max_parallel=draw(st.sampled_from([1, 2, 3, 16])),
        inputs={"things": InputSpec(required=False, default=[1, 2, 3])},
    )


def _apart(steps: Sequence[StepSpec], chance: Chance) -> list[StepSpec]:
    found = []
    for one in steps:
        inner = one.plan
        if inner is not None:
            inner = msgspec.structs.replace(inner, steps=tuple(_apart(inner.steps, chance)))
        takes = one.takes + (1 + chance.below(100_000)) * 1_000
        found.append(msgspec.structs.replace(one, takes=takes, plan=inner))
    return found
