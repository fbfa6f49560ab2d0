# ruff: noqa: E501
"""What is wrong with a spec is found before it runs, all of it, and at its place."""

import time
from collections.abc import Iterable
from typing import Any

import pytest

from hocket.core.errors import Problem
from hocket.core.specs import AgentSpec, InputSpec, PlanSpec, Repeat, Retry, RunSpec, StepSpec
from hocket.core.values import SECOND
from hocket.workflows.check import complete, problems
from hocket.workflows.loops import loops

AGENTS = {"ada": AgentSpec(kind="model"), "bob": AgentSpec(kind="model")}
CLOSED = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
    },
    "additionalProperties": False,
    "$defs": {
        "part": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "additionalProperties": False,
        }
    },
}


def step(name: str, **fields: Any) -> StepSpec:
    if fields.get("kind", "call") == "call":
        fields.setdefault("agent", "ada")
    return StepSpec(name=name, **fields)


def run(*steps: StepSpec, **fields: Any) -> RunSpec:
    return RunSpec(workflow=PlanSpec(name="p", steps=steps, **fields), agents=AGENTS)


def told(spec: RunSpec) -> list[str]:
    return [line(problem) for problem in problems(spec)]


def line(problem: Problem) -> str:
    where = ".".join(map(str, problem.where))
    at = "" if problem.offset is None else f"@{problem.offset}"
    return f"{where}{at}: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")


