"""Each cause is found where it is, costs what the finish waited for it, and comes with a change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.insight.kit import doing, trace, traced
from tests.insight.planted import plant

from hocket.config.change import changed
from hocket.core.errors import Fault
from hocket.core.events import Usage
from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    Repeat,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND
from hocket.insight.account import account
from hocket.insight.causes import Cause
from hocket.insight.find import FINDINGS, find
from hocket.insight.findings import Finding
from hocket.insight.trace import Activity, Change, Stop, Trace
from hocket.simulator.agents import Cast, People, Player
from hocket.simulator.teams import voter

ALONE = LimitSpec(adaptive=False, margin=0)


def found(run: Trace) -> list[Finding]:
    findings = find(run, account(run))
    assert sum(finding.cost for finding in findings) <= run.took
    return findings


def only(run: Trace) -> Finding:
    (finding,) = found(run)
    return finding


def limited(**fields: Any) -> dict[str, Any]:
    """A limit that the agent ``a`` claims."""
    limit = msgspec.structs.replace(ALONE, **fields)
    return {
        "limits": {"api": limit},
        "agents": {"a": AgentSpec(kind="scripted", limits=("api",))},
    }


def wide(count: int, **fields: Any) -> list[StepSpec]:
    return [StepSpec(name=f"s{n}", agent="a", input=f"Do {n}.", **fields) for n in range(count)]


def in_a_row(*names: str, **fields: Any) -> list[StepSpec]:
    steps: list[StepSpec] = []
    for name in names:
        last = steps[-1].name if steps else ""
        text = f"go on with {{{{{last}}}}} at {name}" if last else "begin"
        needs = (last,) if last else ()
        steps.append(StepSpec(name=name, agent="a", needs=needs, input=text, **fields))
    return steps


# -- limits -------------------------------------------------------------------------------------


def test_a_window_that_was_full() -> None:
    run = traced(*wide(7), **limited(requests=(Rate(3, MINUTE),)))
    finding = only(run)
    assert (finding.kind, finding.subject) == ("rate_limit", "api")
    assert finding.title == "2 m 00 s went to waiting for api's 3 requests a minute"
    assert finding.change == ("limits.api.requests=6/min",)
    assert finding.cost == account(run).shares["rate", "api"]  # type: ignore[index]
    assert finding.detail == "7 calls took it: a 7."


def test_of_several_windows_the_full_one_is_named() -> None:
    fields = limited(requests=(Rate(100, MINUTE),), tokens=(Rate(45, MINUTE),))
    finding = found(traced(*wide(7), cast=Cast({"a": Player(tokens_out=8)}), **fields))[0]
    assert finding.kind == "token_limit"
    assert finding.change == ("limits.api.tokens=90/min",)


def test_of_two_windows_of_requests_that_which_calls_waited_for_is_named_and_all_are_kept() -> None:
    day = Rate(1_000, DAY)
    finding = only(traced(*wide(7), **limited(requests=(Rate(3, MINUTE), day))))
    assert finding.title == "2 m 00 s went to waiting for api's 3 requests a minute"
    assert finding.change == ("limits.api.requests=[6/min, 1000/day]",)
    run = traced(*wide(7), **limited(requests=(Rate(7, SECOND), Rate(3, HOUR))))
    assert only(run).change == ("limits.api.requests=[7/s, 6/h]",)


def test_a_limit_that_an_agent_states_goes_by_its_name() -> None:
    own = "agent:a limits in /some/where/hocket.yaml"
    rates = (Rate(3, MINUTE), Rate(500, DAY))
    fields = {
        "limits": {own: msgspec.structs.replace(ALONE, requests=rates)},
        "agents": {"a": AgentSpec(kind="scripted", limits=(own,))},
    }
    run = traced(*wide(7), **fields)
    finding = only(run)
    assert finding.title == "2 m 00 s went to waiting for a's 3 requests a minute"
    assert (finding.subject, finding.detail) == ("a", "7 calls took it: a 7.")
    assert "came to nothing" not in finding.advice
    assert finding.change == ("limits.a.requests=[6/min, 500/day]",)
    assert run.spec is not None
    assert changed(run.spec, finding.change).spec.limits[own].requests[0] == Rate(6, MINUTE)
    fields["limits"]["a"] = LimitSpec()
    (change,) = only(traced(*wide(7), **fields)).change
    assert change.startswith(f"limits.{own}.requests="), "a would be another one"


def test_the_margin_is_told_where_it_is_more_than_the_spacing() -> None:
    fields = limited(spacing=20 * MS, margin=250 * MS)
    finding = only(traced(*wide(6), **fields))
    assert finding.kind == "spacing"
    assert "the margin of up to 250 ms" in finding.title
    assert finding.change == ("limits.api.margin=125ms",)
    assert "refuses" in finding.advice


def test_the_time_between_two_starts() -> None:
    finding = only(traced(*wide(4), **limited(spacing=5 * SECOND)))
    assert (finding.kind, finding.cost) == ("spacing", 15 * SECOND)
    assert finding.change == ("limits.api.spacing=2500ms",)


@pytest.mark.parametrize(
    ("fields", "kind", "change"),
    [
        (limited(concurrency=2), "concurrency", "limits.api.concurrency=4"),
        ({"max_parallel": 2}, "max_parallel", "max_parallel=4"),
        (
            {"agents": {"a": AgentSpec(kind="scripted", concurrency=2)}},
            "agent_slots",
            "agents.a.concurrency=4",
        ),
    ],
)
def test_slots_that_were_taken(fields: dict[str, Any], kind: str, change: str) -> None:
    finding = only(traced(*wide(6), **fields))
    assert (finding.kind, finding.change, finding.cost) == (kind, (change,), 2 * SECOND)


def test_one_agent_is_busy_while_its_twin_is_idle() -> None:
    alike = {"model": "m"}
    agents = {
        "a": AgentSpec(kind="scripted", concurrency=1, options=alike),
        "b": AgentSpec(kind="scripted", concurrency=1, options=alike),
    }
    finding = only(traced(*wide(5), StepSpec(name="t", agent="b", input="t"), agents=agents))
    assert (finding.kind, finding.subject) == ("unbalanced", "a")
    assert "b" in finding.advice


def test_a_slow_call_in_the_only_slot_is_the_cause_not_the_slot() -> None:
    seconds = {"s3": 100.0}
    finding = found(traced(*wide(8), seconds=seconds, max_parallel=1))[0]
    assert finding.kind == "slow_call"
    assert finding.cost >= 99 * SECOND


def test_a_refusal_closes_a_limit_and_a_step_waits_for_its_provider() -> None:
    fault = Fault(kind="rate_limited", message="429", retry_after=30 * SECOND)
    calls = {"faults": {"s0#1": fault}}
    finding = found(traced(*wide(1), **calls, **limited(adaptive=True)))[0]
    assert (finding.kind, finding.subject) == ("refused", "api")
    finding = only(traced(*wide(1), **calls))
    assert (finding.kind, finding.subject) == ("refused", "a")
    assert "1 refusal of a's calls" in finding.title


def test_a_window_narrowed_after_a_refusal_is_told_as_that() -> None:
    run = trace(
        doing("x", 0, 0, 1),
        doing("y", 1, 61, 62, 0, ("rate:api", 1, 61), claims=("api",)),
        limits={"api": LimitSpec(requests=(Rate(9, MINUTE),))},
        changes=[Change(at=0, limit="api", what="narrowed", until=None, event=7)],
    )
    finding = only(run)
    assert (finding.kind, finding.evidence[0]) == ("refused", 7)


def test_a_pause_for_a_budget_names_the_budget() -> None:
    own = "plan:p budget"
    purse = {own: LimitSpec(cost=(Rate(6 * 10**11, 0),), on_exceed="pause")}
    usage = Usage(tokens_in=10, tokens_out=0, cost=5 * 10**11)
    run = trace(
        doing("x", 0, 0, 5, usage=usage, claims=(own,)),
        limits=purse,
        stops=[Stop("budget", 5 * SECOND, 50 * SECOND, (3,), own)],
        ended=50,
        status="paused",
    )
    finding = only(run)
    assert (finding.kind, finding.subject, finding.cost) == ("budget", "plan p", 45 * SECOND)
    paused = "a pause of the run for the budget of plan p ($0.60), which was spent"
    assert finding.title == f"45.0 s went to {paused}"
    assert finding.evidence[0] == 3


def test_a_budget_that_paused_the_run() -> None:
    usage = Usage(tokens_in=10, tokens_out=0, cost=60)
    calls = [
        doing("x", 0, 0, 5, usage=usage, claims=("purse",)),
        doing("y", 5, 50, 55, 0, ("pause", 5, 50), claims=()),
    ]
    purse = LimitSpec(cost=(Rate(100, 0),), on_exceed="pause")
    stop = Stop("pause", 5 * SECOND, 50 * SECOND, (3, 4))
    paused = trace(*calls, limits={"purse": purse}, stops=[stop])
    assert (only(paused).kind, only(paused).subject) == ("budget", "purse")
    roomy = msgspec.structs.replace(purse, cost=(Rate(1_000, 0),))
    assert only(trace(*calls, limits={"purse": roomy}, stops=[stop])).kind == "pause"


# -- calls --------------------------------------------------------------------------------------


def test_a_call_that_was_slow_beside_others_of_its_kind() -> None:
    items = [f"item {n}" for n in range(8)]
    each = StepSpec(name="e", agent="a", each="inputs.items", input="{{item}}")
    plan = PlanSpec(name="p", steps=(each,), inputs={"items": InputSpec()})
    run = traced(plan, inputs={"items": items}, seconds={"e/5": 60.0})
    finding = only(run)
    assert (finding.kind, finding.subject, finding.cost) == ("slow_call", "e", 59 * SECOND)
    assert finding.change == ("steps.e.hedge=p95",), "a timeout would make it fail"
    assert "60.0 s" in finding.detail
    usual = traced(plan, inputs={"items": items}, seconds={"e/5": 1.8})
    assert found(usual) == []


def test_a_call_that_has_not_ended_hangs() -> None:
    calls = [doing(f"e/{n}", 0, 0, 2.0 + n / 9, step="e") for n in range(6)]
    run = trace(*calls, doing("e/6", 0, 0, None, step="e"), ended=90, status="running")
    finding = only(run)
    assert finding.kind == "hung_call"
    assert finding.detail.startswith("It has taken 90.0 s")


def test_calls_of_other_agents_and_other_work_are_no_measure() -> None:
    agents = {"a": AgentSpec(kind="scripted"), "b": AgentSpec(kind="scripted")}
    quick = wide(6)
    others = tuple(step.name for step in quick)
    late = StepSpec(name="y", agent="b", needs=others, input="Do 9.")
    assert found(traced(*quick, late, agents=agents, seconds={"y": 30.0})) == []
    again = StepSpec(name="z", agent="b", needs=("y",), input="Do 10. {{y}}")
    seconds = {"y": 30.0, "z": 30.0}
    assert found(traced(*quick, late, again, agents=agents, seconds=seconds)) == []
    other = StepSpec(name="y", agent="a", needs=others, input="Sum up {{s1}}.")
    assert found(traced(*quick, other, seconds={"y": 30.0})) == []
    alike = StepSpec(name="y", agent="a", needs=others, input="Do 9.")
    assert only(traced(*quick, alike, seconds={"y": 30.0})).kind == "slow_call"


def test_too_few_others_are_no_measure() -> None:
    for count, kinds in ((3, []), (4, ["slow_call"])):
        items = [f"item {n}" for n in range(count)]
        each = StepSpec(name="e", agent="a", each="inputs.items", input="{{item}}")
        plan = PlanSpec(name="p", steps=(each,), inputs={"items": InputSpec()})
        run = traced(plan, inputs={"items": items}, seconds={"e/1": 60.0})
        assert [finding.kind for finding in found(run)] == kinds


def test_no_timeout_is_proposed_that_a_good_call_would_not_have_met() -> None:
    calls = [doing(f"e/{n}", 0, 0, 2, step="e") for n in range(30)]
    calls.append(doing("e/30", 0, 0, 40, step="e", agent="other"))
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=(StepSpec(name="e", agent="a", input="Do it."),)),
        agents={"a": AgentSpec(kind="scripted"), "other": AgentSpec(kind="scripted")},
    )
    hung = doing("e/31", 0, 0, None, step="e")
    run = trace(*calls, hung, ended=300, status="running", finish=31, spec=spec)
    assert only(run).change == ("steps.e.timeout=50s",)


def test_what_a_plan_expects_counts_where_there_are_no_others() -> None:
    steps = in_a_row("x", "y")
    steps[1] = msgspec.structs.replace(steps[1], takes=2 * SECOND)
    seconds = {"x": 10.0, "y": 20.0}
    assert only(traced(*steps, seconds=seconds)).subject == "y"
    steps[1] = msgspec.structs.replace(steps[1], takes=15 * SECOND)
    assert found(traced(*steps, seconds=seconds)) == []


def test_a_timeout_that_is_too_long() -> None:
    retry = Retry(tries=2, first=SECOND, jitter=0.0)
    steps = wide(8, timeout=40 * SECOND, retry=retry)
    finding = only(traced(*steps, seconds={"s3#1": 1_000.0}))
    assert (finding.kind, finding.cost) == ("long_timeout", 41 * SECOND)
    assert finding.change == ("steps.s3.timeout=2s",)


@pytest.mark.parametrize(
    ("kind", "named"), [("unavailable", "endpoint_down"), ("failed", "failing_step")]
)
def test_failures_count_with_their_back_off(kind: Any, named: str) -> None:
    fault = Fault(kind=kind, message="no")
    retry = Retry(tries=4, first=10 * SECOND, factor=1.0, jitter=0.0)
    faults = {"s0#1": fault, "s0#2": fault, "s0#3": fault}
    finding = only(traced(*wide(1, retry=retry), faults=faults))
    assert (finding.kind, finding.cost) == (named, 33 * SECOND)


def test_a_failure_after_which_nothing_is_tried_is_told_as_just_that() -> None:
    no = Fault(kind="permanent", message="no")
    finding = only(traced(*wide(1), faults={"s0": no}))
    assert finding.title == "1.0 s went to 1 failure of a in 1 call"
    assert finding.advice == "Mend a, which has given nothing, or name a fallback."
    assert finding.detail == "Their faults: 1 × permanent."


def test_an_agent_that_gives_nothing_has_its_fallback_asked_first_where_it_has_one() -> None:
    broken = Fault(kind="failed", message="no")
    step = msgspec.structs.replace(wide(1)[0], fallback=("b",))
    two = {"a": AgentSpec(kind="scripted"), "b": AgentSpec(kind="scripted")}
    run = traced(step, agents=two, faults={"s0#1": broken})
    first = found(run)[0]
    assert first.advice == "Mend a, which has given nothing, or ask its fallback first."
    assert first.detail == f"What they said: hocket logs {run.run} s0"


def test_an_agent_that_fails_now_and_then() -> None:
    fault = Fault(kind="failed", message="no")
    retry = Retry(tries=4, first=10 * SECOND, factor=1.0, jitter=0.0)
    steps = in_a_row("x", "y", "z", retry=retry)
    finding = only(traced(*steps, faults={"x#1": fault, "z#1": fault}))
    assert (finding.kind, finding.subject, finding.cost) == ("flaky_agent", "a", 22 * SECOND)
    assert finding.title.endswith("2 failures of a in 5 calls, and the wait before other tries")


def test_failures_that_filled_a_window_come_before_the_window() -> None:
    fault = Fault(kind="failed", message="no")
    steps = wide(4, retry=Retry(tries=3, first=0, jitter=0.0))
    faults = {f"s{n}#{attempt}": fault for n in range(4) for attempt in (1, 2)}
    first = found(traced(*steps, faults=faults, **limited(requests=(Rate(4, MINUTE),))))[0]
    assert first.kind in ("flaky_agent", "failing_step")
    assert first.share > 0.9


def test_equal_questions_that_nobody_keeps_answers_of() -> None:
    steps = [msgspec.structs.replace(step, input="The same.") for step in in_a_row("x", "y", "z")]
    harmful = {"a": AgentSpec(kind="scripted", effects=True)}
    run = traced(*steps, agents=harmful)
    assert [finding.kind for finding in found(run)] == []
    finding = found(traced(*steps))[0]
    assert (finding.kind, finding.cost) == ("no_cache", 2 * SECOND)
    assert finding.change == ("agents.a.cache=1h",)


def test_an_echo_is_no_question_that_was_asked_before() -> None:
    steps = [StepSpec(name="x", agent="a", input="begin")]
    steps += [StepSpec(name="y", agent="a", needs=("x",), input="{{x}}")]
    steps += [StepSpec(name="z", agent="a", needs=("y",), input="{{y}}")]
    assert found(traced(*steps)) == []


# -- agents and plans ---------------------------------------------------------------------------


def member(name: str, agent: str, seconds: float, cost: int) -> list[Activity]:
    usage = Usage(tokens_in=10, tokens_out=10, cost=cost)
    fields: dict[str, Any] = {"agent": agent, "step": "q", "team": "q", "usage": usage}
    return [
        doing(f"q/{name}/answer", 0, 0, seconds, **fields),
        doing(f"q/{name}/vote", 20, 20, 20 + seconds, 0, **fields),
    ]


def test_an_agent_that_is_slow_for_its_price() -> None:
    calls = [*member("m1", "slow", 20, 80)]
    for number in range(5):
        calls += member(f"n{number}", "quick", 2, 20)
    finding = only(trace(*calls, finish=1))
    assert (finding.kind, finding.subject, finding.cost) == ("slow_agent", "slow", 36 * SECOND)
    assert "10.0 times as long" in finding.title
    assert "4.0 times as much" in finding.detail


def test_an_author_is_not_slow_beside_reviewers() -> None:
    calls: list[Activity] = []
    for number in range(4):
        fields: dict[str, Any] = {"step": f"w{number}", "team": f"w{number}"}
        at = 40.0 * number
        after = len(calls) - 1
        calls.append(doing(f"w{number}/author", at, at, at + 38, after, agent="coder", **fields))
        after = len(calls) - 1
        calls += [
            doing(
                f"w{number}/r{n}/judge", at + 38, at + 38, at + 40, after, agent="critic", **fields
            )
            for n in range(3)
        ]
    assert found(trace(*calls)) == []


def test_a_stale_vote_that_filled_a_providers_window_is_the_cause_of_the_wait_behind_it() -> None:
    fields: dict[str, Any] = {"step": "q", "team": "q", "claims": ("pro",)}
    calls = [
        doing("q/m/answer", 0, 0, 2, **fields),
        doing("q/m/vote", 2, 2, 4, 0, fate="stale", **fields),
        doing("q/m/vote~2", 4, 60, 62, 1, ("closed:pro", 4, 60), **fields),
    ]
    calls.append(doing("q/n/vote", 0, 0, 3, fate="stale", step="q", team="q"))
    limits = {"pro": LimitSpec(requests=(Rate(2, MINUTE),))}
    run = trace(*calls, limits=limits, source="massgen 1", inferred=True, finish=2)
    first = found(run)[0]
    assert (first.kind, first.cost, first.change) == ("stale_votes", 58 * SECOND, ())
    assert "used up by 1 of its 3 calls, of 2 of 4 calls at q" in first.title
    useful = msgspec.structs.replace(calls[1], fate="useful")
    run = trace(calls[0], useful, calls[2], limits=limits, source="massgen 1", inferred=True)
    finding = only(run)
    assert finding.kind == "refused"
    assert "fewer calls within the provider's window" in finding.advice


def test_votes_that_cost_no_time_cost_money() -> None:
    usage = Usage(tokens_in=900, tokens_out=100, cost=5)
    fields: dict[str, Any] = {"step": "q", "team": "q", "usage": usage}
    calls = [doing(f"q/m{n}/vote", 0, 0, 2, fate="stale", **fields) for n in range(3)]
    calls += [doing(f"q/m{n}/answer", 0, 0, 9, **fields) for n in range(4)]
    finding = only(trace(*calls))
    assert (finding.kind, finding.cost, finding.share) == ("stale_votes", 0, 0.0)
    assert (finding.money, finding.tokens) == (15, 3_000)
    assert finding.title.startswith("No time, but money, went to 3 of 7 calls at q")


def test_reviewers_who_could_not_change_the_verdict() -> None:
    finding = found(plant("reviewers", 1).trace)[0]
    assert (finding.kind, finding.subject) == ("needless_reviews", "w0")
    assert finding.change == ("steps.w0.early=true", "steps.w0.waves=true")
    assert finding.tokens > 0


def test_a_run_that_was_decided_did_not_wait_for_the_calls_cut_off() -> None:
    members = tuple([Member(name=f"m{n}", agent="a") for n in range(3)])
    team = ConsensusSpec(members=members, policy="once")
    step = StepSpec(name="q", kind="consensus", input="Why?", team=team)
    run = traced(step, players={"a": Player(gives=voter())}, seconds={"q/m2/vote": 60})
    cut = next(one for one in run.activities if one.path == "q/m2/vote")
    assert (cut.fate, cut.how) == ("cancelled", "stop")
    assert account(run).shares == {Cause("model", "a"): 2 * SECOND}
    assert run.activities[run.finish].path == "q/m1/vote"
    assert found(run) == []


def test_what_did_not_come_in_time() -> None:
    late = StepSpec(name="late", agent="a", input="one")
    soon = StepSpec(name="soon", agent="a", input="two")
    reply = StepSpec(
        name="reply", agent="a", wants=("late", "soon"), within=20 * SECOND, input="{{soon}}"
    )
    finding = only(traced(late, soon, reply, seconds={"late": 500.0}))
    assert (finding.kind, finding.subject, finding.cost) == ("soft_wait", "reply", 20 * SECOND)
    assert finding.change == ("steps.reply.within=10000ms",)


def test_steps_that_nothing_makes_wait() -> None:
    steps = [StepSpec(name="x", agent="a", input="one")]
    steps += [StepSpec(name="y", agent="a", input="two", needs=("x",))]
    steps += [StepSpec(name="z", agent="a", input="of {{y}}", needs=("x", "y"))]
    finding = only(traced(*steps))
    assert (finding.kind, finding.cost) == ("serial_chain", SECOND)
    assert finding.change == ("steps.y.needs=[]", "steps.z.needs=[y]")


@pytest.mark.parametrize("why", ["effects", "tools", "nothing to read", "one slot"])
def test_order_that_may_be_meant_is_left_alone(why: str) -> None:
    tools = {"t": ToolSpec(agent="a")} if why == "tools" else {}
    slots = 1 if why == "one slot" else None
    effects = why == "effects"
    agents = {"a": AgentSpec(kind="scripted", effects=effects, tools=tools, concurrency=slots)}
    text = None if why == "nothing to read" else "two"
    steps = (
        StepSpec(name="x", agent="a", input="one"),
        StepSpec(name="y", agent="a", input=text, needs=("x",)),
    )
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents)
    calls = (doing("x", 0, 0, 5), doing("y", 5, 5, 10, 0))
    assert found(trace(*calls, spec=spec)) == []


def test_many_rounds_of_a_step() -> None:
    again = StepSpec(
        name="x", agent="a", input="{{round}}", repeat=Repeat(until="round >= 6", max=9)
    )
    finding = only(traced(again))
    assert (finding.kind, finding.subject) == ("many_rounds", "x")
    few = msgspec.structs.replace(again, repeat=Repeat(until="round >= 2", max=9))
    assert found(traced(few)) == []


def test_a_review_that_goes_a_third_round() -> None:
    fields: dict[str, Any] = {"step": "w", "team": "w"}
    team = ReviewSpec(members=(Member(name="r", agent="a"),))
    step = StepSpec(name="w", agent="a", input="Write.", review=team)
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=(step,)), agents={"a": AgentSpec(kind="scripted")}
    )
    rounds = [
        doing(f"w/{who}{mark}", at, at, at + 10, **fields)
        for at, who, mark in (
            (0, "author", ""),
            (10, "r1/judge", ""),
            (20, "author", "~2"),
            (30, "r1/judge", "~2"),
            (40, "author", "~3"),
            (50, "r1/judge", "~3"),
        )
    ]
    calls = [
        msgspec.structs.replace(call, after=i - 1, needs=(i - 1,) if i else ())
        for i, call in enumerate(rounds)
    ]
    finding = only(trace(*calls, spec=spec))
    assert (finding.kind, finding.subject, finding.cost) == ("many_rounds", "w", 40 * SECOND)
    assert found(trace(*calls[:4], spec=spec)) == []


def test_answers_that_are_much_longer_than_others() -> None:
    def spoken(tokens: int, lasts: float) -> Trace:
        usage = {"a": Usage(tokens_out=tokens), "b": Usage(tokens_out=100)}
        calls, at = [], 0.0
        for n in range(6):
            agent = "ab"[n % 2]
            end = at + (lasts if agent == "a" else 5)
            calls.append(doing(f"s{n}", at, at, end, n - 1, agent=agent, usage=usage[agent]))
            at = end
        return trace(*calls)

    finding = only(spoken(1_000, 50))
    assert (finding.kind, finding.subject) == ("long_answers", "a")
    assert finding.cost == 3 * 45 * SECOND
    assert found(spoken(300, 15)) == []
    assert found(spoken(1_000, 6)) == [], "what is written quickly is not what takes the time"


def test_a_tool_that_is_slow_beside_the_turns_that_call_it() -> None:
    agents = {
        "a": AgentSpec(kind="scripted", tools={"look": ToolSpec(agent="t")}),
        "t": AgentSpec(kind="function"),
    }
    step = StepSpec(name="x", agent="a", input="Find it.")
    spec = RunSpec(workflow=PlanSpec(name="p", steps=(step,)), agents=agents)

    def talk(lasts: float) -> Trace:
        calls, at = [], 0.0
        for n in range(3):
            fields: dict[str, Any] = {"step": "x", "team": "x"}
            calls.append(doing(f"x/turn~{n + 1}", at, at, at + 5, 2 * n - 1, **fields))
            fields |= {"agent": "t", "work": "tool"}
            calls.append(doing(f"x/look/{n}", at + 5, at + 5, at + 5 + lasts, 2 * n, **fields))
            at += 5 + lasts
        return trace(*calls, spec=spec)

    finding = only(talk(40))
    assert (finding.kind, finding.subject, finding.cost) == ("slow_tool", "t", 120 * SECOND)
    assert found(talk(8)) == []


def test_a_step_that_fails_late_for_good() -> None:
    steps = [StepSpec(name=f"s{n}", agent="a", input=f"Do {n}.") for n in range(3)]
    late = StepSpec(name="late", agent="a", input="Try.", on_failure="continue")
    end = StepSpec(name="end", agent="a", needs=("s0", "s1", "s2", "late"), input="{{late}}")
    no = Fault(kind="permanent", message="no")
    finding = only(traced(*steps, late, end, faults={"late": no}, seconds={"late": 90.0}))
    assert (finding.kind, finding.subject) == ("failing_step", "late")


# -- people and processes -----------------------------------------------------------------------


def test_an_approval_that_came_late() -> None:
    ask = StepSpec(name="ok", kind="approve", needs=("x",), input="May I?")
    steps = [*in_a_row("x"), ask, StepSpec(name="y", agent="a", needs=("ok",), input="{{ok}}")]
    finding = only(traced(*steps, people=People(after=HOUR)))
    assert (finding.kind, finding.subject, finding.cost) == ("approval", "ok", HOUR)
    assert finding.change == ("people.after=30s",)
    assert finding.evidence
    assert found(traced(*steps)) == []


def test_an_approval_that_nobody_gave() -> None:
    ask = StepSpec(name="ok", kind="approve", input="May I?", timeout=HOUR, on_timeout="approve")
    end = StepSpec(name="y", agent="a", needs=("ok",), input="{{ok}}")
    finding = only(traced(ask, end, people=People(after=None)))
    assert finding.title == "1 h 00 m went to an approval at ok that nobody gave, until its timeout"


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ({"how": "rejected"}, "was refused"),
        ({"fate": "cancelled", "how": "stop"}, "nobody gave"),
        ({"ended": None}, "nobody has given yet"),
    ],
)
def test_what_never_came_did_not_come_late(ends: dict[str, Any], told: str) -> None:
    asked = doing("ok", 0, 0, ends.pop("ended", 60), work="approval", agent="", **ends)
    finding = only(trace(asked, ended=60, finish=0))
    assert finding.title == f"1 m 00 s went to an approval at ok that {told}"
    assert finding.change == ()


def test_what_is_recorded_of_the_programs_own_time_is_told() -> None:
    held = ("claim", 1, 40)
    run = trace(doing("x", 0, 0, 1), doing("y", 1, 41, 42, 0, held))
    finding = only(run)
    assert finding.kind == "coordinator"
    assert (
        finding.detail
        == "Of this, 39.0 s went to the journal's word on shared limits, as is " + ("recorded.")
    )
    run = trace(doing("x", 0, 0, 1), doing("y", 1, 41, 42, 0))
    assert only(run).detail.startswith("Nothing is recorded")


def test_several_approvals_are_told_of_together() -> None:
    steps = [*in_a_row("x")]
    for n in range(3):
        steps.append(
            StepSpec(name=f"ok{n}", kind="approve", needs=(steps[-1].name,), input="May I?")
        )
    finding = only(traced(*steps, people=People(after=MINUTE)))
    assert (finding.kind, finding.subject, finding.cost) == ("approval", "ok0", 3 * MINUTE)
    assert "3 approvals that came late" in finding.title


def test_what_no_finder_explains_is_named_by_its_cause() -> None:
    run = trace(doing("x", 0, 0, 10), doing("y", 10, 20, 30, 0, ("cache", 10, 20)))
    assert [finding.kind for finding in found(run)] == ["cache_wait"]


def test_nothing_is_said_of_what_another_program_does_not_tell() -> None:
    run = trace(
        doing("x", 0, 0, 10), doing("y", 40, 40, 50, 0), inferred=True, source="otlp", finish=1
    )
    assert account(run).shares["unknown", ""] == 30 * SECOND  # type: ignore[index]
    assert found(run) == []


def test_small_things_are_left_out() -> None:
    calls = [doing("x", 0, 0, 100), doing("y", 100, 104, 200, 0, ("rate:api", 100, 104))]
    assert found(trace(*calls)) == []
    calls = [doing("x", 0, 0, 0.1), doing("y", 0.1, 0.15, 0.2, 0, ("rate:api", 0.1, 0.15))]
    assert found(trace(*calls)) == [], "a twentieth of a second is not worth a change"


def test_a_run_that_has_done_nothing_has_no_findings() -> None:
    assert found(trace()) == []


# -- all of them --------------------------------------------------------------------------------


def test_a_stretch_is_counted_once_and_its_root_comes_first() -> None:
    planted = plant("stale", 5)
    findings = found(planted.trace)
    assert findings[0].kind == "stale_votes"
    assert findings[0].change == ("steps.q.policy=once",)
    assert "api's 12 requests a minute" in findings[0].title
    rates = sum(ns for cause, ns in account(planted.trace).shares.items() if cause.kind == "rate")
    assert sum(f.cost for f in findings if f.kind in ("stale_votes", "rate_limit")) <= rates


def test_every_kind_is_described() -> None:
    assert all(FINDINGS.values())
    assert len(FINDINGS) >= 30
