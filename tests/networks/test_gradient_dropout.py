import jax
import jax.numpy as jnp
import numpy as np

from rlx.networks.gradient_dropout import gradient_dropout


def test_values_pass_and_gradients_pass_at_random_and_unscaled():
    x, key = jnp.linspace(-1.0, 1.0, 20_000), jax.random.key(0)
    np.testing.assert_array_equal(gradient_dropout(x, key, 0.25), x)
    slopes = np.asarray(jax.grad(lambda x: (gradient_dropout(x, key, 0.25) * 3.0).sum())(x))
    assert set(slopes.tolist()) == {0.0, 3.0}
    np.testing.assert_allclose((slopes == 3.0).mean(), 0.25, atol=0.01)
    other = np.asarray(jax.grad(lambda x: gradient_dropout(x, jax.random.key(1), 0.25).sum())(x))
    assert ((other > 0) != (slopes > 0)).any()
