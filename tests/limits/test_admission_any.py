"""Whatever happens: no bound is passed, no limit idles, every wait is accounted for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.core.events import Wait
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import Call
from hocket.limits.admission import MAX_WAITS, Admission, Admitted
from hocket.limits.claim import Claim, Ending, EndingKind, Entry, Spent, key_of

PER = 40
LIMITS = {
    "slots": LimitSpec(concurrency=4, adaptive=False),
    "rate": LimitSpec(requests=(Rate(3, PER), Rate(8, 4 * PER)), margin=0, adaptive=False),
    "words": LimitSpec(tokens=(Rate(100, PER),), concurrency=3, margin=0, adaptive=False),
    "space": LimitSpec(spacing=5, margin=0, adaptive=False),
    "purse": LimitSpec(cost=(Rate(300, 0),), on_exceed="fail"),
    "own": LimitSpec(concurrency=2, shared=False),
}
CLAIMS = [
    Claim(units=(("own", 1),)),
    Claim(units=(("own", 1), ("rate", 1))),
    Claim(units=(("rate", 1),)),
    Claim(units=(("rate", 1), ("slots", 3))),
    Claim(units=(("slots", 1),)),
    Claim(units=(("own", 2), ("slots", 2))),
    Claim(units=(("words", 1),), tokens_in=7, tokens_out=3),
    Claim(units=(("words", 1),), tokens_in=60, tokens_out=35),
    Claim(units=(("words", 1),), tokens_in=8, tokens_out=3),
    Claim(units=(("slots", 1), ("words", 1)), tokens_in=30, tokens_out=30),
    Claim(units=(("space", 1),)),
    Claim(units=(("purse", 1), ("space", 1)), most_cost=45),
    Claim(units=(("purse", 1),), most_cost=48),
    Claim(units=(("purse", 1),), most_cost=400),
    Claim(),
]
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
RUNS = ("a", "b", "c")
ENDINGS: tuple[EndingKind, ...] = ("done", "done", "other", "refused", "down")


def step(number: int) -> int:
    return next((item for item in STEPS if item >= number), 0) if number else 0


def class_of(claim: Claim) -> tuple[object, ...]:
    return (
        claim.units,
        step(claim.tokens_in),
        step(claim.tokens_out),
        step(claim.most_tokens),
        step(claim.most_cost),
    )


class Offered(msgspec.Struct):
    run: str
    call: Call
    claim: Claim
    rank: int
    number: int
    since: int
    told: int


class World:
    """Does each thing to an admission and to its forks, and knows what must hold."""

    def __init__(self, patience: int, weights: Iterable[tuple[int, int]]) -> None:
        self.at = 0
        self.reserves = patience < 10**9
        first = Admission(seed=7, max_overtake=patience)
        for run, (priority, weight) in zip(RUNS, weights, strict=True):
            first.open(run, LIMITS, 0, priority=priority, weight=weight)
        self.twins = [first]
        self.waiting: dict[tuple[str, Call], Offered] = {}
        self.flying: dict[str, Offered] = {}
        self.waits: dict[str, tuple[Wait, ...]] = {}
        self.unsent: dict[str, int] = {}
        self.starts: list[tuple[int, str, Claim]] = []
        self.ranked: dict[Call, int] = {}
        self.held: dict[str, str] = {}
        self.count = 0

    def each(self, name: str, *args: object, **more: object) -> object:
        """Do one thing to all twins, which must answer alike."""
        answers = [getattr(twin, name)(*args, **more) for twin in self.twins]
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    def offer(self, run: str, claim: Claim, rank: int, late: int, lasts: int | None) -> None:
        self.count += 1
        call = Call(f"s{self.count}", 1)
        since = max(0, self.at - late)
        self.waiting[run, call] = Offered(run, call, claim, rank, self.count, since, self.at)
        self.each("offer", run, call, claim, since, rank=rank, lasts=lasts)

    def withdraw(self, pick: int) -> None:
        if not self.waiting:
            assert self.each("withdraw", "a", Call("nobody", 1)) is False
            return
        run, call = list(self.waiting)[pick % len(self.waiting)]
        del self.waiting[run, call]
        assert self.each("withdraw", run, call) is True
        assert self.each("withdraw", run, call) is False

    def put_back(self, pick: int) -> None:
        if self.unsent:
            key = list(self.unsent)[pick % len(self.unsent)]
            admitted = self.unsent.pop(key)
            item = self.flying.pop(key)
            self.waits[key] = _and(self.waits[key], Wait("claim", admitted, self.at))
            self.waiting[item.run, item.call] = item
            self.each("put_back", key, "claim", self.at)

    def release(self, pick: int) -> None:
        if self.unsent:
            key = list(self.unsent)[pick % len(self.unsent)]
            del self.unsent[key], self.flying[key]
            self.each("release", key, self.at)

    def send(self, pick: int) -> None:
        if self.unsent:
            key = list(self.unsent)[pick % len(self.unsent)]
            del self.unsent[key]
            self.starts.append((self.at, key, self.flying[key].claim))
            self.each("sent", key, self.at)

    def settle(self, pick: int) -> None:
        sent = [key for key in self.flying if key not in self.unsent]
        if sent:
            key = sent[pick % len(sent)]
            del self.flying[key]
            spent = Spent(5, 3, 20) if pick % 2 else None
            ending = Ending(ENDINGS[pick % len(ENDINGS)], spent)
            self.each("settle", key, ending, self.at)

    def hold(self, run: str, pick: int) -> None:
        if run in self.held:
            del self.held[run]
            self.each("free", run, self.at)
        else:
            self.held[run] = ("pause", "commit")[pick % 2]
            self.each("hold", run, self.held[run], self.at)

    def rerank(self, run: str, pick: int) -> None:
        def rank(call: Call) -> int:
            return int(call.path[1:]) * (pick + 1) % 5

        self.each("rerank", run, rank)
        for item in self.waiting.values():
            if item.run == run:
                item.rank = rank(item.call)

    def sync(self, pick: int) -> None:
        entry = Entry("slots", f"far/{pick % 3}", 1, Claim(), self.at, over=pick % 2 == 1)
        self.each("sync", [entry], {})

    def admit(self) -> None:
        admitted = self.each("admit", self.at)
        assert isinstance(admitted, list)
        for item in admitted:
            self.start(item)
        for twin in self.twins:
            twin.check()
        self.judge()

    def start(self, item: Admitted) -> None:
        offered = self.waiting.pop((item.run, item.call))
        assert item.run not in self.held
        assert item.key == key_of(item.run, item.call)
        assert item.claim == offered.claim
        shared = tuple(name for name, _ in item.claim.units if name != "own")
        assert item.shared == shared
        before = self.waits.get(item.key, ())
        waits = item.waits
        if len(waits) < MAX_WAITS:
            assert waits[: max(0, len(before) - 1)] == before[:-1]
        # What nothing has held up when it was first looked at has not waited until then.
        begun = waits[0].since if waits else self.at
        assert begun in (offered.since, offered.told)
        assert_covers(waits, begun, self.at)
        self.waits[item.key] = waits
        self.flying[item.key] = offered
        self.unsent[item.key] = self.at

    def judge(self) -> None:
        """Look at everything as one would without a thought of speed."""
        admission = self.twins[0]
        assert len(admission) == len(self.waiting)
        assert admission.admitted == len(self.flying)
        queues = admission.waiting()
        assert sum(item.count for item in queues) == len(self.waiting)
        assert all(item.until is None or item.until > self.at for item in queues)
        kept = {q.cause[9:] for q in queues if q.cause.startswith("reserved:")}
        heads: dict[tuple[object, ...], Offered] = {}
        for item in self.waiting.values():
            kind = (item.run, class_of(item.claim))
            head = heads.get(kind)
            if head is None or (-item.rank, item.number) < (-head.rank, head.number):
                heads[kind] = item
        for item in heads.values():
            if item.run in self.held:
                continue
            blocks = [
                admission.limit(name, item.run).blocked(units, item.claim, self.at)
                for name, units in item.claim.units
            ]
            causes = [block for block in blocks if block is not None]
            if not causes:
                names = [name for name, _ in item.claim.units]
                assert self.reserves and any(name in kept for name in names), item
        due = admission.next()
        assert due is None or due > self.at
        if due is None:
            # Whatever stands in line for an instant is called then.
            assert all(item.until is None for item in queues)
        self.bounds()

    def bounds(self) -> None:
        """Count what was let through by the plain rules."""
        flying = self.flying.values()
        for name, most in (("slots", 4), ("words", 3)):
            assert sum(dict(item.claim.units).get(name, 0) for item in flying) <= most
        for run in RUNS:
            own = [dict(i.claim.units).get("own", 0) for i in flying if i.run == run]
            assert sum(own) <= 2
        for name, amount, per in (("rate", 3, PER), ("rate", 8, 4 * PER), ("space", 1, 5)):
            times = [at for at, _, claim in self.starts if name in dict(claim.units)]
            assert sum(at > self.at - per for at in times) <= amount
            open_ = sum(name in dict(self.flying[key].claim.units) for key in self.unsent)
            assert sum(at > self.at - per for at in times) + open_ <= amount


def _and(waits: tuple[Wait, ...], more: Wait) -> tuple[Wait, ...]:
    if more.since == more.until:
        return waits
    if waits and waits[-1].cause == more.cause:
        return (*waits[:-1], Wait(more.cause, waits[-1].since, more.until))
    return (*waits, more)


def assert_covers(waits: tuple[Wait, ...], since: int, until: int) -> None:
    edges = [since, *(wait.until for wait in waits)]
    assert [wait.since for wait in waits] == edges[:-1]
    assert edges[-1] == until
    assert all(wait.since < wait.until for wait in waits)
    assert all(one.cause != two.cause for one, two in itertools.pairwise(waits))
    assert len(waits) <= MAX_WAITS


ACTS = st.tuples(
    st.sampled_from(
        ["offer"] * 6
        + ["send"] * 4
        + ["settle"] * 3
        + ["withdraw", "put_back", "release", "hold", "rerank", "sync", "fork", "wait", "jump"]
    ),
    st.integers(0, 59),
    st.integers(0, 3),
)
WEIGHTS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1, 3])), min_size=3, max_size=3)


@settings(max_examples=250, deadline=None)
@given(st.lists(ACTS, max_size=70), WEIGHTS, st.sampled_from([0, 10, 10**18]))
def test_whatever_happens_it_keeps_what_it_promises(
    acts: list[tuple[str, int, int]], weights: list[tuple[int, int]], patience: int
) -> None:
    world = World(patience, weights)
    for what, pick, gap in acts:
        world.at += gap
        run = RUNS[pick % 3]
        if what == "offer":
            lasts = None if pick % 4 == 0 else 3 + pick % 7
            world.offer(run, CLAIMS[pick % len(CLAIMS)], pick % 2, gap * (pick % 2), lasts)
        elif what in ("hold", "rerank"):
            getattr(world, what)(run, pick)
        elif what == "fork":
            world.twins = [world.twins[0], world.twins[-1].fork()]
        elif what == "wait":
            world.at += 10
        elif what == "jump":
            due = world.twins[0].next()
            world.at = max(world.at, due or 0)
        else:
            getattr(world, what)(pick)
        world.admit()


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTS, max_size=60), WEIGHTS)
def test_everything_is_over_some_day(
    acts: list[tuple[str, int, int]], weights: list[tuple[int, int]]
) -> None:
    world = World(20, weights)
    for what, pick, gap in acts:
        world.at += gap
        if what == "offer":
            claim = CLAIMS[pick % 11]
            world.offer(RUNS[pick % 3], claim, pick % 2, 0, None)
        elif what in ("send", "settle", "withdraw", "put_back"):
            getattr(world, what)(pick)
        world.admit()
    for _ in range(1_000):
        if not world.waiting and not world.flying:
            break
        while world.unsent:
            world.send(0)
            world.admit()
        world.settle(0)
        world.admit()
        due = world.twins[0].next()
        if due is not None and not world.flying:
            world.at = max(world.at, due)
        world.at += 1
        world.admit()
    assert not world.waiting
    assert not world.flying
