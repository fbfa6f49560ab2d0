"""The limiter that a program uses by itself: order, cancellation, refusals, closing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from tests.engine.kit import now

import hocket
from hocket.core.errors import Refused, SpecError
from hocket.core.specs import Rate
from hocket.core.values import MINUTE, SECOND
from hocket.engine.limiter import Limiter
from hocket.limits.limit import Use
from hocket.simulator.loop import run_virtual

MS = SECOND // 1_000


def virtual(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run in virtual time; tasks take their turns in the order in which they were made."""
    return run_virtual(main, shuffle=False)


async def enter(limiter: Limiter, takes: float = 0.0, **claim: Any) -> float:
    """Take a permit, hold it for a while, and say when it came."""
    async with limiter(**claim):
        came = now()
        await asyncio.sleep(takes)
    return came


async def together(calls: Iterable[Awaitable[float]]) -> list[float]:
    return list(await asyncio.gather(*calls))


def use(limiter: Limiter, kind: str) -> Use:
    return next(one for one in limiter.used() if one.kind == kind)


def test_it_is_what_the_package_exports() -> None:
    assert hocket.Limiter is Limiter


def test_a_window_opens_exactly_when_the_oldest_leaves_it() -> None:
    async def main() -> list[float]:
        limiter = Limiter("2/s", margin=0)
        return await together(enter(limiter) for _ in range(5))

    assert virtual(main) == [0, 0, 1, 1, 2]


def test_those_who_wait_need_not_wait_for_the_answers_of_others() -> None:
    async def main() -> list[float]:
        limiter = Limiter("1/s", margin=0)
        return await together(enter(limiter, 10) for _ in range(4))

    assert virtual(main) == [0, 1, 2, 3]


def test_several_windows_hold_at_once() -> None:
    async def main() -> list[float]:
        limiter = Limiter(["2/s", "3/10s"], margin=0)
        return await together(enter(limiter) for _ in range(5))

    assert virtual(main) == [0, 0, 1, 10, 10]


def test_without_an_answer_a_call_may_be_on_its_way_for_the_whole_margin() -> None:
    async def main() -> list[float]:
        limiter = Limiter("1/s")
        return await together(enter(limiter) for _ in range(3))

    assert virtual(main) == [0, 1.25, 2.5]


def test_an_answer_proves_how_long_the_request_can_have_been_on_its_way() -> None:
    async def main() -> list[float]:
        limiter = Limiter("1/s")

        async def call() -> float:
            async with limiter() as permit:
                came = now()
                await asyncio.sleep(0.125)
                permit.spent()
            return came

        return await together(call() for _ in range(3))

    assert virtual(main) == [0, 1.125, 2.25]


def test_a_request_that_leaves_later_counts_from_then() -> None:
    async def main() -> float:
        limiter = Limiter("1/s", margin=0)
        async with limiter() as permit:
            await asyncio.sleep(0.5)
            permit.sent()
        return await enter(limiter)

    assert virtual(main) == 1.5


def test_slots_are_free_when_their_calls_end() -> None:
    async def main() -> list[float]:
        limiter = Limiter(concurrency=2)
        return await together(enter(limiter, takes) for takes in (3.0, 1.0, 1.0, 1.0))

    assert virtual(main) == [0, 0, 1, 2]


def test_starts_keep_their_distance() -> None:
    async def main() -> list[float]:
        limiter = Limiter(spacing="2s", margin=0)
        return await together(enter(limiter) for _ in range(3))

    assert virtual(main) == [0, 2, 4]


def test_tokens_are_settled_with_what_was_spent() -> None:
    async def main() -> tuple[float, float, int]:
        limiter = Limiter(tokens="100/min", margin=0)
        async with limiter(tokens=90) as permit:
            permit.spent(tokens=30)
        first = await enter(limiter, tokens=70)
        second = await enter(limiter, tokens=70)
        return first, second, use(limiter, "tokens").used

    assert virtual(main) == (0, 60, 70)


def test_tokens_read_and_written_are_bounded_apart() -> None:
    async def main() -> list[float]:
        limiter = Limiter(tokens_in="100/s", tokens_out="10/s", margin=0)
        calls = [enter(limiter, tokens_in=20, tokens_out=6) for _ in range(2)]
        return await together(calls)

    assert virtual(main) == [0, 1]


