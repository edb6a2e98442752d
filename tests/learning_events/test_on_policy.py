import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.learning import on_policy
from rlx.learning.on_policy import Batch
from rlx.networks import running_statistics
from rlx.ops import optimisers
from rlx.types import Clock, Transition

KEY = jax.random.key(0)


def epochs(num_epochs, num_minibatches, size=12, key=KEY, learning_rate=1.0):
    """Parameters and what each update saw: its rows, and the parameter before it, whose gradient is always 1."""

    def loss(params, minibatch):
        return params, {"rows": minibatch, "params": params}

    optimiser = optimisers.sgd()
    learner = (jnp.float32(0.0), optimiser.init(jnp.float32(0.0)))
    (params, _), seen = on_policy.minibatch_epochs(
        loss, optimiser, learning_rate, learner, jnp.arange(size), key, num_epochs, num_minibatches
    )
    return params, jax.tree.map(np.asarray, seen)


def test_each_epoch_visits_each_row_once_in_an_order_of_its_own():
    params, seen = epochs(num_epochs=3, num_minibatches=4, learning_rate=0.5)
    assert seen["rows"].shape == (12, 3)
    orders = seen["rows"].reshape(3, 12)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(12), (3, 1)))
    assert len(np.unique(orders, axis=0)) == 3
    assert (orders != np.arange(12)).any(axis=1).all()
    # Every update begins where the one before it ended.
    np.testing.assert_array_equal(seen["params"], -0.5 * np.arange(12))
    assert params == -6.0


def test_other_events_have_other_orders():
    first, second = (epochs(1, 1, size=24, key=jax.random.key(seed))[1]["rows"] for seed in (0, 1))
    assert (first != second).any()


def test_equal_minibatches_or_none():
    on_policy.check_minibatches(12, 4)
    with pytest.raises(ConfigurationError, match="= 12 cannot be cut into num_minibatches = 5 equal parts"):
        on_policy.check_minibatches(12, 5)


