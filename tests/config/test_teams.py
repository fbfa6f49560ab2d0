# ruff: noqa: E501
"""Teams, tools and kept answers in a file become the specs that their words mean."""

import jsonschema
import pytest
from tests.config.texts import load_text

from hocket.config.diff import spec_diff
from hocket.config.file import read_text
from hocket.config.schema import file_schema
from hocket.config.yaml import parse
from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec, Learned, Retry, RunSpec, StepSpec
from hocket.core.teams import CacheSpec, ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.workflows.check import problems
from hocket.workflows.fields import fields_problem

FULL = """\
version: 1
limits: {gpu: {concurrency: 4}}
tools:
  grep:
    command: [grep, -rn, "{{args.pattern}}", "{{args.path}}"]
    about: Search the sources
    args: {pattern: str, path: {type: string, default: src}}
    approve: true
    timeout: 30s
    tries: 2
    effects: false
    concurrency: 2
    cache: 10m
    env: {LC_ALL: C}
  read: {function: "tools:read", about: Read a file}
  note: {command: [tee, notes.txt], args: {text: str}, stdin: "{{args.text}}"}
agents:
  flash: {model: "google:flash", tools: [grep, read], max_turns: 8, cache: 1h}
  pro:   {model: "google:pro", cache: {mode: similar, ttl: 1d, threshold: 0.9, embed: {model: small, base_url: "http://127.0.0.1:1/v1", key_env: KEY}}}
  plain: {model: "google:plain", cache: off}
  exact: {scripted: {}, cache: exact, tools: note}
  sh:    {command: [cat], effects: false}
plans:
  p:
    inputs: [question]
    steps:
      q:
        consensus:
          question: "{{inputs.question}}"
          agents: [{agent: flash, count: 3, fallback: plain}, {agent: pro, weight: 2}, {agent: pro, name: judge}]
          policy: rounds
          rounds: 2
          decide: 0.6
          of: cast
          tie: runoff
          votes: as_needed
          max_rounds: 5
          max_duration: 5m
          lead: 2
          soft: 30s
          hard: 60s
          quorum: 2
          final: synthesize
          presenter: plain
        output: {title: str}
        retry: 1
        timeout: 2m
        hedge: p95
        uses: {gpu: 1}
        temperature: 0.5
        max_tokens: 900
        settings: {seed: 3}
      r:
        review: {of: "{{q.answer}}", by: [flash, pro], swarm: 6, threshold: 0.7, protocol: self-correct, criteria: Is it true?, fail_open: true, open_weight: 0.1, waves: false, early: false}
      code: {agent: pro, prompt: "{{r.issues}}", review: {by: {agent: flash, count: 2}, swarm: 3, max_rounds: 3, fixer: plain}}
      reply:
        panel:
          question: "{{q.answer.title}} and {{code}}"
          agents:
            memory: {agent: pro, prompt: "{{question}}?", fallback: plain, when: r.approved, retry: 0}
            web: flash
            word: {command: [wc, "{{memory}}"]}
            size: {shell: wc -c}
          quorum: 2
          within: {learned: p90, floor: 1s, cap: 10s}
          select: {agent: plain}
          about: {memory: what was}
          synthesis: {agent: pro, prompt: "{{contributions.web}} {{missing}} {{inputs.question}}"}
          revise: 5s
          revision: {agent: plain, prompt: "{{reply}}"}
        timeout: 1m
      last: {agent: pro, prompt: "{{reply.contributions.web}} {{q.winner.agent}}"}
"""


@pytest.fixture(name="spec", scope="module")
def fixture_spec() -> RunSpec:
    return load_text(FULL)


def step_of(spec: RunSpec, name: str) -> StepSpec:
    return next(step for step in spec.workflow.steps if step.name == name)


def test_all_of_it_can_be_run(spec: RunSpec) -> None:
    assert problems(spec) == []


def test_what_is_right_fits_the_schema_for_editors() -> None:
    schema = file_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    judge = jsonschema.Draft7Validator(schema)
    judge.validate(parse(FULL.encode()).tree)
    for wrong in ("polcy: once, policy: once", "decide: most", "agents: [{agnt: flash}]"):
        tree = parse(
            f"""
            version: 1
            plans: {{p: {{steps: {{q: {{consensus: {{question: x, agents: a, {wrong}}}}}}}}}}}
            """.replace("agents: a, agents", "agents").encode()
        ).tree
        assert list(judge.iter_errors(tree)), wrong


