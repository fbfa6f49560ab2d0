"""Panels: contributions side by side, a reply of what is there in time, perhaps a revision."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machines import AGENTS, Drive, plan, run_spec, step

from hocket.core.errors import ExprError
from hocket.core.specs import Learned, PlanSpec, StepSpec
from hocket.core.values import SECOND, Json
from hocket.workflows.check import problems
from hocket.workflows.panel import Panel, is_panel, panel_plan, panel_step

QUESTION = "why?"


def panel(*contributors: StepSpec | str, **fields: Any) -> Panel:
    steps = tuple(step(c) if isinstance(c, str) else c for c in contributors)
    for name in ("within", "late"):
        if isinstance(fields.get(name), int | float):
            fields[name] = round(fields[name] * SECOND)
    fields.setdefault("synthesis", step("x", agent="g"))
    return Panel(question="{{inputs.q}}", contributors=steps, **fields)


def alone(*contributors: StepSpec | str, **fields: Any) -> Drive:
    """A panel that is a run's plan."""
    return Drive(panel_plan(panel(*contributors, **fields)), inputs={"question": QUESTION})


def nested(*contributors: StepSpec | str, **fields: Any) -> Drive:
    """A panel that is a step named r."""
    return within(panel_step("r", panel(*contributors, **fields)), q=QUESTION)


def within(*steps: StepSpec, **inputs: Json) -> Drive:
    """A plan with these inputs."""
    return Drive(plan(*steps, inputs=" ".join(inputs)), inputs=inputs)


# -- side by side ---------------------------------------------------------------------------


def test_contributors_are_asked_at_once_and_get_the_question() -> None:
    drive = alone("a", step("b", input="think: {{question}}"))
    assert drive.flying == ["a", "b"]
    assert (drive.given("a"), drive.given("b")) == ("why?", "think: why?")


def test_the_reply_is_asked_for_when_all_have_contributed() -> None:
    drive = alone("a", "b").done("b", "two")
    assert drive.flying == ["a"]
    drive.done("a", "one")
    assert (drive.flying, drive.agent("synthesis")) == (["synthesis"], "g")
    given = str(drive.given("synthesis"))
    assert given.startswith(
        "why?\n\nContribution of a:\none\n\nContribution of b:\ntwo\n\n\nReply to"
    )
    assert "No contribution" not in given
    assert drive.done("synthesis", "because").output == {
        "reply": "because",
        "contributions": {"a": "one", "b": "two"},
        "missing": {},
        "skipped": {},
        "revised": False,
    }


def test_a_contributor_begins_the_moment_those_that_it_needs_are_done() -> None:
    drive = alone("a", "b", step("c", input="{{a}} more"))
    assert drive.done("a", "one").flying == ["b", "c"]
    assert drive.given("c") == "one more"


def test_a_step_of_a_plan_can_be_a_panel() -> None:
    drive = nested("a", "b", quorum=1)
    assert drive.flying == ["r/a", "r/b"]
    drive.done("r/a", "one")
    assert drive.given("r/b") == QUESTION
    output = drive.done("r/synthesis", "because").output
    assert output == {
        "reply": "because",
        "contributions": {"a": "one"},
        "missing": {"b": "late"},
        "skipped": {},
        "revised": False,
    }


# -- in time --------------------------------------------------------------------------------


def test_a_quorum_is_enough_and_the_reply_is_told_who_is_late() -> None:
    drive = alone("a", "b", "c", quorum=2).done("a", 1).done("c", {"x": 3})
    assert drive.flying == ["b", "synthesis"]
    given = str(drive.given("synthesis"))
    assert 'Contribution of a:\n1\n\nContribution of c:\n{"x":3}\n' in given
    assert "No contribution of b: late\n" in given


def test_the_deadline_is_enough_even_without_a_quorum() -> None:
    drive = alone("a", "b", quorum=2, within=1).wait(0.999)
    assert drive.flying == ["a", "b"]
    assert drive.wait(0.001).flying == ["a", "b", "synthesis"]
    assert drive.done("synthesis", "nobody knows").output["missing"] == {"a": "late", "b": "late"}


def test_late_contributions_are_cut_off_once_the_reply_is_there() -> None:
    drive = alone("a", "b", within=1).wait(1)
    assert drive.stops == []
    drive.done("synthesis", "short")
    assert [path for path, _, _ in drive.stops] == ["a", "b"]
    assert drive.stopped("a").stopped("b").phase == "succeeded"