def test_standardise_divides_by_the_population_deviation():
    np.testing.assert_allclose(on_policy.standardise(jnp.array([1.0, 3.0])), [-1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        on_policy.standardise(jnp.array([0.0, 0.0, 0.0, 4.0])), np.array([-1, -1, -1, 3]) / np.sqrt(3), rtol=1e-6
    )
    assert on_policy.standardise(jnp.ones(3)).tolist() == [0.0, 0.0, 0.0]
    # Two numbers are half the square root of 2 sample deviations from their mean.
    np.testing.assert_allclose(on_policy.standardise(jnp.array([1.0, 3.0]), ddof=1), [-(0.5**0.5), 0.5**0.5], rtol=1e-6)


def test_a_single_number_is_not_standardised():
    """Its distance from its mean is 0, and its sample deviation 0 / 0: it would teach nothing, or NaN."""
    for ddof in (0, 1):
        with pytest.raises(ConfigurationError, match="one number has no spread"):
            on_policy.standardise(jnp.ones(1), ddof=ddof)
    on_policy.check_spread(16, 8, "")
    with pytest.raises(
        ConfigurationError, match=r"16 in num_minibatches = 16 leaves single advantages, .* spread .*; lower"
    ):
        on_policy.check_spread(16, 16, "lower it")


def test_the_learning_events_of_a_budget():
    """500 steps hold 7 whole events of 64; the eighth, which overshoots, begins when they have passed."""
    clock, found = Clock.start(500, 64), []
    for _ in range(8):
        clock = clock.advance()
        found.append(float(on_policy.progress_in_events(clock)))
    np.testing.assert_allclose(found, np.arange(8) / 7, rtol=1e-6)
    assert on_policy.progress_in_events(Clock.start(50, 64).advance()) == 0


def test_statistics_take_in_times_and_environments_and_leave_features_apart():
    obs = jnp.array([[[1.0, 10.0], [3.0, 10.0]], [[5.0, 20.0], [7.0, 20.0]]])  # [T, N, F]
    statistics = on_policy.updated(running_statistics.init((2,)), obs)
    assert statistics.count.value == 4
    np.testing.assert_allclose(statistics.mean.value, [4.0, 15.0], rtol=1e-6)
    np.testing.assert_allclose(running_statistics.variance(statistics), [5.0, 25.0], rtol=1e-6)
    np.testing.assert_allclose(on_policy.normalised(statistics, obs)[0, 1], [-1 / np.sqrt(5), -1.0], rtol=1e-5)
    assert on_policy.updated(None, obs) is None
    assert on_policy.normalised(None, obs) is obs


def rollout(reward, terminated, truncated):
    """Transitions ``[T, N]`` whose actions tell their place."""
    shape = np.shape(reward)
    place = jnp.arange(np.prod(shape)).reshape(shape)
    blank = jnp.zeros((*shape, 1))
    return Transition(
        obs=blank,
        action=place,
        reward=jnp.asarray(reward, jnp.float32),
        terminated=jnp.asarray(terminated, bool),
        truncated=jnp.asarray(truncated, bool),
        next_obs=blank,
        action_mask=None,
        next_action_mask=None,
        extras={"log_prob": -place.astype(jnp.float32)},
    )


def test_advantages_of_two_environments_side_by_side():
    """The second one's first step terminates, and its second one meets a time limit; discount and lambda 0.5."""
    steps = rollout([[1.0, 2.0], [3.0, 4.0]], [[0, 1], [0, 0]], [[0, 0], [0, 1]])
    value = jnp.array([[0.5, 1.0], [2.0, 3.0]])
    next_value = jnp.array([[2.0, 9.0], [4.0, 6.0]])
    obs = jnp.arange(4.0).reshape(2, 2, 1)
    batch = on_policy.make_batch(steps, obs, value, next_value, 0.5, 0.5)
    # One-step errors 1 + 1 - 0.5, 2 - 1; 3 + 2 - 2, 4 + 3 - 3. Only the first goes on, with a quarter of what follows.
    assert batch.advantage.tolist() == [1.5 + 0.25 * 3, 1.0, 3.0, 4.0]
    assert batch.value_target.tolist() == [2.75, 2.0, 5.0, 7.0]
    assert batch.value.tolist() == [0.5, 1.0, 2.0, 3.0]
    assert batch.action.tolist() == [0, 1, 2, 3]
    assert batch.log_prob.tolist() == [0.0, -1.0, -2.0, -3.0]
    assert batch.obs.tolist() == [[0.0], [1.0], [2.0], [3.0]]
    ended = on_policy.without_truncations(steps)
    assert on_policy.make_batch(ended, obs, value, next_value, 0.5, 0.5).advantage.tolist() == [2.25, 1.0, 3.0, 1.0]


def test_the_value_loss():
    numbers = jnp.array([0.0, 0.0])
    batch = Batch(None, None, None, None, value=numbers, advantage=None, value_target=jnp.array([1.0, -2.0]))
    value = jnp.array([0.5, 0.5])
    assert on_policy.mean_value_loss(value, batch, None) == (0.125 + 3.125) / 2
    # Held at 0.2, the first would be further from its target; the second is already as far as can be.
    np.testing.assert_allclose(on_policy.mean_value_loss(value, batch, 0.2), (0.32 + 3.125) / 2, rtol=1e-6)


def test_how_far_the_policy_has_moved():
    ratio = np.array([1.0, 1.1, 0.7, 1.3])
    metrics = on_policy.ratio_metrics(jnp.log(jnp.asarray(ratio)), 0.2)
    np.testing.assert_allclose(metrics["clip_fraction"], 0.5)
    np.testing.assert_allclose(metrics["approx_kl"], np.mean(ratio - 1 - np.log(ratio)), rtol=1e-4)


def test_metrics_of_an_event_are_means_over_its_updates():
    metrics = on_policy.metrics_of({"loss": jnp.array([1.0, 2.0, 6.0])}, {"horizon": jnp.float32(4.0)})
    assert (float(metrics.means["loss"]), float(metrics.last["horizon"]), metrics.updates) == (3.0, 4.0, 3)
