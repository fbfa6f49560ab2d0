# ruff: noqa: E501
"""A file becomes the spec that its words mean."""

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.config.texts import load_text

from hocket.config.file import read_text
from hocket.config.schema import file_schema
from hocket.config.yaml import parse
from hocket.core.errors import NotFound, SpecError
from hocket.core.specs import AgentSpec, Repeat, Retry, StepSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.workflows.check import problems

FULL = """\
# yaml-language-server: $schema=./hocket.schema.json
version: 1
models:
  gpt: {id: "openai:gpt-5.2", price: {in: 1.75, out: 14}, settings: {top_p: 1, seed: 3}}
  own: {id: "openai:any", base_url: "http://127.0.0.1:8000/v1", key_env: OWN_KEY}
agents:
  coder:    {model: gpt, system: Be brief., temperature: 0, settings: {seed: 4}, concurrency: 3}
  other:    {model: own}
  direct:   {model: "anthropic:claude"}
  tester:   {command: [pytest, -q], env: {CI: "1"}, env_pass: HOME, grace: 2s, effects: false}
  little:   {local: smollm2-135m, max_tokens: 64}
  scripted: {scripted: {replies: [yes, {output: {a: 1}}]}}
  scan:     {function: "tools.git:scan", mode: process}
  unused:   {command: ["true"]}
plans:
  release:
    inputs: {goal: {about: what to make}, repo: {default: .}, extra: }
    max_parallel: 6
    timeout: 2h
    defaults: {timeout: 10m, on_failure: skip}
    steps:
      log:    {command: [git, log, "--max-count={{inputs.extra}}"], output: lines, cwd: /src}
      spec:   {agent: coder, prompt: "{{inputs.goal}}", output: {title: str, "note?": [str]}}
      parts:  {agent: little, each: spec.note, prompt: "{{item}}", retry: 0, output: text}
      test:   {agent: tester, with: ["{{spec.title}}"], prompt: "{{log}}", ok: [0, 5]}
      score:  {call: "tools:score", with: {x: "{{parts}}"}, retry: {tries: 4, first: 2m, on: [failed]}}
      scan:   {agent: scan, with: ["{{inputs.repo}}"], fallback: direct, effects: true}
      ok:     {approve: "{{score}} is fine?", wants: [scan, test], quorum: 1, within: 1m, timeout: 4h, on_timeout: reject}
      word:   {input: your word, needs: ok, output: {word: str}}
      sub:    {run: other, with: {a: "{{word.word}}"}}
      sh:     {shell: 'echo "$1" {{.Names}}', args: ["{{sub.z}}"], stdin: "{{log}}", when: score > 3}
      poll:   {agent: scripted, prompt: "{{round}}", repeat: {until: poll.done, max: 5}, temperature: }
    output: {done: "{{sh}}"}
  other:
    inputs: [a]
    steps:
      log: {command: [git, show, --stat, "{{inputs.a}}"], files: ["*.txt"], output: {n: int}}
    output: {z: "{{log.text.n}}"}
"""


def steps_of(text: str, plan: str | None = None) -> dict[str, StepSpec]:
    return {step.name: step for step in load_text(text, plan).workflow.steps}


