"""Each kind of cause, on runs whose every second is known: what made what possible, and why."""

from __future__ import annotations

import msgspec
import pytest
from tests.insight.kit import (
    MODEL,
    TOOL,
    chain,
    folded,
    named,
    new_machine,
    ns,
    recorded,
    run,
    shares,
    traced,
)
from tests.machines import Drive, step

from hocket.core.errors import EngineBug, Fault
from hocket.core.events import CallFinished, CallLost, CallStarted, Recorded, RunResumed, Wait
from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    Repeat,
    Retry,
    StepSpec,
)
from hocket.core.teams import ConsensusSpec, Member, Policy, ReviewSpec
from hocket.core.values import SECOND, Call
from hocket.insight.account import account
from hocket.insight.fold import Folding, trace_of
from hocket.insight.trace import START, Stop
from hocket.simulator.agents import People, Player
from hocket.simulator.teams import reviewer, voter
from hocket.workflows.plan import fates_of

NO = Fault(kind="failed", message="no")


def a(name: str, *needs: str, **fields: object) -> StepSpec:
    """A step of agent a."""
    return StepSpec(name=name, agent="a", needs=needs, **fields)  # type: ignore[arg-type]


# -- plans ----------------------------------------------------------------------------------


def test_a_chain_of_steps_beside_a_shorter_one() -> None:
    found = traced(
        a("x"), a("y"), a("z", "x", "y"), a("end", "z"), seconds={"x": 3, "y": 5, "z": 2}
    )

    assert shares(found) == {"model:a": 8}
    assert chain(found) == ["y#1", "z#1", "end#1"]
    assert named(found, "z#1").needs == (0, 1)
    assert found.status == "succeeded" and found.took == ns(8)


def test_another_try_comes_after_the_one_that_failed_and_its_back_off() -> None:
    found = traced(
        a("x", retry=Retry(tries=2, first=2 * SECOND, jitter=0.0)),
        seconds={"x#1": 3, "x#2": 4},
        faults={"x#1": NO},
    )

    assert shares(found) == {"model:a": 4, "backoff": 2, "rework:failed": 3}
    assert named(found, "x#2").asked == ns(3)
    assert [one.fate for one in found.activities] == ["failed", "useful"]
    assert named(found, "x#2").needs == (0,)


def test_a_fallback_comes_after_the_call_that_failed() -> None:
    found = traced(a("x", fallback=("f",)), seconds={"x#1": 3, "x#2": 2}, faults={"x#1": NO})

    assert shares(found) == {"tool:f": 2, "rework:failed": 3}
    assert named(found, "x#2").work == "tool"


def test_a_timeout_is_rework() -> None:
    late = a("x", timeout=2 * SECOND, retry=Retry(tries=2, first=0))
    found = traced(late, seconds={"x#1": 60, "x#2": 1})

    assert shares(found) == {"model:a": 1, "rework:cancelled": 2}
    assert named(found, "x#1").how == "timeout"


def test_a_slot_of_the_run_and_one_of_an_agent_and_of_a_limit() -> None:
    two = (a("x"), a("y"))
    seconds = {"x": 3, "y": 4}

    assert shares(traced(*two, max_parallel=1, seconds=seconds)) == {
        "model:a": 4,
        "slot:run": 3,
    }
    alone = {"a": AgentSpec(kind="scripted", concurrency=1)}
    assert shares(traced(*two, agents=alone, seconds=seconds))["slot:agent:a"] == 3
    seat = {"limits": {"seat": LimitSpec(concurrency=1)}, "claims": ("seat",)}
    found = traced(*two, seconds=seconds, **seat)
    assert shares(found)["slot:seat"] == 3
    assert [one.claims for one in found.activities] == [("seat",), ("seat",)]


def test_a_window_of_requests() -> None:
    limits = {"api": LimitSpec(requests=(Rate(1, 10 * SECOND),), margin=0)}
    agents = {"a": AgentSpec(kind="scripted", limits=("api",))}
    found = traced(a("x"), a("y"), agents=agents, limits=limits, seconds={"x": 3, "y": 4})

    assert shares(found) == {"model:a": 4, "rate:api": 10}
    assert found.limits == limits
    assert named(found, "y#1").claims == ("api",)


