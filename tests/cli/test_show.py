"""What ``show`` and ``prune`` say of what is no step, and of a run that nobody drives any more."""

from __future__ import annotations

import os
import signal

import pytest
from tests.cli.kit import Home, ended
from tests.cli.teams import write_agents
from tests.faults.test_kill import hangs

from hocket.cli.address import FILE
from hocket.journal import schema


def test_show_points_from_a_call_of_a_team_to_its_logs(home: Home) -> None:
    write_agents(home)
    home.ok("ask", "Which?", "--agents", "flash,pro", "--id", "r")
    for call in ("ask/flash", "ask/flash/vote"):
        done = home.hocket("show", "r", call)
        assert done.status == 2
        assert f"{call!r} has calls of a team, and is no step: hocket logs r {call}" in done.err
        assert "A" in home.ok("logs", "r", call).out
    done = home.hocket("show", "r", "ask/nobody")
    assert done.status == 2
    assert "there is no step 'nobody': a team has calls, and no steps of its own" in done.err


def test_prune_says_that_a_killed_run_was_stopped(home: Home) -> None:
    home.write(hangs("slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    os.kill(child.pid, signal.SIGKILL)
    ended(child)
    assert home.ok("prune", "r", "--all", "-n").out == "would delete r (stopped (resumable))\n"


def test_show_says_which_calls_went_down_with_their_process(home: Home) -> None:
    home.write(hangs("slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    assert "when its process ended" not in home.ok("show", "r").out
    os.kill(child.pid, signal.SIGKILL)
    ended(child)
    assert "1 call was in flight when its process ended" in home.ok("show", "r").out


def test_show_calls_no_step_running_that_only_waited_for_its_turn(home: Home) -> None:
    home.write(hangs("slow") + hangs("next"), plan="max_parallel: 1")
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    os.kill(child.pid, signal.SIGKILL)
    ended(child)
    assert "0/2 done · 1 running · 1 pending" in home.ok("show", "r").out
    states = {step["path"]: step["status"] for step in home.ok("show", "r", "--json").data["steps"]}
    assert states == {"slow": "running", "next": "pending"}


def test_show_of_a_failed_step_points_to_what_it_said(home: Home) -> None:
    home.write("z: {shell: 'echo oh no >&2; exit 3'}\nw: {needs: [z], shell: echo}")
    assert home.hocket("run", "--id", "r").status == 1
    failed = home.hocket("show", "r", "z").err
    assert "it has failed: exit status 3: oh no; what it said: hocket logs r z" in failed
    assert home.hocket("show", "r", "w").err.endswith("it was skipped: needs z, which failed\n")


def test_a_journal_that_is_not_there_is_not_shown_as_an_empty_one(home: Home) -> None:
    nowhere = f"there is no journal at {home.folder / 'nowhere'}"
    for command in (("runs",), ("limits",), ("stats",), ("show", "r"), ("approve", "r")):
        named = home.hocket("--journal", "nowhere", *command)
        assert named.status == 2, command
        assert nowhere in named.err
    empty = home.hocket("runs", env={"HOCKET_HOME": str(home.folder / "nowhere")})
    assert (empty.status, empty.out) == (0, "")
    assert empty.err == f"no runs yet, and {nowhere}; begin with: hocket init\n"
    assert not (home.folder / "nowhere").exists()
    assert "no journal" not in home.hocket("check", "no.yaml").err
    assert FILE == schema.FILE


@pytest.mark.parametrize("rows", ["0", "-3"])
def test_a_list_of_no_runs_is_refused(home: Home, rows: str) -> None:
    done = home.hocket("runs", f"--limit={rows}")
    assert (done.status, done.out) == (2, "")
    assert "Must be >= 1" in done.err
