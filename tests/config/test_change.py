"""Settings change a spec as its file would have said it, also where there is no file any more."""

import msgspec
import pytest
from tests.insight.planted import PLANTS, plant

from hocket.config.change import Changes, changed
from hocket.config.change_steps import walk
from hocket.config.change_text import expand
from hocket.config.file import Loaded, read_text
from hocket.config.overrides import Overrides, overridden
from hocket.core.errors import CallerError, NotFound, Refused
from hocket.core.specs import RunSpec
from hocket.core.values import MINUTE, SECOND
from hocket.insight.account import account
from hocket.insight.find import find
from hocket.workflows.check import problems

FILE = """
version: 1
limits:
  gpu: {{concurrency: {gpu}}}
  same: {{requests: 5/min}}
models:
  flash: {{id: "google:gemini-2.5-flash", limits: {{requests: {requests}, concurrency: 4}}}}
  pro: {{id: "google:gemini-2.5-pro", price: {{in: 1, out: 10}}, limits: {{requests: 2/min}}}}
  own: {{id: mine, base_url: "http://127.0.0.1:9/v1"}}
agents:
  fast: {{model: {model}, max_turns: {turns}, budget: {purse}}}
  slow: {{model: pro, cache: {cache}}}
  same: {{model: own, limits: same}}
plans:
  inner:
    inputs: [text]
    steps:
      write: {{agent: fast, prompt: "{{{{inputs.text}}}}", timeout: {write}}}
      check: {{agent: slow, prompt: "{{{{write}}}}"}}
  main:
    max_parallel: {parallel}
    timeout: {whole}
    deadline: {deadline}
    priority: {rank}
    weight: {share}
    budget: {budget}
    defaults: {defaults}
    inputs: {{goal: {{default: x}}, n: {{default: 1}}}}
    steps:
      a: {{agent: fast, prompt: a, timeout: {timeout}, retry: {retry}, hedge: {hedge}}}
      b: {{agent: slow, prompt: b, when: {when}, needs: {needs}, uses: {{gpu: 1}}, fallback: same}}
      design:
        consensus:
          question: "{{{{inputs.goal}}}}"
          agents: [{{agent: fast, count: {count}}}, slow]
          policy: {policy}
          decide: {decide}
          quorum: {quorum}
          tie: {tie}
      judged:
        agent: fast
        prompt: j
        review: {{by: [slow, fast], swarm: {swarm}, waves: {waves}}}
      verdict: {{review: {{of: "{{{{a}}}}", by: slow, threshold: {threshold}}}}}
      talk:
        timeout: {talk}
        panel:
          question: q
          agents: {{one: fast, two: slow}}
          synthesis: slow
          quorum: {pquorum}
          within: {within}
          revise: {revise}
      nested: {{run: inner, with: {{text: "{{{{a}}}}"}}}}
      sign: {{approve: ok, timeout: {sign}}}
"""
USUAL = {
    "gpu": "2",
    "requests": "9/min",
    "model": "flash",
    "turns": "5",
    "cache": "off",
    "write": "1m",
    "parallel": "16",
    "whole": "1h",
    "timeout": "10m",
    "retry": "1",
    "hedge": "p90",
    "needs": "[a]",
    "count": "2",
    "policy": "restart_all",
    "decide": "majority",
    "quorum": "1",
    "tie": "order",
    "swarm": "3",
    "waves": "true",
    "threshold": "0.6",
    "talk": "5m",
    "pquorum": "2",
    "within": "10s",
    "revise": "10s",
    "sign": "1d",
    "deadline": "1d",
    "rank": "0",
    "share": "1",
    "budget": "9.00",
    "purse": "5.00",
    "when": "'true'",
    "defaults": "{}",
}