def test_a_refusal_is_told_as_a_change_of_its_limit() -> None:
    limits = {"api": LimitSpec(requests=(Rate(9, SECOND),), margin=0)}
    agents = {"a": AgentSpec(kind="scripted", limits=("api",))}
    slow = Fault(kind="rate_limited", message="429", retry_after=5 * SECOND)
    found = traced(a("x", retry=Retry(tries=2)), agents=agents, limits=limits, faults={"x#1": slow})

    assert found.changes[0].limit == "api" and found.changes[0].what == "closed"
    assert named(found, "x#1").fate == "refused"
    told = shares(found)
    assert told["rework:refused"] == 1 and told["refused:api"] >= 5


def test_an_approval_and_an_input_are_waited_for_by_name() -> None:
    found = traced(
        a("x"),
        StepSpec(name="ok", kind="approve", input="fine?", needs=("x",)),
        StepSpec(name="say", kind="input", input="what?", needs=("ok",)),
        a("z", "say"),
        people=People(after=6 * SECOND, value="this"),
    )

    assert shares(found) == {"model:a": 2, "approval:ok": 6, "input:say": 6}
    assert chain(found) == ["x#1", "approval ok", "input say", "z#1"]
    assert named(found, "ok#1").events == (4, 5)


def test_an_approval_that_time_gives_is_waited_for_until_then() -> None:
    found = traced(
        StepSpec(name="ok", kind="approve", input="?", on_timeout="approve", timeout=20 * SECOND),
        a("z", "ok"),
        people=People(after=None),
    )

    assert shares(found) == {"model:a": 1, "approval:ok": 20}
    assert named(found, "ok#1").how == "timeout"


def test_each_item_and_what_comes_after_all_of_them() -> None:
    plan = PlanSpec(
        name="p",
        inputs={"list": InputSpec()},
        steps=(a("e", each="inputs.list", input="{{item}}"), a("end", "e")),
    )
    found = traced(plan, inputs={"list": [1, 2, 3]}, seconds={"e/0": 2, "e/1": 7, "e/2": 4})

    assert chain(found) == ["e/1#1", "end#1"]
    assert set(named(found, "end#1").needs) == {0, 1, 2}
    assert {one.step for one in found.activities} == {"e", "end"}


def test_a_step_behind_very_many_items_names_all_once_and_two_after_that() -> None:
    plan = PlanSpec(
        name="p",
        inputs={"list": InputSpec()},
        steps=(
            a("e", each="inputs.list", input="{{item}}"),
            a("d", "e", each="inputs.list", input="{{item}}"),
        ),
    )
    found = traced(plan, inputs={"list": list(range(50))}, max_parallel=50, seconds={"e/9": 4})
    behind = [len(one.needs) for one in found.activities if one.step == "d"]

    assert behind == [50] + [1] * 49
    assert all(named(found, f"d/{i}#1").needs == (9,) for i in range(1, 50))


def test_rounds_come_after_each_other() -> None:
    again = a("x", repeat=Repeat(until="round >= 3", max=5))
    found = traced(again, a("y", "x"))

    assert chain(found) == ["x#1", "x~2#1", "x~3#1", "y#1"]
    assert named(found, "x~3#1").needs == (1,)


def test_a_nested_plan_is_waited_for_through_its_last_steps() -> None:
    inner = PlanSpec(name="i", steps=(a("p"), a("q", "p"), a("r", "p")))
    found = traced(
        a("x"),
        StepSpec(name="n", kind="plan", plan=inner, needs=("x",)),
        a("end", "n"),
        seconds={"n/q": 3, "n/r": 5},
    )

    assert chain(found) == ["x#1", "n/p#1", "n/r#1", "end#1"]
    assert named(found, "n/p#1").needs == (0,)
    assert set(named(found, "end#1").needs) == {2, 3}
    assert named(found, "n/q#1").step == "n/q"


