"""``ask``, ``panel``, ``review`` and ``import`` as a stranger uses them."""

from __future__ import annotations

import json
import re

import pytest
from tests.cli.kit import Home, masked
from tests.cli.teams import says, write_agents


@pytest.fixture
def team(home: Home) -> Home:
    write_agents(home)
    return home


# ---- ask ----

PLAIN = """\
TIME run r
TIME plan 'ask' started: 1 step
TIME ask/flash-1/answer#1 started (flash)
TIME ask/flash-2/answer#1 started (flash)
TIME ask/odd/answer#1 started (odd)
TIME ask/odd/answer#1 failed after TOOK (permanent): no such model
"""

TABLE = """\
  WHO      ANSWER  WEIGHT  VOTE
  flash-2  A       2       A 0.9   A is clear.
  flash-1  B       0       A 0.9   A is clear.
  odd                      failed  no such model

run r succeeded: 1/1 done · 5 calls · 20 + 4 tokens · $0.00 · TOOK
  to look at it: hocket show r
"""


def test_the_answer_goes_to_stdout_and_who_voted_for_whom_to_stderr(team: Home) -> None:
    done = team.ok("ask", "Which?", "--agents", "flash*2,odd", "--seed", "1", "--id", "r")
    assert done.out == "A log.\n"
    told = masked(done.err)
    assert told.startswith(PLAIN), told
    assert re.search(r"^TIME ask: flash-1 answers: [AB]: A log\.$", told, re.M)
    assert re.search(r"^TIME ask: flash-\d votes: for A, confidence 0.9: A is clear\.$", told, re.M)
    assert re.search(r"^TIME ask: consensus decided in TOOK: .*: flash-\d has 2 of 3", told, re.M)
    # Which of the two is called A is drawn.
    shown = told[told.index("  WHO") :]
    for one, other in (("flash-1", "flash-2"), ("flash-2", "flash-1")):
        if re.search(rf"^  {one} +A ", shown, re.M):
            expected = TABLE.replace("flash-2", "_").replace("flash-1", other).replace("_", one)
    assert "\n".join(map(str.rstrip, shown.splitlines())) + "\n" == expected


def test_quiet_is_the_answer_alone(team: Home) -> None:
    done = team.ok("ask", "Which?", "--agents", "flash*2", "--quiet")
    assert (done.out, done.err) == ("A log.\n", "")


def test_json_has_the_report(team: Home) -> None:
    done = team.ok("ask", "Which?", "--agents", "flash*2,pro", "--json", "--final", "reuse")
    assert done.err == ""
    report = done.data["teams"]["ask"]
    assert done.data["output"] == done.data["teams"]["ask"]["output"]["answer"]
    assert (report["kind"], report["status"]) == ("consensus", "decided")
    assert {one["member"] for one in report["contributions"]} == {"flash-1", "flash-2", "pro"}
    assert sum(one["calls"] for one in report["fates"].values()) == done.data["calls"]["started"]


def test_jsonl_is_the_journals_events(team: Home) -> None:
    done = team.ok("ask", "Which?", "--agents", "flash*2", "--jsonl", "--id", "r")
    assert [json.loads(line)["event"] for line in done.out.splitlines()] == team.events()


def test_a_run_in_memory_leaves_nothing(team: Home) -> None:
    team.ok("ask", "Which?", "--agents", "flash*2", "--memory", "-q")
    assert not (team.state / "journal.sqlite").exists()


def test_the_question_may_come_from_a_pipe_and_is_no_template(team: Home) -> None:
    team.ok("ask", "-", "--agents", "flash*2", "--id", "r", stdin="{{inputs.x}} --what?")
    assert team.events()[0]["inputs"] == {"question": "{{inputs.x}} --what?"}


def test_options_reach_the_team(team: Home) -> None:
    team.ok(
        *("ask", "Which?", "--agents", "flash*2,pro", "--id", "r", "-q"),
        *("--decide", "0.5", "--rounds", "2", "--max-duration", "5m", "--quorum", "2"),
        *("--all-votes", "--final", "synthesize", "--presenter", "coach", "--of", "cast"),
    )
    (step,) = team.events()[0]["spec"]["workflow"]["steps"]
    spec = step["team"]
    assert [member["name"] for member in spec["members"]] == ["flash-1", "flash-2", "pro"]
    told = {key: spec[key] for key in spec if key not in ("members", "type")}
    assert told == {
        "policy": "rounds",
        "rounds": 2,
        "rule": "threshold",
        "threshold": 0.5,
        "of": "cast",
        "early": False,
        "max_duration": 300_000_000_000,
        "quorum": 2,
        "final": "synthesize",
        "presenter": "coach",
    }
    assert "coach" in team.events()[0]["spec"]["agents"]


