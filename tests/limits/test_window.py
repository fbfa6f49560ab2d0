"""Windows are exact: never over their amount as the server counts, and never idle."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.limits.drive import PATTERNS, START, Job, JudgedWorld, World, arrivals, bounds, worst

from hocket.core.specs import LimitSpec, OnExceed, Rate
from hocket.core.values import HOUR, MS, SECOND
from hocket.limits.claim import Claim, Ending, Quota, Spent
from hocket.limits.limit import Limit
from hocket.limits.window import GONE, MARGIN, Held, Window, clear_at, windows_of

KINDS = ("requests", "tokens", "tokens_in", "tokens_out", "cost", "spacing", "slots", "mixed")


def spec_of(kind: str, rng: random.Random, margin: int | None, exceed: OnExceed) -> LimitSpec:
    per = rng.choice((SECOND, 2 * SECOND, 10 * SECOND))
    amount = rng.randrange(1, 9)
    weight = rng.randrange(30, 300)
    if kind == "spacing":
        return LimitSpec(spacing=per // 8, margin=margin)
    if kind == "slots":
        return LimitSpec(concurrency=amount, margin=margin)
    if kind == "mixed":
        return LimitSpec(
            requests=(Rate(amount, per), Rate(amount * 2, per * 4)),
            tokens=(Rate(weight, per),),
            tokens_out=(Rate(weight, 3 * per),),
            spacing=rng.choice((0, 50 * MS)),
            concurrency=rng.choice((None, 3)),
            margin=margin,
        )
    if kind == "requests":
        return LimitSpec(requests=(Rate(amount, per),), margin=margin)
    return LimitSpec(**{kind: (Rate(weight, per),)}, margin=margin, on_exceed=exceed)


def jobs_of(spec: LimitSpec, pattern: str, rng: random.Random, way: int) -> list[Job]:
    per = max((rate.per for _, rate in bounds(spec)), default=SECOND)
    jobs = []
    for i, at in enumerate(arrivals(pattern, rng.randrange(2, 25), per, rng)):
        read, written, cost = (rng.randrange(1, 31) for _ in range(3))
        spent = Spent(rng.randrange(read + 1), rng.randrange(written + 1), rng.randrange(cost + 1))
        jobs.append(
            Job(
                f"r/s#{i}",
                at,
                Claim((), read // 2, written // 2, (read + written) // 2, cost),
                units=rng.choice((1, 1, 2)) if (spec.concurrency or 0) > 1 else 1,
                spent=rng.choice((None, Spent(read // 4, written // 4, cost // 2), spent)),
                commit=rng.choice((0, 0, 3 * MS, 40 * MS)),
                way=rng.randrange(way + 1),
                takes=rng.choice((0, 7 * MS, SECOND, 5 * SECOND)),
                leaves=rng.random() > 0.1,
                kind=rng.choice(("done", "done", "other")),
                tells_trip=rng.random() > 0.2,
            )
        )
    return jobs


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=1_000, deadline=None)
@given(st.sampled_from(PATTERNS), st.integers(0, 2**32), st.sampled_from((0, 0, 30, 250)))
def test_each_decision_is_the_models_and_each_promise_exact(
    kind: str, pattern: str, seed: int, margin: int
) -> None:
    rng = random.Random(seed)
    exceed: OnExceed = rng.choice(("wait", "pause"))
    spec = spec_of(kind, rng, margin * MS, exceed)
    world = JudgedWorld(Limit("m", spec), jobs_of(spec, pattern, rng, margin * MS))
    world.run()
    assert all(job.over is not None for job in world.jobs) and not world.queue
    world.limit.check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "slots"])
@pytest.mark.parametrize("margin", [None, 120 * MS])
@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PATTERNS), st.integers(0, 2**32))
def test_no_window_of_the_server_is_ever_above_the_amount(
    kind: str, margin: int | None, pattern: str, seed: int
) -> None:
    rng = random.Random(seed)
    spec = spec_of(kind, rng, margin, "pause")
    way = margin or rng.choice((5 * MS, 30 * MS, MARGIN))
    jobs = jobs_of(spec, pattern, rng, way)
    for job in jobs:
        # What is spent is no more than was reserved, and known.
        claim = job.claim
        read = rng.randrange(claim.tokens_in + 1)
        written = rng.randrange(claim.tokens_out + 1)
        job.spent = Spent(read, written, rng.randrange(claim.most_cost + 1))
    world = World(Limit("m", spec), jobs)
    world.run()
    assert all(job.over is not None for job in jobs)
    for name, rate in bounds(spec):
        stamps = [(j.counted, amount(name, j)) for j in jobs if j.counted is not None]
        assert worst(stamps, rate.per) <= rate.amount


def amount(kind: str, job: Job) -> int:
    assert job.spent is not None
    spent = job.spent
    read, written = spent.tokens_in or 0, spent.tokens_out or 0
    of = {"tokens": read + written, "tokens_in": read, "tokens_out": written}
    return of.get(kind, (spent.cost or 0) if kind == "cost" else 1)


@pytest.mark.parametrize("pattern", ["burst", "boundary", "trickle"])
def test_the_patterns_that_break_other_limiters(pattern: str) -> None:
    rng = random.Random(1)
    limit = Limit("m", LimitSpec(requests=(Rate(50, SECOND),), margin=0))
    jobs = [
        Job(f"r/s#{i}", at, takes=MS) for i, at in enumerate(arrivals(pattern, 250, SECOND, rng))
    ]
    JudgedWorld(limit, jobs).run()
    stamps = [(job.counted or 0, 1) for job in jobs]
    assert worst(stamps, SECOND) == 50
    # 250 calls are five full windows, and nothing idles in between.
    if pattern == "burst":
        assert max(stamps)[0] == START + 4 * SECOND


def window(amount: int = 3, per: int = SECOND, kind: str = "requests") -> Window:
    return Window("m", 0, kind, Rate(amount, per), False)


def test_a_call_counts_until_its_window_is_over_and_not_at_that_instant() -> None:
    limit = Limit("m", LimitSpec(requests=(Rate(1, SECOND),), margin=10))
    limit.take("a", 1, Claim(), 0)
    block = limit.blocked(1, Claim(), 5)
    assert block is not None and block.until is None, "nobody knows when it will be sent"
    limit.sent("a", 100)
    block = limit.blocked(1, Claim(), 100)
    assert block is not None
    assert block.until == 100 + 10 + SECOND
    assert limit.fork().blocked(1, Claim(), block.until - 1) is not None
    assert limit.blocked(1, Claim(), block.until) is None


@pytest.mark.parametrize(
    ("margin", "kind", "trip", "after", "clear"),
    [
        (7, "done", 99, 100, 7),
        (None, "done", 40 * MS, SECOND, 41 * MS),
        (None, "other", 40 * MS, SECOND, 41 * MS),
        (None, "done", 10 * SECOND, 10 * SECOND, MARGIN),
        (None, "done", None, 20 * MS, 20 * MS),
        (None, "refused", None, 20 * MS, 20 * MS),
        (None, "down", None, 20 * MS, MARGIN),
        (None, "other", None, 20 * MS, MARGIN),
    ],
)
def test_what_an_ending_proves_of_the_way(
    margin: int | None, kind: str, trip: int | None, after: int, clear: int
) -> None:
    ending = Ending(kind, round_trip=trip)  # type: ignore[arg-type]
    assert clear_at(START, margin, ending, START + after) == START + clear


def test_a_fast_call_does_not_shorten_the_margin_of_one_that_is_still_on_its_way() -> None:
    limit = Limit("m", LimitSpec(requests=(Rate(40, SECOND),)))
    limit.take("slow", 1, Claim(), START)
    limit.sent("slow", START)
    for i in range(39):
        limit.take(f"fast#{i}", 1, Claim(), START)
        limit.sent(f"fast#{i}", START)
        limit.settle(f"fast#{i}", Ending("done", round_trip=4 * MS), START + 4 * MS)
    block = limit.blocked(1, Claim(), START + 10 * MS)
    assert block is not None and block.until == START + SECOND + MARGIN
    # Its own answer proves more.
    limit.settle("slow", Ending("done", round_trip=80 * MS), START + 80 * MS)
    block = limit.blocked(1, Claim(), START + 90 * MS)
    assert block is not None and block.until == START + SECOND + 81 * MS


def test_the_next_fit_is_looked_up_once_until_something_changes() -> None:
    one = window(amount=100, kind="tokens")
    looks = 0

    class Log(list[Held]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal looks
            looks += 1
            return super().__iter__()

    one.log = Log(  # type: ignore[assignment]
        Held(f"k{i}", 1, Claim(), [10], i, i, logs=1) for i in range(10)
    )
    one.total = 100
    assert [one.until(25) for _ in range(50)] == [2 + SECOND] * 50
    assert looks == 1
    assert one.until(10) == SECOND
    assert looks == 2
    one.changed()
    assert one.until(25) == 2 + SECOND
    assert looks == 3


def test_an_estimate_larger_than_the_window_runs_alone() -> None:
    limit = Limit("m", LimitSpec(tokens=(Rate(100, SECOND),), margin=0))
    large, small = Claim(tokens_in=5_000), Claim(tokens_in=1)
    limit.take("s", 1, small, 0)
    limit.sent("s", 0)
    block = limit.blocked(1, large, 1)
    assert block is not None and block.until == SECOND and not block.hopeless
    assert limit.blocked(1, large, SECOND) is None
    limit.take("l", 1, large, SECOND)
    limit.sent("l", SECOND)
    limit.settle("l", Ending("done", Spent(5_000, 20)), SECOND + 5)
    assert limit.used(SECOND + 5)[0].used == 5_020, "settled at the instant of its sending"
    block = limit.blocked(1, small, SECOND + 5)
    assert block is not None and block.until == 2 * SECOND
    limit.check()


def test_usage_counts_from_the_sending_and_not_after_it_has_left_the_window() -> None:
    limit = Limit("m", LimitSpec(tokens=(Rate(100, SECOND), Rate(1000, HOUR)), margin=0))
    limit.take("a", 1, Claim(tokens_in=0), 0)
    limit.sent("a", 0)
    assert limit.blocked(1, Claim(tokens_in=100), 3 * SECOND) is None
    limit.settle("a", Ending("done", Spent(70, 20)), 3 * SECOND)
    limit.check()
    assert [use.used for use in limit.used(3 * SECOND)] == [0, 90]
    assert limit.blocked(1, Claim(tokens_in=100), 3 * SECOND) is None


def test_a_window_copies_what_it_is() -> None:
    limit = Limit("m", LimitSpec(requests=(Rate(2, SECOND),), margin=0))
    limit.take("a", 1, Claim(), 0)
    limit.sent("a", 0)
    limit.quota([Quota(kind="requests", remaining=0, reset=SECOND // 2)], 1)
    other = limit.fork()
    assert other.blocked(1, Claim(), SECOND // 2 + 1) is None
    other.settle("a", Ending("done"), SECOND)
    other.check()
    assert limit.used(2)[0].used == 2
    limit.check()


def test_a_window_has_let_go_of_what_counts_no_more() -> None:
    one = window()
    held = Held("k", 1, Claim(), [1], 0, 0, logs=1)
    one.enter(held)
    one.total = one.open = 1
    assert one.expire(SECOND - 1) == []
    assert one.expire(SECOND) == [held]
    assert held.amounts == [GONE] and (one.total, one.open) == (0, 0)


def test_a_spec_gives_its_windows_in_order() -> None:
    spec = LimitSpec(
        requests=(Rate(9, SECOND), Rate(500, HOUR)), cost=(Rate(5, 0),), spacing=3, on_exceed="fail"
    )
    found = [(w.index, w.kind, w.amount, w.per, w.cause) for w in windows_of("m", spec)]
    assert found == [
        (0, "requests", 9, SECOND, "rate:m"),
        (1, "requests", 500, HOUR, "rate:m"),
        (2, "cost", 5, 0, "budget:m"),
        (3, "spacing", 1, 3, "spacing:m"),
    ]
