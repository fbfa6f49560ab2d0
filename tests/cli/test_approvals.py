"""Approvals by the command line, by real processes on a real journal."""

from __future__ import annotations

import os
import pty
import signal

import msgspec
import pytest
from tests.cli.kit import Home, ended
from tests.server.kit import serving

SHIP = 'ship: {command: [tee, -a, shipped.txt, "{{inputs.what}}"], stdin: all, approve: true}'
INPUTS = "inputs: {what: {default: it}}"


def shipped(home: Home) -> bool:
    return (home.folder / "shipped.txt").exists()


def test_a_step_shows_exactly_what_it_will_do_and_does_that(home: Home) -> None:
    home.write(SHIP, plan=INPUTS)
    done = home.hocket("run", "--id", "r", "--no-wait")
    assert (done.status, shipped(home)) == (3, False)
    assert "to decide: hocket approve r ship" in done.err
    assert "waiting" in home.ok("show", "r").out
    assert "1 to answer" in home.ok("runs").out
    approved = home.ok("approve", "r", "--yes")
    assert 'runs ["tee","-a","shipped.txt","it"]' in approved.err
    assert 'which reads "all"' in approved.err
    assert "then the run is paused and can be resumed" in approved.err
    home.ok("resume", "r")
    assert (home.folder / "shipped.txt").read_text() == "all"
    assert home.hocket("approve", "r").status == 2


def test_a_plan_is_approved_of_before_it_begins(home: Home) -> None:
    home.write(SHIP.replace(", approve: true", ""), plan=f"{INPUTS}\napprove: true")
    done = home.hocket("run", "--id", "r", "--no-wait", "-i", "what=this")
    assert (done.status, shipped(home)) == (3, False)
    asked = home.hocket("approve", "r")
    assert asked.status == 2
    for text in ("plan 'p': 1 step", 'input what: "this"', "1. ship", '"{{inputs.what}}"'):
        assert text in asked.err
    home.ok("approve", "r", "run", "--yes")
    home.ok("resume", "r")
    assert shipped(home)


def test_a_rejection_by_the_plan_s_reader_ends_the_run(home: Home) -> None:
    home.write(SHIP, plan=f"{INPUTS}\napprove: true")
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    home.ok("approve", "r", "--reject", "--note", "not today")
    done = home.hocket("resume", "r")
    assert done.status == 1
    assert "the plan was rejected by" in done.err
    assert "not today" in done.err


def test_a_list_of_texts_that_fits_no_line_is_shown_a_text_to_a_line(home: Home) -> None:
    long = ["first, " * 12 + "end", 'second "quoted"', "third, " * 12 + "end"]
    printf = msgspec.json.encode(["printf", "\n".join(long)]).decode()
    home.write(
        f"a: {{command: {printf}, output: lines}}\n"
        'ok: {approve: "Fit? {{a}} Sure?", needs: [a]}\n'
    )
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    quoted = [f"  {msgspec.json.encode(text).decode()}" for text in long]
    told = home.ok("approve", "r", "ok", "--yes").err
    inner = ",\n".join(quoted)
    assert told.startswith(f"Fit? [\n{inner}\n] Sure?\n")


def test_all_items_of_a_step_are_shown_and_decided_about_together(home: Home) -> None:
    home.write('ship: {each: "[1, 2]", command: [echo, "no {{item}}"], approve: true}\n')
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    which = home.hocket("approve", "r", "--yes")
    assert "These wait for approval: ship/0, ship/1" in which.err
    assert 'runs ["echo","no 2"]' in which.err
    home.ok("approve", "r", "ship/1", "--yes")
    assert "ship/1: approved by tester, counts at resume" in home.ok("show", "r").out
    done = home.ok("approve", "r", "ship", "--yes")
    assert 'runs ["echo","no 1"]' in done.err
    assert 'runs ["echo","no 2"]' not in done.err
    assert home.ok("resume", "r").data == ["no 1", "no 2"]


@pytest.mark.parametrize(
    ("typed", "decided"),
    [
        ("y\n", "approved"),
        ("YES\n", "approved"),
        ("n\n", "rejected"),
        ("reject\n", "rejected"),
        ("\n", ""),
        ("\x04", ""),
        ("maybe\n", ""),
    ],
)
def test_only_a_clear_word_at_the_terminal_decides(home: Home, typed: str, decided: str) -> None:
    home.write(SHIP, plan=INPUTS)
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    ours, theirs = pty.openpty()
    try:
        child = home.start("approve", "r", stdin=theirs)
        os.write(ours, typed.encode())
        err = child.communicate(timeout=60)[1]
    finally:
        os.close(ours)
        os.close(theirs)
    assert "approve ship? [y/n]" in err
    if not decided:
        assert "nothing is decided, and ship still waits" in err
        assert child.returncode == 2
        home.ok("approve", "r", "--yes")
        return
    assert child.returncode == 0
    again = home.hocket("approve", "r", "--yes")
    assert again.status == 2
    assert f"'ship' was {decided} by tester already" in again.err


def test_an_answer_that_is_noted_is_not_asked_for_again(home: Home) -> None:
    home.write(SHIP, plan=INPUTS)
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    home.ok("approve", "r", "--yes")
    shown = home.ok("show", "r").out
    assert "approved by tester, counts at resume" in shown
    assert "to decide" not in shown
    assert "to answer" not in home.ok("runs").out
    again = home.hocket("approve", "r")
    assert again.status == 2
    assert again.err.startswith("'ship' was approved by tester already; that is noted")
    done = home.ok("resume", "r")
    assert "to decide" not in done.err
    assert shipped(home)


def test_an_approval_waits_over_a_killed_process(home: Home) -> None:
    home.write(SHIP, plan=INPUTS)
    child = home.running()
    home.until(lambda: "waiting" in home.hocket("show", "r").out, child)
    os.kill(child.pid, signal.SIGKILL)
    ended(child)
    assert not shipped(home)
    home.ok("approve", "r", "ship", "--yes", "--note", "after the crash")
    home.ok("resume", "r")
    assert shipped(home)
    asked = [event for event in home.events() if event["type"] == "approval_asked"]
    assert len(asked) == 1


def test_the_second_who_answers_is_told(home: Home) -> None:
    home.write(SHIP, plan=INPUTS)
    child = home.running()
    home.until(lambda: "waiting" in home.hocket("show", "r").out, child)
    home.ok("approve", "r", "ship", "--yes")
    second = home.hocket("approve", "r", "ship", "--reject")
    assert second.status == 2
    assert "tester has approved 'ship' already, at " in second.err
    ended(child)
    assert shipped(home)


def test_who_approves_in_a_paused_run_of_a_server_is_told_how_it_goes_on(home: Home) -> None:
    text = SHIP.replace("approve: true", "approve: {timeout: 1ms}")
    file = home.write(text, plan=INPUTS)
    with serving(home.state, [file]) as served:
        served.post("/api/runs", {"plan": "p", "run_id": "r"})
        served.until("r", "paused")
        [question] = served.get("/api/inbox")["questions"]
        assert question["expires"] is None
        assert "ship" in question["paused"]
        approved = home.ok("approve", "r", "--yes").err
        assert f"but the run is paused ({question['paused']})" in approved
        assert "to go on: hocket resume r" in approved
        assert not shipped(home)
        assert home.ok("resume", "r").err == "done\n"
        served.until("r", "succeeded")
    assert shipped(home)
