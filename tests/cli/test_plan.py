"""``plan`` and ``stats`` as a stranger uses them."""

from __future__ import annotations

import json

from tests.app.planning import GOOD, changed, file_with
from tests.cli.kit import Home


def test_a_drafted_plan_is_a_file_that_runs(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    done = home.ok("plan", "mend the parser", "--quiet")
    assert done.out.startswith("Mend the parser\n\nLooks, then mends.\n\n  step  by")
    assert "  task clarity ██████████████████·· 90%\n" in done.out
    assert "wrote mend-the-parser.yaml\nnext: hocket run mend-the-parser.yaml\n" in done.err
    assert home.ok("run", "mend-the-parser.yaml", "--quiet").out == "mend by look around\n"
    # What is there already is kept.
    assert "wrote mend-the-parser-2.yaml" in home.ok("plan", "again", "--quiet").err


def test_it_can_run_at_once(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    done = home.ok("plan", "-", "--quiet", "--run", "--out", "x.yaml", stdin="mend it")
    assert done.out.endswith("\nmend by look around\n")


def test_as_a_document(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    document = home.ok("plan", "mend the parser", "--json").data
    assert document["file"] == "mend-the-parser.yaml"
    assert document["confidence"]["context"] == 0.8
    assert document["problems"] == []
    assert document["prediction"]["calls"] == 2


def test_one_document_with_the_run_in_it(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    document = home.ok("plan", "mend the parser", "--run", "--json").data
    assert document["ready"]
    assert document["result"]["status"] == "succeeded"
    assert document["result"]["output"] == "mend by look around"
    assert document["result"]["run"] != document["run"]


def test_events_have_standard_output_to_themselves(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    done = home.ok("plan", "mend the parser", "--run", "--jsonl")
    kinds = [json.loads(line)["event"]["type"] for line in done.out.splitlines()]
    assert kinds.count("run_started") == 2
    assert "  task clarity ██" in done.err


def test_a_planning_run_that_was_killed_goes_on_to_its_draft(home: Home) -> None:
    slow = json.loads(file_with(GOOD))
    replies = slow["agents"]["planner"]["scripted"]["by"]["^Draft a plan"]
    replies.insert(0, {"output": GOOD, "after": "60s"})
    home.put("hocket.yaml", json.dumps(slow))
    child = home.start("plan", "mend it", "--id", "p", "--plain")
    home.until(lambda: home.status("p") and home.kinds("p")[-1] == "call_started", child)
    busy = home.hocket("plan", "--from", "p")
    assert (busy.status, "at work in another process" in busy.err) == (2, True)
    home.kill(child)
    assert "to go on: hocket plan --from p" in home.hocket("show", "p").out
    done = home.ok("plan", "--from", "p", "--quiet")
    assert "wrote mend-the-parser.yaml" in done.err
    assert home.ok("run", "mend-the-parser.yaml", "--quiet").out == "mend by look around\n"


def test_a_planning_run_is_read_again(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    home.ok("plan", "mend the parser", "--quiet", "--id", "p", "--out", "x.yaml")
    assert "to write the plan that it gave: hocket plan --from p" in home.ok("show", "p").out
    done = home.ok("plan", "--from", "p", "--quiet", "--below", "0.85")
    assert "wrote mend-the-parser.yaml" in done.err
    assert "approve: true" in (home.folder / "mend-the-parser.yaml").read_text()
    home.ok("run", "hocket.yaml", "hello", "--quiet", "--id", "other")
    for args, said in (
        (("plan", "--from", "other"), "run other is no planning run"),
        (("plan", "--from", "none"), "there is no run"),
        (("plan", "mend it", "--from", "p"), "leave them out"),
        (("plan", "--from", "p", "--agent", "coder"), "leave them out"),
    ):
        done = home.hocket(*args)
        assert (done.status, said in done.err) == (2, True), done


def test_what_could_go_wrong_later_is_looked_at_before_anything_is_paid(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    done = home.hocket("plan", "mend it", "--out", "no/dir/x.yaml", "--id", "p")
    assert done.status == 2
    assert "cannot write no/dir/x.yaml: there is no folder no/dir" in done.err
    assert home.hocket("plan", "mend it", "--json", "--jsonl", "--id", "p").status == 2
    assert "there is no run" in home.hocket("show", "p").err


def test_a_step_that_may_change_things_waits_for_approval(home: Home) -> None:
    acts = changed(steps=[{"name": "make", "agent": "build", "prompt": "hi"}])
    home.put("hocket.yaml", file_with(acts))
    done = home.ok("plan", "make it", "--quiet")
    assert "needs approval: step make runs cat, which may change things" in done.out
    assert '  build runs ["cat"] in ' in done.out
    waits = home.hocket("run", "mend-the-parser.yaml", "--no-wait", "--id", "r", "--plain")
    assert waits.status == 3


def test_mistakes_end_with_2_and_the_file_is_there_to_be_mended(home: Home) -> None:
    wrong = changed(steps=[{"name": "look", "agent": "codr", "prompt": "look"}])
    home.put("hocket.yaml", file_with(wrong))
    done = home.hocket("plan", "mend the parser", "--quiet")
    assert done.status == 2
    assert "unknown agent 'codr'; did you mean 'coder'?" in done.out
    assert "mend it, and check: hocket check mend-the-parser.yaml" in done.err
    assert (home.folder / "mend-the-parser.yaml").exists()


def test_what_is_not_sure_waits_for_approval(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    done = home.ok("plan", "mend the parser", "--quiet", "--below", "0.85")
    assert "needs approval: confidence in context is 80%, below 85%" in done.out
    waits = home.hocket("run", "mend-the-parser.yaml", "--no-wait", "--id", "r", "--plain")
    assert waits.status == 3
    home.ok("approve", "r", "--yes")
    assert home.ok("resume", "r", "--quiet").out == "mend by look around\n"


def test_what_cannot_be_planned_is_refused(home: Home) -> None:
    home.put("hocket.yaml", file_with(GOOD))
    home.put("there.yaml", "")
    for args, said in (
        (("plan", " "), "there is no task to plan"),
        (("plan", "x", "--agent", "planer"), "did you mean 'planner'?"),
        (("plan", "x", "--agent", "build"), "'build' runs a program, which cannot plan"),
        (("plan",), "there is no task to plan"),
        (("plan", "x", "--folder", "nowhere"), "nowhere is no folder"),
        (("plan", "x", "--out", "there.yaml"), "there.yaml is there already"),
        (("plan", "--mistake"), "unknown option --mistake"),
        (("plan", "x", "--memory"), "leave --memory out"),
    ):
        done = home.hocket(*args)
        assert (done.status, said in done.err) == (2, True), done


def test_stats_have_their_targets_beside(home: Home) -> None:
    home.write("a: {command: [echo, hi]}\nb: {command: ['false'], needs: [a]}")
    home.hocket("run", "--quiet")
    lines = home.ok("stats").out.splitlines()
    assert lines[0].split() == ["INDICATOR", "VALUE", "TARGET", "WHAT", "IT", "IS"]
    assert [line.split()[2:6] for line in lines if line.startswith("plan completion")] == [
        ["0%", ">", "90%", "✗"]
    ]
    document = home.ok("stats", "--since", "1h", "--json").data
    assert {one["name"]: one["calls"] for one in document["agents"]} == {"a": 1, "b": 1}
    assert home.ok("stats", "--since", "0s", "--json").data["agents"] == []
    assert home.hocket("stats", "--since", "soon").status == 2
