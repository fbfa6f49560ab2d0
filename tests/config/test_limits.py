"""What a file says of limits and budgets means the same limits to every run of it."""

from pathlib import Path

import pytest
from tests.config.texts import load_text

from hocket.config.file import read_text
from hocket.config.overrides import Overrides, bounded_as, overridden
from hocket.config.presets import known_presets
from hocket.config.schema import file_schema
from hocket.config.yaml import parse
from hocket.core.errors import CallerError, NotFound, Refused, SpecError
from hocket.core.specs import LimitSpec, Rate, RunSpec, spec_digest
from hocket.core.values import DAY, MINUTE, MS, SECOND
from hocket.limits.presets import PRESETS
from hocket.workflows.check import problems

FULL = """
version: 1
limits:
  gpu: {concurrency: 1}
  license: {concurrency: 4, shared: false}
  account: {preset: openai/tier-1}
  team: {cost: 0.50/day, on_exceed: pause}
  together: {}
  unused: {requests: 1/day}
models:
  flash: {id: "google:gemini-2.5-flash", limits: {requests: 9/min}}
  pro:
    id: google:gemini-2.5-pro
    limits:
      requests: [2/min, 50/day]
      tokens: 32k/min
      tokens_in: 1.5M/10s
      tokens_out: 8000 / 2 hours
      concurrency: 4
      spacing: 2s
      margin: 100ms
  gpt: {id: "openai:gpt-5.2", limits: account}
  haiku: {id: "anthropic:h", limits: [together, {preset: anthropic/tier-1, requests: 40/min}]}
  house: {id: mine, base_url: "http://me:secret@House.example:8000/v1/?key=1"}
agents:
  coder: {command: [x], effects: false, limits: {spacing: 2s}, budget: {cost: 2.00, per: day}}
  fast: {model: flash, limits: [team, {concurrency: 2}]}
  direct: {model: "google:gemini-2.5-flash"}
  slow: {model: pro}
  gpt: {model: gpt}
  haiku: {model: haiku}
  ours: {model: house}
plans:
  main:
    limits: {requests: 30/min}
    budget: {cost: $1.00, tokens: 500k}
    priority: 5
    weight: 3
    deadline: 10m
    steps:
      train: {agent: coder, uses: {gpu: 1, license: 2}, takes: 3m, hedge: p95}
      ask: {agent: fast, prompt: x, fallback: [direct, slow, gpt, haiku, ours]}
      own: {shell: x, limits: {requests: 1/s}}
  plain:
    steps:
      a: {command: [x]}
  two:
    budget: [1.00, {tokens: 1M, per: day, on_exceed: fallback}]
    steps:
      a: {agent: coder}
"""


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return load_text(FULL, "main")


def test_limits_are_those_that_are_claimed(spec: RunSpec) -> None:
    assert problems(spec) == []
    assert list(spec.limits) == sorted(spec.limits)
    assert set(spec.limits) == {
        "account",
        "agent:coder budget per day",
        "agent:coder limits",
        "agent:fast limits",
        "agent:own limits",
        "anthropic:h",
        "google:gemini-2.5-flash",
        "google:gemini-2.5-pro",
        "gpu",
        "license",
        "mine@house.example:8000/v1",
        "openai:gpt-5.2",
        "plan:main budget",
        "plan:main limits",
        "team",
        "together",
    }


def test_every_bound_means_what_it_says(spec: RunSpec) -> None:
    limits = spec.limits
    assert limits["google:gemini-2.5-flash"] == LimitSpec(requests=(Rate(9, MINUTE),))
    assert limits["google:gemini-2.5-pro"] == LimitSpec(
        requests=(Rate(2, MINUTE), Rate(50, DAY)),
        tokens=(Rate(32_000, MINUTE),),
        tokens_in=(Rate(1_500_000, 10 * SECOND),),
        tokens_out=(Rate(8_000, 120 * MINUTE),),
        concurrency=4,
        spacing=2 * SECOND,
        margin=100 * MS,
    )
    assert limits["account"] == PRESETS["openai/tier-1"].limit
    preset = PRESETS["anthropic/tier-1"].limit
    assert limits["anthropic:h"].requests == (Rate(40, MINUTE),)
    assert limits["anthropic:h"].tokens_in == preset.tokens_in
    assert limits["team"].cost == (Rate(500_000_000_000, DAY),)
    assert (limits["team"].on_exceed, limits["team"].shared) == ("pause", True)
    assert limits["license"] == LimitSpec(concurrency=4, shared=False, adaptive=False)


def test_a_budget_is_a_limit_that_does_not_wait(spec: RunSpec) -> None:
    assert spec.limits["plan:main budget"] == LimitSpec(
        cost=(Rate(10**12, 0),),
        tokens=(Rate(500_000, 0),),
        shared=False,
        adaptive=False,
        on_exceed="pause",
    )
    assert spec.limits["agent:coder budget per day"] == LimitSpec(
        cost=(Rate(2 * 10**12, DAY),), adaptive=False, on_exceed="pause"
    )
    two = load_text(FULL, "two")
    assert two.claims == ("plan:two budget", "plan:two budget per day")
    assert two.limits["plan:two budget"].cost == (Rate(10**12, 0),)
    assert two.limits["plan:two budget per day"] == LimitSpec(
        tokens=(Rate(10**6, DAY),), adaptive=False, on_exceed="fallback"
    )


