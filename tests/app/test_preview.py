"""What waits for people, with what is known besides: the command, a diff, time and cost."""

import msgspec
import pytest
from tests.machines import AGENTS, Drive, open_questions, plan, step

from hocket.app.history import known_as
from hocket.app.preview import Preview, diff_in, document, previews, step_at
from hocket.core.specs import AgentSpec, Approval
from hocket.core.values import SECOND
from hocket.journal.base import Sample
from hocket.journal.memory import MemoryJournal
from hocket.workflows.open import open_questions as open_with_times

SHELL = AgentSpec(kind="command", effects=True, options={"command": ["git", "apply"]})
DIFF = """--- a/x.py
+++ b/x.py
@@ -1,2 +1,2 @@
-old
+new
 same"""


def drive(*steps, **fields) -> Drive:
    return Drive(plan(*steps, **fields), agents={**AGENTS, "shell": SHELL})


def only(run: Drive, store: MemoryJournal | None = None) -> Preview:
    [found] = previews(run.machine, store)
    return found


def patch() -> Drive:
    ship = step("ship", agent="shell", input={"args": ["-R"], "stdin": "{{a}}"}, needs=("a",))
    return drive(step("a"), replace(ship, approval=Approval(timeout=60 * SECOND)))


def replace(spec, **fields):
    return msgspec.structs.replace(spec, **fields)


def test_a_command_is_shown_with_its_arguments_and_what_it_reads() -> None:
    found = only(patch().done("a", "text\nof it"))
    assert (found.path, found.kind, found.on_timeout) == ("ship", "approve", "pause")
    assert (found.detail.command, found.detail.stdin) == (["git", "apply", "-R"], "text\nof it")
    assert (found.asked_at, found.expires) == (0, 60 * SECOND)
    assert found.detail.diff is None
    assert document(found)["expires"] == 60_000.0


def test_a_diff_that_a_needed_step_has_given_is_shown() -> None:
    output = f"Here it is:\n{DIFF}\n\nThat is all."
    assert only(patch().done("a", output)).detail.diff == DIFF
    ok = step("ok", kind="approve", input="Apply it?", needs=("a",))
    assert only(drive(step("a"), ok).done("a", {"text": output})).detail.diff == DIFF
    shown = step("ok", kind="approve", input="Apply?\n{{a}}")
    assert only(drive(step("a"), shown).done("a", DIFF)).detail.diff == DIFF


@pytest.mark.parametrize("text", ["", "--- no diff", "--- a\n+++ b\nnothing", "a\n- b\n+ c"])
def test_what_is_no_diff_is_not_taken_for_one(text: str) -> None:
    assert diff_in(text) is None


def test_a_text_that_looks_like_a_command_is_no_command() -> None:
    ok = step("ok", kind="approve", input='runs ["rm"]\nruns ["rm"]')
    assert only(drive(ok)).detail.command is None
    asks = step("m", input='x\nruns ["rm"]', approval=Approval())
    assert only(drive(asks)).detail.command is None


def test_what_earlier_runs_took_is_told_beside() -> None:
    run = patch().done("a", "x")
    store = MemoryJournal()
    assert only(run, store).detail.estimate is not None
    known = known_as(run.spec.agents)["shell"]
    for took, cost in ((2, 10**10), (4, 3 * 10**10)):
        sample = Sample(plan="p", step="ship", agent=known, took=took * SECOND, cost=cost)
        store.book.record([sample])
    estimate = only(run, store).detail.estimate
    assert estimate is not None
    assert (estimate.calls, estimate.seconds, estimate.usd) == (1, 3.0, 0.02)


def test_a_plan_is_told_of_with_its_forecast() -> None:
    run = drive(step("a"), step("b", needs="a"), approval=Approval(on_timeout="reject"))
    found = only(run, MemoryJournal())
    assert (found.path, found.on_timeout) == ("run", "reject")
    assert found.expires == 300 * SECOND
    assert found.detail.estimate is not None
    assert found.detail.estimate.calls == 2


def test_a_call_s_question_and_an_input_are_told_of() -> None:
    run = drive(step("a"), step("q", kind="input", input="which?", output={"type": "string"}))
    path = run.asks("a", "rm x")
    by_path = {found.path: found for found in previews(run.machine)}
    assert (by_path[path].on_timeout, by_path[path].expires) == ("no", 300 * SECOND)
    assert (by_path["q"].kind, by_path["q"].output) == ("input", {"type": "string"})


def test_a_path_leads_to_its_step() -> None:
    inner = plan(step("one"), name="inner")
    outer = plan(step("nest", kind="plan", plan=inner), step("a"))
    for path, name in (
        ("a", "a"),
        ("a/3~2", "a"),
        ("nest/0/one~3", "one"),
        ("nest/one#2@1", "one"),
    ):
        found = step_at(outer, path)
        assert found is not None
        assert found.name == name
    assert step_at(outer, "run") is None


def test_a_paused_question_has_no_time_any_more() -> None:
    run = patch().done("a", "x").wait(61)
    assert run.phase == "paused"
    assert only(run).expires is None
    assert {p: q.expires for p, q in open_with_times(run.machine).items()} == open_questions(
        run.machine
    )
