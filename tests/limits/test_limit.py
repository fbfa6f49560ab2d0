"""A limit as a whole: why a claim does not fit, budgets, slots, other processes, copies."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.errors import EngineBug
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND
from hocket.limits.claim import Block, Claim, Ending, Entry, Quota, Spent
from hocket.limits.limit import Limit, Use
from hocket.limits.pace import LimitState

ONE = Claim()
DONE = Ending("done")
DOLLAR = 10**12


def limit(**spec: Any) -> Limit:
    return Limit("m", LimitSpec(margin=0, **spec))


def go(one: Limit, key: str, at: int, claim: Claim = ONE, units: int = 1) -> None:
    """Take and send at once, if it fits."""
    assert one.blocked(units, claim, at) is None
    one.take(key, units, claim, at)
    one.sent(key, at)
    one.check()


# -- causes -----------------------------------------------------------------------------------


def test_each_bound_names_its_cause() -> None:
    requests, spaced = limit(requests=(Rate(1, SECOND),)), limit(spacing=SECOND)
    slots, tokens = limit(concurrency=1), limit(tokens_out=(Rate(5, SECOND),))
    claim = Claim(tokens_out=4, most_tokens=9)
    budget = limit(tokens=(Rate(9, 0),), on_exceed="pause")
    for one in (requests, spaced, slots, tokens, budget):
        go(one, "a", 0, claim)
    assert requests.blocked(1, claim, 1) == Block("rate:m", SECOND)
    assert spaced.blocked(1, claim, 1) == Block("spacing:m", SECOND)
    assert slots.blocked(1, claim, 1) == Block("slot:m")
    assert tokens.blocked(1, claim, 1) == Block("rate:m", SECOND)
    assert budget.blocked(1, claim, 1) == Block("budget:m")


def test_of_several_bounds_the_one_that_holds_longest_is_named() -> None:
    one = limit(requests=(Rate(1, SECOND),), spacing=MINUTE, concurrency=2)
    go(one, "a", 0)
    assert one.blocked(1, ONE, 1) == Block("spacing:m", MINUTE)
    assert one.blocked(2, ONE, 1) == Block("slot:m"), "nobody knows when a call will end"
    assert one.blocked(3, ONE, 1) == Block("slot:m", None, hopeless=True)
    one.settle("a", DONE, 5)
    assert one.blocked(2, ONE, 6) == Block("spacing:m", MINUTE)
    assert one.blocked(2, ONE, MINUTE) is None


def test_a_claim_of_many_units_counts_one_start_and_many_slots() -> None:
    one = limit(requests=(Rate(2, SECOND),), concurrency=8)
    go(one, "a", 0, units=5)
    assert one.blocked(4, ONE, 0) == Block("slot:m")
    go(one, "b", 0, units=3)
    assert one.used(0) == [
        Use("requests", 2, 2, 2, SECOND, SECOND),
        Use("concurrency", 8, 8, 8, 0),
    ]
    one.settle("a", DONE, 1)
    assert one.used(1)[1].used == 3


def test_what_never_left_has_never_been() -> None:
    one = limit(requests=(Rate(1, SECOND),), tokens=(Rate(9, MINUTE),), concurrency=1)
    one.take("a", 1, Claim(tokens_in=9), 0)
    assert one.blocked(1, ONE, 0) is not None
    one.release("a")
    one.check()
    assert one.entries(0) == []
    assert one.blocked(1, Claim(tokens_in=9), 0) is None


def test_what_was_given_back_holds_nobody_up() -> None:
    one = Limit("m", LimitSpec(requests=(Rate(2, SECOND),)))
    go(one, "a", 0)
    go(one, "b", 0)
    one.settle("b", Ending("done", round_trip=8 * MS), 8 * MS)
    assert one.blocked(1, ONE, 9 * MS) == Block("rate:m", SECOND + 250 * MS)
    one.release("a")
    go(one, "c", 10 * MS)
    assert one.blocked(1, ONE, 20 * MS) == Block("rate:m", SECOND + 9 * MS)


def test_a_call_that_was_sent_again_counts_from_the_later_instant() -> None:
    one = limit(requests=(Rate(2, SECOND),))
    go(one, "a", 0)
    go(one, "b", 10)
    one.sent("a", 50)
    one.check()
    assert one.blocked(1, ONE, 60) == Block("rate:m", SECOND + 10)
    go(one, "c", SECOND + 10)
    assert one.blocked(1, ONE, SECOND + 20) == Block("rate:m", SECOND + 50)


def test_a_call_that_ends_without_having_been_sent_counts_from_its_end() -> None:
    one = limit(requests=(Rate(1, SECOND),))
    one.take("a", 1, ONE, 0)
    one.settle("a", Ending("other"), 70)
    assert one.blocked(1, ONE, 70) == Block("rate:m", SECOND + 70)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one: one.take("a", 1, ONE, 1),
        lambda one: one.sent("b", 1),
        lambda one: one.settle("b", DONE, 1),
        lambda one: one.release("b"),
        lambda one: (one.settle("a", DONE, 1), one.settle("a", DONE, 1)),
        lambda one: one.sync(Entry("m", "c", 1, ONE, None, over=True)),
    ],
)
def test_what_makes_no_sense_is_a_bug(wrong: Callable[[Limit], object]) -> None:
    one = limit(requests=(Rate(9, SECOND),))
    one.take("a", 1, ONE, 0)
    one.sent("a", 0)
    with pytest.raises(EngineBug):
        wrong(one)


# -- budgets ----------------------------------------------------------------------------------


def test_a_budget_reserves_the_most_and_is_hopeless_when_no_refund_can_help() -> None:
    one = limit(cost=(Rate(DOLLAR, 0),), on_exceed="pause")
    dear = Claim(most_cost=DOLLAR * 4 // 10)
    go(one, "a", 0, dear)
    go(one, "b", 0, dear)
    assert one.blocked(1, dear, 1) == Block("budget:m"), "one of them may spend less"
    assert one.blocked(1, Claim(most_cost=DOLLAR + 1), 1) == Block("budget:m", None, True)
    one.settle("a", Ending("done", Spent(cost=DOLLAR * 3 // 10)), 2)
    assert one.blocked(1, dear, 3) == Block("budget:m")
    one.settle("b", Ending("other"), 4)
    assert one.blocked(1, dear, 5) == Block("budget:m", None, True), "unknown counts as the most"
    go(one, "c", 6, Claim(most_cost=DOLLAR * 3 // 10))
    assert one.used(6)[0].used == DOLLAR


def test_a_budget_for_a_day_says_when_it_fits_again_and_that_nobody_can_hurry_it() -> None:
    one = limit(cost=(Rate(100, DAY),), on_exceed="fail")
    go(one, "a", 0, Claim(most_cost=60))
    assert one.blocked(1, Claim(most_cost=50), 1) == Block("budget:m", DAY)
    one.settle("a", Ending("done", Spent(cost=60)), HOUR)
    assert one.blocked(1, Claim(most_cost=50), HOUR) == Block("budget:m", DAY, True)
    assert one.blocked(1, Claim(most_cost=50), DAY) is None


def test_a_token_budget_takes_the_most_and_a_token_rate_the_estimate() -> None:
    claim = Claim(tokens_in=10, tokens_out=20, most_tokens=500)
    for spec, used in (({"on_exceed": "pause"}, 500), ({}, 30)):
        one = limit(tokens=(Rate(1000, HOUR),), **spec)
        go(one, "a", 0, claim)
        assert one.used(0)[0].used == used
        one.settle("a", Ending("done", Spent(11, None)), 1)
        assert one.used(1)[0].used == (500 if spec else 31)
        one.check()


def test_people_are_warned_of_each_mark_once() -> None:
    one = limit(cost=(Rate(DOLLAR, 0),), on_exceed="pause")

    def spend(key: str, cents: int) -> list[str]:
        go(one, key, 0, Claim(most_cost=cents * DOLLAR // 100))
        news = one.settle(key, Ending("done", Spent(cost=cents * DOLLAR // 100)), 1)
        assert all(item.what == "warned" for item in news)
        return [item.message for item in news]

    assert spend("a", 49) == []
    assert spend("b", 1) == ["m: over 50 %: $0.50 of $1.00 spent"]
    assert spend("c", 10) == []
    assert spend("d", 36) == ["m: over 95 %: $0.96 of $1.00 spent"], "the highest is enough"
    one.forget("d")
    assert spend("e", 36) == [], "each once"


def test_a_day_that_is_over_warns_anew() -> None:
    one = limit(tokens=(Rate(100, DAY),), on_exceed="pause")
    told = []
    for day in range(3):
        at = day * (DAY + HOUR)
        go(one, f"a{day}", at, Claim(most_tokens=60))
        told.append([n.message for n in one.settle(f"a{day}", Ending("done", Spent(55, 5)), at)])
    assert told == [["m: over 50 %: 60 tokens of 100 tokens spent"]] * 3


def test_a_budget_learns_nothing_of_a_peer() -> None:
    one = limit(cost=(Rate(DOLLAR, 0),), on_exceed="pause")
    go(one, "a", 0, Claim(most_cost=DOLLAR))
    assert one.settle("a", Ending("refused", retry_after=SECOND), 1) == []
    assert one.state() == LimitState()
    assert one.used(1)[0].used == 0, "a refusal spends nothing"


def test_where_nothing_adapts_a_refused_call_keeps_to_the_rate() -> None:
    one = limit(requests=(Rate(1, SECOND),), tokens=(Rate(9, SECOND),), adaptive=False)
    go(one, "a", 0, Claim(tokens_in=9))
    assert one.settle("a", Ending("refused", retry_after=HOUR), 1) == []
    assert [use.used for use in one.used(1)] == [1, 0]
    assert one.quota([Quota(kind="requests", limit=1, remaining=0, reset=HOUR)], 2) == []
    assert one.blocked(1, ONE, SECOND) is None


# -- other processes, other numbers, copies ---------------------------------------------------


def test_what_another_process_holds_counts_and_is_taken_in_once() -> None:
    one = limit(requests=(Rate(3, SECOND),), concurrency=9)
    go(one, "mine", 100)
    theirs = Entry("m", "theirs", 4, Claim())
    for _ in range(2):
        one.sync(theirs)
        one.check()
        assert [use.used for use in one.used(100)] == [2, 5]
    assert one.used(100)[0].free == SECOND + 100
    sent = msgspec.structs.replace(theirs, sent=50)
    for _ in range(2):
        one.sync(sent)
        one.check()
        assert one.used(100)[0].free == SECOND + 50, "it was sent before ours"
    over = msgspec.structs.replace(sent, over=True)
    for _ in range(2):
        one.sync(over)
        one.check()
        assert [use.used for use in one.used(100)] == [2, 1]
    one.forget("theirs")
    one.forget("theirs")
    one.check()
    assert [use.used for use in one.used(100)] == [1, 1]


def test_a_restart_grants_no_second_quota() -> None:
    spec: dict[str, Any] = {"requests": (Rate(3, SECOND),), "tokens": (Rate(90, HOUR),)}
    one = limit(**spec)
    for i in range(3):
        go(one, f"a{i}", i, Claim(tokens_in=20))
    one.settle("a0", Ending("done", Spent(25, 5)), 5)
    two = limit(**spec)
    for entry in one.entries(10):
        two.sync(msgspec.json.decode(msgspec.json.encode(entry), type=Entry))
    two.check()
    assert two.used(10) == one.used(10)
    assert two.blocked(1, ONE, 10) == one.blocked(1, ONE, 10)


def test_what_counts_for_ever_is_kept_and_can_be_refunded() -> None:
    one = limit(cost=(Rate(100, 0),), tokens=(Rate(50, SECOND),), on_exceed="pause")
    go(one, "a", 0, Claim(most_cost=40, most_tokens=3))
    one.settle("a", Ending("done", Spent(1, 1, 30)), 1)
    go(one, "b", HOUR, Claim(most_cost=40, most_tokens=3))
    one.check()
    spent = Entry("m", "a", 1, Claim((), 1, 1, 2, 30), 0, over=True)
    assert sorted(e.key for e in one.entries(HOUR)) == ["a", "b"]
    assert one.entry("a") == spent
    one.sync(spent)
    one.check()
    assert one.used(HOUR)[1].used == 70
    copy = one.fork()
    copy.forget("a")
    copy.check()
    one.check()
    assert (copy.used(HOUR)[1].used, one.used(HOUR)[1].used) == (40, 70)
    assert copy.entry("a") is None


def test_other_numbers_leave_whoever_holds_the_limit() -> None:
    one = limit(requests=(Rate(5, SECOND),), concurrency=5)
    for i in range(4):
        go(one, f"a{i}", i * 10)
    one.settle("a0", DONE, 50)
    one.restate(LimitSpec(requests=(Rate(2, MINUTE), Rate(9, HOUR)), concurrency=3, margin=7))
    one.check()
    assert [(u.used, u.allowed) for u in one.used(50)] == [(4, 2), (4, 9), (3, 3)]
    assert one.blocked(1, ONE, 60) == Block("slot:m")
    for i in range(1, 4):
        one.settle(f"a{i}", DONE, 70)
    assert one.blocked(1, ONE, 80) == Block("rate:m", MINUTE + 20 + 7)


def test_another_margin_holds_for_what_is_there() -> None:
    one = limit(requests=(Rate(1, SECOND),))
    go(one, "a", 0)
    one.restate(LimitSpec(requests=(Rate(1, SECOND),)))
    assert one.blocked(1, ONE, 0) == Block("rate:m", SECOND + 250 * MS)
    one.settle("a", Ending("done", round_trip=8 * MS), 8 * MS)
    one.restate(LimitSpec(requests=(Rate(1, SECOND),), concurrency=1))
    assert one.blocked(1, ONE, 9 * MS) == Block("rate:m", SECOND + 9 * MS)
    one.restate(LimitSpec(requests=(Rate(1, SECOND),), margin=3))
    assert one.blocked(1, ONE, 9 * MS) == Block("rate:m", SECOND + 3)


def test_other_numbers_keep_what_has_been_spent_and_what_was_learned() -> None:
    one = limit(requests=(Rate(8, SECOND),), cost=(Rate(100, 0),))
    go(one, "a", 0, Claim(most_cost=70))
    go(one, "b", 0)
    one.settle("a", Ending("done", Spent(cost=60)), 1)
    one.settle("b", Ending("refused", retry_after=SECOND), 2)
    state = one.state()
    one.restate(LimitSpec(requests=(Rate(9, SECOND),), cost=(Rate(200, 0),), margin=0))
    one.check()
    assert one.state() == state
    assert [(u.used, u.allowed) for u in one.used(3 * SECOND)] == [(0, 4), (60, 200)]


OPS = st.lists(
    st.tuples(st.sampled_from("tttssseeerfyqb"), st.integers(0, 400), st.integers(0, 9)),
    max_size=60,
)


class Story:
    """Does the same random things to any number of equal limits."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = limits
        self.at = HOUR
        self.taken: list[str] = []
        self.sent: list[str] = []
        self.number = 0

    def do(self, op: str, gap: int, which: int) -> None:
        self.at += gap * 7 * MS
        self.number += 1
        rng = random.Random(f"{op}{gap}{which}")
        claim = Claim((), *(rng.randrange(40) for _ in range(4)))
        flying = self.taken + self.sent
        pool = {"s": self.taken, "r": self.taken, "e": flying}.get(op, [""])
        if not pool:
            return
        key = pool[which % len(pool)]
        kind = rng.choice(("done", "done", "refused", "down", "other"))
        spent = rng.choice((None, Spent(5, rng.choice((None, 80)), 7)))
        retry = rng.choice((None, SECOND))
        ending = Ending(kind, spent, retry_after=retry, round_trip=gap * MS)
        entry = Entry("m", f"o{which}", 1, claim, self.at - gap * MS, over=gap % 2 == 0)
        quota = Quota(kind="requests", limit=which or None, remaining=gap % 5, reset=SECOND)
        new = f"k{self.number}"
        results = []
        for one in self.limits:
            result: object = None
            if op == "t":
                result = one.blocked(1, claim, self.at)
                one.take(new, 1, claim, self.at)
            elif op == "s":
                one.sent(key, self.at)
            elif op == "e":
                result = one.settle(key, ending, self.at)
            elif op == "r":
                one.release(key)
            elif op == "f":
                one.forget(f"o{which}")
            elif op == "y":
                one.sync(entry)
                one.sync(entry)
            elif op == "q":
                result = one.quota([quota], self.at)
            else:
                result = one.blocked(2, claim, self.at)
            one.check()
            results.append((result, one.state(), one.used(self.at)))
        assert all(result == results[0] for result in results)
        if op == "t":
            self.taken.append(new)
        elif op == "s":
            self.taken.remove(key)
            self.sent.append(key)
        elif op in "er":
            (self.taken if key in self.taken else self.sent).remove(key)


