"""Bias and variance of gradient estimates: worked numbers, and noise around known means."""

import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.ops import gradient_bias as gb


def noisy(mean, count, deviation, seed):
    draws = np.random.default_rng(seed).standard_normal((count, len(mean)))
    return (np.asarray(mean) + deviation * draws).astype(np.float32)


def test_printed_bias_divides_by_the_methods_own_mean():
    found = gb.printed_bias(np.array([2.0, -1.0]), np.array([1.0, -1.0]))
    assert float(found.mean) == 0.25  # 0.5 where the reference divides
    assert float(found.of_sums) == pytest.approx(1 / 3)


def test_interquartile_average_leaves_out_a_quarter_on_either_side():
    # Ratios 0, 1/2, 1/4, 3 and 9 in no order: of five, one goes on either side.
    found = gb.printed_bias(np.array([4.0, -1.0, 1.0, 2.0, -1.0]), np.array([3.0, 8.0, -2.0, 1.0, -1.0]))
    assert float(found.interquartile) == pytest.approx((1 / 4 + 1 / 2 + 3) / 3)
    assert float(found.mean) == pytest.approx((1 / 4 + 9 + 3 + 1 / 2 + 0) / 5)


def test_printed_variance_of_two_estimates():
    found = gb.printed_variance(np.array([[1.0, 4.0], [3.0, 8.0]]))  # variances 2 and 8, means 2 and 6
    assert float(found.mean) == pytest.approx((2 / 4 + 8 / 36) / 2)
    assert float(found.of_sums) == pytest.approx(10 / 40)


def test_without_noise_it_is_the_distance_of_the_means():
    estimates, reference = np.tile([3.0, 4.0, 0.0], (2, 1)), np.tile([4.0, 3.0, 0.0], (5, 1))
    assert float(gb.relative_bias(estimates, reference)) == pytest.approx(2**0.5 / 5)
    assert float(gb.cosine(estimates, reference)) == pytest.approx(24 / 25)
    assert float(gb.relative_variance(estimates, reference)) == 0
    assert float(gb.relative_bias(reference, reference)) == 0


def test_relative_variance_sums_over_parameters():
    estimates = np.array([[0.0, 1.0], [2.0, 7.0]])  # variances 2 and 18
    reference = np.array([[3.0, 0.0], [3.0, 8.0]])  # mean (3, 4)
    assert float(gb.relative_variance(estimates, reference)) == pytest.approx(20 / 25)


@pytest.mark.parametrize("share", [0.2, 0.5, 2.0])
def test_noise_is_taken_out_of_a_known_bias(share):
    truth = np.ones(1000)
    offset = share * np.where(np.arange(1000) % 2, 1.0, -1.0)  # its norm is that share of the truth's
    found = [
        float(gb.relative_bias(noisy(truth + offset, 48, 3.0, seed), noisy(truth, 300, 3.0, 1000 + seed)))
        for seed in range(20)
    ]
    # Noise of 9 (1/48 + 1/300) = 0.22 a parameter would make 0.5 of 0.2, and 0.68 of 0.5.
    assert np.mean(found) == pytest.approx(share, rel=0.05)


def test_nothing_is_left_of_an_unbiased_method_in_half_of_all_cases():
    truth = np.ones(100)
    found = [
        float(gb.relative_bias(noisy(truth, 48, 3.0, seed), noisy(truth, 300, 3.0, 1000 + seed))) for seed in range(60)
    ]
    assert 0.3 < np.mean(np.array(found) == 0) < 0.7
    assert max(found) < 0.35


def test_statistics_do_not_depend_on_units():
    estimates, reference = noisy(np.ones(50), 20, 1.0, 0), noisy(np.ones(50), 30, 1.0, 1)
    for statistic in (gb.relative_bias, gb.relative_variance, gb.cosine):
        np.testing.assert_allclose(statistic(8 * estimates, 8 * reference), statistic(estimates, reference), rtol=1e-5)


def test_halves_share_no_estimate():
    first, second = gb.halves(np.arange(10).reshape(5, 2))
    assert first.tolist() == [[0, 1], [2, 3]]
    assert second.tolist() == [[4, 5], [6, 7], [8, 9]]


def test_the_printed_bias_of_an_unbiased_method_is_far_from_zero():
    means = np.random.default_rng(0).standard_normal(20_000)
    estimates, reference = noisy(means, 48, 7.0, 1), noisy(means, 300, 7.0, 2)
    assert float(gb.relative_bias(estimates, reference)) < 0.1
    found = gb.printed_bias(estimates.mean(axis=0), reference.mean(axis=0))
    assert float(found.mean) > 2
    assert float(found.of_sums) > 0.5


@pytest.mark.parametrize("measure", [gb.relative_bias, gb.relative_variance, lambda few, _: gb.printed_variance(few)])
def test_one_estimate_has_no_variance(measure):
    with pytest.raises(ConfigurationError, match="at least 2 independent estimates, not 1"):
        measure(np.ones((1, 3)), np.ones((5, 3)))
