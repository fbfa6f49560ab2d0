"""What another terminal asks of a run under way: it counts within a second, or is refused."""

import time

import pytest
from tests.cli.kit import Done, Home, ended
from tests.faults.test_kill import hangs, notes

APPROVE = "ok:\n  approve: 'Ship it?'\n"


def asked(home: Home, *args: str) -> tuple[Done, float]:
    """Ask something, and see how long it took beyond the start of a process."""
    begun = time.monotonic()
    done = home.hocket(*args)
    return done, time.monotonic() - begun


def test_pause_lets_calls_end_and_starts_no_others(home: Home) -> None:
    home.write(hangs("slow") + notes("after", "slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    done = home.hocket("pause", "r")
    assert (done.status, done.err) == (0, "pausing: 1 call in flight may finish (slow)\n")
    assert home.kinds()[-1] == "pause_requested"
    done = home.hocket("pause", "r")
    assert done.status in (0, 2)
    home.file("go").touch()
    left = ended(child)
    assert left.status == 3
    assert "run r paused" in left.err
    assert "to go on: hocket resume r" in left.err
    assert home.lines("done.txt") == ["slow"]
    assert home.ok("resume", "r").status == 0
    assert home.lines("done.txt") == ["slow", "after"]


@pytest.mark.parametrize("now", [False, True])
def test_cancel_ends_it(home: Home, now: bool) -> None:
    home.write(
        "slow:\n  grace: 30s\n"
        '  shell: \'trap "echo asked >> asked.txt; exit 1" TERM; echo s >> begun.txt;'
        " while :; do sleep 0.02; done'\n"
    )
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    begun = time.monotonic()
    done = home.hocket("cancel", "r", *(["--now"] if now else []))
    how = "killed" if now else "asked to end"
    # It may be over by the time that it is looked at.
    said = {f"cancelling: 1 call in flight is {how} (slow)\n", "cancelled\n"}
    assert done.status == 0
    assert done.err in said
    left = ended(child)
    assert time.monotonic() - begun < 5
    assert left.status == 1
    assert "run r cancelled" in left.err
    assert home.lines("asked.txt") == ([] if now else ["asked"])
    assert home.status() == "cancelled"
    assert home.hocket("cancel", "r").status == 2


def test_approve_and_reject(home: Home) -> None:
    home.write(APPROVE + notes("after", "ok"))
    child = home.running()
    home.until(lambda: "approval_asked" in home.kinds(), child)
    refused = home.hocket("approve", "r")
    assert refused.status == 2
    assert "nobody can be asked here; add --yes or --reject" in refused.err
    done = home.hocket("approve", "r", "--yes", "--note", "go")
    assert done.status == 0
    first, waits, last = done.err.splitlines()
    assert (first, last) == ("Ship it?", "done")
    assert waits.endswith(" more, then the run is paused and can be resumed)")
    assert ended(child).status == 0
    given = next(e for e in home.events() if e["type"] == "approval_given")
    assert (given["approved"], given["by"], given["note"]) == (True, "tester", "go")

    child = home.running(run="r2")
    home.until(lambda: "approval_asked" in home.kinds("r2"), child)
    assert home.hocket("approve", "r2", "ok", "--reject", "--note", "no").status == 0
    left = ended(child)
    assert left.status == 1
    assert "rejected by tester: no" in left.err


def test_send_gives_text_or_json_to_a_step_that_waits(home: Home) -> None:
    home.write(
        "what:\n  input: 'Which?'\n"
        "many:\n  input: 'How many?'\n  output: {n: int}\n  needs: [what]\n"
        "say:\n  command: [echo, '{{what}} {{many.n}}']\n"
    )
    child = home.running()
    home.until(lambda: "input_asked" in home.kinds(), child)
    assert home.hocket("send", "r", "what", "-", stdin="red").status == 0
    home.until(lambda: home.kinds().count("input_asked") == 2, child)
    refused = home.hocket("send", "r", "many", "--json", '{"n": "x"}')
    assert refused.status == 2, refused
    assert home.hocket("send", "r", "many", "--json", '{"n": 3}').status == 0
    left = ended(child)
    assert (left.status, left.out) == (0, "red 3\n")


def test_retry_of_a_failed_step_while_others_run(home: Home) -> None:
    home.write(
        hangs("slow")
        + "bad:\n  shell: 'echo x >> tries.txt; test -e mended'\n  on_failure: skip\n"
        + notes("after", "slow")
    )
    child = home.running()
    home.until(lambda: "step_failed" in home.kinds(), child)
    home.file("mended").touch()
    done = home.hocket("retry", "r", "bad")
    assert (done.status, done.err) == (0, "done\n")
    home.file("go").touch()
    assert ended(child).status == 0
    assert home.lines("tries.txt") == ["x", "x"]


def test_retry_of_a_failed_run_does_only_what_failed_again(home: Home) -> None:
    home.write(
        notes("good")
        + "bad:\n  shell: 'echo x >> tries.txt; test -e mended'\n  needs: [good]\n"
        + notes("after", "bad")
    )
    failed = home.hocket("run", "--id", "r")
    assert failed.status == 1
    assert "to do what failed again: hocket retry r" in failed.err
    home.file("mended").touch()
    assert home.hocket("retry", "r").status == 0
    assert home.lines("done.txt") == ["good", "after"]
    assert home.lines("tries.txt") == ["x", "x"]


def test_each_request_counts_within_a_second(home: Home) -> None:
    home.write("".join(f"i{n}:\n  input: 'x'\n" for n in range(5)) + hangs("slow"))
    child = home.running()
    home.until(lambda: home.kinds().count("input_asked") == 5, child)
    took = []
    for number in range(5):
        done = home.hocket("send", "r", f"i{number}", "x")
        heard = time.time_ns()
        assert done.status == 0
        given = next(e for e in reversed(home.events()) if e["type"] == "input_given")
        took.append((heard - given["at"]) / 1e9)
    # The owner had it before the asker had its answer; both within a second.
    assert max(took) < 1.0
    home.file("go").touch()
    assert ended(child).status == 0


REFUSED = [
    (["approve", "r", "slow", "--yes"], "step 'slow' of run r does not wait for approval"),
    (["approve", "r", "nix", "--yes"], "step 'nix' of run r does not wait for approval"),
    (["send", "r", "slow", "x"], "slow"),
    (["send", "r", "nix", "x"], "nix"),
    (["send", "r", "good", "x"], "good"),
    (["send", "r", "what", "--json", "{"], "that is not JSON"),
    (["retry", "r", "good"], "good"),
    (["retry", "r", "slow"], "slow"),
    (["retry", "r", "nix"], "nix"),
    (["retry", "r"], "say which failed step"),
    (["resume", "r"], "which is alive"),
    (["prune", "r"], "run r has not ended"),
    (["prune", "r", "--all"], "alive"),
    (["run", "--id", "r"], "there is a run r already"),
]


def test_what_makes_no_sense_is_refused_and_changes_nothing(home: Home) -> None:
    home.write(notes("good") + hangs("slow") + "what:\n  input: 'x'\n")
    child = home.running()
    home.until(lambda: {"input_asked", "call_finished"} <= set(home.kinds()), child)
    before = home.events()
    told = {}
    for args, words in REFUSED:
        done = home.hocket(*args)
        told[" ".join(args)] = done.err
        assert done.status == 2, (args, done)
        assert words in done.err, (args, done)
        assert done.out == ""
        assert "Traceback" not in done.err
    assert home.events() == before
    home.hocket("send", "r", "what", "x")
    home.file("go").touch()
    assert ended(child).status == 0


def test_no_wait_stops_at_a_question_and_the_answer_counts_at_the_resume(home: Home) -> None:
    home.write(APPROVE + notes("after", "ok"))
    done = home.hocket("run", "--id", "r", "--no-wait")
    assert done.status == 3
    assert "to decide: hocket approve r ok" in done.err
    noted = home.hocket("approve", "r", "--yes")
    assert noted.status == 0
    assert "it counts at: hocket resume r" in noted.err
    assert home.ok("resume", "r").status == 0
    assert home.lines("done.txt") == ["after"]


def test_an_answer_counts_also_where_nobody_is_waited_for(home: Home) -> None:
    home.write(APPROVE + notes("after", "ok"))
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    assert home.hocket("resume", "r", "--no-wait").status == 3
    home.ok("approve", "r", "--yes")
    home.ok("resume", "r", "--no-wait")
    assert home.lines("done.txt") == ["after"]


def test_what_is_asked_of_a_run_that_nobody_drives_is_judged_at_once(home: Home) -> None:
    home.write('n:\n  input: "A number?"\n  output: {n: int}\n')
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    refused = home.hocket("send", "r", "n", "many")
    assert refused.status == 2
    assert "that is not what 'n' takes" in refused.err
    noted = home.ok("send", "r", "n", "--json", '{"n": 3}')
    assert "it counts at: hocket resume r" in noted.err
    assert home.ok("resume", "r").out == '{\n  "n": 3\n}\n'


def test_a_run_whose_process_has_died_is_shown_as_stopped(home: Home) -> None:
    home.write(hangs("slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    child.kill()
    child.wait()
    home.until(lambda: "stopped (resumable)" in home.ok("show", "r").out)