AS_THE_FILE = [
    ("max_parallel=8", {"parallel": "8"}),
    ("timeout=2h", {"whole": "2h"}),
    ("limits.flash.requests=15/min", {"requests": "15/min"}),
    ("limits.flash.requests=[15/min, 500/day]", {"requests": "[15/min, 500/day]"}),
    ("limits.gpu.concurrency=1", {"gpu": "1"}),
    ("consensus.policy=once", {"policy": "once"}),
    ("consensus.decide=0.7", {"decide": "0.7"}),
    ("consensus.quorum=2", {"quorum": "2"}),
    ("steps.design.quorum=2", {"quorum": "2"}),
    ("steps.design.consensus.quorum=2", {"quorum": "2"}),
    ("steps.design.tie=runoff", {"tie": "runoff"}),
    ("steps.judged.review.swarm=1", {"swarm": "1"}),
    ("steps.judged.waves=false", {"waves": "false"}),
    ("steps.verdict.threshold=1", {"threshold": "1"}),
    ("panel.quorum=1", {"pquorum": "1"}),
    ("panel.within=3s", {"within": "3s"}),
    ("panel.within={learned: p95, cap: 8s}", {"within": "{learned: p95, cap: 8s}"}),
    ("panel.revise=2s", {"revise": "2s"}),
    ("panel.timeout=1m", {"talk": "1m"}),
    ("steps.a.timeout=30s", {"timeout": "30s"}),
    ("steps.a.retry=3", {"retry": "3"}),
    ("steps.a.retry={tries: 2, first: 5s}", {"retry": "{tries: 2, first: 5s}"}),
    ("steps.a.hedge=p95", {"hedge": "p95"}),
    ("steps.b.needs=[]", {"needs": "[]"}),
    ("steps.nested/write.timeout=5s", {"write": "5s"}),
    ("steps.sign.timeout=1h", {"sign": "1h"}),
    ("agents.fast.max_turns=2", {"turns": "2"}),
    ("agents.slow.cache=1h", {"cache": "1h"}),
    ("agents.fast.model=pro", {"model": "pro"}),
    ("deadline=2h", {"deadline": "2h"}),
    ("priority=3", {"rank": "3"}),
    ("weight=2", {"share": "2"}),
    ("budget=3.00", {"budget": "3.00"}),
    ("budget={cost: 0.03, on_exceed: fail}", {"budget": "{cost: 0.03, on_exceed: fail}"}),
    ("budget=[1.00, {tokens: 9, per: day}]", {"budget": "[1.00, {tokens: 9, per: day}]"}),
    ("budget=null", {"budget": "null"}),
    ("agents.fast.budget=0.5", {"purse": "0.5"}),
    ("agents.fast.budget={tokens: 5k}", {"purse": "{tokens: 5k}"}),
    ("agents.fast.budget=null", {"purse": "null"}),
    ("steps.b.when=false", {"when": "'false'"}),
    ("steps.b.when=inputs.n == 2", {"when": "inputs.n == 2"}),
    ("defaults.timeout=7s", {"defaults": "{timeout: 7s}"}),
    ("defaults.retry=4", {"defaults": "{retry: 4}"}),
    ("defaults.on_failure=continue", {"defaults": "{on_failure: continue}"}),
]


def loaded(**other: str) -> Loaded:
    return read_text(FILE.format(**(USUAL | other)), "hocket.yaml")


def spec(**other: str) -> RunSpec:
    made = loaded(**other).spec("main")
    assert not problems(made)
    return made


def pinned(made: RunSpec) -> RunSpec:
    """Give a spec as a recorded run has it."""
    return msgspec.json.decode(msgspec.json.encode(made), type=RunSpec)


@pytest.mark.parametrize(("setting", "other"), AS_THE_FILE, ids=[s for s, _ in AS_THE_FILE])
def test_a_setting_is_what_the_file_would_have_said(setting: str, other: dict[str, str]) -> None:
    wanted = spec(**other)
    assert wanted != spec()
    found = changed(spec(), [setting], loaded()).spec
    # What nobody claims any more may stay in a changed spec: it binds nothing.
    used = {name: found.limits[name] for name in wanted.limits}
    assert msgspec.structs.replace(found, limits=used) == wanted


@pytest.mark.parametrize(
    "setting",
    [s for s, _ in AS_THE_FILE if not any(word in s for word in ("flash", "model", "defaults"))],
)
def test_a_pinned_spec_needs_no_file(setting: str) -> None:
    with_file = changed(spec(), [setting], loaded()).spec
    assert changed(pinned(spec()), [setting]).spec == pinned(with_file)


def test_a_limit_of_a_pinned_spec_is_called_by_its_own_name() -> None:
    made = changed(pinned(spec()), ["limits.google:gemini-2.5-flash.requests=15/min"]).spec
    assert made == pinned(spec(requests="15/min"))


NAMESAKES = """
version: 1
models: {flash: {id: "google:flash", limits: {requests: 9/min}}}
agents:
  flash: {model: flash}
  own: {model: flash, limits: {requests: 5/min}}
plans: {p: {steps: {a: {agent: flash, prompt: x}, b: {agent: own, prompt: x}}}}
"""


