import jax
import jax.numpy as jnp
import numpy as np

from rlx.networks.sine import polynomial_sine, sine

X = np.concatenate([np.linspace(-200.0, 200.0, 100_001), [0.0, 1e-6, -1e-6]]).astype(np.float32)


def test_it_is_the_sine():
    np.testing.assert_allclose(polynomial_sine(jnp.asarray(X)), np.sin(np.float64(X)), atol=3e-7)
    np.testing.assert_allclose(sine(jnp.asarray(X)), np.sin(np.float64(X)), atol=3e-7)


def test_its_slope_is_the_cosine():
    slopes = jax.grad(lambda x: polynomial_sine(x).sum())(jnp.asarray(X))
    # A quarter turn is added in float32, whose steps are 1.5e-5 at 200.
    np.testing.assert_allclose(slopes, np.cos(np.float64(X)), atol=1e-5)
    small = X[np.abs(X) < 4]
    np.testing.assert_allclose(
        jax.grad(lambda x: polynomial_sine(x).sum())(jnp.asarray(small)), np.cos(np.float64(small)), atol=6e-7
    )
