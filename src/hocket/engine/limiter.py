"""A limit for any asyncio program: exact windows, slots and spacing, without runs or a journal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from hocket.config.amounts import read_money
from hocket.config.limit import Duration, Money, Rates, Spendings
from hocket.config.limit import Limit as Bounds
from hocket.core.errors import Problem, Refused, SpecError
from hocket.core.specs import PlanSpec, RunSpec
from hocket.core.values import SECOND, parse_duration
from hocket.limits.claim import Block, Claim, Ending, Spent
from hocket.limits.limit import Limit, Use
from hocket.limits.window import MARGIN
from hocket.workflows.check_limits import limit_problems

# Only a call that was said to be answered proves how long its request was on its way: many a
# program leaves the block at once and sends only then.
_LEFT: Final = Ending("done", round_trip=MARGIN)
_FAILED: Final = Ending("other")
_NOTHING: Final = Claim()
_NO_STEPS: Final = PlanSpec(name="limiter", steps=())
_log = logging.getLogger(__name__)


class Limiter:
    """A limit that the tasks of one asyncio program share.

    Whoever came first goes first::

        limiter = Limiter(requests=["9/min", "500/day"], tokens="32k/min")

        async with limiter(tokens=500) as permit:
            reply = await call(...)
            permit.spent(tokens=reply.tokens)

    It belongs to one event loop at a time, and to one process: calls of runs share the limits of
    their plan over all processes of a state folder instead.

    Args:
        requests: How often the block is entered, as ``"9/min"`` or ``["9/min", "500/day"]``.
        tokens: Tokens read and written together, as ``"32k/min"``.
        tokens_in: Tokens read.
        tokens_out: Tokens written.
        cost: Dollars, as ``"0.50/day"``, or ``1.00`` in all.
        concurrency: How many are in the block at once.
        spacing: The least time between two that enter it.
        margin: How much later than the block was entered the server may count the request.
            By default 250 ms, or less where `Permit.spent` has shown how long the answer took.
        adaptive: Whether refusals close and narrow it.
        preset: A provider's tier to begin with, as ``openai/tier-1``.
        name: What it is called in messages.

    Raises:
        SpecError: Something cannot be read or is out of range.
    """

    def __init__(
        self,
        requests: Rates = (),
        *,
        tokens: Rates = (),
        tokens_in: Rates = (),
        tokens_out: Rates = (),
        cost: Spendings = (),
        concurrency: int | None = None,
        spacing: Duration | None = None,
        margin: Duration | None = None,
        adaptive: bool = True,
        preset: str | None = None,
        name: str = "limiter",
    ) -> None:
        spec = Bounds(
            name,
            requests=requests,
            tokens=tokens,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=cost,
            concurrency=concurrency,
            spacing=spacing,
            margin=margin,
            shared=False,
            adaptive=adaptive,
            preset=preset,
        ).spec
        if problems := list(limit_problems(RunSpec(workflow=_NO_STEPS, limits={name: spec}))):
            raise SpecError(problems)
        self._limit: Final = Limit(name, spec)
        self._split = bool(spec.tokens_in or spec.tokens_out)
        self._waiting: OrderedDict[Permit, asyncio.Future[None]] = OrderedDict()
        self._taken = 0
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._time: Callable[[], float]
        self._shift = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0

    def __call__(
        self,
        *,
        tokens: int = 0,
        tokens_in: int = 0,
        tokens_out: int = 0,
        cost: Money = 0,
    ) -> Permit:
        """Ask for a permit; it is got by ``async with``, and waited for there.

        Args:
            tokens: How many tokens will be read and written, by estimate.
            tokens_in: How many will be read, where the limit bounds these apart.
            tokens_out: How many will be written, where the limit bounds these apart.
            cost: The most dollars that it may cost.

        Raises:
            SpecError: An amount is below 0, or tokens are not told apart where they are bounded
                apart.
        """
        if not (tokens or tokens_in or tokens_out or cost):
            return Permit(self, _NOTHING)
        if min(tokens, tokens_in, tokens_out) < 0:
            raise self._problem("tokens are at least 0")
        if tokens and (self._split or tokens_in or tokens_out):
            raise self._problem("say tokens_in and tokens_out instead of tokens")
        claim = Claim(
            tokens_in=tokens_in or tokens, tokens_out=tokens_out, most_cost=self._pico(cost)
        )
        return Permit(self, claim)

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._waiting)

    def used(self) -> list[Use]:
        """Say how full each bound is; only within a running loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move(loop)
        return self._limit.used(self._now())

    def close(self) -> None:
        """Let nobody in any more: those that wait get `Refused`; permits can still be settled."""
        self._closed = True
        self._stop()
        while self._waiting:
            _, future = self._waiting.popitem(last=False)
            if not future.done():
                future.set_exception(self._is_closed())

    # -- what permits do ----------------------------------------------------------------------

    async def _enter(self, permit: Permit) -> None:
        """Let one in at once if nobody waits and it fits; else let it wait."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move(loop)
        if self._closed:
            raise self._is_closed()
        at = round(self._time() * SECOND) + self._shift
        limit = self._limit
        if self._waiting or limit.blocked(1, permit.claim, at) is not None:
            await self._wait(permit)
            return
        self._taken += 1
        key = permit.key = str(self._taken)
        limit.take(key, 1, permit.claim, at)
        limit.sent(key, at)

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Live in this loop; what was sent in the one before still counts."""
        old = self._loop
        if old is not None and not old.is_closed() and (self._waiting or old.is_running()):
            name = self._limit.name
            raise Refused(f"{name} belongs to another event loop: make a Limiter for each")
        at = time.time_ns() if old is None else self._now()
        self._waiting.clear()
        self._stop()
        self._loop = loop
        self._time = loop.time
        self._shift = at - round(loop.time() * SECOND)

    def _now(self) -> int:
        """Say what time it is: the loop's, in nanoseconds since the epoch."""
        return round(self._time() * SECOND) + self._shift

    async def _wait(self, permit: Permit) -> None:
        """Let one wait for its turn."""
        if permit in self._waiting:
            raise Refused("a permit serves one call: ask the limiter for another")
        future = asyncio.get_running_loop().create_future()
        self._waiting[permit] = future
        if len(self._waiting) == 1:
            self._pump()
        try:
            await future
        except BaseException:
            self._waiting.pop(permit, None)
            if permit.key:
                # It was let in, but will never know.
                self._limit.release(permit.key)
            self._pump()
            raise
        self._sent(permit)

    def _sent(self, permit: Permit) -> None:
        self._limit.sent(permit.key, self._now())
        # Only now is it known from when the next one fits.
        if self._waiting:
            self._pump()

    def _settle(self, permit: Permit, ending: Ending) -> None:
        for news in self._limit.settle(permit.key, ending, self._now()):
            _log.info(news.message)
        if self._waiting:
            self._pump()

    def _take(self, permit: Permit, at: int) -> None:
        self._taken += 1
        permit.key = str(self._taken)
        self._limit.take(permit.key, 1, permit.claim, at)

    def _pump(self) -> None:
        """Let in who fits, first come first served, and ring when the next one will."""
        if self._loop is None or self._loop.is_closed():
            # Somebody's coroutine is thrown away after its loop.
            return
        at = self._now()
        waiting = self._waiting
        while waiting:
            permit = next(iter(waiting))
            if waiting[permit].done():
                # It was cancelled, and has yet to notice.
                del waiting[permit]
                continue
            block = self._limit.blocked(1, permit.claim, at)
            if block is not None and not block.hopeless:
                self._ring(block.until)
                return
            future = waiting.pop(permit)
            if block is None:
                self._take(permit, at)
                future.set_result(None)
            else:
                future.set_exception(self._is_hopeless(permit.claim, block))

    def _ring(self, at: int | None) -> None:
        """Look again at that instant at the latest; None asks for nothing."""
        assert self._loop is not None
        if at is None or (self._timer is not None and self._rings <= at):
            return
        self._stop()
        self._rings = at
        self._timer = self._loop.call_at((at - self._shift) / SECOND, self._rung)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rung(self) -> None:
        self._timer = None
        self._pump()

    # -- words --------------------------------------------------------------------------------

    def _pico(self, dollars: Money) -> int:
        if not dollars:
            return 0
        try:
            return read_money(dollars)
        except ValueError as error:
            raise self._problem(f"cost: {error}") from None

    def _problem(self, message: str) -> SpecError:
        return SpecError([Problem(where=("limits", self._limit.name), message=message)])

    def _is_closed(self) -> Refused:
        return Refused(f"{self._limit.name} is closed")

    def _is_hopeless(self, claim: Claim, block: Block) -> Refused:
        cost = claim.most_cost / 1e12
        said = f"a call that may cost ${cost:.6f}" if cost else "the call"
        return Refused(
            f"{self._limit.name}: {said} will never fit ({block.cause}): "
            "ask for less, or allow more in the Limiter"
        )


