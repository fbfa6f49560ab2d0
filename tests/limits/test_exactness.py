"""Never above the bound, never idle: judged by a server and a schedule that share no code with us.

A pattern is a list of calls: when each comes, what it takes, how long its request is on its way,
how long it stays and how it leaves.
Virtual time goes in ticks of 1/512 s, which floating point and whole nanoseconds both hold exactly.
"""

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hocket.core.specs import Rate
from hocket.core.values import SECOND
from hocket.engine.limiter import Limiter
from hocket.simulator.loop import run_virtual

TICK: Final = SECOND // 512
UNKNOWN: Final = 128
"""The ticks of the margin if nobody states one: 250 ms."""
MS: Final = SECOND // 1_000
PATTERNS: Final = 1_000


@dataclass(frozen=True)
class Call:
    """One call of a pattern; times in ticks.

    Fields:
        gap: How long after the one before it comes.
        tokens: How many it says that it takes.
        used: How many the server counts, if its tokens count at all.
        way: How long its request is on its way.
        takes: How long after its start it leaves.
        how: Whether it is ``answered``, ``leaves`` without a word, or ``fails``.
    """

    gap: int
    tokens: int
    used: int
    way: int
    takes: int
    how: str


@dataclass(frozen=True)
class Case:
    """A limiter and the calls that come to it; times in ticks.

    Fields:
        calls: In the order in which they come.
        margin: What is stated, or None.
        requests: (amount, ticks) of each window.
        tokens: The same.
        spacing: The ticks between two starts.
        slots: How many at once.
    """

    calls: Sequence[Call]
    margin: int | None
    requests: Sequence[tuple[int, int]] = ()
    tokens: Sequence[tuple[int, int]] = ()
    spacing: int = 0
    slots: int | None = None

    def limiter(self) -> Limiter:
        return Limiter(
            [Rate(amount, per * TICK) for amount, per in self.requests],
            tokens=[Rate(amount, per * TICK) for amount, per in self.tokens],
            spacing=self.spacing / 512 if self.spacing else None,
            concurrency=self.slots,
            margin=None if self.margin is None else self.margin / 512,
        )

    def windows(self) -> list[tuple[str, int, int]]:
        found = [("requests", amount, per) for amount, per in self.requests]
        found += [("tokens", amount, per) for amount, per in self.tokens]
        return found + ([("requests", 1, self.spacing)] if self.spacing else [])


@dataclass
class Seen:
    """What became of a pattern; all instants in ticks."""

    counted: list[tuple[int, int]] = field(default_factory=list)
    """(instant, tokens) as the server counted them."""
    started: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)


# ---- a run ----


def ticks() -> int:
    instant = asyncio.get_running_loop().time() * 512
    assert instant == int(instant)
    return int(instant)


async def live(case: Case, seen: Seen) -> None:
    """Let the calls come as they should, in virtual time."""
    limiter = case.limiter()
    loop = asyncio.get_running_loop()

    async def one(number: int, call: Call) -> None:
        claim = {"tokens": call.tokens} if case.tokens else {}
        async with limiter(**claim) as permit:
            seen.started[number] = ticks()
            # The request is under way and will be counted, whatever becomes of its sender.
            loop.call_later(call.way / 512, lambda: seen.counted.append((ticks(), call.used)))
            await asyncio.sleep(call.takes / 512)
            seen.ended[number] = ticks()
            if call.how == "answered":
                permit.spent(tokens=call.used)
            elif call.how == "fails":
                raise ConnectionError

    tasks = []
    for number, call in enumerate(case.calls):
        await asyncio.sleep(call.gap / 512)
        tasks.append(asyncio.create_task(one(number, call)))
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(1)
    limiter.close()


# ---- the server ----


def worst(counted: Sequence[tuple[int, int]], per: int, tokens: bool) -> int:
    """Give the most that the server has counted in any stretch (t, t + per]."""
    return max(
        sum(used if tokens else 1 for at, used in counted if end - per < at <= end)
        for end, _ in counted
    )