def test_every_agent_claims_its_endpoint_and_what_is_stated(spec: RunSpec) -> None:
    claims = {name: agent.limits for name, agent in spec.agents.items()}
    assert claims == {
        "coder": ("agent:coder limits", "agent:coder budget per day"),
        "fast": ("google:gemini-2.5-flash", "team", "agent:fast limits"),
        "direct": ("google:gemini-2.5-flash",),
        "slow": ("google:gemini-2.5-pro",),
        "gpt": ("openai:gpt-5.2", "account"),
        "haiku": ("anthropic:h", "together"),
        "ours": ("mine@house.example:8000/v1",),
        "own": ("agent:own limits",),
    }
    assert spec.claims == ("plan:main limits", "plan:main budget")
    assert (spec.priority, spec.weight, spec.deadline) == (5, 3.0, 10 * MINUTE)
    train = spec.workflow.steps[0]
    assert (train.uses, train.takes, train.hedge) == (
        {"gpu": 1, "license": 2},
        3 * MINUTE,
        0.95,
    )


def test_only_what_a_peer_may_refuse_adapts(spec: RunSpec) -> None:
    fixed = {name for name, limit in spec.limits.items() if not limit.adaptive}
    assert fixed == {
        "agent:coder budget per day",
        "agent:fast limits",
        "gpu",
        "license",
        "plan:main budget",
        "plan:main limits",
        "team",
    }


def test_limits_of_agents_and_plans_belong_to_their_file() -> None:
    here = read_text(FULL)._replace(place="/a/hocket.yaml").spec("main")
    shared = {name for name in here.limits if name.endswith(" in /a/hocket.yaml")}
    assert shared == {
        f"{name} in /a/hocket.yaml"
        for name in (
            "agent:coder budget per day",
            "agent:coder limits",
            "agent:fast limits",
            "agent:own limits",
            "plan:main limits",
        )
    }
    assert problems(here) == []


def test_a_plan_without_limits_is_the_same_plan_as_ever() -> None:
    plain = load_text(FULL, "plain")
    assert (plain.limits, plain.claims) == ({}, ())
    # As version 0.1.0 named it.
    assert spec_digest(plain) == PLAIN
    stated = FULL.replace("      a: {command: [x]}", "      a: {command: [x]}\n    weight: 1")
    assert spec_digest(load_text(stated, "plain")) == PLAIN


PLAIN = "ec00f4c754bf30f00913d1ede1771e9e15e12c7d43c24e822208c338fbb29543"


def test_the_schema_for_editors_knows_limits() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    judge = jsonschema.Draft7Validator(file_schema())
    judge.validate(parse(FULL.encode()).tree)
    for good, bad in (
        ("requests: 9/min", "requests: 9"),
        ("tokens: 32k/min", "tokens: 32kb/min"),
        ("hedge: p95", "hedge: p101"),
        ("cost: $1.00", "cost: -1"),
        ("uses: {gpu: 1", "uses: {gpu: 0"),
    ):
        assert good in FULL
        assert not judge.is_valid(parse(FULL.replace(good, bad).encode()).tree), bad


# ---- presets ----


def test_a_users_preset_is_laid_over_ours(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(
        "presets:\n"
        "  openai/tier-1: {requests: 60/min}\n"
        "  mine: {preset: groq/free, tokens: 1k/s, source: the contract, as_of: '2026-01-01'}\n"
        "  other/free: {requests: 3/min}\n"
    )
    known = known_presets(path)
    first = PRESETS["openai/tier-1"]
    assert known["openai/tier-1"].limit.requests == (Rate(60, MINUTE),)
    assert known["openai/tier-1"].limit.tokens == first.limit.tokens
    assert known["openai/tier-1"].source == str(path)
    assert known["mine"].limit.requests == PRESETS["groq/free"].limit.requests
    assert known["mine"].limit.tokens == (Rate(1_000, SECOND),)
    assert (known["mine"].source, known["mine"].as_of) == ("the contract", "2026-01-01")
    assert known["other/free"].limit == LimitSpec(requests=(Rate(3, MINUTE),))
    assert known["openai/tier-2"] == PRESETS["openai/tier-2"]
    text = FULL.replace("preset: openai/tier-1", "preset: mine")
    spec = load_text(text, "main", presets=lambda: known_presets(path))
    assert spec.limits["account"] == known["mine"].limit


def test_presets_are_read_only_for_a_file_that_names_one() -> None:
    def never() -> dict[str, object]:
        raise AssertionError("nobody asked for presets")

    plain = "version: 1\nlimits: {x: {requests: 9/min}}\nplans: {p: {steps: {a: {command: [x]}}}}"
    assert load_text(plain, presets=never).name == "p"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presets:\n  a: {requests: 9}\n", "2:17: requests: 9 is no rate"),
        ("presets:\n  a: {rpm: 9}\n", "2:7: unknown key 'rpm'; write requests: 9/min"),
        ("presets:\n  a: {preset: openai/tier1}\n", "2:15: unknown preset 'openai/tier1'; did"),
        ("presets: [\n", "not YAML"),
        ("preset: {}\n", "unknown key 'preset'; did you mean 'presets'?"),
        ("[]\n", "must be an object"),
    ],
)
def test_mistakes_in_the_users_presets_have_a_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        known_presets(path)
    assert all(line.startswith(str(path)) for line in caught.value.lines)
    assert said in str(caught.value)