SPECS = (
    LimitSpec(requests=(Rate(5, SECOND), Rate(40, MINUTE)), tokens=(Rate(90, 2 * SECOND),)),
    LimitSpec(cost=(Rate(300, 0),), tokens=(Rate(200, MINUTE),), on_exceed="pause", margin=0),
    LimitSpec(concurrency=3, spacing=200 * MS, cost=(Rate(50, 0), Rate(30, SECOND))),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPECS), OPS, st.integers(0, 60))
def test_sums_never_err_and_a_copy_is_what_it_copies(
    spec: LimitSpec, ops: list[tuple[str, int, int]], cut: int
) -> None:
    one = Limit("m", spec, seed=3)
    story = Story(one)
    for op in ops[:cut]:
        story.do(*op)
    before = msgspec.json.encode(sorted(one.entries(story.at), key=lambda entry: entry.key))
    copy, idle = one.fork(), one.fork()
    story.limits = (one, copy)
    for op in ops[cut:]:
        story.do(*op)
    idle.check()
    kept = sorted(idle.entries(0), key=lambda entry: entry.key)
    assert msgspec.json.encode(kept) == before, "a copy lives by itself"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPECS), OPS)
def test_what_others_are_told_is_all_that_counts(
    spec: LimitSpec, ops: list[tuple[str, int, int]]
) -> None:
    one = Limit("m", msgspec.structs.replace(spec, margin=0, adaptive=False))
    story = Story(one)
    for op in ops:
        story.do(*op)
    two = Limit("m", one.spec)
    two.take("stale", 1, Claim(), 0)
    two.sync(Entry("m", "stale", 2, Claim(tokens_in=4), 5))
    two.forget("stale")
    for entry in (*one.entries(story.at), *one.entries(story.at)):
        two.sync(entry)
    two.check()
    assert two.used(story.at) == one.used(story.at)


# -- cost -------------------------------------------------------------------------------------


def steps(work: Callable[[], object]) -> int:
    """Count the lines of ours that run."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        if "hocket" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_a_call_costs_the_same_however_many_count() -> None:
    costs = []
    for many in (10, 5_000):
        one = Limit("m", LimitSpec(requests=(Rate(many + 1, MINUTE),), tokens=(Rate(10**9, HOUR),)))
        for i in range(many):
            go_fast(one, f"a{i}", i)
        costs.append(steps(lambda one=one: go_fast(one, "b", 9_000)))  # type: ignore[misc]
        full = steps(lambda one=one: one.blocked(1, ONE, 9_001))  # type: ignore[misc]
        costs.append(full)
    assert costs[:2] == costs[2:]


def go_fast(one: Limit, key: str, at: int) -> None:
    one.blocked(1, ONE, at)
    one.take(key, 1, ONE, at)
    one.sent(key, at)
    one.settle(key, DONE, at)