def test_a_limit_that_is_there_is_meant_before_one_that_could_be() -> None:
    file = read_text(NAMESAKES, "hocket.yaml")._replace(place="/somewhere/hocket.yaml")
    spec = file.spec("p")
    setting = ["limits.flash.requests=15/min", "limits.own.requests=7/min"]
    made = changed(spec, setting, file).spec
    other = NAMESAKES.replace("5/min", "7/min").replace("9/min", "15/min")
    assert made == read_text(other, "hocket.yaml")._replace(place=file.place).spec("p")
    # The agent's own is reached where nobody knows the file, too.
    own = "agent:own limits in /somewhere/hocket.yaml"
    assert changed(pinned(spec), ["limits.own.requests=7/min"]).spec.limits[own] == made.limits[own]
    both = read_text(NAMESAKES.replace("{model: flash}", "{model: flash, limits: {requests: 1/s}}"))
    with pytest.raises(Refused, match=r"could be models\.flash or agents\.flash: write which"):
        changed(both.spec("p"), ["limits.flash.requests=15/min"], both)
    with pytest.raises(Refused, match=r"could be models\.flash or agents\.flash: write which"):
        overridden(spec, Overrides(["flash.requests=15/min"]), file)
    asked = changed(both.spec("p"), ["limits.agents.flash.requests=2/s"], both).spec
    assert asked.limits["agent:flash limits"] != both.spec("p").limits["agent:flash limits"]


def test_all_of_a_kind_are_changed_by_its_name() -> None:
    steps = dict(walk(changed(spec(), ["review.swarm=5", "review.timeout=7s"]).spec.workflow))
    judged, verdict = steps["judged"], steps["verdict"]
    assert judged.review is not None and judged.review.swarm == 5
    assert getattr(verdict.team, "swarm", 0) == 5
    # What reviews a step's output is no step: its own timeout is the author's.
    assert (verdict.timeout, judged.timeout) == (7 * SECOND, spec().workflow.steps[3].timeout)


def test_null_is_what_holds_where_a_file_says_nothing() -> None:
    settings = ["steps.a.hedge=null", "limits.flash.requests=null", "steps.design.policy=null"]
    made = changed(spec(), settings, loaded()).spec
    steps = dict(walk(made.workflow))
    assert steps["a"].hedge is None
    assert made.limits["google:gemini-2.5-flash"].requests == ()
    assert made.limits["google:gemini-2.5-flash"].concurrency == 4
    assert getattr(steps["design"].team, "policy", "") == "once"


NULLS = [
    ("max_parallel", {"parallel": "16"}),
    ("timeout", {"whole": "null"}),
    ("deadline", {"deadline": "null"}),
    ("steps.a.timeout", {"timeout": "null"}),
    ("steps.a.retry", {"retry": "null"}),
    ("steps.b.when", {"when": "null"}),
    ("steps.sign.timeout", {"sign": "null"}),
    ("steps.judged.review.swarm", {"swarm": "null"}),
]


@pytest.mark.parametrize(("key", "other"), NULLS, ids=[key for key, _ in NULLS])
@pytest.mark.parametrize("defaults", ["{}", "{timeout: 7s, retry: 4}"])
def test_null_is_as_a_file_that_says_nothing(
    key: str, other: dict[str, str], defaults: str
) -> None:
    made = changed(spec(defaults=defaults), [f"{key}=null"], loaded(defaults=defaults))
    assert made.spec == spec(defaults=defaults, **other)


def test_what_is_said_of_one_step_stays_whatever_the_defaults_are() -> None:
    for settings in (
        ["steps.b.timeout=9s", "defaults.timeout=7s"],
        ["defaults.timeout=7s", "steps.b.timeout=9s"],
    ):
        steps = dict(walk(changed(spec(), settings, loaded()).spec.workflow))
        assert (steps["a"].timeout, steps["b"].timeout) == (10 * MINUTE, 9 * SECOND)
        assert (steps["judged"].timeout, steps["sign"].timeout) == (7 * SECOND, 24 * 60 * MINUTE)
    with pytest.raises(Refused, match=r"nobody knows which steps .*: write steps.PATH.timeout"):
        changed(pinned(spec()), ["defaults.timeout=7s"])


