"""A call that goes past the queue goes exactly as if it had been offered and admitted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import Call
from hocket.limits.admission import Admission, Admitted
from hocket.limits.claim import Claim, Ending

LIMITS = {
    "slots": LimitSpec(concurrency=3, shared=False, adaptive=False),
    "rate": LimitSpec(requests=(Rate(3, 40),), margin=0),
    "words": LimitSpec(tokens=(Rate(50, 40),), margin=0, adaptive=False),
}
CLAIMS = [
    Claim(units=(("slots", 1),)),
    Claim(units=(("slots", 2),)),
    Claim(units=(("rate", 1), ("slots", 1))),
    Claim(units=(("words", 1),), tokens_in=20, tokens_out=5),
    Claim(units=(("words", 1),), tokens_in=21, tokens_out=5),
]
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.sampled_from(CLAIMS), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 30), st.none(), st.none()),
        st.tuples(st.just("settle"), st.integers(0, 5), st.booleans(), st.none()),
        st.tuples(st.just("hold"), st.integers(0, 2), st.booleans(), st.none()),
    ),
    max_size=40,
)


class Side:
    """An admission with three runs, and who holds its limits."""

    def __init__(self, past: bool) -> None:
        self.past = past
        self.admission = Admission(seed=3)
        self.inside: list[str] = []
        self.told: list[object] = []
        for run in range(3):
            self.admission.open(f"r{run}", LIMITS, 0, weight=1 + run)

    def let_in(self, admitted: list[Admitted], at: int) -> None:
        for item in admitted:
            self.told.append((at, item))
            self.inside.append(item.key)
            self.admission.sent(item.key, at)

    def ask(self, run: str, call: Call, claim: Claim, rank: int, at: int) -> None:
        since = max(0, at - 2)
        if self.past:
            item = self.admission.pass_by(run, call, claim, at, since, rank, 9)
            if item is not None:
                self.let_in([item], at)
                return
        self.admission.offer(run, call, claim, since, rank=rank, lasts=9)

    def go(self, at: int) -> None:
        self.let_in(self.admission.admit(at), at)
        self.told += [self.admission.hopeless(), self.admission.next(), self.admission.waiting()]
        self.admission.check()


@given(MOVES)
@settings(max_examples=400, deadline=None)
def test_it_comes_to_the_same_as_to_wait_in_the_queue(moves: list[tuple]) -> None:  # type: ignore[type-arg]
    sides = [Side(past=True), Side(past=False)]
    at = 0
    for number, (what, first, second, third) in enumerate(moves):
        if what == "wait":
            at += first
        for side in sides:
            if what == "ask":
                side.ask(f"r{first}", Call(f"s{number}", 1), second, third, at)
            elif what == "settle" and side.inside:
                key = side.inside.pop(first % len(side.inside))
                ending = Ending("refused" if second else "done", round_trip=1)
                side.told += side.admission.settle(key, ending, at)
            elif what == "hold" and second:
                side.admission.hold(f"r{first}", "pause", at)
            elif what == "hold":
                side.admission.free(f"r{first}", at)
            side.go(at)
    assert sides[0].told == sides[1].told
    forks = [side.admission.fork() for side in sides]
    assert forks[0].waiting() == forks[1].waiting()


def test_it_goes_only_where_nobody_waits_and_nothing_has_happened() -> None:
    side = Side(past=True)
    admission, claim = side.admission, CLAIMS[0]
    for number in range(3):
        assert admission.pass_by("r0", Call(f"s{number}", 1), claim, 0, 0) is not None
    # It does not fit, and nothing has changed: it can be offered.
    assert admission.pass_by("r0", Call("late", 1), claim, 0, 0) is None
    admission.offer("r0", Call("late", 1), claim, 0)
    # Somebody is to be judged first; another run has slots of its own, and waits for that.
    assert admission.pass_by("r1", Call("other", 1), claim, 0, 0) is None
    assert admission.admit(0) == []
    assert admission.pass_by("r1", Call("other", 1), claim, 0, 0) is not None
    # One that would overtake who stands in line has to stand behind.
    assert admission.pass_by("r0", Call("larger", 1), CLAIMS[1], 0, 0) is None
    admission.hold("r2", "pause", 0)
    assert admission.pass_by("r2", Call("held", 1), claim, 0, 0) is None
    assert admission.pass_by("nobody", Call("x", 1), claim, 0, 0) is None
