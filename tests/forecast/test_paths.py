"""The longest remaining path, beside the slow way to find it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from tests.forecast.plans import plan, run, runs, step

from hocket.core.specs import RunSpec, StepSpec
from hocket.core.values import SECOND, step_of
from hocket.forecast.paths import rank_of, ranks
from hocket.workflows.shape import Shape


def takes(path: str, step: StepSpec, agent: str) -> int:
    return step.takes or 0


def slowly(shape: Shape, after: int, prefix: str) -> tuple[int, dict[str, int]]:
    """Follow every path to its end."""

    def length(index: int) -> int:
        node = shape.nodes[index]
        own = takes("", node.spec, "") * bool(node.job)
        if node.child:
            own = slowly(node.child, 0, "")[0]
        return own + behind(index)

    def behind(index: int) -> int:
        node = shape.nodes[index]
        return max([length(i) for i in (*node.dependents, *node.wanters)], default=0)

    found = {}
    for node in shape.nodes:
        path = prefix + node.spec.name
        if node.job:
            found[path] = length(node.index) + after
        elif node.child:
            found |= slowly(node.child, after + behind(node.index), path + "/")[1]
    return max([length(i) for i in range(len(shape.nodes))], default=0), found


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_ranks_are_the_longest_paths(spec: RunSpec) -> None:
    shape = Shape(spec.workflow, spec.agents)
    assert ranks(shape, takes) == slowly(shape, 0, "")[1]


def test_a_nested_step_goes_by_what_follows_its_plan() -> None:
    spec = run(
        step("a", kind="plan", plan=plan(step("x", takes=1), step("y", "x", takes=2)), each="[1]"),
        step("b", "a", takes=10),
        step("c", takes=12),
    )
    found = ranks(Shape(spec.workflow, spec.agents), takes)
    assert {path: rank // SECOND for path, rank in found.items()} == {
        "b": 10,
        "c": 12,
        "a/x": 13,
        "a/y": 12,
    }
    assert rank_of(found, "a/0/x") == rank_of(found, "a/0~3/x~2") == found["a/x"]
    assert rank_of(found, "nobody") == 0
    assert step_of("a/17~2/x/3") == "a/x"


def test_a_long_chain_needs_no_deep_stack() -> None:
    steps = [step("s0")] + [step(f"s{i}", f"s{i - 1}") for i in range(1, 30_000)]
    spec = run(*steps)
    assert ranks(Shape(spec.workflow, spec.agents), takes)["s0"] == 30_000 * SECOND
