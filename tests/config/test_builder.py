# ruff: noqa: E501
"""A plan built in Python is the same kind of data as one from a file."""

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel
from tests.config.texts import load_text

from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.handles import Approval
from hocket.config.types import convert, schema_of
from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec, InputSpec, Repeat, Retry, StepSpec
from hocket.core.values import MINUTE
from hocket.workflows.check import problems


class Patch(BaseModel):
    files: dict[str, str]
    note: str = ""


@dataclass
class Point:
    x: int


class Row(TypedDict):
    a: int


async def run_tests(api: Patch, worker: Patch) -> int:
    return len(api.files) + len(worker.files)


def words(text: str) -> list[str]:
    return text.split()


def size(word: str, by: int = 1) -> float:
    return len(word) * by


def move(point: Point) -> Point:
    return point


def steps_of(plan: Plan) -> dict[str, StepSpec]:
    return {step.name: step for step in plan.spec().workflow.steps}


def test_handles_are_dependencies_and_templates() -> None:
    coder = Agent("coder", model="openai:x", output=Patch, system="Be brief.", concurrency=2)
    plan = Plan("release", max_parallel=6, timeout="2h", inputs=["goal"])
    schema = plan.step("schema", coder, "Write the schema for {{inputs.goal}}")
    api = plan.step("api", coder, f"Implement {schema['files']}", retry=0)
    worker = plan.step("worker", coder, "Implement the worker", schema, timeout="10m")
    tests = plan.call("tests", run_tests, api, worker)
    ship = plan.approval("ship", "Is {{tests}} enough?", tests, timeout="4h", on_timeout="reject")
    plan.ask("word", "Say it", ship)
    plan.returns({"tests": tests, "note": api["note"]})

    spec = plan.spec()
    assert problems(spec) == []
    assert (spec.name, spec.max_parallel, spec.workflow.timeout) == ("release", 6, 120 * MINUTE)
    steps = steps_of(plan)
    assert [(name, step.kind, step.needs) for name, step in steps.items()] == [
        ("schema", "call", ()),
        ("api", "call", ("schema",)),
        ("worker", "call", ("schema",)),
        ("tests", "call", ("api", "worker")),
        ("ship", "approve", ("tests",)),
        ("word", "input", ("ship",)),
    ]
    assert steps["api"].input == "Implement {{schema.files}}"
    assert (steps["schema"].retry, steps["api"].retry) == (Retry(tries=3), Retry())
    assert steps["tests"].input == ["{{api}}", "{{worker}}"]
    assert steps["schema"].output["additionalProperties"] is False
    assert spec.workflow.output == {"tests": "{{tests}}", "note": "{{api.note}}"}
    assert spec.agents["coder"] == AgentSpec(
        kind="model",
        options={"model": "openai:x", "system": "Be brief."},
        concurrency=2,
        limits=("openai:x",),
    )
    assert plan.live == {f"{__name__}:run_tests": run_tests}
    assert [plan.type_of(step) for step in (schema, tests, ship)] == [Patch, int, Approval]


def test_the_same_plan_from_a_file_and_from_python_is_equal() -> None:
    plan = Plan("p", inputs={"repo": InputSpec(required=False, default=".")})
    log = plan.command("log", ["git", "log", "--oneline"], lines=True)
    ada = Agent("ada", local="smollm2-135m", max_tokens=9)
    tidy = plan.step("tidy", ada, "Tidy {{item}}", each=log, on_failure="continue")
    plan.step("sum", ada, "{{tidy}}", tidy, wants=log, quorum=1, within="5s", when="tidy != []")
    from_file = load_text(
        """
        version: 1
        agents: {ada: {local: smollm2-135m, max_tokens: 9}}
        plans:
          p:
            inputs: {repo: {default: .}}
            steps:
              log: {command: [git, log, --oneline], output: lines}
              tidy: {agent: ada, each: log, prompt: "Tidy {{item}}", on_failure: continue}
              sum: {agent: ada, prompt: "{{tidy}}", wants: log, quorum: 1, within: 5s, when: "tidy != []"}
        """
    )
    ours, theirs = plan.spec(), from_file
    assert ours.agents == theirs.agents
    assert ours.workflow.steps == theirs.workflow.steps
    assert ours.workflow == theirs.workflow


