import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlx.errors import ConfigurationError
from rlx.ops import shuffle

KEY = jax.random.key(7)
KEYS = 40_000
shuffled_indices = jax.jit(shuffle.shuffled_indices, static_argnames=("size", "count"))


def permutations(size, seed):
    """The permutations of ``range(size)`` under many keys, [KEYS, size]."""
    keys = jax.random.split(jax.random.key(seed), KEYS)
    return np.asarray(jax.jit(jax.vmap(lambda key: shuffled_indices(key, size, 0, size)))(keys))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 97, 100, 2048, 4096, 65537])
def test_every_index_comes_once(size):
    indices = shuffled_indices(KEY, size, 0, size)
    assert indices.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(indices), np.arange(size))


@pytest.mark.parametrize("size", [100, 131])
def test_slices_are_parts_of_one_permutation(size):
    whole = shuffled_indices(KEY, size, 0, size)
    for start in (0, 32, size - 32):
        np.testing.assert_array_equal(shuffled_indices(KEY, size, start, 32), whole[start : start + 32])


def test_hash_leaves_room_for_a_digit():
    # A sum beyond 32 bits would make two indices one; it is too rare for the other tests to meet.
    hashes = shuffle._hash(jnp.arange(10_000, dtype=jnp.uint32), jnp.uint32(0x12345678))
    assert 2**30 < int(hashes.max()) < 2**31


def test_largest_size():
    size = 2**31 - 1
    indices = np.asarray(shuffled_indices(KEY, size, size - 1000, 1000))
    assert len(np.unique(indices)) == 1000
    assert indices.min() >= 0
    # The mean of 1000 draws; five of its standard deviations are 0.046.
    assert abs(indices.mean() / size - 0.5) < 0.05


@pytest.mark.parametrize("size", [5, 8, 61, 100])
def test_every_position_is_uniform_over_keys(size):
    indices = permutations(size, seed=size)
    for position in (0, size // 2, size - 1):
        assert stats.chisquare(np.bincount(indices[:, position], minlength=size)).pvalue > 1e-4


@pytest.mark.parametrize("size", [8, 12, 61, 64])
def test_neighbouring_positions_are_independent_over_keys(size):
    indices = permutations(size, seed=size)
    distinct = ~np.eye(size, dtype=bool)
    for position in (0, size // 2):
        pairs = indices[:, position] * size + indices[:, position + 1]
        counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
        assert (counts[~distinct] == 0).all()
        assert stats.chisquare(counts[distinct]).pvalue > 1e-4


def test_no_order_remains():
    size = 4096
    indices = np.asarray(shuffled_indices(KEY, size, 0, size))
    # A rank correlation of independent draws has a standard deviation of 1 / 64.
    assert abs(stats.spearmanr(np.arange(size), indices).statistic) < 5 / 64
    assert abs(stats.spearmanr(indices[:-1], indices[1:]).statistic) < 5 / 64
    steps = np.bincount((indices[1:] - indices[:-1]) % size, minlength=size)
    assert steps.max() < 12  # a fixed stride would repeat; Poisson with mean 1 stays below


def test_keys_differ():
    first = np.asarray(shuffled_indices(jax.random.key(1), 4096, 0, 4096))
    second = np.asarray(shuffled_indices(jax.random.key(2), 4096, 0, 4096))
    # Independent permutations agree in one place on average.
    assert (first == second).sum() < 10


@pytest.mark.parametrize(("size", "walks"), [(4096, False), (2048, False), (3000, False), (65537, True)])
def test_walking_is_compiled_only_where_needed(size, walks):
    program = str(jax.make_jaxpr(lambda key: shuffled_indices(key, size, 0, 8))(KEY))
    assert ("while" in program) == walks
    assert "sort" not in program


@pytest.mark.parametrize(("size", "count", "message"), [(0, 0, "size must"), (2**31, 1, "size must"), (4, 5, "5 of 4")])
def test_bad_arguments_are_refused(size, count, message):
    with pytest.raises(ConfigurationError, match=message):
        shuffle.shuffled_indices(KEY, size, 0, count)
