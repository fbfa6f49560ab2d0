"""Agents with tools: turns and calls of tools, each a job of its own."""

from __future__ import annotations

import msgspec
import pytest
from tests.machines import Drive, plan, step
from tests.workflows.talks import (
    GREP,
    READ,
    TOOLS,
    WRITE,
    agents,
    answer,
    messages,
    result,
    talk,
    turn,
)

from hocket.app.questions import open_questions
from hocket.core.errors import Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import Departure, Do, End, JobSpec, Landing
from hocket.core.specs import PERSON_TIMEOUT, Retry
from hocket.core.teams import Tool
from hocket.core.values import HOUR, SECOND, Json, digest
from hocket.workflows.conversation import NO_MORE, Conversation

DAY = PERSON_TIMEOUT // SECOND
FIRST = {"role": "user", "text": "Find it"}


# ---- turns and calls ----


def test_a_conversation_from_its_prompt_to_its_answer() -> None:
    drive = talk()
    assert drive.flying == ["s/turn"]
    assert drive.given("s/turn") == {"$": "talk", "messages": [FIRST]}
    drive.done("s/turn", turn(GREP, READ, text="Let me see"))
    assert drive.flying == ["s/grep/0", "s/read/1"]
    assert drive.given("s/grep/0") == {"args": ["x", 9]}
    assert drive.given("s/read/1") == {"file": "a"}
    assert (drive.agent("s/grep/0"), drive.agent("s/read/1")) == ("shell", "f")
    drive.done("s/read/1", {"lines": 2})
    assert drive.flying == ["s/grep/0"], "a turn waits for all that it has asked for"
    drive.done("s/grep/0", "x: 1")
    assert drive.flying == ["s/turn~2"]
    said = {"role": "agent", "text": "Let me see", "calls": turn(GREP, READ)["calls"]}
    results = [result(0, "grep", "x: 1"), result(1, "read", {"lines": 2})]
    assert messages(drive, "s/turn~2") == [FIRST, said, *results], "in the order asked for"
    drive.done("s/turn~2", turn(GREP))
    assert drive.flying == ["s/grep/0~2"]
    drive.done("s/grep/0~2", "").done("s/turn~3", answer({"it": "x"}))
    assert drive.flying == ["end"]
    assert drive.given("end") == {"it": "x"}
    assert drive.done("end").phase == "succeeded"


def test_the_model_is_told_of_its_tools_with_every_turn() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "")
    told = drive.machine.calls.jobs["s/turn~2"].spec.tools
    assert told[0] == Tool("grep", "Search the sources", TOOLS["grep"].schema)
    assert [tool.name for tool in told] == ["grep", "read", "write"]


def test_an_answer_needs_no_tool() -> None:
    assert talk().done("s/turn", answer("x")).given("end") == "x"


def test_what_a_provider_wants_to_see_again_stays_in_its_message() -> None:
    drive = talk().done("s/turn", turn(READ, kept={"parts": [1]})).done("s/read/0", "")
    assert messages(drive, "s/turn~2")[1]["kept"] == {"parts": [1]}


@pytest.mark.parametrize("given", ["x", {"any": 1}, None, {"$": "turn", "answer": "y"}])
def test_a_person_may_say_what_a_lost_turn_gave(given: Json) -> None:
    drive = Drive(
        step("s", agent="m", input="Find it", effects=True),
        step("end", input="{{s}}"),
        agents=agents(),
    ).crash()
    assert drive.held == ["s/turn"]
    drive.send("s/turn", given)
    assert drive.given("end") == ("y" if isinstance(given, dict) and "$" in given else given)


@pytest.mark.parametrize(
    "calls", [None, "x", [1], [{"id": "a", "name": "read"}], [{"id": 1, "name": "read", "args": 1}]]
)
def test_a_turn_whose_calls_make_no_sense_calls_nothing(calls: Json) -> None:
    drive = talk().done("s/turn", {"$": "turn", "calls": calls, "answer": "so"})
    assert drive.given("end") == "so"