def judge(case: Case, seen: Seen) -> None:
    for kind, amount, per in case.windows():
        assert worst(seen.counted, per, kind == "tokens") <= amount, (kind, amount, per)
    if case.slots is not None:
        for number, at in seen.started.items():
            others = [n for n, begun in seen.started.items() if n < number and begun <= at]
            assert sum(seen.ended[n] > at for n in others) < case.slots


# ---- the schedule that never idles ----


def ideal(case: Case) -> dict[int, int]:
    """Give the earliest instants at which the calls can start, each after those before it.

    What was sent at s counts in a window until s + margin + per, by what it said that it takes
    until it ends, and by what it has used from then on.
    """
    assert case.margin is not None
    starts: list[int] = []
    ends: list[int] = []
    come = 0
    for call in case.calls:
        come += call.gap
        first = max([come, *starts[-1:]])
        instants = [first, *ends]
        instants += [s + case.margin + per for s in starts for _, _, per in case.windows()]
        at = min(t for t in instants if t >= first and fits(case, call, t, starts, ends))
        starts.append(at)
        ends.append(at + call.takes)
    return dict(enumerate(starts))


def fits(case: Case, call: Call, at: int, starts: Sequence[int], ends: Sequence[int]) -> bool:
    assert case.margin is not None
    if case.slots is not None and sum(end > at for end in ends) >= case.slots:
        return False
    for kind, amount, per in case.windows():
        total = weight(call, kind, amount, over=False)
        for before, begun, end in zip(case.calls, starts, ends, strict=False):
            if begun + case.margin + per > at:
                total += weight(before, kind, amount, over=end <= at)
        if total > amount:
            return False
    return True


def weight(call: Call, kind: str, amount: int, over: bool) -> int:
    if kind == "requests":
        return 1
    return call.used if over and call.how == "answered" else min(call.tokens, amount)


# ---- patterns ----

amounts = st.tuples(st.integers(1, 4), st.sampled_from([1, 7, 64, 200]))
KINDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "requests": st.fixed_dictionaries({"requests": st.tuples(amounts)}),
    "tokens": st.fixed_dictionaries(
        {"tokens": st.tuples(st.tuples(st.integers(4, 12), st.sampled_from([1, 7, 64, 200])))}
    ),
    "spacing": st.fixed_dictionaries({"spacing": st.sampled_from([1, 7, 64, 200])}),
    "concurrency": st.fixed_dictionaries({"slots": st.integers(1, 3)}),
    "several": st.fixed_dictionaries(
        {
            "requests": st.tuples(
                st.tuples(st.integers(1, 3), st.just(16)), st.tuples(st.integers(2, 6), st.just(99))
            ),
            "tokens": st.tuples(st.tuples(st.integers(4, 12), st.just(64))),
            "spacing": st.sampled_from([0, 5]),
            "slots": st.integers(1, 4),
        }
    ),
}


@st.composite
def cases(draw: st.DrawFn, kind: str) -> Case:
    bounds = draw(KINDS[kind])
    margin = draw(st.sampled_from([0, 0, 0, 16, UNKNOWN, None]))
    longest = UNKNOWN if margin is None else margin
    most = min((amount for amount, _ in bounds.get("tokens", ())), default=0)
    # One number for a call: drawing is what takes the time.
    numbers = draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12))
    return Case([call_of(number, longest, most) for number in numbers], margin, **bounds)


def call_of(number: int, longest: int, most: int) -> Call:
    """Read a call from the digits of a number; 0 is the simplest."""
    number, gap = divmod(number, 8)
    number, tokens = divmod(number, 16)
    number, used = divmod(number, 16)
    number, way = divmod(number, 256)
    number, takes = divmod(number, 64)
    way %= longest + 1
    how = ("answered", "leaves", "fails")[number % 3]
    # Nobody is answered before it was counted.
    takes = max(takes, way) if how == "answered" else takes
    tokens += 1
    gaps = (0, 0, 0, 1, 5, 16, 63, 200)
    return Call(gaps[gap], tokens, used % (min(tokens, most) + 1), way, takes, how)


