"""Forks on a state folder: the command, its run's files, and what can be said of it later."""

from pathlib import Path

from tests.cli.kit import Home

from hocket.journal.sqlite import SqliteJournal

STEPS = """
a: {command: [echo, "a {{inputs.what}}"]}
b: {command: [echo, "b {{inputs.what}} {{a}}"],
    needs: [a]}
c: {command: [test, "{{inputs.what}}", "=", "good"], needs: [b]}
"""


def numbers(home: Home, kind: str) -> list[int]:
    return [n for n, event in enumerate(home.events(), 1) if event["type"] == kind]


def test_a_failed_run_goes_on_with_another_input_and_outlives_its_source(tmp_path: Path) -> None:
    home = Home(tmp_path)
    try:
        home.write(STEPS, plan="inputs: [what]")
        assert home.hocket("run", "hocket.yaml", "-i", "what=bad", "--id", "r").status == 1
        first = numbers(home, "call_finished")[0]
        done = home.hocket("fork", "r", "--after", str(first), "-i", "what=good", "--id", "f")
        assert done.status == 0, done
        assert home.ok("show", "f", "b").out == "b good a bad\n"
        again = home.hocket("fork", "r", "-i", "what=good", "--id", "g")
        assert again.status == 0, again
        assert home.ok("show", "g", "b").out == "b bad a bad\n"
        assert home.status("r") == "failed"
        kinds = home.kinds("g")
        assert kinds.count("call_started") == len(numbers(home, "call_started")) + 1
        explained = home.ok("explain", "g")
        assert "run g (p)" in explained.out
        with SqliteJournal(home.state) as journal:
            journal.remove(["r"])
        assert home.ok("show", "g", "b").out == "b bad a bad\n"
    finally:
        home.end()


def test_what_cannot_be_forked_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    try:
        home.write("a: {command: [echo, a]}")
        home.ok("run", "hocket.yaml", "--id", "r")
        done = home.hocket("fork", "r", "-i", "what=good")
        assert done.status == 2 and "has no input 'what'" in done.err
        done = home.hocket("fork", "r", "--after", "99")
        assert done.status == 2 and "there is no event 99" in done.err
        assert home.hocket("fork", "none").status == 2
        assert len(home.ok("runs", "--json").data) == 1
    finally:
        home.end()