def test_every_kind_of_step_means_what_it_says() -> None:
    spec = load_text(FULL)
    assert problems(spec) == []
    assert (spec.name, spec.max_parallel, spec.workflow.timeout) == ("release", 6, 2 * HOUR)
    assert [(n, i.required, i.default) for n, i in spec.workflow.inputs.items()] == [
        ("goal", True, None),
        ("repo", False, "."),
        ("extra", True, None),
    ]
    steps = steps_of(FULL)
    assert steps["log"].input == {"args": ["--max-count={{inputs.extra}}"], "stdin": None}
    assert steps["log"].output == {"type": "array", "items": {"type": "string"}}
    assert (steps["log"].timeout, steps["log"].on_failure) == (10 * MINUTE, "skip")
    assert steps["spec"].retry == Retry(tries=3)
    assert steps["spec"].output["additionalProperties"] is False
    assert steps["spec"].output["required"] == ["title"]
    assert (steps["parts"].each, steps["parts"].needs) == ("spec.note", ("spec",))
    assert (steps["parts"].retry, steps["parts"].output) == (Retry(), None)
    assert steps["test"].input == {"args": ["{{spec.title}}"], "stdin": "{{log}}"}
    assert steps["test"].options == {"ok": [0, 5]}
    assert steps["score"].input == {"x": "{{parts}}"}
    assert steps["score"].retry == Retry(
        tries=4, first=2 * MINUTE, longest=2 * MINUTE, on=("failed",)
    )
    assert (steps["scan"].input, steps["scan"].fallback) == (["{{inputs.repo}}"], ("direct",))
    assert (steps["scan"].agent, steps["scan"].effects) == ("scan", True)
    ok = steps["ok"]
    assert (ok.kind, ok.timeout, ok.on_timeout) == ("approve", 4 * HOUR, "reject")
    assert (ok.needs, ok.wants, ok.quorum, ok.within) == (
        ("score",),
        ("scan", "test"),
        1,
        60 * SECOND,
    )
    # A default timeout is about work: a person may take longer.
    assert (steps["word"].kind, steps["word"].timeout) == ("input", DAY)
    assert steps["sub"].plan is not None
    assert steps["sub"].needs == ("word",)
    assert steps["sh"].input == {"args": ["{{sub.z}}"], "stdin": "{{log}}"}
    assert steps["sh"].needs == ("sub", "log", "score")
    assert steps["poll"].repeat == Repeat(until="poll.done", max=5)


def test_agents_get_their_adapters_options() -> None:
    agents = load_text(FULL).agents
    assert "unused" not in agents
    assert agents["coder"] == AgentSpec(
        kind="model",
        options={
            "model": "openai:gpt-5.2",
            "price": {"in": 1.75, "out": 14.0},
            "system": "Be brief.",
            "temperature": 0.0,
            "settings": {"top_p": 1, "seed": 4},
        },
        concurrency=3,
        limits=("openai:gpt-5.2",),
    )
    assert agents["direct"] == AgentSpec(
        kind="model", options={"model": "anthropic:claude"}, limits=("anthropic:claude",)
    )
    assert agents["tester"] == AgentSpec(
        kind="command",
        options={
            "command": ["pytest", "-q"],
            "env": {"CI": "1"},
            "env_pass": ["HOME"],
            "grace": 2.0,
        },
    )
    assert agents["little"].options == {"model": "smollm2-135m", "max_tokens": 64}
    assert agents["scripted"].options == {"replies": ["yes", {"output": {"a": 1}}]}
    assert agents["scan"].options == {"ref": "tools.git:scan", "mode": "process"}
    assert agents["score"].options == {"ref": "tools:score"}
    assert agents["log"] == AgentSpec(
        kind="command",
        options={"command": ["git", "log"], "cwd": "/src", "output": "lines", "allow_dashes": True},
        effects=True,
    )
    assert agents["sh"].options == {
        "command": 'echo "$1" {{.Names}}',
        "shell": True,
    }


def test_a_steps_own_command_finds_a_free_name() -> None:
    agents = load_text(FULL).agents
    assert agents["log-agent"].options["command"] == ["git", "show", "--stat"]


def test_a_command_with_files_gives_its_output_beside_them() -> None:
    step = steps_of(FULL, "other")["log"]
    assert step.output["properties"]["text"]["properties"] == {"n": {"type": "integer"}}
    assert load_text(FULL, "other").agents["log"].options["output"] == "json"


def test_the_plan_that_no_other_runs_is_meant() -> None:
    assert load_text(FULL).name == "release"
    assert load_text(FULL, "other").name == "other"
    with pytest.raises(NotFound, match="there is no plan 'othr'; did you mean 'other'"):
        load_text(FULL, "othr")


