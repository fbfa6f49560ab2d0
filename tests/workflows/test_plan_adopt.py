"""A changed spec keeps what is finished where definition, agents and inputs are equal."""

import msgspec
from tests.machines import AGENTS, Drive, plan, step

from hocket.core.specs import AgentSpec, InputSpec, LimitSpec, Repeat
from hocket.core.values import SECOND


def failed(*steps) -> Drive:
    """A plan whose last step, x, has failed after all others had succeeded."""
    drive = Drive(*steps, step("x", needs=tuple(s.name for s in steps)))
    while "x" not in drive.flying:
        drive.done(drive.flying[0], drive.flying[0])
    return drive.fails("x")


def test_finished_steps_that_are_equal_are_kept() -> None:
    drive = failed(step("a"), step("b", input="{{a}}"))
    drive.replace(step("a"), step("b", input="{{a}}"), step("x", input="changed {{b}}"))
    assert (drive.flying, drive.given("x")) == (["x"], "changed b")
    assert drive.done("x").phase == "succeeded"


def test_a_changed_step_is_done_anew_and_so_is_what_builds_on_it() -> None:
    drive = failed(step("a"), step("b", needs="a"), step("c"))
    drive.replace(step("a", input="new"), step("b", needs="a"), step("c"), step("x", needs="b c"))
    assert (drive.flying, drive.status("c")) == (["a"], "succeeded")


def test_a_step_whose_agent_has_changed_is_done_anew() -> None:
    drive = failed(step("a"), step("b", agent="g"))
    agents = AGENTS | {"g": AgentSpec(kind="function", options={"new": 1})}
    drive.replace(step("a"), step("b", agent="g"), step("x", needs="a b"), agents=agents)
    assert drive.flying == ["b"]


def test_limits_do_not_change_what_a_step_gives() -> None:
    drive = failed(step("a"), step("b", agent="g"))
    limits = {"api": LimitSpec(), "gpu": LimitSpec(concurrency=1)}
    drive.spec = msgspec.structs.replace(drive.spec, limits=limits)
    agents = AGENTS | {"g": msgspec.structs.replace(AGENTS["g"], limits=("api",))}
    bounded = step("a", uses={"gpu": 1}, takes=SECOND, hedge=0.9)
    drive.replace(bounded, step("b", agent="g"), step("x", needs="a b"), agents=agents)
    assert drive.flying == ["x"]


def test_steps_may_come_and_go() -> None:
    drive = failed(step("a"), step("b"))
    drive.replace(step("new", needs="a"), step("a"))
    assert (drive.flying, drive.status("a")) == (["new"], "succeeded")


def test_a_run_that_is_under_way_goes_on_with_the_new_spec() -> None:
    drive = Drive(step("a"), step("b", needs="a"), start=False).launch("a").done("a", 1)
    drive.replace(step("a"), step("b", needs="a", input="new"))
    assert [str(s.call) for s in drive.asked.values()] == ["b#2"]


def test_a_paused_run_goes_on() -> None:
    drive = Drive(step("a"), step("b", needs="a")).pause().done("a")
    assert drive.replace(step("a"), step("b", needs="a", input="new")).flying == ["b"]


def test_items_that_are_done_are_kept_if_the_list_is_equal() -> None:
    drive = Drive(step("s", each="[1, 2, 3]"), step("x", needs="s"))
    drive.done("s/0", "kept").fails("s/1").stopped("s/2")
    drive.replace(step("s", each="[1, 2, 3]"), step("x", needs="s", input="new"))
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["s/1#2", "s/2#2"]


def test_items_are_done_anew_if_the_step_has_changed() -> None:
    drive = Drive(step("s", each="[1, 2]")).done("s/0").fails("s/1")
    assert drive.replace(step("s", each="[1, 2]", input="new")).flying == ["s/0", "s/1"]


def test_rounds_that_are_done_are_kept() -> None:
    loop = step("s", repeat=Repeat(until="s == 1", max=9))
    drive = Drive(loop, step("x")).done("s", 0).fails("x").stopped("s~2")
    assert drive.replace(loop, step("x", input="new")).flying == ["s~2", "x"]


def test_a_nested_plan_keeps_its_finished_steps() -> None:
    def inner(text: str):
        return plan(step("i"), step("j", needs="i", input=text), name="inner")

    drive = Drive(step("o", kind="plan", plan=inner("old"))).done("o/i", 1).fails("o/j")
    drive.replace(step("o", kind="plan", plan=inner("new")))
    assert (drive.flying, drive.given("o/j")) == (["o/j"], "new")


def test_a_nested_plan_whose_inputs_have_changed_begins_anew() -> None:
    inner = plan(step("i"), step("j", needs="i"), inputs="k", name="inner")
    drive = Drive(step("o", kind="plan", plan=inner, input={"k": 1})).done("o/i").fails("o/j")
    assert drive.replace(step("o", kind="plan", plan=inner, input={"k": 2})).flying == ["o/i"]


def test_a_changed_default_counts_as_changed_inputs() -> None:
    def spec(default: int):
        inputs = {"k": InputSpec(required=False, default=default)}
        return plan(step("a"), step("x", needs="a"), inputs=inputs)

    drive = Drive(spec(1)).done("a").fails("x")
    assert drive.replace(spec(2)).flying == ["a"]


def test_a_step_that_went_on_without_a_want_that_failed_is_kept() -> None:
    steps = (step("w"), step("a", wants="w"))
    drive = Drive(*steps, step("x", needs="a")).fails("w").done("a").fails("x")
    drive.replace(*steps, step("x", needs="a", input="new"))
    assert (drive.status("a"), drive.flying) == ("succeeded", ["w", "x"])
    assert drive.done("x").stops[-1] == ("w", "stop", False)


def test_a_step_that_was_skipped_is_judged_anew_and_what_wanted_it_is_kept() -> None:
    steps = (step("w", when="1 == 2"), step("a", wants="w"))
    drive = Drive(*steps, step("x", needs="a")).done("a").fails("x")
    drive.replace(*steps, step("x", needs="a", input="new"))
    assert (drive.status("w"), drive.flying) == ("skipped", ["x"])


def test_an_open_question_is_put_anew() -> None:
    ask = step("q", kind="approve", input="{{item}}?", each="[1, 2]")
    drive = Drive(ask, step("x")).approve("q/0").fails("x")
    drive.replace(ask, step("x", input="new"))
    assert [e.path for e in drive.said("ApprovalAsked")] == ["q/0", "q/1", "q/1"]
    assert drive.approve("q/1").status("q") == "succeeded"


def test_a_plan_whose_steps_are_all_kept_ends_at_once() -> None:
    drive = failed(step("a"))
    assert drive.replace(step("a")).phase == "succeeded"