def test_what_was_reserved_counts_if_nobody_says_what_was_spent() -> None:
    async def main() -> list[float]:
        limiter = Limiter(tokens="100/min", margin=0)
        return await together(enter(limiter, tokens=60) for _ in range(2))

    assert virtual(main) == [0, 60]


def test_money_in_all_is_refused_once_it_is_gone() -> None:
    async def main() -> int:
        limiter = Limiter(cost="1.00", margin=0)
        async with limiter(cost=0.75) as permit:
            permit.spent(cost=0.5)
        async with limiter(cost="$0.50"):
            with pytest.raises(Refused, match=r"\$0\.600000 will never fit"):
                await enter(limiter, cost=0.6)
        with pytest.raises(Refused, match="will never fit"):
            await enter(limiter, cost=0.01)
        return use(limiter, "cost").used

    assert virtual(main) == 10**12


def test_who_came_first_goes_first_and_nobody_small_slips_past() -> None:
    async def main() -> list[str]:
        limiter = Limiter(tokens="100/s", margin=0)
        order: list[str] = []

        async def call(name: str, tokens: int) -> None:
            async with limiter(tokens=tokens):
                order.append(f"{name} {now():g}")

        sizes = [("a", 80), ("large", 90), ("small", 10), ("last", 1)]
        await asyncio.gather(*(call(name, tokens) for name, tokens in sizes))
        return order

    assert virtual(main) == ["a 0", "large 1", "small 1", "last 2"]


def test_a_newcomer_does_not_slip_past_those_who_wait() -> None:
    async def main() -> list[str]:
        limiter = Limiter(concurrency=1)
        order: list[str] = []

        async def call(name: str) -> None:
            async with limiter():
                order.append(name)

        async with limiter():
            waiting = asyncio.create_task(call("first"))
            await asyncio.sleep(1)
        # The slot is free, and the one that waits has not had its turn yet.
        await call("second")
        await waiting
        return order

    assert virtual(main) == ["first", "second"]


def test_a_free_limiter_lets_in_without_a_turn_of_the_loop() -> None:
    async def main() -> int:
        limiter = Limiter("10/min")
        loop: Any = asyncio.get_running_loop()
        before = loop.turns
        for _ in range(10):
            async with limiter():
                pass
        return int(loop.turns - before)

    assert virtual(main) == 0


# -- leaving ----------------------------------------------------------------------------------


def test_a_call_that_no_longer_waits_leaves_nothing_behind() -> None:
    async def main() -> tuple[int, int, list[float]]:
        limiter = Limiter("2/min", concurrency=2, margin=0)
        await enter(limiter)
        await enter(limiter)
        tasks = [asyncio.create_task(enter(limiter)) for _ in range(100)]
        await asyncio.sleep(1)
        waiting = limiter.waiting
        for task in tasks[1:99]:
            task.cancel()
        await asyncio.sleep(0)
        left = limiter.waiting
        return waiting, left, await together([tasks[0], tasks[99]])

    assert virtual(main) == (100, 2, [60, 60])


def test_a_call_cancelled_when_it_was_just_let_in_gives_its_permit_back() -> None:
    async def main() -> tuple[list[Any], float]:
        limiter = Limiter("1/min", concurrency=1, margin=0)
        async with limiter():
            first = asyncio.create_task(enter(limiter))
            second = asyncio.create_task(enter(limiter))
            await asyncio.sleep(61)
        # The first has its permit now, but has not had its turn.
        first.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return found, use(limiter, "requests").used

    found, used = virtual(main)
    assert isinstance(found[0], asyncio.CancelledError)
    assert (found[1], used) == (61, 1)


def test_a_large_call_that_gives_up_lets_the_next_one_in_at_once() -> None:
    async def main() -> float:
        limiter = Limiter(tokens="100/min", margin=0)
        await enter(limiter, tokens=50)
        large = asyncio.create_task(enter(limiter, tokens=80))
        small = asyncio.create_task(enter(limiter, tokens=20))
        await asyncio.sleep(5)
        large.cancel()
        return await small

    assert virtual(main) == 5


