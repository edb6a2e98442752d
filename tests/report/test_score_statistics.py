import math

import numpy as np
import pytest
import scipy.stats

from rlx.report.statistics import (
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    probability_of_improvement,
    probability_of_improvement_interval,
    stratified_bootstrap_interval,
)

# The two score matrices of rliable's own tests and the values those state.
X = [[1, 2], [2, 2], [1, 1], [2, 1]]
Y = [[1, 1], [2, 2], [3, 3]]


def test_aggregates_equal_the_values_published_with_rliable():
    assert mean(X) == median(X) == interquartile_mean(X) == 1.5
    assert mean(Y) == median(Y) == interquartile_mean(Y) == 2.0
    assert math.isclose(probability_of_improvement(X, Y), 1 / 3)


def test_interquartile_mean_pools_runs_and_tasks_and_rounds_the_cut_down():
    assert interquartile_mean([[1, 2, 3, 5]]) == 2.5  # the example of scipy.stats.trim_mean
    assert interquartile_mean([[100], [4], [2], [3], [-50], [1], [5]]) == 3.0  # one of seven off either end
    assert interquartile_mean([[0.0], [1.0], [8.0]]) == 3.0  # of three nothing is cut
    assert interquartile_mean([[0, 100], [2, 3], [-100, 1], [4, 200]]) == 2.5  # of 1, 2, 3, 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 6), (10, 26)])
def test_interquartile_mean_equals_scipys_trimmed_mean(shape):
    scores = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25, axis=None))


def test_aggregates_of_a_stack_are_those_of_its_parts():
    scores = np.random.default_rng(2).normal(size=(3, 7, 4))
    for statistic in (mean, median, interquartile_mean):
        np.testing.assert_allclose(statistic(scores), [statistic(part) for part in scores])


def test_median_is_over_tasks_of_the_mean_over_runs():
    assert median([[0, 1, 100], [4, 3, 300]]) == 2.0  # task means 2, 2, 200


def test_optimality_gap_counts_no_more_than_the_target():
    assert optimality_gap([[0.5, 3.0], [1.0, 0.0]], target=1.0) == 1.0 - (0.5 + 1 + 1 + 0) / 4


def test_bootstrap_of_two_runs_has_the_quantiles_of_its_exact_distribution():
    # The resampled mean of runs {0, 1} is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4.
    assert stratified_bootstrap_interval([[0.0], [1.0]], mean, confidence=0.95) == (0.0, 1.0)
    assert stratified_bootstrap_interval([[0.0], [1.0]], mean, confidence=0.4) == (0.5, 0.5)


def test_bootstrap_resamples_within_tasks_only():
    assert stratified_bootstrap_interval([[0.0, 100.0], [0.0, 100.0], [0.0, 100.0]], mean) == (50.0, 50.0)


def test_bootstrap_of_each_task_is_independent():
    # Runs of the two tasks cancel if they are drawn together, and do not if they are drawn apart.
    scores = np.array([[-1.0, 1.0], [1.0, -1.0]] * 4)
    low, high = stratified_bootstrap_interval(scores, mean)
    assert low < -0.2
    assert high > 0.2


def test_bootstrap_interval_agrees_with_a_plain_loop():
    scores = np.random.default_rng(3).normal(size=(8, 3)) * [1.0, 2.0, 0.5]
    rng = np.random.default_rng(4)
    values = []
    for _ in range(4000):
        drawn = [[scores[rng.integers(8), task] for _ in range(8)] for task in range(3)]
        values.append(scipy.stats.trim_mean(np.array(drawn), 0.25, axis=None))
    interval = stratified_bootstrap_interval(scores, resamples=4000)
    np.testing.assert_allclose(interval, np.quantile(values, [0.025, 0.975]), atol=0.04)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_claims(statistic):
    # Percentile intervals of ten runs are somewhat narrow; with 400 trials the standard error is 0.011.
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        low, high = stratified_bootstrap_interval(rng.normal(size=(10, 3)), statistic, resamples=500)
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / 400 <= 0.98


def test_the_seed_alone_decides_the_interval():
    scores = np.random.default_rng(6).normal(size=(6, 2))
    assert stratified_bootstrap_interval(scores, seed=1) == stratified_bootstrap_interval(scores, seed=1)
    assert stratified_bootstrap_interval(scores, seed=1) != stratified_bootstrap_interval(scores, seed=2)


def test_probability_of_improvement_equals_mann_whitney_averaged_over_tasks():
    # Ages in SciPy's documentation of mannwhitneyu: U = 17 of 20 pairs.
    males, females = np.array([[19, 22, 16, 29, 24]]).T, np.array([[20, 11, 17, 12]]).T
    assert probability_of_improvement(males, females) == 17 / 20
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 5, (6, 4)), rng.integers(0, 5, (9, 4))
    expected = np.mean([scipy.stats.mannwhitneyu(x[:, t], y[:, t]).statistic / 54 for t in range(4)])
    assert math.isclose(probability_of_improvement(x, y), expected)
    assert math.isclose(probability_of_improvement(x, y) + probability_of_improvement(y, x), 1.0)


def test_interval_of_probability_of_improvement_has_its_exact_quantiles():
    # x wins against y with 1 and loses with 0: resamples win 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4.
    x, y = [[0.0], [1.0]], [[0.5], [0.5], [0.5]]
    assert probability_of_improvement_interval(x, y, confidence=0.95) == (0.0, 1.0)
    assert probability_of_improvement_interval(x, y, confidence=0.4) == (0.5, 0.5)
    assert probability_of_improvement_interval([[2.0], [3.0]], [[1.0]]) == (1.0, 1.0)


def test_interval_of_probability_of_improvement_draws_tasks_apart():
    # Half of the runs win on one task and the other half on the other: drawn together they cancel.
    halves, zeros = np.array([[1.0, -1.0], [-1.0, 1.0]] * 4), [[0.0, 0.0]]
    for x, y in ((halves, zeros), (zeros, halves)):
        low, high = probability_of_improvement_interval(x, y)
        assert low < 0.4
        assert high > 0.6


def test_interval_of_probability_of_improvement_agrees_with_a_plain_loop():
    rng = np.random.default_rng(8)
    x, y = rng.normal(0.5, 1.0, (7, 2)), rng.normal(size=(5, 2))
    values = []
    for _ in range(4000):
        won = 0
        for task in range(2):
            drawn_x, drawn_y = rng.choice(x[:, task], 7), rng.choice(y[:, task], 5)
            won += (drawn_x[:, None] > drawn_y[None]).sum()
        values.append(won / 70)
    interval = probability_of_improvement_interval(x, y, resamples=4000)
    np.testing.assert_allclose(interval, np.quantile(values, [0.025, 0.975]), atol=0.03)


def test_scores_that_cannot_be_aggregated_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        interquartile_mean([[1.0], [math.nan]])
    with pytest.raises(ValueError, match="runs, tasks"):
        stratified_bootstrap_interval([1.0, 2.0])
    with pytest.raises(ValueError, match="runs, tasks"):
        mean(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1.0, 2.0]], [[1.0]])
