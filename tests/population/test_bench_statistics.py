"""Statistics of the report, against data whose answers are known."""

import numpy as np
import pytest

from hocket.population.bench.statistics import (
    TRIM,
    growth,
    line,
    middle,
    quantile,
    summary,
    tail,
    tail_name,
)


def test_a_mean_leaves_out_as_much_at_both_ends() -> None:
    values = [*range(1, 101)]
    values[0], values[-1] = -1_000_000, 1_000_000
    found = summary(values)
    assert found.iterations == 100
    assert found.kept == 100 - 2 * int(100 * TRIM) == 90
    assert found.mean == pytest.approx(np.mean(range(6, 96)))
    assert found.p50 == pytest.approx(50.5)
    assert found.p99 == pytest.approx(np.percentile(values, 99))


def test_percentiles_are_of_all_measurements() -> None:
    found = summary([1.0] * 98 + [5.0, 5.0])
    assert found.mean == 1.0
    assert found.p99 == 5.0


def test_fewer_than_a_hundred_have_no_99th_percentile() -> None:
    few, enough = summary([*range(99)])._asdict(), summary([*range(100)])._asdict()
    assert (few["p99"], tail(few), tail_name(few)) == (None, 98, "largest of 99")
    assert (tail(enough), tail_name(enough)) == (pytest.approx(98.01), "p99")


def test_fewer_than_twenty_are_all_in_the_mean() -> None:
    assert [summary([1.0] * count).kept for count in (19, 20)] == [19, 18]


def test_a_medians_interval_holds_it_as_often_as_it_says() -> None:
    chance = np.random.default_rng(5)
    ends = [middle(chance.exponential(1.0, 60)) for _ in range(2_000)]
    assert 0.93 <= np.mean([low <= np.log(2) <= high for low, _, high in ends]) <= 0.99
    assert middle([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    chance = np.random.default_rng(4)
    within = [
        found.low <= 3.0 <= found.high
        for found in (summary(chance.normal(3.0, 2.0, 60)) for _ in range(2_000))
    ]
    assert 0.93 <= np.mean(within) <= 0.97


def test_students_quantile_is_that_of_the_tables() -> None:
    assert quantile(10) == pytest.approx(2.2281, abs=1e-4)
    assert quantile(89) == pytest.approx(1.9870, abs=1e-4)


def test_one_measurement_has_no_interval_and_none_has_no_mean() -> None:
    alone = summary([2.0])
    assert (alone.low, alone.mean, alone.high) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        summary([])


def test_a_line_is_the_one_that_its_points_were_taken_from() -> None:
    x = [1.0, 10.0, 100.0, 1_000.0]
    found = line(x, [0.5 + 0.25 * at for at in x])
    assert found.intercept == pytest.approx(0.5)
    assert found.slope == pytest.approx(0.25)
    assert found.slope_within == pytest.approx(0, abs=1e-9)
    assert found.explained == pytest.approx(1)


def test_a_lines_intervals_are_those_of_a_textbook() -> None:
    # Standard errors by hand: residual sum of squares over n - 2, over the spread of x.
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [1.1, 1.9, 3.2, 3.8, 5.1]
    found = line(x, y)
    slope, intercept = np.polyfit(x, y, 1)
    left = np.array(y) - intercept - slope * np.array(x)
    error = np.sqrt(left @ left / 3)
    assert found.slope == pytest.approx(slope)
    assert found.slope_within == pytest.approx(quantile(3) * error / np.sqrt(10))
    assert found.intercept_within == pytest.approx(quantile(3) * error * np.sqrt(1 / 5 + 9 / 10))


def test_weights_decide_which_points_count() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 40.0]
    found = line(x, y, [1.0, 1.0, 1.0, 1e-12])
    assert found.slope == pytest.approx(1.0, abs=1e-6)


def test_two_points_make_no_line_with_intervals() -> None:
    with pytest.raises(ValueError, match="three points"):
        line([1.0, 2.0], [1.0, 2.0])


def test_growth_is_the_power() -> None:
    agents = [1_000.0, 10_000.0, 100_000.0]
    assert growth(agents, [3e-6 * n**1.5 for n in agents]).slope == pytest.approx(1.5)
