"""The enforcing server enforces what it says: the tests of limits rest on it."""

import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.agents.context import FakeContext, request
from tests.limits.client import call, post
from tests.limits.server import (
    Bound,
    Counted,
    LimitServer,
    Window,
    child,
    episodes,
    read_log,
    refusals,
    worst,
)

from hocket.agents.model import ModelAgent
from hocket.core.errors import AgentError
from hocket.core.specs import AgentSpec
from hocket.core.values import SECOND

MS = SECOND // 1_000


def model(url: str, **options: Any) -> ModelAgent:
    options = {"model": "m", "base_url": url} | options
    return ModelAgent("m", AgentSpec(kind="model", options=options), state=Path(), live={})


def log_of(*instants: int, status: int = 200) -> list[Counted]:
    return [Counted(at, "m", status) for at in instants]


def test_the_worst_window_is_half_open() -> None:
    assert worst(log_of(0, 1, 2, 10), 10) == 3, "the first is gone at 10"
    assert worst(log_of(0, 1, 2, 9), 10) == 4
    assert worst(log_of(9, 0, 5), 6) == 2, "in any order"
    assert worst([], 10) == 0
    mixed = log_of(0, 1) + log_of(2, status=429) + [Counted(3, "other", 200)]
    assert (worst(mixed, 10), worst(mixed, 10, "m"), worst(mixed, 10, refused=False)) == (4, 3, 3)


def test_the_worst_window_is_what_counting_every_window_gives() -> None:
    chance = random.Random(1)
    for _ in range(200):
        instants = sorted(chance.randrange(60) for _ in range(chance.randrange(1, 20)))
        per = chance.randrange(1, 30)
        naive = max(sum(end - per < at <= end for at in instants) for end in range(100))
        assert worst(log_of(*instants), per) == naive


def test_refusals_come_in_episodes() -> None:
    log = log_of(0, 1, 2, 50, 51, 90, status=429) + log_of(20)
    assert (refusals(log), episodes(log, 10), episodes(log, 45)) == (6, 3, 2)


def test_a_window_says_how_long_until_so_much_fits() -> None:
    window = Window(Bound(10, 100, "tokens"))
    for at, weight in ((0, 4), (20, 4), (30, 2)):
        assert window.wait(weight, at) == 0
        window.add(weight, at)
    assert window.wait(3, 40) == 60
    assert window.wait(5, 40) == 80
    assert window.wait(11, 40) == 100, "never"
    window.forget(99)
    assert window.total == 10
    window.forget(100)
    assert (window.total, window.wait(4, 100)) == (6, 0)


@pytest.mark.parametrize(("how", "told"), [("exact", "1.700001"), ("whole", "2"), ("none", None)])
def test_one_too_many_is_refused_until_the_instant_it_says(
    how: Any, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"": (Bound(3, 2 * SECOND),), "slow": (Bound(1, 2 * SECOND),)}
    server = LimitServer(bounds, retry_after=how)

    def count(model: str, at: int) -> tuple[int, dict[str, str]]:
        monkeypatch.setattr("tests.limits.server.time.monotonic_ns", lambda: at)
        return server.count(model, 0)

    first = 100 * MS + 1
    assert [count("m", first + i) for i in range(3)] == [(200, {})] * 3
    status, headers = count("m", 400 * MS)
    assert (status, headers.get("Retry-After")) == (429, told)
    assert count("slow", 400 * MS)[0] == 200, "its own window"
    assert count("slow", 400 * MS)[0] == 429
    assert count("m", first + 2 * SECOND - 1)[0] == 429
    assert count("m", first + 2 * SECOND)[0] == 200
    assert worst(server.log, 2 * SECOND, "m", refused=False) == 3
    assert worst(server.log, 2 * SECOND, "m") == 5


