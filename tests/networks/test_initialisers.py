import math

import jax
import numpy as np
import pytest

from rlx.networks.initialisers import (
    fan_in_uniform,
    glorot_uniform,
    orthogonal,
    orthogonal_by_reflections,
    symmetric_uniform,
    zeros,
)

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_orthogonal_has_orthonormal_columns_or_rows_times_the_gain(shape):
    kernel = np.asarray(orthogonal(1.5)(KEY, shape))
    gram = kernel.T @ kernel if shape[0] > shape[1] else kernel @ kernel.T
    np.testing.assert_allclose(gram, 2.25 * np.eye(5), atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (6, 6), (3, 2, 5)])
def test_reflections_make_orthonormal_columns_or_rows(shape):
    kernel = np.asarray(orthogonal_by_reflections()(KEY, shape)).reshape(-1, shape[-1])
    gram = kernel.T @ kernel if kernel.shape[0] > kernel.shape[1] else kernel @ kernel.T
    np.testing.assert_allclose(gram, np.eye(min(kernel.shape)), atol=1e-5)


def test_reflections_favour_no_direction():
    """Of orthogonal 3 x 3 matrices entries have mean 0, variance 1/3 and fourth moment 1/5; determinants are fair."""
    keys = jax.random.split(KEY, 20_000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: orthogonal_by_reflections()(key, (3, 3))))(keys))
    for power, moment in ((1, 0), (2, 1 / 3), (4, 1 / 5)):
        np.testing.assert_allclose((drawn**power).mean(0), np.full((3, 3), moment), atol=0.02)
    np.testing.assert_allclose((drawn[:, 0, 0] * drawn[:, 1, 1]).mean(), 0, atol=0.02)
    np.testing.assert_allclose((np.linalg.det(drawn) > 0).mean(), 0.5, atol=0.02)


def test_orthogonal_sees_a_convolution_kernel_as_a_matrix():
    kernel = np.asarray(orthogonal(2.0)(KEY, (3, 3, 2, 4))).reshape(18, 4)
    np.testing.assert_allclose(kernel.T @ kernel, 4.0 * np.eye(4), atol=1e-5)


@pytest.mark.parametrize(
    ("initialiser", "shape", "bound"),
    [
        (fan_in_uniform(), (25, 400), 0.2),
        (fan_in_uniform(), (5, 5, 4, 100), 0.1),
        (glorot_uniform(), (200, 400), 0.1),
        (symmetric_uniform(0.3), (10_000,), 0.3),
    ],
)
def test_uniform_initialisers_fill_their_interval(initialiser, shape, bound):
    kernel = np.asarray(initialiser(KEY, shape))
    assert np.abs(kernel).max() <= bound
    assert kernel.max() > 0.99 * bound
    assert kernel.min() < -0.99 * bound
    np.testing.assert_allclose(kernel.std(), bound / math.sqrt(3), rtol=0.03)


def test_zeros_and_equality_of_equal_arguments():
    np.testing.assert_array_equal(zeros(KEY, (3,)), [0.0, 0.0, 0.0])
    assert orthogonal(0.01) is orthogonal(0.01)
    assert orthogonal(0.01) is not orthogonal(1.0)
