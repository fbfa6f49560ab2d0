"""The live picture on a real pseudo-terminal: what is on it, and what keys do."""

import os
import re
import signal
import termios
import time

import pytest
from tests.cli.kit import Home
from tests.cli.terminal import Terminal

WAITS = "a: {shell: 'echo working hard; while [ ! -e go ]; do sleep 0.02; done; echo done'}\n"
ASKS = "ok: {approve: 'Ship {{a}}?'}\nafter: {command: [echo, shipped], needs: [ok]}\n"


def test_the_picture_shows_what_runs_and_says(home: Home, terminals: list[Terminal]) -> None:
    home.write(WAITS + "b: {command: [echo, bye], needs: [a]}")
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("● a#1")
    terminal.shows("working hard")
    terminal.shows("0/2 done · 1 running · 1 pending")
    home.file("go").touch()
    assert terminal.ended() == 0
    assert "run r succeeded: 2/2 done · 2 calls" in terminal.plain
    assert terminal.plain.rstrip().endswith("bye")
    # The cursor is there again.
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_a_back_off_is_shown(home: Home, terminals: list[Terminal]) -> None:
    home.write("a: {shell: 'exit 1', retry: {tries: 2, first: 2s, jitter: 0}}")
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("a#1 failed after")
    terminal.shows("… 1 call waits for its back-off")
    home.hocket("cancel", "r", "--now")
    assert terminal.ended() == 1


