"""State folders that cannot be used, journals that cannot be read, disks that run full."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.kit import Home, ended

PLAN = "a: {command: [echo, hello]}"


def refused(home: Home, words: str, *args: str, env: dict[str, str] | None = None) -> None:
    done = home.hocket(*args, env=env)
    assert done.status == 5, done
    assert words in done.err, done
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.startswith("hocket: ")


def test_a_file_where_the_folder_should_be(home: Home) -> None:
    home.write(PLAN)
    home.state.write_text("x")
    refused(home, "set HOCKET_HOME to a folder that can", "run")
    assert home.state.read_text() == "x"


def test_a_folder_that_cannot_be_made(home: Home) -> None:
    home.write(PLAN)
    refused(home, "cannot be written", "run", env={"HOCKET_HOME": "/proc/nix/hocket"})


def test_a_journal_that_is_garbage(home: Home) -> None:
    home.write(PLAN)
    home.state.mkdir()
    (home.state / "journal.sqlite").write_bytes(b"garbage " * 1_000)
    for args in (["run"], ["runs"], ["show"]):
        refused(home, "is damaged or not a database", *args)
    assert (home.state / "journal.sqlite").read_bytes() == b"garbage " * 1_000


def test_a_journal_of_another_program(home: Home) -> None:
    home.write(PLAN)
    home.state.mkdir()
    with sqlite3.connect(home.state / "journal.sqlite") as db:
        db.execute("CREATE TABLE mine (x)")
    refused(home, "is a database of another program", "run")


def test_a_journal_of_a_newer_version(home: Home) -> None:
    home.write(PLAN)
    home.ok("run")
    db = sqlite3.connect(home.state / "journal.sqlite")
    with db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    db.close()
    for args in (["run"], ["runs"], ["resume", "last"]):
        refused(home, "was made by a newer Hocket (format 99", *args)


def test_a_folder_that_is_read_only(home: Home) -> None:
    home.write(PLAN)
    home.ok("run", "--id", "r")
    if os.geteuid() == 0:
        mounted(home.state, "-o", "bind")
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(home.state)], check=True)
            looked(home)
        finally:
            subprocess.run(["umount", str(home.state)], check=True)
    else:
        home.state.chmod(0o500)
        try:
            looked(home)
        finally:
            home.state.chmod(0o700)


def looked(home: Home) -> None:
    """What is there can be looked at; nothing can be run."""
    refused(home, "cannot be written", "run")
    assert home.ok("show", "r", "a").out == "hello\n"
    assert "succeeded" in home.ok("runs").out
    doctor = home.hocket("doctor")
    assert doctor.status == 1
    assert "cannot be written" in doctor.out


def mounted(folder: Path, *options: str) -> None:
    """Mount a folder, or skip the test where that is not allowed."""
    source = str(folder) if "bind" in options else "tmpfs"
    done = subprocess.run(
        ["mount", *options, source, str(folder)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small(home: Home) -> Iterator[Home]:
    """A state folder on a disk of 6 MB."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    home.state.mkdir()
    mounted(home.state, "-t", "tmpfs", "-o", "size=6m")
    try:
        yield home
    finally:
        home.end()
        subprocess.run(["umount", str(home.state)], check=True)


def test_a_disk_that_runs_full_loses_nothing_that_was_acknowledged(small: Home) -> None:
    small.write(
        "list: {command: [seq, '40'], output: lines}\n"
        "fill:\n  each: list\n  concurrency: 1\n"
        "  shell: 'head -c 300000 /dev/urandom | base64 -w0; echo $1 >> ran.txt'\n"
        "  args: ['{{item}}']\n"
    )
    child = small.start("run", "--id", "r", "--jsonl")
    done = ended(child, 60)
    assert done.status == 5, done
    assert "is full; nothing acknowledged was lost" in done.err
    assert "make room, then resume the run" in done.err
    shown = [line for line in done.out.splitlines() if '"call_finished"' in line]
    ran = small.lines("ran.txt")
    assert 1 < len(shown) <= len(ran) + 1 < 40
    # With room again it goes on, and does nothing again that was finished.
    subprocess.run(["mount", "-o", "remount,size=64m", str(small.state)], check=True)
    kept = [event["call"] for event in small.events() if event["type"] == "call_finished"]
    assert len(kept) >= len(shown)
    done = small.hocket("resume", "r", "--no-wait")
    if done.status == 3:
        # What was in flight has effects, so it is asked about.
        held = set(re.findall(r"hocket retry r (\S+)", done.err))
        assert len(held) == 1, done
        done = small.hocket("retry", "r", *held)
    assert done.status == 0, done
    finished = [e["call"]["path"] for e in small.events() if e["type"] == "call_finished"]
    assert len(finished) == len(set(finished)) == 41


def test_memory_runs_leave_no_trace(home: Home) -> None:
    home.write(PLAN)
    done = home.ok("run", "--memory", "--quiet")
    assert done.out == "hello\n"
    left = [p for p in home.state.rglob("*") if p.is_file()] if home.state.exists() else []
    assert left == []
