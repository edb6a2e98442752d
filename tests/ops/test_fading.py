import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops import fading


def test_weights_by_age_are_the_papers():
    weights = fading.age_weights(5)
    np.testing.assert_allclose(weights, [0, 0.275444, 0.952745, 0.999973, 1], atol=1e-6)
    np.testing.assert_allclose(weights / weights.sum(), [0, 0.085325, 0.295135, 0.309765, 0.309774], atol=1e-6)


def test_the_shape_of_weights_by_age():
    """W, and the mass of the old, of 512,000 entries."""
    weights = fading.age_weights(512_000)
    share = weights / weights.sum()
    np.testing.assert_allclose(weights[[51_200, 128_000, 256_000]], [0.0429, 0.4766, 0.9978], atol=1e-4)
    np.testing.assert_allclose([share[-1] * 512_000, share @ np.arange(512_000) / 512_000], [1.3404, 0.6218], atol=1e-4)
    np.testing.assert_allclose([share[:128_000].sum(), share[:256_000].sum()], [0.045, 0.33], atol=5e-3)


def test_weights_by_order_are_the_papers():
    np.testing.assert_allclose(fading.order_weights(3), [0.355589, 0.355589, 0.288821], atol=1e-6)
    top = fading.order_weights(384)[288:].sum()
    np.testing.assert_allclose([top, 384 * fading.order_weights(384)[0]], [0.046, 1.338], atol=1e-3)


@pytest.mark.parametrize("places", [fading.counted, fading.sorted_twice])
def test_places_are_each_taken_once(places):
    """Ties are told apart by where they stand."""
    values = np.random.default_rng(0).integers(0, 20, (2, 3, 30)).astype(np.float32)
    expected = np.argsort(np.argsort(values, axis=-1, kind="stable"), axis=-1)
    np.testing.assert_array_equal(places(jnp.asarray(values)), expected)


@pytest.mark.parametrize("order", itertools.permutations([0, 1, 2]))
def test_values_count_by_their_order_and_so_do_gradients(order):
    values, weights = np.array([1.0, 2.0, 4.0], np.float32)[list(order)], fading.order_weights(3)
    value, grads = jax.value_and_grad(fading.weighed_by_order)(jnp.asarray(values), weights)
    np.testing.assert_allclose(value, 2.222054, rtol=1e-6)
    np.testing.assert_allclose(grads, weights[list(order)], rtol=1e-6)
