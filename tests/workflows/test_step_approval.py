"""Steps that a person approves of before they do anything: what is shown is what leaves."""

from typing import Any

import msgspec
import pytest
from tests.machines import AGENTS, Drive, plan, step

from hocket.core.errors import Refused
from hocket.core.events import ApprovalGiven
from hocket.core.specs import AgentSpec, Approval, Repeat, Retry, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec
from hocket.core.values import MINUTE, digest

ASK = Approval()
SHELL = AgentSpec(
    kind="command", effects=True, options={"command": ["kubectl", "apply"], "cwd": "ops"}
)
RUN = {"args": ["{{a}}"], "stdin": "all of\n{{a}}"}


def command(**fields: Any) -> Drive:
    """A command that waits behind step a."""
    fields = {"approval": ASK, "input": RUN, "agent": "shell", **fields}
    drive = Drive(step("a"), step("ship", **fields), agents={**AGENTS, "shell": SHELL})
    return drive.done("a", "v1")


def shown(drive: Drive) -> list[str]:
    return [event.shown for event in drive.said("ApprovalAsked")]


def test_nothing_leaves_before_a_person_has_seen_exactly_what_will() -> None:
    drive = command()
    assert drive.flying == []
    assert (drive.status("ship"), drive.detail("ship")) == ("waiting", "waits for approval")
    [text] = shown(drive)
    assert text.splitlines()[:-1] == [
        'runs ["kubectl","apply","v1"]',
        "in ops",
        'which reads "all of\\nv1"',
    ]
    assert drive.said("ApprovalAsked")[0].digest == digest(text.encode())
    assert drive.approve("ship").given("ship") == {"args": ["v1"], "stdin": "all of\nv1"}
    assert drive.done("ship", 1).phase == "succeeded"


def test_a_model_is_shown_with_its_prompt() -> None:
    drive = Drive(step("a", input="Do it.", approval=ASK, fallback="g"))
    [text] = shown(drive)
    assert text.splitlines()[:-1] == [
        "calls f: function",
        "with: Do it.",
        "if that fails:",
        "calls g: function",
        "with: Do it.",
    ]


def test_a_rejection_fails_the_step_for_good() -> None:
    drive = command(retry=Retry(tries=3)).approve("ship", False, note="no")
    assert (drive.phase, drive.detail("ship")) == ("failed", "rejected by ann: no")
    assert drive.retry("ship").flying == []
    assert len(shown(drive)) == 2
    assert drive.approve("ship").flying == ["ship"]


def test_a_retry_of_what_was_approved_asks_nobody_again() -> None:
    drive = command(retry=Retry(tries=2, first=0)).approve("ship").fails("ship")
    assert drive.flying == ["ship"]
    assert drive.fails("ship").phase == "failed"
    assert drive.retry("ship").flying == ["ship"]
    assert len(shown(drive)) == 1


def test_a_crash_asks_nobody_again_who_has_answered() -> None:
    drive = command().crash()
    assert drive.flying == []
    drive.approve("ship").crash()
    assert (drive.held, len(shown(drive))) == (["ship"], 1)


def test_other_bytes_after_a_change_are_asked_about_anew() -> None:
    drive = command().approve("ship").fails("ship", "permanent")
    changed = step("ship", approval=ASK, agent="shell", input={"args": ["{{a}}", "now"]})
    drive.replace(step("a"), changed)
    assert drive.flying == []
    assert '"v1","now"' in shown(drive)[-1]
    assert drive.approve("ship").flying == ["ship"]


def test_the_same_bytes_after_a_change_elsewhere_are_not() -> None:
    drive = command().approve("ship").fails("ship", "permanent")
    drive.replace(step("a"), drive.spec.workflow.steps[1], step("more"))
    assert sorted(drive.flying) == ["more", "ship"]
    assert len(shown(drive)) == 1


def test_an_unanswered_question_survives_a_change() -> None:
    drive = command()
    drive.replace(step("a"), drive.spec.workflow.steps[1], step("more"))
    assert len(shown(drive)) == 2
    assert sorted(drive.approve("ship").flying) == ["more", "ship"]


def test_each_item_is_asked_about_on_its_own() -> None:
    drive = Drive(step("e", each="[1, 2, 3]", input="{{item}}", approval=ASK))
    assert [e.path for e in drive.said("ApprovalAsked")] == ["e/0", "e/1", "e/2"]
    drive.approve("e/1")
    assert (drive.flying, drive.status("e")) == (["e/1"], "waiting")
    drive.done("e/1", "b").approve("e/0").approve("e/2")
    assert (drive.flying, drive.status("e")) == (["e/0", "e/2"], "running")
    drive.done("e/0", "a").done("e/2", "c")
    assert drive.output == ["a", "b", "c"]


def test_one_rejected_item_stops_the_others() -> None:
    drive = Drive(step("e", each="[1, 2]", input="{{item}}", approval=ASK)).approve("e/0")
    drive.approve("e/1", False)
    assert drive.stops == [("e/0", "stop", False)]
    assert drive.stopped("e/0").phase == "failed"


def test_each_round_is_asked_about_on_its_own() -> None:
    repeat = Repeat(until="e == 3", max=5)
    same = Drive(step("e", repeat=repeat, input="again", approval=ASK)).approve("e").done("e", 1)
    assert [e.path for e in same.said("ApprovalAsked")] == ["e", "e~2"]
    assert same.flying == []


