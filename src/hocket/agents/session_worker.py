"""A warm process: what it is to be, how it is started, and what it is doing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from hocket.agents.child import Launch
from hocket.agents.session_job import Driver, Made, Misunderstood
from hocket.agents.session_options import SessionOptions
from hocket.agents.session_pipe import Pipe
from hocket.agents.session_place import Place
from hocket.core.errors import AgentError

_AGAIN: Final = 300.0
"""Seconds until the warm protocol is tried again after it was not understood."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool's processes are.

    Fields:
        agent: The agent's name.
        options: Its options.
        processes: How many processes.
        turns: How many turns each does at once.
        warm: How they are started and talked to.
        once: The same for those that do one call and end; None if there are none.
        place: Whether a process works in one folder, made as new for each call; otherwise every
            call has a folder of its own.
        env: The environment.
        secrets: What must not be shown.
        state: The state folder.
        max_age: Seconds until a process is replaced.
        idle: Seconds without a call until it is ended.
        silence: Seconds without a word in a call until it counts as hung.
        grace: Seconds that a cancelled call may take to end.
    """

    agent: str
    options: SessionOptions
    processes: int
    turns: int
    warm: Made
    once: Made | None
    place: bool
    env: dict[str, str]
    secrets: tuple[str, ...]
    state: Path
    max_age: float
    idle: float
    silence: float
    grace: float


class Worker:
    """A process, and what it is doing."""

    def __init__(self, driver: Driver, place: Place | None, since: float, once: bool) -> None:
        self.driver = driver
        self.place = place
        self.since = since
        self.once = once
        self.jobs = 0
        self.busy = 0
        self.memory = 0
        self.rested = since
        self.tired = False
        """Whether it takes no more calls."""
        self.broken = False
        self.ended = False


class Starter:
    """Starts processes: warm ones, or such as do one call and end where warm ones cannot be had.

    Attributes:
        spawned: How many it has started.
        cold: Why the warm protocol was given up, if it was.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.spawned = 0
        self.cold: AgentError | None = None
        self._loop = asyncio.get_running_loop()
        self._cold_until = 0.0

    def made(self) -> tuple[Made, bool]:
        """Say how the next one is talked to, and whether it does one call and ends."""
        order = self.order
        if order.options.one_shot == "always":
            return order.once or order.warm, True
        if order.once is not None and self._loop.time() < self._cold_until:
            return order.once, True
        return order.warm, False

    async def start(self) -> Worker:
        """Start one.

        Raises:
            AgentError: It cannot be started, or is not understood.
        """
        made, once = self.made()
        try:
            return await self._spawn(made, once)
        except Misunderstood as error:
            order = self.order
            if order.once is None or order.options.one_shot == "never":
                raise error.error from None
            self.cold, self._cold_until = error.error, self._loop.time() + _AGAIN
            return await self._spawn(order.once, True)

    async def _spawn(self, made: Made, once: bool) -> Worker:
        order = self.order
        place = Place(order.options, order.state) if order.place or once else None
        pipe: Pipe | None = None
        try:
            if place is not None:
                await place.make()
            else:
                await asyncio.to_thread(order.state.mkdir, parents=True, exist_ok=True)
            folder = place.path if place is not None else str(order.state)
            launch = Launch(
                argv=made.argv(order.options), env=order.env, cwd=folder, stdin=b"", grace=0
            )
            pipe = Pipe(launch, order.secrets)
            self.spawned += 1
            driver = made(order.options, pipe)
            await driver.open()
        except BaseException:
            if pipe is not None:
                pipe.close()
            if place is not None:
                await place.drop()
            raise
        return Worker(driver, place, self._loop.time(), once)
