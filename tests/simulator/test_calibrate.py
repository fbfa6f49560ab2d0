"""What a recorded run tells is what the simulated agents do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from math import exp, log
from statistics import median
from typing import Any

import msgspec
import pytest
from tests.simulator.policies import consensus, drawn, spec_of
from tests.simulator.records import (
    again,
    constant,
    lister,
    played,
    rate,
    record,
    trace,
    wide,
    workers,
)

from hocket.agents.base import Estimate
from hocket.core.errors import Fault, Refused
from hocket.core.events import Usage
from hocket.core.machine import JobSpec
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Retry, RunSpec, StepSpec
from hocket.core.teams import Member, ReviewSpec
from hocket.core.values import MINUTE, SECOND
from hocket.insight.trace import Change, Stop, Trace
from hocket.simulator.agents import Act, Asked, Cast, Latency, People, Player
from hocket.simulator.assume import Assumed, Quantiles
from hocket.simulator.calibrate import NEVER, Record, Simulated, calibrate, outputs_of
from hocket.simulator.kinds import KindOfCall, Kinds
from hocket.simulator.known import calls_of, price_of
from hocket.simulator.observed import MODEST, Sample, fit, pooled
from hocket.simulator.parts import Played
from hocket.simulator.teams import reviewer, voter

SEEDS = range(40)
DO = KindOfCall("work", "")


def seconds(spec: RunSpec, agents: Any, **fields: Any) -> float:
    return median(played(spec, agents, seed, **fields).took for seed in SEEDS) / SECOND


def asked(path: str, agent: str = "worker", seed: int = 7, at: int = 0, **job: Any) -> Asked:
    fields = {
        "agents": (agent,),
        "effects": (False,),
        "retry": Retry(),
        "timeout": SECOND,
        "output": None,
        "options": {},
        **job,
    }
    return Asked("run", agent, path, 1, "", JobSpec(**fields), seed, at)


# ---- how long ----


@pytest.mark.parametrize(("middle", "sigma"), [(3.0, 0.3), (20.0, 0.8), (0.2, 0.1)])
def test_medians_and_spreads_are_recovered(middle: float, sigma: float) -> None:
    real = played(wide(60), workers(60, middle, sigma))
    known = record(real).of(asked("work/3"))
    assert known is not None
    assert known.lasts.at(0.5) / SECOND == pytest.approx(middle, rel=0.4 * sigma + 0.02)
    wide_ = log(known.lasts.at(0.84) / known.lasts.at(0.16)) / 2
    assert wide_ == pytest.approx(sigma, rel=0.3)


def test_each_kind_of_call_keeps_its_own_median() -> None:
    class Agents:
        def act(self, asked: Asked) -> Act:
            slow = 9 if asked.path.endswith("/vote") else 2
            return Act(Latency(slow * SECOND, 0.2).at(asked.draw("latency")), voter()(asked))

    real = played(spec_of(consensus("once"), False), Agents())
    known = record(real)
    vote, answer = (known.of(asked(f"q/flash-1/{what}", "flash")) for what in ("vote", "answer"))
    assert vote is not None
    assert answer is not None
    assert vote.lasts.at(0.5) / SECOND == pytest.approx(9, rel=0.2)
    assert answer.lasts.at(0.5) / SECOND == pytest.approx(2, rel=0.2)


def test_few_samples_of_one_kind_lean_on_the_others_as_far_as_chance_parts_them() -> None:
    usual = [Sample(round(SECOND * exp(0.4 * z))) for z in (-1.2, -0.6, -0.2, 0.2, 0.6, 1.2)]
    kinds = {name: usual for name in "abcd"}
    lone = [Sample(2 * SECOND)]
    near = fit({**kinds, "lone": lone}).kinds["lone"].at(0.5)
    assert 1.1 * SECOND < near < 1.6 * SECOND
    # What chance alone may part is one.
    same = fit({**kinds, "lone": [Sample(round(1.1 * SECOND))]}).kinds
    assert same["lone"].at(0.5) == same["a"].at(0.5)
    # Kinds that are far apart tell nothing of each other.
    apart = {n: [Sample(s.took * 50**i) for s in usual] for i, n in enumerate("abcd")}
    far = fit({**apart, "lone": lone}).kinds["lone"].at(0.5)
    assert far == pytest.approx(2 * SECOND, rel=0.1)


def test_one_sample_varies_as_other_agents_calls_do() -> None:
    lone = {"a": [Sample(SECOND)]}
    others = [Sample(round(SECOND * exp(0.8 * z))) for z in (-1.2, -0.6, -0.2, 0.2, 0.6, 1.2)]
    assert pooled([lone, {"b": others}])[0] == pytest.approx(0.8 * 0.87, rel=0.05)
    alone, beside = fit(lone).kinds["a"], fit(lone, pooled([lone, {"b": others}])).kinds["a"]
    assert beside.sigma > 4 * alone.sigma


def test_what_is_new_takes_as_long_as_the_likes_of_it() -> None:
    class Agents:
        def act(self, asked: Asked) -> Act:
            slow = 9 if asked.path.endswith("/vote") else 2
            return Act(Latency(slow * SECOND, 0.2).at(asked.draw("latency")), voter()(asked))

    known = record(played(spec_of(consensus("once"), False), Agents()))

    def takes(path: str, agent: str) -> float:
        found = known.of(asked(path, agent))
        assert found is not None
        return found.lasts.at(0.5) / SECOND

    # The same seat, another one, another step, another kind of call, another agent.
    assert takes("q/flash-9/vote", "flash") == takes("q/flash-1/vote", "flash")
    assert takes("q/flash-1/present", "flash") == pytest.approx(4.2, rel=0.3)
    assert takes("q/flash-1/vote", "else") == pytest.approx(4.2, rel=0.3)


def test_one_sample_has_a_modest_spread_and_that_is_said() -> None:
    only = fit({"a": [Sample(SECOND)]}).kinds["a"]
    assert only.at(0.5) == SECOND
    assert log(only.at(0.8413) / SECOND) == pytest.approx(MODEST, rel=0.01)
    said = record(played(wide(1), workers(1, 3, 0.0))).assumed
    assert "One call alone is known of lister and worker" in said[0]


def test_calls_that_were_cut_off_count_as_longer() -> None:
    agents = workers(80, 3, 0.5)
    whole = record(played(wide(80), agents)).of(asked("work/0"))
    cut = record(played(wide(80, timeout=3 * SECOND, on_failure="continue"), agents))
    known = cut.of(asked("work/0"))
    assert whole is not None
    assert known is not None
    assert known.hangs == 0
    # About half of them were cut off at what is the median.
    for share in (0.25, 0.5, 0.8):
        assert known.lasts.at(share) == pytest.approx(whole.lasts.at(share), rel=0.3)
    assert known.lasts.at(0.75) > 3.3 * SECOND


def test_what_is_cut_off_far_beyond_all_others_has_hung() -> None:
    class Agents:
        def act(self, asked: Asked) -> Act:
            if asked.agent == "lister":
                return Act(SECOND, list(range(40)))
            if asked.draw("hang") < 0.2:
                return Act(NEVER)
            return Act(Latency(2 * SECOND, 0.3).at(asked.draw("latency")), "done")

    spec = wide(40, timeout=60 * SECOND, on_failure="continue")
    real = played(spec, Agents())
    hung = sum(made.how == "cancelled" for made in real.calls)
    known = record(real)
    found = known.of(asked("work/0"))
    assert found is not None
    assert found.hangs == pytest.approx(hung / 40)
    assert found.lasts.at(0.9) < 5 * SECOND
    assert any(f"{hung} of 40 calls of worker" in words for words in known.assumed)
    # A shorter timeout is worth what it saves.
    short = wide(40, timeout=10 * SECOND, on_failure="continue")
    assert seconds(short, again(real, short)) == pytest.approx(seconds(short, Agents()), rel=0.1)


def test_the_engines_own_time_is_added() -> None:
    real = trace(played(wide(10), workers(10, 2, 0.0)))
    late = [
        msgspec.structs.replace(one, began=one.began + SECOND, ended=(one.ended or 0) + SECOND)
        for one in real.activities
    ]
    outputs = {"list": list(range(10))}
    spec = wide(10)
    prompt, slow = (
        seconds(spec, calibrate(one, outputs))
        for one in (real, msgspec.structs.replace(real, activities=late))
    )
    # The list and the work.
    assert slow - prompt == pytest.approx(2, rel=0.1)
    told = "32% of the time of calls was Hocket's own"
    notes = [
        Record(msgspec.structs.replace(real, activities=some), outputs).assumed
        for some in (late, real.activities)
    ]
    assert [any(words.startswith(told) for words in some) for some in notes] == [True, False]


def test_a_call_that_is_repeated_lasts_nearly_as_long_as_it_did() -> None:
    real = trace(played(wide(10), workers(10, 2, 0.3)))
    late = [
        msgspec.structs.replace(one, ended=one.began + 9 * SECOND) if one.path == "work/3" else one
        for one in real.activities
    ]
    known = Record(msgspec.structs.replace(real, activities=late), {})
    drawn = {}
    for path in ("work/3", "work/2", "work/10"):
        found = known.of(asked(path))
        assert found is not None
        drawn[path] = [known.lasts(asked(path), found).at(s) / SECOND for s in (0.16, 0.5, 0.84)]
    low, middle, high = drawn["work/3"]
    assert 5 < middle < high < 12
    assert drawn["work/2"][1] < 3
    # A second call beside it may well be quick.
    found = known.of(asked("work/3"))
    assert found is not None
    again_ = known.lasts(asked("work/3")._replace(attempt=2), found)
    assert again_.at(0.5) < 3 * SECOND
    # One that was not there is as any of them.
    other = drawn["work/10"]
    assert 1.5 < other[1] < 3
    assert log(other[2] / other[0]) > 1.5 * log(high / low)


def test_what_a_run_needs_to_begin_is_needed_once() -> None:
    steps = (StepSpec(name="work", agent="worker", each="[1, 2, 3, 4, 5, 6]"),)
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=steps), agents={"worker": AgentSpec(kind="function")}
    )
    real = trace(played(spec, workers(1, 2, 0.0)))
    late = [
        msgspec.structs.replace(one, began=one.began + SECOND, ended=(one.ended or 0) + SECOND)
        for one in real.activities
    ]
    agents = calibrate(msgspec.structs.replace(real, activities=late), {})
    assert seconds(spec, agents) == pytest.approx(1 + 2, rel=0.1)
    # Two at a time take three turns; only the first begins late.
    narrow = msgspec.structs.replace(spec, max_parallel=2)
    assert seconds(narrow, agents) == pytest.approx(1 + 3 * 2, rel=0.1)


def test_time_in_which_nobody_drove_the_run_is_not_the_engines() -> None:
    real = trace(played(wide(10), workers(10, 2, 0.0)))
    late = [
        msgspec.structs.replace(one, began=one.began + MINUTE, ended=(one.ended or 0) + MINUTE)
        if one.agent == "worker"
        else one
        for one in real.activities
    ]
    stops = [Stop("down", SECOND, SECOND + MINUTE)]
    known = Record(msgspec.structs.replace(real, activities=late, stops=stops), {})
    found = known.of(asked("work/0"))
    assert found is not None
    assert found.lasts.at(0.99) < 3 * SECOND


def test_what_never_left_says_nothing() -> None:
    real = trace(played(wide(4), workers(4, 2, 0.0)))
    unsent = msgspec.structs.replace(real.activities[-1], path="work/9", left=False, ended=10**15)
    before = Record(real, {}).of(asked("work/0"))
    real.activities.append(unsent)
    assert Record(real, {}).of(asked("work/0")) == before


def test_what_a_call_waited_for_is_not_how_long_it_takes() -> None:
    spec = limited(2)
    known = record(played(spec, workers(5, 2, 0.0))).of(asked("work/0"))
    assert known is not None
    assert known.lasts.at(0.99) < 3 * SECOND


# ---- whole runs ----


def limited(amount: int, items: int = 5) -> RunSpec:
    spec = wide(items)
    agents = {**spec.agents, "worker": AgentSpec(kind="scripted", limits=("own",))}
    limits = {"own": LimitSpec(requests=rate(amount))}
    return msgspec.structs.replace(spec, agents=agents, limits=limits)


def teams(flash: int, pro: int) -> RunSpec:
    spec = spec_of(consensus("once"), True)
    limits = {"flash": LimitSpec(requests=rate(flash)), "pro": LimitSpec(requests=rate(pro))}
    return msgspec.structs.replace(spec, limits=limits)


@pytest.mark.parametrize(
    ("recorded", "changed", "agents"),
    [
        (teams(9, 2), teams(15, 4), drawn()),
        (teams(15, 4), teams(9, 2), drawn()),
        (teams(9, 2), teams(4, 3), drawn()),
        (limited(30, 30), limited(8, 30), workers(30, 4, 0.4)),
        (limited(8, 30), limited(30, 30), workers(30, 4, 0.4)),
        (wide(30), msgspec.structs.replace(wide(30), max_parallel=4), workers(30, 4, 0.4)),
    ],
)
def test_a_changed_limit_is_predicted(recorded: RunSpec, changed: RunSpec, agents: Cast) -> None:
    simulated = again(played(recorded, agents, 5), changed)
    assert seconds(changed, simulated) == pytest.approx(seconds(changed, agents), rel=0.15)


def winner(run: Played) -> str:
    return run.machine.workflow.reports()["q"].winner


def test_the_same_run_comes_out_again() -> None:
    spec = teams(9, 2)
    real = played(spec, drawn(), 5)
    found = [played(spec, again(real), seed) for seed in SEEDS]
    assert {winner(one) for one in found} == {winner(real)}
    assert {len(one.calls) for one in found} == {len(real.calls)}
    assert median(one.took for one in found) == pytest.approx(real.took, rel=0.1)


def test_the_same_seed_gives_the_same_run_also_in_another_process() -> None:
    real = played(teams(9, 2), drawn(), 5)
    spec = teams(15, 4)
    agents = again(real, spec)
    sent = pickle.loads(pickle.dumps(agents))
    digests = [played(spec, one, 3).digest() for one in (agents, sent, again(real, spec))]
    assert len(set(digests)) == 1
    assert played(spec, agents, 4).digest() != digests[0]


# ---- what they give ----


def test_a_path_gives_what_it_gave() -> None:
    real = played(wide(3), Cast({"lister": lister(3), "worker": Player(gives=lambda a: a.path)}))
    agents = again(real)
    assert agents.act(asked("list", "lister")).gives == [0, 1, 2]
    assert agents.act(asked("work/1")).gives == "work/1"
    # An item more gives what one of its siblings gave.
    assert agents.act(asked("work/7")).gives in {"work/0", "work/1", "work/2"}
    assert agents.notes() == []


def test_a_new_member_answers_like_its_agents_others() -> None:
    real = played(spec_of(consensus("once"), False), drawn(), 5)
    agents = again(real)
    for number in range(9, 30):
        assert "/pro-" in agents.act(asked(f"q/pro-{number}/answer", "pro")).gives
        assert "/flash-" in agents.act(asked(f"q/flash-{number}/answer", "flash")).gives


def test_what_does_not_fit_is_made_up_and_that_is_said() -> None:
    agents = again(played(wide(2), workers(2, 1, 0.0, gives=constant("text"))))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert agents.act(asked("work/0", output=schema)).gives == {"n": 1}
    assert agents.notes() == ["The record has no output that fits a call of work: one is made up."]


def votes(real: Played, spec: RunSpec) -> list[str]:
    after = played(spec, again(real, spec), 3)
    report = after.machine.workflow.reports()["q"]
    names = {one.label: one.member for one in report.contributions}
    return [names[one.choice] for one in report.judgements]


def test_votes_go_to_the_same_members_though_their_labels_change() -> None:
    real = played(spec_of(consensus("once"), False), drawn(), 5)
    report = real.machine.workflow.reports()["q"]
    (choice,) = {one.choice for one in report.judgements}
    member = next(one.member for one in report.contributions if one.label == choice)
    more = consensus("once")
    new = tuple(Member(name=f"flash-{i}", agent="flash") for i in range(6, 12))
    grown = spec_of(msgspec.structs.replace(more, members=(*more.members, *new)), False)
    labels = {one.label for one in report.contributions if one.member == member}
    after = played(grown, again(real, grown), 3).machine.workflow.reports()["q"]
    assert labels != {one.label for one in after.contributions if one.member == member}
    assert set(votes(real, grown)) == {member}


def test_a_vote_that_is_not_permitted_goes_to_one_that_is() -> None:
    real = played(spec_of(consensus("once"), False), drawn(), 5)
    team = consensus("once")
    left = tuple(member for member in team.members if member.name != winner(real))
    spec = spec_of(msgspec.structs.replace(team, members=left), False)
    after = played(spec, again(real, spec), 3)
    assert after.status == "succeeded"
    assert len(after.calls) == 12


def test_votes_that_were_not_revisions_do_where_revisions_are_allowed() -> None:
    real = played(spec_of(consensus("once"), False), drawn(), 5)
    spec = spec_of(consensus("rounds"), False)
    agents = again(real, spec)
    after = played(spec, agents, 3)
    assert winner(after) == winner(real)
    assert agents.notes() == []


def test_turns_with_tools_are_repeated() -> None:
    spec = spec_of(consensus("once"), False, 3)
    real = played(spec, drawn(3), 5)
    after = played(spec, again(real), 9)
    assert sorted(str(m.call) for m in after.calls) == sorted(str(m.call) for m in real.calls)


def test_more_reviewers_judge_like_those_who_did() -> None:
    def team(swarm: int) -> RunSpec:
        members = (Member(name="m", agent="judge"),)
        review = ReviewSpec(members=members, swarm=swarm, waves=False, early=False)
        step = StepSpec(name="s", kind="review", input="this", team=review)
        agents = {"judge": AgentSpec(kind="scripted")}
        return RunSpec(workflow=PlanSpec(name="p", steps=(step,)), agents=agents)

    real = played(team(3), Cast({"judge": Player(gives=reviewer(0.0))}))
    after = played(team(8), again(real, team(8)), 3)
    choices = [one.choice for one in after.machine.workflow.reports()["s"].judgements]
    assert choices == ["reject"] * 8


# ---- what they spend ----


def test_tokens_and_prices_are_those_of_the_record() -> None:
    real = played(wide(10), workers(10, 2, 0.3, tokens_out=321, price=(3, 15)))
    spent = [one.usage for one in real.calls if one.agent == "worker"]
    after = played(wide(10), again(real), 8)
    for made in after.calls:
        assert made.agent == "lister" or made.usage in spent
    agents = again(real)
    call = asked("work/1")
    usage = agents.act(call).usage
    expected = agents.estimate(call)
    assert usage is not None
    assert (expected.tokens_out, expected.most_cost) == (321, usage.cost)


def test_a_price_is_fitted_to_what_calls_cost() -> None:
    sizes = [(100, 20), (500, 10), (40, 300)]
    usages = [Usage(tokens_in=r, tokens_out=w, cost=3 * r + 15 * w) for r, w in sizes]
    assert price_of(usages) == (3, 15)
    # Where reading and writing go together nobody can tell their prices apart.
    assert price_of([Usage(tokens_in=10, tokens_out=30, cost=400)]) == (10, 10)
    assert price_of([Usage(tokens_in=10, tokens_out=30)]) is None
    real = played(wide(10), workers(10, 2, 0.3, tokens_out=300, price=(3, 15)))
    more = Simulated(wide(10), {"worker": Assumed(tokens_out=600)}, record(real))
    act, before = more.act(asked("work/1")), again(real).act(asked("work/1"))
    assert act.usage is not None
    assert before.usage is not None
    assert act.usage.tokens_out == 600
    assert act.usage.cost == pytest.approx(2 * (before.usage.cost or 0), rel=0.1)


# ---- how they fail ----


@pytest.mark.parametrize("kind", ["failed", "unavailable", "invalid_output"])
def test_failures_are_as_frequent_and_of_the_same_kind(kind: Any) -> None:
    how = Fault(kind=kind, message="no")
    spec = wide(60, retry=Retry(tries=9, jitter=0.0))
    real = played(spec, workers(60, 2, 0.2, failing=0.3, fault=how))
    share = sum(made.how == "failed" for made in real.calls) / (len(real.calls) - 1)
    known = record(real).of(asked("work/0"))
    assert known is not None
    (trouble,) = known.troubles
    assert (trouble.kind, trouble.wait) == (kind, None)
    assert trouble.share == pytest.approx(share, rel=0.05)
    after = played(spec, again(real), 4)
    failed = sum(made.how == "failed" for made in after.calls) / (len(after.calls) - 1)
    assert failed == pytest.approx(share, abs=0.15)
    assert after.status == "succeeded"


def test_what_fails_for_good_fails_there_and_nowhere_else() -> None:
    def gives(call: Asked) -> Any:
        return Fault(kind="permanent", message="no") if call.path == "work/2" else "done"

    spec = wide(8, on_failure="continue")
    real = played(spec, workers(8, 2, 0.0, gives=gives))
    for seed in range(5):
        after = played(spec, again(real), seed)
        assert [str(m.call) for m in after.calls if m.how == "failed"] == ["work/2#1"]


def test_refusals_are_as_frequent_and_say_how_long_to_wait() -> None:
    refusal = Fault(kind="rate_limited", message="no", retry_after=7 * SECOND)
    spec = limited(1000, 60)
    real = played(spec, workers(60, 2, 0.2, failing=0.2, fault=refusal))
    assert any(isinstance(one, Change) and one.what == "closed" for one in trace(real).changes)
    known = record(real)
    found = known.of(asked("work/0"))
    assert found is not None
    (trouble,) = found.troubles
    assert trouble.kind == "rate_limited"
    assert trouble.wait == pytest.approx(7 * SECOND, rel=0.2)
    assert any("were refused" in words for words in known.assumed)
    assert any(made.how == "refused" for made in played(spec, again(real), 4).calls)


def test_calls_that_were_lost_with_their_process_say_nothing_of_failures() -> None:
    real = trace(played(wide(10), workers(10, 2, 0.0)))
    one = real.activities[-1]
    real.activities[-1] = msgspec.structs.replace(one, how="lost", fate="failed")
    known = Record(real, {}).of(asked("work/0"))
    assert known is not None
    assert known.troubles == ()


# ---- kept answers, people, and what cannot be done ----


def test_a_kept_answer_says_nothing_of_latency_and_stays_one() -> None:
    real = played(wide(6), workers(6, 5, 0.0))
    found = trace(real)
    for index, one in enumerate(found.activities):
        if one.path in ("work/0", "work/1"):
            ended = one.began + 1_000
            found.activities[index] = msgspec.structs.replace(one, cached=True, ended=ended)
    known = Record(found, outputs_of(real.events))
    agents = Simulated(wide(6), None, known)
    assert known.kept == {"work/0", "work/1"}
    assert agents.act(asked("work/0")) == Act(0, real.output[0])  # type: ignore[index]
    assert agents.act(asked("work/2")).lasts > 4 * SECOND
    assert any("2 answers were kept" in words for words in known.assumed)


def approved() -> RunSpec:
    steps = (
        StepSpec(name="ask", kind="approve", input="Go?"),
        StepSpec(name="name", kind="input", input="Name?"),
        StepSpec(name="do", agent="worker", input="{{name}}", needs=("ask", "name")),
    )
    agents = {"worker": AgentSpec(kind="scripted")}
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents)


def test_people_take_their_time_and_decide_as_they_did() -> None:
    agents = Cast({"worker": Player()})
    slow = People(after=40 * SECOND, value="Ada")
    real = played(approved(), agents, people=slow)
    known = record(real)
    after = played(approved(), again(real), 2, people=known.people)
    assert after.took == pytest.approx(real.took, rel=0.05)
    assert after.output == real.output == "Ada"
    no = played(approved(), agents, people=People(approve=False, after=SECOND))
    assert no.status == "failed"
    assert played(approved(), again(no), people=record(no).people).status == "failed"


def test_people_who_were_never_asked_take_as_long_as_they_usually_do() -> None:
    real = played(approved(), Cast({"worker": Player()}), people=People(after=40 * SECOND))
    steps = (StepSpec(name="new", kind="approve", input="Go?"),)
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps))
    assert played(spec, again(real, spec), people=record(real).people).took == 40 * SECOND


def test_who_never_answered_never_answers() -> None:
    agents = Cast({"worker": Player()})
    real = played(approved(), agents, people=People(after=None))
    assert real.status == "paused"
    assert played(approved(), again(real), people=record(real).people).status == "paused"


def test_another_programs_log_cannot_be_simulated() -> None:
    with pytest.raises(Refused, match="which does not say what was to be done"):
        calibrate(Trace(run="x", name="x", source="massgen 0.1.97"), {})


def test_a_run_that_has_not_ended_says_so() -> None:
    agents = Cast({"worker": Player()})
    real = played(approved(), agents, people=People(after=None))
    assert any("has not ended" in words for words in record(real).assumed)


# ---- what is assumed ----


def test_without_a_record_everything_is_assumed() -> None:
    spec = spec_of(consensus("once"), False)
    mine = {
        "flash": Assumed(latency=Latency(2 * SECOND), latencies={"vote": Quantiles((SECOND,))}),
        "pro": Assumed(latency=Latency(4 * SECOND), tokens_out=77, price=(1, 2), first=SECOND),
    }
    agents = Simulated(spec, mine)
    after = played(spec, agents)
    took = {str(made.call): made.ended - made.began for made in after.calls}
    assert took["q/flash-1/answer#1"] == 2 * SECOND
    assert took["q/flash-1/vote#1"] == SECOND
    assert took["q/pro-1/vote#1"] == 4 * SECOND
    act = agents.act(asked("q/pro-1/answer", "pro"))
    assert act.heard == SECOND
    assert act.usage is not None
    assert act.usage.tokens_out == 77
    assert act.usage.cost == (act.usage.tokens_in or 0) + 2 * 77


def fault(act: Act) -> Fault:
    return act.gives if isinstance(act.gives, Fault) else Fault(kind="lost", message="")


CASES: list[tuple[Assumed, Callable[[Act], bool]]] = [
    (Assumed(hanging=1.0), lambda act: act.lasts == NEVER),
    (Assumed(failing=1.0, fault="failed"), lambda act: fault(act).kind == "failed"),
    (
        Assumed(refusing=1.0, retry_after=SECOND),
        lambda act: (fault(act).kind, fault(act).retry_after) == ("rate_limited", SECOND),
    ),
    (Assumed(latency=Latency(9 * SECOND)), lambda act: act.lasts == 9 * SECOND),
    (Assumed(tokens_out=5), lambda act: act.usage.tokens_out == 5),  # type: ignore[union-attr]
    (Assumed(price=(0, 1)), lambda act: act.usage.cost == act.usage.tokens_out),  # type: ignore[union-attr]
]


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("mine", "holds"), CASES)
def test_what_is_assumed_goes_before_the_record(
    mine: Assumed, holds: Callable[[Act], bool], recorded: bool
) -> None:
    real = record(played(wide(4), workers(4, 2, 0.1, gives=constant("x"))))
    known = real if recorded else None
    assert not holds(Simulated(wide(4), None, known).act(asked("work/0")))
    assert holds(Simulated(wide(4), {"worker": mine}, known).act(asked("work/0")))
    assert holds(Simulated(wide(4), {"": mine}, known).act(asked("work/0")))
    assert not holds(Simulated(wide(4), {"other": mine}, known).act(asked("work/0")))


def test_assumed_votes_split_and_assumed_failures_replace_recorded_ones() -> None:
    spec = spec_of(consensus("once"), False)
    real = played(spec, drawn(), 5)
    split = {name: Assumed(votes="split") for name in ("flash", "pro")}
    after = played(spec, Simulated(spec, split, record(real)), 3)
    report = after.machine.workflow.reports()["q"]
    assert len({one.choice for one in report.judgements}) == 2
    failing = played(wide(20, retry=Retry(tries=9)), workers(20, 2, 0.1, failing=0.4))
    sound = Simulated(wide(20), {"worker": Assumed(failing=0.0)}, record(failing))
    assert not any(isinstance(sound.act(asked(f"work/{i}")).gives, Fault) for i in range(40))


def test_lists_that_nobody_knows_have_items() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    spec = wide(1)
    act = Simulated(spec, None).act(asked("list", "lister", output=schema))
    assert len(act.gives) > 1


def test_quantiles_are_drawn_from_evenly() -> None:
    three = Quantiles((SECOND, 2 * SECOND, 10 * SECOND))
    assert [three.at(share) / SECOND for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1, 1.5, 2, 6, 10]
    for wrong in ((), (2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="at least one duration, the shortest first"):
            Quantiles(wrong)


def test_kinds_of_calls_are_named_by_their_place_in_the_spec() -> None:
    inner = PlanSpec(name="i", steps=(StepSpec(name="vote", agent="flash"),))
    spec = spec_of(consensus("once"), False, 3)
    steps = (*spec.workflow.steps, StepSpec(name="sub", kind="plan", plan=inner, each="x"))
    workflow = msgspec.structs.replace(spec.workflow, steps=steps)
    kinds = Kinds(msgspec.structs.replace(spec, workflow=workflow))
    assert kinds.of("q/flash-1/vote~2") == KindOfCall("q", "vote")
    assert kinds.of("q/flash-1/answer/turn~2") == KindOfCall("q", "answer/turn")
    assert kinds.of("q/pro-1/answer/look/0~2") == KindOfCall("q", "answer/look")
    assert kinds.of("sub/3~2/vote") == KindOfCall("sub/vote", "")
    assert kinds.of("gone/2") == KindOfCall("gone", "")
    assert kinds.of("q/flash-1/answer/turn").task == "answer"


def test_a_stop_makes_no_call_longer() -> None:
    real = trace(played(wide(4), workers(4, 10, 0.0)))
    # The process died while they waited, and what they had waited for died with it.
    back = real.began + 90 * SECOND
    late = [
        msgspec.structs.replace(one, began=back, ended=back + 10 * SECOND, waits=())
        if one.agent == "worker"
        else one
        for one in real.activities
    ]
    stop = Stop("down", real.began + 40 * SECOND, back - SECOND // 100)
    cut = msgspec.structs.replace(real, activities=late, stops=[stop], ended=back + 10 * SECOND)
    calls = [one for one in calls_of(cut, Kinds(wide(4))) if one.activity.agent == "worker"]
    assert [one.took for one in calls] == [10 * SECOND + SECOND // 100] * 4


def test_how_calls_fail_is_known_by_their_kind() -> None:
    steps = (
        StepSpec(name="one", agent="worker"),
        StepSpec(name="two", agent="worker", needs=("one",), retry=Retry(tries=5, first=SECOND)),
    )
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=steps), agents={"worker": AgentSpec(kind="scripted")}
    )

    class Flaky:
        def act(self, call: Asked) -> Act:
            if call.path == "two" and call.attempt == 1:
                return Act(SECOND // 10, Fault(kind="unavailable", message="no"))
            return Act(SECOND, "ok")

        def estimate(self, call: Asked) -> Estimate:
            return Estimate()

    agents = again(played(spec, Flaky()))
    two, one = [], []
    for seed in range(400):
        two.append(agents.act(asked("two", seed=seed)))
        one.append(agents.act(asked("one", seed=seed)))
    # A step of which no call failed has none that does, and one that failed does so soon, and
    # mostly again.
    assert not any(isinstance(act.gives, Fault) for act in one)
    failed = [act for act in two if isinstance(act.gives, Fault)]
    assert 0.8 < len(failed) / 400 < 0.97
    assert median(act.lasts for act in failed) == pytest.approx(SECOND / 10, rel=0.1)


def test_what_fails_for_good_takes_as_long_as_it_took() -> None:
    class Vain:
        def act(self, call: Asked) -> Act:
            if call.path == "work/0":
                return Act(SECOND // 10, Fault(kind="permanent", message="no"))
            return Act(SECOND, [0, 1, 2, 3] if call.agent == "lister" else "ok")

        def estimate(self, call: Asked) -> Estimate:
            return Estimate()

    spec = wide(4, on_failure="continue")
    agents = again(played(spec, Vain()))
    act = agents.act(asked("work/0"))
    assert isinstance(act.gives, Fault)
    assert act.lasts == pytest.approx(SECOND / 10, rel=0.4)


def test_verdicts_are_on_the_artefact_that_is_shown() -> None:
    def spec(swarm: int) -> RunSpec:
        members = (Member(name="reviewer", agent="reviewer"),)
        review = ReviewSpec(members=members, swarm=swarm, threshold=0.6, max_rounds=3)
        step = StepSpec(name="do", agent="coder", input="Do it.", review=review)
        agents = {name: AgentSpec(kind="scripted") for name in ("coder", "reviewer")}
        return RunSpec(workflow=PlanSpec(name="p", steps=(step,)), agents=agents)

    def work(asked: Asked) -> str:
        return "sound work" if "~" in asked.path else "faulty work"

    cast = Cast({"coder": Player(gives=work), "reviewer": Player(gives=reviewer(1.0))})
    real = played(spec(6), cast)
    for swarm in (2, 4):
        exact, told = played(spec(swarm), cast, 3), played(spec(swarm), again(real), 3)
        assert (told.status, len(told.calls)) == (exact.status, len(exact.calls))
        assert told.status == "succeeded"