def test_an_option_that_is_written_out_is_safe_where_no_value_can_become_one() -> None:
    head = "version: 1\nplans: {p: {inputs: [x], steps: {a: {command: "
    fine = ["[git, '-n{{inputs.x}}', --all]", "[git, --, '{{inputs.x}}', -b]"]
    for command in (*fine, "[git, '{{inputs.x}}', -b], allow_dashes: true"):
        load_text(f"{head}{command}}}}}}}}}\n")
    with pytest.raises(SpecError, match="could become an option too"):
        load_text(f"{head}[git, '{{{{inputs.x}}}}', -b]}}}}}}}}\n")


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = FULL.replace("{model: own}", "{model: onw}").replace("needs: ok", "needs: okk")
    text = text.replace("max_parallel: 6", "max_paralel: 6").replace("{{sub.z}}", "{{sub.y}}")
    with pytest.raises(SpecError) as caught:
        read_text(text, "f.yaml")
    assert caught.value.lines == (
        "f.yaml:8:21: unknown model 'onw'; did you mean 'own'?",
        "f.yaml:18:5: unknown key 'max_paralel'; did you mean 'max_parallel'?",
        "f.yaml:29:41: unknown step 'okk'; did you mean 'ok'?",
        "f.yaml:31:57: 'sub' has no field 'y'; it has z",
    )
    assert [p.where[:2] for p in caught.value.problems] == [
        ("agents", "other"),
        *[("plans", "release")] * 3,
    ]


def test_a_thousand_mistakes_are_counted_but_not_all_written() -> None:
    rows = "".join(f"      s{i}: {{command: [x], needs: [x{i}]}}\n" for i in range(1000))
    with pytest.raises(SpecError) as caught:
        load_text(f"version: 1\nplans:\n  p:\n    steps:\n{rows}", source="f.yaml")
    assert len(caught.value.problems) == 1000
    assert len(caught.value.lines) == 201
    assert caught.value.lines[-1] == "f.yaml: and 800 more"


def test_the_schema_for_editors_takes_what_the_program_takes() -> None:
    schema = file_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert "prefixItems" not in text
    assert "$defs" not in text
    validator = jsonschema.Draft7Validator(schema)
    tree: Any = parse(FULL.encode()).tree
    assert [error.json_path for error in validator.iter_errors(tree)] == []
    tree["plans"]["other"]["stpes"] = {}
    tree["agents"]["coder"] = {"modle": "x"}
    assert sorted(error.json_path for error in validator.iter_errors(tree)) == [
        "$.agents.coder",
        "$.plans.other",
    ]


EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
    if "\nplans:" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_right_and_fits_the_schema(path: Path) -> None:
    data = path.read_bytes()
    loaded = read_text(data.decode(), str(path))
    for name in loaded.plans():
        assert problems(loaded.spec(name)) == []
    jsonschema.Draft7Validator(file_schema()).validate(parse(data).tree)


HEAD = "version: 1\nplans:\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEAD + "".join(f"  p{i}: {{steps: {{a: {{command: [x]}}}}}}\n" for i in range(15_000)), 0),
        (HEAD + "".join(f"  p{i}: {{steps: {{a: {{run: p{i + 1}}}}}}}\n" for i in range(15_000)) + "  p15000: {steps: {a: {command: [x]}}}\n", 1_666),
        (HEAD + "  p:\n    steps:\n" + "".join(f"      s{i}: {{command: [x], {'needs: x' if i % 2 else 'foo: 1'}}}\n" for i in range(20_000)), 20_000),
    ],
    ids=["plans", "chain of plans", "mistakes"],
)  # fmt: skip
def test_the_largest_files_are_read_in_seconds_right_or_wrong(text: str, found: int) -> None:
    start = time.process_time()
    try:
        read_text(text)
        problems_found = 0
    except SpecError as error:
        problems_found = len(error.problems)
    assert problems_found == found
    # About three seconds on a quiet machine.
    assert time.process_time() - start < 20
