"""The calls of one run that wait at the desk, what each claims, and what its end means."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from hocket.agents.base import UNKNOWN, Estimate, Request, estimate
from hocket.core.commands import StartCall
from hocket.core.events import (
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    LimitChanged,
    Reserved,
    Usage,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.claims import Claims
from hocket.engine.clock import Clock
from hocket.engine.crew import Crew
from hocket.engine.desk import CLAIM, Desk
from hocket.engine.flight import Flight, Outcome
from hocket.limits.admission import Admitted, Hopeless
from hocket.limits.claim import Claim, Ending, EndingKind, Key, News, Spent, key_of
from hocket.limits.words import limit_words

_OF_FAULT: Final[dict[str, EndingKind]] = {
    "rate_limited": "refused",
    "unavailable": "down",
    "timeout": "down",
    "invalid_output": "done",
    "permanent": "done",
}
"""What a fault says of the endpoint; the others say nothing."""


class Outlook(Protocol):
    """What is expected of calls that have not been made."""

    def rank(self, path: str) -> int:
        """Give how early the call should go, beside others of its run: higher ones first."""

    def lasts(self, path: str, agent: str) -> int | None:
        """Give how long it will take, in nanoseconds; None if nobody knows."""

    def quantile(self, path: str, agent: str, share: float) -> int | None:
        """Give how long all but the slowest take; None if too few are known."""


class Unknown:
    """The outlook of a run of which nothing is known."""

    def rank(self, path: str) -> int:
        """Give all the same rank: calls go in the order in which they came."""
        return 0

    def lasts(self, path: str, agent: str) -> int | None:
        """Nobody knows."""
        return None

    def quantile(self, path: str, agent: str, share: float) -> int | None:
        """Nobody knows."""
        return None


class Line:
    """The waiting calls of one run.

    Args:
        room: What the run is called at the desk.
        machine: The run's machine.
        desk: Where they wait.
        claims: What each claims.
        crew: The agents, some of which can say what a call will take.
        clock: What time it is for the run.
    """

    def __init__(
        self,
        room: str,
        machine: RunMachine,
        desk: Desk,
        claims: Claims,
        crew: Crew,
        clock: Clock,
    ) -> None:
        self.outlook: Outlook = Unknown()
        self.claims: Final = claims
        self.desk: Final = desk
        self.room = room
        self._machine = machine
        self._crew = crew
        # A resumed run may be ahead of the wall's clock, by which limits count.
        self._ahead = 0 if clock is desk.clock else clock.now() - desk.clock.now()
        self._starts: dict[Call, StartCall] = {}
        self._held = ""

    def offer(self, start: StartCall) -> None:
        """Let a call wait for its limits."""
        call = start.call
        outlook = self.outlook
        self._starts[call] = start
        self.desk.admission.offer(
            self.room,
            call,
            self._claim(start),
            start.ready - self._ahead,
            rank=outlook.rank(call.path),
            lasts=outlook.lasts(call.path, start.agent),
        )

    def down(self, start: StartCall) -> str:
        """Name the limit of a call whose endpoint is down while others could do the call, or "".

        Who has a fallback does not wait until an endpoint is up again.
        """
        job = self._machine.calls.jobs[start.call.path]
        if job.agent + 1 >= len(job.spec.agents):
            return ""
        at = self.desk.clock.now()
        for name, _ in self.claims.of(start.agent, job.spec.uses).units:
            if self.desk.admission.limit(name, self.room).state().breaker.until > at:
                return name
        return ""

    def stranded(self) -> list[tuple[Call, str]]:
        """Give the waiting calls that would wait for an endpoint which is down, and its limit."""
        found = [(start.call, self.down(start)) for start in self._starts.values()]
        return [(call, name) for call, name in found if name]

    def withdraw(self, call: Call) -> bool:
        """Take a call out that has not started; tells whether it was there."""
        if self._starts.pop(call, None) is None:
            return False
        # If it was admitted already, whoever starts it will find that nobody wants it.
        self.desk.admission.withdraw(self.room, call)
        return True

    def fetch(self, call: Call) -> tuple[Wait, ...] | None:
        """Take a call out that stands in line, with all that it has waited for.

        None if it is not there, or no more: one that was let through is about to start.
        """
        start = self._starts.get(call)
        if start is None:
            return None
        admission = self.desk.admission
        waits = admission.waited(self.room, call, self.desk.clock.now())
        if waits is None:
            return None
        admission.withdraw(self.room, call)
        del self._starts[call]
        return self._whole(start, waits)

    def hold(self, cause: str) -> None:
        """Let none of the run's calls through for a cause, or all with ""."""
        if cause == self._held:
            return
        self._held = cause
        now = self.desk.clock.now()
        if cause:
            self.desk.admission.hold(self.room, cause, now)
        else:
            self.desk.admission.free(self.room, now)

    def take(self, item: Admitted) -> StartCall | None:
        """Give what an admitted call is to start with; None if it cannot start now.

        One that nobody wants any more is given back; one of a run that was paused meanwhile is
        back in its place.
        """
        if item.call not in self._starts:
            self.release(item.call)
            return None
        if self._held:
            self.desk.put_back(item, self._held)
            return None
        return self._starts.pop(item.call)

    def waits(self, start: StartCall, item: Admitted, now: int) -> tuple[Wait, ...]:
        """Tell all that a call has waited for."""
        waits = self._whole(start, item.waits)
        if item.shared:
            admitted = waits[-1].until if waits else start.ready
            if admitted < now:
                waits = (*waits, Wait(CLAIM, admitted, now))
        return waits

    def release(self, call: Call) -> None:
        """Give back what a call holds that was never made."""
        self.desk.release(key_of(self.room, call))

    def settle(self, key: Key, flight: Flight, outcome: Outcome | None) -> list[LimitChanged]:
        """Note how a call ended, or that nobody knows; gives what that means for its limits."""
        if flight.sent_at is None:
            self.desk.release(key)
            return []
        if outcome is None:
            self.desk.settle(key, Ending("other"))
            return []
        news = self.desk.settle(key, ending(flight, outcome))
        return self.told(news, outcome.at) if news else []

    def told(self, news: list[News], at: int) -> list[LimitChanged]:
        """Make facts of what has become of limits."""
        return [
            LimitChanged(
                at=at,
                limit=item.limit,
                what=item.what,
                message=item.message,
                until=None if item.until is None else item.until + self._ahead,
            )
            for item in news
        ]

    def why(self, item: Hopeless) -> str:
        """Say in words why a call will never fit."""
        start = self._starts.get(item.call)
        limit = self.desk.admission.limit(item.limit, self.room)
        claim = Claim() if start is None else self._claim(start)
        named = limit_words(item.limit)
        for use in limit.used(self.desk.clock.now()):
            if use.kind == "cost" and use.used + claim.most_cost > use.allowed:
                return (
                    f"over budget: {_dollars(use.used)} of the {_dollars(use.allowed)} of "
                    f"{named} is gone, and {item.call} may cost up to "
                    f"{_dollars(claim.most_cost)}"
                )
            if use.kind.startswith("tokens") and use.used + claim.most_tokens > use.allowed:
                return (
                    f"over budget: {use.used:,} of the {use.allowed:,} tokens of {named} are "
                    f"gone, and {item.call} may take up to {claim.most_tokens:,}"
                )
        units = dict(claim.units).get(item.limit, 1)
        return f"{item.call} claims {units} of {named!r}, which has fewer in all"

    def reserved(self, claim: Claim) -> Reserved | None:
        """Say the most that a call may spend, for the budgets of the run after a crash."""
        if not (claim.most_tokens or claim.most_cost):
            return None
        return Reserved(claim.most_tokens, claim.most_cost)

    def close(self) -> None:
        """Let nobody wait any more."""
        self._starts.clear()
        self.desk.close(self.room)

    # -- within -----------------------------------------------------------------------------

    def _whole(self, start: StartCall, waits: tuple[Wait, ...]) -> tuple[Wait, ...]:
        """Tell waits by the run's clock, and the back-off before them."""
        if self._ahead:
            waits = tuple(
                Wait(wait.cause, wait.since + self._ahead, wait.until + self._ahead)
                for wait in waits
            )
        if start.asked < start.ready:
            waits = (Wait("backoff", start.asked, start.ready), *waits)
        return waits

    def _claim(self, start: StartCall) -> Claim:
        job = self._machine.calls.jobs[start.call.path]
        claim = self.claims.of(start.agent, job.spec.uses)
        if not self.claims.weighs(claim):
            return claim
        expected = self._estimate(start)
        return msgspec.structs.replace(
            claim,
            tokens_in=expected.tokens_in,
            tokens_out=expected.tokens_out,
            most_tokens=expected.most_tokens or expected.tokens_in + expected.tokens_out,
            most_cost=expected.most_cost or 0,
        )

    def _estimate(self, start: StartCall) -> Estimate:
        try:
            job, given = self._machine.request(start.call)
            agent = self._crew[start.agent]
        except Exception:
            # Its start will fail for the same reason, and tell it.
            return UNKNOWN
        request = Request(
            run=self._machine.run,
            call=start.call,
            agent=start.agent,
            input=given,
            output=job.output,
            options=job.options,
            tools=job.tools,
        )
        return estimate(agent, request)