def test_a_plan_that_uses_everything_right_has_no_problems() -> None:
    inner = PlanSpec(
        name="inner", steps=(step("x", input="{{inputs.a}}"),), inputs={"a": InputSpec()}
    )
    spec = run(
        step("spec", output=CLOSED, input="{{inputs.goal}} {{run.id}} {{run.name}}"),
        step("parts", each="spec.parts", input="{{item.name}} {{index}}"),
        step(
            "poll", repeat=Repeat(until="poll.done and poll != previous", max=3), input="{{round}}"
        ),
        step("ask", kind="approve", input={"text": "{{parts.0}} {{steps.poll.status}}"}),
        step(
            "soft", wants=("ask", "poll"), quorum=1, within=SECOND, when="steps.ask.error == null"
        ),
        step("sub", kind="plan", plan=inner, input={"a": "{{spec.title}}"}),
        step("all", input="{{sub}} {{spec.parts[0].name}}", fallback=("bob",)),
        inputs={"goal": InputSpec()},
        output={"it": "{{all}}"},
    )
    assert told(spec) == []
    assert told(complete(spec)) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], ["steps: a plan has at least one step"]),
        ([step("a"), step("a")], ["steps.a: there are two steps named 'a'"]),
        (
            [step("1x")],
            ["steps.1x: a step's name has letters a-z, digits, '_' and '-', first a letter, at most 100 in all; not '1x'"],
        ),
        ([step("item")], ["steps.item: 'item' has another meaning in templates: rename it"]),
        (
            [step("spec"), step("b", needs=("spce",))],
            ["steps.b.needs.0: unknown step 'spce'; did you mean 'spec'?"],
        ),
        ([step("a", wants=("x",))], ["steps.a.wants.0: unknown step 'x'"]),
        ([step("a", needs=("a",))], ["steps.a.needs.0: step 'a' waits for itself"]),
        (
            [step("a"), step("b", needs=("a",), wants=("a",))],
            ["steps.b.wants.0: step 'a' is named twice"],
        ),
        ([step("a", agent="")], ["steps.a: step 'a' names no agent"]),
        (
            [step("a", agent="adda")],
            ["steps.a.agent: unknown agent 'adda'; did you mean 'ada'?"],
        ),
        ([step("a", fallback=("x",))], ["steps.a.fallback.0: unknown agent 'x'"]),
        ([step("a", fallback=("ada",))], ["steps.a.fallback.0: agent 'ada' has had its tries already"]),
        (
            [step("a", kind="approve", agent="ada")],
            ["steps.a.agent: a step of kind 'approve' has no agent"],
        ),
        (
            [step("a", kind="input", on_timeout="approve")],
            ["steps.a.on_timeout: a step that waits for input has nothing to approve: pause or reject"],
        ),
        ([step("a", kind="approve", on_timeout="approve")], []),
        ([step("a", timeout=0)], ["steps.a.timeout: timeout must be longer than 0"]),
        ([step("a", quorum=1)], ["steps.a.quorum: quorum is about wants, and there are none"]),
        ([step("a", within=1)], ["steps.a.within: within is about wants, and there are none"]),
        (
            [step("a"), step("b", wants=("a",), quorum=2)],
            ["steps.b.quorum: quorum 2 of 1 wants cannot be met"],
        ),
        (
            [step("a"), step("b", wants=("a",), quorum=0)],
            ["steps.b.quorum: quorum is at least 1"],
        ),
        (
            [step("a", retry=Retry(tries=0))],
            ["steps.a.retry.tries: tries lies between 1 and 1,000, not 0"],
        ),
        (
            [step("a", retry=Retry(tries=2, on=("permanent",)))],
            ["steps.a.retry.on: a retry cannot help against 'permanent'; there are failed, timeout, unavailable, rate_limited, invalid_output"],
        ),
        (
            [step("a", retry=Retry(jitter=2.0))],
            ["steps.a.retry.jitter: jitter lies between 0 and 1, not 2"],
        ),
        (
            [step("a", repeat=Repeat(until="a", max=0))],
            ["steps.a.repeat.max: max lies between 1 and 100,000, not 0"],
        ),
        (
            [step("a", input="{{inputs.goal}}")],
            ["steps.a.input@2: unknown input 'goal'"],
        ),
        (
            [step("a", input={"x": ["{{b}}", "so {{a}}"]})],
            ["steps.a.input.x.0@2: unknown name 'b'", "steps.a.input.x.1@5: step 'a' cannot use its own output, except in until"],
        ),
        ([step("a", input="{{a.}}")], ["steps.a.input@4: expected a field's name or number, found '}}'"]),
        ([step("a", when="1 ==")], ["steps.a.when@4: expected a name, a number, a text in quotes or '(', found the end"]),
        (
            [step("a", input="{{item}}")],
            ["steps.a.input@2: 'item' has a meaning only in the input of a step with each"],
        ),
        (
            [step("a", each="[1]", when="item > 1")],
            ["steps.a.when@0: 'item' has a meaning only in the input of a step with each"],
        ),
        (
            [step("a", input="{{previous}}")],
            ["steps.a.input@2: 'previous' has a meaning only in a step with repeat"],
        ),
        (
            [step("a"), step("b", input="{{steps.a}}")],
            ["steps.b.input@2: steps.a has status, output and error"],
        ),
        (
            [step("a"), step("b", input="{{steps.a.stauts}}")],
            ["steps.b.input@2: steps.a has status, output and error; did you mean 'status'?"],
        ),
        ([step("a", input="{{steps.x.status}}")], ["steps.a.input@2: unknown step 'x'"]),
        ([step("a", input="{{run.it}}")], ["steps.a.input@2: unknown field of run: 'it'"]),
        (
            [step("a", output=CLOSED), step("b", input="{{a.titel}}")],
            ["steps.b.input@2: 'a' has no field 'titel'; it has title, parts; did you mean 'title'?"],
        ),
        (
            [step("a", output=CLOSED), step("b", input="{{a.title.x}}")],
            ["steps.b.input@2: 'a.title' is text and has no field 'x'"],
        ),
        (
            [step("a", output=CLOSED), step("b", input="{{steps.a.output.parts.0.nam}}")],
            ["steps.b.input@2: 'a.parts.0' has no field 'nam'; it has name; did you mean 'name'?"],
        ),
        (
            [step("a", output=CLOSED), step("b", input="{{a.parts.name}}")],
            ["steps.b.input@2: 'a.parts' is a list and has no field 'name'"],
        ),
        (
            [step("a", output=CLOSED, each="[1]"), step("b", input="{{a.title}} {{a.0.title}}")],
            ["steps.b.input@2: 'a' gives a list, one output for each item; it has no 'title'"],
        ),
        ([step("a", output={"type": "object"}), step("b", input="{{a.x.y}}")], []),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(steps: list[StepSpec], expected: list[str]) -> None:
    assert told(run(*steps)) == expected


def test_an_input_without_its_prefix_is_guessed() -> None:
    spec = run(step("a", input="{{goal}}"), inputs={"goal": InputSpec()})
    assert told(spec) == ["steps.a.input@2: unknown name 'goal'; did you mean 'inputs.goal'?"]


def test_the_output_of_a_plan_is_checked_too() -> None:
    assert told(run(step("a"), output={"x": "{{b}}", "y": "{{item}}"})) == [
        "output.x@2: unknown name 'b'",
        "output.y@2: 'item' has a meaning only in the input of a step with each",
    ]