def test_seats_that_stay_keep_their_names() -> None:
    def seats(setting: str) -> list[str]:
        step = dict(walk(changed(spec(), [setting]).spec.workflow))["design"]
        assert step.team is not None
        # Their names are those of the output's fields, too.
        assert [*step.output["properties"]["tally"]["properties"]] == [
            member.name for member in step.team.members
        ]
        return [member.name for member in step.team.members]

    assert seats("consensus.fast.count=2") == ["fast-1", "fast-2", "slow"]
    assert seats("consensus.fast.count=4") == ["fast-1", "fast-2", "fast-3", "fast-4", "slow"]
    assert seats("consensus.fast.count=1") == ["fast-1", "slow"]
    assert seats("consensus.fast.count=null") == ["fast-1", "slow"]
    assert seats("consensus.slow.count=2") == ["fast-1", "fast-2", "slow", "slow-2"]
    assert seats("consensus.slow.count=0") == ["fast-1", "fast-2"]
    assert seats("steps.design.fast.count=3") == ["fast-1", "fast-2", "fast-3", "slow"]


def test_one_thing_of_a_retry_leaves_the_others() -> None:
    made = changed(spec(retry="{tries: 4, first: 2s}"), ["steps.a.retry.first=9s"]).spec
    assert made == spec(retry="{tries: 4, first: 9s}")


def test_what_templates_need_stays_needed() -> None:
    made = changed(spec(), ["steps.nested.needs=[b]"]).spec
    assert dict(walk(made.workflow))["nested"].needs == ("b", "a")


def test_what_is_no_part_of_a_spec_is_told_apart() -> None:
    settings = [
        "inputs.n=3",
        "inputs.goal=more",
        "people.after=30s",
        "people.approve=false",
        "agents.fast.latency=3s",
        "agents.fast.latencies.vote=1s",
        "agents.fast.latencies.answer=2s",
        "agents.everybody.failing=0.1",
    ]
    made = changed(spec(), settings)
    assert made.spec == spec()
    assert made.inputs == {"n": 3, "goal": "more"}
    assert made.people == {"after": 30 * SECOND, "approve": False}
    fast = made.agents["fast"]
    assert fast["latency"].middle == 3 * SECOND
    assert [*fast["latencies"]] == ["vote", "answer"]
    assert made.agents["everybody"] == {"failing": 0.1}


def test_another_model_of_a_pinned_run_is_that_of_another_agent() -> None:
    made = changed(pinned(spec()), ["agents.fast.model=google:gemini-2.5-pro"]).spec
    fast, slow = made.agents["fast"], made.agents["slow"]
    assert fast.options == slow.options
    assert fast.limits == slow.limits == ("google:gemini-2.5-pro",)
    new = changed(pinned(spec()), ["agents.slow.model=openai:gpt-5"]).spec
    assert new.agents["slow"].options == {"model": "openai:gpt-5"}
    assert new.limits["openai:gpt-5"].requests == ()


def test_a_key_is_said_once() -> None:
    for settings in (["max_parallel=2", "max_parallel=3"], ["inputs.n=1", "inputs.n=true"]):
        told = rf"setting '{settings[1]}': '{settings[0]}' says otherwise: leave one of them out"
        with pytest.raises(Refused, match=told):
            changed(spec(), settings)
    assert changed(spec(), ["max_parallel=2", "max_parallel=2"]).spec.max_parallel == 2
    assert changed(spec(), []).spec == spec()