class Timed(Protocol):
    """What is known of a call's way to its peer and back."""

    @property
    def sent_at(self) -> int | None:
        """When it left, if it has."""

    @property
    def heard_at(self) -> int | None:
        """When the peer began to answer, if it has."""


def ending(flight: Timed, outcome: Outcome) -> Ending:
    """Say what a call's end means for its limits."""
    spent = None if isinstance(outcome, CallLost) else _spent(outcome.usage)
    sent, heard = flight.sent_at, flight.heard_at
    trip = None if sent is None or heard is None else max(0, heard - sent)
    match outcome:
        case CallFinished():
            return Ending("done", spent, round_trip=trip)
        case CallLost():
            return Ending("other")
        case CallFailed():
            kind = _OF_FAULT.get(outcome.fault.kind, "other")
            return Ending(kind, spent, outcome.fault.retry_after, trip)
        case CallCancelled():
            return Ending("down" if outcome.reason == "timeout" else "other", spent)


def _dollars(pico: int) -> str:
    dollars = pico / 1e12
    return f"${dollars:.2f}" if not pico or dollars >= 0.1 else f"${dollars:.2g}"


def _spent(usage: Usage | None) -> Spent | None:
    return None if usage is None else Spent(usage.tokens_in, usage.tokens_out, usage.cost)
