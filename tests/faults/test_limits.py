"""Limits over processes: a server that really refuses sees no window above them, whoever dies."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.kit import Home
from tests.limits.server import child, read_log, refusals, worst

from hocket.core.values import SECOND

WINDOW = 2 * SECOND
ASKER = """
import urllib.request

from hocket import AgentError, Fault


def ask(item):
    request = urllib.request.Request("ADDRESS/call?model=m", data=b"{}", method="POST")
    with urllib.request.urlopen(request) as response:
        return response.status
"""


class Provider:
    """A server of nine requests in two seconds, with up to 30 ms on the way."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log

    def count(self) -> int:
        return len(read_log(self.log)) if self.log.exists() else 0


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    log = tmp_path / "counted.jsonl"
    with child("--rate", "9/2s", "--jitter", "30ms", "--latency", "20ms", log=log) as server:
        yield Provider(server.address, log)


def prepare(home: Home, provider: Provider, *, weight: int = 1, name: str = "hocket.yaml") -> None:
    home.put("asker.py", ASKER.replace("ADDRESS", provider.address))
    head = """
limits:
  server: {requests: 9/2s}
agents:
  asker: {function: "asker:ask", limits: server}
"""
    steps = """
ask:
  agent: asker
  each: inputs.items
  with: {item: "{{item}}"}
"""
    plan = f"inputs: [items]\nmax_parallel: 32\nweight: {weight}"
    home.write(steps, head=head, plan=plan, name=name)


def items(count: int) -> str:
    return f"items:={json.dumps(list(range(count)))}"


def judge(provider: Provider, expected: int) -> None:
    """The server has refused nothing, and no stretch of two seconds holds more than nine."""
    log = read_log(provider.log)
    assert refusals(log) == 0
    assert worst(log, WINDOW) <= 9
    assert len(log) == expected


def test_two_runs_in_two_processes_stay_below_one_limit(home: Home, provider: Provider) -> None:
    prepare(home, provider)
    children = [
        home.start("run", "--plain", "--id", run, "-i", items(20)) for run in ("one", "two")
    ]
    for started in children:
        _, err = started.communicate(timeout=60)
        assert started.returncode == 0, err
    judge(provider, 40)


def test_a_kill_in_the_middle_of_a_window_grants_no_second_quota(
    home: Home, provider: Provider
) -> None:
    prepare(home, provider)
    started = home.start("run", "--plain", "--id", "r", "-i", items(20))
    home.until(lambda: provider.count() >= 5, started)
    home.kill(started)
    done = home.hocket("resume", "r", "--plain")
    assert done.status == 0, done
    log = read_log(provider.log)
    assert refusals(log) == 0
    assert worst(log, WINDOW) <= 9
    # What was in flight at the kill was asked again.
    assert 20 <= len(log) <= 29


def test_a_run_says_what_it_waits_for_and_until_when(home: Home, provider: Provider) -> None:
    prepare(home, provider)
    text = (home.folder / "hocket.yaml").read_text().replace("9/2s", "9/6s")
    home.put("hocket.yaml", text)
    done = home.hocket("run", "--plain", "-i", items(10))
    assert done.status == 0, done
    assert "1 call waits for room in the rate of server: the next may go in" in done.err
    assert "waited" in done.err