def test_what_comes_while_the_reply_is_made_is_not_said_to_be_in_it() -> None:
    drive = alone("a", "b", quorum=1).done("a", 1).done("b", 2)
    output = drive.done("synthesis", "of one").output
    assert (output["contributions"], output["missing"]) == ({"a": 1}, {"b": "late"})


def test_a_reply_that_is_asked_for_again_is_made_of_the_same() -> None:
    drive = alone("a", "b", quorum=1, synthesis=step("x", fallback="g")).done("a", 1)
    first = drive.given("synthesis")
    drive.done("b", 2).fails("synthesis", "permanent")
    assert drive.agent("synthesis") == "g"
    assert drive.given("synthesis") == first


def test_how_long_is_waited_may_be_learned_and_is_the_cap_until_then() -> None:
    learned = Learned(cap=3 * SECOND, floor=SECOND)
    spec = panel_plan(panel("a", within=learned))
    gather = next(s for s in spec.steps if s.name == "gather")
    assert (gather.within, gather.learned) == (3 * SECOND, {"within": learned})


# -- what goes wrong ------------------------------------------------------------------------


def test_a_contributor_that_fails_is_missing_and_nothing_else_happens() -> None:
    drive = alone("a", "b").fails("a").done("b", 2)
    assert "No contribution of a: failed: broken\n" in str(drive.given("synthesis"))
    output = drive.done("synthesis", "half").output
    assert (drive.phase, output["missing"]) == ("succeeded", {"a": "failed: broken"})


def test_a_contributor_that_needs_a_lost_one_is_missing_too() -> None:
    drive = alone("a", step("b", needs=("a",)), "c").fails("a").done("c")
    missing = drive.done("synthesis").output["missing"]
    assert missing == {"a": "failed: broken", "b": "needs a, which failed"}


def test_a_fallback_takes_a_contributors_place() -> None:
    drive = alone(step("a", fallback="g")).fails("a", "permanent")
    assert (drive.flying, drive.agent("a")) == (["a"], "g")
    assert drive.done("a", 1).done("synthesis").output["contributions"] == {"a": 1}


def test_a_contributor_that_hangs_is_cut_off_by_its_own_time_limit() -> None:
    drive = alone(step("a", timeout="1s"), "b").done("b", 2).wait(1)
    assert [path for path, _, _ in drive.stops] == ["a"]
    drive.stopped("a", "timeout")
    assert "synthesis" in drive.flying


def test_the_run_fails_if_nobody_can_reply() -> None:
    drive = alone("a").done("a").fails("synthesis", "permanent")
    assert (drive.phase, drive.reason) == ("failed", "step 'synthesis' failed: broken")


def test_no_reply_is_paid_for_if_all_contributors_failed() -> None:
    drive = alone("a", step("b", needs=("a",)), step("c", when="false"), quorum=1).fails("a")
    assert (drive.phase, drive.flying) == ("failed", [])
    assert drive.reason == (
        "step 'gather' failed: there is no contribution at all: "
        "a: failed: broken; b: needs a, which failed"
    )


def test_a_panel_that_nobody_contributed_to_can_be_retried() -> None:
    drive = alone("a").fails("a").retry()
    assert drive.flying == ["a"]
    drive.done("a", 1)
    assert drive.flying == ["synthesis"]
    assert drive.done("synthesis").output["contributions"] == {"a": 1}


def test_a_reply_that_is_due_is_made_though_nobody_has_contributed_yet() -> None:
    drive = alone("a", "b", within=1).fails("a").wait(1)
    assert drive.flying == ["b", "synthesis"]


def test_a_reply_stands_if_those_who_were_late_fail_in_the_end() -> None:
    drive = alone("a", within=1, late=5).wait(1).done("synthesis", "of none").fails("a")
    assert drive.phase == "succeeded"
    assert drive.output == {
        "reply": "of none",
        "contributions": {},
        "missing": {"a": "late"},
        "skipped": {},
        "revised": False,
    }


def test_a_retry_waits_for_contributors_that_failed_again() -> None:
    drive = alone("a", "b").fails("a").done("b", 2).fails("synthesis", "permanent")
    drive.retry()
    assert drive.flying == ["a"]
    drive.done("a", 1)
    assert drive.flying == ["synthesis"]
    assert drive.done("synthesis").output["contributions"] == {"a": 1, "b": 2}


