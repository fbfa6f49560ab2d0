"""The admission queue: never over a limit, never idle, first come first served, exact waits."""

import itertools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.events import Wait
from hocket.core.values import Call
from hocket.limits.admission import MAX_WAITS, PAUSE, Admission

RUN = ("run",)
A = ("agent:a", "run")
B = ("agent:b", "run")


def name(number: int) -> Call:
    return Call(f"s{number}", 1)


def offered(admission: Admission, limits: tuple[str, ...], *numbers: int, at: int = 0) -> None:
    for number in numbers:
        admission.offer(name(number), limits, at)


def numbers(admitted: list[Any]) -> list[int]:
    return [int(item.call.path[1:]) for item in admitted]


def test_calls_go_through_in_the_order_in_which_they_came() -> None:
    admission = Admission({"run": 2})
    offered(admission, RUN, 1, 2, 3, 4)
    assert numbers(admission.admit(0)) == [1, 2]
    admission.release(name(2))
    assert numbers(admission.admit(5)) == [3]
    admission.release(name(1))
    admission.release(name(3))
    assert numbers(admission.admit(6)) == [4]
    assert not len(admission)
    assert admission.admitted == 1


def test_a_class_that_is_held_up_does_not_hold_up_another() -> None:
    admission = Admission({"run": 3, "agent:a": 1, "agent:b": 5})
    offered(admission, A, 1, 2, 3)
    offered(admission, B, 4, 5)
    assert numbers(admission.admit(0)) == [1, 4, 5]
    assert admission.blocked() == {"slot:agent:a": 2}


def test_the_oldest_head_goes_first() -> None:
    admission = Admission({"run": 1, "agent:a": 9, "agent:b": 9})
    offered(admission, B, 1)
    offered(admission, A, 2)
    offered(admission, B, 3)
    order = []
    for at in range(3):
        order += numbers(admission.admit(at))
        admission.release(name(order[-1]))
    assert order == [1, 2, 3]


def test_what_did_not_wait_has_no_waits() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, at=7)
    (item,) = admission.admit(7)
    assert item.waits == ()


def test_the_waits_name_each_cause_for_its_time() -> None:
    admission = Admission({"run": 1, "agent:a": 1, "agent:b": 1})
    offered(admission, A, 1, 2)
    admission.admit(0)
    assert admission.blocked() == {"slot:agent:a": 1}
    offered(admission, B, 3, at=2)
    admission.release(name(1))
    assert admission.admit(5, PAUSE) == []
    assert admission.blocked() == {PAUSE: 2}
    (second,) = admission.admit(8)
    assert second.waits == (Wait("slot:agent:a", 0, 5), Wait(PAUSE, 5, 8))
    admission.release(name(2))
    (third,) = admission.admit(11)
    assert third.waits == (Wait(PAUSE, 5, 8), Wait("slot:run", 8, 11))


def test_a_call_behind_the_head_waits_from_its_own_beginning() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, 2)
    admission.admit(0)
    offered(admission, RUN, 3, at=4)
    admission.release(name(1))
    admission.admit(6)
    admission.release(name(2))
    (third,) = admission.admit(9)
    assert third.waits == (Wait("slot:run", 4, 9),)


def test_what_held_up_an_earlier_queue_is_not_counted_to_a_later_one() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, 2)
    admission.admit(0)
    assert admission.withdraw(name(2))
    admission.release(name(1))
    offered(admission, RUN, 3, at=10)
    (third,) = admission.admit(11)
    assert third.waits == ()


def test_withdrawing_tells_whether_the_call_waited() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, 2, 3)
    admission.admit(0)
    assert not admission.withdraw(name(1))
    assert admission.withdraw(name(2))
    assert not admission.withdraw(name(2))
    assert len(admission) == 1
    assert admission.blocked() == {"slot:run": 1}
    admission.release(name(1))
    assert numbers(admission.admit(1)) == [3]


def test_a_call_may_be_offered_again_after_it_was_withdrawn() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, 2, 3)
    admission.admit(0)
    admission.withdraw(name(2))
    offered(admission, RUN, 2, at=1)
    admission.release(name(1))
    assert numbers(admission.admit(2)) == [3]
    admission.release(name(3))
    (again,) = admission.admit(3)
    assert again.waits == (Wait("slot:run", 1, 3),)


def test_nothing_goes_through_while_paused() -> None:
    admission = Admission({"run": 9})
    offered(admission, RUN, 1, 2)
    assert admission.admit(0, PAUSE) == []
    assert admission.blocked() == {PAUSE: 2}
    assert numbers(admission.admit(1)) == [1, 2]