def test_a_nested_plan_begins_when_it_was_approved_of() -> None:
    inner = plan(step("one", input="{{inputs.k}}"), inputs="k", name="inner")
    nest = step("nest", kind="plan", plan=inner, input={"k": "v"}, approval=ASK)
    drive = Drive(nest)
    assert drive.flying == []
    [text] = shown(drive)
    assert text.splitlines()[:-1] == [
        "runs plan 'inner': 1 step",
        'with: {"k":"v"}',
        "1. one",
        "   calls f: function",
        "   with: {{inputs.k}}",
    ]
    assert drive.approve("nest").flying == ["nest/one"]
    assert drive.fails("nest/one", "permanent").retry("nest").flying == ["nest/one"]
    assert len(shown(drive)) == 1


@pytest.mark.parametrize("on_timeout", ["pause", "reject", "approve"])
def test_what_no_answer_means(on_timeout: Any) -> None:
    approval = Approval(timeout=5 * MINUTE, on_timeout=on_timeout, confirm_effects=True)
    drive = command(approval=approval).wait(299)
    assert drive.phase == "running"
    drive.wait(2)
    assert drive.said("ApprovalGiven") == []
    if on_timeout == "pause":
        assert drive.phase == "paused"
        assert "approval 'ship' was not given within 5 m 00 s" in drive.machine.pause_reason
        drive.go_on().wait(200)
        assert drive.approve("ship").flying == ["ship"]
        assert len(shown(drive)) == 1
    elif on_timeout == "reject":
        assert drive.phase == "failed"
        assert "not given within" in drive.detail("ship")
    else:
        assert drive.flying == ["ship"]


def test_a_pause_while_it_waits_lets_it_be_answered() -> None:
    drive = command().pause().approve("ship")
    assert (drive.phase, drive.flying) == ("paused", [])
    assert drive.go_on().flying == ["ship"]


def session(**options: Any) -> AgentSpec:
    told = {"session": "acp", "command": ["coder"], "cwd": "src", "permissions": "ask", **options}
    return AgentSpec(kind="session", effects=True, options=told)


def chat(**options: Any) -> AgentSpec:
    return AgentSpec(kind="chat", options={"model": "openai:m", **options})


def does(name: str = "x", **fields: Any) -> StepSpec:
    return step(name, approval=ASK, **fields)


def nests(inner: StepSpec) -> StepSpec:
    named = plan(inner, name="inner")
    return does(kind="plan", agent="", plan=named)


def runs(*words: str) -> AgentSpec:
    return AgentSpec(kind="command", effects=True, options={"command": [*words]})


MEMBERS = ConsensusSpec(members=(Member(name="a", agent="c"), Member(name="b", agent="f")))
JURY = does(kind="consensus", agent="", input="Which?", team=MEMBERS)
JUDGED = does(input="Do it.", review=ReviewSpec(members=(Member(name="a", agent="c"),)))
BY_C = does(agent="c", input="Do it.")
INNER = step("i", agent="c", input="Do it.")
CHANGES = {
    "an inner step's command": (nests(INNER), runs("echo", "ok"), runs("rm", "-r"), '["rm","-r"'),
    "an inner session": (nests(INNER), session(), session(permissions="allow"), '"allow"'),
    "permissions": (BY_C, session(), session(permissions="allow"), 'permissions: "allow"'),
    "a session's program": (BY_C, session(), session(command=["evil"]), 'command: ["evil"]'),
    "a session's folder": (BY_C, session(), session(cwd="/"), 'cwd: "/"'),
    "a model's address": (BY_C, chat(), chat(base_url="http://e/"), 'base_url: "http://e/"'),
    "a model": (BY_C, chat(), chat(model="openai:n"), "asks c: chat openai:n"),
    "a member": (JURY, chat(), chat(base_url="http://e/"), 'base_url: "http://e/"'),
    "a member's program": (JURY, session(), session(command=["evil"]), 'command: ["evil"]'),
    "a reviewer": (JUDGED, chat(), chat(model="openai:n"), "c: chat openai:n"),
    "effects": (BY_C, runs("echo"), msgspec.structs.replace(runs("echo"), effects=False), "echo"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_a_step_does_differently_is_shown_and_asked_about_anew(what: str) -> None:
    asks, before, after, seen = CHANGES[what]
    drive = Drive(asks, agents={**AGENTS, "c": before})
    [old] = drive.said("ApprovalAsked")
    drive.replace(asks, agents={**AGENTS, "c": after})
    new = drive.said("ApprovalAsked")[-1]
    assert seen in new.shown
    assert new.digest != old.digest
    with pytest.raises(Refused, match="shows something else by now"):
        drive.apply(ApprovalGiven(at=drive.at, path="x", approved=True, digest=old.digest, by="a"))
    assert drive.flying == []
    assert drive.approve("x").flying != []


def test_a_changed_text_of_a_team_or_of_an_inner_step_is_asked_about_anew() -> None:
    policy = msgspec.structs.replace(MEMBERS, final="present")
    for old, new in (
        (JURY, msgspec.structs.replace(JURY, team=policy)),
        (nests(INNER), nests(step("i", agent="c", input="Do something else."))),
        (BY_C, msgspec.structs.replace(BY_C, retry=Retry(tries=4))),
    ):
        drive = Drive(old, agents={**AGENTS, "c": chat()}).replace(new)
        first, second = drive.said("ApprovalAsked")
        assert first.digest != second.digest


def test_what_only_says_when_a_call_is_made_asks_nobody_again() -> None:
    limited = msgspec.structs.replace(chat(), concurrency=2)
    drive = Drive(BY_C, agents={**AGENTS, "c": chat()}).approve("x").fails("x", "permanent")
    drive.replace(msgspec.structs.replace(BY_C, takes=5), agents={**AGENTS, "c": limited})
    assert len({event.digest for event in drive.said("ApprovalAsked")}) == 1