@pytest.mark.parametrize("kind", KINDS)
def test_in_virtual_time_no_window_is_ever_exceeded_and_no_instant_wasted(kind: str) -> None:
    exact = 0

    @settings(
        max_examples=PATTERNS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(cases(kind))
    def check(case: Case) -> None:
        nonlocal exact
        seen = Seen()
        run_virtual(live(case, seen), shuffle=False)
        assert len(seen.counted) == len(seen.started) == len(case.calls)
        judge(case, seen)
        if case.margin is not None:
            assert seen.started == ideal(case)
            exact += 1

    check()
    assert exact >= PATTERNS // 3


def test_the_judges_see_what_is_wrong() -> None:
    """A limiter that lets in one too many, and one that idles, would not pass."""
    calls = [Call(0, 1, 0, 0, 0, "leaves")] * 3
    strict, loose = Case(calls, 0, requests=[(2, 64)]), Case(calls, 0, requests=[(3, 64)])
    seen = Seen()
    run_virtual(live(loose, seen), shuffle=False)
    with pytest.raises(AssertionError, match="requests"):
        judge(strict, seen)
    seen = Seen()
    run_virtual(live(strict, seen), shuffle=False)
    judge(strict, seen)
    assert seen.started == ideal(strict) != ideal(loose)
    assert worst([(0, 5), (64, 7)], 64, tokens=True) == 7, "the first is gone at 64"
    assert worst([(0, 5), (63, 7)], 64, tokens=True) == 12


# ---- the real clock ----


class Receiver(asyncio.DatagramProtocol):
    """Counts what comes, each after a while of its own, and answers then."""

    def __init__(self, jitter: random.Random) -> None:
        self.counted: list[tuple[int, int]] = []
        self._jitter = jitter
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._jitter.random() * 0.03, self._count, data, sender)

    def _count(self, data: bytes, sender: Any) -> None:
        self.counted.append((time.monotonic_ns(), int(data)))
        self._transport.sendto(b"counted", sender)


async def really(seed: int) -> tuple[list[tuple[int, int]], int, int]:
    """Live through a pattern; gives what was counted, the bound and its nanoseconds."""
    draw = random.Random(seed)
    amount, per = draw.randint(2, 5), draw.randint(50, 200) * MS
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(
        lambda: Receiver(draw), local_addr=("127.0.0.1", 0)
    )
    limiter = Limiter(Rate(amount, per))
    late = 0.0

    async def one(waits: float, asks: bool) -> None:
        nonlocal late
        await asyncio.sleep(waits)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            await loop.sock_connect(client, transport.get_extra_info("sockname"))
            async with limiter() as permit:
                begun = time.monotonic()
                await loop.sock_sendall(client, b"1")
                late = max(late, time.monotonic() - begun)
                if asks:
                    await loop.sock_recv(client, 16)
                    permit.spent()
            if not asks:
                await loop.sock_recv(client, 16)
                late = max(late, time.monotonic() - begun)

    pattern = draw.choice(["burst", "trickle", "any"])
    calls = []
    for i in range(4 * amount):
        spread = {"burst": 0.0, "trickle": 0.9 * per / SECOND * (i > 0), "any": draw.random() / 2}
        # One in eight leaves before its answer, and so may be on its way for the whole margin.
        calls.append(one(spread[pattern], draw.random() > 0.125))
    await asyncio.gather(*calls)
    transport.close()
    if late > 0.25:
        # The machine stood still for longer than the margin: nothing was promised for that.
        return await really(seed)
    assert len(receiver.counted) == 4 * amount
    return receiver.counted, amount, per


def test_by_the_real_clock_no_window_is_exceeded_at_the_receiver() -> None:
    async def all_of_them() -> list[tuple[list[tuple[int, int]], int, int]]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*(really(seed) for seed in range(20)))

    for counted, amount, per in asyncio.run(all_of_them()):
        assert worst(counted, per, tokens=False) <= amount