def test_items_within_a_repeated_plan_are_those_of_its_last_round() -> None:
    plan = PlanSpec(name="i", steps=(a("e", each="[1, 2, 3]"), a("f", "e")))
    nested = StepSpec(name="n", kind="plan", plan=plan, repeat=Repeat(until="round >= 2", max=3))
    found = traced(nested, a("end", "n"))
    last = [found.activities.index(named(found, f"n~2/e/{i}#1")) for i in range(3)]

    assert sorted(named(found, "n~2/f#1").needs) == last
    assert found.activities[named(found, "end#1").needs[0]].path == "n~2/f"


def test_what_gathers_lets_through_what_it_gathered() -> None:
    found = traced(
        a("x"),
        a("y"),
        StepSpec(name="g", kind="gather", wants=("x", "y")),
        a("end", "g"),
        seconds={"y": 4},
    )

    assert set(named(found, "end#1").needs) == {0, 1}
    assert named(found, "end#1").after == 1


def test_what_a_panel_waited_for_until_its_time_was_up_is_what_came_before() -> None:
    found = traced(
        a("w1"),
        a("w2"),
        StepSpec(name="z", agent="a", wants=("w1", "w2"), within=5 * SECOND),
        seconds={"w1": 2, "w2": 50},
    )
    z = named(found, "z#1")

    assert found.activities[z.after].path == "w2" and z.needs == (0,)
    assert named(found, "w2#1").how == "stop"
    assert shares(found) == {"model:a": 1, "rework:cancelled": 5}
    assert found.finish == 2


def test_of_several_that_a_panel_waited_for_the_one_that_ended_last_came_before() -> None:
    found = traced(
        a("w1"),
        a("w2"),
        StepSpec(name="z", agent="a", wants=("w1", "w2"), within=5 * SECOND),
        seconds={"w1": 7, "w2": 50, "z": 10},
    )

    assert found.activities[named(found, "z#1").after].path == "w2"
    assert named(found, "w1#1").fate == "useful"


def test_a_panel_that_waited_for_another_try_waited_for_its_back_off() -> None:
    late = a("w", retry=Retry(tries=2, first=60 * SECOND, jitter=0.0))
    z = StepSpec(name="z", agent="a", wants=("w",), within=5 * SECOND)
    found = traced(late, z, seconds={"w": 2}, faults={"w#1": NO})

    assert shares(found) == {"model:a": 1, "backoff": 3, "rework:failed": 2}
    assert named(found, "z#1").needs == (0, 1)


def test_a_panel_whose_want_has_not_even_begun_waited_for_what_that_needs() -> None:
    found = traced(
        StepSpec(name="ok", kind="approve", input="?"),
        a("w", "ok"),
        StepSpec(name="z", agent="a", wants=("w",), within=5 * SECOND),
        people=People(after=None),
    )

    assert shares(found)["approval:ok"] >= 5
    assert found.activities[named(found, "z#1").after].path == "ok"


def test_a_panel_whose_want_is_still_in_the_queue_waited_for_that() -> None:
    drive = Drive(step("w"), step("z", wants="w", within="5s"), start=False)
    drive.wait(5)
    found = folded(drive.events)

    assert named(found, "z#1").after == 0 and not named(found, "w#1").left


def test_a_second_call_comes_after_the_time_for_which_the_first_was_alone() -> None:
    drive = Drive(step("x", hedge=0.5), hedge=3.0)
    drive.wait(5)
    drive.done("x", n=2)
    drive.wait(2)
    drive.stopped("x", "hedge", n=1)
    found = folded(drive.events)

    assert named(found, "x#2").hedge and named(found, "x#2").after == 0
    assert shares(found) == {"tool:f": 2, "rework:cancelled": 3 + 2}
    assert found.finish == 1 and found.landed == 0


def test_a_second_call_that_comes_too_late_is_discarded() -> None:
    drive = Drive(step("x", hedge=0.5), step("y", needs="x"), hedge=3.0)
    drive.wait(5)
    drive.done("x", n=1)
    drive.wait(1)
    drive.done("x", n=2)
    drive.done("y")

    assert [one.fate for one in folded(drive.events).activities] == [
        "useful",
        "discarded",
        "useful",
    ]