class Permit:
    """The right to make one call; made by a `Limiter`, got by ``async with``.

    Leave the block when the answer is in.

    Attributes:
        claim: What the call is expected to take.
        key: Its name, once it was let in.
    """

    __slots__ = ("_ending", "_limiter", "_over", "claim", "key")

    def __init__(self, limiter: Limiter, claim: Claim) -> None:
        self._limiter = limiter
        self._ending: Ending | None = None
        self._over = False
        self.claim = claim
        self.key = ""

    async def __aenter__(self) -> Self:
        if self.key:
            raise Refused("a permit serves one call: ask the limiter for another")
        await self._limiter._enter(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._over:
            self._end(self._ending or (_LEFT if kind is None else _FAILED))

    def sent(self) -> None:
        """Note that the request leaves only now, and not when the block was entered.

        Raises:
            Refused: The call is over, or was never let in.
        """
        self._check()
        self._limiter._sent(self)

    def spent(
        self,
        *,
        tokens: int | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        cost: Money | None = None,
    ) -> None:
        """Note that the answer is in, and what the call has spent.

        What is left out counts as what was reserved; the last word holds.

        Args:
            tokens: How many tokens were read and written.
            tokens_in: How many were read.
            tokens_out: How many were written.
            cost: How many dollars it has cost.

        Raises:
            SpecError: An amount is below 0, or tokens are not told apart where they should be.
            Refused: The call is over, or was never let in.
        """
        self._check()
        limiter = self._limiter
        if tokens is not None:
            if limiter._split or tokens_in is not None or tokens_out is not None:
                raise limiter._problem("say tokens_in and tokens_out instead of tokens")
            tokens_in, tokens_out = tokens, 0
        if min(tokens_in or 0, tokens_out or 0) < 0:
            raise limiter._problem("tokens are at least 0")
        pico = None if cost is None else limiter._pico(cost)
        self._ending = Ending("done", Spent(tokens_in, tokens_out, pico))

    def refused(self, retry_after: Duration | None = None) -> None:
        """Note a 429: nobody is let in for a while, and this call does not count.

        Args:
            retry_after: How long the server asks to wait, in seconds or as ``"30s"``;
                if it does not say, the wait grows with each refusal in a row.

        Raises:
            ValueError: `retry_after` is not a duration.
            Refused: The call is over, or was never let in.
        """
        self._check()
        if isinstance(retry_after, str) and retry_after.isdecimal():
            # As the header has it.
            retry_after = int(retry_after)
        wait = None if retry_after is None else parse_duration(retry_after)
        self._end(Ending("refused", retry_after=wait))

    def _end(self, ending: Ending) -> None:
        self._over = True
        self._limiter._settle(self, ending)

    def _check(self) -> None:
        if not self.key or self._over:
            said = "is over" if self._over else "was not let in yet"
            raise Refused(f"the call {said}: use its permit within 'async with'")