def test_what_waits_for_a_slot_is_counted(home: Home, terminals: list[Terminal]) -> None:
    home.write(
        "list: {command: [seq, '200'], output: lines}\n"
        "many: {each: list, concurrency: 150, args: ['{{item}}'],"
        " shell: 'while [ ! -e go ]; do sleep 0.1; done'}"
    )
    terminals.append(
        terminal := Terminal(home, "run", "--id", "r", "--max-parallel", "30", columns=40, rows=12)
    )
    terminal.shows("calls wait for a slot")
    terminal.shows("more in flight")
    lines = re.split(r"\x1b\[[0-9;?]*[A-LS-Z]|[\r\n]+", terminal.text)
    assert max(len(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", line)) for line in lines) <= 40
    home.hocket("cancel", "r", "--now")
    assert terminal.ended() == 1


@pytest.mark.parametrize(("key", "status"), [("y", 0), ("n", 1)])
def test_a_key_decides(home: Home, terminals: list[Terminal], key: str, status: int) -> None:
    home.write("a: {command: [echo, it]}\n" + ASKS)
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("Ship it?")
    terminal.shows("press y to approve, n to reject, v to see all of it")
    before = termios.tcgetattr(terminal._file)
    # A key that comes too soon counts for nothing; it is pressed until it counts.
    while terminal.process.poll() is None and "approval_given" not in home.kinds():
        terminal.press("x" + key)
        time.sleep(0.1)
    assert terminal.ended() == status
    assert next(e for e in home.events() if e["type"] == "approval_given")["approved"] == (
        key == "y"
    )
    after = termios.tcgetattr(terminal._file)
    assert before[3] & termios.ECHO == 0
    assert after[3] & termios.ECHO != 0


def test_a_key_too_soon_counts_for_nothing(home: Home, terminals: list[Terminal]) -> None:
    home.write("a: {shell: 'while [ ! -e go ]; do sleep 0.02; done; echo it'}\n" + ASKS)
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("● a#1")
    terminal.press("yyyn")
    home.file("go").touch()
    terminal.shows("press y to approve")
    assert "approval_given" not in home.kinds()
    home.ok("approve", "r", "--yes")
    assert terminal.ended() == 0


def test_what_is_cut_is_shown_whole_before_it_can_be_approved(
    home: Home, terminals: list[Terminal]
) -> None:
    home.write("a: {command: [seq, '40']}\n" + ASKS)
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("more characters: v shows them")
    assert "│ 30" not in terminal.plain
    while "that is all of ok: y approves it now" not in terminal.plain:
        terminal.press("y")
        time.sleep(0.1)
        assert terminal.process.poll() is None
    terminal.shows("│ 30")
    while terminal.process.poll() is None and "approval_given" not in home.kinds():
        terminal.press("y")
        time.sleep(0.1)
    assert terminal.ended() == 0


def test_a_question_of_before_is_shown_when_a_run_is_taken_up(
    home: Home, terminals: list[Terminal]
) -> None:
    home.write("a: {command: [echo, it]}\n" + ASKS)
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3
    terminals.append(terminal := Terminal(home, "resume", "r"))
    terminal.shows("Ship it?")
    terminal.shows("press y to approve")
    while terminal.process.poll() is None and "approval_given" not in home.kinds():
        terminal.press("y")
        time.sleep(0.1)
    assert terminal.ended() == 0


def test_a_question_of_a_nested_plan_is_shown_as_long_as_it_waits(
    home: Home, terminals: list[Terminal]
) -> None:
    home.put(
        "nested.yaml",
        "version: 1\nplans:\n  outer: {steps: {inner: {run: inner}}}\n"
        "  inner: {steps: {ok: {approve: Ship?, timeout: 2s, on_timeout: approve, "
        "confirm_effects: true}, after: {shell: 'while [ ! -e go ]; do sleep 0.02; done', "
        "needs: [ok]}}}\n",
    )
    terminals.append(terminal := Terminal(home, "run", "nested.yaml", "outer", "--id", "r"))
    terminal.shows("inner/ok waits for you: press y to approve")
    # Nobody answers, and it counts as approved: there is nothing to decide any more.
    terminal.shows("● inner/after#1")
    assert "waits for you" not in terminal.plain[terminal.plain.rindex("inner/after#1") :]
    home.file("go").touch()
    assert terminal.ended() == 0


def test_approve_asks_at_the_terminal(home: Home, terminals: list[Terminal]) -> None:
    home.write("a: {command: [echo, it]}\n" + ASKS)
    child = home.running()
    home.until(lambda: "approval_asked" in home.kinds(), child)
    terminals.append(terminal := Terminal(home, "approve", "r"))
    terminal.shows("Ship it?")
    terminal.shows("approve ok? [y/n]")
    terminal.press("y\n")
    assert terminal.ended() == 0
    child.wait(timeout=20)
    assert "approval_given" in home.kinds()


def test_ctrl_c_pauses_and_a_second_one_cancels(home: Home, terminals: list[Terminal]) -> None:
    home.write(WAITS)
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("● a#1")
    terminal.press("\x03")
    terminal.shows("pausing: calls in flight may finish; Ctrl-C again cancels the run")
    terminal.press("\x03")
    assert terminal.ended() == 130
    assert "run r cancelled" in terminal.plain


def test_a_terminal_that_stands_still_holds_nothing_up(
    home: Home, terminals: list[Terminal]
) -> None:
    home.write(
        "list: {command: [seq, '300'], output: lines}\n"
        "a: {each: list, shell: 'exit 1', args: ['{{item}}'], on_failure: continue}"
    )
    terminals.append(terminal := Terminal(home, "run", "--id", "r", columns=200))
    terminal.reading.clear()
    home.until(lambda: home.status() not in ("", "running"))
    assert terminal.process.poll() is None
    terminal.reading.set()
    terminal.ended()
    assert "run r " in terminal.plain


def test_a_terminal_that_goes_away_pauses_the_run(home: Home, terminals: list[Terminal]) -> None:
    home.write(WAITS + "b: {command: [echo, bye], needs: [a]}")
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    terminal.shows("● a#1")
    os.kill(terminal.process.pid, signal.SIGHUP)
    home.until(lambda: "pause_requested" in home.kinds())
    home.file("go").touch()
    assert terminal.ended() == 130
    assert home.ok("resume", "r", "--quiet").out == "bye\n"


def test_no_colour_where_none_is_wanted(home: Home, terminals: list[Terminal]) -> None:
    home.env["NO_COLOR"] = "1"
    home.write("a: {shell: 'exit 3'}")
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    assert terminal.ended() == 1
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.text)


def test_plain_and_a_dumb_terminal_have_no_picture(home: Home, terminals: list[Terminal]) -> None:
    home.write("a: {command: [echo, hi]}")
    terminals.append(terminal := Terminal(home, "run", "--plain"))
    assert terminal.ended() == 0
    home.env["TERM"] = "dumb"
    terminals.append(dumb := Terminal(home, "run"))
    assert dumb.ended() == 0
    assert "\x1b" not in terminal.text + dumb.text
    assert "a#1 finished" in dumb.text


def test_an_output_cannot_steer_the_terminal(home: Home, terminals: list[Terminal]) -> None:
    home.write("a: {shell: 'printf \"\\\\033]0;owned\\\\007\\\\033[2Jred\"'}")
    terminals.append(terminal := Terminal(home, "run", "--id", "r"))
    assert terminal.ended() == 0
    terminals.append(show := Terminal(home, "show", "r", "a"))
    assert show.ended() == 0
    assert "owned" not in terminal.text and "\x1b[2J" not in terminal.text
    assert show.text == "red\r\n"
    assert home.ok("show", "r", "a").out == "\x1b]0;owned\x07\x1b[2Jred\n"
