"""Processes that share limits, one killed in the middle: never above, and close to never idle."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.limits.crowd import MARGIN, Asked, Asker, askers, judge
from tests.limits.server import Counted, child, read_log, refusals
from tests.postgres import Server

from hocket import Engine, Limit, Plan
from hocket.core.values import SECOND

SLOW = Asked("slow", 9, 3 * SECOND)
FAST = Asked("fast", 100, 2 * SECOND)
WINDOWS = 3
SECONDS = 60.0
TRIES = 3


class Seen:
    """What the server has counted so far, and the processes that ask it."""

    def __init__(self, log: Path, found: list[Asker]) -> None:
        self.log = log
        self.found = found

    def counted(self) -> list[Counted]:
        return read_log(self.log) if self.log.exists() else []

    def until(self, check: Callable[[list[Counted]], bool]) -> list[Counted]:
        """Wait until what was counted is as it should be."""
        until = time.monotonic() + SECONDS
        while not check(log := self.counted()):
            assert time.monotonic() < until, f"only {len(log)} requests in {SECONDS:.0f} s"
            time.sleep(0.02)
        return log


def of(log: list[Counted], asked: Asked) -> list[Counted]:
    return [one for one in log if one.model == asked.model]


def take(journals: list[tuple[str, Path]], folder: Path) -> tuple[list[Counted], int]:
    """Let processes ask, and kill the last one; gives what the server counted, and when it was."""
    path = folder / "counted.jsonl"
    rates = [f"--rate={one.model}={one.amount}/{one.per // SECOND}s" for one in (SLOW, FAST)]
    with (
        child(*rates, "--jitter", "30ms", "--latency", "20ms", log=path) as server,
        askers(server.address, (SLOW, FAST), journals, WINDOWS) as found,
    ):
        seen = Seen(path, found)
        for asker in found:
            asker.go()
        # Each of them has had its turn, and is in the middle of a window.
        seen.until(lambda log: _takers(log, SLOW) >= 3 and _takers(log, FAST) >= 3)
        found[-1].kill()
        at = time.monotonic_ns()
        log = seen.until(
            lambda log: all(
                len(of(log, one)) > one.amount * (WINDOWS + 1)
                and of(log, one)[-1].at > at + WINDOWS * one.per
                for one in (SLOW, FAST)
            )
        )
    return log, at


def test_three_processes_and_a_kill_never_pass_a_limit_and_use_it(
    where: Callable[[int], list[tuple[str, Path]]], tmp_path: Path
) -> None:
    for attempt in range(TRIES):
        folder = tmp_path / f"attempt-{attempt}"
        folder.mkdir()
        log, at = take(where(3), folder)
        if not refusals(log) or max(one.way for one in log) < MARGIN:
            break
        # A machine so busy that requests are on their way for longer than that proves nothing.
    for one in (SLOW, FAST):
        judged = judge(log, one, WINDOWS)
        assert judged.refused == 0
        assert judged.worst <= one.amount
        assert judged.plain >= 0.8, judged
        after = [item for item in of(log, one) if item.at > at + one.per]
        assert {item.who for item in after} == {"p0", "p1"}, "the others go on, and take turns"


def _takers(log: list[Counted], asked: Asked) -> int:
    return len({one.who for one in of(log, asked)})


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: Any, tmp_path: Path) -> Callable[[int], list[tuple[str, Path]]]:
    """Gives journals for so many processes, all the same one."""

    def folders(count: int) -> list[tuple[str, Path]]:
        return [("", Path(tempfile.mkdtemp(dir=tmp_path)))] * count

    def machines(count: int) -> list[tuple[str, Path]]:
        url = request.getfixturevalue("database")
        return [(url, tmp_path / f"machine-{number}") for number in range(count)]

    return folders if request.param == "sqlite" else machines


HOLDER = """
import asyncio, socket, sys

socket.gethostname = lambda: "another machine"
import hocket


async def hold(item):
    print("held", flush=True)
    await asyncio.Event().wait()


async def main():
    plan = hocket.Plan("hold", closures=True)
    plan.call("hold", hold, 1, uses={hocket.Limit("gpu", concurrency=1): 1})
    async with hocket.Engine(sys.argv[1], journal=sys.argv[2], lease=2.0) as engine:
        await engine.run(plan)


asyncio.run(main())
"""


def test_the_slot_of_a_machine_that_is_gone_comes_back_with_its_lease(
    postgres: Server, tmp_path: Path
) -> None:
    name = postgres.create()
    database = postgres.url(name)
    ran: list[str] = []

    def take() -> None:
        ran.append("ran")

    async def main(holder: subprocess.Popen[str]) -> str:
        plan = Plan("take", closures=True)
        plan.call("take", take, uses={Limit("gpu", concurrency=1): 1})
        async with Engine(tmp_path / "here", journal=database) as engine, asyncio.timeout(SECONDS):
            run = asyncio.ensure_future(engine.run(plan))
            # It has looked, and waits.
            while not postgres.sql("SELECT 1 FROM hocket.wants WHERE waiting > 0", name):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert not ran, "as long as it gives signs of life, its slot is its own"
            holder.kill()
            return (await run).status

    command = [sys.executable, "-c", HOLDER, str(tmp_path / "there"), database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert asyncio.run(main(holder)) == "succeeded"
        finally:
            holder.kill()
    assert ran == ["ran"]