def test_a_contributor_done_again_beside_its_reply_changes_nothing() -> None:
    drive = alone("a", "b").fails("a").done("b", 2).retry("a")
    assert drive.flying == ["synthesis", "a"]
    assert drive.done("synthesis").done("a", 1).output["missing"] == {"a": "failed: broken"}


def test_a_panel_goes_on_after_a_crash() -> None:
    drive = nested("a", "b", "c", within=2).done("r/a", 1).wait(1.5)
    drive.crash()
    assert drive.flying == ["r/b", "r/c"]
    drive.wait(0.5)
    assert drive.flying == ["r/b", "r/c", "r/synthesis"]
    drive.crash()
    output = drive.done("r/synthesis", "x").output
    assert output["missing"] == {"b": "late", "c": "late"}


# -- who is asked ---------------------------------------------------------------------------


def test_a_rule_says_of_each_contributor_whether_it_is_needed() -> None:
    drive = alone("a", step("b", when="question == 'how?'"))
    assert drive.flying == ["a"]
    assert "of b" not in str(drive.done("a").given("synthesis"))


def test_an_expression_selects_the_contributors() -> None:
    drive = nested("a", "b", "c", select="['a', inputs.q == 'why?' and 'c']")
    assert drive.flying == ["r/a", "r/c"]


def test_those_who_are_not_needed_are_not_missing() -> None:
    drive = alone("a", "b", select="['a']").done("a")
    assert drive.done("synthesis").output["missing"] == {}
    assert drive.status("b") == "skipped"


ROUTER = step("x", agent="g")