def test_settings_are_judged_together() -> None:
    with pytest.raises(Refused, match="quorum 4 of 3 members cannot be met"):
        changed(spec(), ["consensus.quorum=4"])
    made = changed(spec(), ["consensus.quorum=4", "consensus.fast.count=3"])
    assert not problems(made.spec)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("max_parallel", "write KEY=VALUE, as in max_parallel=8"),
        ("=8", "write KEY=VALUE, as in max_parallel=8"),
        ("max_parallel=", "write KEY=VALUE, as in max_parallel=8"),
        ("max_paralel=8", "there is no setting 'max_paralel'; did you mean 'max_parallel'?"),
        ("max_parallel=x", "max_parallel: must be a whole number, not the text 'x'"),
        ("max_parallel=0", "max_parallel: must be at least 1, not 0"),
        ("max_parallel.x=0", "write max_parallel=VALUE"),
        ("deadline=soon", "deadline: 'soon' is not a duration; write it like '90s'"),
        ("weight=0", "weight: must be more than 0"),
        ("budget={cst: 1}", "unknown key 'cst'; did you mean 'cost'?"),
        ("agents.fast.budget.cost=1", "write agents.fast.budget=DOLLARS"),
        (
            "defaults.x=1",
            "of defaults there is nothing called 'x' to set; there are retry, timeout",
        ),
        ("defaults=1", "write defaults.KEY=VALUE, as in defaults.timeout=5m"),
        ("consensus.fast.cout=2", "of the seats of 'fast' only the count can be set: fast.count=3"),
        ("panel.agents.x=fast", "a panel's members stay: write steps.PANEL/NAME.KEY"),
        ("panel.one.count=2", "a panel's members stay: write steps.PANEL/one.KEY"),
        ("steps.talk.one.count=2", "a panel's members stay: write steps.PANEL/one.KEY"),
        ("limits.flash=3", "write limits.NAME.KEY=VALUE, as in limits.flash.requests=15/min"),
        (
            "limits.flsh.requests=3/min",
            "this run has no limit, model or agent 'flsh'; did you mean 'flash'?",
        ),
        (
            "limits.flash.requests=fast",
            "requests: 'fast' is no rate; write it like 9/min, 500/day or 600/10s",
        ),
        ("limits.flash.rpm=3", "unknown key 'rpm'; write requests: 9/min"),
        (
            "limits.qqq.requests=3/min",
            "this run has no limit, model or agent 'qqq'; there are google:gemini-2.5-flash, ",
        ),
        ("consensus=once", "write consensus.KEY=VALUE"),
        (
            "consensus.policy=onec",
            "policy: must be 'once', 'rounds', 'restart_all', 'restart_unanswered', 'cancel', "
            "'inject', 'batch' or 'sequential', not the text 'onec'; did you mean 'once'?",
        ),
        (
            "consensus.polcy=once",
            "of a consensus there is nothing called 'polcy' to set; did you mean 'policy'?",
        ),
        ("consensus.policy.x=once", "write consensus.policy=VALUE"),
        ("consensus.fats.count=2", "no agent 'fats' has a seat; did you mean 'fast'?"),
        ("consensus.fast.count=101", "count: must be at most 100, not 101"),
        ("steps.judged.review.criteria.x=y", "write steps.judged.review.criteria=VALUE"),
        ("steps.a=3s", "write steps.PATH.KEY=VALUE, as in steps.build.timeout=5m"),
        ("steps.aa.timeout=3s", "there is no step 'aa'; did you mean 'a'?"),
        ("steps.write.timeout=3s", "there is no step 'write'; did you mean 'nested/write'?"),
        (
            "steps.a.timout=3s",
            "of step 'a' there is nothing called 'timout' to set; did you mean 'timeout'?",
        ),
        (
            "steps.a.timeout=soon",
            "timeout: 'soon' is not a duration; write it like '90s', '10m' or '1h30m'",
        ),
        ("steps.a.retry.tri=3", "unknown key 'tri'; did you mean 'tries'?"),
        ("steps.b.needs=[c]", "steps.b.needs.0: unknown step 'c'"),
        ("steps.sign.retry=3", "of step 'sign' there is nothing called 'retry' to set; there are"),
        ("agents.fast=3", "write agents.NAME.KEY=VALUE, as in agents.flash.latency=3s"),
        ("agents.fats.latency=3s", "there is no agent 'fats'; did you mean 'fast'?"),
        (
            "agents.fast.latncy=3s",
            "of an agent there is nothing called 'latncy' to set; did you mean 'latency'?",
        ),
        ("agents.fast.failing=2", "failing: must be at most 1, not 2"),
        ("agents.everybody.max_turns=2", "max_turns is of one agent: name it"),
        ("agents.fast.model=prp", "unknown model 'prp'; did you mean 'pro'?"),
        ("inputs.gaol=x", "plan 'main' has no input 'gaol'; did you mean 'goal'?"),
        ("inputs=x", "write inputs.NAME=VALUE"),
        ("people.afer=3s", "unknown key 'afer'; did you mean 'after'?"),
        ("people=3s", "write people.KEY=VALUE, as in people.after=30s"),
        ("budget=1/min", "a budget is of the run, as 1.00, or as 5.00/day"),
    ],
)
def test_what_cannot_be_says_why(setting: str, said: str) -> None:
    with pytest.raises(CallerError) as caught:
        changed(spec(), [setting], loaded())
    message = str(caught.value)
    assert message.startswith(f"setting {setting!r}: ")
    assert message.removeprefix(f"setting {setting!r}: ").startswith(said)


