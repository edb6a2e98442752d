from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.replay import prioritised

set_priorities = jax.jit(prioritised.set_priorities)


def priorities_of(tree):
    return np.asarray(tree.levels[0]).ravel()[: tree.num_entries]


def assert_consistent(tree):
    for below, above in zip(tree.levels[:-1], tree.levels[1:], strict=True):
        sums = np.asarray(below, np.float64).sum(axis=-1)
        flat = np.asarray(above).ravel()
        np.testing.assert_allclose(flat[: sums.size], sums, rtol=1e-6)
        assert not flat[sums.size :].any()
    assert tree.levels[-1].shape[0] == 1


@pytest.mark.parametrize(("entries", "depth"), [(1, 1), (16, 1), (17, 2), (256, 2), (257, 3), (1_000_000, 5)])
def test_the_tree_is_as_deep_as_needed(entries, depth):
    tree = prioritised.init(entries)
    assert len(tree.levels) == depth
    assert tree.levels[-1].shape == (1, 16)
    assert tree.levels[0].size >= entries


def test_sums_stay_consistent_under_random_updates_with_duplicates():
    rng = np.random.default_rng(0)
    tree, reference = prioritised.init(700), np.zeros(700, np.float32)
    for _ in range(30):
        indices = rng.integers(0, 700, 64)
        indices[32:] = indices[rng.integers(0, 32, 32)]
        priorities = rng.exponential(size=64).astype(np.float32)
        tree = set_priorities(tree, indices, priorities)
        for index in set(indices.tolist()):
            reference[index] = priorities[indices == index].max()
        np.testing.assert_array_equal(priorities_of(tree), reference)
        assert_consistent(tree)
    np.testing.assert_allclose(tree.levels[-1].sum(), reference.sum(dtype=np.float64), rtol=1e-6)


def test_max_priority_starts_at_one_and_never_falls():
    tree = prioritised.init(5)
    found = [float(tree.max_priority)]
    for priority in (0.25, 3.0, 2.0):
        tree = set_priorities(tree, jnp.array([1]), jnp.array([priority]))
        found.append(float(tree.max_priority))
    assert found == [1.0, 1.0, 3.0, 3.0]


def test_frequencies_follow_priorities_and_zeros_are_never_drawn():
    rng = np.random.default_rng(1)
    priorities = rng.exponential(size=300).astype(np.float32)
    priorities[rng.integers(0, 300, 100)] = 0.0
    priorities[:16] = 0.0
    priorities[-5:] = 0.0
    tree = set_priorities(prioritised.init(300), jnp.arange(300), priorities)
    batch, batches = 64, 4000
    keys = jax.random.split(jax.random.key(0), batches)
    indices, probabilities = jax.jit(jax.vmap(lambda key: prioritised.sample(tree, key, batch)))(keys)
    counts = np.bincount(np.ravel(indices), minlength=300)
    exact = priorities / priorities.sum(dtype=np.float64)
    assert counts.size == 300
    assert not counts[priorities == 0].any()
    # Four standard deviations of a binomial share; stratified draws spread no more than independent ones.
    draws = batch * batches
    np.testing.assert_array_less(np.abs(counts / draws - exact), 4.5 * np.sqrt(exact / draws) + 1e-9)
    np.testing.assert_allclose(np.ravel(probabilities), exact[np.ravel(indices)], rtol=1e-5)


