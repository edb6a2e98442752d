from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.replay import sampling


def chi_square(counts):
    expected = counts.sum() / counts.size
    return np.sum((counts - expected) ** 2) / expected


def joint_counts(offset, env, size, num_envs):
    return np.bincount(np.asarray(offset) * num_envs + np.asarray(env), minlength=size * num_envs)


def test_uniform_passes_a_chi_square_test_over_rows_and_environments():
    size, num_envs = 7, 3
    offset, env = sampling.uniform(jax.random.key(0), size, num_envs, 42_000)
    counts = joint_counts(offset, env, size, num_envs)
    assert counts.size == 21  # nothing out of range
    # 45.3 is the 0.999 quantile of chi-square with 20 degrees of freedom.
    assert chi_square(counts) < 45.3


def test_uniform_takes_a_traced_size_and_reaches_both_ends():
    draw = jax.jit(partial(sampling.uniform, num_envs=2, batch_size=4096))
    for size in (1, 2, 1000, 3_000_017):
        offset, env = draw(jax.random.key(size), size)
        assert offset.dtype == env.dtype == jnp.int32
        assert 0 <= offset.min() <= size // 100
        assert size - 1 - size // 100 <= offset.max() < size
        assert set(np.unique(env)) == {0, 1}


def test_uniform_differs_between_keys_and_between_rows_and_environments():
    offset, env = sampling.uniform(jax.random.key(0), 16, 16, 1000)
    other, _ = sampling.uniform(jax.random.key(1), 16, 16, 1000)
    # Independent draws of 16 values agree about once in 16.
    assert 30 < np.sum(np.asarray(offset) == np.asarray(env)) < 100
    assert 30 < np.sum(np.asarray(offset) == np.asarray(other)) < 100


@pytest.mark.parametrize("bound", [1, 3, 65_535, 65_536, 1_000_003, 2**24 + 1, 2**31 - 1])
def test_below_is_the_exact_product_of_integers(bound):
    rng = np.random.default_rng(bound)
    bits = np.concatenate([[0, 1, 0xFFFF, 0x10000, 2**32 - 1], rng.integers(0, 2**32, 500)]).astype(np.uint32)
    expected = [(int(word) * bound) >> 32 for word in bits]
    np.testing.assert_array_equal(sampling._below(jnp.asarray(bits), bound), expected)


def test_uniform_reaches_odd_and_even_rows_alike_beyond_float32():
    # Multiples of a float32 draw in [0, 1) would be even from 2^24 on.
    offset, _ = sampling.uniform(jax.random.key(3), 2**26, 1, 10_000)
    assert abs(np.mean(np.asarray(offset) % 2) - 0.5) < 4 * 0.5 / 100
    assert abs(np.mean(np.asarray(offset) % 8 == 5) - 0.125) < 4 * 0.331 / 100


def test_newest_draws_the_window_evenly_and_never_an_older_row():
    size, num_envs, window = 50, 2, 4
    offset, env = sampling.newest(jax.random.key(1), size, num_envs, 16_000, window)
    assert offset.min() == size - window
    assert offset.max() == size - 1
    counts = joint_counts(offset - (size - window), env, window, num_envs)
    # 24.3 is the 0.999 quantile of chi-square with 7 degrees of freedom.
    assert chi_square(counts) < 24.3


def test_newest_draws_from_all_while_there_are_fewer():
    offset, _ = jax.jit(sampling.newest, static_argnums=(2, 3))(jax.random.key(2), 3, 1, 500, 10)
    assert set(np.unique(offset)) == {0, 1, 2}


def test_by_age_follows_the_distribution():
    size, draws = 10, 40_000
    # P(age < a) = sqrt(a): the newest tenth has probability sqrt(0.1).
    offset, env = sampling.by_age(jax.random.key(4), size, 3, draws, jnp.square)
    ages = size - 1 - np.asarray(offset)
    found = np.bincount(ages, minlength=size) / draws
    edges = np.sqrt(np.arange(size + 1) / size)
    np.testing.assert_allclose(found, np.diff(edges), atol=4 * 0.5 / np.sqrt(draws))
    assert chi_square(np.bincount(env, minlength=3)) < 13.8  # 0.999 quantile, 2 degrees of freedom


def test_by_age_stays_within_the_ring():
    draw = jax.jit(partial(sampling.by_age, num_envs=1, batch_size=64), static_argnames="inverse_cdf")
    oldest, _ = draw(jax.random.key(0), 37, inverse_cdf=jnp.ones_like)
    newest, _ = draw(jax.random.key(0), 37, inverse_cdf=jnp.zeros_like)
    assert set(np.unique(oldest)) == {0}
    assert set(np.unique(newest)) == {36}


def test_a_table_of_weights_is_inverted_exactly():
    # The oldest first; of eight shares the newest takes 4, then 1, then none, then 3.
    inverse_cdf = sampling.inverse_cdf_of(np.array([3.0, 0.0, 1.0, 4.0]))
    ages = np.floor(np.asarray(inverse_cdf(np.arange(8, dtype=np.float32) / 8)) * 4)
    np.testing.assert_array_equal(ages, [0, 0, 0, 0, 1, 3, 3, 3])


def test_a_row_of_no_weight_is_never_drawn_at_either_end():
    inverse_cdf = sampling.inverse_cdf_of(np.array([0.0, 1.0, 0.0]))
    ages = np.asarray(inverse_cdf(np.array([0.0, 0.5, 1 - 2**-24], np.float32)))
    np.testing.assert_array_equal(np.floor(3 * ages), [1, 1, 1])


@pytest.mark.parametrize("size", [7, 41, 512_000])
def test_a_table_leads_to_its_own_rows_despite_rounding(size):
    inverse_cdf = sampling.inverse_cdf_of(np.ones(size))
    uniform = ((np.arange(size) + 0.5) / size).astype(np.float32)
    ages = jax.jit(lambda uniform: jnp.floor(inverse_cdf(uniform) * size))(uniform)
    np.testing.assert_array_equal(ages, np.arange(size))


def test_members_of_a_population_draw_what_they_would_alone():
    keys = jax.random.split(jax.random.key(9), 3)
    draw = partial(sampling.uniform, size=11, num_envs=2, batch_size=20)
    offsets, envs = jax.vmap(draw)(keys)
    assert len({tuple(np.asarray(member)) for member in offsets}) == 3
    for member in range(3):
        offset, env = draw(keys[member])
        np.testing.assert_array_equal(offsets[member], offset)
        np.testing.assert_array_equal(envs[member], env)
