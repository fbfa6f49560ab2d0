"""No policy beats asking each vote once, and none decides before all first answers are in."""

from __future__ import annotations

import pytest
from tests.simulator.policies import (
    LATENCIES,
    POLICIES,
    RULES,
    TURNS,
    Sample,
    better,
    consensus,
    of,
    report_of,
    sample,
    samples,
    spec_of,
    spread,
)

from hocket.core.errors import Fault
from hocket.core.values import SECOND
from hocket.simulator.agents import Act, Asked
from hocket.simulator.play import play
from hocket.simulator.teams import voter

SEEDS = 24


@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("rule", RULES)
def test_no_policy_is_better_than_once(rule: str, latency: str, limited: bool) -> None:
    seeds = SEEDS // 2 if "turns" in latency else SEEDS
    once = samples(consensus("once", rule), latency, limited, seeds)
    # With tools each first answer takes three turns; a vote takes none.
    most = 7 * (TURNS + 1) if "turns" in latency else 2 * 7
    assert max(of(once, "calls")) <= most
    assert not any(one.wasted for one in once)
    for policy in POLICIES:
        others = samples(consensus(policy, rule), latency, limited, seeds)
        assert better(others, once) == [], policy


def test_what_is_better_is_noticed() -> None:
    once = [Sample(14, 0, 0, 20.0 + i) for i in range(5)]
    assert better([Sample(13, 0, 0, 30.0)], once) == ["calls"]
    assert better([Sample(15, 0, 0, 19.9)], once) == ["seconds"]
    assert better([Sample(14, 0, 0, 20.0)], once) == []


def test_the_targets_of_a_limited_team_hold() -> None:
    early = samples(consensus("once", "majority, early stop"), "drawn", True, SEEDS)
    assert max(of(early, "calls")) <= 11
    assert max(of(early, "seconds")) <= 20
    whole = samples(consensus("once"), "drawn", True, SEEDS)
    assert set(of(whole, "calls")) == {14}
    # Both need a second window of a minute.
    assert max(of(whole, "seconds")) <= 85


def test_the_older_policies_pay_for_votes_on_what_was_not_the_latest() -> None:
    for policy in ("restart_all", "inject", "cancel"):
        others = samples(consensus(policy), "the incident's", False, SEEDS)
        assert spread(of(others, "calls")).low > 14, policy
        assert all(one.wasted + one.cancelled > 0 for one in others), policy


@pytest.mark.parametrize("policy", POLICIES)
def test_a_first_answer_that_fails_is_not_waited_for_and_one_that_is_slow_is(policy: str) -> None:
    class Agents:
        def act(self, asked: Asked) -> Act:
            if asked.path == "q/flash-2/answer":
                return Act(5 * SECOND, Fault(kind="permanent", message="no"))
            slow = asked.path.startswith("q/pro-2/answer")
            return Act((50 if slow else 2) * SECOND, voter()(asked))

        def estimate(self, asked: Asked) -> None:
            raise AssertionError("nothing counts tokens here")

    played = play(spec_of(consensus(policy, "majority, early stop"), False), {}, Agents())  # type: ignore[arg-type]
    assert played.status == "succeeded"
    assert sample(played).seconds > 50


@pytest.mark.parametrize("policy", POLICIES)
def test_who_is_late_is_waited_for_until_the_deadline_and_no_longer(policy: str) -> None:
    class Agents:
        def act(self, asked: Asked) -> Act:
            slow = asked.path.startswith("q/pro-2/answer")
            return Act((500 if slow else 2) * SECOND, voter()(asked))

        def estimate(self, asked: Asked) -> None:
            raise AssertionError("nothing counts tokens here")

    # One after the other they take longer.
    hard = 60 * SECOND
    team = consensus(policy, "majority, early stop", hard=hard)
    played = play(spec_of(team, False), {}, Agents())  # type: ignore[arg-type]
    assert played.status == "succeeded"
    report = report_of(played)
    assert report.ended is not None
    assert hard <= report.ended - report.began <= hard + 20 * SECOND
    assert "pro-2" not in report.output["answers"]


def test_a_seed_plays_the_same_again() -> None:
    spec = spec_of(consensus("restart_all"), True)
    digests = {play(spec, {}, LATENCIES["drawn"](), 3).digest() for _ in range(3)}
    assert len(digests) == 1
