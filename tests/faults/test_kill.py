"""Runs whose process is killed with -9, stopped, or lost: what is done again, and what is not."""

import os
import signal
import time
from pathlib import Path

import psutil
from tests.cli.kit import Home, ended, processes_with

FUNCTIONS = """
import pathlib, time

def note(name):
    with open("done.txt", "a") as file:
        file.write(name + "\\n")
    return name

def hang(name):
    with open("begun.txt", "a") as file:
        file.write(name + "\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return note(name)
"""

# A command waits for the file `go`; what it does before and after is counted in files.
WAITS = "echo {0} >> begun.txt; while [ ! -e go ]; do sleep 0.02; done; echo {0} >> done.txt"


def hangs(name: str, *, effects: bool = True) -> str:
    extra = "" if effects else "\n  effects: false"
    return f"{name}:\n  shell: '{WAITS.format(name)}; echo {name}'{extra}\n"


def notes(name: str, needs: str = "") -> str:
    extra = f"\n  needs: [{needs}]" if needs else ""
    return f"{name}:\n  shell: 'echo {name} >> done.txt; echo {name}'{extra}\n"


def killed_in_flight(home: Home, steps: str, begun: int = 1) -> None:
    """Start a run, and kill it once so many of its calls hang in flight."""
    home.write(steps)
    child = home.running()
    home.until(lambda: len(home.lines("begun.txt")) >= begun, child)
    home.until(lambda: idle(child.pid), child)
    home.kill(child)


def idle(pid: int) -> bool:
    """Whether a process only waits: a child may be under way before its parent knows its number."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    time.sleep(0.05)
    return process.status() == psutil.STATUS_SLEEPING and process.cpu_times() == before


def test_what_had_finished_is_not_done_again_and_what_was_in_flight_without_effects_is(
    home: Home,
) -> None:
    home.write(notes("first") + hangs("slow", effects=False) + notes("last", "slow"))
    child = home.running()
    home.until(lambda: "first" in home.lines("done.txt") and home.lines("begun.txt"), child)
    home.until(lambda: "call_finished" in home.kinds(), child)
    home.kill(child)
    home.file("go").touch()
    done = home.hocket("resume", "r")
    assert done.status == 0, done
    assert sorted(home.lines("done.txt")) == ["first", "last", "slow"]
    assert home.lines("begun.txt") == ["slow", "slow"]
    attempts = [
        (event["call"]["path"], event["call"]["attempt"])
        for event in home.events()
        if event["type"] == "call_started"
    ]
    # What others wait for goes first.
    assert attempts == [("slow", 1), ("first", 1), ("slow", 2), ("last", 1)]
    assert [event["call"]["path"] for event in home.events() if event["type"] == "call_lost"] == [
        "slow"
    ]


def test_a_function_in_flight_is_done_again(home: Home) -> None:
    home.put("steps.py", FUNCTIONS)
    home.write(
        "one:\n  call: steps:note\n  with: {name: one}\n"
        "two:\n  call: steps:hang\n  with: {name: two}\n  needs: [one]\n"
    )
    child = home.running()
    # Without effects the second may have begun before the first one's end was on disk.
    home.until(lambda: home.lines("begun.txt") and "call_finished" in home.kinds(), child)
    home.kill(child)
    home.file("go").touch()
    done = home.hocket("resume", "r", "--quiet")
    assert (done.status, done.out) == (0, "two\n"), done
    assert home.lines("done.txt") == ["one", "two"]


def test_a_call_with_effects_is_held_and_a_retry_does_it_again(home: Home) -> None:
    killed_in_flight(home, hangs("pay") + notes("after", "pay"))
    done = home.hocket("resume", "r", "--no-wait")
    assert done.status == 3, done
    assert "pay#1 has effects and was in flight when the process that did it died" in done.err
    assert "to do it again: hocket retry r pay" in done.err
    assert "if it was done: hocket send r pay OUTPUT" in done.err
    assert home.lines("begun.txt") == ["pay"]
    home.file("go").touch()
    done = home.hocket("retry", "r", "pay")
    assert done.status == 0, done
    assert home.lines("begun.txt") == ["pay", "pay"]
    assert home.lines("done.txt") == ["pay", "after"]


def test_a_call_with_effects_is_held_and_its_known_output_can_be_sent(home: Home) -> None:
    killed_in_flight(home, hangs("pay") + notes("after", "pay"))
    child = home.start("resume", "r", "--plain")
    home.until(lambda: "run_resumed" in home.kinds(), child)
    assert "to go on" not in home.ok("show", "r").out
    done = home.hocket("send", "r", "pay", "receipt 7")
    assert (done.status, done.err) == (0, "done\n")
    left = ended(child)
    assert left.status == 0
    assert "to do it again: hocket retry r pay" in left.err
    assert home.lines("begun.txt") == ["pay"]
    assert home.lines("done.txt") == ["after"]
    assert home.ok("show", "r", "pay").out == "receipt 7\n"


def test_no_process_outlives_a_kill(home: Home) -> None:
    mark = f"mark-{home.folder.parent.name}"
    home.write(
        f"""
