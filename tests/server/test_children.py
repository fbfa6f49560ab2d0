"""Commands in processes of their own: who looks at a page never waits for simulations."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hocket.server.children import Children, _kill
from hocket.server.quotas import TooMany

LATE = [["simulate", "--runs=1000", "r"], ["explain", "--simulate", "r"], ["explain", "--", "r"]]
SOON = [["explain", "--no-simulate", "r"], ["check", "--predict", "f"]]


class Held(Children):
    """Holds every command until it is let go."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.running: list[Sequence[str]] = []
        self.free = asyncio.Event()

    async def _run(self, args: Sequence[str], seconds: float, given: bytes) -> Any:
        self.running.append(args)
        await self.free.wait()
        return args


@pytest.mark.parametrize("soon", SOON)
def test_what_answers_soon_does_not_wait_for_simulations(soon: list[str]) -> None:
    async def whole() -> None:
        cli = Held()
        tasks = [asyncio.create_task(cli(LATE[i % 3])) for i in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await cli(LATE[0])
        tasks.append(asyncio.create_task(cli(soon)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert cli.running == [LATE[0], LATE[1], soon], "two of the one kind, and the other"
        cli.free.set()
        await asyncio.gather(*tasks)

    asyncio.run(whole())


def test_of_what_answers_soon_only_a_few_run_at_once() -> None:
    async def whole() -> None:
        cli = Held()
        tasks = [asyncio.create_task(cli(SOON[0])) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(cli.running) == 2
        cli.free.set()
        await asyncio.gather(*tasks)
        assert len(cli.running) == 5

    asyncio.run(whole())


def test_what_a_command_has_begun_and_left_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, pipe = tmp_path / "hocket", tmp_path / "pipe"
    os.mkfifo(pipe)
    left = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    program.write_text(f"#!/bin/sh\nexec 3>{pipe}\nsleep 600 >&- 2>&- <&- &\necho 5\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    try:
        assert asyncio.run(Children(tmp_path)(["explain", "r"])) == 5
        assert select.select([left], [], [], 30)[0], "whoever holds the pipe goes on"
        assert os.read(left, 1) == b""
    finally:
        os.close(left)


def test_who_has_got_the_number_of_a_command_that_has_ended_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: killed.append(group))
    # This very process is the one that has got it.
    _kill(cast(Process, SimpleNamespace(pid=os.getpid(), returncode=0)))
    assert killed == []
    _kill(cast(Process, SimpleNamespace(pid=os.getpid(), returncode=None)))
    assert killed == [os.getpid()]


def test_a_group_that_cannot_be_killed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    _kill(cast(Process, SimpleNamespace(pid=os.getpid(), returncode=None)))