def test_whoever_comes_in_any_order_of_turns_is_never_lost() -> None:
    async def main() -> int:
        limiter = Limiter("3/s", concurrency=2, margin=0)

        async def call(i: int) -> None:
            try:
                async with asyncio.timeout(0.1 + i % 7):
                    await enter(limiter, 0.25 * (i % 4))
            except TimeoutError:
                gone.append(i)

        gone: list[int] = []
        await asyncio.gather(*(call(i) for i in range(60)))
        await asyncio.sleep(1)
        assert limiter.waiting == 0
        assert [one.used for one in limiter.used()] == [0, 0]
        return len(gone)

    for seed in range(20):
        assert 20 < run_virtual(main, seed=seed) < 60


def test_an_exception_passes_and_frees_the_slot() -> None:
    async def main() -> float:
        limiter = Limiter("1/s", concurrency=1, margin=0)
        with pytest.raises(KeyError):
            async with limiter():
                raise KeyError
        return await enter(limiter)

    assert virtual(main) == 1


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after", [30, 30.0, "30", "30s"])
def test_a_refusal_closes_for_everybody_and_costs_nothing(retry_after: Any) -> None:
    async def main() -> tuple[list[float], int]:
        limiter = Limiter("10/h", margin=0)
        async with limiter() as permit:
            permit.refused(retry_after)
            used = use(limiter, "requests").used
        return await together(enter(limiter) for _ in range(2)), used

    assert virtual(main) == ([30, 30], 0)


def test_without_retry_after_the_wait_grows() -> None:
    async def main() -> list[float]:
        limiter = Limiter("100/h", margin=0)
        waits: list[float] = []
        for _ in range(3):
            begun = now()
            async with limiter() as permit:
                waits.append(now() - begun)
                permit.refused()
        return waits

    first, second, third = virtual(main)
    assert first == 0
    assert 1 <= second <= 1.1
    assert 2 <= third <= 2.2


def test_refusals_narrow_it_and_one_that_does_not_adapt_stays_open() -> None:
    async def main(adaptive: bool) -> tuple[int, float]:
        limiter = Limiter("10/min", margin=0, adaptive=adaptive)
        for _ in range(6):
            await enter(limiter)
        async with limiter() as permit:
            permit.refused("5s")
        return use(limiter, "requests").allowed, await enter(limiter)

    assert run_virtual(lambda: main(True)) == (6, 60)
    assert run_virtual(lambda: main(False)) == (10, 0)


def test_people_can_read_of_a_refusal_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        limiter = Limiter("10/min", name="mistral")
        async with limiter() as permit:
            permit.refused(3)

    with caplog.at_level("INFO", "hocket"):
        virtual(main)
    assert "mistral refused a call: closed for 3.0 s" in caplog.text


# -- closing, loops, words ----------------------------------------------------------------------


def test_a_closed_limiter_lets_nobody_in_and_frees_those_who_wait() -> None:
    async def main() -> None:
        limiter = Limiter("1/h", name="mistral")
        async with limiter() as permit:
            waiting = asyncio.create_task(enter(limiter))
            await asyncio.sleep(0)
            limiter.close()
            with pytest.raises(Refused, match="mistral is closed"):
                await waiting
            with pytest.raises(Refused, match="mistral is closed"):
                await enter(limiter)
            permit.spent()
        assert limiter.waiting == 0

    virtual(main)


def test_what_one_loop_has_sent_still_counts_in_the_next_one() -> None:
    limiter = Limiter("2/s", margin=0)

    async def abandon() -> list[float]:
        waiting = asyncio.create_task(enter(limiter))
        came = [await enter(limiter), await waiting]
        abandoned = asyncio.create_task(enter(limiter))
        await asyncio.sleep(0)
        assert not abandoned.done()
        return came

    assert virtual(abandon) == [0, 0]
    assert virtual(lambda: together(enter(limiter) for _ in range(3))) == [1, 1, 2]


