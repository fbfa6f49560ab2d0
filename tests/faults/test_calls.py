"""Calls that go wrong while a run goes: each ends clearly, and Hocket stays small and whole."""

import os
import subprocess
import threading
import time

import pytest
from tests.cli.kit import HOCKET, Home, ended

from hocket.cli.main import main

FUNCTIONS = """
def boom(): raise ValueError("no luck")
def odd(): return object()
def big(): return "x" * 10_000_000
def number(): return 5
def leave(): raise SystemExit(3)
"""

# name, the plan's steps, exit status, words on stderr
TABLE: list[tuple[str, str, int, str]] = [
    ("no-program", "a: {command: [nix-gibt-es]}", 1, "there is no program 'nix-gibt-es'"),
    ("no-file", "a: {command: [./nix]}", 1, "./nix"),
    ("not-executable", "a: {command: [./hocket.yaml]}", 1, "hocket.yaml"),
    ("exit-7", "a: {shell: 'echo problem >&2; exit 7'}", 1, "exit status 7: problem"),
    ("signal", "a: {shell: 'kill -9 $$'}", 1, "killed by SIGKILL"),
    ("segv", "a: {shell: 'kill -SEGV $$'}", 1, "killed by SIGSEGV"),
    ("never-ends", "a: {shell: 'sleep 987', timeout: 200ms}", 124, "took longer than its timeout"),
    (
        "deaf",
        "a: {shell: 'trap \"\" TERM; while :; do sleep 0.1; done', timeout: 200ms, grace: 100ms}",
        124,
        "took longer than its timeout of 200 ms",
    ),
    (
        "holds-the-pipe",
        "a: {shell: 'sleep 987 & echo ok', timeout: 20s}",
        0,
        "succeeded",
    ),
    ("not-utf-8", "a: {shell: 'printf \"a\\\\377b\"'}", 0, "not UTF-8 (first at byte 1)"),
    ("not-json", "a: {command: [echo, nojson], output: json}", 1, "the output is not JSON"),
    (
        "schema",
        'a: {command: [echo, \'{"n": "x"}\'], output: {n: int}}',
        1,
        "output.n: 'x' is not of type 'integer'",
    ),
    ("raises", "a: {call: 'steps:boom'}", 1, "ValueError: no luck"),
    ("exits", "a: {call: 'steps:leave'}", 1, "SystemExit: 3"),
    ("unserialisable", "a: {call: 'steps:odd'}", 1, "a value of type object"),
    ("no-function", "a: {call: 'steps:nix'}", 1, "there is no 'nix' in steps"),
    ("no-module", "a: {call: 'nomod:nix'}", 1, "no module 'nomod'"),
    (
        "no-list",
        "a: {call: 'steps:number'}\nb: {each: a, command: [echo, '{{item}}']}",
        1,
        "each: a is",
    ),
    (
        "no-field",
        "a: {command: [echo, '{}'], output: json}\nb: {command: [echo, '{{a.title}}']}",
        1,
        "a has no field 'title'",
    ),
    (
        "dash",
        "a: {command: [echo, '-rf'], output: text}\nb: {command: [ls, '{{a}}']}",
        1,
        "'-'",
    ),
    ("says-so", "a: {shell: 'echo it took longer than its two >&2; exit 3'}", 1, "longer than its"),
    ("plan-timeout", "a: {shell: 'sleep 987'}", 124, "plan 'p' took longer than its 300 ms"),
]