def test_a_prompt_may_come_with_a_system_text() -> None:
    drive = Drive(step("s", agent="m", input={"prompt": "P", "system": "S"}), agents=agents())
    assert messages(drive, "s/turn") == [{"role": "user", "text": "P"}]
    assert drive.machine.calls.jobs["s/turn"].spec.options == {"system": "S"}


def test_each_item_has_a_conversation_of_its_own() -> None:
    drive = Drive(step("s", agent="m", input="{{item}}", each="[1, 2]"), agents=agents())
    assert drive.flying == ["s/0/turn", "s/1/turn"]
    drive.done("s/1/turn", turn(READ)).done("s/0/turn", answer("a"))
    assert drive.flying == ["s/1/read/0"]
    drive.done("s/1/read/0", "").done("s/1/turn~2", answer("b"))
    assert drive.output == ["a", "b"]


def test_a_report_says_what_became_of_the_calls() -> None:
    drive = talk().done("s/turn", turn(READ, GREP)).fails("s/read/0").done("s/grep/1", "")
    report = drive.machine.workflow.reports()["s"]
    assert (report.kind, report.status, report.waiting) == ("tools", "open", 1)
    drive.done("s/turn~2", answer("x"))
    report = drive.machine.workflow.reports()["s"]
    assert (report.status, report.winner, report.output) == ("decided", "m", "x")
    assert {fate: of.calls for fate, of in report.fates.items()} == {"useful": 3, "failed": 1}


# ---- what fails ----


def test_a_failed_tool_is_told_to_the_model() -> None:
    drive = talk().done("s/turn", turn(READ, GREP))
    drive.fails("s/read/0", message="ValueError: no", detail="the whole traceback")
    for _ in range(2):
        drive.wait(60)
        drive.fails("s/grep/1", message="exited with status 2", detail="no such file")
    assert messages(drive, "s/turn~2")[2:] == [
        result(0, "read", "ValueError: no", failed=True),
        result(1, "grep", "exited with status 2\nno such file", failed=True),
    ]


def test_a_tool_is_tried_as_often_as_it_says_and_no_longer_than_it_may_take() -> None:
    drive = talk().done("s/turn", turn(GREP))
    drive.wait(5)
    assert drive.told == ["s/grep/0#1 timeout"]
    drive.stopped("s/grep/0", "timeout").wait(60)
    assert drive.names == ["s/grep/0#2"]
    drive.stopped("s/grep/0", "timeout")
    output = messages(drive, "s/turn~2")[-1]["output"]
    assert output == "took longer than its timeout of 5.0 s"


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("grp", {"pattern": "x"}, "there is no tool 'grp'; did you mean 'grep'?"),
        ("shell/../x~2", {}, "there is no tool 'shell/../x~2'; there is grep, read, write"),
        ("grep", {}, "the arguments lack 'pattern'"),
        ("grep", {"pattern": 1}, "'pattern': 1 is no string"),
        ("grep", {"pattern": None}, "'pattern': null is no string"),
        ("grep", {"pattern": "x", "limit": True}, "'limit': true is no integer"),
        ("grep", {"pattern": "x", "limit": 1.5}, "'limit': 1.5 is no integer"),
        ("grep", {"pattern": "x", "how": "so"}, "'how' must be one of 'plain', 'regex'"),
        ("grep", {"pattern": "x", "paths": "a"}, "'paths': 'a' is no array"),
        ("grep", {"pattern": "x", "paths": ["a", 1]}, "'paths'[1]: 1 is no string"),
        ("grep", {"pattern": "x", "where": []}, "'where': a list is no string"),
        ("grep", {"patern": "x", "pattern": "x"}, "there is no argument 'patern'; did you mean"),
        ("grep", '{"pattern": "x', 'the arguments: \'{"pattern": "x\' is no object'),
        ("grep", [], "the arguments: a list is no object"),
        ("read", "x", "the arguments: 'x' is no object"),
        ("write", {"text": "b"}, "the arguments cannot be used: "),
    ],
)
def test_a_call_that_cannot_be_made_is_no_call(name: str, args: Json, said: str) -> None:
    drive = talk().done("s/turn", turn((name, args)))
    assert drive.flying == ["s/turn~2"]
    told = messages(drive, "s/turn~2")[-1]
    assert (told["name"], told["failed"]) == (name, True)
    assert told["output"].startswith(said)