def test_who_waited_in_a_loop_that_is_gone_waits_no_more() -> None:
    limiter = Limiter("1/h")

    async def begin() -> asyncio.Task[float]:
        await enter(limiter)
        waiting = asyncio.create_task(enter(limiter))
        await asyncio.sleep(0)
        return waiting

    loop = asyncio.new_event_loop()
    waiting = loop.run_until_complete(begin())
    loop.close()
    assert (limiter.waiting, waiting.done()) == (1, False)

    async def look() -> int:
        return use(limiter, "requests").used

    assert (asyncio.run(look()), limiter.waiting) == (1, 0)


def test_two_loops_cannot_share_it_at_the_same_time() -> None:
    async def main() -> None:
        limiter = Limiter("2/s")
        await enter(limiter)
        with pytest.raises(Refused, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(enter(limiter)))

    asyncio.run(main())


def test_a_permit_serves_one_call() -> None:
    async def main() -> None:
        limiter = Limiter("9/min")
        permit = limiter()
        with pytest.raises(Refused, match="was not let in yet"):
            permit.spent()
        async with permit:
            pass
        with pytest.raises(Refused, match="is over"):
            permit.refused()
        with pytest.raises(Refused, match="ask the limiter for another"):
            async with permit:
                pass

    virtual(main)


def test_a_permit_waits_once() -> None:
    async def main() -> None:
        limiter = Limiter(concurrency=1)
        permit = limiter()

        async def wait() -> None:
            async with permit:
                pass

        async with limiter():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(1)
            with pytest.raises(Refused, match="ask the limiter for another"):
                await wait()
        await waiting

    virtual(main)


def test_it_says_how_full_it_is() -> None:
    async def main() -> tuple[list[tuple[str, int, int, int]], int | None]:
        limiter = Limiter("9/min", tokens="1k/min", concurrency=4)
        async with limiter(tokens=120):
            used = limiter.used()
            begun = used[0].free
            told = [(one.kind, one.used, one.allowed, one.per) for one in used]
        assert begun is not None
        await enter(limiter)
        return told, limiter.used()[0].used

    expected = [("requests", 1, 9, MINUTE), ("tokens", 120, 1_000, MINUTE)]
    assert virtual(main) == ([*expected, ("concurrency", 1, 4, 0)], 2)


def test_rates_may_be_given_as_they_are() -> None:
    async def main() -> list[float]:
        limiter = Limiter([Rate(1, 125 * MS), "4/s"], margin=0)
        return await together(enter(limiter) for _ in range(3))

    assert virtual(main) == [0, 0.125, 0.25]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"requests": "9"}, "'9' is no rate; write it like 9/min"),
        ({"requests": Rate(0, SECOND)}, "requests is at least 1"),
        ({"requests": Rate(5, 0)}, "requests are so many in some time"),
        ({"concurrency": 0}, "concurrency is at least 1"),
        ({"spacing": "soon"}, "'soon' is not a duration"),
        ({"margin": "2h"}, "margin lies between 0 and an hour"),
        ({"cost": "cheap"}, "'cheap' is no money"),
        ({"preset": "nobody"}, "unknown preset 'nobody'"),
    ],
)
def test_what_it_cannot_mean_is_refused(bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Limiter(**bounds)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"tokens": -1}, "tokens are at least 0"),
        ({"tokens": 5, "tokens_in": 5}, "say tokens_in and tokens_out"),
        ({"cost": "cheap"}, "'cheap' is no money"),
    ],
)
def test_what_a_call_cannot_take_is_refused(claim: dict[str, Any], words: str) -> None:
    async def main() -> None:
        with pytest.raises(SpecError, match=words):
            Limiter(tokens="1k/min")(**claim)
        async with Limiter(tokens="1k/min")() as permit:
            with pytest.raises(SpecError, match=words):
                permit.spent(**claim)

    virtual(main)


def test_tokens_are_told_apart_where_they_are_bounded_apart() -> None:
    async def main() -> None:
        limiter = Limiter(tokens_in="1k/min")
        with pytest.raises(SpecError, match="say tokens_in and tokens_out"):
            limiter(tokens=5)
        async with limiter(tokens_in=5) as permit:
            with pytest.raises(SpecError, match="say tokens_in and tokens_out"):
                permit.spent(tokens=5)

    virtual(main)
