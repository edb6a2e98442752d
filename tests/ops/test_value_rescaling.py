import jax.numpy as jnp
import numpy as np

from rlx.ops.value_rescaling import rescale, restore


def test_known_values():
    np.testing.assert_allclose(rescale(jnp.array([0.0, 3.0, -3.0, 99.0])), [0.0, 1.003, -1.003, 9.099], rtol=1e-6)


def test_restore_is_the_inverse():
    values = np.array([-1e5, -7.0, -1e-3, 0.0, 1e-6, 0.5, 1.0, 300.0, 1e5], np.float32)
    np.testing.assert_allclose(restore(rescale(jnp.asarray(values))), values, rtol=2e-4, atol=1e-7)
