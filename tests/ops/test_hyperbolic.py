import jax
import jax.numpy as jnp
import numpy as np

from rlx.ops.hyperbolic import rehae, rehse


def test_values():
    np.testing.assert_allclose(rehse(jnp.array([1.0, 2.0, -3.0])), [0.462117, 1.523188, 2.715445], rtol=1e-6)
    np.testing.assert_allclose(rehae(jnp.array([-3.0, 3.0])), [-2.715445, 2.715445], rtol=1e-6)


def test_slopes_of_the_asymmetric_error():
    x = jnp.array([0.0, 0.5, 1.0, 1.618034])
    expected = [0.0, 0.479922, 0.855341, 1.115929]
    np.testing.assert_allclose(jax.vmap(jax.grad(rehae))(x), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(jax.grad(rehae))(-x), expected, rtol=1e-5)
