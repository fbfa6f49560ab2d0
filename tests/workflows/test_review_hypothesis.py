"""A review under any order of verdicts, failures, mendings and crashes."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.workflows.jury import Jury

from hocket.core.teams import Member, ReviewSpec
from hocket.workflows.review_poll import Poll, Verdict

MANY = settings(
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ONE = (Member(name="a", agent="a"),)
SURE = (0.0, 0.3, 0.5, 1.0)

# -- the poll, against all ways in which it could go on -------------------------------------


@st.composite
def polls(draw: st.DrawFn) -> tuple[ReviewSpec, list[Verdict], list[float]]:
    spec = ReviewSpec(
        members=ONE,
        threshold=draw(st.sampled_from([0.3, 0.5, 0.6, 0.75, 1.0])),
        fail_open=draw(st.booleans()),
        open_weight=draw(st.sampled_from([0.2, 1.0, 1.5])),
    )
    weights = st.sampled_from([0.5, 1.0, 2.0])
    verdicts = [
        draw(st.sampled_from(ways(spec, draw(weights)))) for _ in range(draw(st.integers(0, 3)))
    ]
    return spec, verdicts, draw(st.lists(weights, max_size=3))


def ways(spec: ReviewSpec, weight: float) -> list[Verdict]:
    """All that a reviewer may come to."""
    own = spec.open_weight if spec.fail_open else weight
    failed = Verdict(approves=spec.fail_open, weight=own, failed=True)
    return [failed] + [
        Verdict(approves=approves, weight=weight, confidence=sure)
        for approves in (True, False)
        for sure in SURE
    ]


def approved(spec: ReviewSpec, verdicts: list[Verdict]) -> bool:
    """Judge verdicts from the rule's own words; all numbers here are exact in tenths."""
    weights = [round(v.weight * v.confidence * 1000) for v in verdicts]
    for_ = sum(w for w, v in zip(weights, verdicts, strict=True) if v.approves)
    heard = any(not v.failed for v in verdicts)
    share = round(spec.threshold * 1000)
    return heard and sum(weights) > 0 and for_ * 1000 >= share * sum(weights)


def ends(spec: ReviewSpec, verdicts: list[Verdict], open_: list[float]) -> set[bool]:
    rest = product(*[ways(spec, weight) for weight in open_])
    return {approved(spec, [*verdicts, *more]) for more in rest}


@MANY
@given(polls())
def test_it_is_settled_exactly_when_all_ways_end_alike(
    some: tuple[ReviewSpec, list[Verdict], list[float]],
) -> None:
    found = ends(*some)
    assert Poll(*some).settled() == (found.pop() if len(found) == 1 else None)


@MANY
@given(polls())
def test_no_fewer_verdicts_than_needed_could_settle_it(
    some: tuple[ReviewSpec, list[Verdict], list[float]],
) -> None:
    spec, verdicts, open_ = some

    def could(count: int) -> bool:
        for places in combinations(range(len(open_)), count):
            left = [weight for i, weight in enumerate(open_) if i not in places]
            for more in product(*[ways(spec, open_[i]) for i in places]):
                if Poll(spec, [*verdicts, *more], left).settled() is not None:
                    return True
        return False

    fewest = next(count for count in range(len(open_) + 1) if could(count))
    assert Poll(*some).needed() <= fewest
    if spec.open_weight < min(open_, default=1.0):
        assert Poll(*some).needed() == fewest


# -- the machine ----------------------------------------------------------------------------


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    by = " ".join(
        f"{n}:{draw(st.sampled_from([1, 1, 2]))}" for n in "ab"[: draw(st.integers(1, 2))]
    )
    return {
        "by": by,
        "swarm": draw(st.integers(1, 6)),
        "protocol": draw(st.sampled_from(["single", "self-correct"])),
        "threshold": draw(st.sampled_from([0.3, 0.5, 0.6, 0.9])),
        "fail_open": draw(st.booleans()),
    }


def act(jury: Jury, path: str, choice: int) -> None:
    """The call in flight at a path ends in one of many ways."""
    what = path.rsplit("/", maxsplit=1)[-1].split("~", maxsplit=1)[0]
    if choice % 7 == 0:
        jury.fails(path)
    elif choice % 7 == 1:
        jury.done(path, None)
    elif what in ("judge", "vote"):
        word = "approve" if choice % 2 else "reject"
        said = {"verdict": word, "confidence": choice % 11 / 10, "issues": [], "reason": word}
        jury.done(path, said)
    else:
        jury.done(path, f"<{path} {choice}>")


