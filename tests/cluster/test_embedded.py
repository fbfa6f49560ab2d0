"""A cluster of this machine alone: who reaches it, and what is left of it."""

import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PATIENCE = 60.0
PROGRAM = """
import sys
from hocket.cluster.connection import connect
connection = connect("local")
print("there", flush=True)
sys.stdin.read()
connection.close()
print("closed", flush=True)
sys.stdin.close()
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that uses one until its input ends, where somebody has turned tokens off."""
    # A token that other tests have given their own clusters would be taken for this one's.
    env = {name: value for name, value in os.environ.items() if "RAY_AUTH_TOKEN" not in name}
    env |= {"HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as child:
        try:
            yield child
        finally:
            child.kill()


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def family(child: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(child.pid).children(recursive=True)


def named(processes: list[psutil.Process], part: str) -> bool:
    for one in processes:
        try:
            if part in one.name() or any(part in word for word in one.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != "zombie"]


def test_nobody_else_reaches_it_and_nothing_is_left_of_it(
    program: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert program.stdout is not None and program.stdin is not None
    assert program.stdout.readline() == "there\n"
    there = family(program)
    hosts = {
        connection.laddr.ip
        for one in [psutil.Process(program.pid), *there]
        for connection in one.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert hosts, "nobody listens"
    for host in hosts:
        address = ipaddress.ip_address(host.removeprefix("::ffff:"))
        assert address.is_loopback, hosts
    assert (tmp_path / ".ray" / "auth_token").is_file(), "it asks for no token"
    program.stdin.close()
    assert program.stdout.readline() == "closed\n"
    assert alive(there) == []
    assert program.wait(PATIENCE) == 0


@pytest.mark.parametrize("sign", ["gcs_server", "raylet", "agent.py", "there"])
def test_nothing_is_left_where_it_is_ended_while_it_begins(
    program: subprocess.Popen[str], sign: str
) -> None:
    assert program.stdout is not None
    if sign == "there":
        assert program.stdout.readline() == "there\n"
    else:
        until(lambda: named(family(program), sign))
    there = family(program)
    program.terminate()
    assert program.wait(PATIENCE) == -15
    assert alive(there) == []