def test_a_consensus_means_what_it_says(spec: RunSpec) -> None:
    step = step_of(spec, "q")
    title = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    assert step.team == ConsensusSpec(
        members=(
            Member(name="flash-1", agent="flash", fallback=("plain",)),
            Member(name="flash-2", agent="flash", fallback=("plain",)),
            Member(name="flash-3", agent="flash", fallback=("plain",)),
            Member(name="pro", agent="pro", weight=2.0),
            Member(name="judge", agent="pro"),
        ),
        policy="rounds",
        rounds=2,
        rule="threshold",
        threshold=0.6,
        # Who says what a seat weighs wants votes to be weighed by that.
        weigh="agent",
        of="cast",
        tie="runoff",
        votes="as_needed",
        max_rounds=5,
        max_duration=5 * MINUTE,
        lead=2,
        soft=30 * SECOND,
        hard=60 * SECOND,
        quorum=2,
        final="synthesize",
        presenter="plain",
        answer=title,
    )
    assert (step.kind, step.agent, step.input) == ("consensus", "", "{{inputs.question}}")
    assert (step.retry, step.timeout, step.hedge) == (Retry(tries=2), 2 * MINUTE, 0.95)
    assert (step.uses, step.options) == (
        {"gpu": 1},
        {"temperature": 0.5, "max_tokens": 900, "settings": {"seed": 3}},
    )


def test_the_output_of_a_consensus_is_known_to_its_last_field(spec: RunSpec) -> None:
    step = step_of(spec, "q")
    assert step.output["additionalProperties"] is False
    for fields in (("answer", "title"), ("votes", 0, "reason"), ("answers", "flash-1", "title")):
        assert fields_problem(step, fields, "q") is None
    assert fields_problem(step, ("answer", "titel"), "q") is not None
    assert fields_problem(step, ("answers", "flash-4"), "q") is not None
    assert fields_problem(step, ("tally", "judge"), "q") is None


def test_a_review_means_what_it_says(spec: RunSpec) -> None:
    step = step_of(spec, "r")
    assert step.team == ReviewSpec(
        members=(Member(name="flash", agent="flash"), Member(name="pro", agent="pro")),
        swarm=6,
        threshold=0.7,
        protocol="self-correct",
        criteria="Is it true?",
        fail_open=True,
        open_weight=0.1,
        waves=False,
        early=False,
    )
    assert (step.kind, step.input, step.needs) == ("review", "{{q.answer}}", ("q",))
    # Models fail by themselves now and then.
    assert step.retry == Retry(tries=3)


def test_a_step_can_be_reviewed(spec: RunSpec) -> None:
    step = step_of(spec, "code")
    assert (step.kind, step.agent, step.team) == ("call", "pro", None)
    assert step.review == ReviewSpec(
        members=(Member(name="flash-1", agent="flash"), Member(name="flash-2", agent="flash")),
        max_rounds=3,
        fixer="plain",
    )


def test_a_panel_becomes_a_plan(spec: RunSpec) -> None:
    step = step_of(spec, "reply")
    assert step.kind == "plan" and step.plan is not None
    inner = {one.name: one for one in step.plan.steps}
    assert list(inner) == [
        *("select", "memory", "web", "word", "size"),
        *("gather", "synthesis", "later", "revision"),
    ]
    assert (step.plan.timeout, set(step.needs)) == (MINUTE, {"q", "code", "r"})
    assert inner["gather"].quorum == 2
    assert inner["gather"].learned["within"] == Learned(cap=10 * SECOND, floor=SECOND, quantile=0.9)
    assert inner["memory"].retry == Retry()
    assert inner["memory"].fallback == ("plain",)
    assert (inner["web"].agent, inner["web"].retry) == ("flash", Retry(tries=3))
    # Whoever says nothing of what it gets is asked the question.
    assert inner["web"].input == inner["size"].input == "{{inputs.question}}"
    assert inner["word"].input == {"args": ["{{memory}}"], "stdin": None}
    assert spec.agents["word"].options["command"] == ["wc"]
    assert inner["later"].within == 5 * SECOND
    assert "what was" in inner["select"].input
    assert inner["revision"].agent == "plain"


def test_tools_have_agents_of_their_own(spec: RunSpec) -> None:
    flash = spec.agents["flash"]
    assert flash.max_turns == 8
    assert flash.tools["grep"] == ToolSpec(
        agent="grep",
        about="Search the sources",
        schema={
            "type": "object",
            "properties": {
                "pattern": {"type": "string"},
                "path": {"type": "string", "default": "src"},
            },
            "required": ["pattern"],
            "additionalProperties": False,
        },
        input={"args": ["{{args.pattern}}", "{{args.path}}"], "stdin": None},
        approve=True,
        timeout=30 * SECOND,
        tries=2,
    )
    assert spec.agents["grep"] == AgentSpec(
        kind="command",
        options={"command": ["grep", "-rn"], "env": {"LC_ALL": "C"}},
        concurrency=2,
        cache=CacheSpec(ttl=10 * MINUTE),
    )
    # What a function takes is read from its signature once a run begins.
    assert flash.tools["read"] == ToolSpec(agent="read", about="Read a file")
    assert spec.agents["read"] == AgentSpec(kind="function", options={"ref": "tools:read"})


