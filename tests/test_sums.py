"""Sums of more terms than a float32 can count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.sums import Sum


@jax.jit
def repeated(total, term, times):
    """``total`` after adding ``term`` so many times, as training does: inside one compiled loop."""
    return jax.lax.fori_loop(0, times, lambda _, total: total.add(term), total)


@pytest.mark.parametrize("term", [0.1, 1.0, 1e-3, 12345.678])
def test_twenty_million_equal_terms(term):
    times = 20_000_000
    total = repeated(Sum.zeros(), term, times)
    exact = float(np.float32(term)) * times
    np.testing.assert_allclose(total.on_host(), exact, rtol=1e-9)
    np.testing.assert_allclose(float(total.value), exact, rtol=1e-7)


def test_a_sum_of_a_billion_terms_still_takes_in_the_next_ones():
    """1e9 terms of 0.1 lie behind it; a plain sum would not move at all, or by 8 a time."""
    term = np.float32(0.1)
    before = 1e9 * float(term)
    total = Sum(jnp.float32(before), jnp.float32(before - float(np.float32(before))))
    after = repeated(total, term, 1_000_000)
    np.testing.assert_allclose(after.on_host() - total.on_host(), 1e6 * float(term), rtol=1e-4)


def test_terms_of_all_sizes_and_signs_equal_a_sum_in_longer_numbers():
    rng = np.random.default_rng(0)
    terms = (rng.normal(size=(4096, 3)) * 10.0 ** rng.uniform(-6, 6, size=(4096, 3))).astype(np.float32)
    total = jax.lax.scan(lambda total, term: (total.add(term), None), Sum.zeros((3,)), terms)[0]
    exact = terms.astype(np.float64).sum(0)
    np.testing.assert_allclose(
        total.on_host(), exact, rtol=0, atol=1e-10 * np.abs(terms).astype(np.float64).sum(0).max()
    )


def test_merging_counts_both_parts_of_both():
    left, right = Sum(jnp.float32(2**25), jnp.float32(0.75)), Sum(jnp.float32(2**24), jnp.float32(0.5))
    assert left.merge(right).on_host() == 2**25 + 2**24 + 1.25
    assert left.merge(right).total == 2**25 + 2**24
    assert Sum(jnp.float32([1, 2]), jnp.float32([0.25, 0.5])).over(0).on_host() == 3.75
    kept = Sum(jnp.float32([1, 2]), jnp.float32([0.25, 0.5])).where(jnp.array([False, True]))
    assert kept.on_host().tolist() == [0.0, 2.5]
