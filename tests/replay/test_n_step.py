import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.replay import n_step, ring
from rlx.replay.ring import Ring
from rlx.types import Transition

NUM_ENVS = 2
DISCOUNT = 0.9


def history(length):
    """Two environments with ends of both kinds; every value tells its time and environment."""
    time, env = np.meshgrid(np.arange(20), np.arange(NUM_ENVS), indexing="ij")
    rng = np.random.default_rng(0)
    terminated, truncated = np.zeros((2, 20, NUM_ENVS), bool)
    terminated[[3, 9, 10, 14], 0] = True
    truncated[[5, 12, 17], 0] = True
    truncated[[1, 7, 8], 1] = True
    terminated[[4, 11, 15], 1] = True
    mask = np.stack([(time + env) % 2 == 0, (time + env) % 3 == 0], axis=-1)
    steps = Transition(
        obs=(10.0 * time + env)[..., None].astype(np.float32),
        action=(7 * time + env).astype(np.int32),
        reward=rng.normal(size=time.shape).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        next_obs=(10.0 * time + env + 5)[..., None].astype(np.float32),
        action_mask=mask,
        next_action_mask=~mask,
        extras={"log_prob": (-time - 0.5 * env).astype(np.float32)},
    )
    return jax.tree.map(lambda leaf: leaf[:length], steps)


def filled(steps, capacity):
    def write(leaf):
        data = np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)
        for time, row in enumerate(leaf):
            data[time % capacity] = row
        return jnp.asarray(data)

    return Ring(jax.tree.map(write, steps))


def windows(store, count, offset, env, n, discount):
    """The windows that start so many rows after the oldest one."""
    return n_step.windows_from(store, ring.physical_row(store, count, offset), env, n, discount)


def by_hand(steps, time, env, n):
    """Return (discounted reward, last time used, rows used) by walking the history."""
    total, used = 0.0, 0
    while True:
        total += DISCOUNT**used * float(steps.reward[time + used, env])
        ended = steps.terminated[time + used, env] or steps.truncated[time + used, env]
        used += 1
        if ended or used == n:
            return total, time + used - 1, used


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [7, 20])  # not yet full; and wrapped, so windows cross the physical end
def test_every_window_matches_a_plain_loop(n, count):
    capacity = 8
    steps = history(count)
    store = filled(steps, capacity)
    starts = int(n_step.valid_starts(store, count, n))
    oldest = max(count - capacity, 0)
    assert starts == count - oldest - n + 1
    offset, env = (index.ravel() for index in np.indices((starts, NUM_ENVS)))
    read = jax.jit(windows, static_argnums=4)
    batch = read(store, count, jnp.asarray(offset), jnp.asarray(env), n, DISCOUNT)
    for i, (time, e) in enumerate(zip(oldest + offset, env, strict=True)):
        total, last, used = by_hand(steps, time, e, n)
        np.testing.assert_allclose(batch.reward[i], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.discount[i], DISCOUNT**used, rtol=1e-6)
        assert batch.terminated[i] == steps.terminated[last, e]
        np.testing.assert_array_equal(batch.obs[i], steps.obs[time, e])
        np.testing.assert_array_equal(batch.action[i], steps.action[time, e])
        np.testing.assert_array_equal(batch.action_mask[i], steps.action_mask[time, e])
        np.testing.assert_array_equal(batch.extras["log_prob"][i], steps.extras["log_prob"][time, e])
        np.testing.assert_array_equal(batch.next_obs[i], steps.next_obs[last, e])
        np.testing.assert_array_equal(batch.next_action_mask[i], steps.next_action_mask[last, e])


def test_targets_by_hand_at_both_kinds_of_end():
    # Rewards 1, 2, 4, 8 and a next value of 100: a plain window, one that terminates, one that is truncated.
    steps = history(4).replace(
        action_mask=None,
        next_action_mask=None,
        reward=np.array([[1, 1], [2, 2], [4, 4], [8, 8]], np.float32),
        terminated=np.array([[0, 0], [1, 0], [0, 0], [0, 0]], bool),
        truncated=np.array([[0, 0], [0, 1], [0, 0], [0, 0]], bool),
    )
    store = filled(steps, 4)
    offset, env = jnp.array([0, 0, 1]), jnp.array([0, 1, 1])
    batch = windows(store, 4, offset, env, 3, 0.5)
    assert batch.action_mask is None
    assert batch.next_action_mask is None
    target = batch.reward + batch.discount * (1 - batch.terminated) * 100.0
    # 1 + 2/2, ended; 1 + 2/2 and 100/4 after the cut; 2 and 100/2 after the cut.
    np.testing.assert_allclose(target, [2.0, 27.0, 52.0])
    np.testing.assert_array_equal(batch.next_obs[:, 0], [15.0, 16.0, 16.0])
    batch = windows(store, 4, jnp.array([1]), jnp.array([0]), 1, 0.5)
    assert (float(batch.reward[0]), float(batch.discount[0]), bool(batch.terminated[0])) == (2.0, 0.5, True)
    full = windows(store, 4, jnp.array([2]), jnp.array([0]), 2, 0.5)
    np.testing.assert_allclose(full.reward + full.discount * 100.0, [4 + 8 / 2 + 100 / 4])


def test_rewards_after_an_end_never_enter():
    steps = history(8)
    poisoned = steps.replace(reward=np.where(np.arange(8)[:, None] > 3, np.nan, steps.reward).astype(np.float32))
    batch = windows(filled(poisoned, 8), 8, jnp.array([1]), jnp.array([0]), 5, DISCOUNT)
    expected = steps.reward[1, 0] + 0.9 * steps.reward[2, 0] + 0.81 * steps.reward[3, 0]
    np.testing.assert_allclose(batch.reward, [expected], rtol=1e-5)


def test_discount_can_be_traced_and_batched_over_a_population():
    store = filled(history(8), 8)
    offset, env = jnp.array([0, 3, 5]), jnp.array([1, 0, 1])

    def read(discount):
        return windows(store, 8, offset, env, 3, discount)

    together = jax.jit(jax.vmap(read))(jnp.array([0.0, 0.5, 1.0]))
    for member, discount in enumerate([0.0, 0.5, 1.0]):
        alone = read(discount)
        np.testing.assert_allclose(together.reward[member], alone.reward, rtol=1e-6)
        np.testing.assert_allclose(together.discount[member], alone.discount, rtol=1e-6)
    np.testing.assert_array_equal(together.reward[0], ring.take(store, offset, env).reward)


def test_one_step_is_a_plain_gather():
    store = filled(history(4), 4)
    index = jnp.zeros(2, jnp.int32)
    read = jax.make_jaxpr(windows, static_argnums=4)
    plain = str(read(store, 4, index, index, 1, DISCOUNT))
    window = str(read(store, 4, index, index, 3, DISCOUNT))
    assert ("argmax" in window, "argmax" in plain) == (True, False)
    # Each field but `truncated`, which a single step does not need, is gathered once.
    assert plain.count("gather[") == len(jax.tree.leaves(store)) - 1


def test_valid_starts_is_never_negative():
    store = filled(history(8), 8)
    assert [int(n_step.valid_starts(store, count, 3)) for count in (0, 2, 3, 8, 100)] == [0, 0, 1, 6, 6]


@pytest.mark.parametrize("n", [0, 9])
def test_refuses_a_window_that_does_not_fit(n):
    store = filled(history(8), 8)
    with pytest.raises(ConfigurationError, match="choose between 1 and the rows"):
        windows(store, 8, jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), n, DISCOUNT)