def test_a_nested_plan_is_checked_at_its_own_place() -> None:
    inner = PlanSpec(
        name="inner",
        steps=(step("x", needs=("y",)),),
        inputs={"a": InputSpec(), "b": InputSpec(required=False)},
        output={"z": "{{x}}"},
    )
    spec = run(
        step("sub", kind="plan", plan=inner, input={"c": 1}),
        step("after", input="{{sub.zz}}"),
        step("empty", kind="plan"),
    )
    assert told(spec) == [
        "steps.sub.input.c: plan 'inner' has no input 'c'",
        "steps.sub.input: plan 'inner' needs the input 'a'",
        "steps.sub.plan.steps.x.needs.0: unknown step 'y'",
        "steps.after.input@2: 'sub' has no field 'zz'; it has z; did you mean 'z'?",
        "steps.empty: step 'empty' has no plan to run",
    ]


def test_plans_are_nested_eight_deep_at_most() -> None:
    plan = PlanSpec(name="p", steps=(step("a"),))
    for _ in range(9):
        plan = PlanSpec(name="p", steps=(step("s", kind="plan", plan=plan),))
    found = problems(RunSpec(workflow=plan, agents=AGENTS))
    assert [(len(p.where), p.message) for p in found] == [
        (27, "plans may be nested 8 deep at most")
    ]


def test_plans_that_multiply_are_refused_before_they_are_gone_through() -> None:
    plan = PlanSpec(name="p", steps=(step("a"),))
    for _ in range(7):
        plan = PlanSpec(
            name="p", steps=tuple(step(f"s{i}", kind="plan", plan=plan) for i in range(100))
        )
    start = time.process_time()
    found = problems(RunSpec(workflow=plan, agents=AGENTS))
    assert found[0].message == "a run has 1,000,000 steps at most, nested ones included"
    assert len(found) < 20_000_000 / 100
    assert time.process_time() - start < 60


def test_the_shortest_loop_is_shown_and_once() -> None:
    spec = run(
        step("a", needs=("c",)),
        step("b", needs=("a",)),
        step("c", input="{{b}}", wants=("d",)),
        step("d", when="c > 1"),
        step("e", needs=("a", "d")),
    )
    assert told(spec) == ["steps.c.wants.0: steps wait for each other: c → d → c"]


def test_every_knot_is_reported() -> None:
    edges = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["e"], "e": ["c"], "f": ["a", "c"]}
    assert list(loops(edges)) == [("a", "b"), ("c", "d", "e")]


def test_a_loop_of_a_thousand_steps_is_cut_where_it_is_shown() -> None:
    spec = run(*(step(f"s{i}", needs=(f"s{(i + 1) % 1000}",)) for i in range(1000)))
    assert told(spec) == [
        "steps.s0.needs.0: steps wait for each other: "
        "s0 → s1 → s2 → s3 → … (994 more) → s998 → s999 → s0"
    ]


def test_what_templates_name_is_needed_unless_it_is_wanted() -> None:
    spec = run(
        step("a"),
        step("b"),
        step("c", needs=("a",), input="{{a}} {{b.x}}", when="steps.d.status == 'succeeded'"),
        step("d"),
        step("e", wants=("a",), input=["{{a}}", "{{inputs.x}} {{broken"], each="b.list"),
    )
    done = complete(spec).workflow.steps
    assert [s.needs for s in done] == [(), (), ("a", "b", "d"), (), ("b",)]
    assert done[4].wants == ("a",)
    assert complete(complete(spec)) == complete(spec)


def wide(n: int) -> Iterable[StepSpec]:
    return (step(f"s{i}", input={"n": i}) for i in range(n))


def chain(n: int) -> Iterable[StepSpec]:
    return (step(f"s{i}", input=f"go {{{{s{i - 1}}}}}" if i else "go") for i in range(n))


def misspelt(n: int) -> Iterable[StepSpec]:
    return (step(f"s{i}", needs=(f"t{i}",)) for i in range(n))


def round_and_round(n: int) -> Iterable[StepSpec]:
    return (step(f"s{i}", needs=(f"s{(i + 1) % n}",)) for i in range(n))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "found"), [(wide, 0), (chain, 0), (misspelt, 100_000), (round_and_round, 1)]
)
def test_a_hundred_thousand_steps_are_checked_in_seconds(make: Any, found: int) -> None:
    spec = run(*make(100_000))
    start = time.process_time()
    assert len(problems(spec)) == found
    # About one second on a quiet machine.
    assert time.process_time() - start < 20
