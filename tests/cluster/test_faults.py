"""A worker, an owner or the head is killed in the middle: nothing is lost, nothing done twice.

Small versions of ``bench/faults.py``, which does 1,000 steps with twenty seeds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cluster import faults, ray_faults
from tests.cluster.faults import LEASE, Outcome
from tests.cluster.judge import Fault, judge
from tests.cluster.ray_faults import Cluster
from tests.cluster.steps import Said

RECOVERY = 30.0
"""Seconds within which a test must see what a bench sees within five: other tests run beside it."""

pytestmark = pytest.mark.slow


def test_the_judge_sees_what_is_lost_done_again_and_done_twice() -> None:
    second = 1_000_000_000
    said = [
        Said(1, False, 1, 10),
        Said(1, True, 2, 10),
        Said(2, False, second, 10),
        Said(3, False, second, 11),
        Said(4, False, second + 1, 11),
        Said(4, True, second + 2, 11),
        # 10 dies at two seconds.
        Said(2, False, 5 * second, 11),
        Said(1, False, 6 * second, 11),
        Said(1, True, 6 * second + 1, 11),
        Said(2, True, 6 * second + 2, 11),
    ]
    verdict = judge(said, range(1, 5), Fault(2 * second, frozenset({10})))
    assert verdict.lost == [3]
    assert verdict.again == [1, 2]
    assert verdict.needless == [1]
    assert verdict.ended_twice == [1]
    assert verdict.in_flight == [2]
    assert (verdict.recovery, verdict.recovered) == (3.0, 4.0)


def test_the_judge_sees_what_ended_while_its_owner_was_being_killed() -> None:
    second = 1_000_000_000
    said = [
        Said(1, False, second, 10),
        Said(2, False, second, 10),
        Said(1, True, second + 1, 10),
        # The owner is killed from two to three seconds; its worker lives on.
        Said(2, True, 2 * second + 1, 10),
        Said(2, False, 5 * second, 11),
        Said(2, True, 5 * second + 1, 11),
    ]
    verdict = judge(said, range(1, 3), Fault(3 * second, frozenset({10}), 2 * second))
    assert verdict.in_flight == [2]
    assert verdict.needless == []
    assert verdict.ended_twice == [2]


def holds(outcome: Outcome) -> None:
    """Nothing is lost, nothing is finished twice, and only what was in flight was begun again."""
    verdict = outcome.verdict
    assert outcome.statuses == {"succeeded"}
    assert outcome.lost == []
    assert outcome.twice == []
    assert verdict.needless == []
    assert verdict.in_flight, "the fault struck when nothing was in flight there"
    assert set(verdict.in_flight) & set(verdict.again)
    assert verdict.recovery is not None
    assert verdict.recovery < RECOVERY
    assert [fault for each in outcome.stories for fault in each.failed] == []


def died(outcome: Outcome) -> None:
    """The same, and all that was in flight on those who died was begun again."""
    holds(outcome)
    assert set(outcome.verdict.in_flight) <= set(outcome.verdict.again)


@pytest.mark.usefixtures("several_machines")
def test_a_plain_supervisor_is_killed_and_others_take_up_what_it_drove() -> None:
    outcome = faults.supervisor_killed(1, runs=10, each=20)
    died(outcome)
    assert outcome.verdict.recovery is not None
    # Its host is another one, so that only its lease tells that it is gone.
    assert outcome.verdict.recovery > LEASE / 2
    assert {each.owners for each in outcome.stories} == {2, 3}


@pytest.fixture(scope="module")
def shared(several_machines: None) -> Iterator[Cluster]:
    """A cluster for all tests of this file; each of them may leave it with a node less."""
    pytest.importorskip("ray")
    with ray_faults.cluster() as made:
        yield made


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """The cluster with a journal of the test's own."""
    shared.scene.begin()
    yield shared
    shared.scene.close()


def test_a_node_that_is_cut_off_and_comes_back_loses_nothing(cluster: Cluster) -> None:
    outcome = ray_faults.node_cut_off(cluster, 1, seconds=2, steps=200)
    assert outcome.statuses == {"succeeded"}
    assert outcome.lost == []
    assert outcome.twice == []
    assert outcome.verdict.needless == []


def test_a_node_is_killed_and_only_its_calls_are_made_again(cluster: Cluster) -> None:
    outcome = ray_faults.node_killed(cluster, 1, steps=200)
    died(outcome)
    [told] = outcome.stories
    assert told.owners == 1
    # Each call that was lost is on record as such; some may have been on their way there.
    assert set(outcome.verdict.again) <= set(told.lost)
    assert len(told.lost) <= 2 * ray_faults.SLOTS


def test_the_owners_node_is_killed_and_another_supervisor_goes_on(cluster: Cluster) -> None:
    outcome = ray_faults.owner_killed(cluster, 1, steps=200)
    holds(outcome)
    assert [each.owners for each in outcome.stories] == [3]


def test_the_head_begins_anew_and_a_run_that_has_nobody_else_goes_on(cluster: Cluster) -> None:
    outcome = ray_faults.head_killed_under_a_run(cluster, 1, steps=200)
    holds(outcome)
    [told] = outcome.stories
    assert told.owners == 1
    assert set(outcome.verdict.again) <= set(told.lost)
