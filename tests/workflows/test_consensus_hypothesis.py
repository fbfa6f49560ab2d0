"""A consensus under any order of answers, votes, revisions, failures, time-outs and crashes."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.workflows.parley import Parley

from hocket.core.events import AnyEvent, CallStarted
from hocket.core.values import SECOND, Call
from hocket.workflows.consensus_policies import WAYS

NAMES = "abcde"
MANY = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def fields(draw: st.DrawFn, *, timed: bool) -> dict[str, Any]:
    """A consensus of up to five members."""
    count = draw(st.integers(2, 5))
    policy = draw(st.sampled_from([*sorted(WAYS), "once", *["rounds"] * 6]))
    found: dict[str, Any] = {
        "policy": policy,
        "rule": draw(st.sampled_from(["plurality", "majority", "threshold", "unanimous"])),
        "threshold": draw(st.sampled_from([0.4, 0.5, 0.6, 1.0])),
        "weigh": draw(st.sampled_from(["equal", "agent", "confidence"])),
        "of": draw(st.sampled_from(["all", "cast"])),
        "tie": draw(st.sampled_from(["order", "runoff"])),
        "quorum": draw(st.integers(1, count)),
        "final": draw(st.sampled_from(["reuse", "present", "synthesize"])),
        "max_rounds": draw(st.integers(1, 4)),
    }
    weights = [draw(st.sampled_from([1, 2, 3])) for _ in range(count)]
    if found["weigh"] != "agent":
        weights = [1] * count
    found["names"] = " ".join(f"{n}:{w}" for n, w in zip(NAMES, weights, strict=False))
    if policy == "rounds":
        found["rounds"] = draw(st.integers(1, 3))
        found["lead"] = draw(st.sampled_from([None, 1, 2]))
    if policy == "batch":
        found["batch"] = 3 * SECOND
    if not WAYS[found["policy"]].eager:
        found["votes"] = draw(st.sampled_from(["together", "as_needed"]))
    if found.get("votes") != "as_needed":
        found["early"] = draw(st.booleans())
    if timed:
        found["soft"] = draw(st.sampled_from([None, 5 * SECOND]))
        found["hard"] = draw(st.sampled_from([None, 9 * SECOND]))
        found["max_duration"] = draw(st.sampled_from([None, 20 * SECOND]))
    return found


class Watched(Parley):
    """Notes what each call was asked with when it left."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.prompts: dict[Call, str] = {}
        super().__init__(*args, **kwargs)

    def apply(self, event: AnyEvent) -> Watched:
        if isinstance(event, CallStarted):
            self.prompts[event.call] = self.machine.request(event.call)[1]
        super().apply(event)
        return self

    def act(self, path: str, choice: int) -> None:
        """The call in flight at a path ends in one of many ways."""
        what = path.rpartition("/")[2].partition("~")[0]
        fresh = f"<{path} {choice}>"
        if choice == 0:
            self.fails(path)
        elif what != "vote":
            self.done(path, None if choice == 1 else fresh)
        elif choice == 1:
            self.done(path, {"vote": "nobody"})
        elif choice in (2, 3):
            self.done(path, {"action": "revise", "answer": fresh, "vote": ""})
        else:
            labels = sorted(seat.label for seat in self.rules._table.seats)
            ballot = {"vote": labels[choice % len(labels)], "confidence": choice % 11 / 10}
            self.done(path, ballot | {"reason": "", "action": "vote", "answer": ""})

    def finish(self, order: list[int]) -> None:
        """Let everything that is still asked for come to its end."""
        for turn in range(400):
            if self.phase != "running":
                break
            if self.asked:
                self.launch(next(iter(self.asked)))
            elif self.asks:
                number = order[turn % len(order)] if order else turn
                self.act("q/" + self.asks[number % len(self.asks)], 4 + number)
            else:
                self.wait(30)
        else:
            raise AssertionError(f"it never ends: {self.rows}")


