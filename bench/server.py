"""What one server costs and bears: its start, a hundred plans at once, a kill, 100,000 calls.

    python bench/server.py [--plans 100] [--steps 20] [--calls 100000]

A server of its own process is asked over HTTP, as a page would ask it.
Its memory is what the system counts as resident; fairness is Jain's index of how many calls of
each run had finished when half of all had: 1 is equal shares.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from hocket.core.events import AnyEvent, CallFinished, CallStarted
from hocket.journal.sqlite import SqliteJournal

FILE = """
version: 1
limits:
  api: {{concurrency: 32}}
agents:
  worker:
    limits: api
    scripted: {{replies: [{{output: "a reply of some words", after: {after}, tokens_out: 50}}]}}
plans:
  p:
    inputs: [items]
    max_parallel: 16
    steps:
      list: {{agent: worker, prompt: begin}}
      each: {{each: "inputs.items", agent: worker, needs: [list], prompt: "do {{{{item}}}}"}}
      last: {{agent: worker, needs: [each], prompt: end}}
"""


class Server:
    """A server on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        env = {**os.environ, "HOCKET_HOME": str(folder / "state"), "PYTHONHASHSEED": "0"}
        began = time.perf_counter()
        command = (sys.executable, "-m", "hocket", "serve", "--port", "0", "--json")
        self._child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self._said = json.loads(self._child.stdout.readline())
        self.process = psutil.Process(self._child.pid)
        self.ask("/api/runs?limit=1")
        self.began_after = time.perf_counter() - began
        self.most = 0

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask something as an operator."""
        data = None if body is None else json.dumps(body).encode()
        token = self._said["tokens"]["operate"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._said["url"] + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def start(self, steps: int) -> str:
        """Start a run of so many steps; gives its id."""
        inputs = {"items": list(range(steps - 2))}
        body = {"file": "hocket.yaml", "plan": "p", "inputs": inputs}
        return str(self.ask("/api/runs", body)["run"])

    def megabytes(self) -> float:
        """Give its resident memory."""
        found = self.process.memory_info().rss / 1e6
        self.most = max(self.most, round(found))
        return found

    def kill(self) -> None:
        """Kill it with -9."""
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """End it."""
        self._child.send_signal(signal.SIGINT)
        self._child.wait(60)


def write(folder: Path, after: str) -> None:
    (folder / "hocket.yaml").write_text(FILE.format(after=after))


def statuses(folder: Path) -> dict[str, str]:
    with SqliteJournal(folder / "state") as journal:
        return {row.id: row.status for row in journal.runs()}


def events_of(folder: Path, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
    with SqliteJournal(folder / "state") as journal:
        return {run: [one.event for one in journal.read(run)] for run in runs}


def until(check: Callable[[], bool], server: Server, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        server.megabytes()
        if time.monotonic() > deadline:
            raise SystemExit("the runs did not end")
        time.sleep(0.2)


def fairness(events: dict[str, list[AnyEvent]]) -> float:
    """Give Jain's index of what each run had when half of all calls had finished."""
    ends = sorted(
        event.at for found in events.values() for event in found if isinstance(event, CallFinished)
    )
    half = ends[len(ends) // 2]
    counts = [
        sum(isinstance(event, CallFinished) and event.at <= half for event in found)
        for found in events.values()
    ]
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


def repeated(events: dict[str, list[AnyEvent]]) -> int:
    """Count the calls that were made though their job had finished."""
    count = 0
    for found in events.values():
        done: set[str] = set()
        for event in found:
            if isinstance(event, CallFinished):
                done.add(event.call.path)
            count += isinstance(event, CallStarted) and event.call.path in done
    return count


def many(plans: int, steps: int, *, killed: bool) -> None:
    """Run many plans at once, and kill the server in the middle if so asked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, "200ms")
        server = Server(folder)
        print(f"  answers after          {server.began_after:8.2f} s")
        print(f"  idle                   {server.megabytes():8.0f} MB")
        began = time.perf_counter()
        runs = [server.start(steps) for _ in range(plans)]
        print(f"  {plans} plans begun in     {time.perf_counter() - began:8.2f} s")
        if killed:
            half = plans * steps // 2
            done = {"finished": 0}

            def enough() -> bool:
                found = events_of(folder, runs)
                ends = sum(isinstance(e, CallFinished) for one in found.values() for e in one)
                done["finished"] = ends
                return ends >= half

            until(enough, server)
            most = server.most
            server.kill()
            server = Server(folder)
            server.most = most
            print(f"  killed with finished   {done['finished']:8d} calls")
            print(f"  answers again after    {server.began_after:8.2f} s")
        until(lambda: set(statuses(folder).values()) == {"succeeded"}, server)
        took = time.perf_counter() - began
        events = events_of(folder, runs)
        calls = sum(isinstance(e, CallFinished) for one in events.values() for e in one)
        print(f"  all {plans} succeeded in   {took:8.2f} s ({calls} calls)")
        print(f"  finished calls repeated{repeated(events):8d}")
        print(f"  fairness at half time  {fairness(events):8.3f}")
        print(f"  most memory            {server.most:8d} MB")
        server.stop()


def flat(calls: int) -> None:
    """Make very many calls on one server, and look at its memory."""
    steps = 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, "1ms")
        server = Server(folder)
        print("  calls      memory")
        print(f"  {0:7d}   {server.megabytes():5.0f} MB")
        made = 0
        while made < calls:
            began = time.perf_counter()
            runs = [server.start(steps) for _ in range(10)]
            last = set(runs)
            until(lambda last=last: last <= _over(folder), server)  # type: ignore[misc]
            made += 10 * steps
            took = time.perf_counter() - began
            print(f"  {made:7d}   {server.megabytes():5.0f} MB   {took:5.1f} s", flush=True)
        server.stop()


def _over(folder: Path) -> set[str]:
    return {run for run, status in statuses(folder).items() if status == "succeeded"}


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--calls", type=int, default=100_000)
    given = parser.parse_args()
    print(f"{given.plans} plans at once, of {given.steps} steps of 200 ms, 32 calls at once in all")
    many(given.plans, given.steps, killed=False)
    print("the same, killed with -9 in the middle")
    many(given.plans, given.steps, killed=True)
    if given.calls:
        print(f"{given.calls} calls on one server, ten runs of 1,000 at once")
        flat(given.calls)


if __name__ == "__main__":
    main()
