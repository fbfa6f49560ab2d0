# ruff: noqa: E501
"""Teams, tools and kept answers in Python are the same data as in a file."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.config.texts import load_text

from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.outcomes import Consensus, PanelReply, Reviewed
from hocket.config.panel import Contributor, Learned
from hocket.config.team import Review, Seat
from hocket.config.tool import Cache, Tool
from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec, Retry, StepSpec
from hocket.core.teams import CacheSpec
from hocket.core.values import HOUR
from hocket.workflows.check import complete, problems


@dataclass
class Idea:
    title: str


def look(path: str, deep: int = 1) -> str:
    """Look into a folder.

    Args:
        path: Where.
        deep: How far.
    """
    return path * deep


def shout(text: str) -> str:
    return text.upper()


def model(name: str, **settings: Any) -> Agent[str]:
    return Agent(name, model=f"google:{name}", **settings)


def steps_of(plan: Plan) -> dict[str, StepSpec]:
    return {step.name: step for step in plan.spec().workflow.steps}


FILE = """
version: 1
tools:
  grep: {command: [grep, -rn, "{{args.pattern}}", src], about: Search, args: {pattern: str, "path?": str}, effects: false, timeout: 30s, env: {LC_ALL: C}}
agents:
  flash: {model: "google:flash", tools: [grep], max_turns: 8, cache: 1h}
  pro: {model: "google:pro"}
  plain: {model: "google:plain"}
plans:
  p:
    inputs: [question]
    steps:
      q:
        consensus: {question: "{{inputs.question}}", agents: [{agent: flash, count: 3, fallback: plain}, {agent: pro, weight: 2}], policy: batch, batch: 5s, decide: 0.6, max_duration: 5m, soft: 30s, hard: 60s, quorum: 2, final: synthesize, presenter: plain}
        temperature: 0.5
        hedge: p95
      r: {review: {of: "{{q.answer}}", by: [flash, pro], swarm: 6, threshold: 0.7, criteria: true?}, retry: 0}
      code: {agent: pro, prompt: "Do {{r.issues}}", review: {by: flash, max_rounds: 3, fixer: plain}}
      reply:
        panel:
          question: "{{q.answer}} and {{code}}"
          agents: {memory: {agent: pro, prompt: "{{question}}?", fallback: plain, when: r.approved}, web: flash, more: {agent: pro, prompt: "{{web}}"}}
          quorum: 2
          within: {learned: p90, floor: 1s, cap: 10s}
          select: "['memory']"
          synthesis: {agent: pro, prompt: "{{contributions}}"}
          revise: 5s
          revision: plain
        timeout: 1m