def test_one_draw_falls_in_each_share_of_the_sum():
    # With equal priorities and 32 draws from 32 groups of 16, the shares are the groups.
    tree = set_priorities(prioritised.init(512), jnp.arange(512), jnp.full(512, 0.3))
    indices, probabilities = jax.jit(prioritised.sample, static_argnums=2)(tree, jax.random.key(5), 32)
    np.testing.assert_array_equal(indices // 16, np.arange(32))
    assert len(set(np.asarray(indices % 16).tolist())) > 8
    np.testing.assert_allclose(probabilities, 1 / 512, rtol=1e-5)


def test_a_small_priority_among_millions_keeps_its_share():
    # Groups of sum 16, one entry of 1/64 in each. A single float32 number resolves the sum, 2^22, to 1/4, which
    # would draw the small entries up to sixteen times too often.
    group = np.ones(16, np.float32)
    group[3], group[4] = 1 / 64, 2 - 1 / 64
    entries, draws = 2**22, 2**16
    tree = set_priorities(prioritised.init(entries), jnp.arange(entries), np.tile(group, entries // 16))
    indices, _ = jax.jit(partial(prioritised.sample, batch_size=draws))(tree, jax.random.key(2))
    counts = np.bincount(np.asarray(indices) % 16, minlength=16)
    expected = draws * group / 16
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected))


def test_rounding_never_leads_to_an_empty_child():
    rng = np.random.default_rng(3)
    children = rng.exponential(size=(2000, 16)).astype(np.float32) * (rng.random((2000, 16)) < 0.5)
    children[:, 0] += rng.random(2000) < 0.01
    children = children[children.sum(axis=1) > 0].astype(np.float32)
    edges = np.asarray(jnp.cumsum(children, axis=1))
    for factor in (1.0, 1 - 2**-23, 1 + 2**-22):
        # Masses on, just below and just above every boundary, and beyond the last one.
        mass = (edges * np.float32(factor)).T.ravel()
        slot, rest, child = jax.jit(prioritised._descend)(np.tile(children, (16, 1)), mass)
        assert np.all(np.asarray(child) > 0)
        np.testing.assert_array_equal(child, np.tile(children, (16, 1))[np.arange(mass.size), slot])
        assert np.all(np.asarray(rest) >= 0)
        assert np.all(np.asarray(rest) <= np.asarray(child) * (1 + 1e-4) + 1e-5)


def test_importance_weights_by_hand():
    probabilities = jnp.array([0.5, 0.125, 0.02])
    weights = prioritised.importance_weights(probabilities, 8, 0.5)
    # (8 p)^-1/2 = 0.5, 1, 2.5, over the largest.
    np.testing.assert_allclose(weights, [0.2, 0.4, 1.0], rtol=1e-6)
    np.testing.assert_allclose(prioritised.importance_weights(probabilities, 8, 1.0), [0.04, 0.16, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(prioritised.importance_weights(probabilities, 8, 0.0), [1, 1, 1])


@pytest.mark.parametrize(("num_rows", "n"), [(1, 1), (1, 3), (2, 1), (2, 2), (4, 3)])
def test_admit_gives_priority_to_exactly_the_complete_windows(num_rows, n):
    capacity, num_envs = 8, 2
    tree = prioritised.init(capacity * num_envs)
    tree = tree.replace(max_priority=jnp.float32(2.5))
    admit = jax.jit(prioritised.admit, static_argnums=(2, 3, 4))
    for count in range(0, 24, num_rows):
        tree = admit(tree, count, num_rows, num_envs, n)
        written = count + num_rows
        expected = np.zeros((capacity, num_envs), np.float32)
        for time in range(max(written - capacity, 0), written - n + 1):
            expected[time % capacity] = 2.5
        np.testing.assert_array_equal(priorities_of(tree).reshape(capacity, num_envs), expected)
        assert_consistent(tree)
    assert float(tree.max_priority) == 2.5


def test_admit_leaves_learned_priorities_alone():
    tree = prioritised.admit(prioritised.init(6), 0, 1, 2, 1)
    tree = set_priorities(tree, jnp.array([0, 1]), jnp.array([0.5, 4.0]))
    tree = prioritised.admit(tree, 1, 1, 2, 1)
    np.testing.assert_array_equal(priorities_of(tree), [0.5, 4.0, 4.0, 4.0, 0.0, 0.0])


def test_members_of_a_population_keep_their_own_trees():
    members = 3
    keys = jax.random.split(jax.random.key(0), members)
    priorities = jax.random.uniform(jax.random.key(1), (members, 40))
    blank = prioritised.init(40)

    def learn(key, priorities):
        tree = prioritised.set_priorities(blank, jnp.arange(40), priorities)
        indices, probabilities = prioritised.sample(tree, key, 8)
        return prioritised.set_priorities(tree, indices, probabilities), indices

    jitted = jax.jit(learn)
    trees, indices = jax.jit(jax.vmap(learn))(keys, priorities)
    for member in range(members):
        alone, index = jitted(keys[member], priorities[member])
        np.testing.assert_array_equal(indices[member], index)
        for together, level in zip(trees.levels, alone.levels, strict=True):
            np.testing.assert_allclose(together[member], level, rtol=1e-6)


def test_refuses_what_cannot_work():
    with pytest.raises(ConfigurationError, match="make it at least 1"):
        prioritised.init(0)
    with pytest.raises(ConfigurationError, match="make it at least 6 rows"):
        prioritised.admit(prioritised.init(10), 0, 4, 2, 3)