def test_fan_out_over_a_handle_gives_a_list() -> None:
    plan = Plan("p")
    text = plan.input("text", str, about="any text")
    found = plan.call("found", words, text)
    sizes = plan.map("sizes", size, found, 2)
    ada = Agent("ada", model="a:b")
    said = plan.map("said", ada, found, "Say {{item}}")
    plain = plan.map("plain", ada, "inputs.list")
    steps = steps_of(plan)
    assert (steps["found"].input, steps["found"].needs) == (["{{inputs.text}}"], ())
    assert (steps["sizes"].each, steps["sizes"].needs) == ("found", ("found",))
    assert steps["sizes"].input == ["{{item}}", 2]
    assert (steps["said"].input, steps["plain"].input) == ("Say {{item}}", "{{item}}")
    kinds = [plan.type_of(step) for step in (found, sizes, said, plain)]
    assert kinds == [list[str], list[float], list[str], list[str]]
    assert plan.spec().workflow.inputs == {"text": InputSpec(about="any text")}


def test_values_become_json_and_arguments_by_name_are_named() -> None:
    plan = Plan("p")
    first = plan.call("first", size, "a")
    plan.call("named", size, "{{first}}", kwargs={"by": first})
    plan.call("moved", move, Point(x=1), needs=[first])
    plan.call("patched", run_tests, Patch(files={"a": "b"}), Patch(files={}))
    steps = steps_of(plan)
    assert steps["named"].input == {"word": "{{first}}", "by": "{{first}}"}
    assert (steps["moved"].input, steps["moved"].needs) == ([{"x": 1}], ("first",))
    assert steps["patched"].input == [
        {"files": {"a": "b"}, "note": ""},
        {"files": {}, "note": ""},
    ]


def test_functions_that_are_called_alike_share_an_agent() -> None:
    plan = Plan("p")
    for i in range(3):
        plan.call(f"s{i}", size, "x", i)
    plan.call("apart", size, "x", mode="process", concurrency=2)
    assert plan.spec().agents == {
        "size": AgentSpec(kind="function", options={"ref": f"{__name__}:size"}),
        "size-agent": AgentSpec(
            kind="function",
            options={"ref": f"{__name__}:size", "mode": "process"},
            concurrency=2,
        ),
    }


def test_an_expression_takes_handles_and_is_a_dependency() -> None:
    plan = Plan("p")
    one = plan.call("one", size, "x")
    plan.call("two", size, "x", when=f"{one} > 3 and one != 7", retry=Retry(tries=2))
    plan.call(
        "three",
        size,
        "x",
        repeat=Repeat(until="three > 2", max=4),
        fallback=Agent("b", model="a:b"),
    )
    steps = steps_of(plan)
    assert (steps["two"].when, steps["two"].needs) == ("one > 3 and one != 7", ("one",))
    assert steps["three"].fallback == ("b",)
    assert problems(plan.spec()) == []


def test_a_nested_plan_brings_its_agents_and_functions() -> None:
    inner = Plan("inner", inputs=["a"])
    inner.returns({"n": inner.call("n", size, "{{inputs.a}}")})
    outer = Plan("outer")
    word = outer.ask("word", "Which?")
    sub = outer.nest("sub", inner, {"a": word})
    outer.call("after", size, sub["n"])
    spec = outer.spec()
    assert problems(spec) == []
    step = spec.workflow.steps[1]
    assert (step.kind, step.needs, step.input) == ("plan", ("word",), {"a": "{{word}}"})
    assert spec.workflow.steps[2].needs == ("sub",)
    assert outer.live == {f"{__name__}:size": size}