# -- stops and persons ----------------------------------------------------------------------


def test_a_pause_is_told_apart_from_what_the_engine_took() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(2)
    drive.pause()
    drive.wait(1)
    drive.done("x")
    drive.wait(10)
    drive.go_on()
    drive.wait(3)
    drive.done("y")
    found = folded(drive.events)

    assert shares(found) == {"tool:f": 2 + 1 + 3, "pause": 10}
    assert found.stops == [Stop("pause", ns(2), ns(13), (4, 8))]
    assert found.activities[1].after == 0


def test_a_process_that_died_was_down_since_its_last_fact() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(4)
    call = drive.call("x")
    drive.crash(resume=False)
    drive.apply(RunResumed(at=ns(10), epoch=2))
    drive.apply(CallLost(at=ns(10), call=call))
    drive.wait(3)
    drive.done("x")
    drive.wait(2)
    drive.done("y")
    found = folded(drive.events)

    assert shares(found) == {"tool:f": 3 + 2, "rework:lost": 4, "down": 6}
    assert named(found, "x#1").how == "lost" and named(found, "x#1").ended == ns(4)
    assert [(s.kind, s.since, s.until) for s in found.stops] == [("down", ns(4), ns(10))]
    assert found.stops[0].events == (3, 4)


def test_a_lost_call_with_effects_stands_until_a_person_decides() -> None:
    drive = Drive(step("x", agent="shell"), step("y", needs="x"))
    drive.wait(2)
    drive.crash()
    drive.wait(7)
    drive.retry("x")
    drive.wait(3)
    drive.done("x")
    drive.done("y")
    found = folded(drive.events)

    assert shares(found) == {"tool:shell": 3, "rework:lost": 2, "input:x": 7}
    assert chain(found) == ["x#1", "person x", "x#2", "y#1"]


def test_a_failed_run_stands_until_a_person_wants_it_again() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(2)
    drive.fails("x")
    last = drive.at
    drive.machine.at = last + ns(30)
    drive.retry("x")
    drive.wait(1)
    drive.done("x")
    drive.wait(1)
    drive.done("y")
    found = folded(drive.events)

    assert shares(found) == {"tool:f": 2, "rework:failed": 2, "input:x": 30}
    assert named(found, "x#2").needs == (1,)


def test_questions_that_were_open_when_a_run_failed_are_open_again_with_it() -> None:
    drive = Drive(step("x"), step("ok", kind="approve", input="?"), step("y", needs="ok"))
    drive.wait(2)
    drive.fails("x")
    drive.retry("x")
    drive.done("x")
    drive.wait(5)
    now = folded(drive.events)
    drive.approve("ok")
    drive.wait(1)
    drive.done("y")
    found = folded(drive.events)

    assert now.activities[now.finish].path == "ok"
    assert shares(now)["approval:ok"] == 5
    assert shares(found) == {"tool:f": 1, "approval:ok": 5, "rework:failed": 2}


def test_what_a_person_cancels_was_waiting_for_the_oldest_thing_under_way() -> None:
    drive = Drive(step("x"), step("y"), step("ok", kind="approve", input="?"))
    drive.wait(1)
    drive.done("y")
    drive.wait(4)
    drive.cancel()
    drive.wait(2)
    drive.stopped("x", "cancel")
    found = folded(drive.events)

    assert found.status == "cancelled"
    assert found.activities[found.finish].path == "x"
    assert shares(found) == {"rework:cancelled": 7}
    assert named(found, "ok#1").fate == "cancelled"


def test_a_changed_spec_has_its_own_steps() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    drive.wait(2)
    drive.fails("x")
    drive.replace(step("x", input="new"), step("z", needs="x"))
    drive.wait(3)
    drive.done("x")
    drive.wait(1)
    drive.done("z")
    found = folded(drive.events)

    assert chain(found)[-2:] == ["x#2", "z#2"]
    assert shares(found) == {"tool:f": 4, "rework:failed": 2}


# -- teams ----------------------------------------------------------------------------------