def test_a_command_that_is_a_tool_has_effects_unless_it_says_otherwise() -> None:
    text = FULL.replace("{agent: flash, count: 2}", "{agent: exact, count: 2}")
    spec = load_text(text)
    assert spec.agents["note"].effects
    assert spec.agents["exact"].tools["note"].input == {"args": [], "stdin": "{{args.text}}"}


def test_a_tools_agent_gets_out_of_the_way_of_others() -> None:
    text = FULL.replace("  sh:    {command", "  grep: {command: [cat]}\n  sh:    {command")
    spec = load_text(text)
    assert spec.agents["flash"].tools["grep"].agent == "grep-tool"
    assert spec.agents["grep-tool"].options["command"] == ["grep", "-rn"]


def test_answers_are_kept_as_long_as_it_says(spec: RunSpec) -> None:
    assert spec.agents["flash"].cache == CacheSpec(ttl=HOUR)
    assert spec.agents["pro"].cache == CacheSpec(
        mode="similar",
        ttl=24 * HOUR,
        threshold=0.9,
        embed={"model": "small", "base_url": "http://127.0.0.1:1/v1", "key_env": "KEY"},
    )
    assert spec.agents["plain"].cache is None
    text = FULL.replace("{agent: flash, count: 2}", "exact")
    assert load_text(text).agents["exact"].cache == CacheSpec()


@pytest.mark.parametrize(
    ("seats", "names"),
    [
        ("[flash, pro]", "flash pro"),
        ("[flash, flash]", "flash-1 flash-2"),
        ("[{agent: flash, count: 2}, flash]", "flash-1 flash-2 flash-3"),
        ("[{agent: flash, name: left}, {agent: flash, name: right}]", "left right"),
        ("[{agent: flash, name: x, count: 2}, pro]", "x-1 x-2 pro"),
        ("{agent: flash, count: 2}", "flash-1 flash-2"),
    ],
)
def test_seats_have_names_of_their_own(seats: str, names: str) -> None:
    text = f"""
        version: 1
        agents: {{flash: {{scripted: {{}}}}, pro: {{scripted: {{}}}}}}
        plans: {{p: {{steps: {{q: {{consensus: {{question: x, agents: {seats}}}}}}}}}}}
        """
    team = load_text(text).workflow.steps[0].team
    assert team is not None
    assert " ".join(member.name for member in team.members) == names


def test_a_contributor_that_runs_a_plan_is_no_root() -> None:
    text = """
        version: 1
        agents: {a: {scripted: {}}}
        plans:
          p: {steps: {r: {panel: {question: x, agents: {m: {run: q, with: {y: "{{question}}"}}}, synthesis: a}}}}
          q: {inputs: [y], steps: {s: {agent: a, prompt: "{{inputs.y}}"}}}
        """
    assert load_text(text).name == "p"


def test_mistakes_of_a_plan_within_a_panel_are_told_in_that_plan() -> None:
    text = """\
version: 1
agents: {a: {scripted: {}}}
plans:
  p: {steps: {r: {panel: {question: x, agents: {m: {run: q}}, synthesis: a}}}}
  q: {steps: {s: {agent: a, prompt: "{{t}}"}}}
"""
    with pytest.raises(SpecError) as caught:
        read_text(text, "f.yaml")
    assert caught.value.lines == ("f.yaml:5:40: unknown name 't'",)


def test_an_input_that_is_in_the_way_is_told() -> None:
    text = """\
version: 1
agents: {a: {scripted: {}}}
plans:
  p:
    inputs: [outer-s]
    steps:
      s: {agent: a, prompt: x}
      r:
        panel: {question: x, agents: {m: {agent: a, prompt: "{{s}} {{inputs.outer-s}}"}}, synthesis: a}
"""
    with pytest.raises(SpecError, match=r"f.yaml:9:9: an input called 'outer-s' is in the way"):
        read_text(text, "f.yaml")


def test_one_mistake_in_a_team_does_not_hide_the_next() -> None:
    text = FULL.replace("policy: rounds", "polcy: rounds").replace("{{memory}}", "{{memroy}}")
    text = text.replace("max_turns: 8", "max_turns: 0").replace("{{args.path}}", "{{args.pth}}")
    with pytest.raises(SpecError) as caught:
        read_text(text, "f.yaml")
    assert [line.partition(": ")[2] for line in caught.value.lines] == [
        "'args' has no field 'pth'; it has pattern, path; did you mean 'path'?",
        "max_turns: must be at least 1, not 0",
        "unknown key 'polcy'; did you mean 'policy'?",
        "unknown name 'memroy'; did you mean 'memory'?",
    ]


def test_what_changed_in_a_team_is_shown() -> None:
    old, new = load_text(FULL), load_text(FULL.replace("decide: 0.6", "decide: majority"))
    shown = spec_diff(old, new)
    assert "steps.q" in shown and '-    "rule": "threshold"' in shown
    assert "agents." not in shown