@pytest.mark.parametrize(
    "args",
    [
        {"pattern": "x", "limit": 2.0, "how": "plain", "paths": [], "where": None},
        {"pattern": "", "paths": ["a", "b"], "where": "c"},
    ],
)
def test_arguments_that_fit_are_used(args: Json) -> None:
    drive = talk().done("s/turn", turn(("grep", args)))
    assert drive.given("s/grep/0") == {"args": [args["pattern"], args.get("limit", 9)]}


def test_calls_that_cannot_be_made_use_turns_up() -> None:
    drive = talk(max_turns=3)
    drive.done("s/turn", turn(("x", {}))).done("s/turn~2", turn(("x", {})))
    assert drive.given("s/turn~3")["last"] is True
    drive.done("s/turn~3", turn(("x", {})))
    assert drive.reason == "step 's' failed: no answer within 3 turns: it still calls tools"


def test_a_turn_that_fails_for_good_fails_the_step() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "").fails("s/turn~2", message="no")
    assert (drive.phase, drive.detail("s")) == ("failed", "no")


def test_a_refused_turn_is_asked_anew_alone() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "r")
    before = messages(drive, "s/turn~2")
    drive.fails("s/turn~2", "rate_limited", retry_after=SECOND).wait(60)
    assert drive.names == ["s/turn~2#2"]
    assert messages(drive, "s/turn~2") == before


def test_a_fallback_continues_the_same_messages() -> None:
    drive = talk(fallback="other").done("s/turn", turn(READ)).done("s/read/0", "r")
    before = messages(drive, "s/turn~2")
    drive.fails("s/turn~2", "permanent")
    assert (drive.names, drive.agent("s/turn~2")) == (["s/turn~2#2"], "other")
    assert messages(drive, "s/turn~2") == before
    assert drive.done("s/turn~2", turn(READ)).agent("s/read/0~2") == "f"


def test_whoever_gave_the_answer_of_a_conversation_is_known() -> None:
    drive = talk(fallback="other").done("s/turn", turn(READ)).done("s/read/0", "r")
    drive.fails("s/turn~2", "permanent").done("s/turn~2", "done")
    (answer,) = drive.machine.workflow.reports()["s"].contributions
    assert (answer.member, answer.agent) == ("m", "other")


# ---- the last turn ----


def test_the_last_turn_must_be_an_answer() -> None:
    drive = talk(max_turns=2)
    assert "last" not in drive.given("s/turn")
    drive.done("s/turn", turn(READ)).done("s/read/0", "r")
    last = drive.given("s/turn~2")
    assert last["last"] is True
    assert last["messages"][-1] == {"role": "user", "text": NO_MORE}
    assert drive.machine.calls.jobs["s/turn~2"].spec.tools, "what was said refers to them"
    drive.done("s/turn~2", turn(READ, WRITE))
    assert (drive.phase, drive.flying) == ("failed", [])
    assert drive.said("ApprovalAsked") == []


def test_the_only_turn_hears_nothing_of_tools_that_it_has_used_up() -> None:
    given = talk(max_turns=1).given("s/turn")
    assert given == {"$": "talk", "messages": [FIRST], "last": True}


# ---- failing, and going on ----


def test_a_retry_goes_on_where_the_conversation_was() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "r").fails("s/turn~2")
    drive.retry("s")
    assert drive.names == ["s/turn~2#2"]
    assert messages(drive, "s/turn~2")[-1] == result(0, "read", "r")
    assert drive.done("s/turn~2", answer("x")).given("end") == "x"


def fates(drive: Drive) -> dict[str, int]:
    found = drive.machine.workflow.reports()["s"].fates
    return {fate: one.calls for fate, one in found.items()}


def test_what_led_to_no_answer_was_for_nothing_unless_a_retry_goes_on_from_it() -> None:
    drive = talk(max_turns=2).done("s/turn", turn(READ)).done("s/read/0", "r")
    drive.done("s/turn~2", turn(READ))
    assert (drive.phase, fates(drive)) == ("failed", {"discarded": 3})
    drive.retry("s")
    assert fates(drive) == {"useful": 3}
    drive.done("s/turn~3", answer("x"))
    assert fates(drive) == {"useful": 4}


