"""A limit that is refused closes once, narrows to what is accepted, and widens when it is quiet."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.limits.drive import START, Job, Server, World, saturated, worst

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND
from hocket.limits.claim import Block, Claim, Ending, News, Quota
from hocket.limits.limit import Limit
from hocket.limits.pace import LimitState

ONE = Claim()


def limit(*rates: Rate, seed: int = 0, **spec: object) -> Limit:
    rest = {"margin": 0, **spec}
    return Limit("m", LimitSpec(requests=rates, **rest), seed)  # type: ignore[arg-type]


def burst(one: Limit, count: int, at: int, name: str = "a") -> list[str]:
    keys = [f"{name}{i}" for i in range(count)]
    for key in keys:
        assert one.blocked(1, ONE, at) is None
        one.take(key, 1, ONE, at)
        one.sent(key, at)
    return keys


def refuse(one: Limit, key: str, at: int, after: int | None = None) -> list[News]:
    news = one.settle(key, Ending("refused", retry_after=after, round_trip=10 * MS), at)
    one.check()
    return news


def allowed(one: Limit, at: int = 0) -> list[int]:
    return [use.allowed for use in one.used(at)]


# -- closing ----------------------------------------------------------------------------------


def test_a_refusal_closes_the_limit_for_all_and_counts_for_nothing() -> None:
    one = limit(Rate(3, MINUTE))
    burst(one, 3, 0)
    news = refuse(one, "a1", 5, 12 * SECOND)
    until = 5 + 12 * SECOND
    assert news == [News("m", "closed", "m refused a call: closed for 12.0 s", until)]
    assert one.used(6)[0].used == 2
    assert one.blocked(1, ONE, until - 1) == Block("rate:m", MINUTE), "it has narrowed, too"
    assert limit().blocked(1, ONE, 0) is None
    only = limit()
    only.take("a", 1, ONE, 0)
    refuse(only, "a", 5, 12 * SECOND)
    assert only.blocked(1, ONE, until - 1) == Block("closed:m", until)
    assert only.blocked(1, ONE, until) is None, "without a request window closing is all"


def test_refusals_of_calls_from_before_the_closing_belong_to_it() -> None:
    one = limit(Rate(10, MINUTE))
    burst(one, 10, 0)
    assert [n.what for n in refuse(one, "a9", 10, 2 * SECOND)] == ["closed"]
    assert refuse(one, "a8", 11, None) == []
    assert one.state().closed == 10 + 2 * SECOND
    assert refuse(one, "a7", 12, 3 * SECOND) == [], "as long as each says itself"
    assert one.state().closed == 12 + 3 * SECOND
    assert refuse(one, "a6", 13, SECOND) == []
    assert one.state().closed == 12 + 3 * SECOND
    assert (one.state().episode, one.state().row) == (1, 1)


def test_without_a_word_of_the_peer_the_back_off_doubles_until_somebody_is_answered() -> None:
    one = limit(seed=7)
    at, waits = 0, []
    for i in range(9):
        burst(one, 1, at, f"a{i}-")
        refuse(one, f"a{i}-0", at, None)
        waits.append(one.state().closed - at)
        at = one.state().closed
    for i, wait in enumerate(waits):
        plain = min(60, 2**i) * SECOND
        assert plain <= wait <= plain * 11 // 10
    assert len({wait % SECOND for wait in waits}) == 9, "not in a herd"
    burst(one, 2, at, "b")
    one.settle("b0", Ending("done"), at + 1)
    refuse(one, "b1", at + 2, None)
    assert one.state().closed - at - 2 < 2 * SECOND


def test_the_jitter_depends_on_name_and_seed_alone() -> None:
    def closed(name: str, seed: int) -> int:
        one = Limit(name, LimitSpec(), seed)
        one.take("a", 1, ONE, 0)
        one.settle("a", Ending("refused"), 0)
        return one.state().closed

    assert closed("m", 1) == closed("m", 1)
    assert len({closed("m", 1), closed("m", 2), closed("n", 1)}) == 3


# -- narrowing --------------------------------------------------------------------------------


def test_a_window_narrows_to_what_was_accepted() -> None:
    one = limit(Rate(10, MINUTE), Rate(500, DAY))
    keys = burst(one, 10, 0)
    for i, key in enumerate(keys[7:]):
        refuse(one, key, 10 + i, MINUTE)
        assert allowed(one) == [9 - i, 500], "the shortest window, better known with each refusal"
    after = one.state().closed
    assert one.blocked(1, ONE, after - 1) == Block("closed:m", after)
    burst(one, 7, after, "b")
    assert one.blocked(1, ONE, after) == Block("rate:m", after + MINUTE)
    news = one.settle("b0", Ending("done"), after + 1)
    told = "m narrowed to 7 requests in 1 m 00 s, 10 were announced"
    assert news == [News("m", "narrowed", told)], "told once, when the episode is over"
    assert one.settle("b1", Ending("done"), after + 2) == []


def test_one_episode_takes_no_more_than_half_and_the_next_goes_on() -> None:
    one = limit(Rate(10, MINUTE))
    for key in burst(one, 10, 0):
        refuse(one, key, 10, MINUTE)
    assert allowed(one) == [5]
    after = one.state().closed
    for key in burst(one, 5, after, "b"):
        refuse(one, key, after + 1, MINUTE)
    assert allowed(one) == [3]
    assert one.state().episode == 2


def test_a_window_never_narrows_to_nothing() -> None:
    one = limit(Rate(1, MINUTE))
    burst(one, 1, 0)
    refuse(one, "a0", 1, SECOND)
    assert allowed(one) == [1]


def test_a_refusal_that_came_late_tells_nothing_of_the_window() -> None:
    one = limit(Rate(10, SECOND))
    burst(one, 10, 0)
    refuse(one, "a9", 501 * MS, SECOND)
    assert allowed(one) == [10]
    assert one.state().closed == 1501 * MS


# -- widening ---------------------------------------------------------------------------------


def test_a_quiet_time_widens_step_by_step_up_to_what_was_announced() -> None:
    one = limit(Rate(30, 2 * SECOND))
    for key in burst(one, 30, 0):
        refuse(one, key, 0, SECOND)
    assert allowed(one) == [15]
    at, told = 0, []
    for step in range(7):
        burst(one, 1, at + 20 * SECOND - 1, f"b{step}-")
        news = one.settle(f"b{step}-0", Ending("done"), at + 20 * SECOND - 1)
        assert [n.what for n in news] == (["narrowed"] if not step else []), "not before its time"
        at += 20 * SECOND
        burst(one, 1, at, f"c{step}-")
        told += [n.message for n in one.settle(f"c{step}-0", Ending("done"), at)]
        one.check()
    rest = " requests in 2.0 s, 30 were announced"
    assert told == [
        *(f"m widened to {amount}{rest}" for amount in (18, 21, 24, 27)),
        "m widened to 30 requests in 2.0 s, as announced",
    ]
    for key in burst(one, 30, at + 10 * SECOND, "d"):
        refuse(one, key, at + 10 * SECOND, SECOND)
    assert allowed(one) == [15], "an exact count goes before what was quiet"


def test_while_calls_leave_it_goes_back_to_what_was_quiet() -> None:
    one = limit(Rate(20, 2 * SECOND), margin=100 * MS)
    for key in burst(one, 20, 0)[10:]:
        refuse(one, key, 0, SECOND)
    burst(one, 10, 20 * SECOND, "b")
    one.settle("b0", Ending("done"), 20 * SECOND)
    assert allowed(one) == [12]
    burst(one, 2, 22 * SECOND, "c")
    refuse(one, "c0", 22 * SECOND + 50 * MS, SECOND)
    assert allowed(one) == [10], "of the eleven that count here some have left the server"


def test_a_short_window_is_quiet_for_ten_seconds_before_it_widens() -> None:
    one = limit(Rate(4, 100 * MS))
    for key in burst(one, 4, 0):
        refuse(one, key, 0, MS)
    for at, amount in ((9_999 * MS, 2), (10 * SECOND, 3), (19 * SECOND, 3), (20 * SECOND, 4)):
        burst(one, 1, at, f"b{at}-")
        one.settle(f"b{at}-0", Ending("done"), at)
        assert allowed(one, at) == [amount]


@pytest.mark.parametrize("amount", [4, 10, 50, 200])
@pytest.mark.parametrize("retry", ["exact", "whole", "none"])
@pytest.mark.parametrize("way", [0, 30 * MS])
def test_half_of_what_was_announced_is_found_and_used(amount: int, retry: str, way: int) -> None:
    per, windows = 2 * SECOND, 30
    one = Limit("m", LimitSpec(requests=(Rate(amount, per),)))
    grain = SECOND if retry == "whole" else 1
    server = Server(amount // 2, per, retry != "none", grain)
    world = saturated(one, server, windows, random.Random(amount), way)
    one.check()
    used = sum(at > START + per for at in server.accepted)
    assert used >= 0.95 * server.amount * (windows - 1)
    begun = [at for at, item in world.news if item.what == "closed"]
    assert 2 <= len(begun) <= 3
    assert all(later - sooner >= 10 * per for sooner, later in pairwise(begun))


def test_even_arrivals_find_the_half_as_well() -> None:
    per, windows = 2 * SECOND, 20
    one = Limit("m", LimitSpec(requests=(Rate(20, per),)))
    server = Server(10, per)
    rng = random.Random(5)
    jobs = [
        Job(f"a{i}", START + i * per // 20, way=rng.randrange(20 * MS), takes=20 * MS)
        for i in range(20 * windows)
    ]
    world = World(one, jobs, server)
    world.run(START + windows * per)
    used = sum(at > START + per for at in server.accepted)
    assert used >= 0.95 * 10 * (windows - 1)
    begun = [at for at, item in world.news if item.what == "closed"]
    assert all(later - sooner >= 10 * per for sooner, later in pairwise(begun))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**32), st.booleans())
def test_a_server_that_keeps_its_word_refuses_nothing(
    amount: int, seed: int, answers: bool
) -> None:
    per, windows, rng = 2 * SECOND, 10, random.Random(seed)
    one = Limit("m", LimitSpec(requests=(Rate(amount, per),)))
    server = Server(amount, per)
    saturated(one, server, windows, rng, 30 * MS, heads=rng.randrange(300) * MS)
    assert server.refused == []
    assert worst(((at, 1) for at in server.accepted), per) == amount


# -- headers ----------------------------------------------------------------------------------


def test_a_stated_amount_narrows_the_window_that_it_means() -> None:
    one = limit(Rate(60, MINUTE), Rate(500, DAY))
    day = Quota(kind="requests", limit=500, remaining=499, reset=3 * MINUTE)
    assert one.quota([day], 0) == []
    assert [n.message for n in one.quota([Quota(kind="requests", limit=40)], 1)] == [
        "m narrowed to 40 requests in 1 m 00 s, 60 were announced"
    ]
    assert allowed(one) == [40, 500]
    assert one.quota([Quota(kind="requests", limit=40)], 2) == []
    assert one.quota([Quota(kind="tokens", limit=1)], 2) == []
    slow = Quota(kind="requests", limit=300, reset=HOUR)
    assert [n.what for n in one.quota([slow], 3)] == ["narrowed"]
    assert allowed(one) == [40, 300]
    assert [n.what for n in one.quota([Quota(kind="requests", limit=90)], 4)] == ["widened"]
    assert allowed(one) == [60, 300]
    # What is stated does not wear off.
    burst(one, 1, 20 * DAY)
    one.settle("a0", Ending("done"), 20 * DAY)
    assert allowed(one) == [60, 300]


def test_what_others_used_counts_until_the_reset_or_until_better_news() -> None:
    one = limit(Rate(10, MINUTE))
    burst(one, 2, 0)
    one.quota([Quota(kind="requests", remaining=3, reset=20 * SECOND)], SECOND)
    one.check()
    assert one.used(SECOND)[0].used == 7, "two are ours, five must be others'"
    burst(one, 3, 2 * SECOND, "b")
    block = one.blocked(1, ONE, 2 * SECOND)
    assert block == Block("rate:m", 21 * SECOND)
    assert one.fork().blocked(1, ONE, 21 * SECOND) is None
    one.quota([Quota(kind="requests", remaining=4, reset=20 * SECOND)], 3 * SECOND)
    one.check()
    assert one.used(3 * SECOND)[0].used == 6
    one.quota([Quota(kind="requests", remaining=9, reset=20 * SECOND)], 4 * SECOND)
    one.check()
    assert one.used(4 * SECOND)[0].used == 5, "we know of more than they do"
    one.quota([Quota(kind="requests", remaining=0, reset=DAY)], 5 * SECOND)
    assert one.used(5 * SECOND)[0].used == 10
    one.check()
    assert one.used(65 * SECOND)[0].used == 0, "no longer than a window"


def test_tokens_have_headers_as_well() -> None:
    spec = LimitSpec(tokens_in=(Rate(100, MINUTE),), tokens_out=(Rate(50, MINUTE),), margin=0)
    one = Limit("m", spec)
    news = one.quota(
        [Quota(kind="tokens_in", limit=80, remaining=80), Quota(kind="tokens_out", remaining=5)], 0
    )
    assert [n.message for n in news] == [
        "m narrowed to 80 tokens read in 1 m 00 s, 100 were announced"
    ]
    assert [(u.used, u.allowed) for u in one.used(0)] == [(0, 80), (45, 50)]


# -- other processes --------------------------------------------------------------------------


def test_what_one_process_learns_another_adopts() -> None:
    one, two = limit(Rate(10, MINUTE)), limit(Rate(10, MINUTE))
    for key in burst(one, 10, 0)[6:]:
        refuse(one, key, 10, 2 * SECOND)
    burst(two, 2, 0)
    state = msgspec.json.decode(msgspec.json.encode(one.state()), type=LimitState)
    two.adopt(state)
    two.check()
    assert two.state() == one.state()
    assert allowed(two) == [6]
    assert two.blocked(1, ONE, 20) == Block("closed:m", 10 + 2 * SECOND)
    assert refuse(two, "a0", 30, None) == [], "taken before the closing, whoever closed it"
    version = two.state().version
    two.adopt(state)
    assert two.state().version == version > state.version, "what is older is ignored"
    one.adopt(two.state())
    assert one.state() == two.state()


def test_nobody_opens_early_what_another_has_closed() -> None:
    one, two = limit(), limit()
    for who, after, times in ((one, HOUR, 1), (two, SECOND, 2)):
        for i in range(times):
            at = i * MINUTE
            who.take(f"a{i}", 1, ONE, at)
            refuse(who, f"a{i}", at, after)
    assert one.state().version < two.state().version
    one.adopt(two.state())
    assert one.state().closed == HOUR
    two.adopt(one.state())
    assert two.state().closed == HOUR
    assert one.state() == two.state()
