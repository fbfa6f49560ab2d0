"""Ten reviewed steps in five minutes, where the seed's program takes fifteen to twenty."""

from __future__ import annotations

from tests.simulator.reviewed import OURS, THEIRS, Went, agents, least_seconds, several, spec_of

SEEDS = 20


def taken(count: int, tens: int, seeds: int = SEEDS) -> list[Went]:
    return [several(count, spec_of(tens, OURS), agents(), seed) for seed in range(seeds)]


def test_ten_reviewed_steps_take_five_minutes_at_most() -> None:
    for one in taken(1, 1):
        assert one.succeeded == 1
        # Four of six that approve settle it, so nobody else is asked.
        assert one.reviews == 40
        assert one.seconds <= 300


def test_the_fixed_swarm_takes_more_than_four_times_the_calls_and_twice_the_time() -> None:
    ours = several(1, spec_of(1, OURS), agents(), 0)
    theirs = several(1, spec_of(1, THEIRS, serial=True), agents(), 0)
    assert theirs.reviews == 180
    assert theirs.reviews >= 4 * ours.reviews
    assert theirs.seconds >= 2 * ours.seconds
    slower = several(1, spec_of(1, THEIRS, serial=True, requests=10), agents(), 0)
    assert 15 * 60 <= slower.seconds <= 20 * 60


def test_three_plans_at_once_and_one_of_fifty_steps_are_bound_by_the_limit_alone() -> None:
    for count, tens in ((3, 1), (1, 5)):
        for one in taken(count, tens, 5):
            assert one.succeeded == count
            assert one.reviews == 40 * count * tens
            # The last steps of a chain still have to be done once the limit lets all begin.
            assert one.seconds <= least_seconds(one.reviews) + 90


def test_what_reviewers_reject_is_mended_and_reviewed_again() -> None:
    whole = [
        several(1, spec_of(1, OURS, rounds=3), agents(0.3, 0.9), seed) for seed in range(SEEDS)
    ]
    assert sum(one.succeeded for one in whole) >= 0.9 * SEEDS
    assert any(one.reviews > 45 for one in whole)
