import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks import running_statistics as rs

update = jax.jit(rs.update)
merge = jax.jit(rs.merge)


def feed(batches, shape):
    stats = rs.init(shape)
    for batch in batches:
        stats = update(stats, jnp.asarray(batch))
    return stats


def test_two_batches_by_hand():
    # 1, 2 and then 3, 6: mean 3, squared distances 4 + 1 + 0 + 9 = 14 over 4 samples.
    stats = feed([np.float32([[1.0], [2.0]]), np.float32([[3.0], [6.0]])], (1,))
    assert stats.count == 4
    np.testing.assert_allclose(stats.mean, [3.0], rtol=1e-6)
    np.testing.assert_allclose(rs.variance(stats), [3.5], rtol=1e-6)
    np.testing.assert_allclose(rs.normalise(stats, jnp.array([6.5])), [3.5 / np.sqrt(3.5)], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_batches_of_several_axes_equal_numpy(shape):
    rng = np.random.default_rng(0)
    data = rng.normal(-2.0, 5.0, size=(4, 6, 5, *shape)).astype(np.float32)
    stats = feed(data, shape)
    assert stats.count == 120
    np.testing.assert_allclose(stats.mean, data.mean(axis=(0, 1, 2), dtype=np.float64), atol=1e-5)
    np.testing.assert_allclose(rs.variance(stats), data.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4096])
def test_a_large_offset_does_not_eat_the_variance(batch_size):
    rng = np.random.default_rng(1)
    data = rng.normal(1e4, 1.0, size=(4096 // batch_size * 4, batch_size, 2)).astype(np.float32)
    stats = jax.jit(lambda data: jax.lax.scan(lambda s, b: (rs.update(s, b), None), rs.init((2,)), data)[0])(data)
    exact = data.astype(np.float64)
    # float32 cannot tell numbers near 10,000 apart by less than 0.001.
    np.testing.assert_allclose(stats.mean, exact.mean(axis=(0, 1)), atol=0.03 if batch_size == 1 else 2e-3)
    np.testing.assert_allclose(rs.variance(stats), exact.var(axis=(0, 1)), rtol=5e-3)


def test_merging_parts_equals_all_at_once():
    data = np.random.default_rng(2).normal(3.0, 2.0, size=(100, 4)).astype(np.float32)
    data[60:] += 10.0
    whole, left, right = (feed([part], (4,)) for part in (data, data[:60], data[60:]))
    for merged in (merge(left, right), merge(right, left)):
        assert merged.count == whole.count == 100
        np.testing.assert_allclose(merged.mean, data.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(rs.variance(merged), data.var(axis=0), rtol=1e-5)


def test_merging_with_nothing_changes_nothing():
    stats = feed([np.float32([[1e-6, 5.0], [3e-6, 5.0]])], (2,))
    for merged in (merge(stats, rs.init((2,))), merge(rs.init((2,)), stats)):
        jax.tree.map(np.testing.assert_array_equal, merged, stats)
    empty = merge(rs.init((2,)), rs.init((2,)))
    jax.tree.map(np.testing.assert_array_equal, empty, rs.init((2,)))


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
        np.testing.assert_allclose(stats.count, weight, rtol=1e-6)
        np.testing.assert_allclose(stats.mean, mean, rtol=1e-5)
        np.testing.assert_allclose(rs.variance(stats), square - mean**2, rtol=2e-3)


def test_a_weight_to_begin_with_is_not_the_array_that_was_given():
    """Hyperparameters outlive a state that is given up."""
    given = jnp.float32(0.5)
    jax.block_until_ready(rs.init((2,), given).count).delete()
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


def test_statistics_stay_sound_over_a_billion_samples():
    part = rs.RunningStatistics(jnp.float32(2.0**20), jnp.array([3.0]), jnp.array([2.0]))
    merge_many = jax.jit(lambda s: jax.lax.fori_loop(0, 1000, lambda _, s: rs.merge(s, part), s))
    stats = merge_many(rs.init((1,)))
    assert stats.count == 2**24
    np.testing.assert_allclose(stats.mean, [3.0], rtol=1e-6)
    np.testing.assert_allclose(rs.variance(stats), [2.0], rtol=1e-6)


def test_beyond_the_cap_old_samples_fade_exponentially():
    full = rs.RunningStatistics(jnp.float32(2.0**24), jnp.array([0.0]), jnp.array([1.0]))
    batch = jnp.array([[-1.0], [3.0]] * 2**11)  # mean 1, variance 4
    steps = 2**13  # two windows of 2**24 samples
    stats = jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda _, s: rs.update(s, batch), s))(full)
    old = (1 - 2**12 / (2**24 + 2**12)) ** steps  # weight left to the first statistics, near exp(-2)
    assert stats.count == 2**24
    np.testing.assert_allclose(stats.mean, [1 - old], rtol=1e-3)
    np.testing.assert_allclose(rs.variance(stats), [old * 1 + (1 - old) * 4 + old * (1 - old)], rtol=1e-3)


def test_members_of_a_population_keep_their_own_statistics():
    data = np.random.default_rng(4).normal(size=(3, 8, 2)).astype(np.float32)
    stats = jax.vmap(lambda batch: rs.update(rs.init((2,)), batch))(data)
    np.testing.assert_allclose(stats.mean, data.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(rs.variance)(stats), data.var(axis=1), rtol=1e-5)


def test_a_batch_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        rs.update(rs.init((3,)), jnp.zeros((5, 4)))