def test_a_retry_after_the_last_turn_permits_one_more() -> None:
    drive = talk(max_turns=1).done("s/turn", turn(READ)).retry("s")
    assert drive.flying == ["s/turn~2"]
    assert drive.given("s/turn~2")["last"] is True
    said = [m for m in messages(drive, "s/turn~2") if m["role"] == "tool"]
    assert said == [result(0, "read", "no more tools could be called", failed=True)]
    drive.done("s/turn~2", turn(READ))
    assert drive.reason.endswith("no answer within 2 turns: it still calls tools")
    assert drive.retry("s").done("s/turn~3", answer("x")).given("end") == "x"


def cut_short() -> Drive:
    """A conversation that a failure beside it has cut short, in the middle of two calls."""
    drive = Drive(
        step("s", agent="m", input="Find it"),
        step("b"),
        step("end", input="{{s}}"),
        agents=agents(),
    )
    drive.done("s/turn", turn(READ, GREP, WRITE)).fails("b")
    assert drive.phase == "ending"
    return drive


def test_what_was_cut_short_is_not_repeated_if_it_came_to_its_end() -> None:
    drive = cut_short().done("s/read/0", "r").stopped("s/grep/1").retry()
    assert drive.names == ["s/grep/1#2", "b#2"]
    drive.approve("s/write/2", False).done("s/grep/1", "g")
    assert [message["output"] for message in messages(drive, "s/turn~2")[2:]] == [
        "r",
        "g",
        "rejected by ann",
    ]


def test_a_turn_that_was_cut_short_is_taken_anew_unless_it_came_to_its_end() -> None:
    for kept in (False, True):
        drive = Drive(step("s", agent="m", input="Find it"), step("b"), agents=agents())
        drive.fails("b")
        drive.done("s/turn", turn(READ)) if kept else drive.stopped("s/turn")
        drive.retry()
        assert drive.names == ["s/read/0#1" if kept else "s/turn#2", "b#2"]


def test_a_changed_spec_leaves_a_conversation_as_it_is() -> None:
    drive = talk().done("s/turn", turn(READ, WRITE)).done("s/read/0", "r")
    drive.replace(step("s", agent="m", input="Find it"), step("last", input="{{s}}"))
    assert open_questions(drive.machine).keys() == {"s/write/1"}
    drive.approve("s/write/1").done("s/write/1", "w")
    assert drive.flying == ["s/turn~2"]
    assert drive.done("s/turn~2", answer("x")).given("last") == "x"


def test_a_changed_tool_begins_the_conversation_anew() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "r").fails("s/turn~2")
    changed = agents()
    changed["m"] = msgspec.structs.replace(changed["m"], max_turns=9)
    drive.replace(step("s", agent="m", input="Find it"), agents=changed)
    assert messages(drive, "s/turn") == [FIRST]


def test_a_failed_conversation_goes_on_under_a_changed_spec() -> None:
    drive = talk().done("s/turn", turn(READ)).done("s/read/0", "r").fails("s/turn~2")
    drive.replace(step("s", agent="m", input="Find it"), step("last", input="{{s}}"))
    assert drive.flying == ["s/turn~2"]


@pytest.mark.parametrize("effects", [False, True])
def test_a_crash_repeats_what_was_in_flight_and_nothing_else(effects: bool) -> None:
    drive = talk(effects=effects).done("s/turn", turn(READ, GREP)).done("s/read/0", "r").crash()
    if effects:
        assert (drive.flying, drive.held) == ([], ["s/grep/1"])
        drive.send("s/grep/1", "as it was")
    else:
        assert drive.names == ["s/grep/1#2"]
        drive.done("s/grep/1", "as it was")
    drive.crash()
    assert drive.names == ["s/turn~2#2"]
    assert messages(drive, "s/turn~2")[-1] == result(1, "grep", "as it was")


# ---- approvals ----


