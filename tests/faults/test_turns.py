"""Runs of two processes under one limit take turns at it, as a server sees it that counts."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.kit import Home
from tests.limits.server import Counted, child, read_log, refusals, worst

from hocket.core.values import SECOND

Start = Callable[..., subprocess.Popen[str]]

RATE = 8
ASKER = """
import urllib.request

def ask(item):
    name, _, number = item.partition("/")
    request = urllib.request.Request(f"ADDRESS/call?model={name}", data=b"{}", method="POST")
    with urllib.request.urlopen(request) as response:
        return response.status
"""


class Provider:
    """A server that notes who asks when, with up to 30 ms on the way."""

    def __init__(self, address: str, path: Path) -> None:
        self.address = address
        self.path = path

    @property
    def log(self) -> list[Counted]:
        return read_log(self.path) if self.path.exists() else []

    def count(self, name: str = "") -> int:
        return sum(one.model == name or not name for one in self.log)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    path = tmp_path / "counted.jsonl"
    rate = f"{RATE}/1s"
    with child("--rate", rate, "--jitter", "30ms", "--latency", "20ms", log=path) as server:
        yield Provider(server.address, path)


@pytest.fixture
def start(home: Home, provider: Provider) -> Start:
    """Starts a run of so many calls, all at once if they may."""
    home.put("asker.py", ASKER.replace("ADDRESS", provider.address))
    head = f"""
limits:
  server: {{requests: {RATE}/1s}}
agents:
  asker: {{function: "asker:ask", limits: server}}
"""
    steps = """
ask:
  agent: asker
  each: inputs.items
  with: {item: "{{item}}"}
"""
    home.write(steps, head=head, plan="inputs: [items]\nmax_parallel: 64")

    def start(name: str, count: int, *options: str) -> subprocess.Popen[str]:
        items = json.dumps([f"{name}/{number}" for number in range(count)])
        return home.start("run", "--plain", "--id", name, "-i", f"items:={items}", *options)

    return start


def done(each: subprocess.Popen[str]) -> None:
    _, err = each.communicate(timeout=60)
    assert each.returncode == 0, err


def judge(provider: Provider) -> None:
    log = provider.log
    assert refusals(log) == 0
    assert worst(log, SECOND) <= RATE


def instants(provider: Provider, name: str) -> list[int]:
    return sorted(one.at for one in provider.log if one.model == name)


def test_weights_hold_between_processes(home: Home, provider: Provider, start: Start) -> None:
    light, heavy = start("light", 100), start("heavy", 100, "--weight", "3")
    home.until(lambda: provider.count("light") and provider.count("heavy"))
    before = provider.count()
    home.until(lambda: provider.count() >= before + 11 * RATE)
    home.kill(light)
    home.kill(heavy)
    judge(provider)
    both = max(instants(provider, name)[0] for name in ("light", "heavy"))
    # Whoever was there first has had what nobody else wanted.
    later = [one for one in provider.log if one.at >= both + SECOND]
    assert len(later) >= 10 * RATE - RATE
    share = sum(one.model == "light" for one in later) / len(later)
    # Virtual time holds it exactly; here a busy machine may miss a turn.
    assert share == pytest.approx(0.25, abs=0.1)


def test_a_small_run_is_not_delayed_by_a_large_one(
    home: Home, provider: Provider, start: Start
) -> None:
    large = start("large", 1000)
    home.until(lambda: provider.count("large") >= 2 * RATE)
    done(start("small", 10))
    home.kill(large)
    judge(provider)
    # Half of what there is: ten calls take two windows and a half, in bursts of four or so.
    small = instants(provider, "small")
    assert len(small) == 10
    assert small[-1] - small[0] <= 6 * SECOND
    meanwhile = [at for at in instants(provider, "large") if small[0] <= at <= small[-1]]
    assert 5 <= len(meanwhile) <= 40


def test_a_higher_priority_goes_first(home: Home, provider: Provider, start: Start) -> None:
    first = start("first", 1000)
    home.until(lambda: provider.count("first") >= 2 * RATE)
    done(start("urgent", 28, "--priority", "1"))
    home.kill(first)
    judge(provider)
    urgent = instants(provider, "urgent")
    assert len(urgent) == 28
    # But for the burst in which it came, and what it left of the last one.
    begin, end = urgent[0] + SECOND // 2, urgent[-1] - SECOND // 2
    assert end - begin >= SECOND
    assert sum(begin <= at <= end for at in instants(provider, "first")) <= RATE // 2


def test_nobody_waits_long_for_a_stopped_process(
    home: Home, provider: Provider, start: Start
) -> None:
    going, stopped = start("going", 1000), start("stopped", 1000, "--weight", "7")
    home.until(lambda: provider.count("going") and provider.count("stopped"))
    time.sleep(2.5)
    os.kill(stopped.pid, signal.SIGSTOP)
    # What it had on its way is counted by now.
    time.sleep(1.5)
    before, since = provider.count(), time.monotonic_ns()
    time.sleep(4)
    alone, until = provider.log[before:], time.monotonic_ns()
    assert {one.model for one in alone} == {"going"}
    assert len(alone) >= 0.6 * RATE * ((until - since) / SECOND - 1)
    os.kill(stopped.pid, signal.SIGCONT)
    again = provider.count("stopped")
    home.until(lambda: provider.count("stopped") >= again + 2 * RATE)
    home.kill(going)
    home.kill(stopped)
    judge(provider)
