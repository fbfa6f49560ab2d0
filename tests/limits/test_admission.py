"""The admission queue, rule by rule: who goes next, what the others wait for, and until when."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from hocket.core.events import Wait
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import Call
from hocket.limits.admission import COMMIT, MAX_WAITS, PAUSE, Admission, Admitted, Hopeless, Queue
from hocket.limits.claim import Claim, Ending, Entry, Quota, Spent
from hocket.limits.waits import bounded, cut, note

DONE = Ending("done")


def slots(count: int, *, shared: bool = False) -> LimitSpec:
    return LimitSpec(concurrency=count, shared=shared, adaptive=False)


def rate(amount: int, per: int) -> LimitSpec:
    return LimitSpec(requests=(Rate(amount, per),), margin=0)


def units(**claimed: int) -> Claim:
    return Claim(units=tuple(sorted(claimed.items())))


def opened(**limits: LimitSpec) -> Admission:
    admission = Admission()
    admission.open("r", limits, 0)
    return admission


def name(number: int) -> Call:
    return Call(f"s{number}", 1)


def key(number: int, run: str = "r") -> str:
    return f"{run}/s{number}#1"


def offer(
    admission: Admission, claim: Claim, *numbers: int, at: int = 0, run: str = "r", **more: int
) -> None:
    for number in numbers:
        admission.offer(run, name(number), claim, at, **more)


def numbers(admitted: Iterable[Admitted]) -> list[int]:
    return [int(item.call.path[1:]) for item in admitted]


def go(admission: Admission, at: int) -> list[int]:
    """Let through whoever fits and send it at once."""
    admitted = admission.admit(at)
    for item in admitted:
        admission.sent(item.key, at)
    admission.check()
    return numbers(admitted)


def end(admission: Admission, *keys: str, at: int) -> None:
    for item in keys:
        admission.settle(item, DONE, at)


# -- who goes next ----------------------------------------------------------------------------


def test_calls_go_through_in_the_order_in_which_they_came() -> None:
    admission = opened(run=slots(2))
    offer(admission, units(run=1), 1, 2, 3, 4)
    assert go(admission, 0) == [1, 2]
    end(admission, key(2), at=5)
    assert go(admission, 5) == [3]
    end(admission, key(1), key(3), at=6)
    assert go(admission, 6) == [4]
    assert len(admission) == 0
    assert admission.admitted == 1


def test_what_is_let_through_names_its_run_and_its_shared_limits() -> None:
    admission = opened(run=slots(2), api=rate(5, 100))
    claim = units(api=1, run=1)
    offer(admission, claim, 1)
    assert admission.admit(0) == [Admitted("r", name(1), key(1), claim, (), ("api",))]


def test_the_higher_rank_goes_first_and_ties_go_by_arrival() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2)
    offer(admission, units(run=1), 3, 4, rank=5)
    order = []
    for at in range(4):
        order += go(admission, at)
        end(admission, key(order[-1]), at=at)
    assert order == [3, 4, 1, 2]


def test_ranks_count_between_the_classes_of_a_run() -> None:
    admission = opened(run=slots(1), a=slots(9), b=slots(9))
    offer(admission, units(run=1, a=1), 1, rank=1)
    offer(admission, units(run=1, b=1), 2, rank=3)
    offer(admission, units(run=1), 3, rank=2)
    order = []
    for at in range(3):
        order += go(admission, at)
        end(admission, key(order[-1]), at=at)
    assert order == [2, 3, 1]


def test_a_new_order_of_ranks_holds_for_all_that_wait() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2, 3, 4)
    assert go(admission, 0) == [1]
    assert admission.withdraw("r", name(3))
    admission.rerank("r", lambda call: int(call.path[1:]))
    end(admission, key(1), at=1)
    assert go(admission, 1) == [4]
    end(admission, key(4), at=2)
    assert go(admission, 2) == [2]


def test_a_class_that_is_held_up_does_not_hold_up_another() -> None:
    admission = opened(run=slots(3), a=slots(1), b=slots(5))
    offer(admission, units(a=1, run=1), 1, 2, 3)
    offer(admission, units(b=1, run=1), 4, 5)
    assert go(admission, 0) == [1, 4, 5]
    assert admission.waiting() == [Queue("slot:a", None, 2)]
    # The second of a class waits for what its head waits for; who is through waits for nothing.
    waits = [admission.waits_of("r", name(number)) for number in (1, 2, 3, 4)]
    assert waits == [None, Queue("slot:a", None, 1), Queue("slot:a", None, 1), None]
    assert admission.waits_of("nobody", name(2)) is None
    # The stretch that one has waited can be asked while it waits.
    assert admission.waited("r", name(3), 0) == ()
    assert admission.waited("r", name(3), 5) == (Wait("slot:a", 0, 5),)
    assert admission.waited("r", name(1), 5) is None
    assert admission.waited("nobody", name(3), 5) is None


def test_all_that_is_claimed_is_taken_or_nothing() -> None:
    admission = opened(a=slots(2), b=slots(1))
    offer(admission, units(a=2, b=1), 1, 2)
    assert go(admission, 0) == [1]
    offer(admission, units(b=1), 3)
    end(admission, key(1), at=1)
    assert go(admission, 1) == [2]
    assert [use.used for n in "ab" for use in admission.limit(n, "r").used(1)] == [2, 1]


def test_a_head_is_judged_by_what_it_really_claims() -> None:
    words = LimitSpec(tokens=(Rate(100, 50),), margin=0)
    admission = opened(words=words)
    small = Claim(units=(("words", 1),), tokens_in=51)
    large = Claim(units=(("words", 1),), tokens_in=60)
    offer(admission, Claim(units=(("words", 1),), tokens_in=45), 1)
    offer(admission, large, 2)
    offer(admission, small, 3)
    # Both are of the class of up to 100 tokens, whose head has to go first.
    assert go(admission, 0) == [1]
    offer(admission, small, 4, rank=1)
    assert go(admission, 0) == [4]
    assert go(admission, 0) == []
    assert admission.waiting() == [Queue("rate:words", 50, 2)]


def test_a_late_call_of_higher_rank_is_looked_at_though_nothing_else_happened() -> None:
    admission = opened(a=slots(2))
    offer(admission, units(a=1), 1)
    assert go(admission, 0) == [1]
    offer(admission, units(a=2), 2)
    assert go(admission, 1) == []
    offer(admission, units(a=1), 3)
    assert go(admission, 2) == [3]


def test_the_higher_priority_goes_first_and_then_the_nearer_deadline() -> None:
    admission = Admission()
    limits = {"api": slots(1, shared=True)}
    admission.open("late", limits, 0, deadline=900)
    admission.open("none", limits, 0)
    admission.open("soon", limits, 0, deadline=100)
    admission.open("high", limits, 0, priority=2)
    for number, run in enumerate(("none", "late", "soon", "high")):
        offer(admission, units(api=1), number, run=run, rank=9 - number)
    order = []
    for at in range(4):
        (item,) = admission.admit(at)
        order.append(item.run)
        admission.release(item.key, at)
        admission.check()
    assert order == ["high", "soon", "late", "none"]


# -- runs -------------------------------------------------------------------------------------


def test_a_shared_limit_is_one_for_all_runs_and_others_are_not() -> None:
    admission = Admission()
    limits = {"api": slots(2, shared=True), "run": slots(1)}
    admission.open("r", limits, 0)
    admission.open("q", limits, 0)
    for run in "rq":
        offer(admission, units(api=1, run=1), 1, 2, run=run)
    assert [item.run for item in admission.admit(0)] == ["r", "q"]
    assert {queue.cause for queue in admission.waiting()} <= {"slot:run", "slot:api"}
    assert admission.limit("api") is admission.limit("api", "r") is admission.limit("api", "q")
    assert admission.limit("run", "r") is not admission.limit("run", "q")


def test_the_latest_numbers_of_a_shared_limit_hold() -> None:
    admission = Admission()
    admission.open("r", {"api": slots(1, shared=True)}, 0)
    offer(admission, units(api=1), 1, 2)
    assert go(admission, 0) == [1]
    admission.open("q", {"api": slots(2, shared=True)}, 1)
    assert admission.next() is not None
    assert go(admission, 1) == [2]


def test_an_open_run_may_be_given_other_numbers() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2, 3)
    assert go(admission, 0) == [1]
    admission.open("r", {"run": slots(2)}, 5, priority=1)
    assert go(admission, 5) == [2]


def test_a_limit_of_a_run_may_become_one_of_all() -> None:
    admission = opened(api=slots(1))
    offer(admission, units(api=1), 1)
    assert go(admission, 0) == [1]
    admission.open("q", {"api": slots(1, shared=True)}, 1)
    admission.open("r", {"api": slots(1, shared=True)}, 1)
    offer(admission, units(api=1), 2, run="q", at=1)
    assert go(admission, 1) == [2]
    end(admission, key(1), at=2)
    offer(admission, units(api=1), 3, at=2)
    assert go(admission, 2) == []
    assert admission.limit("api", "r") is admission.limit("api")


def test_a_closed_run_waits_no_more_but_holds_what_is_in_flight() -> None:
    admission = Admission()
    limits = {"api": slots(1, shared=True), "run": slots(1)}
    admission.open("r", limits, 0)
    admission.open("q", limits, 0)
    offer(admission, units(api=1, run=1), 1, 2)
    assert go(admission, 0) == [1]
    offer(admission, units(api=1, run=1), 7, run="q")
    admission.close("r")
    assert go(admission, 1) == []
    assert len(admission) == 1
    assert admission.fork().admitted == 1
    end(admission, key(1), at=2)
    assert go(admission, 2) == [7]
    assert admission.waiting() == []


def test_a_call_of_a_closed_run_that_is_put_back_is_forgotten() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1)
    admission.admit(0)
    admission.close("r")
    admission.put_back(key(1), "claim", 1)
    assert len(admission) == admission.admitted == 0


@pytest.mark.parametrize("cause", [PAUSE, COMMIT])
def test_nothing_of_a_held_run_goes_through(cause: str) -> None:
    admission = Admission()
    limits = {"api": slots(1, shared=True)}
    admission.open("r", limits, 0)
    admission.open("q", limits, 0)
    offer(admission, units(api=1), 1)
    admission.hold("r", cause, 0)
    offer(admission, units(api=1), 2, 3, at=1)
    offer(admission, units(api=1), 4, run="q", at=1)
    assert go(admission, 1) == [4]
    assert admission.waiting("r") == [Queue(cause, None, 3)]
    assert admission.waits_of("r", name(2)) == Queue(cause, None, 1)
    assert admission.next() is None
    end(admission, key(4, "q"), at=2)
    assert go(admission, 2) == []
    admission.free("r", 3)
    (item,) = admission.admit(3)
    assert item.waits == (Wait(cause, 0, 3),)


def test_bad_offers_are_refused_with_what_to_do() -> None:
    admission = opened(run=slots(1))
    with pytest.raises(ValueError, match="run 'q' is not open"):
        offer(admission, units(run=1), 1, run="q")
    with pytest.raises(ValueError, match="neither run 'r' nor any other has named a limit 'api'"):
        offer(admission, units(api=1), 1)
    offer(admission, units(run=1), 1)
    with pytest.raises(ValueError, match="has offered s1#1 already"):
        offer(admission, units(run=1), 1)
    with pytest.raises(ValueError, match="a weight is above 0"):
        admission.open("z", {}, 0, weight=0)
    with pytest.raises(ValueError, match="no run has named a limit 'api'"):
        admission.limit("api")
    assert len(admission) == 1


# -- leaving ----------------------------------------------------------------------------------


def test_withdrawing_tells_whether_the_call_waited() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2, 3)
    assert go(admission, 0) == [1]
    assert not admission.withdraw("r", name(1))
    assert not admission.withdraw("nobody", name(1))
    assert admission.withdraw("r", name(2))
    assert not admission.withdraw("r", name(2))
    assert len(admission) == 1
    assert admission.waiting() == [Queue("slot:run", None, 1)] or go(admission, 0) == []
    end(admission, key(1), at=1)
    assert go(admission, 1) == [3]


def test_many_withdrawn_calls_are_let_go_of() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), *range(1_000))
    assert go(admission, 0) == [0]
    for number in range(2, 1_000):
        assert admission.withdraw("r", name(number))
    admission.check()
    (group,) = admission._rooms["r"].groups
    assert len(group.heap) < 20
    end(admission, key(0), at=1)
    assert go(admission, 1) == [1]


def test_a_call_may_be_offered_again_after_it_was_withdrawn() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2, 3)
    assert go(admission, 0) == [1]
    admission.withdraw("r", name(2))
    offer(admission, units(run=1), 2, at=1)
    end(admission, key(1), at=2)
    assert go(admission, 2) == [3]
    end(admission, key(3), at=3)
    (again,) = admission.admit(3)
    assert again.waits == (Wait("slot:run", 1, 3),)


def test_what_is_put_back_has_its_old_place_and_waited_for_the_cause() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2, 3)
    assert go(admission, 0) == [1]
    end(admission, key(1), at=4)
    (second,) = admission.admit(4)
    admission.put_back(second.key, "claim", 6)
    admission.check()
    assert admission.admitted == 0
    (again,) = admission.admit(6)
    assert again.call == name(2)
    assert again.waits == (Wait("slot:run", 0, 4), Wait("claim", 4, 6))
    admission.release(again.key, 7)
    assert go(admission, 7) == [3]


def test_what_never_left_does_not_count() -> None:
    admission = opened(api=rate(1, 100))
    offer(admission, units(api=1), 1, 2)
    (first,) = admission.admit(0)
    assert admission.waiting() == [Queue("rate:api", None, 1)]
    admission.release(first.key, 5)
    assert go(admission, 5) == [2]


# -- time -------------------------------------------------------------------------------------


def test_a_window_calls_again_at_the_very_instant_at_which_it_has_room() -> None:
    admission = opened(api=rate(2, 100))
    offer(admission, units(api=1), 1, 2, 3, 4)
    assert go(admission, 0) == [1, 2]
    assert admission.admit(0) == []
    assert admission.next() == 100
    assert admission.waiting() == [Queue("rate:api", 100, 2)]
    assert go(admission, 99) == []
    assert go(admission, 100) == [3, 4]
    assert admission.next() is None


def test_only_events_help_where_a_slot_is_missing() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2)
    go(admission, 0)
    assert admission.next() is None
    end(admission, key(1), at=3)
    assert admission.next() == 0


def test_of_several_limits_the_next_instant_is_the_soonest() -> None:
    admission = opened(a=rate(1, 100), b=rate(1, 70))
    offer(admission, units(a=1), 1, 2)
    offer(admission, units(b=1), 3, 4)
    assert go(admission, 0) == [1, 3]
    assert go(admission, 0) == []
    assert admission.next() == 70
    assert go(admission, 70) == [4]
    assert admission.admit(70) == []
    assert admission.next() == 100
    admission.withdraw("r", name(2))
    assert admission.next() is None


def test_a_refusal_closes_the_limit_for_all_until_it_says() -> None:
    admission = Admission()
    for run in "rq":
        admission.open(run, {"api": LimitSpec(requests=(Rate(9, 100),), margin=0)}, 0)
    offer(admission, units(api=1), 1)
    assert go(admission, 0) == [1]
    news = admission.settle(key(1), Ending("refused", retry_after=50), 1)
    assert [item.what for item in news][:1] == ["closed"]
    offer(admission, units(api=1), 2, run="q", at=2)
    assert go(admission, 2) == []
    ((cause, until, count),) = [(q.cause, q.until, q.count) for q in admission.waiting()]
    assert (cause, count) == ("closed:api", 1)
    assert until is not None
    assert until >= 51
    assert admission.next() == until
    assert go(admission, until) == [2]


def test_what_the_provider_says_reaches_the_limits_of_the_call() -> None:
    admission = opened(api=rate(9, 100))
    offer(admission, units(api=1), *range(9))
    (first, *_) = admission.admit(0)
    admission.sent(first.key, 0)
    admission.quota(first.key, [Quota(kind="requests", limit=4)], 1)
    assert [use.allowed for use in admission.limit("api").used(1)] == [4]


def test_other_processes_hold_shared_limits_too() -> None:
    admission = opened(api=slots(2, shared=True))
    there = Entry("api", "far/x#1", 2, Claim(), sent=0)
    admission.sync([there, Entry("unknown", "far/x#1", 1, Claim())], {"unknown": None})  # type: ignore[dict-item]
    offer(admission, units(api=1), 1)
    assert go(admission, 0) == []
    admission.forget("api", "far/x#1")
    assert go(admission, 1) == [1]
    # What is held here is known better here.
    admission.sync([Entry("api", key(1), 1, Claim(), sent=0, over=True)], {})
    assert [use.used for use in admission.limit("api").used(1)] == [1]
    admission.forget("unknown", key(1))


# -- what will never fit ----------------------------------------------------------------------


def test_a_hopeless_head_is_told_of_once_until_something_changes() -> None:
    purse = LimitSpec(cost=(Rate(100, 0),), shared=False, on_exceed="pause")
    admission = opened(purse=purse)
    dear = Claim(units=(("purse", 1),), most_cost=60)
    offer(admission, dear, 1, 2)
    assert go(admission, 0) == [1]
    # The first one may yet turn out to be cheaper.
    assert admission.hopeless() == []
    admission.settle(key(1), Ending("done", Spent(1, 1, 50)), 1)
    assert go(admission, 1) == []
    expected = [Hopeless("r", name(2), "purse", "budget:purse", "pause")]
    assert admission.hopeless() == expected
    assert admission.hopeless() == []
    assert go(admission, 2) == []
    assert admission.hopeless() == []
    admission.hold("r", PAUSE, 3)
    admission.free("r", 4)
    assert go(admission, 4) == []
    assert admission.hopeless() == expected
    admission.open("r", {"purse": LimitSpec(cost=(Rate(200, 0),), shared=False)}, 5)
    assert go(admission, 5) == [2]


def test_each_class_of_a_used_up_budget_is_told_of() -> None:
    purse = LimitSpec(cost=(Rate(100, 0),), shared=False, on_exceed="fail")
    admission = opened(purse=purse, run=slots(5))
    offer(admission, Claim(units=(("purse", 1),), most_cost=300), 1, 2)
    offer(admission, Claim(units=(("purse", 1), ("run", 1)), most_cost=300), 3)
    assert go(admission, 0) == []
    assert [item.call for item in admission.hopeless()] == [name(1), name(3)]
    admission.withdraw("r", name(1))
    assert go(admission, 1) == []
    assert [item.call for item in admission.hopeless()] == [name(2)]


def test_nobody_is_told_of_a_call_that_has_gone() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=2), 1)
    assert go(admission, 0) == []
    admission.withdraw("r", name(1))
    assert admission.hopeless() == []


# -- waits ------------------------------------------------------------------------------------


def test_what_did_not_wait_has_no_waits() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, at=7)
    (item,) = admission.admit(7)
    assert item.waits == ()


def test_the_waits_name_each_cause_for_its_time() -> None:
    admission = opened(run=slots(2), a=slots(1), b=slots(1))
    offer(admission, units(a=1, run=1), 1, 2)
    go(admission, 0)
    assert admission.waiting() == [Queue("slot:a", None, 1)]
    offer(admission, units(b=1, run=2), 3, at=2)
    go(admission, 2)
    end(admission, key(1), at=5)
    admission.hold("r", PAUSE, 5)
    assert go(admission, 5) == []
    assert admission.waiting() == [Queue(PAUSE, None, 2)]
    admission.free("r", 8)
    (second,) = admission.admit(8)
    assert second.waits == (Wait("slot:a", 0, 5), Wait(PAUSE, 5, 8))
    end(admission, second.key, at=11)
    (third,) = admission.admit(11)
    assert third.waits == (Wait("slot:run", 2, 5), Wait(PAUSE, 5, 8), Wait("slot:run", 8, 11))


def test_those_further_back_in_a_line_learn_of_a_new_cause_too() -> None:
    admission = opened(api=LimitSpec(requests=(Rate(1, 100),), margin=0), x=slots(9))
    offer(admission, units(api=1), 1, 2)
    offer(admission, units(api=1, x=1), 3)
    go(admission, 0)
    go(admission, 0)
    admission.settle(key(1), Ending("refused", retry_after=50), 10)
    assert go(admission, 10) == []
    due = admission.next()
    assert due is not None
    assert go(admission, due) == [2]
    end(admission, key(2), at=due)
    over = due + 100
    (third,) = admission.admit(over)
    assert [wait.cause for wait in third.waits] == ["rate:api", "closed:api", "rate:api"]
    assert [wait.since for wait in third.waits] == [0, 10, due]


def test_a_call_behind_the_head_waits_from_its_own_beginning() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2)
    go(admission, 0)
    offer(admission, units(run=1), 3, at=4)
    end(admission, key(1), at=6)
    go(admission, 6)
    end(admission, key(2), at=9)
    (third,) = admission.admit(9)
    assert third.waits == (Wait("slot:run", 4, 9),)


def test_what_held_up_an_earlier_queue_is_not_counted_to_a_later_one() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2)
    go(admission, 0)
    assert admission.withdraw("r", name(2))
    end(admission, key(1), at=1)
    offer(admission, units(run=1), 3, at=10)
    (third,) = admission.admit(11)
    assert third.waits == ()


def test_what_gave_way_to_another_run_waits_for_its_share() -> None:
    admission = Admission()
    for run in "rq":
        admission.open(run, {"api": slots(1, shared=True)}, 0)
        offer(admission, units(api=1), 1, run=run)
    (first,) = admission.admit(0)
    assert first.run == "r"
    assert admission.waiting("q") == [Queue("slot:api", None, 1)]
    end(admission, first.key, at=4)
    (second,) = admission.admit(4)
    assert second.waits == (Wait("share", 0, 4),)


def test_what_gave_way_to_its_own_run_waits_for_the_limit() -> None:
    admission = opened(api=slots(1, shared=True), run=slots(9))
    offer(admission, units(api=1), 1)
    offer(admission, units(api=1, run=1), 2)
    (first,) = admission.admit(0)
    end(admission, first.key, at=4)
    (second,) = admission.admit(4)
    assert second.waits == (Wait("slot:api", 0, 4),)


def test_what_has_taken_its_part_waits_for_the_limit() -> None:
    admission = Admission()
    for run in "rq":
        admission.open(run, {"api": slots(2, shared=True)}, 0)
    offer(admission, units(api=1), 1, 2)
    offer(admission, units(api=1), 3, run="q")
    first, second = admission.admit(0)
    assert (first.run, second.run) == ("r", "q")
    end(admission, first.key, at=4)
    (third,) = admission.admit(4)
    assert third.waits == (Wait("slot:api", 0, 4),)


def test_what_held_a_call_up_when_it_was_first_seen_has_done_so_since_it_waits() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, at=5)
    go(admission, 5)
    offer(admission, units(run=1), 2, at=3)
    assert go(admission, 6) == []
    end(admission, key(1), at=9)
    (second,) = admission.admit(9)
    assert second.waits == (Wait("slot:run", 3, 9),)


def test_a_cause_that_lasts_no_time_leaves_no_trace() -> None:
    log: list[tuple[int, str]] = []
    for cause, at in (("a", 0), ("b", 5), ("a", 5), ("c", 7), ("d", 7)):
        note(log, cause, at)
    assert log == [(0, "a"), (7, "d")]


def test_the_number_of_waits_is_bounded_however_often_the_cause_changes() -> None:
    admission = opened(run=slots(1))
    offer(admission, units(run=1), 1, 2)
    go(admission, 0)
    for at in range(1, 1_001):
        if at % 2:
            admission.hold("r", PAUSE, at)
        else:
            admission.free("r", at)
        assert go(admission, at) == []
    end(admission, key(1), at=2_000)
    (second,) = admission.admit(2_000)
    assert 1 < len(second.waits) <= MAX_WAITS
    assert second.waits[0].since == 0
    for one, two in zip(second.waits, second.waits[1:], strict=False):
        assert one.until == two.since
    assert second.waits[-1] == Wait("slot:run", 1_000, 2_000)


def test_a_long_log_stays_exact_where_it_is_recent() -> None:
    log: list[tuple[int, str]] = []
    for at in range(0, 1_000, 2):
        note(log, "ab"[at // 2 % 2], at)
    assert len(log) <= 32
    assert cut(log, 990, 1_000) == [
        Wait("ab"[at // 2 % 2], at, at + 2) for at in range(990, 1_000, 2)
    ]
    whole = cut(log, 0, 1_000)
    assert (whole[0].since, whole[-1].until) == (0, 1_000)


def test_the_shortest_pieces_are_counted_to_the_one_before() -> None:
    waits = [Wait("ab"[at // 10 % 2], at, at + 10) for at in range(0, 90, 10)]
    waits[4] = Wait("a", 40, 42)
    waits[5] = Wait("b", 42, 60)
    found = bounded(waits)
    # With the short one gone the two beside it are one.
    assert found == (*waits[:3], Wait("b", 30, 60), *waits[6:])
    many = [Wait(str(at), at, at + 1 + at % 3) for at in range(40)]
    assert len(bounded(many)) == MAX_WAITS


# -- what it costs ----------------------------------------------------------------------------


def work_of(do: Callable[[], object]) -> int:
    """How many lines of Python something takes."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    # A collection has lines of its own: those whom it tells of itself.
    gc.disable()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
        gc.enable()
    return lines


