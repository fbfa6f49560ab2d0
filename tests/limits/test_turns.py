"""How the runs of several processes take turns at a limit, as each of them works it out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import SECOND
from hocket.limits.claim import Claim, Entry
from hocket.limits.limit import Limit
from hocket.limits.turns import GRACE, REPEAT, STALE, Turns, Want, room_in, roughly, share_out

AT = 1_000 * SECOND


def slots(amount: int) -> Limit:
    return Limit("api", LimitSpec(concurrency=amount))


def window(amount: int) -> Limit:
    return Limit("api", LimitSpec(requests=(Rate(amount, SECOND),), margin=0))


def want(room: str, waiting: int = 99, *, units: int = 1, **more: Any) -> Want:
    """A run of this process if its name is written small, of another one if not."""
    more = {"mine": room.islower(), "at": AT, **more}
    return Want("api", room, units, Claim(), waiting, **more)


def rooms(wants: list[Want]) -> str:
    return "".join(one.room for one in wants)


@pytest.mark.parametrize(
    ("places", "wants", "promised"),
    [
        (4, [want("a"), want("B")], "BB"),
        (4, [want("a", tag=0.5), want("B")], "BB"),
        (5, [want("a", tag=0.5), want("B")], "BBB"),
        (5, [want("b"), want("A")], "AAA"),
        (8, [want("a"), want("B", weight=3.0)], "BBBBBB"),
        (8, [want("a", weight=3.0), want("B")], "BB"),
        (4, [want("a"), want("B", priority=1)], "BBBB"),
        (4, [want("a", priority=1), want("B")], ""),
        (4, [want("a", deadline=9), want("B", deadline=7)], "BBBB"),
        (4, [want("a", deadline=9), want("B")], ""),
        (6, [want("a"), want("B"), want("C")], "BCBC"),
        (6, [want("a"), want("B", 1)], "B"),
        # What is left when nobody waits here any more is not worth a promise.
        (6, [want("a", 1), want("B")], "B"),
        (6, [want("a", 2), want("B")], "BB"),
        (6, [want("a"), want("B", 0)], ""),
        (4, [want("B"), want("C")], ""),
        (4, [want("a")], ""),
        (0, [], ""),
        (4, [want("a"), want("B", units=4, tag=-1.0)], "B"),
        # One that does not fit holds up nobody.
        (3, [want("a"), want("B", units=4, tag=-1.0)], ""),
        (3, [want("a"), want("B", units=4, tag=-1.0), want("C")], "CC"),
    ],
)
def test_who_gets_what_is_left(places: int, wants: list[Want], promised: str) -> None:
    limit = slots(places or 1)
    assert rooms(share_out(limit, wants, AT)) == promised
    assert rooms(share_out(limit, wants[::-1], AT)) == promised
    assert limit.entries(AT) == []


def test_a_full_limit_has_nothing_to_deal_and_a_window_only_what_is_free() -> None:
    limit = window(4)
    for number in range(4):
        limit.sync(Entry("api", f"x/{number}", 1, Claim(), AT + number))
    wants = [want("a"), want("B", tag=-9.0)]
    assert share_out(limit, wants, AT + 9) == []
    assert rooms(share_out(limit, wants, AT + SECOND + 1)) == "BB"


def test_runs_that_each_see_the_same_tags_agree() -> None:
    """What one process keeps for the other is what the other takes for itself, and so round."""
    tags = {"a": 0.0, "b": 0.0}
    weights = {"a": 1.0, "b": 3.0}
    got = {"a": 0, "b": 0}
    for places in (1, 2, 3, 8, 5, 1, 1, 13) * 50:
        promised = {}
        for me in tags:
            wants = [
                Want(
                    "api",
                    name,
                    1,
                    Claim(),
                    99,
                    weight=weights[name],
                    tag=tags[name],
                    mine=name == me,
                )
                for name in tags
            ]
            promised[me] = len(share_out(slots(places), wants, AT))
        assert promised["a"] + promised["b"] == places
        for me, other in (("a", "b"), ("b", "a")):
            got[me] += promised[other]
            tags[me] += promised[other] / weights[me]
    assert got["a"] / sum(got.values()) == pytest.approx(0.25, abs=0.002)


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.sampled_from("abCDE"),
            st.integers(0, 6),
            st.integers(1, 4),
            st.integers(0, 1),
            st.sampled_from([0.5, 1.0, 3.0]),
            st.integers(0, 5),
        ),
        unique_by=lambda one: one[0],
    ),
)
def test_a_promise_always_fits_and_leaves_the_limit_alone(places: int, given: list[Any]) -> None:
    wants = [
        want(room, waiting, units=units, priority=priority, weight=weight, tag=float(tag))
        for room, waiting, units, priority, weight, tag in given
    ]
    limit = slots(places)
    limit.sync(Entry("api", "x/s#1", 1, Claim()))
    before = limit.entries(AT)
    promised = share_out(limit, wants, AT)
    assert promised == share_out(limit, wants, AT)
    assert limit.entries(AT) == before
    limit.check()
    assert sum(one.units for one in promised) <= places - 1
    for one in wants:
        assert promised.count(one) <= (0 if one.mine else one.waiting)
    if not any(one.mine and one.waiting for one in wants):
        assert promised == []


class Other:
    """Turns of a process with a run ``a``, beside one of another process with a run ``B``."""

    def __init__(self, places: int = 1) -> None:
        self.limit = slots(places)
        self.turns = Turns()
        self.own = [want("a")]

    def learn(self, *wants: Want) -> None:
        self.turns.learn("api", wants)

    def deal(self, at: int, **asked: int) -> str:
        kept = self.turns.deal(self.limit, self.own, asked, at)
        assert len({entry.key for entry in kept}) == len(kept)
        return "".join(entry.key[-1] for entry in kept)


def test_nothing_is_kept_where_nobody_else_waits() -> None:
    other = Other()
    assert (other.turns.limits, other.deal(AT), other.turns.next()) == ([], "", None)
    other.learn(want("a"), want("B", 0))
    assert (other.turns.limits, other.deal(AT)) == ([], "")
    other.learn(want("B"))
    assert (other.turns.limits, other.deal(AT)) == (["api"], "B")
    other.learn()
    assert (other.turns.limits, other.deal(AT), other.turns.next()) == ([], "", None)


def test_what_is_kept_and_not_used_is_free_after_the_grace() -> None:
    other = Other()
    other.learn(want("a", tag=5.0), want("B"))
    assert other.deal(AT) == "B"
    assert other.turns.next() == AT + GRACE
    assert other.deal(AT + GRACE - 1) == "B"
    assert other.deal(AT + GRACE) == ""
    assert other.turns.next() is None
    assert other.deal(AT + GRACE + 1) == ""
    # The same again is no news; that it waits still, is.
    other.learn(want("a", tag=5.0), want("B"))
    assert other.deal(AT + REPEAT) == ""
    other.learn(want("a", tag=5.0), want("B", at=AT + REPEAT))
    assert other.deal(AT + REPEAT) == "B"


def test_the_grace_begins_anew_with_each_call_that_goes_through() -> None:
    other = Other(3)
    other.learn(want("a", tag=5.0), want("B"))
    assert other.deal(AT) == "BBB"
    other.learn(want("a", tag=5.0), want("B", tag=1.0))
    assert other.deal(AT + GRACE - 1) == "BBB"
    assert other.deal(AT + GRACE) == "BBB"
    assert other.turns.next() == AT + 2 * GRACE - 1


def test_who_is_late_holds_up_only_what_was_kept_for_it() -> None:
    other = Other(2)
    other.learn(want("a", tag=5.0), want("B"))
    assert other.deal(AT) == "BB"
    other.learn(want("a", tag=5.0), want("B"), want("C", tag=1.5))
    assert other.deal(AT + GRACE - 1) == "BB"
    assert other.deal(AT + GRACE) == "CC"
    assert other.turns.next() == AT + 2 * GRACE


def test_who_was_not_heard_of_for_long_does_not_count() -> None:
    other = Other()
    other.learn(want("B"))
    assert other.deal(AT + STALE) == "B"
    assert other.deal(AT + STALE + 1) == ""


def test_calls_that_wait_for_the_ledger_count_already() -> None:
    other = Other(2)
    other.learn(want("a"), want("B", tag=0.5))
    assert other.deal(AT) == "B"
    assert other.deal(AT, a=1) == "B"
    assert other.deal(AT, a=2) == "BB"


def test_a_run_that_the_ledger_does_not_know_yet_begins_last() -> None:
    other = Other()
    other.learn(want("B", tag=7.0), want("C", tag=3.0))
    assert other.deal(AT) == "C"
    other.learn(want("B", tag=7.0))
    assert other.deal(AT) == "B"
    assert other.deal(AT, a=1) == "B"
    other.own = [want("A", mine=True)]
    assert other.deal(AT) == ""


def test_numbers_are_told_roughly() -> None:
    assert [roughly(number) for number in (0, 1, 2, 3, 4, 7, 8, 63, 64, 10_000)] == [
        0, 1, 2, 2, 4, 4, 8, 32, 64, 64,
    ]  # fmt: skip


def test_a_key_names_its_room() -> None:
    assert room_in("p-abc~2/step/3#1") == "p-abc~2"


def test_what_others_have_seen_of_a_call_s_way_counts_here() -> None:
    spec = LimitSpec(requests=(Rate(1, SECOND),))
    limit, stated = Limit("api", spec), Limit("api", msgspec.structs.replace(spec, margin=0))
    for one in (limit, stated):
        one.sync(Entry("api", "x", 1, Claim(), AT))
        one.sync(Entry("api", "x", 1, Claim(), AT, True, AT + 5))
    block = limit.blocked(1, Claim(), AT + 9)
    assert block is not None and block.until == AT + 5 + SECOND
    assert limit.blocked(1, Claim(), AT + 5 + SECOND) is None
    block = stated.blocked(1, Claim(), AT + 9)
    assert block is not None and block.until == AT + SECOND
    limit.check()