def consensus(policy: Policy, **fields: object) -> StepSpec:
    members = tuple(Member(name=f"m{i}", agent="a") for i in range(3))
    team = ConsensusSpec(members=members, policy=policy, **fields)  # type: ignore[arg-type]
    return StepSpec(name="q", kind="consensus", input="Why?", team=team, needs=("x",))


VOTERS = {"a": Player(gives=voter())}
ANSWERS = {"q/m0/answer": 2, "q/m1/answer": 3, "q/m2/answer": 7}


def test_votes_come_after_the_last_answer_and_need_them_all() -> None:
    found = traced(a("x"), consensus("once"), a("y", "q"), players=VOTERS, seconds=ANSWERS)
    vote = named(found, "q/m0/vote#1")

    assert found.activities[vote.after].path == "q/m2/answer"
    assert sorted(found.activities[i].path for i in vote.needs) == sorted(ANSWERS)
    assert all(named(found, f"{path}#1").needs == (0,) for path in ANSWERS)
    assert (vote.team, vote.step) == ("q", "q")
    assert [one.split("/")[-1] for one in chain(found)] == ["x#1", "answer#1", "vote#1", "y#1"]
    assert shares(found) == {"model:a": 1 + 7 + 1 + 1}
    assert found.reports["q"].status == "decided"


def test_what_waits_for_a_team_waited_for_the_vote_that_decided() -> None:
    seconds = ANSWERS | {"q/m2/vote": 30, "z": 20}
    found = traced(
        a("x"), a("z"), consensus("once"), a("y", "q", "z"), players=VOTERS, seconds=seconds
    )
    needs = [found.activities[i].name for i in named(found, "y#1").needs]

    assert named(found, "q/m2/vote#1").fate == "cancelled"
    assert sorted(needs) == ["q/m1/vote#1", "z#1"]


def test_stale_votes_are_stale_and_each_follows_what_made_it_be_asked() -> None:
    found = traced(a("x"), consensus("restart_all"), players=VOTERS, seconds=ANSWERS)
    fates = {one.name: one.fate for one in found.activities}

    assert fates["q/m0/vote#1"] == "stale"
    assert named(found, "q/m0/vote#1").after == 1
    assert shares(found) == {"model:a": 9}


def test_a_team_that_goes_on_without_the_rest_waited_for_them() -> None:
    team = consensus("once", soft=4 * SECOND, quorum=2)
    found = traced(a("x"), team, players=VOTERS, seconds=ANSWERS | {"q/m2/answer": 60})
    vote = named(found, "q/m0/vote#1")

    assert vote.asked == ns(1 + 4)
    assert found.activities[vote.after].path == "q/m2/answer"
    assert shares(found)["rework:cancelled"] == 4


def test_time_in_which_a_team_waited_for_another_try_is_back_off() -> None:
    later = Retry(tries=2, first=60 * SECOND, jitter=0.0)
    team = msgspec.structs.replace(consensus("once", soft=4 * SECOND, quorum=2), retry=later)
    seconds = ANSWERS | {"q/m2/answer": 1}
    found = traced(a("x"), team, players=VOTERS, seconds=seconds, faults={"q/m2/answer#1": NO})

    assert chain(found) == ["x#1", "q/m1/answer#1", "timer q", "q/m0/vote#1"]
    assert shares(found) == {"model:a": 1 + 3 + 1, "backoff": 1}


def test_time_that_a_team_only_let_pass_is_idle() -> None:
    later = Retry(tries=2, first=60 * SECOND, jitter=0.0)
    team = msgspec.structs.replace(consensus("once", hard=4 * SECOND, quorum=2), retry=later)
    seconds = ANSWERS | {"q/m2/answer": 1}
    found = traced(a("x"), team, players=VOTERS, seconds=seconds, faults={"q/m2/answer#1": NO})
    (timer,) = [one for one in found.activities if one.work == "timer"]

    assert (timer.name, timer.team, timer.asked, timer.ended) == ("q#0", "q", ns(4), ns(5))
    assert shares(found) == {"model:a": 1 + 3 + 1, "idle": 1}