"""


def in_python() -> Plan:
    grep = Tool(
        "grep",
        command=["grep", "-rn", "{{args.pattern}}", "src"],
        about="Search",
        args={"pattern": str, "path?": str},
        effects=False,
        timeout="30s",
        env={"LC_ALL": "C"},
    )
    flash = model("flash", tools=[grep], max_turns=8, cache="1h")
    pro, plain = model("pro"), model("plain")
    plan = Plan("p", inputs=["question"])
    q = plan.consensus(
        "q",
        "{{inputs.question}}",
        agents=[Seat(flash, count=3, fallback=plain), Seat(pro, weight=2)],
        policy="batch",
        batch="5s",
        decide=0.6,
        max_duration="5m",
        soft="30s",
        hard=60,
        quorum=2,
        final="synthesize",
        presenter=plain,
        temperature=0.5,
        hedge="p95",
    )
    r = plan.review(
        "r", q.answer, by=[flash, pro], swarm=6, threshold=0.7, criteria="true?", retry=0
    )
    code = plan.step("code", pro, f"Do {r.issues}", review=Review(flash, max_rounds=3, fixer=plain))
    plan.panel(
        "reply",
        f"{q.answer} and {code}",
        agents={
            "memory": Contributor(pro, "{{question}}?", fallback=plain, when=r.approved),
            "web": flash,
            "more": Contributor(pro, "{{web}}"),
        },
        quorum=2,
        within=Learned("10s", floor="1s", quantile="p90"),
        select="['memory']",
        synthesis=Contributor(pro, "{{contributions}}"),
        revise="5s",
        revision=plain,
        timeout="1m",
    )
    return plan


def test_the_same_teams_from_a_file_and_from_python_are_equal() -> None:
    ours, theirs = complete(in_python().spec()), load_text(FILE)
    assert problems(ours) == []
    assert ours.agents == theirs.agents
    for mine, its in zip(ours.workflow.steps, theirs.workflow.steps, strict=True):
        # The order of what a step needs means nothing.
        assert sorted(mine.needs) == sorted(its.needs)
    names = [step.name for step in theirs.workflow.steps]
    assert [step.name for step in ours.workflow.steps] == names
    for mine, its in zip(ours.workflow.steps, theirs.workflow.steps, strict=True):
        assert (mine.team, mine.review, mine.input) == (its.team, its.review, its.input)
        assert (mine.output, mine.options, mine.retry) == (its.output, its.options, its.retry)
        assert (mine.hedge, mine.plan) == (its.hedge, its.plan)


def test_an_answers_type_is_that_of_the_consensus() -> None:
    plan = Plan("p")
    flash = model("flash")
    q = plan.consensus("q", "x", agents=[flash, flash], output=Idea)
    r = plan.review("r", q.answer, by=flash)
    p = plan.panel("p", "x", agents={"a": flash}, synthesis=Contributor(flash, output=Idea))
    assert plan.type_of(q) == Consensus[Idea]
    assert plan.type_of(r) is Reviewed
    assert plan.type_of(p) == PanelReply[Idea]
    team = steps_of(plan)["q"].team
    assert team is not None and team.answer["properties"] == {
        "title": {"title": "Title", "type": "string"}
    }  # type: ignore[union-attr]
    assert problems(plan.spec()) == []


def test_the_handles_of_teams_are_templates_expressions_and_dependencies() -> None:
    plan = Plan("p")
    flash = model("flash")
    q = plan.consensus("q", "x", agents=[flash, flash])
    r = plan.review("r", q, by=flash)
    p = plan.panel("reply", q.answer, agents={"a": flash}, synthesis=flash)
    plan.step("a", flash, {"all": q, "one": q.answer, "two": p.missing}, when=r.approved)
    plan.step("b", flash, "go on", q)
    plan.call("c", shout, q.answer)
    steps = steps_of(plan)
    assert steps["r"].input == "{{q}}"
    assert steps["a"].input == {"all": "{{q}}", "one": "{{q.answer}}", "two": "{{reply.missing}}"}
    assert (steps["a"].when, set(steps["a"].needs)) == ("r.approved", {"q", "r", "reply"})
    assert (steps["b"].needs, steps["c"].input) == (("q",), ["{{q.answer}}"])
    assert [str(one) for one in (q.dissent, p.reply, p["revised"])] == [
        "{{q.dissent}}",
        "{{reply.reply}}",
        "{{reply.revised}}",
    ]
    assert problems(plan.spec()) == []


def test_a_misspelt_field_of_a_team_is_found() -> None:
    plan = Plan("p")
    flash = model("flash")
    q = plan.consensus("q", "x", agents=[flash, flash])
    plan.step("a", flash, f"{q['anwser']}")
    assert [one.message for one in problems(plan.spec())] == [
        "'q' has no field 'anwser'; it has answer, winner, decision, forced, tally, votes, dissent, answers, …"
    ]


# -- tools ----------------------------------------------------------------------------------


def test_a_function_is_a_tool_by_its_signature() -> None:
    plan = Plan("p")
    plan.step("a", model("flash", tools=[look]), "x")
    spec = plan.spec()
    tool = spec.agents["flash"].tools["look"]
    assert (tool.agent, tool.about, tool.input) == ("look", "Look into a folder.", "{{args}}")
    assert tool.schema == {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Where."},
            "deep": {"type": "integer", "default": 1, "description": "How far."},
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    assert spec.agents["look"] == AgentSpec(kind="function", options={"ref": f"{__name__}:look"})
    assert plan.live == {f"{__name__}:look": look}
    assert problems(spec) == []


def test_agents_share_a_tool_and_tools_of_one_name_get_out_of_each_others_way() -> None:
    first, second = Tool("find", command=["grep"]), Tool("find", command=["rg"])
    plan = Plan("p")
    plan.step("a", model("a", tools=[first, look]), "x")
    plan.step("b", model("b", tools=[second, look]), "x")
    plan.step("c", model("c", tools=[first]), "x")
    agents = plan.spec().agents
    assert agents["a"].tools["find"].agent == agents["c"].tools["find"].agent == "find"
    assert agents["b"].tools["find"].agent == "find-tool"
    assert agents["find-tool"] == AgentSpec(
        kind="command", options={"command": ["rg"]}, effects=True
    )
    assert agents["a"].tools["look"] == agents["b"].tools["look"]
    assert [name for name in agents if name.startswith("look")] == ["look"]


def test_arguments_of_a_command_may_be_any_types() -> None:
    tool = Tool("x", command=["x"], args={"idea": Idea, "tags": list[str], "note?": str})
    schema = tool.spec.schema
    assert schema["required"] == ["idea", "tags"]
    assert schema["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert schema["properties"]["note"] == {"type": "string"}
    assert Tool("x", command=["x"], args={"a": "[str]"} | {"a": ["str"]}).spec.schema[
        "properties"
    ] == {"a": {"type": "array", "items": {"type": "string"}}}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tool("x"), "tools.x: a tool is either a command or a function"),
        (lambda: Tool("x", command=["x"], function=look), "either a command or a function"),
        (lambda: Tool("x", command="ls -l"), "a command is a list of texts"),
        (lambda: Tool("x", command=["{{args.x}}"]), "begins with a program, not a template"),
        (lambda: Tool("x", command=["ls", "{{args.x}}", "-l"]), "'-l' stands beside a value"),
        (lambda: Tool("x", command=["x"], args={"a": "strng"}), "unknown type 'strng'; did you mean 'str'?"),
        (lambda: Tool("x", command=["x"], args={"a": Plan}), "tools.x.args: "),
        (lambda: Tool("x", function=look, args={"path": str}), "takes what its signature says"),
        (lambda: Tool("x", function=print), "cannot be given by name"),
        (lambda: Tool("x", command=["x"], timeout="soon"), "'soon' is not a duration"),
        (lambda: Tool("x", command=["x"], cdw="/"), "unknown setting 'cdw'; did you mean 'cwd'?"),  # type: ignore[call-arg]
        (lambda: model("a", tools=[3]), "agents.a.tools: 3 is neither a function nor a Tool"),
        (lambda: model("a", tools=[look, Tool("look", command=["x"])]), "two tools are called 'look'"),
        (lambda: model("a", tools=look), "tools are a list of functions"),
        (lambda: model("a", cache="exakt"), "agents.a.cache: it is off, exact, similar, .* did you mean 'exact'"),
        (lambda: model("a", cache=Cache(ttl="1 hour")), "'1 hour' is not a duration"),
        (lambda: Learned("soon"), "within: 'soon' is not a duration"),
        (lambda: Learned("1s", quantile="95"), "'95' is no quantile"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_tool_or_a_cache_says_why(make: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said.replace("(", r"\(")):
        make()


def test_tools_of_agents_that_call_none_are_refused() -> None:
    plan = Plan("p")
    plan.step("a", Agent("sh", command=["cat"], tools=[look]), "x")
    plan.step("b", Agent("say", scripted={}, tools=[Tool("turn", command=["x"])]), "x")
    assert [(one.where, one.message) for one in problems(plan.spec())] == [
        (("agents", "sh", "tools"), "a command agent cannot call tools"),
        (
            ("agents", "say", "tools", "turn"),
            "no tool can be called 'turn': so are the turns of a conversation",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        ("off", None),
        ("exact", CacheSpec()),
        ("1h", CacheSpec(ttl=HOUR)),
        (3600, CacheSpec(ttl=HOUR)),
        (Cache("similar", threshold=0.9, embed={"model": "m"}), CacheSpec(mode="similar", threshold=0.9, embed={"model": "m"})),
    ],
)  # fmt: skip
def test_answers_are_kept_as_long_as_it_says(given: Any, meant: CacheSpec | None) -> None:
    assert model("a", cache=given).spec.cache == meant


# -- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda p, a: p.consensus("q", "x", agents=[a, 3]), "steps.q: 3 is neither an Agent nor a Seat"),
        (lambda p, a: p.consensus("q", "x", agents=[a, a], decide="majorty"), "decide: unknown rule 'majorty'; did you mean 'majority'?"),
        (lambda p, a: p.consensus("q", "x", agents=[a, a], soft="soon"), "soft: 'soon' is not a duration"),
        (lambda p, a: p.consensus("q", "x", agents=[a, a], polcy="once"), "unknown setting 'polcy'"),
        (lambda p, a: p.step("s", a, "x", review=[a]), "a review is a Review"),
        (lambda p, a: p.panel("r", "x", agents={}, synthesis=a), "at least one contributor"),
        (lambda p, a: p.panel("r", "x", agents={"reply": a}, synthesis=a), "steps.r.agents.reply: 'reply' has another meaning in a panel"),
        (lambda p, a: p.panel("r", "x", agents={"m": a}, synthesis=a, revise="soon"), "revise: 'soon' is not a duration"),
        (lambda p, a: p.panel("r", "x", agents={"m": Contributor(a, needs=p.step("s", a, "x"))}, synthesis=a), "waits for contributors by name"),
        (lambda p, a: p.panel("r", "x", agents={"m": a, "n": Contributor(a, f"{p.step('m', a, 'x')}"), "o": Contributor(a, p.step("n", a, "x"))}, synthesis=a), "a step and a contributor are both called 'n'"),
    ],
)  # fmt: skip
def test_a_team_that_cannot_be_built_says_why(build: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(Plan("p"), model("a"))
    assert said in str(caught.value)


def test_functions_contribute_and_select() -> None:
    plan = Plan("p")
    flash = Agent("say", scripted={})
    plan.panel("r", "x", agents={"loud": shout, "soft": flash}, select=shout, synthesis=flash)
    step = steps_of(plan)["r"]
    assert step.plan is not None
    inner = {one.name: one for one in step.plan.steps}
    assert (inner["loud"].agent, inner["loud"].input) == ("shout", "{{inputs.question}}")
    assert inner["select"].agent == "shout"
    assert (inner["soft"].retry, inner["loud"].retry) == (Retry(), Retry())
    assert problems(plan.spec()) == []


# ---- what Python lets anybody write ----

ADA = model("ada")


def told_of(build: Any) -> list[tuple[str, str, str]]:
    """What is found of a plan with one step, by whoever finds it first: place, message, hint."""
    plan = Plan("p")
    try:
        build(plan)
    except SpecError as error:
        found = list(error.problems)
    else:
        found = problems(plan.spec())
    return [(".".join(map(str, one.where[2:])), one.message, one.hint) for one in found]


@pytest.mark.parametrize(
    ("fields", "place", "message", "hint"),
    [
        ({"tie": "foo"}, "consensus.tie", "tie is order or runoff, not 'foo'", ""),
        ({"of": "foo"}, "consensus.of", "of is all or cast, not 'foo'", ""),
        ({"votes": "as-needed"}, "consensus.votes", "votes is together or as_needed, not 'as-needed'", "did you mean 'as_needed'?"),
        ({"final": "synth"}, "consensus.final", "final is reuse, present or synthesize, not 'synth'", "did you mean 'synthesize'?"),
        ({"weigh": "foo"}, "consensus.weigh", "weigh is equal, agent or confidence, not 'foo'", ""),
        ({"policy": "onc"}, "consensus.policy", "policy is once, rounds, restart_all, restart_unanswered, cancel, inject, batch or sequential, not 'onc'", "did you mean 'once'?"),
        ({"early": "no"}, "consensus.early", "early is true or false, not 'no'", ""),
        ({"quorum": 1.5}, "consensus.quorum", "quorum is a whole number, not 1.5", ""),
        ({"max_rounds": "3"}, "consensus.max_rounds", "max_rounds is a whole number, not '3'", ""),
        ({"presenter": "ada"}, "", "presenter is an Agent(…), not 'ada'", ""),
        ({"soft": []}, "", "soft: [] is not a duration; write it like '90s'", ""),
        ({"retry": "x"}, "", "retry is a whole number or a Retry(…), not 'x'", ""),
        ({"agents": 3}, "", "3 is neither an Agent nor a Seat(…)", ""),
        ({"agents": Seat("ada")}, "", "who sits in a team is an Agent(…), not 'ada'", ""),
        ({"agents": Seat(ADA, count="3")}, "count", "a seat of 'ada': count is a whole number, not '3'", ""),
        ({"agents": Seat(ADA, count=10**9)}, "count", "a seat of 'ada': count lies between 1 and 100, not 1,000,000,000", ""),
        ({"agents": Seat(ADA, weight="x")}, "weight", "a seat of 'ada': weight is a number, not 'x'", ""),
        ({"agents": Seat(ADA, name=5)}, "name", "a seat of 'ada': name is a text, not 5", ""),
        ({"agents": Seat(ADA, fallback="x")}, "", "a fallback is an Agent(…), not 'x'", ""),
    ],
)  # fmt: skip
def test_options_of_a_consensus_that_cannot_be(
    fields: dict[str, Any], place: str, message: str, hint: str
) -> None:
    given = {"agents": [Seat(ADA, count=2)], **fields}
    assert told_of(lambda plan: plan.consensus("q", "Why?", **given)) == [(place, message, hint)]


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"protocol": "foo"}, "review.protocol", "protocol is single or self-correct, not 'foo'"),
        ({"waves": "foo"}, "review.waves", "waves is true or false, not 'foo'"),
        ({"threshold": "x"}, "review.threshold", "threshold is a number, not 'x'"),
        ({"max_rounds": "3"}, "review.max_rounds", "max_rounds is a whole number, not '3'"),
        ({"criteria": 4}, "review.criteria", "criteria is a text, not 4"),
        ({"fixer": "ada"}, "", "fixer is an Agent(…), not 'ada'"),
    ],
)
def test_options_of_a_review_that_cannot_be(
    fields: dict[str, Any], place: str, message: str
) -> None:
    wrong = [(place, message, "")]
    assert told_of(lambda plan: plan.review("r", "x", by=ADA, **fields)) == wrong
    assert told_of(lambda plan: plan.step("r", ADA, "x", review=Review(ADA, **fields))) == wrong


@pytest.mark.parametrize("nothing", ["", " \n", None])
def test_an_empty_question_is_refused(nothing: Any) -> None:
    asked = told_of(lambda plan: plan.consensus("q", nothing, agents=Seat(ADA, count=2)))
    assert asked == [("consensus.question", "there is no question to agree on", "")]
    judged = told_of(lambda plan: plan.review("r", nothing, by=ADA))
    assert judged == [("review.of", "there is nothing to review", "")]


@pytest.mark.parametrize(
    ("fields", "place", "message", "hint"),
    [
        ({"question": " "}, "", "there is no question to reply to", ""),
        ({"select": "['moood', 'mood']"}, "select", "unknown contributor 'moood'", "did you mean 'mood'?"),
        ({"select": "run.id and ['zz'] or []"}, "select", "unknown contributor 'zz'", ""),
        ({"select": "'mood'"}, "select", "select gives a list of names, not 'mood'", "write ['mood']"),
        ({"select": ["mood"]}, "", "select is an Agent(…), a Contributor(…) or a function, not ['mood']", "write an expression as a text"),
        ({"synthesis": "ada"}, "", "synthesis is an Agent(…), a Contributor(…) or a function, not 'ada'", ""),
        ({"agents": ["ada"]}, "", "agents of a panel are contributors by name, not ['ada']", 'write {"NAME": agent}'),
        ({"agents": {"mood": "ada"}}, "", "mood is an Agent(…), a Contributor(…) or a function, not 'ada'", ""),
        ({"agents": {"mood": Contributor(ADA, about=3)}}, "", "what mood is good at is a text, not 3", ""),
        ({"quorum": "1"}, "", "quorum is a whole number, not '1'", ""),
    ],
)  # fmt: skip
def test_options_of_a_panel_that_cannot_be(
    fields: dict[str, Any], place: str, message: str, hint: str
) -> None:
    given = {"question": "Why?", "agents": {"mood": ADA}, "synthesis": ADA, **fields}
    assert told_of(lambda plan: plan.panel("p", **given)) == [(place, message, hint)]


@pytest.mark.parametrize(
    "select",
    [
        "['mood']",
        "[]",
        "run.id in ['zz', 'yy'] and ['mood'] or []",
        "['zz'] == run.id and ['mood'] or []",
        "['zz'] != [run.name] and ['mood'] or []",
        "run['name'] and ['mood'] or run['id']",
        "[run.name]",
    ],
)
def test_lists_that_select_nobody_are_left_alone(select: str) -> None:
    agents = {"mood": ADA}
    made = told_of(
        lambda plan: plan.panel("p", "Why?", agents=agents, synthesis=ADA, select=select)
    )
    assert made == []