def test_without_agents_every_model_of_the_file_takes_part(team: Home) -> None:
    home = team
    home.put("two.yaml", json.dumps({
        "version": 1,
        "agents": {"a": {"scripted": {}}, "b": {"scripted": {}}, "c": {"command": ["cat"]}},
        "plans": {"p": {"steps": {"x": {"agent": "c"}}}},
    }))  # fmt: skip
    done = home.hocket("ask", "Which?", "--file", "two.yaml", "--plain")
    assert "--agents a,b (who can speak in two.yaml)" in done.err


def test_one_alone_is_told_how_to_be_several(team: Home) -> None:
    done = team.hocket("ask", "Which?", "--agents", "flash")
    assert (done.status, done.out) == (2, "")
    assert "or several of it, as --agents 'flash*3'" in done.err
    assert team.ok("runs").out == ""


def test_limits_and_budgets_are_as_in_run(team: Home) -> None:
    done = team.ok(
        *("ask", "Which?", "--agents", "flash*2", "--limit", "flash.requests=3/s", "--id", "r"),
        *("--priority", "3", "--max-parallel", "1", "-q"),
    )
    assert done.out == "A log.\n"
    spec = team.events()[0]["spec"]
    assert (spec["priority"], spec["max_parallel"]) == (3, 1)
    assert any("rate" in wait[0] for e in team.events() for wait in e.get("waits", ()))


def test_a_run_stated_on_the_command_line_is_resumed_as_it_began(team: Home) -> None:
    write_agents(team, slow={"command": ["sh", "-c", "[ -e go ] || { echo no >&2; exit 1; }"]})
    team.hocket("ask", "Which?", "--agents", "flash*2,slow", "--id", "r", "--quorum", "3", "-q")
    # That the file has changed since is of no matter.
    write_agents(team, flash={"scripted": {}})
    done = team.hocket("retry", "r", "-q")
    assert done.status == 1 and "has changed" not in done.err
    refused = team.hocket("resume", "r", "--new-spec")
    assert (refused.status, "was stated on the command line" in refused.err) == (2, True)


def test_a_provider_that_nobody_knows_is_refused_before_the_run(home: Home) -> None:
    done = home.hocket("ask", "Which?", "--agents", "opneai:x*2")
    assert (done.status, done.out) == (2, "")
    assert "there is no provider 'opneai'; did you mean 'openai'?" in done.err
    assert home.ok("runs").out == ""


# ---- panel ----


def test_a_panel_does_not_wait_for_who_is_late(team: Home) -> None:
    done = team.ok(
        *("panel", "Help", "--agents", "memory,mood,late", "--synthesis", "coach"),
        *("--quorum", "2", "--within", "5s"),
    )
    assert done.out == "Rest now. Then play!\n"
    assert "│ Rest now. Then play!" in done.err
    rows = [line.split() for line in done.err.splitlines() if line.startswith("  ")]
    assert ["memory", "Gave", "up", "twice."] in rows
    assert ["late", "missing", "late"] in rows


def test_who_replies_is_no_specialist_unless_named_as_one(home: Home) -> None:
    home.put("two.yaml", json.dumps({
        "version": 1,
        "agents": {"a": says("Tired."), "b": says("Sad."), "c": says("Rest.")},
        "plans": {"p": {"steps": {"x": {"command": ["true"]}}}},
    }))  # fmt: skip
    done = home.ok("panel", "Help", "--file", "two.yaml", "--synthesis", "c", "--json")
    assert "--agents a,b (who can speak in two.yaml)" in done.err
    inner = {step["path"] for step in done.data["steps"]}
    assert inner >= {"panel/a", "panel/b"} and "panel/c" not in inner


def test_the_same_specialist_may_speak_more_than_once(team: Home) -> None:
    done = team.ok("panel", "Help", "--agents", "mood*2", "--synthesis", "coach", "--json")
    (contributions,) = [
        step["path"] for step in done.data["steps"] if step["path"] == "panel/mood-2"
    ]
    assert contributions


# ---- review ----