def test_what_nobody_does_is_not_found() -> None:
    made = read_text(
        "version: 1\nagents: {w: {scripted: {replies: [{output: x}]}}}\n"
        "plans: {p: {steps: {a: {agent: w, prompt: x}}}}"
    ).spec("p")
    with pytest.raises(NotFound, match="nothing in plan 'p' is done by a review"):
        changed(made, ["review.swarm=1"])
    with pytest.raises(Refused, match="agent 'w' is a scripted, which asks no model"):
        changed(made, ["agents.w.model=openai:gpt-5"])


def test_a_step_that_could_be_several_must_be_named_whole() -> None:
    twice = FILE.replace(
        "      sign:", "      again: {{run: inner, with: {{text: x}}}}\n      sign:"
    )
    made = read_text(twice.format(**USUAL)).spec("main")
    with pytest.raises(Refused, match="'write' could be nested/write or again/write: write which"):
        changed(made, ["steps.write.timeout=1s"])
    found = dict(walk(changed(made, ["steps.again/write.timeout=1s"]).spec.workflow))
    assert found["again/write"].timeout == SECOND
    assert found["nested/write"].timeout == MINUTE


def test_a_panel_that_never_revises_cannot_begin_to() -> None:
    with pytest.raises(Refused, match="panel 'talk' never revises: say revise in its file"):
        changed(spec(revise="false"), ["panel.revise=5s"])
    later = dict(walk(changed(spec(), ["panel.revise=false"]).spec.workflow))["talk/later"]
    assert later.within == 0


@pytest.mark.parametrize("kind", PLANTS)
def test_what_a_finding_proposes_can_be_set(kind: str) -> None:
    for seed in range(2):
        trace = plant(kind, seed).trace
        assert trace.spec is not None
        for finding in find(trace, account(trace)):
            # It raises what it cannot read, and what makes no plan.
            made = changed(trace.spec, finding.change)
            assert not finding.change or made != Changes(trace.spec)


@pytest.mark.parametrize(
    ("vary", "settings"),
    [
        ([], []),
        (["k=1..3"], [["k=1"], ["k=2"], ["k=3"]]),
        (["k=1..6:2"], [["k=1"], ["k=3"], ["k=5"]]),
        (["k=10..30/min:10"], [["k=10/min"], ["k=20/min"], ["k=30/min"]]),
        (["k=1s..3s"], [["k=1s"], ["k=2s"], ["k=3s"]]),
        (["k=0.5..1:0.25"], [["k=0.5"], ["k=0.75"], ["k=1"]]),
        (["k=once, rounds"], [["k=once"], ["k=rounds"]]),
        (["k=[a,b],[]"], [["k=[a,b]"], ["k=[]"]]),
        (["k=1..2", "l=x,y"], [["k=1", "l=x"], ["k=1", "l=y"], ["k=2", "l=x"], ["k=2", "l=y"]]),
    ],
)
def test_what_is_varied_gives_every_combination(vary: list[str], settings: list[list[str]]) -> None:
    assert expand(vary) == settings


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["k"], "vary 'k': write KEY=1..8 or KEY=a,b,c"),
        (["k="], "vary 'k=': write KEY=1..8 or KEY=a,b,c"),
        (["k=3..1"], "vary 'k=3..1': the first value is above the last one"),
        (["k=1..3:0"], "vary 'k=1..3:0': a step is more than 0"),
        (
            ["k=1s..3m"],
            "vary 'k=1s..3m': a range is like 1..8, 1..9:2 in steps of 2, or 5..9/min",
        ),
        (["k=a,,b"], "vary 'k=a,,b': there is nothing between two commas"),
        (["k=a,a"], "vary 'k=a,a': a value is there twice"),
        (["k=1,2", "k=3"], "vary 'k=3': k is varied already"),
        (["k=1..201"], "vary 'k=1..201': 201 values are too many: 200 at most"),
        (["k=1..20", "l=1..11"], "220 variants are too many: 200 at most"),
    ],
)
def test_what_cannot_be_varied_says_why(vary: list[str], said: str) -> None:
    with pytest.raises(Refused) as caught:
        expand(vary)
    assert str(caught.value) == said
