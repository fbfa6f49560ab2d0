"""Fair shares between runs, and reservations for those who want much; all in virtual time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.events import Wait
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import Call
from hocket.limits.admission import Admission, Admitted, Queue
from hocket.limits.claim import Claim, Ending
from hocket.limits.fair import Share

Act: TypeAlias = tuple[int, Callable[[Admission], None]]
DONE = Ending("done")
PER = 1_000


def slots(count: int, *, shared: bool = True) -> LimitSpec:
    return LimitSpec(concurrency=count, shared=shared, adaptive=False)


def rate(amount: int, per: int = PER) -> LimitSpec:
    return LimitSpec(requests=(Rate(amount, per),), margin=0, adaptive=False)


def units(**claimed: int) -> Claim:
    return Claim(units=tuple(sorted(claimed.items())))


def lives(
    admission: Admission,
    lasts: Callable[[Admitted], int],
    until: int,
    more: Iterable[Act] = (),
    fork: int | None = None,
) -> list[tuple[int, Admitted]]:
    """Let calls start and end, each after its time; `more` happens at its instants.

    From the instant `fork` on a copy goes on instead.
    """
    found: list[tuple[int, Admitted]] = []
    ends: list[tuple[int, str]] = []
    at = 0
    acts = iter(more)
    later = next(acts, None)
    while at <= until:
        if fork is not None and at >= fork:
            admission, fork = admission.fork(), None
            admission.check()
        while later is not None and later[0] <= at:
            later[1](admission)
            later = next(acts, None)
        for item in admission.admit(at):
            admission.sent(item.key, at)
            found.append((at, item))
            heappush(ends, (at + lasts(item), item.key))
        admission.admit(at)
        instants = [at + 10**9]
        instants += [ends[0][0]] if ends else []
        instants += [later[0]] if later is not None else []
        due = admission.next()
        instants += [due] if due is not None else []
        at = max(at, min(instants))
        while ends and ends[0][0] <= at:
            admission.settle(heappop(ends)[1], DONE, at)
    admission.check()
    return found


def offer(admission: Admission, run: str, claim: Claim, count: int, at: int = 0, **m: int) -> None:
    begun = admission._offered
    for number in range(begun, begun + count):
        admission.offer(run, Call(f"c{number}", 1), claim, at, **m)


def comes(at: int, run: str, claim: Claim, count: int = 1, **more: int) -> Act:
    """Offer calls at an instant."""
    return at, lambda admission: offer(admission, run, claim, count, at, **more)


# -- shares -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [rate(20), slots(5), rate(7), rate(1, 50)])
@pytest.mark.parametrize("late", [0, 2_500])
def test_two_runs_share_a_limit_by_their_weights(spec: LimitSpec, late: int) -> None:
    admission = Admission()
    admission.open("one", {"api": spec}, 0, weight=1)
    admission.open("three", {"api": spec}, 0, weight=3)
    offer(admission, "one", units(api=1), 5_000)
    more = [comes(late, "three", units(api=1), 5_000)]
    starts = lives(admission, lambda item: 40, 24 * PER, more)
    both = [(at, item.run) for at, item in starts if at >= late + PER]
    for begun in range(late + PER, 13 * PER, PER // 2):
        ten = Counter(run for at, run in both if begun <= at < begun + 10 * PER)
        share = ten["one"] / ten.total()
        assert 0.23 <= share <= 0.27, (begun, ten)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 60)), min_size=2, max_size=4),
    st.integers(3, 12),
    st.booleans(),
)
def test_any_runs_share_by_their_weights(
    runs: list[tuple[int, int]], amount: int, windowed: bool
) -> None:
    admission = Admission()
    spec = rate(amount) if windowed else slots(amount)
    for number, (weight, _) in enumerate(runs):
        admission.open(f"r{number}", {"api": spec}, 0, weight=weight)
        offer(admission, f"r{number}", units(api=1), 600)
    starts = lives(
        admission, lambda item: PER if not windowed else runs[int(item.run[1:])][1], 30 * PER
    )
    counts = Counter(item.run for _, item in starts)
    whole = sum(weight for weight, _ in runs)
    for number, (weight, _) in enumerate(runs):
        expected = weight / whole * counts.total()
        assert abs(counts[f"r{number}"] - expected) <= 1 + len(runs), (counts, runs)


def test_a_large_run_delays_a_small_later_one_by_no_more_than_its_share() -> None:
    admission = Admission()
    for run in ("large", "small"):
        admission.open(run, {"api": rate(10)}, 0)
    offer(admission, "large", units(api=1), 10_000)
    begun = 4 * PER + 1
    more = [comes(begun, "small", units(api=1), 10)]
    starts = lives(admission, lambda item: 10, 9 * PER, more)
    ended = max(at for at, item in starts if item.run == "small")
    # Half of each window is its own, and the present one is used up.
    assert ended - begun <= 2 * PER
    large = [at for at, item in starts if item.run == "large" and begun <= at <= ended]
    assert len(large) >= 10


def test_a_run_that_was_idle_has_saved_nothing_up() -> None:
    admission = Admission()
    for run in ("busy", "idle"):
        admission.open(run, {"api": rate(10)}, 0)
    offer(admission, "idle", units(api=1), 1)
    offer(admission, "busy", units(api=1), 1_000)
    begun = 20 * PER + 1
    more = [comes(begun, "idle", units(api=1), 200)]
    starts = lives(admission, lambda item: 10, 24 * PER, more)
    counts = Counter(item.run for at, item in starts if at > begun)
    assert abs(counts["busy"] - counts["idle"]) <= 1


def test_a_run_that_was_held_has_saved_nothing_up() -> None:
    admission = Admission()
    for run in ("busy", "held"):
        admission.open(run, {"api": rate(10)}, 0)
        offer(admission, run, units(api=1), 500)
    begun = 10 * PER + 1
    acts: list[Act] = [
        (PER + 1, lambda admission: admission.hold("held", "pause", PER + 1)),
        (begun, lambda admission: admission.free("held", begun)),
    ]
    starts = lives(admission, lambda item: 10, 14 * PER, acts)
    counts = Counter(item.run for at, item in starts if at > begun)
    assert abs(counts["busy"] - counts["held"]) <= 1


def test_runs_that_share_no_contended_limit_do_not_slow_each_other() -> None:
    def finish(together: bool) -> int:
        admission = Admission()
        limits = {"wide": slots(1_000), "a": rate(10), "b": rate(30)}
        admission.open("a", limits, 0)
        offer(admission, "a", units(wide=1, a=1), 100)
        if together:
            admission.open("b", limits, 0, weight=50)
            offer(admission, "b", units(wide=1, b=1), 400)
        starts = lives(admission, lambda item: 10, 30 * PER)
        return max(at for at, item in starts if item.run == "a")

    assert finish(True) == finish(False) == 9 * PER


def test_shares_are_judged_by_the_limit_for_which_runs_compete() -> None:
    admission = Admission()
    limits = {"api": rate(10), "busy": slots(50)}
    for run in ("both", "one"):
        admission.open(run, limits, 0)
    # What the first run takes of a limit on which it is alone costs it nothing at the other.
    offer(admission, "both", units(busy=1), 4_000)
    offer(admission, "both", units(api=1), 500)
    offer(admission, "one", units(api=1), 500)
    starts = lives(admission, lambda item: 100, 20 * PER)
    counts = Counter(item.run for _, item in starts if item.claim == units(api=1))
    assert abs(counts["both"] - counts["one"]) <= 1


def test_a_share_does_not_upset_the_order_within_a_run() -> None:
    admission = Admission()
    limits = {"api": slots(3), "own": slots(1, shared=False)}
    for run in ("r", "q"):
        admission.open(run, limits, 0)
    offer(admission, "q", units(api=1), 9)
    (first, second, third) = admission.admit(0)
    offer(admission, "r", units(own=1), 1, rank=1)
    offer(admission, "r", units(api=1, own=1), 1, rank=9)
    for item in (first, second, third):
        admission.settle(item.key, DONE, 1)
    mine = [item for item in admission.admit(1) if item.run == "r"]
    assert [item.claim for item in mine] == [units(api=1, own=1)]


def test_what_is_put_back_is_not_charged() -> None:
    admission = Admission()
    for run in ("r", "q"):
        admission.open(run, {"api": slots(1)}, 0)
        offer(admission, run, units(api=1), 50)
    for _ in range(20):
        (item,) = admission.admit(0)
        assert item.run == "r"
        admission.put_back(item.key, "claim", 0)
    starts = lives(admission, lambda item: 10, 200)
    assert [item.run for _, item in starts][:6] == ["r", "q"] * 3


def test_a_lower_priority_waits_however_much_it_is_behind() -> None:
    admission = Admission()
    for run, priority in (("low", 0), ("high", 1)):
        admission.open(run, {"api": slots(1)}, 0, priority=priority, weight=9 - 8 * priority)
        offer(admission, run, units(api=1), 20)
    starts = lives(admission, lambda item: 10, 2_000)
    assert [item.run for _, item in starts] == ["high"] * 20 + ["low"] * 20


def test_whoever_catches_up_does_not_turn_the_share_back() -> None:
    share = Share()
    share.join("behind")
    for _ in range(5):
        share.charge("ahead", 1)
    share.charge("behind", 1)
    assert (share.tag("behind"), share.tag("ahead"), share.tag("new")) == (1, 5, 4)


# -- reservations -----------------------------------------------------------------------------


def large_after(patience: int) -> tuple[int, list[tuple[int, Admitted]]]:
    """Let a large claim come into a stream of small ones, of which one at a time ends."""
    admission = Admission(max_overtake=patience)
    admission.open("r", {"gpu": slots(4, shared=False)}, 0)
    acts = [comes(at, "r", units(gpu=1)) for at in range(0, 4_000, 10)]
    acts.insert(6, comes(55, "r", units(gpu=4)))
    starts = lives(admission, lambda item: 37, 6_000, acts)
    return next(at for at, item in starts if item.claim == units(gpu=4)), starts


def crossing() -> list[Act]:
    """Two large claims of the same two limits, each of which may reserve one, and many small."""
    acts: list[Act] = []
    for at in range(0, 3_000, 10):
        acts.append(comes(at, "r", units(a=1) if at % 20 else units(b=1), 2))
        if at == 100:
            acts.append(comes(101, "r", units(a=4, b=2)))
            acts.append(comes(102, "r", units(a=2, b=4)))
    return acts


def test_a_large_claim_is_overtaken_for_ever_without_a_reservation() -> None:
    begun, _ = large_after(10**9)
    # Only when there are no more small ones.
    assert begun >= 4_000


def test_a_large_claim_reserves_what_it_waits_for() -> None:
    begun, starts = large_after(100)
    # It is overtaken from its beginning, for 100; what is in flight ends within 37.
    assert 55 < begun <= 55 + 100 + 10 + 37
    (large,) = [item for _, item in starts if item.claim == units(gpu=4)]
    assert large.waits == (Wait("slot:gpu", 55, begun),)
    held_up = [item for _, item in starts if any(w.cause == "reserved:gpu" for w in item.waits)]
    assert held_up
    for item in held_up:
        assert [w.cause for w in item.waits] in (
            ["reserved:gpu", "slot:gpu"],
            ["slot:gpu", "reserved:gpu", "slot:gpu"],
            ["slot:gpu", "reserved:gpu"],
            ["reserved:gpu"],
        )


def test_a_short_call_passes_a_reservation_and_one_of_unknown_length_does_not() -> None:
    admission = Admission(max_overtake=10)
    admission.open("r", {"gpu": slots(3)}, 0)
    offer(admission, "r", units(gpu=1), 2, lasts=100)
    long, other = admission.admit(0)
    offer(admission, "r", units(gpu=3), 1)
    assert admission.admit(0) == []
    offer(admission, "r", units(gpu=1), 1, 1, lasts=500)
    (passed,) = admission.admit(1)
    admission.settle(passed.key, DONE, 20)
    # From here on it is reserved; all is free at 100 at the earliest.
    for lasts in (None, 81):
        more = {} if lasts is None else {"lasts": lasts}
        offer(admission, "r", units(gpu=1), 1, 20, rank=1, **more)
        assert admission.admit(20) == []
        assert Queue("reserved:gpu", None, 1) in admission.waiting()
        assert admission.withdraw("r", Call(f"c{admission._offered - 1}", 1))
    offer(admission, "r", units(gpu=1), 1, 20, lasts=80)
    (short,) = admission.admit(20)
    admission.settle(short.key, DONE, 90)
    admission.settle(long.key, DONE, 95)
    assert admission.admit(95) == []
    admission.settle(other.key, DONE, 97)
    (large,) = admission.admit(97)
    assert large.claim == units(gpu=3)
    admission.check()


def reserved(limits: dict[str, LimitSpec], claim: Claim, lasts: list[int | None]) -> Admission:
    """Begin with calls in flight, of so much time each, and a claim that reserves from 2 on."""
    admission = Admission(max_overtake=0)
    admission.open("r", limits, 0)
    for item in lasts:
        admission.offer("r", Call(f"c{admission._offered}", 1), units(gpu=1), 0, lasts=item)
    for started in admission.admit(0):
        admission.sent(started.key, 0)
    offer(admission, "r", claim, 1)
    assert admission.admit(0) == []
    offer(admission, "r", units(gpu=1), 1, 1)
    (passed,) = admission.admit(1)
    admission.release(passed.key, 2)
    return admission


def passes(admission: Admission, lasts: int, at: int) -> bool:
    offer(admission, "r", units(gpu=1), 1, at, lasts=lasts)
    return bool(admission.admit(at))


@pytest.mark.parametrize(
    ("lasts", "lets"), [([5, 5], False), ([50, None], False), ([50, 50], True), ([5, 50], False)]
)
def test_nothing_passes_unless_all_that_must_end_is_known(
    lasts: list[int | None], lets: bool
) -> None:
    admission = reserved({"gpu": slots(3)}, units(gpu=3), lasts)
    assert passes(admission, 1, 9) is lets


def test_nothing_passes_the_reservation_of_a_window() -> None:
    limits = {"gpu": LimitSpec(concurrency=3, requests=(Rate(50, 99),), adaptive=False)}
    assert not passes(reserved(limits, units(gpu=3), [50, 50]), 1, 9)


def test_while_a_run_is_held_its_calls_are_not_overtaken() -> None:
    admission = Admission(max_overtake=100)
    admission.open("r", {"gpu": slots(2)}, 0)
    admission.open("q", {"gpu": slots(2)}, 0)
    offer(admission, "q", units(gpu=1), 1)
    admission.admit(0)
    offer(admission, "r", units(gpu=2), 1)
    admission.admit(0)
    for at in (1, 50, 5_040, 5_061, 5_100):
        if at == 5_040:
            admission.free("r", at)
        offer(admission, "q", units(gpu=1), 1, at)
        found = admission.admit(at)
        # It was overtaken from 1 to 50 and from 5,040 on.
        assert bool(found) is (at < 5_100), at
        for item in found:
            admission.release(item.key, at)
        if at == 50:
            admission.admit(50)
            admission.hold("r", "pause", 50)
            admission.admit(50)
        else:
            admission.admit(at)


def test_a_reservation_ends_with_its_call() -> None:
    for leave in ("withdraw", "hold", "close"):
        admission = Admission(max_overtake=0)
        for run in "rq":
            admission.open(run, {"gpu": slots(3)}, 0)
        offer(admission, "q", units(gpu=1), 2)
        admission.admit(0)
        offer(admission, "r", units(gpu=3), 1)
        admission.admit(0)
        large = Call("c2", 1)
        offer(admission, "q", units(gpu=1), 1, 1)
        (passed,) = admission.admit(1)
        admission.settle(passed.key, DONE, 9)
        offer(admission, "q", units(gpu=1), 1, 9)
        assert admission.admit(9) == []
        assert Queue("reserved:gpu", None, 1) in admission.waiting()
        if leave == "withdraw":
            admission.withdraw("r", large)
        elif leave == "hold":
            admission.hold("r", "pause", 9)
        else:
            admission.close("r")
        (item,) = admission.admit(9)
        assert item.run == "q"
        admission.check()


def test_a_run_of_higher_priority_passes_a_reservation() -> None:
    admission = Admission(max_overtake=0)
    admission.open("r", {"gpu": slots(3)}, 0)
    admission.open("high", {"gpu": slots(3)}, 0, priority=1)
    offer(admission, "r", units(gpu=1), 2)
    admission.admit(0)
    offer(admission, "r", units(gpu=3), 1)
    admission.admit(0)
    offer(admission, "r", units(gpu=1), 1, 1)
    (passed,) = admission.admit(1)
    admission.settle(passed.key, DONE, 9)
    offer(admission, "r", units(gpu=1), 1, 9)
    assert admission.admit(9) == []
    offer(admission, "high", units(gpu=1), 1, 9)
    (item,) = admission.admit(9)
    assert item.run == "high"


def test_a_fair_share_is_no_overtaking() -> None:
    admission = Admission(max_overtake=0)
    for run, weight in (("small", 1), ("large", 20)):
        admission.open(run, {"api": slots(3)}, 0, weight=weight)
        offer(admission, run, units(api=2), 100)
    starts = lives(admission, lambda item: 10, 1_000)
    causes = {wait.cause for _, item in starts for wait in item.waits}
    assert "reserved:api" not in causes
    assert Counter(item.run for _, item in starts)["small"] in (4, 5)


@pytest.mark.parametrize("fork", range(0, 420, 6))
def test_a_copy_goes_on_alike_with_its_reservations(fork: int) -> None:
    def starts(fork: int | None) -> list[tuple[int, Admitted]]:
        admission = Admission(max_overtake=60)
        admission.open("r", {"a": slots(4), "b": slots(4)}, 0)
        return lives(admission, lambda item: 45, 1_000, crossing(), fork)

    assert starts(fork) == starts(None)


def test_many_tokens_are_not_starved_by_few() -> None:
    words = LimitSpec(tokens=(Rate(100, 50),), margin=0, adaptive=False)

    def begun(patience: int) -> int:
        admission = Admission(max_overtake=patience)
        admission.open("r", {"words": words}, 0)
        small = Claim(units=(("words", 1),), tokens_in=30)
        large = Claim(units=(("words", 1),), tokens_in=90)

        acts = [comes(at, "r", small) for at in range(0, 3_000, 15)]
        acts.insert(4, comes(45, "r", large))
        starts = lives(admission, lambda item: 5, 6_000, acts)
        return next(at for at, item in starts if item.claim == large)

    assert begun(10**9) >= 3_000
    assert begun(100) <= 45 + 15 + 100 + 15 + 50


def test_two_reservations_that_cross_do_not_wait_for_each_other() -> None:
    admission = Admission(max_overtake=20)
    admission.open("r", {"a": slots(4), "b": slots(4)}, 0)
    starts = lives(admission, lambda item: 45, 8_000, crossing())
    large = [at for at, item in starts if len(item.claim.units) == 2]
    assert len(large) == 2
    assert max(large) < 600


def test_a_reservation_does_not_keep_a_limit_for_a_call_that_waits_for_a_window() -> None:
    limits = {"gpu": slots(3), "hour": rate(1, 10_000)}
    admission = reserved(limits, units(gpu=3, hour=1), [None, None])
    assert not passes(admission, 1, 3)
    offer(admission, "r", units(hour=1), 1, 4)
    (other,) = admission.admit(4)
    admission.sent(other.key, 4)
    for number in range(2):
        admission.settle(f"r/c{number}#1", DONE, 5)
    # All is free but for the window, so until then the others may go on.
    (small,) = admission.admit(5)
    assert small.claim == units(gpu=1)
    assert Queue("rate:hour", 10_004, 1) in admission.waiting()
    admission.check()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(5, 60)), min_size=20, max_size=120),
    st.integers(1, 4),
)
def test_no_claim_is_starved_by_a_stream_of_others(
    calls: list[tuple[int, int]], capacity_over: int
) -> None:
    admission = Admission(max_overtake=100)
    for run in "rq":
        admission.open(run, {"gpu": slots(3 + capacity_over)}, 0)
    acts = [
        comes(number * 4, "rq"[number % 2], units(gpu=count))
        for number, (count, _) in enumerate(calls)
    ]
    lengths = itertools.cycle([lasts for _, lasts in calls])
    starts = lives(admission, lambda item: next(lengths), 60_000, acts)
    assert len(starts) == len(calls)
    # All work together takes so long at least one unit at a time; nobody waits longer than that.
    work = sum(count * lasts for count, lasts in calls)
    for at, item in starts:
        waited = sum(wait.until - wait.since for wait in item.waits)
        assert waited <= work, (at, item)