def test_a_router_is_asked_first_and_the_others_begin_once_it_is_done() -> None:
    drive = alone("a", "b", "c", select=ROUTER, about={"a": "what was said before"})
    assert (drive.flying, drive.agent("select")) == (["select"], "g")
    assert "why?" in str(drive.given("select"))
    assert "- a: what was said before\n- b\n- c\n" in str(drive.given("select"))
    schema = drive.machine.calls.jobs["select"].spec.output
    assert schema == {"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}}
    assert drive.done("select", ["c", "a"]).flying == ["a", "c"]
    assert drive.status("b") == "skipped"


def test_a_router_that_needs_nobody_leads_to_the_reply_at_once() -> None:
    drive = alone("a", select=ROUTER).done("select", [])
    assert drive.flying == ["synthesis"]
    assert drive.done("synthesis", "because").output == {
        "reply": "because",
        "contributions": {},
        "missing": {},
        "skipped": {"a": "when: select == null or 'a' in select is false"},
        "revised": False,
    }


def test_if_the_router_fails_all_are_asked() -> None:
    drive = alone("a", "b", select=ROUTER).fails("select")
    assert drive.flying == ["a", "b"]


def test_the_time_for_contributions_counts_from_when_they_may_begin() -> None:
    drive = alone("a", select=ROUTER, within=1).wait(10).done("select", ["a"]).wait(0.999)
    assert drive.flying == ["a"]
    assert "synthesis" in drive.wait(0.001).flying


def test_a_contributors_own_condition_counts_beside_the_router() -> None:
    drive = alone("a", step("b", when="question == 'how?' or false"), select=ROUTER)
    assert drive.done("select", ["a", "b"]).flying == ["a"]


# -- revision -------------------------------------------------------------------------------


def test_a_reply_is_revised_with_what_came_late() -> None:
    drive = alone("a", "b", quorum=1, late=5).done("a", 1).done("synthesis", "of one")
    assert (drive.flying, drive.stops) == (["b"], [])
    drive.done("b", 2)
    assert drive.flying == ["revision"]
    given = str(drive.given("revision"))
    assert "The reply so far:\n\nof one\n" in given
    assert "Contribution of a:\n1\n\nContribution of b:\n2\n" in given
    assert drive.done("revision", "of both").output == {
        "reply": "of both",
        "contributions": {"a": 1, "b": 2},
        "missing": {},
        "skipped": {},
        "revised": True,
    }


def test_what_came_while_the_reply_was_made_is_used_at_once() -> None:
    drive = alone("a", "b", quorum=1, late=5).done("a", 1).done("b", 2).done("synthesis", "x")
    assert drive.flying == ["revision"]


def test_nothing_is_revised_if_nothing_came_late() -> None:
    drive = alone("a", "b", late=5).done("a", 1).fails("b").done("synthesis", "first")
    assert drive.phase == "succeeded"
    assert drive.output["reply"] == "first"
    assert drive.output["revised"] is False
    assert drive.output["missing"] == {"b": "failed: broken"}


def test_late_contributions_are_waited_for_only_so_long() -> None:
    drive = alone("a", "b", quorum=1, late=5).done("a", 1).done("synthesis", "first").wait(5)
    assert [path for path, _, _ in drive.stops] == ["b"]
    assert drive.stopped("b").phase == "succeeded"
    assert (drive.output["reply"], drive.output["missing"]) == ("first", {"b": "late"})


def test_some_late_contributions_are_better_than_none() -> None:
    drive = alone("a", "b", "c", quorum=1, late=5).done("a", 1).done("synthesis", "first")
    drive.done("b", 2).wait(5)
    assert "No contribution of c: late" in str(drive.given("revision"))
    output = drive.done("revision", "second").output
    assert (output["contributions"], output["missing"]) == ({"a": 1, "b": 2}, {"c": "late"})


def test_a_revision_that_fails_leaves_the_reply_as_it_was() -> None:
    drive = alone("a", "b", quorum=1, late=5).done("a", 1).done("b", 2).done("synthesis", "first")
    output = drive.fails("revision", "permanent").output
    assert (drive.phase, output["reply"], output["revised"]) == ("succeeded", "first", False)
    assert output["missing"] == {"b": "late"}


def test_somebody_else_may_revise() -> None:
    revision = step("x", agent="f", input="{{reply}} + {{contributions.b}} - {{missing}}")
    drive = alone("a", "b", quorum=1, late=5, revision=revision)
    drive.done("a", 1).done("b", 2).done("synthesis", "first")
    assert (drive.agent("revision"), drive.given("revision")) == ("f", "first + 2 - {}")


# -- texts ----------------------------------------------------------------------------------


def test_texts_of_a_panel_may_name_what_is_outside() -> None:
    spec = panel(
        step("a", input="{{draft.title}} for {{inputs.user}}: {{question}}", when="draft.ready"),
        step("b", input={"run": "{{run.id}}", "about": ["{{steps.a.status}}", "{{draft}}"]}),
    )
    drive = within(step("draft"), panel_step("r", spec), q=QUESTION, user="ann")
    assert drive.flying == ["draft"]
    drive.done("draft", {"title": "T", "ready": True})
    assert drive.given("r/a") == "T for ann: why?"
    drive.done("r/a")
    given: Any = drive.given("r/b")
    assert given["run"] == "r1"
    assert given["about"] == ["succeeded", {"title": "T", "ready": True}]


def test_the_item_of_an_outer_step_is_known_within() -> None:
    spec = panel_step("r", panel(step("a", input="{{item}}-{{index}}")), each="inputs.q")
    drive = within(spec, q=[7, 8])
    assert [drive.given(path) for path in drive.flying] == ["7-0", "8-1"]


def test_a_synthesis_of_ones_own_words_may_name_contributors() -> None:
    words = "{{a}}|{{b}}|{{contributions}}|{{missing.b}}|{{steps.b.status}}"
    drive = alone("a", "b", synthesis=step("x", input=words)).done("a", "one").fails("b")
    assert drive.given("synthesis") == 'one||{"a":"one"}|failed: broken|failed'


def test_a_function_gets_what_it_was_given() -> None:
    drive = alone("a", synthesis=step("x", input={"all": "{{contributions}}"})).done("a", 1)
    assert drive.given("synthesis") == {"all": {"a": 1}}


def test_an_input_in_the_way_of_a_steps_name_is_refused() -> None:
    spec = panel(step("a", input="{{draft}} {{inputs.outer-draft}}"))
    with pytest.raises(ExprError, match="rename"):
        panel_step("r", spec)


def test_a_name_that_nobody_has_is_a_mistake_where_the_panel_stands() -> None:
    spec = run_spec(plan(panel_step("r", panel(step("a", input="{{nobody}}"))), inputs="q"))
    found = [(problem.where, problem.message) for problem in problems(spec)]
    assert found == [(("steps", "r", "input", "outer-nobody"), "unknown name 'nobody'")]


def test_a_text_that_cannot_be_read_is_a_mistake_where_it_stands() -> None:
    spec = run_spec(plan(panel_step("r", panel(step("a", input="{{1 +}}"))), inputs="q"))
    assert problems(spec)[0].where == ("steps", "r", "plan", "steps", "a", "input")


# -- gathering ------------------------------------------------------------------------------


def test_a_step_that_gathers_gives_what_is_there_by_then() -> None:
    drive = Drive(
        step("a"),
        step("b"),
        step("c", when="1 == 2"),
        StepSpec(name="g", kind="gather", wants=("a", "b", "c"), quorum=1),
        step("d", input="{{g.there.a}} {{g.missing.b}} {{g.skipped.c}}"),
    )
    drive.done("a", 1)
    assert drive.given("d") == "1 late when: 1 == 2 is false"


def mistakes(gather: StepSpec, *more: StepSpec) -> list[str]:
    return [problem.message for problem in problems(run_spec(plan(step("a"), gather, *more)))]


def test_a_step_that_gathers_wants_something_and_asks_nobody() -> None:
    assert mistakes(StepSpec(name="g", kind="gather")) == [
        "step 'g' gathers what it wants: name steps"
    ]
    given = StepSpec(name="g", kind="gather", wants=("a",), input="x", each="inputs", agent="f")
    assert mistakes(given) == [
        "a step of kind 'gather' has no agent",
        "a step that gathers has no each",
        "a step that gathers has no input",
    ]


def test_what_was_gathered_has_three_fields() -> None:
    gather = StepSpec(name="g", kind="gather", wants=("a",))
    found = mistakes(gather, step("b", input="{{g.a}}"))
    assert found == ["'g' has no field 'a'; it has there, missing, skipped"]


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ({"timeout": Learned(cap=SECOND, floor=2 * SECOND)}, "floor lies between 0 and cap"),
        ({"timeout": Learned(cap=SECOND, quantile=95)}, "what is learned is a quantile like p95"),
        ({"retry": Learned(cap=SECOND)}, "'retry' is not learned"),
    ],
)
def test_what_cannot_be_learned_is_refused(learned: dict[str, Learned], said: str) -> None:
    found = problems(run_spec(plan(step("a", learned=learned))))
    assert [problem.message.startswith(said) for problem in found] == [True]


