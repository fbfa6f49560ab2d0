"""Signals to ``hocket run``: Ctrl-C once and twice, SIGTERM, a terminal that goes away."""

import os
import signal

import psutil
import pytest
from tests.cli.kit import Home, ended
from tests.faults.test_kill import hangs, notes


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_pauses_and_says_how_to_go_on(home: Home, number: signal.Signals) -> None:
    home.write(hangs("slow") + notes("after", "slow"))
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    os.kill(child.pid, number)
    home.until(lambda: "pause_requested" in home.kinds(), child)
    home.file("go").touch()
    left = ended(child)
    assert left.status == 130
    by = "ctrl-c" if number == signal.SIGINT else number.name
    assert f"pause asked by {by}" in left.err
    assert "pausing: calls in flight may finish; Ctrl-C again cancels the run" in left.err
    assert left.err.endswith("  to go on: hocket resume r\n")
    assert home.lines("done.txt") == ["slow"]
    assert home.ok("resume", "r").status == 0
    assert home.lines("begun.txt") == ["slow"]
    assert home.lines("done.txt") == ["slow", "after"]


def test_the_second_cancels_and_leaves_no_process(home: Home) -> None:
    home.write(
        "a: {shell: 'sleep 987 & echo a >> begun.txt; sleep 987'}\n"
        "b: {shell: 'echo b >> begun.txt; sleep 987'}\n" + notes("after", "a, b")
    )
    child = home.running()
    home.until(lambda: len(home.lines("begun.txt")) == 2, child)
    processes = family(child.pid)
    assert len(processes) >= 5
    os.kill(child.pid, signal.SIGINT)
    home.until(lambda: "pause_requested" in home.kinds(), child)
    os.kill(child.pid, signal.SIGINT)
    left = ended(child)
    assert left.status == 130
    assert "cancelling" in left.err
    assert "run r cancelled" in left.err
    assert home.status() == "cancelled"
    home.until(lambda: not alive(processes))


def test_the_third_kills_what_does_not_listen(home: Home) -> None:
    home.write(
        "deaf:\n  grace: 60s\n"
        "  shell: 'trap \"\" TERM INT; echo a >> begun.txt; while :; do sleep 0.1; done'\n"
    )
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    processes = family(child.pid)
    for kind in ("pause_requested", "cancel_requested"):
        os.kill(child.pid, signal.SIGINT)
        home.until(lambda kind=kind: kind in home.kinds(), child)
    os.kill(child.pid, signal.SIGINT)
    assert ended(child, 5).status == 130
    home.until(lambda: not alive(processes))


def test_calls_get_nothing_of_the_terminals_ctrl_c(home: Home) -> None:
    home.write("slow:\n  shell: 'echo $$ >> pids.txt; while [ ! -e go ]; do sleep 0.02; done'\n")
    child = home.running()
    pids = home.until(lambda: home.lines("pids.txt"), child)
    assert os.getpgid(int(pids[0])) != os.getpgid(child.pid)
    os.killpg(child.pid, signal.SIGINT)
    home.until(lambda: "pause_requested" in home.kinds(), child)
    assert psutil.pid_exists(int(pids[0]))
    home.file("go").touch()
    ended(child)
    assert "call_finished" in home.kinds()


def test_no_zombie_is_left_while_it_runs(home: Home) -> None:
    home.write(
        "list: {command: [seq, '30'], output: lines}\n"
        "each:\n  each: list\n  shell: '(sleep 0.01 &) ; echo $1'\n  args: ['{{item}}']\n"
        "slow:\n  needs: [each]\n"
        "  shell: 'echo s >> begun.txt; while [ ! -e go ]; do sleep 0.02; done'\n"
    )
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    states = [p.status() for p in psutil.Process(child.pid).children()]
    assert psutil.STATUS_ZOMBIE not in states
    assert len(states) <= 2
    home.file("go").touch()
    assert ended(child).status == 0
