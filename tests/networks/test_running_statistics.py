import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks import running_statistics as rs
from rlx.sums import Sum

update = jax.jit(rs.update)


def feed(batches, shape):
    stats = rs.init(shape)
    for batch in batches:
        stats = update(stats, jnp.asarray(batch))
    return stats


def test_two_batches_by_hand():
    # 1, 2 and then 3, 6: mean 3, squared distances 4 + 1 + 0 + 9 = 14 over 4 samples.
    stats = feed([np.float32([[1.0], [2.0]]), np.float32([[3.0], [6.0]])], (1,))
    assert stats.count.value == 4
    np.testing.assert_allclose(stats.mean.value, [3.0], rtol=1e-6)
    np.testing.assert_allclose(rs.variance(stats), [3.5], rtol=1e-6)
    np.testing.assert_allclose(rs.normalise(stats, jnp.array([6.5])), [3.5 / np.sqrt(3.5)], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_batches_of_several_axes_equal_numpy(shape):
    rng = np.random.default_rng(0)
    data = rng.normal(-2.0, 5.0, size=(4, 6, 5, *shape)).astype(np.float32)
    stats = feed(data, shape)
    assert stats.count.value == 120
    np.testing.assert_allclose(stats.mean.value, data.mean(axis=(0, 1, 2), dtype=np.float64), atol=1e-5)
    np.testing.assert_allclose(rs.variance(stats), data.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4096])
def test_a_large_offset_does_not_eat_the_variance(batch_size):
    rng = np.random.default_rng(1)
    data = rng.normal(1e4, 1.0, size=(4096 // batch_size * 4, batch_size, 2)).astype(np.float32)
    stats = jax.jit(lambda data: jax.lax.scan(lambda s, b: (rs.update(s, b), None), rs.init((2,)), data)[0])(data)
    exact = data.astype(np.float64)
    # float32 cannot tell numbers near 10,000 apart by less than 0.001.
    np.testing.assert_allclose(stats.mean.value, exact.mean(axis=(0, 1)), atol=2e-3)
    np.testing.assert_allclose(rs.variance(stats), exact.var(axis=(0, 1)), rtol=5e-3)


def test_before_any_data_normalisation_only_clips():
    x = jnp.array([[-30.0, 0.25, 4.0]])
    np.testing.assert_array_equal(rs.normalise(rs.init((3,)), x), [[-10.0, 0.25, 4.0]])
    np.testing.assert_array_equal(rs.normalise(rs.init((3,)), x, clip=1.0), [[-1.0, 0.25, 1.0]])


def test_a_single_sample_has_no_spread():
    """By a variance of 0 any other observation would be brought to a bound."""
    stats = feed([np.float32([[3.0, -2.0]])], (2,))
    np.testing.assert_array_equal(rs.variance(stats), [1.0, 1.0])
    np.testing.assert_allclose(rs.normalise(stats, jnp.array([3.5, -4.0])), [0.5, -2.0], rtol=1e-6)


@pytest.mark.parametrize("start", [1e-4, 2.0])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_statistics_that_begin_with_a_weight(start, batch_size):
    """Of mean 0 and variance 1: moments of weighted samples, in double precision."""
    data = np.random.default_rng(5).normal(3.0, 2.0, size=(6, batch_size, 2)).astype(np.float32)
    stats = rs.init((2,), start)
    np.testing.assert_array_equal(rs.variance(stats), [1.0, 1.0])
    np.testing.assert_array_equal(rs.normalise(stats, jnp.array([0.5, -20.0])), [0.5, -10.0])
    for number, batch in enumerate(data, start=1):
        stats = update(stats, jnp.asarray(batch))
        seen = data[:number].reshape(-1, 2).astype(np.float64)
        weight = start + len(seen)
        mean = seen.sum(axis=0) / weight
        square = (start + np.square(seen).sum(axis=0)) / weight
        np.testing.assert_allclose(stats.count.value, weight, rtol=1e-6)
        np.testing.assert_allclose(stats.mean.value, mean, rtol=1e-5)
        np.testing.assert_allclose(rs.variance(stats), square - mean**2, rtol=2e-3)


def test_a_weight_to_begin_with_is_not_the_array_that_was_given():
    """Hyperparameters outlive a state that is given up."""
    given = jnp.float32(0.5)
    jax.block_until_ready(rs.init((2,), given).count.total).delete()
    assert given == 0.5


def test_normalised_data_has_zero_mean_and_unit_variance():
    data = np.random.default_rng(3).uniform(0, 200, size=(500, 2)).astype(np.uint8)
    stats = feed([data], (2,))
    normal = np.asarray(rs.normalise(stats, jnp.asarray(data)))
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal.mean(axis=0), [0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(normal.std(axis=0), [1.0, 1.0], atol=1e-4)


def test_a_constant_feature_is_exactly_zero():
    data = np.full((7, 33, 1), 0.1, np.float32)
    stats = feed(data, (1,))
    assert rs.variance(stats) == 0
    np.testing.assert_array_equal(rs.normalise(stats, jnp.asarray(data)), np.zeros_like(data))


@pytest.mark.parametrize("batch", [1, 1024])
def test_after_a_billion_samples_new_ones_count_for_what_they_are(batch):
    """A billion samples of mean 0 and variance 1, and then a million of mean 5 and variance 0."""
    old, new = 10**9, 2**20
    count = Sum(jnp.float32(old), jnp.float32(0.0))
    stats = rs.RunningStatistics(count, Sum.zeros((1,)), Sum(jnp.ones(1), jnp.zeros(1)))
    samples = jnp.full((batch, 1), 5.0)
    many = jax.jit(lambda stats: jax.lax.fori_loop(0, new // batch, lambda _, stats: rs.update(stats, samples), stats))
    stats = many(stats)
    share = new / (old + new)
    assert stats.count.on_host() == old + new
    np.testing.assert_allclose(stats.mean.on_host(), [5 * share], rtol=1e-4)
    np.testing.assert_allclose(stats.m2.on_host() - 1.0, [-share + 25 * share * (1 - share)], rtol=1e-3)


def test_members_of_a_population_keep_their_own_statistics():
    data = np.random.default_rng(4).normal(size=(3, 8, 2)).astype(np.float32)
    stats = jax.vmap(lambda batch: rs.update(rs.init((2,)), batch))(data)
    np.testing.assert_allclose(stats.mean.value, data.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(rs.variance)(stats), data.var(axis=1), rtol=1e-5)


def test_a_batch_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        rs.update(rs.init((3,)), jnp.zeros((5, 4)))