def test_a_contributor_cannot_have_the_name_of_a_step_of_the_panels() -> None:
    found = problems(run_spec(panel_plan(panel("gather"))))
    assert "there are two steps named 'gather'" in [problem.message for problem in found]


def test_the_plan_of_a_panel_is_known_as_one() -> None:
    assert is_panel(panel_plan(panel("a")))
    assert not is_panel(plan(step("gather"), step("synthesis")))
    assert not is_panel(PlanSpec(name="p", steps=(step("a"),)))


# -- every order ----------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")
FATES = st.sampled_from(("done", "fails", "waits", "crash"))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((*NAMES, "synthesis", "revision")), FATES), max_size=14),
    st.integers(1, 4),
    st.booleans(),
)
def test_every_order_ends_in_one_outcome_that_says_what_it_was_made_of(
    acts: list[tuple[str, str]], quorum: int, revises: bool
) -> None:
    spec = panel_plan(panel(*NAMES, quorum=quorum, within=4, late=3 if revises else None))
    drive = Drive(spec, inputs={"question": QUESTION}, thorough=False)
    asked: dict[str, str] = {}

    def act(path: str, fate: str) -> None:
        if fate == "waits":
            drive.wait(1)
        elif fate == "crash" and drive.machine.end is None:
            drive.crash()
        elif path in drive.flying:
            if path in ("synthesis", "revision"):
                asked[path] = str(drive.given(path))
            end: Any = drive.done if fate == "done" else drive.fails
            end(path, *(["of " + path] if fate == "done" else ["permanent"]))

    for path, fate in acts:
        act(path, fate)
    for _ in range(20):
        drive.wait(1)
        for path in list(drive.flying):
            act(path, "done")
    ends = drive.said("RunEnded")
    assert len(ends) == 1
    if drive.phase == "succeeded":
        output: Json = drive.output
        made_by = "revision" if output["revised"] else "synthesis"
        assert output["reply"] == f"of {made_by}"
        for name in NAMES:
            there = f"Contribution of {name}:\nof {name}" in asked[made_by]
            assert there == (name not in output["missing"])
            assert there <= (name in output["contributions"])
    else:
        assert drive.reason.startswith(("step 'synthesis' failed", "step 'gather' failed"))


def test_the_agents_of_these_tests_do_no_harm() -> None:
    assert not any(AGENTS[name].effects for name in "fg")
