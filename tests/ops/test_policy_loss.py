import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.policy_loss import approx_kl, clipped_surrogate, clipped_value_loss


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),  # inside the clip; the slope is in the log-ratio
        (1.5, 2.0, -2.4, 0.0),  # raised enough already
        (0.5, 2.0, -1.0, -1.0),  # lowered although good: pulled back
        (1.5, -2.0, 3.0, 3.0),  # raised although bad: pulled back
        (0.5, -2.0, 1.6, 0.0),  # lowered enough already
    ],
)
def test_clipped_surrogate(ratio, advantage, loss, slope):
    value, gradient = jax.value_and_grad(clipped_surrogate)(jnp.log(ratio), jnp.float32(advantage), 0.2)
    np.testing.assert_allclose(value, loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "target", "loss", "slope"),
    [
        (1.1, 2.0, 0.405, -0.9),  # near the old value of 1: the plain loss
        (1.5, 2.0, 0.32, 0.0),  # the value clipped to 1.2 errs more
        (1.5, 0.0, 1.125, 1.5),  # the clipped value errs less
        (0.5, 2.0, 1.125, -1.5),
    ],
)
def test_clipped_value_loss(value, target, loss, slope):
    arguments = jnp.float32(value), jnp.float32(1.0), jnp.float32(target), 0.2
    result, gradient = jax.value_and_grad(clipped_value_loss)(*arguments)
    np.testing.assert_allclose(result, loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def test_approx_kl_averages_to_the_divergence():
    old, new = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    estimates = approx_kl(jnp.log(new / old))
    assert (estimates >= 0).all()
    np.testing.assert_allclose(old @ estimates, old @ np.log(old / new), rtol=1e-5)


def test_approx_kl_keeps_small_ratios():
    np.testing.assert_allclose(approx_kl(jnp.float32(1e-2)), 5.01671e-5, rtol=1e-3)


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError):
        clipped_surrogate(jnp.zeros(2), jnp.zeros(2), 0.2)
    with pytest.raises(AssertionError):
        clipped_value_loss(jnp.zeros(()), jnp.zeros(1), jnp.zeros(()), 0.2)