def test_a_burst_is_counted_late_by_at_most_the_jitter_and_the_seed_says_how() -> None:
    async def main(seed: int) -> list[float]:
        async with LimitServer({}, jitter=30 * MS, seed=seed) as server:
            server.count = lambda *_: (200, {})  # type: ignore[method-assign]
            slept: list[float] = []
            real = asyncio.sleep

            async def sleep(delay: float) -> None:
                slept.append(delay)
                await real(0)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("tests.limits.server.asyncio.sleep", sleep)
                for _ in range(20):
                    await server._judge("m", 0)
            return slept

    once, again, other = (asyncio.run(main(seed)) for seed in (1, 1, 2))
    assert once == again != other
    assert all(0 <= delay <= 0.03 for delay in once)
    assert max(once) > 0.02


def test_what_it_announces_can_be_read_and_can_be_a_lie() -> None:
    async def main() -> dict[str, str]:
        bounds = {"": (Bound(2, SECOND), Bound(50, 60 * SECOND))}
        async with LimitServer(bounds, headers=True, announced=9) as server:
            return (await post(server.address, "/call?model=m"))[1]

    headers = asyncio.run(main())
    assert headers["x-ratelimit-limit-requests"] == "9"
    assert headers["x-ratelimit-remaining-requests"] == "8"
    assert 0.9 <= float(headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_agent_can_ask_it(stream: bool) -> None:
    pytest.importorskip("pydantic_ai")
    pytest.importorskip("openai")

    async def main() -> None:
        bounds = {"m": (Bound(1, 60 * SECOND),)}
        async with LimitServer(bounds, headers=True, tokens_out=5, writing=MS) as server:
            agent = model(server.url, stream=stream)
            try:
                context = FakeContext()
                reply = await agent.call(request("x" * 400), context)
                assert reply.output == "So it is."
                assert reply.usage is not None
                assert (reply.usage.tokens_in, reply.usage.tokens_out) == (100, 5)
                assert (context.quotas[0].limit, context.quotas[0].remaining) == (1, 0)
                with pytest.raises(AgentError) as refused:
                    await agent.call(request("again"), context)
                wait = refused.value.fault.retry_after
                assert wait is not None and 50 * SECOND < wait <= 60 * SECOND
            finally:
                await agent.close()

    asyncio.run(main())


def test_plain_http_says_when_it_is_sent_and_what_a_refusal_asks_for() -> None:
    async def main() -> FakeContext:
        async with LimitServer({"": (Bound(1, 60 * SECOND),)}) as server:
            context = FakeContext()
            assert await call(server.address, "m", context) == "m"
            with pytest.raises(AgentError) as refused:
                await call(server.address, "m", context)
            wait = refused.value.fault.retry_after
            assert wait is not None and 50 * SECOND < wait <= 60 * SECOND
            return context

    context = asyncio.run(main())
    assert (len(context.sent_after), context.answers) == (2, 2)


def test_as_a_process_it_writes_what_it_counted_and_ends_with_us(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    began = time.monotonic_ns()
    rates = ("--rate", "2/60s", "--rate", "slow=1/60s", "--tokens", "slow=100/1s")
    with child(*rates, "--jitter", "5ms", "--headers", log=path) as server:

        async def main() -> list[int]:
            targets = ["/call?model=m"] * 3 + ["/call?model=slow"] * 2
            return [(await post(server.address, target))[0] for target in targets]

        assert asyncio.run(main()) == [200, 200, 429, 200, 429]
    assert server.process.returncode == 0
    log = read_log(path)
    assert [(one.model, one.status) for one in log] == [
        *(("m", status) for status in (200, 200, 429)),
        *(("slow", status) for status in (200, 429)),
    ]
    assert all(began < one.at < time.monotonic_ns() for one in log), "one clock for all processes"


def test_what_was_counted_before_it_is_killed_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with child("--rate", "2/60s", log=path) as server:
        asyncio.run(post(server.address, "/call?model=m"))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with path.open("a") as file:
        file.write('{"at": 17')
    assert [one.status for one in read_log(path)] == [200]
