"""What a call on another machine says comes home in order, once, and with its age."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from hocket.agents.base import Reply
from hocket.cluster.frames import (
    Batch,
    Emitted,
    Finished,
    Outbox,
    Sent,
    Spent,
    batch_of,
    encode,
    reply_of,
)
from hocket.core.events import Usage
from hocket.simulator.loop import run_virtual

T = TypeVar("T")


def virtual(work: Any) -> Any:
    return run_virtual(work, seed=1)


def clock() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def outbox() -> Outbox:
    return Outbox(clock)


def end(output: Any = "done") -> Finished:
    return Finished(msgspec.Raw(encode(Reply(output=output))))


async def after(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    await asyncio.sleep(seconds)
    return await work


def test_a_short_call_is_one_batch() -> None:
    async def main() -> Batch:
        box = outbox()
        asyncio.get_running_loop().call_later(0.02, box.say, Emitted("hi", "out"))
        asyncio.get_running_loop().call_later(0.03, box.say, end({"a": [1, None]}))
        batch = batch_of(await box.batch(0))
        assert clock() == 30_000_000, "nothing waits behind the end"
        return batch

    batch = virtual(main)
    assert batch.number == 1
    first, last = batch.said
    assert first == Emitted("hi", "out")
    assert reply_of(last.reply) == Reply(output={"a": [1, None]})


def test_what_is_said_is_gathered_for_a_while() -> None:
    async def main() -> list[Batch]:
        box, loop = outbox(), asyncio.get_running_loop()
        for number in range(12):
            loop.call_later(0.01 * number, box.say, Emitted(str(number), "out"))
        loop.call_later(0.5, box.say, end())
        batches: list[Batch] = []
        while not box.over:
            batches.append(batch_of(await box.batch(len(batches))))
        return batches

    batches = virtual(main)
    said = [one for batch in batches for one in batch.said]
    assert [one.text for one in said[:-1]] == [str(number) for number in range(12)]
    assert [len(batch.said) for batch in batches] == [6, 6, 1], "the end waits for nothing"


def test_a_batch_that_was_lost_on_its_way_is_told_again() -> None:
    async def main() -> None:
        box = outbox()
        box.say(Emitted("one", "out"))
        first = await box.batch(0)
        box.say(Emitted("two", "out"))
        assert await box.batch(0) == first
        both = await asyncio.gather(box.batch(1), box.batch(1))
        assert both[0] == both[1]
        assert batch_of(both[0]) == Batch(2, clock(), (Emitted("two", "out"),))
        box.say(end())
        last = await box.batch(2)
        assert await box.batch(2) == last

    virtual(main)


def test_who_has_nothing_to_say_says_so() -> None:
    async def main() -> None:
        box = outbox()
        assert batch_of(await box.batch(0)) == Batch(1, 10_000_000_000)

    virtual(main)


def test_the_age_of_a_request_can_be_told() -> None:
    async def main() -> None:
        box = outbox()
        await asyncio.sleep(3)
        box.sent(0)
        batch = batch_of(await box.batch(0))
        (sent,) = batch.said
        assert isinstance(sent, Sent)
        assert batch.now - sent.at == 50_000_000, "it waited for what else there was to say"

    virtual(main)


def test_nothing_is_said_behind_the_end() -> None:
    async def main() -> None:
        box = outbox()
        box.say(end())
        box.say(Spent(Usage(tokens_in=1)))
        assert len(batch_of(await box.batch(0)).said) == 1

    virtual(main)