@pytest.mark.parametrize("act", ["admit", "waiting", "withdraw", "offer"])
def test_the_work_does_not_grow_with_the_queue(act: str) -> None:
    def work(waiting: int) -> int:
        admission = opened(run=slots(2), a=slots(1), b=slots(1))
        for number in range(0, waiting, 2):
            offer(admission, units(a=1, run=1), number)
            offer(admission, units(b=1, run=1), number + 1)
        admission.admit(0)
        end(admission, key(0), at=1)
        if act == "waiting":
            return work_of(admission.waiting)
        if act == "withdraw":
            return work_of(lambda: admission.withdraw("r", name(2)))
        if act == "offer":
            return work_of(lambda: offer(admission, units(a=1, run=1), 10**6))
        return work_of(lambda: admission.admit(1))

    assert work(10_000) == work(10)


def test_a_class_in_line_is_not_looked_at_while_nothing_happens_to_its_limit() -> None:
    def work(classes: int) -> int:
        limits = {f"l{number:02d}": slots(1) for number in range(50)}
        admission = opened(run=slots(100), **limits)
        for number in range(classes):
            offer(admission, units(**{f"l{number:02d}": 1}, run=1), number, 100 + number)
        admission.admit(0)
        end(admission, key(1), at=1)
        return work_of(lambda: admission.admit(1))

    # Of the run's own slots there are enough, so nobody stands in line for them.
    assert work(50) == work(5)