def test_commands_keep_the_operators_words_apart_from_values() -> None:
    plan = Plan("p")
    name = plan.input("name", str)
    plan.command("show", ["git", "show", name, "x"], settings={"cwd": "/src"}, stdin=name)
    plan.command("json", ["x"], output=Row)
    spec = plan.spec()
    assert spec.agents["show"].options == {
        "command": ["git", "show"],
        "cwd": "/src",
    }
    show, made = spec.workflow.steps
    assert show.input == {"args": ["{{inputs.name}}", "x"], "stdin": "{{inputs.name}}"}
    assert made.output["additionalProperties"] is False
    assert spec.agents["json"].options["output"] == "json"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda p: (p.ask("a"), p.ask("a")), "steps.a: there are two steps named 'a'"),
        (lambda p: p.call("a", size, "x", timeout="3x"), "steps.a: timeout: '3x' is not a duration"),
        (lambda p: p.call("a", size, "x", timeuot="3s"), "steps.a: unknown setting 'timeuot'; did you mean 'timeout'?"),
        (lambda p: p.call("a", lambda: 1), "def it there, or say Plan"),
        (lambda p: p.call("a", Patch(files={}).model_dump), "stands for nothing at the top of its module"),
        (lambda p: p.call("a", 3), "steps.a: a int has no name of a function"),
        (lambda p: p.call("a", size, Plan("q").ask("x")), "steps.a: Step('x') belongs to another plan"),
        (lambda p: p.call("a", size, object()), "steps.a: object is no JSON"),
        (lambda p: p.call("a", size, "x", kwargs={"bye": 2}), "the arguments do not fit size: got an unexpected keyword argument 'bye'"),
        (lambda p: p.command("a", ["git", "{{inputs.x}}", "--all"]), "steps.a: '--all' stands beside a value"),
        (lambda p: p.command("a", ["{{inputs.x}}"]), "steps.a: a command begins with a program"),
        (lambda p: Agent("x"), "agents.x: an agent has one of model, command"),
        (lambda p: Agent("x", model="a:b", local="c"), "here are model, local"),
        (lambda p: Agent("x", model="a:b", sytem="c"), "agents.x: unknown setting 'sytem'; did you mean 'system'?"),
        (lambda p: [p.step(n, Agent("x", model=m), "y") for n, m in (("a", "a:b"), ("b", "a:c"))], "steps.b: two agents are called 'x'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_is_made(build: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(Plan("p"))
    assert said in str(caught.value)


def test_functions_that_only_this_program_finds_are_allowed_on_request() -> None:
    plan = Plan("p", closures=True)
    functions = [lambda n=i: n for i in range(2)]
    for i, function in enumerate(functions):
        plan.call(f"s{i}", function)
    assert list(plan.live.values()) == functions
    refs = [agent.options["ref"] for agent in plan.spec().agents.values()]
    assert refs == list(plan.live)
    assert problems(plan.spec()) == []


def test_a_handle_is_not_gone_through_by_accident() -> None:
    step = Plan("p").ask("x")
    with pytest.raises(TypeError, match=r"use plan\.map"):
        list(step)
    with pytest.raises(TypeError, match=r"use plan\.map"):
        list(step["field"])
    assert str(step["a b"]["c"][0]) == '{{x["a b"].c.0}}'


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list, {"type": "array"}),
        (dict[str, Any], {"type": "object"}),
        (Any, None),
        (
            Point,
            {
                "title": "Point",
                "type": "object",
                "properties": {"x": {"title": "X", "type": "integer"}},
                "required": ["x"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_types_become_schemas(kind: Any, schema: Any) -> None:
    assert schema_of(kind) == schema


def test_json_becomes_values_of_a_type() -> None:
    assert convert(Patch, {"files": {}}) == Patch(files={})
    assert convert(list[Point], [{"x": 1}]) == [Point(x=1)]
    assert convert(dict[str, Any], {"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="files"):
        convert(Patch, {})


def test_importing_the_builder_loads_neither_pydantic_nor_yaml() -> None:
    code = (
        "import sys, hocket.config.builder\n"
        "print([m for m in ('pydantic', 'yaml', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_hundred_thousand_steps_are_built_in_seconds() -> None:
    start = time.process_time()
    plan = Plan("p")
    last = plan.call("s", size, "x")
    for i in range(100_000):
        last = plan.call(f"s{i}", size, "x", i, needs=[last])
    spec = plan.spec()
    # About one second on a quiet machine.
    assert time.process_time() - start < 20
    assert len(spec.workflow.steps) == 100_001