def test_our_presets_name_their_source_and_day() -> None:
    for name, preset in PRESETS.items():
        assert name.count("/") in (1, 2)
        assert preset.source.startswith("https://"), name
        year, month, day = map(int, preset.as_of.split("-"))
        assert year >= 2025 and 1 <= month <= 12 and 1 <= day <= 31, name
        assert preset.limit.requests and preset.limit.shared and preset.limit.adaptive, name


# ---- other limits for one run ----


def test_one_run_may_have_other_limits(spec: RunSpec) -> None:
    loaded = read_text(FULL)
    given = Overrides(
        [
            "flash.requests=15/min",
            "gpu.concurrency=2",
            "coder.spacing=5s",
            "slow.requests=[1/s, 2/min]",
        ],
        budget="3",
        priority=-1,
        weight=2.5,
        deadline="1h",
    )
    changed = overridden(spec, given, loaded)
    assert changed.limits["google:gemini-2.5-flash"].requests == (Rate(15, MINUTE),)
    assert changed.limits["gpu"] == LimitSpec(concurrency=2, adaptive=False)
    assert changed.limits["agent:coder limits"].spacing == 5 * SECOND
    assert changed.agents["slow"].limits == ("google:gemini-2.5-pro", "agent:slow limits")
    assert changed.limits["agent:slow limits"] == LimitSpec(
        requests=(Rate(1, SECOND), Rate(2, MINUTE)), adaptive=False
    )
    budget = changed.limits["plan:main budget"]
    assert (budget.cost, budget.tokens) == ((Rate(3 * 10**12, 0),), (Rate(500_000, 0),))
    assert (changed.priority, changed.weight, changed.deadline) == (-1, 2.5, 60 * MINUTE)
    assert problems(changed) == []
    # What was said of the run stays apart from what it does.
    assert bounded_as(changed, spec) == spec


def test_a_budget_may_be_added() -> None:
    plain = load_text(FULL, "plain")
    day = overridden(plain, Overrides(budget="$5/day"), None)
    assert day.claims == ("plan:plain budget per day",)
    assert day.limits[day.claims[0]] == LimitSpec(
        cost=(Rate(5 * 10**12, DAY),), adaptive=False, on_exceed="pause"
    )
    assert overridden(plain, Overrides(), None) is plain
    assert not Overrides()


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (Overrides(["x"]), Refused, "write NAME.KEY=VALUE"),
        (Overrides(["flash.requests=9"]), Refused, "requests: 9 is no rate"),
        (Overrides(["flash.reqests=9/min"]), Refused, "did you mean 'requests'?"),
        (Overrides(["flash.preset=openai/tier-1"]), Refused, "belongs into the file"),
        (Overrides(["flsh.requests=9/min"]), NotFound, "did you mean 'flash'?"),
        (Overrides(["unused.requests=9/min"]), NotFound, "this run has no limit"),
        (Overrides(["gpt.requests=9/min"]), Refused, "could be models.gpt or agents.gpt"),
        (Overrides(["gpu.concurrency=[1"]), Refused, "not YAML"),
        (Overrides(budget="1/min"), Refused, "a budget is of the run, as 1.00, or as 5.00/day"),
        (Overrides(budget="much"), Refused, "'much' is no money"),
        (Overrides(deadline="soon"), Refused, "'soon' is not a duration"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    given: Overrides, kind: type[CallerError], said: str, spec: RunSpec
) -> None:
    with pytest.raises(kind) as caught:
        overridden(spec, given, read_text(FULL))
    assert said in str(caught.value)


def test_a_name_that_could_be_several_is_told_apart(spec: RunSpec) -> None:
    loaded = read_text(FULL)
    model = overridden(spec, Overrides(["models.gpt.requests=9/min"]), loaded)
    assert model.limits["openai:gpt-5.2"].requests == (Rate(9, MINUTE),)
    agent = overridden(spec, Overrides(["agents.gpt.requests=9/min"]), loaded)
    assert agent.agents["gpt"].limits[-1] == "agent:gpt limits"
    named = overridden(spec, Overrides(["openai:gpt-5.2.requests=9/min"]), None)
    assert named == model
