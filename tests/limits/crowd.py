"""Processes that share limits and all have calls waiting, and what the server saw of them.

A process of its own is ``python -m tests.limits.crowd``: an `Engine` with a plan for each limit.
It says that it is ready, begins when it is told to, and ends with its input.
"""

import argparse
import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.limits.server import ROOT, Counted, worst

import hocket
from hocket.core.values import SECOND, parse_duration

MARGIN = SECOND // 4
"""What the design takes of a window before answers have shown that less is enough."""
SPARE = 3
"""Each process has calls for so many windows more than are looked at: somebody always waits."""


class Asked(NamedTuple):
    """A limit: so many requests in any stretch of so many nanoseconds."""

    model: str
    amount: int
    per: int

    @property
    def rate(self) -> str:
        return f"{self.amount}/{self.per / SECOND:g}s"


def read_asked(text: str) -> Asked:
    """Read ``9/min``, or ``NAME=9/min``."""
    name, _, rate = text.rpartition("=")
    amount, _, per = rate.partition("/")
    return Asked(name or rate.replace("/", "-per-"), int(amount), parse_duration(_long(per)))


def _long(per: str) -> str:
    """Read ``min`` as ``1m``."""
    units = {"s": "s", "sec": "s", "min": "m", "m": "m", "h": "h", "hour": "h"}
    return f"1{units[per]}" if per in units else per


# ---- what the server saw ----


class Part(NamedTuple):
    """One window.

    Fields:
        used: How many were let through.
        refused: How many were not.
        by: How many of each process were let through.
    """

    used: int
    refused: int
    by: dict[str, int]


class Judged(NamedTuple):
    """What a server has counted of one limit.

    Fields:
        parts: The windows, end to end from the first arrival on.
        worst: The most in any stretch as long as a window.
        slowest: The longest that a request was on its way, in nanoseconds.
        refused: How many were refused in all.
        late: How many of these would not have been, had no request been on its way for longer than
            the margin: that is what the limit takes for granted.
        plain: How fast as many windows' worth arrived, as a share of what is possible at all.
        design: The same as a share of what the design allows, a window and a margin each.
    """

    parts: list[Part]
    worst: int
    slowest: int
    refused: int
    late: int
    plain: float
    design: float

    @property
    def counted(self) -> float:
        """Give the share of the windows that was used, by counting arrivals in each."""
        return sum(part.used for part in self.parts) / max(1, len(self.parts))


def judge(log: Sequence[Counted], asked: Asked, windows: int, margin: int = MARGIN) -> Judged:
    """Judge so many windows from the first arrival on."""
    mine = sorted((one for one in log if one.model == asked.model), key=lambda one: one.at)
    let_in = [one for one in mine if one.status == 200]
    if not let_in:
        raise RuntimeError(f"nothing was let through of {asked.rate}")
    begin, per = let_in[0].at, asked.per
    parts = []
    for number in range(windows):
        inside = [one for one in mine if 0 <= one.at - begin - number * per < per]
        through = [one for one in inside if one.status == 200]
        by = Counter(one.who for one in through)
        parts.append(Part(len(through), len(inside) - len(through), dict(sorted(by.items()))))
    # The first one of the window after these would arrive when all of them have passed.
    after = asked.amount * windows
    took = (let_in[after].at if after < len(let_in) else mine[-1].at + per) - begin
    return Judged(
        parts,
        worst(mine, per),
        max(one.way for one in mine),
        sum(one.status == 429 for one in mine),
        sum(_is_late(one, let_in, asked, margin) for one in mine if one.status == 429),
        windows * per / took,
        windows * (per + margin) / took,
    )


def _is_late(refused: Counted, let_in: Sequence[Counted], asked: Asked, margin: int) -> bool:
    """Tell whether one was refused because of others that had come later than they may."""
    since = refused.at - asked.per
    inside = [one for one in let_in if since < one.at <= refused.at]
    in_time = [one for one in inside if one.at - max(0, one.way - margin) > since]
    return len(in_time) < asked.amount


# ---- who asks, as others see it ----


@dataclass(frozen=True)
class Asker:
    """A process that asks."""

    name: str
    process: subprocess.Popen[str]

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def check(self) -> None:
        """See that it has not ended by itself.

        Raises:
            RuntimeError: It has.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended with {self.process.returncode}")

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()
        self.end()

    def end(self) -> int:
        """Have it stop its runs; gives its exit status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@contextlib.contextmanager
