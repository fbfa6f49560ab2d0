"""What a review costs and how often it is wrong: a small version of the benchmark's table."""

from __future__ import annotations

import pytest
from tests.simulator.verdicts import (
    ACCURACIES,
    PHASES,
    REVIEWERS,
    Errors,
    by_machine,
    by_rule,
    cases,
    said,
    sequential,
    step_of,
    three_phases,
)

COUNT = 600
ERRORS: tuple[Errors, ...] = ("independent", "correlated")


@pytest.mark.parametrize("errors", ERRORS)
def test_sequential_reviews_need_a_third_of_the_calls_and_err_alike(errors: Errors) -> None:
    for accuracy in ACCURACIES:
        ours = sequential(accuracy, errors, count=COUNT, seed=1)
        theirs = three_phases(accuracy, errors, count=COUNT, seed=1)
        assert theirs.calls / ours.calls >= 3.5
        assert (ours.passed, ours.held) == (theirs.passed, theirs.held)
        assert ours.most <= REVIEWERS
        assert ours.wasted == 0


def test_reviewers_who_get_better_by_correcting_themselves_err_less() -> None:
    plain = sequential(0.7, "independent", count=COUNT, seed=1)
    corrected = three_phases(0.8, "independent", count=COUNT, seed=1)
    assert corrected.passed + corrected.held < plain.passed + plain.held


@pytest.mark.parametrize("errors", ERRORS)
def test_the_fixed_swarm_makes_all_its_calls_and_judges_by_the_same_rule(errors: Errors) -> None:
    plain, fixed = step_of(), step_of(fixed=True)
    for case in cases(200, errors, 2):
        found = said(case, 0.7)
        approved, made, _ = by_machine(found, fixed)
        assert made == PHASES * REVIEWERS
        assert approved == by_rule(found, fixed) == by_machine(found, plain)[0]


def test_errors_are_as_frequent_as_they_are_said_to_be_and_come_together() -> None:
    together = {}
    for errors in ERRORS:
        drawn = [said(case, 0.7) for case in cases(4_000, errors, 3)]
        good = [case.good for case in cases(4_000, errors, 3)]
        right = [[ok == g for ok, _ in found] for found, g in zip(drawn, good, strict=True)]
        assert sum(map(sum, right)) / (4_000 * REVIEWERS) == pytest.approx(0.7, abs=0.02)
        together[errors] = sum(not any(some) for some in right)
    assert together["correlated"] > 5 * max(together["independent"], 1)
