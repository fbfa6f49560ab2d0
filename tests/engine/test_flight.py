"""What a call in flight tells of itself: when its request left, and when the peer answered."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.engine.kit import Doer, NoFiles, failure

from hocket.agents.base import UNKNOWN, Context, Estimate, Request, announces, estimate
from hocket.core.errors import WorkerLost
from hocket.core.events import CallLost
from hocket.core.values import Call, Json
from hocket.engine.flight import Flight
from hocket.limits.claim import Quota
from hocket.simulator.loop import run_virtual

REQUEST = Request(run="run", call=Call("step", 1), agent="agent", input="hi")
NEWS = (Quota(kind="requests", limit=9, remaining=3),)


class Announced(Doer):
    """Says itself when its request leaves."""

    announces = True


class Noted:
    """A flight, and what its callbacks were told."""

    def __init__(self) -> None:
        self.sent: list[int | None] = []
        self.told: list[Sequence[Quota]] = []
        self.flight = Flight(
            REQUEST,
            lambda call, stream, text: None,
            NoFiles(),
            on_sent=lambda ago: self.sent.append(self.flight.sent_at),
            on_told=self.told.append,
        )

    def fly(self, agent: Doer) -> Any:
        async def main() -> Any:
            loop = asyncio.get_running_loop()
            return await self.flight.fly(agent, lambda: round(loop.time()))

        return run_virtual(main, seed=1)


def test_whoever_says_nothing_has_sent_when_the_call_began() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(5)
        context.emit("so")
        await asyncio.sleep(5)
        return "done"

    noted = Noted()
    outcome = noted.fly(Doer(do))
    assert noted.sent == [0]
    assert (noted.flight.sent_at, noted.flight.heard_at, outcome.at) == (0, 5, 10)


def test_an_announcing_agent_has_sent_when_it_says_so() -> None:
    async def do(request: Request, context: Context) -> Json:
        context.emit("connecting", "err")
        await asyncio.sleep(3)
        context.sent()
        await asyncio.sleep(4)
        return "done"

    noted = Noted()
    noted.fly(Announced(do))
    assert noted.sent == [3]
    assert (noted.flight.sent_at, noted.flight.heard_at) == (3, 7), "text before counts for nothing"


def test_an_announcing_agent_that_fails_before_has_sent_nothing() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(3)
        raise failure("permanent")

    noted = Noted()
    noted.fly(Announced(do))
    assert noted.sent == []
    assert (noted.flight.sent_at, noted.flight.heard_at) == (None, None)


def test_of_two_requests_in_one_call_the_later_one_counts() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(2)
        context.sent()
        await asyncio.sleep(2)
        context.emit("first")
        context.sent()
        await asyncio.sleep(2)
        context.told(NEWS)
        await asyncio.sleep(2)
        return "done"

    noted = Noted()
    noted.fly(Doer(do))
    assert noted.sent == [0, 2, 4]
    assert (noted.flight.sent_at, noted.flight.heard_at) == (4, 6)
    assert noted.told == [NEWS]


def test_word_of_a_request_may_come_late() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(5)
        context.sent(ago=2)
        await asyncio.sleep(4)
        return "done"

    noted = Noted()
    noted.fly(Announced(do))
    assert noted.sent == [3]
    assert (noted.flight.sent_at, noted.flight.heard_at) == (3, 9)


def test_a_call_whose_worker_is_gone_is_lost() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(3)
        raise WorkerLost("gone")

    assert Noted().fly(Doer(do)) == CallLost(at=3, call=REQUEST.call)


def test_what_a_thread_says_after_its_call_is_of_no_account() -> None:
    async def do(request: Request, context: Context) -> Json:
        return "done"

    noted = Noted()
    noted.fly(Doer(do))
    noted.flight.sent()
    noted.flight.told(NEWS)
    assert (noted.sent, noted.told, noted.flight.sent_at) == ([0], [], 0)


def test_an_answer_without_news_is_heard_and_told_to_nobody() -> None:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(1)
        context.told(())
        await asyncio.sleep(1)
        return "done"

    noted = Noted()
    noted.fly(Doer(do))
    assert (noted.flight.heard_at, noted.told) == (1, [])


def test_a_flight_that_nobody_hooks_notes_the_same() -> None:
    async def do(request: Request, context: Context) -> Json:
        context.told(NEWS)
        return "done"

    noted = Noted()
    noted.flight = Flight(REQUEST, lambda call, stream, text: None, NoFiles())
    noted.fly(Doer(do))
    assert (noted.flight.sent_at, noted.flight.heard_at) == (0, 0)


def test_an_agent_that_cannot_estimate_says_that_nobody_knows() -> None:
    async def do(request: Request, context: Context) -> Json:
        return "done"

    class Estimates(Doer):
        def estimate(self, request: Request) -> Estimate:
            return Estimate(tokens_in=3, most_tokens=9, most_cost=0)

    assert estimate(Doer(do), REQUEST) == UNKNOWN
    assert UNKNOWN.most_cost is None and UNKNOWN.most_tokens is None
    assert estimate(Estimates(do), REQUEST).most_tokens == 9
    assert (announces(Doer(do)), announces(Announced(do))) == (False, True)