def test_the_number_of_waits_is_bounded_however_often_the_cause_changes() -> None:
    admission = Admission({"run": 1})
    offered(admission, RUN, 1, 2)
    admission.admit(0)
    for at in range(1, 1_001):
        admission.admit(at, PAUSE if at % 2 else "")
    admission.release(name(1))
    (second,) = admission.admit(2_000)
    assert 1 < len(second.waits) <= MAX_WAITS
    assert_covers(second.waits, 0, 2_000)
    assert second.waits[-1] == Wait("slot:run", 1_000, 2_000)


# Any order of events


def assert_covers(waits: tuple[Wait, ...], since: int, until: int) -> None:
    edges = [since, *(wait.until for wait in waits)]
    assert [wait.since for wait in waits] == edges[:-1]
    assert edges[-1] == until
    assert all(wait.since < wait.until for wait in waits)
    assert all(one.cause != two.cause for one, two in itertools.pairwise(waits))


class Plain:
    """The queue as one would write it without a thought of speed."""

    def __init__(self, capacities: dict[str, int]) -> None:
        self.capacities = capacities
        self.queue: list[tuple[Call, tuple[str, ...], int]] = []
        self.held: dict[Call, tuple[str, ...]] = {}
        self.causes: dict[tuple[str, ...], list[tuple[int, str]]] = {}

    def cause(self, limits: tuple[str, ...], paused: bool) -> str:
        if paused:
            return PAUSE
        for limit in limits:
            if sum(limit in held for held in self.held.values()) >= self.capacities[limit]:
                return f"slot:{limit}"
        return ""

    def admit(self, at: int, paused: bool) -> list[tuple[Call, list[Wait]]]:
        out = []
        while True:
            seen: set[tuple[str, ...]] = set()
            for entry in self.queue:
                call, limits, since = entry
                if limits not in seen and not self.cause(limits, paused):
                    self.queue.remove(entry)
                    self.held[call] = limits
                    out.append((call, self.waits(limits, since, at)))
                    break
                seen.add(limits)
            else:
                break
        for limits in {limits for _, limits, _ in self.queue}:
            self.causes.setdefault(limits, []).append((at, self.cause(limits, paused)))
        return out

    def waits(self, limits: tuple[str, ...], since: int, at: int) -> list[Wait]:
        waits: list[Wait] = []
        causes = [*self.causes.get(limits, []), (at, "")]
        for (begun, cause), (until, _) in itertools.pairwise(causes):
            begun = max(begun, since)
            if begun >= until:
                continue
            if waits and waits[-1].cause == cause:
                waits[-1] = Wait(cause, waits[-1].since, until)
            else:
                waits.append(Wait(cause, begun, until))
        return waits


LIMITS = (RUN, A, B, ("agent:a",))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "offer", "offer", "release", "release", "withdraw", "pause"]),
        st.integers(0, 30),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_whatever_happens_it_does_what_the_plain_queue_does(
    steps: list[tuple[str, int, int]], run: int, a: int, b: int
) -> None:
    capacities = {"run": run, "agent:a": a, "agent:b": b}
    admission, plain = Admission(capacities), Plain(capacities)
    since: dict[Call, int] = {}
    at, paused = 0, False
    for number, (what, pick, gap) in enumerate(steps):
        at += gap
        if what == "offer":
            call, limits = name(number), LIMITS[pick % len(LIMITS)]
            since[call] = at
            admission.offer(call, limits, at)
            plain.queue.append((call, limits, at))
        elif what == "release" and plain.held:
            call = list(plain.held)[pick % len(plain.held)]
            admission.release(call)
            del plain.held[call]
        elif what == "withdraw" and plain.queue:
            entry = plain.queue.pop(pick % len(plain.queue))
            assert admission.withdraw(entry[0])
        elif what == "pause":
            paused = not paused
        expected = plain.admit(at, paused)
        found = admission.admit(at, PAUSE if paused else "")
        assert [item.call for item in found] == [call for call, _ in expected]
        for item, (call, waits) in zip(found, expected, strict=True):
            if at > since[call]:
                assert_covers(item.waits, since[call], at)
            if len(waits) < MAX_WAITS:
                assert list(item.waits) == waits
        used = {limit: 0 for limit in capacities}
        for limits in plain.held.values():
            for limit in limits:
                used[limit] += 1
        assert all(used[limit] <= capacities[limit] for limit in used)
        assert len(admission) == len(plain.queue) == sum(admission.blocked().values())
        assert admission.admitted == len(plain.held)


def work_of(do: Callable[[], object]) -> int:
    """How many lines of Python something takes."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("act", ["admit", "blocked"])
def test_the_work_does_not_grow_with_the_queue(act: str) -> None:
    def work(waiting: int) -> int:
        admission = Admission({"run": 2, "agent:a": 1, "agent:b": 1})
        for number in range(0, waiting, 2):
            offered(admission, A, number)
            offered(admission, B, number + 1)
        admission.admit(0)
        admission.release(name(0))
        if act == "blocked":
            return work_of(admission.blocked)
        return work_of(lambda: admission.admit(1))

    assert work(10_000) == work(10)