def judge(parley: Watched) -> None:
    """What must hold in the end."""
    parley.land()
    assert parley.phase in ("succeeded", "failed")
    assert len(parley.said("RunEnded")) == 1
    assert len(parley.said("StepFailed")) == (parley.phase == "failed")
    report = parley.report
    assert report.waiting == 0
    assert sum(parley.fates.values()) == parley.started, "each call has one fate"
    spec: Any = parley.spec.workflow.steps[0].team
    decides = [row for row in parley.rows if row.startswith("decides")]
    final = [row for row in decides if "nothing yet" not in row]
    assert len(final) == 1, "there is one decision"
    seats = {seat.label: seat for seat in parley.rules._table.seats}
    if parley.phase == "failed":
        assert sum(seat.place == "in" for seat in seats.values()) < spec.quorum
        return
    output = parley.output
    assert output["winner"]["member"] in output["answers"]
    assert sum(output["calls"].values()) == parley.started
    current = [seat.contents[-1] for seat in seats.values() if seat.place == "in"]
    counted = [seat.vote for seat in seats.values() if seat.vote is not None]
    between = parley.rules._table.between
    for cast in counted:
        prompts = [text for call, text in parley.prompts.items() if call.path == f"q/{cast.path}"]
        for content in current if not between else [seats[k].contents[-1] for k in between]:
            assert content in prompts[-1], "a vote counts that knows not all that it is about"
    votes = output["votes"]
    assert sum(vote["counts"] for vote in votes) == len(counted)
    assert [v for v in votes if v["counts"] and v["choice"] != output["winner"]["member"]] == (
        output["dissent"]
    )
    answers = [row.at for row in report.rows if row.what in ("answers", "fails")]
    decided = next(row.at for row in report.rows if row.what == "decides")
    assert len(answers) >= len(seats)
    assert sorted(answers)[len(seats) - 1] <= decided


@MANY
@given(data=st.data())
def test_there_is_one_outcome_whatever_happens(data: st.DataObject) -> None:
    chosen = data.draw(fields(timed=True))
    names = chosen.pop("names")
    queued = data.draw(st.booleans())
    parley = Watched(names, drive={"start": not queued}, **chosen)
    drawn = Random(data.draw(st.integers(0, 2**32)))
    steps = [(drawn.randint(0, 9), drawn.randint(0, 30)) for _ in range(drawn.randint(0, 25))]
    for kind, number in steps:
        if parley.phase != "running":
            break
        if kind == 0:
            parley.wait(number / 5)
        elif kind == 1 and number < 8:
            parley.crash()
        elif kind in (2, 3) and parley.asked:
            parley.launch(list(parley.asked)[number % len(parley.asked)])
        elif parley.asks:
            parley.act("q/" + parley.asks[number % len(parley.asks)], number)
    parley.finish([number for _, number in steps])
    judge(parley)


@settings(MANY, max_examples=400)
@given(data=st.data())
def test_early_stop_and_votes_as_needed_change_no_winner(data: st.DataObject) -> None:
    chosen = data.draw(fields(timed=False))
    names = chosen.pop("names")
    chosen.pop("early", None)
    chosen.pop("votes", None)
    members = [word[0] for word in names.split()]
    # What is drawn one by one is mostly zero, and then nobody disagrees.
    drawn = Random(data.draw(st.integers(0, 2**32)))
    # How much a voter likes an answer depends on its revision, so a new one may change all.
    likes = {n: {other: [drawn.random() for _ in range(4)] for other in members} for n in members}
    sure = {name: drawn.randint(0, 10) / 10 for name in members}
    wants = {name: drawn.choice([0, 0, 0, 1, 2]) for name in members}
    fails = {name: drawn.choice(["", "", "", "", "answer", "vote"]) for name in members}
    order = [drawn.randint(0, 30) for _ in range(20)]
    ways: list[dict[str, Any]] = [{"early": False}, {"early": True}]
    if not WAYS[chosen["policy"]].eager:
        ways.append({"votes": "as_needed"})
    ends = []
    for way in ways:
        parley = Watched(names, drive={"thorough": False}, **chosen, **way)
        left = dict(wants)
        for turn in range(400):
            if not parley.asks:
                if parley.phase != "running":
                    break
                parley.wait(30)
                continue
            path = "q/" + parley.asks[order[turn % len(order)] % len(parley.asks)]
            _, name, what = path.split("/")
            what = what.split("~")[0]
            if what == fails.get(name):
                parley.fails(path)
            elif what == "vote":
                seat = next(s for s in parley.rules._table.seats if s.name == name)
                if seat.may_revise and left[name]:
                    left[name] -= 1
                    new = {"action": "revise", "vote": "", "answer": f"{name} {left[name]}"}
                    parley.done(path, new)
                    continue
                table = parley.rules._table
                can = table.between or parley.rules.view_of(path.removeprefix("q/"))
                there = [s for s in table.seats if s.label in can]
                choice = max(there, key=lambda s: likes[name][s.name][len(s.contents) - 1]).name
                parley.vote(sure[name], **{name: choice})
            else:
                parley.done(path, f"by {name}")
        parley.land()
        ends.append((parley.phase, parley.phase == "succeeded" and parley.winner))
    assert len(set(ends)) == 1, ends