def test_verdicts_come_after_what_they_judge() -> None:
    review = ReviewSpec(members=(Member(name="r", agent="b"),), swarm=3, waves=False)
    found = traced(
        a("x", review=review),
        a("y", "x"),
        agents={"a": MODEL, "b": MODEL},
        players={"b": Player(gives=reviewer())},
        seconds={"b": 2, "a": 4},
    )
    judged = [one for one in found.activities if one.agent == "b"]

    assert all(found.activities[one.after].path == "x/author" for one in judged)
    assert all(one.team == "x" and one.step == "x" for one in judged)
    assert shares(found) == {"model:a": 8, "model:b": 2}


# -- what else is told ----------------------------------------------------------------------


def test_equal_questions_have_equal_names_and_others_have_others() -> None:
    found = traced(a("x", input="the same"), a("y", "x", input="the same"), a("z", input="another"))
    x, y, z = (named(found, f"{name}#1").asks for name in "xyz")

    assert x and x == y and z and z != x


def test_tools_and_models_whose_answers_are_kept_have_no_name_for_what_they_are_asked() -> None:
    found = traced(StepSpec(name="x", agent="f", input="the same"), agents={"f": TOOL})

    assert named(found, "x#1").asks == ""


def test_a_model_is_named_where_its_agent_names_it() -> None:
    agents = {"a": AgentSpec(kind="model", options={"model": "openai:gpt-9"})}
    found = traced(a("x"), agents=agents)

    assert named(found, "x#1").model == "openai:gpt-9"


def test_facts_that_mean_nothing_do_not_disturb() -> None:
    events = run(a("x"), a("y", "x"), seconds={"x": 3, "y": 4}).events
    early = [
        CallFinished(at=0, call=Call("y", 9)),
        CallStarted(at=0, call=Call("no", 1), agent="a"),
    ]
    again = next(event for event in events if isinstance(event, CallFinished))
    odd = [events[0], *early, *events[1:3], again, *events[3:]]

    found, plain = folded(odd), folded(events)
    assert shares(found) == shares(plain)
    assert [one.name for one in found.activities if one.agent and one.path != "no"] == [
        "x#1",
        "y#1",
    ]


def test_a_run_under_way_shows_what_waits_and_what_backs_off() -> None:
    drive = Drive(
        step("x"), step("y", retry=Retry(tries=2, first=60 * SECOND, jitter=0.0)), start=False
    )
    drive.launch("y")
    drive.wait(2)
    drive.fails("y")
    drive.wait(3)
    found = folded(drive.events)
    x, y = named(found, "x#1"), named(found, "y#2")

    assert (x.left, x.began, x.waits) == (False, ns(5), (Wait("unknown", 0, ns(5)),))
    assert (y.left, y.waits) == (False, (Wait("backoff", ns(2), ns(5)),))
    assert found.status == "running" and found.ended == ns(5)
    assert found.activities[found.finish].name == "x#1"


@pytest.mark.parametrize("policy", ["once", "restart_all", "cancel", "sequential"])
def test_at_every_instant_a_streaming_fold_says_what_a_whole_one_does(policy: Policy) -> None:
    steps = (a("x"), consensus(policy), a("y", "q"))
    events = recorded(run(*steps, players=VOTERS, seconds=ANSWERS).events)
    folding, so_far = Folding(new_machine()), list[Recorded]()
    for event in events:
        folding.add(event)
        so_far.append(event)
        streamed = folding.trace(fates_of(folding.machine.workflow))
        assert streamed == trace_of(so_far, new_machine(), fates_of)
        assert sum(account(streamed).shares.values()) == streamed.took


def test_a_trace_stays_as_it_is_while_its_folding_goes_on() -> None:
    events = recorded(run(a("x"), a("y", "x")).events)
    folding = Folding(new_machine())
    for event in events[:2]:
        folding.add(event)
    early = folding.trace()
    same = folding.trace()
    for event in events[2:]:
        folding.add(event)

    assert early == same and early.activities[0].ended is None
    assert folding.trace().finish != START


def test_a_run_without_events_has_no_trace() -> None:
    with pytest.raises(EngineBug, match="run_started"):
        trace_of([], new_machine(), fates_of)
