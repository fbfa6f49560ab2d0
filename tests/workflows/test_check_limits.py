"""Limits that make no sense are found in a spec, wherever it comes from."""

import pytest

from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.values import DAY, HOUR, MINUTE
from hocket.workflows.check import problems

FN = AgentSpec(kind="function", options={"ref": "m:f"})
RISKY = AgentSpec(kind="command", options={"command": ["x"]}, effects=True)
LIMITS = {"gpu": LimitSpec(concurrency=2), "api": LimitSpec(requests=(Rate(9, MINUTE),))}


def said(spec: RunSpec) -> list[str]:
    return [f"{'.'.join(map(str, p.where))}: {p.message}" for p in problems(spec)]


def limited(name: str = "x", **limit: object) -> RunSpec:
    return run(StepSpec(name="a", agent="fn"), limits={name: LimitSpec(**limit)})  # type: ignore[arg-type]


def run(*steps: StepSpec, **spec: object) -> RunSpec:
    spec = {"agents": {"fn": FN, "risky": RISKY}, "limits": LIMITS, **spec}
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), **spec)  # type: ignore[arg-type]


def test_good_limits_are_good() -> None:
    step = StepSpec(name="a", agent="fn", uses={"gpu": 2}, takes=MINUTE, hedge=0.95)
    agents = {"fn": AgentSpec(kind="function", limits=("api", "gpu"))}
    spec = run(step, agents=agents, claims=("api",), weight=3.0, priority=-5, deadline=HOUR)
    assert said(spec) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (limited(""), ["limits.: a limit's name is one line of at most 400 characters"]),
        (limited("a\nb"), ["limits.a\nb: a limit's name is one line of at most 400 characters"]),
        (limited("run"), ["limits.run: 'run' names a run's own slots: rename it"]),
        (limited("agent:fn"), ["limits.agent:fn: 'agent:fn' names a run's own slots: rename it"]),
        (limited("agent:fn limits"), []),
        (
            limited(requests=(Rate(0, MINUTE),)),
            ["limits.x.requests.0: requests is at least 1, in some time"],
        ),
        (
            limited(requests=(Rate(1, MINUTE), Rate(1, 0))),
            ["limits.x.requests.1: requests are so many in some time, as 9/min"],
        ),
        (
            limited(cost=(Rate(1, 0),)),
            ["limits.x.cost.0: cost that all runs share is gone for ever: say in what time"],
        ),
        (limited(cost=(Rate(1, 0),), shared=False), []),
        (limited(concurrency=0), ["limits.x.concurrency: concurrency is at least 1"]),
        (limited(spacing=-1), ["limits.x.spacing: spacing lies between 0 and 10 years"]),
        (limited(margin=2 * HOUR), ["limits.x.margin: margin lies between 0 and an hour"]),
        (run(StepSpec(name="a", agent="fn"), claims=("gup",)), ["claims.0: unknown limit 'gup'"]),
        (
            run(
                StepSpec(name="a", agent="fn"),
                agents={"fn": AgentSpec(kind="function", limits=("apy",))},
            ),
            ["agents.fn.limits.0: unknown limit 'apy'"],
        ),
        (
            run(StepSpec(name="a", agent="fn"), priority=1001, weight=0.0, deadline=0),
            [
                "priority: priority lies between -1,000 and 1,000, not 1,001",
                "weight: weight lies above 0 and is 1,000 at most, not 0",
                "deadline: deadline is longer than 0, 10 years at most",
            ],
        ),
        (
            run(StepSpec(name="a", agent="fn", uses={"gup": 1, "api": 1, "gpu": 3})),
            [
                "steps.a.uses.gup: unknown limit 'gup'",
                "steps.a.uses.api: limit 'api' has no units: it has no concurrency",
                "steps.a.uses.gpu: limit 'gpu' has 2 units: 3 are never free",
            ],
        ),
        (
            run(StepSpec(name="a", agent="fn", uses={"gpu": 0})),
            ["steps.a.uses.gpu: units are at least 1"],
        ),
        (
            run(StepSpec(name="a", agent="fn", takes=0, hedge=1.5)),
            [
                "steps.a.takes: takes must be longer than 0",
                "steps.a.hedge: a hedge is a quantile like 0.95, not 1.5",
            ],
        ),
        (
            run(StepSpec(name="a", kind="approve", takes=DAY)),
            ["steps.a.takes: a step of kind 'approve' calls nobody, so takes means nothing"],
        ),
        (
            run(StepSpec(name="a", agent="fn", fallback=("risky",), hedge=0.9)),
            [
                "steps.a.hedge: a second call beside the first could do harm twice: "
                "agent 'risky' has effects"
            ],
        ),
        (run(StepSpec(name="a", agent="risky", hedge=0.9, effects=False)), []),
        (
            run(StepSpec(name="a", agent="fn", hedge=0.9, effects=True)),
            [
                "steps.a.hedge: a second call beside the first could do harm twice: "
                "agent 'fn' has effects"
            ],
        ),
    ],
)
def test_a_mistake_is_found(spec: RunSpec, expected: list[str]) -> None:
    assert said(spec) == expected


def test_a_nested_step_is_held_to_the_runs_limits() -> None:
    inner = PlanSpec(name="q", steps=(StepSpec(name="b", agent="fn", uses={"gpu": 3}),))
    assert said(run(StepSpec(name="a", kind="plan", plan=inner))) == [
        "steps.a.plan.steps.b.uses.gpu: limit 'gpu' has 2 units: 3 are never free"
    ]