a: {{shell: 'echo a >> begun.txt; sleep 987 & sleep 987; : {mark}'}}
b: {{shell: 'trap "" TERM; echo b >> begun.txt; sleep 987; : {mark}'}}
"""
    )
    child = home.running()
    home.until(lambda: len(home.lines("begun.txt")) == 2, child)
    family = psutil.Process(child.pid).children(recursive=True)
    assert processes_with(mark)
    home.kill(child)
    home.until(lambda: not [p for p in family if p.is_running() and p.status() != "zombie"])
    assert processes_with(mark) == []


def test_a_dead_owners_run_is_taken_over_at_once(home: Home) -> None:
    killed_in_flight(home, hangs("slow", effects=False))
    home.file("go").touch()
    rows = home.ok("runs").out
    assert "stopped (resumable)" in rows
    assert home.ok("resume", "r", "--quiet").out == "slow\n"


def test_a_dead_owners_run_can_be_cancelled(home: Home) -> None:
    killed_in_flight(home, hangs("slow", effects=False))
    done = home.hocket("cancel", "r")
    assert done.status == 0, done
    assert "run r cancelled" in done.err
    assert home.status() == "cancelled"


def test_a_living_owners_run_is_not_taken_over(home: Home) -> None:
    home.write(hangs("slow"))
    child = home.running()
    done = home.hocket("resume", "r")
    assert done.status == 2
    assert "is being run by" in done.err or "is alive" in done.err or "owner" in done.err, done.err
    home.file("go").touch()
    assert ended(child).status == 0


def test_a_stopped_owner_cannot_append_once_another_has_taken_over(home: Home) -> None:
    home.env["HOCKET_LEASE"] = "1"
    home.write(hangs("slow", effects=False) + notes("last", "slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    os.kill(child.pid, signal.SIGSTOP)
    # Refused as long as the lease holds; then the run is taken over.
    heir = home.until(lambda: _heir(home))
    home.until(lambda: len(home.lines("begun.txt")) == 2, heir)
    before = len(home.events())
    os.kill(child.pid, signal.SIGCONT)
    old = ended(child)
    assert old.status == 5, old
    assert "another process" in old.err
    assert len(home.events()) == before
    home.file("go").touch()
    assert ended(heir).status == 0
    assert home.lines("done.txt").count("last") == 1
    owners = [event["epoch"] for event in home.events() if event["type"] == "run_resumed"]
    assert owners == [2]


def _heir(home: Home):  # type: ignore[no-untyped-def]
    child = home.start("resume", "r", "--plain")
    try:
        child.wait(timeout=1.5)
    except Exception:
        return child
    out, err = child.communicate()
    assert child.returncode == 2, (out, err)
    return None


def test_a_second_kill_and_resume_finish_it_too(home: Home) -> None:
    home.write(
        "".join(hangs(f"s{i}", effects=False) for i in range(3)) + notes("last", "s0, s1, s2")
    )
    child = home.running()
    home.until(lambda: len(home.lines("begun.txt")) == 3, child)
    home.kill(child)
    child = home.start("resume", "r")
    home.until(lambda: len(home.lines("begun.txt")) == 6, child)
    home.kill(child)
    home.file("go").touch()
    assert home.ok("resume", "r").status == 0
    assert home.lines("done.txt").count("last") == 1
    assert [e["epoch"] for e in home.events() if e["type"] == "run_resumed"] == [2, 3]


def test_the_state_folder_is_whole_after_a_kill(home: Home, tmp_path: Path) -> None:
    killed_in_flight(home, hangs("slow", effects=False))
    names = {path.name.split("-")[0] for path in home.state.iterdir()}
    assert "journal.sqlite" in names
    assert home.ok("show", "r", "--json").data["status"] == "running"
    assert home.ok("doctor", "--json").status == 0