@MANY
@given(data=st.data())
def test_there_is_one_outcome_whatever_happens(data: st.DataObject) -> None:
    chosen = data.draw(fields())
    chosen["max_rounds"] = data.draw(st.integers(1, 3))
    author = data.draw(st.sampled_from(["", "m", "fn"]))
    if chosen["max_rounds"] > 1 and author != "m":
        chosen["fixer"] = "n"
    waves, early = data.draw(st.booleans()), data.draw(st.booleans())
    start = data.draw(st.booleans())
    # Each event is followed by a comparison with a fold of all events, and with a fork.
    jury = Jury(author=author, waves=waves, early=early, drive={"start": start}, **chosen)
    steps = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 76)), max_size=25))
    for kind, number in steps:
        if jury.phase == "failed":
            jury.land().retry()
        elif jury.phase != "running":
            break
        if kind == 0 and number < 12:
            jury.crash()
        elif kind in (1, 2) and jury.asked:
            jury.launch(list(jury.asked)[number % len(jury.asked)])
        elif jury.asks:
            act(jury, "s/" + jury.asks[number % len(jury.asks)], number)
    retried = len(jury.said("RetryRequested"))
    for number in range(400):
        if jury.phase != "running":
            break
        if jury.asked:
            jury.launch(next(iter(jury.asked)))
        else:
            act(jury, "s/" + jury.asks[number % len(jury.asks)], number + 3)
    jury.land()
    assert jury.phase in ("succeeded", "failed")
    report = jury.report
    assert report.waiting == 0
    assert sum(jury.fates.values()) == jury.started, "each call has one fate"
    if jury.phase == "succeeded" and not author:
        assert sum(jury.output["calls"].values()) == jury.started
    ends_ = [row for row in report.rows if row.what == "decides"]
    assert len(ends_) <= 1 + retried
    if jury.phase == "succeeded":
        counted = [j for j in report.judgements if j.counts]
        assert counted
        for_ = sum(j.weight for j in counted if j.choice == "approve")
        enough = for_ >= chosen["threshold"] * sum(j.weight for j in counted) - 1e-9 and for_ > 0
        if author:
            assert enough, "what is not approved does not pass"
        elif jury.output["approved"]:
            assert enough


@MANY
@given(data=st.data())
def test_early_stop_and_waves_change_no_verdict(data: st.DataObject) -> None:
    chosen = data.draw(fields())
    means = [data.draw(st.integers(0, 76)) for _ in range(6)]
    order = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=20))
    found = {}
    for waves, early in product((True, False), (True, False)):
        jury = Jury(drive={"thorough": False}, waves=waves, early=early, **chosen)
        for turn in range(100):
            if not jury.asks:
                break
            path = jury.asks[order[turn % len(order)] % len(jury.asks)]
            number = int(path[1])
            stage = path.split("/")[1]
            # Whoever fails does so at a stage of its own; the rest of its stages go well.
            last = stage in ("judge", "vote")
            act(jury, f"s/{path}", means[number - 1] if last else 2)
        jury.land()
        found[waves, early] = jury.output["approved"]
        wasted = {fate: n for fate, n in jury.fates.items() if fate in ("discarded", "cancelled")}
        nonsense = any(m % 7 < 2 for m in means)
        if waves and early and not nonsense:
            assert not wasted, "whoever has started is heard"
        if not early:
            assert len(jury.output["verdicts"]) == chosen["swarm"]
    assert len(set(found.values())) == 1, found


@MANY
@given(data=st.data())
def test_no_more_are_at_work_than_could_settle_it(data: st.DataObject) -> None:
    chosen = data.draw(fields())
    jury = Jury(drive={"thorough": False, "checked": False}, **chosen)
    spec: Any = jury.spec.workflow.steps[0].team
    verdicts: dict[str, Verdict] = {}
    weight = [spec.members[i % len(spec.members)].weight for i in range(spec.swarm)]
    while jury.asks:
        open_ = [w for i, w in enumerate(weight, 1) if f"r{i}" not in verdicts]
        assert len(jury.asks) <= Poll(spec, verdicts.values(), open_).needed()
        path = data.draw(st.sampled_from(jury.asks))
        stage = path.split("/")[1]
        act(jury, f"s/{path}", data.draw(st.integers(0, 76)) if stage != "assess" else 2)
        for one in jury.report.judgements:
            own = weight[int(one.member[1]) - 1]
            failed = one.reason not in ("approve", "reject")
            verdicts[one.member] = Verdict(
                approves=one.choice == "approve",
                weight=(spec.open_weight if spec.fail_open else own) if failed else own,
                confidence=one.confidence,
                failed=failed,
            )
    assert jury.phase == "succeeded"