def test_each_ends_with_its_status_and_says_why(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.put("steps.py", FUNCTIONS)
    monkeypatch.chdir(home.folder)
    monkeypatch.setenv("HOCKET_HOME", str(home.state))
    monkeypatch.syspath_prepend(home.folder)
    wrong = []
    for name, steps, status, words in TABLE:
        home.write(steps, plan="timeout: 300ms" if name == "plan-timeout" else "")
        found = main(["run", "--id", name])
        err = capsys.readouterr().err
        if found != status or words not in err or "Traceback" in err:
            wrong.append((name, found, err))
        elif home.status(name) != ("succeeded" if status == 0 else "failed"):
            wrong.append((name, found, home.status(name)))
    assert wrong == []


def test_a_failure_is_told_once_in_each_part(home: Home) -> None:
    home.write("a: {shell: 'echo problem >&2; exit 7'}")
    done = home.hocket("run", "--id", "r")
    assert done.err.count("exit status 7: problem") == 2, done.err


def peak_mb(pid: int, child: object) -> float:
    """The most memory that a process had, as long as it lives."""
    best = 0.0
    while child.poll() is None:  # type: ignore[attr-defined]
        try:
            with open(f"/proc/{pid}/status") as file:
                for line in file:
                    if line.startswith("VmHWM"):
                        best = max(best, int(line.split()[1]) / 1024)
        except OSError:
            break
        time.sleep(0.02)
    return best


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc here")
@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ("a: {shell: 'head -c 300000000 /dev/zero | tr \"\\\\0\" x'}", 1),
        ("a: {shell: 'head -c 300000000 /dev/zero | tr \"\\\\0\" x', quota: 400000000}", 0),
        ("a: {shell: 'head -c 300000000 /dev/zero | tr \"\\\\0\" x >&2', quota: 400000000}", 0),
    ],
)
def test_300_mb_of_output_take_little_memory(home: Home, steps: str, status: int) -> None:
    home.write(steps)
    child = home.start("run", "--id", "r")
    found: list[float] = []
    watch = threading.Thread(target=lambda: found.append(peak_mb(child.pid, child)))
    watch.start()
    done = ended(child, 60)
    watch.join()
    assert done.status == status, done.err
    assert ("it wrote more than 64 MB and was killed" in done.err) == (status == 1)
    assert 20 < found[0] < 110
    kept = sum(path.stat().st_size for path in home.state.rglob("*") if path.is_file())
    assert kept < 20e6


def test_an_output_of_10_mb_is_whole(home: Home) -> None:
    home.put("steps.py", FUNCTIONS)
    home.write("a: {call: 'steps:big'}\nb: {call: 'steps:number', needs: [a]}")
    home.ok("run", "--id", "r", "--quiet")
    assert home.ok("show", "r", "a").out == "x" * 10_000_000 + "\n"


def test_a_closed_stdout_ends_nothing(home: Home) -> None:
    home.write(
        "list: {command: [seq, '50'], output: lines}\n"
        "a: {each: list, shell: 'echo $1 >> ran.txt', args: ['{{item}}']}"
    )
    child = home.start("run", "--id", "r", "--jsonl")
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "Traceback" not in err and "Exception ignored" not in err
    assert len(home.lines("ran.txt")) == 50
    assert home.status() == "succeeded"


@pytest.mark.parametrize("command", ["show r", "logs r", "logs r --jsonl", "runs", "schema"])
def test_a_reader_that_leaves_gets_no_complaint(home: Home, command: str) -> None:
    home.write(
        "list: {command: [seq, '3000'], output: lines}\n"
        "a: {each: list, command: [echo, '{{item}}'], when: 'inputs.never'}",
        plan="inputs: {never: {default: false}}",
    )
    home.hocket("run", "--id", "r", "--quiet")
    child = home.start(*command.split())
    assert child.stdout is not None
    child.stdout.read(1)
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=30)
    assert err == ""


def test_no_stream_at_all(home: Home) -> None:
    """A service may start it with all three closed."""
    home.write("a: {shell: 'cat; echo out; echo err >&2; echo ran >> ran.txt'}")
    line = f"exec {' '.join(HOCKET)} run --id r <&- >&- 2>&-"
    child = subprocess.run(
        ["sh", "-c", line], check=False, cwd=home.folder, env=home.env, timeout=30
    )
    assert child.returncode == 0
    assert home.lines("ran.txt") == ["ran"]
    assert home.ok("show", "r", "a").out == "out\n"