def test_what_is_approved_ends_with_0(team: Home) -> None:
    team.put("diff.txt", "+ fine")
    done = team.hocket("review", "diff.txt", "--by", "fan", "--swarm", "6")
    assert (done.status, done.out) == (0, "approved (score 1.00)\n")
    assert re.search(r"^  r1 +approve +0.9 +0.9 +so$", done.err, re.M)
    assert done.err.count(" started (fan)") < 6


def test_what_is_rejected_ends_with_1_and_says_what_was_found(team: Home) -> None:
    done = team.hocket("review", "-", "--by", "critic,fan", "--criteria", "speed", stdin="+ slow")
    assert (done.status, done.out.splitlines()[0].split()[0]) == (1, "rejected")
    assert "- it leaks\n- it is slow\n" in done.out
    as_json = team.hocket("review", "-", "--by", "critic", "--json", stdin="x")
    assert (as_json.status, as_json.data["output"]["approved"]) == (1, False)


def test_reviewers_that_all_fail_approve_of_nothing(team: Home) -> None:
    said = "rejected (score 0.00)\nnobody was heard: no such model\n"
    for options in ([], ["--fail-open"]):
        done = team.hocket("review", "-", "--by", "odd", "--quiet", *options, stdin="x")
        assert (done.status, done.out) == (1, said)
    done = team.hocket("review", "-", "--by", "odd", stdin="x")
    assert re.search(r"^  r1 +failed +counts as a rejection +no such model$", done.err, re.M)


def test_the_help_says_what_the_exit_status_means(team: Home) -> None:
    assert "exit status 0 if approved, 1 if not" in " ".join(
        team.ok("review", "--help").out.split()
    )


# ---- afterwards ----


def test_show_has_the_tables_of_a_run_that_was_cut_short(team: Home) -> None:
    child = team.start("ask", "Which?", "--agents", "flash,late", "--id", "r")
    team.until(lambda: team.status() and "call_finished" in team.kinds(), child)
    team.ok("cancel", "r", "--now")
    child.communicate(timeout=20)
    text = team.ok("show", "r").out
    assert "ask: consensus was cut short: 1 answer" in text
    assert re.search(r"^  [AB] +flash +1 +0 +A log\.$", text, re.M)
    assert re.search(r"^  cancelled +1$", text, re.M)
    assert team.ok("show", "r", "--json").data["teams"]["ask"]["status"] == "open"


def test_show_tells_what_a_step_gives(team: Home) -> None:
    team.ok("ask", "Which?", "--agents", "flash*2", "--id", "r", "-q")
    assert json.loads(team.ok("show", "r", "ask").out)["answer"] == "A log."


# ---- import ----

MASSGEN = """
agents:
  - {id: a, backend: {type: gemini, model: gemini-2.5-flash}, system_message: "Be\\nbrief."}
  - {id: b, backend: {type: openai, model: gpt-5, cwd: w}}
ui: {display_type: simple}
"""


def test_a_massgen_file_becomes_one_of_ours(home: Home) -> None:
    home.put("theirs.yaml", MASSGEN)
    done = home.ok("import", "massgen", "theirs.yaml", "-o", "hocket.yaml")
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0] == "wrote hocket.yaml"
    assert lines[1].startswith("backend.cwd (b): ")
    text = home.file("hocket.yaml").read_text()
    assert text.startswith("# Made of theirs.yaml by: hocket import massgen\n")
    assert "# - ui: " in text
    assert "system: |-\n      Be\n      brief.\n" in text
    assert "2 agents" in home.ok("check").out
    again = home.hocket("import", "massgen", "theirs.yaml", "-o", "hocket.yaml")
    assert (again.status, "--force writes over it" in again.err) == (2, True)
    home.ok("import", "massgen", "theirs.yaml", "-o", "hocket.yaml", "--force")


def test_a_massgen_file_is_printed_and_its_notes_are_data(home: Home) -> None:
    home.put("theirs.json", json.dumps({"agent": {"id": "a", "backend": {
        "type": "openai", "model": "m", "temperature": 0.5, "cwd": "w"}}}))  # fmt: skip
    home.put("made.yaml", home.ok("import", "massgen", "theirs.json").out)
    assert "no mistakes" in home.ok("check", "made.yaml").out
    (note,) = home.ok("import", "massgen", "theirs.json", "--json").data
    assert set(note) == {"where", "why"} and note["where"] == "backend.cwd (a)"
