import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks.dynamics import DynamicsModel, action_vector, cross_entropy, flat_observation
from rlx.types import Box, Discrete, EnvSpec, Transition

KEY = jax.random.key(0)
SPEC = EnvSpec("toy", (2, 2), "int8", Box(3), None)
MASKED = EnvSpec("toy", (2,), "float32", Discrete(3), None, has_action_mask=True)


def transitions(spec, actions, terminated, mask=None):
    rng = np.random.default_rng(0)
    size = len(terminated)
    obs, next_obs = (jnp.array(rng.integers(0, 5, (size, *spec.obs_shape)), spec.obs_dtype) for _ in range(2))
    ended = jnp.array(terminated)
    return Transition(obs, actions, jnp.arange(size, dtype=float), ended, ~ended, next_obs, mask, mask, {})


def test_shapes():
    model = DynamicsModel(SPEC, (8,), True)
    prediction = model.predict(model.init(KEY), jnp.zeros((5, 4, 2, 2), jnp.int8), jnp.zeros((5, 4, 3)))
    assert prediction.obs.shape == (5, 4, 2, 2)
    assert prediction.reward.shape == prediction.goes_on.shape == (5, 4)
    assert prediction.action_mask is None


def test_without_the_head_nothing_ends():
    model = DynamicsModel(SPEC, (8,), False)
    prediction = model.predict(model.init(KEY), jnp.ones((5, 2, 2)), jnp.ones((5, 3)))
    np.testing.assert_array_equal(prediction.goes_on, np.ones(5))


def test_actions_are_clipped_as_the_task_does():
    np.testing.assert_array_equal(action_vector(Box(3), jnp.array([-3.0, 0.5, 1.5])), [-1, 0.5, 1])
    np.testing.assert_array_equal(action_vector(Discrete(3), jnp.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    model = DynamicsModel(SPEC, (8,), False)
    params, obs = model.init(KEY), jnp.ones((1, 2, 2))
    inside, outside = (model.predict(params, obs, jnp.full((1, 3), x)).reward for x in (1.0, 7.0))
    assert inside == outside


def test_losses_by_hand():
    """Means over batch and coordinates of squared errors; an end by a time limit is none."""
    model = DynamicsModel(SPEC, (8,), True)
    params = jax.tree.map(jnp.zeros_like, model.init(KEY))
    params["termination"]["params"]["head"]["bias"] = jnp.array([1.0])
    batch = transitions(SPEC, jnp.zeros((4, 3)), [True, False, False, False])
    total, losses = model.loss(params, batch)
    ends = (np.log1p(np.e) - 1 + 3 * np.log1p(np.e)) / 4
    assert losses["transition_loss"] == pytest.approx(np.square(np.asarray(batch.next_obs, float)).mean())
    assert losses["reward_loss"] == pytest.approx((0 + 1 + 4 + 9) / 4)
    assert losses["termination_loss"] == pytest.approx(ends, rel=1e-6)
    assert total == pytest.approx(float(sum(losses.values())))


def test_valid_actions_are_learned():
    """Observations (x, y): action 0 is valid next if x > 0, action 1 always, action 2 never."""
    model = DynamicsModel(MASKED, (16,), False)
    obs = jax.random.normal(KEY, (256, 2))
    mask = jnp.stack([obs[:, 0] > 0, jnp.ones(256, bool), jnp.zeros(256, bool)], axis=1)
    batch = dataclasses.replace(
        transitions(MASKED, jnp.zeros(256, jnp.int32), [False] * 256, mask), obs=obs, next_obs=obs
    )

    @jax.jit
    def fitted(params):
        def descend(_, params):
            gradient, _ = jax.grad(model.loss, has_aux=True)(params, batch)
            return jax.tree.map(lambda x, slope: x - 0.1 * slope, params, gradient)

        return jax.lax.fori_loop(0, 500, descend, params)

    found = model.predict(fitted(model.init(KEY)), obs, batch.action).action_mask
    assert (found == mask).mean() > 0.98


def test_cross_entropy_of_certain_mistakes_is_finite():
    assert cross_entropy(jnp.array([200.0, -200.0]), jnp.array([False, True])) == pytest.approx(200.0)


def test_flat_observations_are_float32():
    flat = flat_observation(SPEC, jnp.ones((7, 2, 2), jnp.int8))
    assert flat.shape == (7, 4)
    assert flat.dtype == jnp.float32