def askers(
    address: str,
    asked: Sequence[Asked],
    journals: Sequence[tuple[str, Path]],
    windows: int,
    *options: Sequence[str],
) -> Iterator[list[Asker]]:
    """Start processes that ask and wait until all are ready.

    Args:
        address: The server's.
        asked: The limits.
        journals: For each process the URL of its journal, or "", and its state folder.
        windows: How many windows there are to be filled.
        options: More arguments, for each process its own.
    """
    limits = [f"--limit={one.model}={one.amount}/{one.per // SECOND}s" for one in asked]
    found: list[Asker] = []
    try:
        for number, (url, folder) in enumerate(journals):
            command = [sys.executable, "-m", "tests.limits.crowd", address, f"p{number}"]
            command += [*limits, f"--windows={windows + SPARE}", f"--state={folder}"]
            command += [f"--journal={url}"] if url else []
            command += list(options[number]) if options else []
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            found.append(Asker(f"p{number}", process))
        for asker in found:
            assert asker.process.stdout is not None
            if asker.process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{asker.name} did not start: {asker.process.wait()}")
        yield found
    finally:
        for asker in found:
            asker.end()


# ---- who asks, as itself ----


_monotonic = time.monotonic_ns
"""The clock that all processes share, whatever is made of this one's."""


def pretend(ahead: float, drift: float) -> None:
    """Let the clocks of this process be wrong: so many seconds ahead, and a share too fast."""
    monotonic, wall = time.monotonic, time.time
    begin, began = monotonic(), wall() + ahead

    def fast() -> float:
        return begin + (monotonic() - begin) * (1 + drift)

    time.monotonic = fast
    time.monotonic_ns = lambda: round(fast() * SECOND)
    time.time = lambda: began + fast() - begin
    time.time_ns = lambda: round(time.time() * SECOND)


async def post(address: str, model: str, who: str, leaves: Callable[[], None]) -> float | None:
    """Send one request; gives None, or how long a refusal asks us to wait, in seconds."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        leaves()
        target = f"/call?model={model}&who={who}&left={_monotonic()}"
        writer.write(f"POST {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
    if " 200 " in head.partition("\r\n")[0]:
        return None
    lines = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
    return float(lines["Retry-After"])


def plan_of(asked: Asked, address: str, who: str, margin: str | None = None) -> hocket.Plan:
    """Give a plan with a call for each item under one limit."""

    async def ask(item: int, context: hocket.Context) -> int:
        wait = await post(address, asked.model, who, context.sent)
        if wait is not None:
            later = round(wait * SECOND)
            fault = hocket.Fault(kind="rate_limited", message="429", retry_after=later)
            raise hocket.AgentError(fault)
        return item

    limit = hocket.Limit(asked.model, requests=asked.rate, margin=margin)
    agent = hocket.Agent(f"asks-{asked.model}", function=ask, limits=limit)
    plan = hocket.Plan(asked.model, max_parallel=2 * asked.amount, closures=True)
    plan.map("ask", agent, plan.input("items"))
    return plan


async def work(given: argparse.Namespace) -> None:
    """Ask until the input ends."""
    loop = asyncio.get_running_loop()
    where: dict[str, Any] = {"journal": given.journal} if given.journal else {}
    async with hocket.Engine(given.state, lease=given.lease, look_ahead=0, **where) as engine:
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for asked in given.limit:
                plan = plan_of(asked, given.address, given.who, given.margin)
                items = list(range(asked.amount * given.windows))
                group.create_task(engine.run(plan, items=items))
            cancel_at_end(asyncio.current_task())


def cancel_at_end(whole: asyncio.Task[None] | None) -> None:
    """Cancel everything at the end of the input."""
    loop = asyncio.get_running_loop()
    assert whole is not None

    def ended() -> None:
        loop.remove_reader(sys.stdin)
        whole.cancel()

    loop.add_reader(sys.stdin, ended)


def main() -> None:
    """Ask as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.limits.crowd")
    parser.add_argument("address")
    parser.add_argument("who")
    parser.add_argument("--limit", type=read_asked, action="append", default=[])
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--journal")
    parser.add_argument("--lease", type=float, default=15.0)
    parser.add_argument("--ahead", type=float, default=0.0, help="seconds that the wall is ahead")
    parser.add_argument("--drift", type=float, default=0.0, help="share that clocks are too fast")
    parser.add_argument("--margin", help="the limits' own margin")
    parser.add_argument("--host", help="the machine that it takes itself to be on")
    given = parser.parse_args()
    if given.host:
        socket.gethostname = lambda: given.host
    if given.ahead or given.drift:
        pretend(given.ahead, given.drift)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(work(given))


if __name__ == "__main__":
    main()
