"""A study compares variants by equal chance, says how certain it is, and whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

import msgspec
import pytest
from tests.simulator.policies import consensus, drawn, spec_of
from tests.simulator.records import again, lister, played, record, trace, wide, workers

from hocket.core.errors import CallerError, NotFound
from hocket.core.events import Usage, Wait
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.values import SECOND, format_duration, unit_fraction
from hocket.insight.trace import Activity, Change, Stop, Trace
from hocket.simulator.agents import Act, Asked, Cast, Latency, People, Player
from hocket.simulator.assume import Assumed
from hocket.simulator.calibrate import Simulated
from hocket.simulator.faults import parse_fault
from hocket.simulator.match import match_of
from hocket.simulator.outcome import Row, Spread, Study
from hocket.simulator.parts import Played
from hocket.simulator.study import Scenario, Variant, seed_of, study
from hocket.simulator.sums import Ran, beside, certain, row_of, spread, with_frontier

RUNS = 24


def scenario(spec: RunSpec, agents: Any, *faults: str, **fields: Any) -> Scenario:
    return Scenario(spec, {}, agents, faults=tuple(map(parse_fault, faults)), **fields)


def variant(name: str, spec: RunSpec, agents: Any, *faults: str, **fields: Any) -> Variant:
    return Variant(name, (name,), scenario(spec, agents, *faults, **fields))


def team(policy: str = "once", limited: bool = True) -> RunSpec:
    return spec_of(consensus(policy), limited)


def of(*variants: Variant, runs: int = RUNS, seed: int = 7, **fields: Any) -> Study:
    return study("r", scenario(team(), drawn()), variants, runs, seed, **fields)


# ---- rows ----


def test_a_row_sums_its_runs_up() -> None:
    spec = wide(6, on_failure="continue")
    agents = workers(6, 3, 0.3, price=(2, 9), tokens_out=50)
    found = study("r", scenario(spec, agents, "worker refuses 30% for 2s"), (), RUNS, 3)
    runs = [
        played(spec, with_faults(spec, agents, "worker refuses 30% for 2s"), seed_of(3, k))
        for k in range(RUNS)
    ]
    row = found.baseline
    assert (row.runs, row.success, row.name, row.why) == (RUNS, 1.0, "baseline", "")
    assert row.seconds == spread(run.took / SECOND for run in runs)
    assert row.calls == spread(len(run.calls) for run in runs)
    assert row.refused == spread(sum(m.how == "refused" for m in run.calls) for run in runs)
    assert row.refused.high > 0
    usages = [[m.usage for m in run.calls if m.usage is not None] for run in runs]
    assert row.usd == spread(sum(u.cost or 0 for u in some) / 1e12 for some in usages)
    assert row.tokens == spread(
        sum((u.tokens_in or 0) + (u.tokens_out or 0) for u in some) for some in usages
    )
    # The one who lists has no price.
    assert row.unpriced
    assert (row.faster, row.cheaper, row.certain) == (None, None, None)


def with_faults(spec: RunSpec, agents: Any, *faults: str) -> Any:
    from hocket.simulator.study import cast_of

    return cast_of(scenario(spec, agents, *faults))


def test_a_scenario_is_played_with_its_deaths_and_with_what_is_known_of_calls() -> None:
    spec = wide(8, hedge=0.5)
    agents = workers(8, 3, 0.5)
    past = record(played(spec, agents)).past
    variants = [
        variant("dies", spec, agents, "machine dies at 2s back 30s"),
        variant("hedges", spec, agents, past=past),
    ]
    found = study("r", scenario(spec, agents), variants, 9, 3)
    assert found.baseline.calls.median == 9
    dies, hedges = found.variants
    assert dies.seconds.low > 30
    assert dies.calls.median > 9
    assert hedges.calls.median > 9


def test_what_a_later_answer_makes_void_is_wasted() -> None:
    found = of(variant("restart", team("restart_all"), drawn()))
    assert found.baseline.wasted == Spread(0, 0, 0)
    (restart,) = found.variants
    assert restart.wasted.median >= 3
    assert restart.calls.median > found.baseline.calls.median == 14


def test_kept_answers_are_no_calls() -> None:
    found = study("r", scenario(wide(6), workers(6, 3, 0.0)), (), 2, 3)
    assert found.baseline.calls.median == 7
    real = trace(played(wide(6), workers(6, 3, 0.0)))
    one = real.activities[-1]
    real.activities[-1] = msgspec.structs.replace(one, cached=True)
    agents = Simulated(wide(6), None, record(played(wide(6), workers(6, 3, 0.0))))
    kept = study("r", scenario(wide(6), agents, kept=frozenset({one.path})), (), 2, 3)
    assert kept.baseline.calls.median == 6


def test_a_run_that_waits_for_ever_has_not_succeeded_and_is_named() -> None:
    steps = (
        StepSpec(name="do", agent="worker"),
        StepSpec(name="ask", kind="approve", input="Go?", needs=("do",), when="do == 'ask'"),
    )
    agents = {"worker": AgentSpec(kind="scripted")}
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents)

    def gives(asked: Asked) -> str:
        return "ask" if asked.draw("asks") < 0.4 else "not"

    cast = Cast({"worker": Player(gives=gives)})
    never = People(after=None)
    found = study("r", scenario(spec, cast, people=never), (), 40, 3)
    assert found.baseline.success == pytest.approx(0.6, abs=0.25)
    endless = round(40 * (1 - found.baseline.success))
    assert found.assumed[0].startswith(f"{endless} of 40 runs of baseline stand still: ")
    always = Cast({"worker": Player(gives=lambda _: "ask")})
    none = study("r", scenario(spec, always, people=never), (), 5, 3)
    assert none.baseline.success == 0
    # It stands still once they are asked, not when they have been waited for in vain.
    assert (none.baseline.why, none.baseline.figures) == ("", "stand still")
    assert none.baseline.seconds == Spread(1, 1, 1)
    assert none.baseline.calls.median == 1
    assert none.assumed[0].startswith("baseline stands still: ")


def test_a_run_without_an_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hocket.simulator.study._MOST_EVENTS", 5)
    found = study("r", scenario(wide(6), workers(6, 3, 0.0)), (), 3, 1)
    (note,) = found.assumed
    assert note.startswith("baseline stands still: there is no end after 5 events.")


def test_who_waits_for_what_never_comes_says_so() -> None:
    step = StepSpec(name="ask", kind="approve", input="Go?", on_timeout="pause")
    spec = RunSpec(workflow=PlanSpec(name="p", steps=(step,)))
    found = study("r", scenario(spec, Cast({}), people=People(after=None)), (), 2, 1)
    assert found.baseline.seconds == Spread(0, 0, 0)
    assert found.assumed[0].startswith("baseline stands still: ")
    assert "'ask'" in found.assumed[0]


def test_a_baseline_that_stands_still_leaves_the_variants_their_rows() -> None:
    spec = wide(6)
    agents = workers(6, 3, 0.2, price=(0, 10**10), tokens_out=1)
    poor = msgspec.structs.replace(
        spec,
        limits={"purse": LimitSpec(cost=(Rate(25 * 10**9, 0),), shared=False, on_exceed="pause")},
        agents={
            **spec.agents,
            "worker": msgspec.structs.replace(spec.agents["worker"], limits=("purse",)),
        },
    )
    rich = variant("rich", spec, agents)
    found = study("r", scenario(poor, agents), [rich], 8, 3)
    assert (found.baseline.success, found.baseline.figures) == (0, "stand still")
    assert found.baseline.calls.median == 3
    assert found.baseline.usd == Spread(0.02, 0.02, 0.02)
    (row,) = found.variants
    assert (row.success, row.calls.median, row.frontier) == (1, 7, True)
    assert (row.faster, row.pairs) == (None, 0)
    assert any(note.startswith("rich and the baseline never succeed by") for note in found.assumed)
    real = trace(played(poor, agents))
    match = study("r", scenario(poor, agents), [rich], 8, 1, recorded=real).match
    assert match is not None and match.verdict != "bad"


def test_what_the_finish_waited_for_binds() -> None:
    free = variant("free", team(limited=False), drawn())
    found = of(free)
    assert found.baseline.binds == "room in the windows of pro"
    assert found.variants[0].binds == "work of pro"


# ---- pairs ----


def test_an_unchanged_variant_is_neither_faster_nor_slower() -> None:
    found = of(variant("same", team(), drawn()))
    (same,) = found.variants
    assert same.faster == Spread(0, 0, 0)
    assert same.certain == (0, 0)
    assert msgspec.structs.replace(
        same, name="baseline", settings=(), faster=None, certain=None, cheaper=None, pairs=0
    ) == msgspec.structs.replace(found.baseline)


def test_pairs_have_equal_chance() -> None:
    found = of(
        variant("free", team(limited=False), drawn()),
        variant("hang", team(), drawn(), "flash slow x1.01"),
    )
    free, slow = found.variants
    assert free.faster is not None
    assert free.certain is not None
    assert 40 < free.certain[0] <= free.faster.median <= free.certain[1] < 60
    # A hundredth of a call shows, though runs differ by whole seconds.
    assert slow.faster is not None
    assert -0.5 < slow.faster.low <= slow.faster.high <= 0
    assert found.baseline.seconds.high - found.baseline.seconds.low > 3


def test_the_interval_of_the_median_is_exact() -> None:
    for count in (6, 9, 20, 75, 400):
        low, high = certain(range(count))
        assert low + high == count - 1
        outside = 2 * sum(comb(count, k) for k in range(int(low) + 1)) / 2**count
        wider = outside + 2 * comb(count, int(low) + 1) / 2**count
        assert outside <= 0.05 < wider
    assert certain([3.0, 1.0, 2.0]) == (1.0, 3.0)
    low, high = certain(range(20_001))
    assert low == pytest.approx(10_000 - 0.98 * 20_001**0.5, abs=3)


def test_the_interval_covers_the_true_median_in_nineteen_of_twenty() -> None:
    covered = 0
    for trial in range(400):
        low, high = certain(unit_fraction(trial, k) - 0.5 for k in range(31))
        covered += low <= 0 <= high
    assert covered / 400 > 0.93


def one(took: float, cost: int | None = 5, status: str = "succeeded") -> Ran:
    return Ran(round(took * SECOND), status, "", 3, 10, cost, 0, 0, 0)


def test_who_gives_up_early_is_not_quick() -> None:
    base = [one(10), one(10), one(10), one(10, status="failed")]
    runs = [one(1, status="failed"), one(9), one(8), one(1)]
    row = beside(row_of("v", (), runs), base, runs)
    assert (row.faster, row.pairs) == (spread([1.0, 2.0]), 2)
    assert row.seconds == spread([9, 8, 1])
    failing = [one(1, status="failed")] * 4
    row = beside(row_of("v", (), failing), base, failing)
    assert (row.figures, row.faster, row.pairs, row.success) == ("failed", None, 0, 0)


def test_only_runs_that_end_make_pairs() -> None:
    base = [one(10), one(20), one(30, status="paused"), one(40, cost=None)]
    runs = [one(9), one(18, status="running"), one(1), one(20)]
    row = beside(row_of("v", (), runs), base, runs)
    assert row.faster == spread([1.0, 20.0])
    assert row.cheaper == spread([0.0])
    assert row.success == 0.75
    assert spread([1, 2, 3, 4, 5]) == Spread(3, 1.1, 4.9)


# ---- the frontier ----


def test_the_frontier_is_what_nobody_beats() -> None:
    def row(name: str, seconds: float, usd: float | None, **fields: Any) -> Row:
        price = None if usd is None else Spread(usd, usd, usd)
        time, tokens = Spread(seconds, seconds, seconds), Spread(10 - seconds, 0, 10)
        return Row(name=name, runs=9, seconds=time, usd=price, tokens=tokens, success=1, **fields)

    def names(rows: Sequence[Row]) -> list[str]:
        return [row.name for row in with_frontier(rows) if row.frontier]

    rows = [row("a", 1, 9), row("b", 5, 5), row("c", 5, 6), row("d", 9, 1), row("e", 6, 5)]
    assert names(rows) == ["a", "b", "d"]
    assert names([*rows, row("twin", 5, 5)]) == ["a", "b", "d", "twin"]
    failed = msgspec.structs.replace(row("f", 0, 0), success=0)
    assert names([*rows, failed, Row(name="g", why="no")]) == ["a", "b", "d"]
    rarely = msgspec.structs.replace(row("h", 0, 0), success=0.9)
    nearly = msgspec.structs.replace(row("i", 1, 0), success=0.96)
    assert names([*rows, rarely]) == ["a", "b", "d"]
    assert names([*rows, nearly]) == ["i"]
    # Where one has no price tokens count, of which here the slower ones have fewer.
    assert names([row("a", 1, 9), row("b", 5, None), row("c", 5, 6)]) == ["a", "b", "c"]
    bare = [msgspec.structs.replace(one, tokens=Spread(0, 0, 0), usd=None) for one in rows]
    assert names(bare) == ["a"]


def test_variants_of_a_study_have_their_frontier() -> None:
    found = of(
        variant("restart", team("restart_all"), drawn()),
        variant("free", team(limited=False), drawn()),
    )
    rows = (found.baseline, *found.variants)
    assert [row.frontier for row in rows] == [False, False, True]


# ---- determinism ----


def encoded(found: Study) -> bytes:
    return msgspec.json.encode(found)


def calibrated(**fields: Any) -> Study:
    real = played(team(), drawn(), 5)
    known = record(real)
    variants = [
        Variant(
            name,
            (),
            scenario(spec, Simulated(spec, mine, known), *faults, past=known.past),
        )
        for name, spec, mine, faults in (
            ("free", team(limited=False), {}, ()),
            ("restart", team("restart_all"), {}, ("5% hang",)),
            ("split", team(), {"flash": Assumed(votes="split")}, ("machine dies at 5s",)),
        )
    ]
    base = scenario(team(), again(real), past=known.past)
    return study("r", base, variants, 60, 11, recorded=trace(real), **fields)


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes() -> None:
    told: list[tuple[int, int]] = []
    alone = calibrated(progress=lambda done, total: told.append((done, total)))
    assert encoded(alone) == encoded(calibrated())
    assert encoded(alone) == encoded(calibrated(workers=2))
    assert told == [(d, 240) for d in (50, 100, 150, 200, 210, 220, 230, 240)]
    assert encoded(of(runs=9, seed=1)) != encoded(of(runs=9, seed=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_that_is_ended_early_has_as_many_runs_of_each(workers: int) -> None:
    found = calibrated(workers=workers, progress=lambda done, total: done < 220)
    assert [row.runs for row in (found.baseline, *found.variants)] == [50] * 4
    at_once = calibrated(workers=workers, progress=lambda done, total: False)
    assert at_once.baseline.runs == 50
    assert [row.why for row in at_once.variants] == ["the study was ended before its first run"] * 3


def test_agents_that_cannot_be_sent_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        of(workers=2, runs=2)
    with pytest.raises(ValueError, match="at least one run and one worker"):
        of(runs=0)


# ---- what cannot be simulated ----


def test_a_variant_that_cannot_be_simulated_says_why() -> None:
    broken = msgspec.structs.replace(team(), agents={})
    found = of(
        variant("broken", broken, drawn()),
        variant("fault", team(), drawn(), "zzz down 3s"),
        Variant("said", ("a=b",), None, "there is no such setting"),
        variant("sound", team(), drawn()),
    )
    whys = [row.why for row in found.variants]
    assert "flash" in whys[0]
    assert "no agent, limit or model is called 'zzz'" in whys[1]
    assert whys[2:] == ["there is no such setting", ""]
    assert [row.runs for row in found.variants] == [0, 0, 0, RUNS]
    with pytest.raises(CallerError, match="flash"):
        study("r", scenario(broken, drawn()), (), 2, 1)
    with pytest.raises((NotFound, CallerError), match="zzz"):
        study("r", scenario(team(), drawn(), "zzz down 3s"), (), 2, 1)


# ---- the match ----


def believed(real: Played, **fields: Any) -> Any:
    found = trace(real)
    found = msgspec.structs.replace(found, **fields)
    return study("r", scenario(real.machine.spec, again(real)), (), RUNS, 3, recorded=found).match


def test_a_simulation_of_what_it_was_made_of_matches() -> None:
    match = believed(played(team(), drawn(), 5))
    assert (match.verdict, match.reasons) == ("good", ())
    assert (match.calls, match.simulated_calls.median) == (14, 14)
    assert match.seconds == pytest.approx(match.simulated.median, rel=0.1)


def account_of(found: Trace) -> dict[Any, int]:
    from hocket.insight.account import account

    return account(found).shares


@pytest.mark.parametrize(
    ("scale", "calls", "verdict"),
    [
        (1.0, 0, "good"),
        (1.09, 1, "good"),
        (1.2, 0, "rough"),
        (0.85, 0, "rough"),
        (1.0, 3, "rough"),
        (1.4, 0, "bad"),
        (0.6, 0, "bad"),
        (1.0, 9, "bad"),
    ],
)
def test_verdicts(scale: float, calls: int, verdict: str) -> None:
    real = trace(played(team(), drawn(), 5))
    runs = [one(scale * real.took / SECOND)._replace(calls=14 + calls) for _ in range(RUNS)]
    match = match_of(real, runs, [account_of(real)])
    assert match.verdict == verdict
    assert bool(match.reasons) == (calls > 1)


def test_a_wide_guess_is_no_good_one() -> None:
    real = trace(played(team(), drawn(), 5))
    runs = [one(share * real.took / SECOND)._replace(calls=14) for share in (0.7, 1.3, 1.4, 1.4)]
    assert match_of(real, runs, []).verdict == "bad"


def test_runs_that_fail_do_not_match_one_that_succeeded() -> None:
    real = trace(played(team(), drawn(), 5))
    good = one(real.took / SECOND)._replace(calls=14)
    bad = one(1, status="failed")._replace(calls=2)
    verdicts = [
        match_of(real, [bad] * failed + [good] * (20 - failed), [account_of(real)])
        for failed in (2, 8, 12)
    ]
    assert [match.verdict for match in verdicts] == ["good", "rough", "bad"]
    assert verdicts[1].reasons == ("The run succeeded, and 12 of 20 simulated ones did.",)
    assert verdicts[1].simulated.low == verdicts[1].simulated.median == real.took / SECOND


def test_a_pause_is_left_out_and_told() -> None:
    real = trace(played(wide(4), workers(4, 10, 0.1), 5))
    late = [
        msgspec.structs.replace(
            a,
            asked=a.asked + SECOND * 100,
            began=a.began + SECOND * 100,
            ended=(a.ended or 0) + SECOND * 100,
        )
        if a.agent == "worker"
        else a
        for a in real.activities
    ]
    stop = Stop("pause", real.began + SECOND, real.began + 101 * SECOND)
    paused = msgspec.structs.replace(
        real, activities=late, ended=real.ended + 100 * SECOND, stops=[stop]
    )
    runs = [one(real.took / SECOND)._replace(calls=5) for _ in range(RUNS)]
    match = match_of(paused, runs, [account_of(real)])
    assert match.verdict == "good"
    took = format_duration(paused.took)
    assert match.reasons == (
        f"The run was paused for 1 m 40 s of its {took}, which is left out here.",
    )
    assert match.seconds == real.took / SECOND


def test_reasons_name_what_differs_most() -> None:
    real = trace(played(wide(4), workers(4, 10, 0.1), 5))
    slower = played(
        wide(4), Cast({"lister": lister(4), "worker": Player(latency=Latency(30 * SECOND))})
    )
    runs = [one(slower.took / SECOND)._replace(calls=5) for _ in range(RUNS)]
    match = match_of(real, runs, [account_of(trace(slower))])
    assert match.verdict == "bad"
    assert "for work of worker" in match.reasons[0]
    assert "simulated runs 30.0 s" in match.reasons[0]


def test_a_wait_that_the_simulation_lacks_is_named() -> None:
    wait = Wait("share", 0, 50 * SECOND)
    activities = [
        Activity(
            path="a",
            agent="x",
            asked=0,
            began=50 * SECOND,
            ended=60 * SECOND,
            waits=(wait,),
            fate="useful",
            usage=Usage(tokens_in=1),
        ),
    ]
    real = Trace(
        run="r", name="r", ended=60 * SECOND, status="succeeded", activities=activities, finish=0
    )
    alone = msgspec.structs.replace(
        real,
        ended=10 * SECOND,
        activities=[msgspec.structs.replace(activities[0], began=0, ended=10 * SECOND, waits=())],
    )
    match = match_of(real, [one(10)._replace(calls=1)] * RUNS, [account_of(alone)])
    assert match.verdict == "bad"
    assert match.reasons[0] == (
        "It waited 50.0 s for other runs, which the simulation lacks; simulated runs 0 ms."
    )


def test_limits_that_others_may_have_used_are_named() -> None:
    real = trace(played(wide(4), workers(4, 10, 0.1), 5))
    closed = msgspec.structs.replace(real, changes=[Change(5, "own", "closed", None, 1)])
    match = match_of(closed, [one(3)._replace(calls=5)] * RUNS, [account_of(real)])
    assert match.reasons[-1] == "own was closed by refusals: others may have used it too."


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("running", "The run is running"),
        ("", "The run is not known to have ended"),
        ("failed", f"The run failed, and 0 of {RUNS} simulated ones did."),
    ],
)
def test_a_run_that_ended_otherwise_does_not_match(status: str, words: str) -> None:
    match = believed(played(team(), drawn(), 5), status=status)
    assert match.verdict == "bad"
    assert match.reasons[0].startswith(words)


def test_what_was_made_up_is_told_once() -> None:
    real = played(team(), drawn(), 5)
    spec = team("once")
    down = [
        Variant(str(k), (), scenario(spec, again(real), "flash down 30s at 1s")) for k in (1, 2)
    ]
    found = study("r", scenario(spec, again(real)), down, 4, 3, assumed=["First.", "First."])
    assert found.assumed[0] == "First."
    assert sum("q, vote: one is made up" in words for words in found.assumed) == 1
    assert len(found.assumed) == 2


def test_agents_of_any_kind_may_say_what_they_assume() -> None:
    class Mine:
        def act(self, asked: Asked) -> Act:
            return Act(SECOND, list(range(3)) if asked.agent == "lister" else "x")

        def notes(self) -> list[str]:
            return ["All is alike."]

    found = study("r", scenario(wide(3), Mine()), (), 3, 1, assumed=["First."])
    assert found.assumed == ("First.", "All is alike.")


def test_an_agents_act_is_all_that_a_study_needs() -> None:
    class Mine:
        def act(self, asked: Asked) -> Act:
            return Act(SECOND, list(range(3)) if asked.agent == "lister" else "x")

    found = study("r", scenario(wide(3), Mine()), (), 3, 1)
    assert found.baseline.seconds == Spread(2, 2, 2)
    assert found.baseline.usd is None


def test_a_limit_that_other_runs_share_is_told_as_such() -> None:
    limits = {"acct": LimitSpec(requests=(Rate(2, 60 * SECOND),), margin=0)}
    spec = msgspec.structs.replace(wide(4), limits=limits)
    worker = msgspec.structs.replace(spec.agents["worker"], limits=("acct",))
    spec = msgspec.structs.replace(spec, agents={**spec.agents, "worker": worker})
    real = trace(played(spec, workers(4, 3, 0.1)))
    free = trace(played(wide(4), workers(4, 3, 0.1)))
    runs = [one(free.took / SECOND)._replace(calls=5) for _ in range(RUNS)]
    reasons = match_of(real, runs, [account_of(free)]).reasons
    assert "acct is shared by all runs: others may have used it then." in reasons
    own = msgspec.structs.replace(limits["acct"], shared=False)
    alone = msgspec.structs.replace(real, spec=msgspec.structs.replace(spec, limits={"acct": own}))
    assert not any("shared" in r for r in match_of(alone, runs, [account_of(free)]).reasons)
