"""Who is compared: each makes a limiter of so many a window, and gives how to get through it.

What it gives is awaited once for each acquisition and calls its argument the moment it is through.
All peers are set to the exact bound that a user would write; nobody is told of a safety margin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

POLL = 0.01
"""How often those look again who cannot wait by themselves, in seconds."""

Acquire = Callable[[Callable[[], None]], Awaitable[None]]


def by_hocket(amount: int, folder: Path) -> Acquire:
    from hocket import Limiter

    limiter = Limiter(f"{amount}/s", margin=0)

    async def acquire(through: Callable[[], None]) -> None:
        async with limiter():
            through()

    return acquire


def by_aiolimiter(amount: int, folder: Path) -> Acquire:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(amount, 1)

    async def acquire(through: Callable[[], None]) -> None:
        async with limiter:
            through()

    return acquire


def by_pyrate(amount: int, folder: Path) -> Acquire:
    from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate

    return _pyrate(Limiter(InMemoryBucket([Rate(amount, Duration.SECOND)])))


def by_pyrate_sqlite(amount: int, folder: Path) -> Acquire:
    from pyrate_limiter import Duration, Limiter, Rate, SQLiteBucket

    path = str(folder / f"bucket-{amount}-{len(list(folder.iterdir()))}.sqlite")
    rates = [Rate(amount, Duration.SECOND)]
    return _pyrate(Limiter(SQLiteBucket.init_from_file(rates, db_path=path)))


def _pyrate(limiter: Any) -> Acquire:
    async def acquire(through: Callable[[], None]) -> None:
        assert await limiter.try_acquire_async("k")
        through()

    return acquire


def by_limits(strategy: str) -> Callable[[int, Path], Acquire]:
    def make(amount: int, folder: Path) -> Acquire:
        from limits import RateLimitItemPerSecond
        from limits.aio import storage, strategies

        limiter = getattr(strategies, strategy)(storage.MemoryStorage())
        item = RateLimitItemPerSecond(amount)

        async def acquire(through: Callable[[], None]) -> None:
            # It cannot wait: its users look again and again.
            while not await limiter.hit(item, "k"):  # noqa: ASYNC110
                await asyncio.sleep(POLL)
            through()

        return acquire

    return make


def by_throttled(algorithm: str) -> Callable[[int, Path], Acquire]:
    def make(amount: int, folder: Path) -> Acquire:
        from throttled.asyncio import MemoryStore, Throttled, rate_limiter

        quota = rate_limiter.per_sec(amount, burst=amount)
        # By itself it keeps 1,024 keys for all; a store of its own holds nobody else's.
        limiter = Throttled(
            key="k", using=algorithm, quota=quota, store=MemoryStore(), timeout=3_600
        )

        async def acquire(through: Callable[[], None]) -> None:
            assert not (await limiter.limit()).limited
            through()

        return acquire

    return make


def by_langchain(amount: int, folder: Path) -> Acquire:
    from langchain_core.rate_limiters import InMemoryRateLimiter

    limiter = InMemoryRateLimiter(
        requests_per_second=amount, check_every_n_seconds=POLL, max_bucket_size=amount
    )

    async def acquire(through: Callable[[], None]) -> None:
        assert await limiter.aacquire()
        through()

    return acquire


class Peer(NamedTuple):
    """A contender.

    Fields:
        name: For the table.
        package: What has to be installed.
        make: Makes it.
        across: Whether, and by what, several processes can share it.
    """

    name: str
    package: str
    make: Callable[[int, Path], Acquire]
    across: str


PEERS: dict[str, Peer] = {
    "hocket": Peer("Hocket's Limiter", "hocket", by_hocket, "no; limits of runs: SQLite"),
    "aiolimiter": Peer("aiolimiter", "aiolimiter", by_aiolimiter, "no"),
    "pyrate": Peer("pyrate-limiter, memory", "pyrate-limiter", by_pyrate, "see next"),
    "pyrate-sqlite": Peer(
        "pyrate-limiter, SQLite", "pyrate-limiter", by_pyrate_sqlite, "SQLite, Redis, Postgres"
    ),
    "limits-moving": Peer(
        "limits, moving window", "limits", by_limits("MovingWindowRateLimiter"), "Redis and others"
    ),
    "limits-fixed": Peer(
        "limits, fixed window", "limits", by_limits("FixedWindowRateLimiter"), "Redis and others"
    ),
    "limits-counter": Peer(
        "limits, sliding counter",
        "limits",
        by_limits("SlidingWindowCounterRateLimiter"),
        "Redis and others",
    ),
    "throttled-bucket": Peer(
        "throttled-py, token bucket", "throttled-py", by_throttled("token_bucket"), "Redis"
    ),
    "throttled-sliding": Peer(
        "throttled-py, sliding window", "throttled-py", by_throttled("sliding_window"), "Redis"
    ),
    "throttled-gcra": Peer("throttled-py, GCRA", "throttled-py", by_throttled("gcra"), "Redis"),
    "langchain": Peer("LangChain's InMemoryRateLimiter", "langchain-core", by_langchain, "no"),
}