def waiting() -> Drive:
    return talk().done("s/turn", turn(WRITE, READ))


def test_a_person_approves_of_exactly_what_will_be_done() -> None:
    drive = waiting()
    assert drive.flying == ["s/read/1"]
    asked = drive.said("ApprovalAsked")
    shown = 'write {"file":"a","text":"b"}\nruns ["grep","-rn","a"]\nwhich reads "b"'
    (one,) = asked
    told, settings = one.shown.rsplit("\n", 1)
    # The last line stands for all else that its agent is set to.
    assert (one.path, told) == ("s/write/0", shown)
    assert settings.startswith("settings ")
    assert one.digest == digest(one.shown.encode())
    assert drive.status("s/write/0") == "waiting"
    assert drive.detail("s/write/0") == "waits for approval"
    assert open_questions(drive.machine).keys() == {"s/write/0"}
    drive.approve("s/write/0")
    assert drive.given("s/write/0") == {"args": ["a"], "stdin": "b"}
    assert open_questions(drive.machine) == {}
    drive.done("s/write/0", "w").done("s/read/1", "r")
    assert messages(drive, "s/turn~2")[2] == result(0, "write", "w")


def test_a_rejection_is_told_to_the_model() -> None:
    drive = waiting().done("s/read/1", "r")
    assert drive.flying == []
    drive.approve("s/write/0", False, note="not there")
    told = result(0, "write", "rejected by ann: not there", failed=True)
    assert messages(drive, "s/turn~2")[2:] == [told, result(1, "read", "r")]


def test_an_answer_to_other_bytes_or_of_another_kind_is_refused() -> None:
    drive = waiting()
    at = drive.at
    other = ApprovalGiven(at=at, path="s/write/0", approved=True, digest=digest(b"x"), by="me")
    assert "shows something else by now" in drive.refused(other)
    assert "does not wait" in drive.refused(InputGiven(at=at, path="s/write/0", value=1, by="me"))
    for path in ("s/read/1", "s/turn", "s/write/7", "s/write/0~2"):
        given = ApprovalGiven(at=at, path=path, approved=True, digest="", by="me")
        assert "wait" in drive.refused(given)


def test_an_answer_after_the_answer_is_refused() -> None:
    drive = waiting().approve("s/write/0")
    mark = drive.said("ApprovalAsked")[0].digest
    given = ApprovalGiven(at=drive.at, path="s/write/0", approved=False, digest=mark, by="me")
    assert "was approved by ann" in drive.refused(given)
    drive.done("s/write/0").done("s/read/1")
    assert "was approved by ann" in drive.refused(given)


