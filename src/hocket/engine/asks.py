"""What calls in flight ask people: recorded, waited for, and told to the call."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hocket.core.errors import AgentError, Fault, JournalError, OwnershipLost
from hocket.core.events import AnyEvent, ApprovalAsked
from hocket.core.people import Consent
from hocket.core.run import RunMachine
from hocket.core.specs import patience, steps_of
from hocket.core.values import digest
from hocket.journal.base import Log
from hocket.journal.codec import encode


class Base(Protocol):
    """What drives the run."""

    machine: RunMachine
    wait: bool

    @property
    def over(self) -> bool:
        """Whether nothing more is to begin here."""

    def now(self) -> int:
        """Give the instant for the next event."""

    def record(self, event: AnyEvent) -> None:
        """Take a fact in, write it, and carry out what follows."""

    def fail(self, error: Exception) -> None:
        """Nothing may go on."""


class Asks:
    """The questions of one run's calls.

    Args:
        base: What drives the run.
        log: The run's writing end.
    """

    def __init__(self, base: Base, log: Log) -> None:
        self._base = base
        self._log = log
        self._waiters: dict[str, asyncio.Future[Consent]] = {}

    async def ask(self, path: str, shown: str) -> Consent:
        """Ask people, and wait until one has answered, or the question has expired.

        What a call does because of an answer is never ahead of the answer on disk.

        Raises:
            AgentError: What is to be shown cannot be recorded.
        """
        base = self._base
        if base.over:
            return Consent(False, "the run is being left")
        if not base.wait:
            return Consent(False, "nobody is waited for in this run (--no-wait)")
        at = base.now()
        event = ApprovalAsked(
            at=at,
            path=path,
            shown=shown,
            digest=digest(shown.encode("utf-8", "surrogatepass")),
            expires=at + patience(steps_of(base.machine.spec.workflow)),
        )
        try:
            encode(event)
        except JournalError as error:
            message = f"what is to be approved cannot be recorded: {error}"
            raise AgentError(Fault(kind="permanent", message=message[:500])) from error
        base.record(event)
        if path not in base.machine.calls.people.open:
            return Consent(False, "the call is over, or is being stopped")
        waiter: asyncio.Future[Consent] = asyncio.get_running_loop().create_future()
        self._waiters[path] = waiter
        try:
            consent = await waiter
        finally:
            del self._waiters[path]
        try:
            await self._log.durable(self._log.seq)
        except (JournalError, OwnershipLost) as error:
            base.fail(error)
            return Consent(False, "the answer could not be recorded")
        return consent

    def follow(self) -> None:
        """Tell the calls whose questions are closed."""
        if not self._waiters:
            return
        machine = self._base.machine
        for path, waiter in self._waiters.items():
            if path not in machine.calls.people.open and not waiter.done():
                waiter.set_result(machine.decided.consent(path))