def test_an_unanswered_approval_pauses_the_run() -> None:
    drive = waiting().done("s/read/1", "r").wait(DAY)
    assert drive.phase == "paused"
    assert "'write/0' was not given within" in drive.machine.pause_reason
    drive.go_on().wait(HOUR // SECOND)
    assert (drive.phase, drive.status("s/write/0")) == ("running", "waiting")
    drive.approve("s/write/0")
    assert drive.flying == ["s/write/0"]


def test_an_approval_outlives_a_crash() -> None:
    drive = waiting().crash().done("s/read/1", "r")
    assert drive.status("s/write/0") == "waiting"
    drive.approve("s/write/0").crash().done("s/write/0", "w")
    assert drive.flying == ["s/turn~2"]
    assert len(drive.said("ApprovalAsked")) == 1


# ---- being told something on the way ----


def alone() -> Conversation:
    job = JobSpec(
        agents=("m",), effects=(False,), retry=Retry(), timeout=HOUR, output=None, options={}
    )
    conversation = Conversation(job, TOOLS, agents(), 4)
    conversation.start()
    return conversation


def said(conversation: Conversation, path: str) -> list[str]:
    given = conversation.request(path, "first")
    return [m.get("text", m.get("output")) for m in given["messages"]]


def leaves(conversation: Conversation, path: str, attempt: int = 1) -> None:
    if not conversation.opened:
        conversation.open("first")
    conversation.heard_of(path, Departure(attempt))


def gives(conversation: Conversation, path: str, output: Json, attempt: int = 1) -> None:
    conversation.heard_of(path, Landing(attempt=attempt, agent="m", how="finished"))
    conversation.ended(path, output, None, 0)


def test_what_is_told_arrives_with_the_next_turn() -> None:
    conversation = alone()
    leaves(conversation, "turn")
    conversation.tell("B says y", {"b": 1})
    assert said(conversation, "turn") == ["first", "B says y"], "a turn that is asked anew"
    gives(conversation, "turn", turn(READ))
    assert conversation.told == [], "the call that has answered did not know it"
    conversation.tell("C says z", {"c": 1})
    gives(conversation, "read/0", "r")
    assert said(conversation, "turn~2") == ["first", "", "r", "B says y", "C says z"]
    leaves(conversation, "turn~2")
    assert conversation.told == []
    gives(conversation, "turn~2", turn(READ))
    assert conversation.told == [{"b": 1}, {"c": 1}]
    gives(conversation, "read/0~2", "s")
    assert said(conversation, "turn~3") == ["first", "", "r", "B says y", "C says z", "", "s"]


def test_the_call_that_gives_the_turn_decides_what_it_was_told() -> None:
    for winner, known in ((1, []), (2, ["b"])):
        conversation = alone()
        leaves(conversation, "turn", 1)
        conversation.tell("B says y", "b")
        leaves(conversation, "turn", 2)
        gives(conversation, "turn", turn(READ), winner)
        gives(conversation, "read/0", "r")
        assert conversation.told == known
        texts = said(conversation, "turn~2")
        late = ["first", "", "r", "B says y"]
        assert texts == (late if winner == 1 else ["first", "B says y", "", "r"])


def test_a_conversation_ends_once() -> None:
    conversation = alone()
    assert conversation.moves == [Do("turn", conversation.moves[0].spec)]  # type: ignore[union-attr]
    conversation.moves.clear()
    gives(conversation, "turn", answer("x"))
    assert conversation.moves == [End("succeeded", output="x")]
    with pytest.raises(Refused):
        conversation.answered(InputGiven(at=0, path="turn", value=1, by="me"))


# ---- around it ----


def test_a_second_call_of_a_turn_goes_on_with_the_conversation_once() -> None:
    drive = Drive(step("s", agent="m", input="Find it", hedge=0.9), agents=agents(), hedge=5)
    drive.wait(5)
    assert drive.names == ["s/turn#1", "s/turn#2"]
    drive.done("s/turn", turn(READ), n=2)
    assert drive.names == ["s/read/0#1", "s/turn#1"]
    drive.done("s/turn", turn(GREP), n=1)
    assert drive.names == ["s/read/0#1"], "what came later counts for nothing"
    drive.done("s/read/0", "r").done("s/turn~2", answer("x"))
    assert (drive.phase, drive.output) == ("succeeded", "x")
    fates = drive.machine.workflow.reports()["s"].fates
    assert {fate: of.calls for fate, of in fates.items()} == {"useful": 3, "discarded": 1}


def test_a_conversation_within_a_nested_plan_is_approved_by_its_whole_path() -> None:
    inner = plan(step("s", agent="m", input="Find it"), name="inner")
    drive = Drive(step("o", kind="plan", plan=inner), agents=agents())
    drive.done("o/s/turn", turn(WRITE))
    assert open_questions(drive.machine).keys() == {"o/s/write/0"}
    drive.approve("o/s/write/0").done("o/s/write/0", "w").done("o/s/turn~2", answer("x"))
    assert drive.output == "x"
    assert drive.machine.workflow.reports()["o/s"].output == "x"


def test_a_cancelled_run_stops_turn_and_tools_and_says_what_there_was() -> None:
    drive = talk().done("s/turn", turn(READ, GREP, WRITE)).done("s/read/0", "r").cancel()
    assert drive.told == ["s/grep/1#1 cancel"]
    drive.stopped("s/grep/1", "cancel")
    assert drive.phase == "cancelled"
    fates = drive.machine.workflow.reports()["s"].fates
    assert {fate: of.calls for fate, of in fates.items()} == {"useful": 2, "cancelled": 1}
    assert open_questions(drive.machine) == {}
